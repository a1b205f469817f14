//! A request, what the Service has, and the pools → what it has from now on, and why not more. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cloud_provider::{IpFamily, Mistake};

use crate::desired::{AddressRequest, Families};
use crate::ledger::{Blocker, Ledger, Preferred};
use crate::options::Asked;
use crate::verdict::{LostBecause, Shortage, Verdict};
use crate::waiting::{Rank, Spot};
use metallb::pool::Pool;
use metallb::pools::Pools;
use metallb::selector::Labels;

/// What happens to a published address that its pool no longer provides: the pool is gone, was shrunk, or is no
/// longer for this Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemovedAddress {
    /// Replaced, once there is a replacement; until then it stays published.
    #[default]
    Move,
    /// Stays published as long as the Service wants it.
    Keep,
    /// Withdrawn at once.
    Release,
}

/// Labels of all namespaces, by name.
pub type Namespaces = BTreeMap<String, Labels>;

/// All that a decision depends on besides the Service.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) pools: &'a Pools,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) ledger: &'a Ledger,
    pub(crate) removed: RemovedAddress,
    /// How long an address that no pool provides any more stays as if one did.
    pub(crate) grace: Duration,
    pub(crate) now: Duration,
}

/// What a Service has before the decision.
#[derive(Clone, Copy, Default)]
pub(crate) struct Standing<'a> {
    /// What it was told to have, in publishing order: its status shows it, or will.
    pub(crate) has: &'a [IpAddr],
    /// What is set aside for it in memory alone. Nobody knows of it, so that it is no loss.
    pub(crate) chosen: &'a [IpAddr],
    /// What its status may show though it is not its own (any longer).
    pub(crate) shown: &'a [IpAddr],
    /// What it had when it went the last time.
    pub(crate) last: &'a [IpAddr],
    /// What of that it has no pool provided when it was last decided for.
    pub(crate) leaving: &'a [Leaving],
}

/// An address that no pool provides to its Service any more, and that stays for a while in case the pool comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub(crate) ip: IpAddr,
    /// When the grace period ends.
    pub(crate) until: Duration,
}

/// What is decided for one Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    /// Its addresses from now on, in publishing order.
    pub(crate) hold: Vec<IpAddr>,
    pub(crate) verdict: Verdict,
    pub(crate) rank: Rank,
    /// What could help it; empty if it waits for nothing, or for other pools.
    pub(crate) spots: Vec<Spot>,
    /// What of `hold` it has for a grace period only.
    pub(crate) leaving: Vec<Leaving>,
}

/// How an address a Service has fits what it asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Good,
    /// Its pool does not provide it (any more).
    Removed,
    /// Its pool is not the one asked for.
    Elsewhere,
}

/// One family of a Service: what it has, and what it could have instead.
#[derive(Clone, Copy)]
struct Slot {
    family: IpFamily,
    had: Option<(IpAddr, Fit)>,
    choice: Option<IpAddr>,
}

impl Slot {
    fn outcome(&self) -> Option<IpAddr> {
        self.choice.or(self.had.map(|(ip, _)| ip))
    }

    fn is(&self, fit: Fit) -> bool {
        self.had.is_some_and(|(_, had)| had == fit)
    }

    fn needs_choice(&self) -> bool {
        !self.is(Fit::Good)
    }
}

/// Decides for one Service.
pub(crate) fn decide(world: World<'_>, standing: Standing<'_>, request: &AddressRequest) -> Decision {
    Planner { world, standing, request }.decide()
}

/// Whether a pool provides this address to a Service: it contains it, hands it out, and is for the Service.
pub(crate) fn provides(world: World<'_>, request: &AddressRequest, ip: IpAddr) -> bool {
    Planner {
        world,
        standing: Standing { has: &[], chosen: &[], shown: &[], last: &[], leaving: &[] },
        request,
    }
    .provided(ip)
}

/// Why a Service does not have an address that its status shows.
pub(crate) fn why_lost(world: World<'_>, request: &AddressRequest, ip: IpAddr) -> LostBecause {
    let planner = Planner { world, standing: Standing::default(), request };
    // The Service's own wish first: what has become of the address since is no reason.
    if request.addresses.as_ref().is_some_and(|asked| !asked.value.contains(&ip)) {
        return LostBecause::AsksForOthers;
    }
    if !request.families.iter().any(|family| family == IpFamily::of(ip)) {
        return LostBecause::NotItsFamily;
    }
    let owner = world.pools.owner(ip);
    if let (Some(pool), Some(asked)) = (owner, &request.pool)
        && pool.name != asked.value
    {
        return LostBecause::AsksForPool(asked.value.clone());
    }
    if let Some(blocker) = world.ledger.owner_in_the_way(ip, &request.id.uid, &request.sharing) {
        return LostBecause::InTheWay(blocker);
    }
    match owner {
        None => LostBecause::InNoPool,
        Some(pool) if !planner.provided(ip) => LostBecause::NotProvided(pool.name.clone()),
        Some(_) => LostBecause::HasAnother,
    }
}

struct Planner<'a> {
    world: World<'a>,
    standing: Standing<'a>,
    request: &'a AddressRequest,
}

impl Planner<'_> {
    fn decide(&self) -> Decision {
        if self.world.pools.is_empty() {
            let broken: Vec<String> = self.world.pools.broken().map(str::to_owned).collect();
            let shortage = if broken.is_empty() { Shortage::NoPools } else { Shortage::Unreadable(broken) };
            return self.as_it_is(Verdict::Waiting(shortage));
        }
        match &self.request.addresses {
            Some(asked) => self.explicit(asked),
            None => self.automatic(),
        }
    }

    /// What it has and may keep: all of it, except what its own change of keys or ports put at odds with others.
    fn lawful(&self) -> impl Iterator<Item = IpAddr> {
        let (uid, sharing) = (&self.request.id.uid, &self.request.sharing);
        let has = self.standing.has.iter().copied();
        has.filter(move |ip| self.world.ledger.owner_in_the_way(*ip, uid, sharing).is_none())
    }

    fn as_it_is(&self, verdict: Verdict) -> Decision {
        Decision {
            hold: self.lawful().collect(),
            verdict,
            rank: Rank::Pending,
            spots: Vec::new(),
            leaving: Vec::new(),
        }
    }

    fn serves(&self, pool: &Pool) -> bool {
        let namespace = &self.request.id.key.namespace;
        pool.allocation.as_ref().is_none_or(|allocation| {
            allocation.allows_namespace(namespace, self.world.namespaces.get(namespace))
                && allocation.allows_service(&self.request.labels)
        })
    }

    fn explicit(&self, asked: &Asked<Vec<IpAddr>>) -> Decision {
        let mut mistakes = Vec::new();
        let mut unknown = false;
        for ip in &asked.value {
            match self.world.pools.owner(*ip) {
                None => {
                    unknown = true;
                    let problem = format!("asks for {ip}, which is in no address pool");
                    mistakes
                        .push(asked.mistake(problem).allowing(self.pools_listed(|pool| self.serves(pool))));
                }
                Some(pool) => mistakes.extend(self.wrong_with(*ip, pool, asked)),
            }
        }
        let broken: Vec<String> = self.world.pools.broken().map(str::to_owned).collect();
        if unknown && !broken.is_empty() {
            return self.as_it_is(Verdict::Waiting(Shortage::Unreadable(broken)));
        }
        if !mistakes.is_empty() {
            let mut decision = self.as_it_is(Verdict::Refused(mistakes));
            if self.world.removed == RemovedAddress::Release {
                decision.leaving = self.leaving(&decision.hold);
                let stays = |ip: &IpAddr| self.provided(*ip) || self.stays_for_now(&decision.leaving, *ip);
                decision.hold.retain(stays);
            }
            return decision;
        }
        let (uid, sharing) = (&self.request.id.uid, &self.request.sharing);
        let blocked = |ip: &IpAddr| Some((*ip, self.world.ledger.blocker(*ip, uid, sharing)?));
        let blocked: Vec<(IpAddr, Blocker)> = asked.value.iter().filter_map(blocked).collect();
        if !blocked.is_empty() {
            let spots = blocked.iter().map(|(ip, _)| Spot::Address(*ip)).collect();
            let mistakes = blocked.iter().map(|(ip, blocker)| {
                let mistake = asked.mistake(format!("asks for {ip}, which {blocker}"));
                mistake.allowing("an address that is free, or one that is shared with this Service")
            });
            let verdict = Verdict::Waiting(Shortage::InUse(mistakes.collect()));
            return Decision { rank: Rank::Explicit, spots, ..self.as_it_is(verdict) };
        }
        // The order that is published stays, if it is only the order that differs.
        let held: Vec<IpAddr> = self.lawful().collect();
        let same = held.len() == asked.value.len() && held.iter().all(|ip| asked.value.contains(ip));
        let hold = if same { held } else { asked.value.clone() };
        let (verdict, leaving) = (Verdict::Served, Vec::new());
        Decision { hold, verdict, rank: Rank::Explicit, spots: Vec::new(), leaving }
    }

    fn wrong_with(&self, ip: IpAddr, pool: &Pool, asked: &Asked<Vec<IpAddr>>) -> Option<Mistake> {
        if let Some(wanted) = self.request.pool.as_ref().filter(|wanted| wanted.value != pool.name) {
            let problem =
                format!("asks for {ip}, which is in pool {:?}, not in {:?}", pool.name, wanted.value);
            let allowed = format!("an address of pool {:?}, or that pool in {}", wanted.value, wanted.field);
            return Some(asked.mistake(problem).allowing(allowed));
        }
        if !self.serves(pool) {
            let problem = format!("asks for {ip} of pool {:?}, which is not for this Service", pool.name);
            let allowed = self.pools_listed(|pool| self.serves(pool));
            return Some(asked.mistake(problem).allowing(allowed));
        }
        if pool.withheld.excludes(ip) {
            let problem = format!("asks for {ip}, which pool {:?} excludes", pool.name);
            return Some(asked.mistake(problem).allowing("an address that the pool does not exclude"));
        }
        if !pool.hands_out(ip) {
            let problem = format!("asks for {ip}, which pool {:?} leaves out (avoidBuggyIPs)", pool.name);
            return Some(asked.mistake(problem).allowing("an address that ends neither in .0 nor in .255"));
        }
        if !pool.hands_out_to(ip, &self.request.id.key) {
            let problem = format!("asks for {ip}, which pool {:?} reserves for others", pool.name);
            return Some(asked.mistake(problem).allowing("an address that is reserved for nobody else"));
        }
        None
    }

    fn pools_listed(&self, which: impl Fn(&Pool) -> bool) -> String {
        let names: Vec<&str> =
            self.world.pools.iter().filter(|pool| which(pool)).map(|pool| pool.name.as_str()).collect();
        match names.as_slice() {
            [] => "nothing: no pool is for this Service".to_owned(),
            names => format!("addresses of the pools for this Service: {}", names.join(", ")),
        }
    }

    fn provided(&self, ip: IpAddr) -> bool {
        self.world
            .pools
            .owner(ip)
            .is_some_and(|pool| pool.hands_out_to(ip, &self.request.id.key) && self.serves(pool))
    }

    fn automatic(&self) -> Decision {
        let eligible = match self.eligible() {
            Ok(eligible) => eligible,
            Err(verdict) => return self.as_it_is(verdict),
        };
        let leaving = self.leaving(self.standing.has);
        let (mut slots, kept) = self.slots(&leaving);
        let anchor = slots.iter().find(|slot| !slot.needs_choice()).and_then(|slot| slot.had);
        let anchor = anchor.and_then(|(ip, _)| self.world.pools.site(ip)).map(|site| site.pool);
        // The second family comes from the pool of the first, if that has it.
        let anchor =
            anchor.filter(|pool| self.request.pool.is_none() && self.serves(self.world.pools.at(*pool)));
        let mut order: Vec<usize> = anchor.into_iter().collect();
        order.extend(eligible.iter().copied().filter(|pool| Some(*pool) != anchor));
        self.choose(&mut slots, &order);
        Decision { leaving, ..self.judge(slots, kept, &order) }
    }

    /// The pools to ask, in order.
    fn eligible(&self) -> Result<Vec<usize>, Verdict> {
        let pools = self.world.pools;
        let Some(asked) = &self.request.pool else {
            let automatic = pools.automatic().iter().copied();
            return Ok(automatic.filter(|pool| self.serves(pools.at(*pool))).collect());
        };
        match pools.position(&asked.value) {
            Some(pool) if self.serves(pools.at(pool)) => Ok(vec![pool]),
            Some(_) => {
                let mistake = asked.mistake("names a pool that is not for this Service");
                Err(Verdict::Refused(vec![mistake.allowing(self.pools_listed(|pool| self.serves(pool)))]))
            }
            None if pools.broken().any(|name| name == asked.value) => {
                Err(Verdict::Waiting(Shortage::Unreadable(vec![asked.value.clone()])))
            }
            None => {
                let mistake = asked.mistake("names no address pool there is");
                Err(Verdict::Refused(vec![mistake.allowing(self.pools_listed(|pool| self.serves(pool)))]))
            }
        }
    }

    /// Which of these addresses no pool provides, each with the end of its grace period, which may be past. Where
    /// nothing is decided about pools, since some cannot be read, no period begins.
    fn leaving(&self, has: &[IpAddr]) -> Vec<Leaving> {
        if self.keeps() {
            return Vec::new();
        }
        let begun = |ip: IpAddr| self.standing.leaving.iter().find(|leaving| leaving.ip == ip).copied();
        let begins = |ip| Leaving { ip, until: self.world.now.saturating_add(self.world.grace) };
        let removed = has.iter().copied().filter(|ip| !self.provided(*ip));
        removed.map(|ip| begun(ip).unwrap_or_else(|| begins(ip))).collect()
    }

    fn stays_for_now(&self, leaving: &[Leaving], ip: IpAddr) -> bool {
        leaving.iter().any(|leaving| leaving.ip == ip && leaving.until > self.world.now)
    }

    /// Whether what no pool provides is kept all the same.
    fn keeps(&self) -> bool {
        self.world.removed == RemovedAddress::Keep || self.world.pools.broken().next().is_some()
    }

    /// One slot per family with what the Service has for it, and how those of its addresses stand that it keeps though
    /// no pool provides them.
    fn slots(&self, leaving: &[Leaving]) -> (Vec<Slot>, Option<Verdict>) {
        let stays = |ip: IpAddr| self.keeps() || self.stays_for_now(leaving, ip);
        let mut slots: Vec<Slot> =
            self.request.families.iter().map(|family| Slot { family, had: None, choice: None }).collect();
        for ip in self.lawful() {
            let Some(slot) = slots.iter_mut().find(|slot| slot.family == IpFamily::of(ip)) else { continue };
            let fit = match (self.provided(ip), &self.request.pool) {
                (true, Some(asked))
                    if self.world.pools.owner(ip).is_none_or(|pool| pool.name != asked.value) =>
                {
                    Fit::Elsewhere
                }
                (true, _) => Fit::Good,
                (false, _) if self.world.removed == RemovedAddress::Release && !stays(ip) => continue,
                (false, _) => Fit::Removed,
            };
            if slot.needs_choice() && (slot.had.is_none() || fit == Fit::Good) {
                slot.had = Some((ip, fit));
            }
        }
        let mut kept = Vec::new();
        for slot in &mut slots {
            if let Some((ip, Fit::Removed)) = slot.had.filter(|(ip, _)| stays(*ip)) {
                kept.push(ip);
                slot.had = Some((ip, Fit::Good));
            }
        }
        let how = match kept.is_empty() {
            true => None,
            false if self.keeps() => Some(self.kept(kept)),
            false => Some(Verdict::Leaving { addresses: kept, grace: self.world.grace }),
        };
        (slots, how)
    }

    /// Finds an address for each slot that needs one: all from one pool if that can be, else from several.
    fn choose(&self, slots: &mut [Slot], order: &[usize]) {
        let (id, sharing) = (&self.request.id, &self.request.sharing);
        let Standing { chosen, shown, last, .. } = self.standing;
        let preferred = Preferred { to_all: [chosen, shown], to_free: last };
        let find = |pool: usize, family| {
            self.world.ledger.find(self.world.pools, pool, family, id, sharing, preferred)
        };
        for slot in slots.iter_mut().filter(|slot| slot.needs_choice()) {
            slot.choice = self
                .reserved(slot.family)
                .find(|ip| self.provided(*ip) && self.world.ledger.blocker(*ip, &id.uid, sharing).is_none());
        }
        let mut needy: Vec<&mut Slot> =
            slots.iter_mut().filter(|slot| slot.needs_choice() && slot.choice.is_none()).collect();
        if needy.len() > 1 {
            for pool in order {
                let found: Vec<IpAddr> = needy.iter().filter_map(|slot| find(*pool, slot.family)).collect();
                if found.len() == needy.len() {
                    needy.iter_mut().zip(found).for_each(|(slot, ip)| slot.choice = Some(ip));
                    return;
                }
            }
        }
        for slot in needy {
            slot.choice = order.iter().find_map(|pool| find(*pool, slot.family));
        }
    }

    /// The addresses of this family that are kept for the Service, in the pool it asks for if it asks for one.
    fn reserved(&self, family: IpFamily) -> impl Iterator<Item = IpAddr> {
        let asked = self.request.pool.as_ref();
        let fits = move |ip: &IpAddr| {
            let owner = self.world.pools.owner(*ip);
            IpFamily::of(*ip) == family
                && asked.is_none_or(|asked| owner.is_some_and(|pool| pool.name == asked.value))
        };
        self.world.pools.reserved_for(&self.request.id.key).filter(fits)
    }

    fn judge(&self, mut slots: Vec<Slot>, kept: Option<Verdict>, order: &[usize]) -> Decision {
        let pools = self.world.pools;
        let possible = |family| order.iter().any(|pool| pools.at(*pool).has_family(family));
        let one_is_enough = self.request.families.one_is_enough();
        if one_is_enough && slots.iter().any(|slot| !slot.needs_choice() || slot.choice.is_some()) {
            // A pool that was asked for by name and has no such addresses ends the family.
            slots.retain(|slot| !slot.is(Fit::Elsewhere) || possible(slot.family));
        }
        let blocked: Vec<Slot> =
            slots.iter().filter(|slot| slot.needs_choice() && slot.choice.is_none()).copied().collect();
        let lacks = blocked.iter().any(|slot| slot.had.is_none());
        let served = slots.iter().any(|slot| slot.outcome().is_some());
        let moves = blocked.iter().any(|slot| slot.is(Fit::Elsewhere));
        if lacks && !(one_is_enough && served) || moves {
            // All or nothing: nothing new is taken while something is missing.
            slots.iter_mut().for_each(|slot| slot.choice = None);
        }
        let mut hold = self.in_publishing_order(&slots);
        let short = || self.short(&blocked, order);
        let impossible: Vec<&Slot> = blocked.iter().filter(|slot| !possible(slot.family)).collect();
        let stuck = blocked.iter().any(|slot| slot.is(Fit::Removed));
        let verdict = if blocked.is_empty() {
            kept.unwrap_or(Verdict::Served)
        } else if !stuck && !moves && one_is_enough && served {
            match blocked.iter().find(|slot| possible(slot.family)) {
                Some(slot) => Verdict::Partly { missing: slot.family },
                None => Verdict::Served,
            }
        } else if order.is_empty() && !stuck {
            self.nothing_for_it()
        } else if !stuck && !impossible.is_empty() && (!one_is_enough || impossible.len() == blocked.len()) {
            self.impossible(&impossible, order)
        } else {
            Verdict::Waiting(short())
        };
        if matches!(verdict, Verdict::Waiting(_) | Verdict::Refused(_)) {
            // What it has is no longer what it asks for, and stays until that is to be had.
            let slots_have =
                |ip: &IpAddr| slots.iter().any(|slot| slot.had.is_some_and(|(had, _)| had == *ip));
            let released = |ip: &IpAddr| self.world.removed == RemovedAddress::Release && !self.provided(*ip);
            let leftover = self.lawful().filter(|ip| !hold.contains(ip) && !slots_have(ip) && !released(ip));
            hold.extend(leftover.collect::<Vec<_>>());
        }
        let rank = match &verdict {
            Verdict::Partly { .. } => Rank::Additional,
            _ if !self.standing.shown.is_empty() => Rank::Evicted,
            _ if stuck => Rank::Evicted,
            _ => Rank::Pending,
        };
        let spots = match &verdict {
            Verdict::Partly { .. } | Verdict::Waiting(_) => {
                // Who needs everything waits for one thing that is lacking: while it is, the rest is no help.
                let needs_all = moves || (lacks && !one_is_enough);
                self.spots(&blocked[..if needs_all { 1 } else { blocked.len() }], order)
            }
            _ => Vec::new(),
        };
        Decision { hold, verdict, rank, spots, leaving: Vec::new() }
    }

    /// Where what is published was, its replacement comes; what is new comes behind, primary family first.
    fn in_publishing_order(&self, slots: &[Slot]) -> Vec<IpAddr> {
        let mut hold: Vec<IpAddr> = Vec::with_capacity(slots.len());
        let before = self.standing.has.iter().chain(self.standing.chosen).chain(self.standing.shown).copied();
        let families = before.map(IpFamily::of).chain(slots.iter().map(|slot| slot.family));
        for family in families {
            let outcome = slots.iter().find(|slot| slot.family == family).and_then(Slot::outcome);
            if let Some(ip) = outcome.filter(|ip| !hold.contains(ip)) {
                hold.push(ip);
            }
        }
        hold
    }

    fn kept(&self, addresses: Vec<IpAddr>) -> Verdict {
        let unreadable = match self.world.removed {
            RemovedAddress::Keep => Vec::new(),
            _ => self.world.pools.broken().map(str::to_owned).collect(),
        };
        Verdict::Kept { addresses, unreadable }
    }

    fn nothing_for_it(&self) -> Verdict {
        let broken: Vec<String> = self.world.pools.broken().map(str::to_owned).collect();
        if !broken.is_empty() {
            return Verdict::Waiting(Shortage::Unreadable(broken));
        }
        let names = self.world.pools.iter().map(|pool| pool.name.clone()).collect();
        Verdict::Waiting(Shortage::NoPoolForIt(names))
    }

    fn impossible(&self, slots: &[&Slot], order: &[usize]) -> Verdict {
        let broken: Vec<String> = self.world.pools.broken().map(str::to_owned).collect();
        if !broken.is_empty() && self.request.pool.is_none() {
            return Verdict::Waiting(Shortage::Unreadable(broken));
        }
        let families: Vec<&str> = slots.iter().map(|slot| slot.family.as_str()).collect();
        let families = families.join(" and no ");
        let mistake = match (&self.request.pool, self.request.families) {
            (Some(asked), _) => asked
                .mistake(format!("names a pool that has no {families} addresses, which the Service needs"))
                .allowing("a pool with addresses of every family the Service has"),
            (None, wanted) => {
                let (field, value) = match wanted {
                    Families::One(family) => ("spec.ipFamilies", family.as_str()),
                    Families::Two { .. } => ("spec.ipFamilyPolicy", "RequireDualStack"),
                };
                let names: Vec<&str> =
                    order.iter().map(|pool| self.world.pools.at(*pool).name.as_str()).collect();
                let problem = format!(
                    "needs addresses that no pool has: there are no {families} addresses in {}",
                    names.join(", ")
                );
                Mistake::new(field, value, problem).allowing("the families of the pools for this Service")
            }
        };
        Verdict::Refused(vec![mistake])
    }

    fn short(&self, blocked: &[Slot], order: &[usize]) -> Shortage {
        let looked_in = |family| {
            let pools = order.iter().map(|pool| self.world.pools.at(*pool));
            let pools = pools.filter(|pool| pool.has_family(family));
            pools.map(|pool| (pool.name.clone(), pool.capacity_for(family, &self.request.id.key))).collect()
        };
        Shortage::Exhausted {
            families: blocked.iter().map(|slot| (slot.family, looked_in(slot.family))).collect(),
            replacing: blocked.iter().filter_map(|slot| slot.had.map(|(ip, _)| ip)).collect(),
        }
    }

    fn spots(&self, blocked: &[Slot], order: &[usize]) -> Vec<Spot> {
        let families = blocked.iter().map(|slot| slot.family);
        let has = |pool: &usize, family| self.world.pools.at(*pool).has_family(family);
        let mut spots: Vec<Spot> = families
            .flat_map(|family| {
                let pools = order.iter().copied().filter(move |pool| has(pool, family));
                pools.map(move |pool| Spot::Pool(pool, family))
            })
            .collect();
        spots.extend(self.request.sharing.key.clone().map(Spot::Key));
        spots.extend(blocked.iter().flat_map(|slot| self.reserved(slot.family)).map(Spot::Address));
        spots
    }
}
