//! The way of a Service that names no address: where addresses are looked for and in which order, and the decision table of
//! what follows from what was found.

use std::net::IpAddr;

use cloud_provider::IpFamily;
use smallvec::SmallVec;

use super::{
    CurrentAddresses, Decision, FamilySlot, FamilySlots, Fit, Inputs, Planner, PoolOrder, RemovedAddress,
};
use crate::allocation::{Addresses, Allocation, OnePool, WaitReason};
use crate::assignments::Preferred;
use crate::wait_queue::WaitRank;

/// Where addresses are looked for.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The pools that are asked, in order.
    pub(super) pools: PoolOrder,
    /// Why everything has to be of one pool; none: each family may come from another.
    pub(super) one_pool: Option<OnePool>,
    /// The families that are of use only together.
    pub(super) inseparable: SmallVec<[IpFamily; 2]>,
}

impl Search {
    /// Whether something that the Service has and keeps decides about the pool.
    pub(super) fn is_fixed(&self) -> bool {
        self.one_pool.as_ref().is_some_and(|one_pool| one_pool.kept.is_some())
    }
}

/// What stands between a Service and all that it asks for. A family is *blocked* when an address was to be found for it
/// and was not.
///
/// | the first line that holds | obstacle |
/// |---|---|
/// | no family is blocked | `Nothing` |
/// | the Service would like a second family and does without: it has another, and only lacks this one | `Optional` |
/// | an address that no pool provides any more finds no replacement | `AllInUse` |
/// | no pool hands out addresses to this Service | `NoPool` |
/// | every blocked family is one that the pools do not have; of a Service that needs all its families, any is | `NoSuchFamily` |
/// | none of the above: there are such addresses, and others have them | `AllInUse` |
///
/// | obstacle | what was found is taken | what it has and does not ask for any more | told |
/// |---|---|---|---|
/// | `Nothing` | yes | goes | served, or until when it keeps what no pool provides |
/// | `Optional` | yes | goes | served in one family; if some pool has the other at all, that it waits for it |
/// | `NoPool`, `NoSuchFamily` | unless it is all or nothing | stays | which pools there are; what is wrong with its wish |
/// | `AllInUse` | unless it is all or nothing | stays | where it was looked, and what is to be replaced |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    Nothing,
    Optional,
    NoPool,
    NoSuchFamily,
    AllInUse,
}

impl Planner<'_> {
    /// The way of a Service that names no address.
    pub(super) fn automatic(&self) -> Decision {
        let eligible = match self.eligible_pools() {
            Ok(eligible) => eligible,
            Err(allocation) => return self.as_it_is(allocation),
        };
        let leaving = self.leaving(self.current.has);
        let (mut slots, kept) = self.slots(&leaving);
        let search = self.search(&slots, eligible);
        self.find_addresses(&mut slots, &search);
        Decision { leaving, ..self.judge(slots, kept, &search) }
    }

    /// Decides from what was found. `kept`: what is to be said of addresses that stay though no pool provides them.
    fn judge(&self, mut slots: FamilySlots, kept: Option<Allocation>, search: &Search) -> Decision {
        self.end_families_that_the_asked_pool_lacks(&mut slots, search);
        let blocked: FamilySlots = slots.iter().filter(|slot| slot.is_blocked()).copied().collect();
        let obstacle = self.obstacle(&slots, &blocked, search);
        if self.is_all_or_nothing(&slots, &blocked) {
            slots.iter_mut().for_each(|slot| slot.found = None);
        }
        let mut addresses = self.in_publishing_order(&slots);
        let impossible = || -> FamilySlots {
            blocked.iter().filter(|slot| !self.is_possible(slot.family, search)).copied().collect()
        };
        let missing = blocked.iter().find(|slot| self.is_possible(slot.family, search));
        let allocation = match obstacle {
            Obstacle::Nothing => kept.unwrap_or(Allocation::Served),
            Obstacle::Optional => {
                let lacking = missing.map(|slot| Allocation::Partly { missing: slot.family });
                // That it is about to lose what it has is the greater news.
                kept.or(lacking).unwrap_or(Allocation::Served)
            }
            Obstacle::NoPool => self.no_pool_for_it(),
            Obstacle::NoSuchFamily => self.no_such_family(&impossible(), search),
            Obstacle::AllInUse => self.all_in_use(&blocked, search),
        };
        if !matches!(obstacle, Obstacle::Nothing | Obstacle::Optional) {
            self.keep_until_then(&slots, &mut addresses);
        }
        let waits = match obstacle {
            Obstacle::Optional => missing.is_some(),
            _ => matches!(allocation, Allocation::Waiting(_)),
        };
        let waits_for = if waits { self.waits_for(&blocked, search) } else { Vec::new() };
        Decision {
            addresses,
            rank: self.rank(obstacle, &blocked),
            allocation,
            waits_for,
            leaving: Vec::new(),
        }
    }

    /// A Service for which one family is enough, and that names a pool without addresses of the other, has that other
    /// family no more, as soon as it has the first: an address of another pool is not what it asks for.
    fn end_families_that_the_asked_pool_lacks(&self, slots: &mut FamilySlots, search: &Search) {
        let has_another = slots.iter().any(|slot| !slot.is_blocked());
        if self.request.families.one_is_enough() && has_another {
            slots.retain(|slot| !slot.is(Fit::Elsewhere) || self.is_possible(slot.family, search));
        }
    }

    /// See the first table of [`Obstacle`].
    fn obstacle(&self, slots: &[FamilySlot], blocked: &[FamilySlot], search: &Search) -> Obstacle {
        let one_is_enough = self.request.families.one_is_enough();
        let served = slots.iter().any(|slot| slot.outcome().is_some());
        let impossible = || blocked.iter().filter(|slot| !self.is_possible(slot.family, search)).count();
        if blocked.is_empty() {
            Obstacle::Nothing
        } else if one_is_enough && served && blocked.iter().all(|slot| slot.had.is_none()) {
            Obstacle::Optional
        } else if blocked.iter().any(|slot| slot.is(Fit::Removed)) {
            Obstacle::AllInUse
        } else if search.pools.is_empty() && !search.is_fixed() {
            Obstacle::NoPool
        } else if impossible() == blocked.len() || impossible() > 0 && !one_is_enough {
            Obstacle::NoSuchFamily
        } else {
            Obstacle::AllInUse
        }
    }

    /// Whether nothing new is taken while something is missing: a Service that needs all its families takes none alone,
    /// and one that is on the way to another pool goes there with all it has.
    fn is_all_or_nothing(&self, slots: &[FamilySlot], blocked: &[FamilySlot]) -> bool {
        let served = slots.iter().any(|slot| slot.outcome().is_some());
        let enough = self.request.families.one_is_enough() && served;
        let lacks = blocked.iter().any(|slot| slot.had.is_none());
        lacks && !enough || blocked.iter().any(|slot| slot.is(Fit::Elsewhere))
    }

    /// What it has is no longer what it asks for, and stays until that is to be had.
    fn keep_until_then(&self, slots: &[FamilySlot], addresses: &mut Addresses) {
        let replaced = |ip: &IpAddr| slots.iter().any(|slot| slot.had.is_some_and(|(had, _)| had == *ip));
        let releases = self.inputs.policy.removed_address == RemovedAddress::Release;
        let released = |ip: &IpAddr| releases && !self.provided(*ip);
        let leftover: Addresses = self
            .still_permitted()
            .filter(|ip| !addresses.contains(ip) && !replaced(ip) && !released(ip))
            .collect();
        addresses.extend(leftover);
    }

    /// Which place it has among those who wait.
    fn rank(&self, obstacle: Obstacle, blocked: &[FamilySlot]) -> WaitRank {
        if obstacle == Obstacle::Optional {
            WaitRank::Additional
        } else if !self.current.shown.is_empty() || blocked.iter().any(|slot| slot.is(Fit::Removed)) {
            WaitRank::Evicted
        } else {
            WaitRank::Pending
        }
    }

    /// Where what is published was, its replacement comes; what is new comes behind, primary family first.
    fn in_publishing_order(&self, slots: &[FamilySlot]) -> Addresses {
        let mut addresses = Addresses::new();
        let before = self.current.has.iter().chain(self.current.chosen).chain(self.current.shown).copied();
        let families = before.map(IpFamily::of).chain(slots.iter().map(|slot| slot.family));
        for family in families {
            let outcome = slots.iter().find(|slot| slot.family == family).and_then(FamilySlot::outcome);
            if let Some(ip) = outcome.filter(|ip| !addresses.contains(ip)) {
                addresses.push(ip);
            }
        }
        addresses
    }

    /// The pools that may be asked for this Service: the one it names, or all that hand out unasked and are for it.
    fn eligible_pools(&self) -> Result<PoolOrder, Allocation> {
        let pools = self.inputs.pools;
        let Some(asked) = &self.request.pool else {
            let automatic = pools.automatic().iter().copied();
            return Ok(automatic.filter(|pool| self.serves(pools.at(*pool))).collect());
        };
        match pools.position(&asked.value) {
            Some(pool) if self.serves(pools.at(pool)) => Ok([pool].into_iter().collect()),
            None if pools.broken().any(|name| name == asked.value) => {
                Err(Allocation::Waiting(WaitReason::Unreadable(vec![asked.value.clone()])))
            }
            position => {
                let problem = match position {
                    Some(_) => "names a pool that is not for this Service",
                    None => "names no address pool there is",
                };
                Err(Allocation::Refused(vec![asked.mistake(problem).allowing(self.pools_for_it())]))
            }
        }
    }

    /// The pool of what the Service has and keeps comes first, so that its second family comes from there. If all has to
    /// be of one pool, no other is asked.
    fn search(&self, slots: &[FamilySlot], eligible: PoolOrder) -> Search {
        let pools = self.inputs.pools;
        let kept = slots.iter().find(|slot| !slot.is_unfilled()).and_then(|slot| slot.had).map(|(ip, _)| ip);
        let usable = |pool: &usize| self.is_of_asked_pool(*pool) && self.serves(pools.at(*pool));
        let first = kept.and_then(|ip| pools.site(ip)).map(|site| site.pool).filter(usable);
        if !self.inputs.policy.takes_one_pool() {
            let others = eligible.into_iter().filter(|pool| Some(*pool) != first);
            let pools = first.into_iter().chain(others).collect();
            return Search { pools, one_pool: None, inseparable: SmallVec::new() };
        }
        let pool_of = |ip: IpAddr| (ip, pools.owner(ip).map(|pool| pool.name.clone()));
        let is_wanted = |slot: &&FamilySlot| slot.is_unfilled() && !self.ends(slot, &eligible);
        let wanted: FamilySlots = slots.iter().filter(is_wanted).copied().collect();
        let replaced = wanted.iter().filter(|slot| slot.had.is_some()).count();
        let together = wanted.len() > 1 && (!self.request.families.one_is_enough() || replaced > 1);
        Search {
            pools: if kept.is_some() { first.into_iter().collect() } else { eligible },
            one_pool: (slots.len() > 1).then(|| OnePool { kept: kept.map(pool_of) }),
            inseparable: wanted.iter().filter(|_| together).map(|slot| slot.family).collect(),
        }
    }

    /// Finds an address for each slot that needs one.
    fn find_addresses(&self, slots: &mut FamilySlots, search: &Search) {
        if search.one_pool.is_some() {
            self.find_in_one_pool(slots, search);
        } else {
            self.find_in_any_pool(slots, search);
        }
    }

    /// What is reserved for the Service first; then all from one pool if that can be, else from several.
    fn find_in_any_pool(&self, slots: &mut FamilySlots, search: &Search) {
        for slot in slots.iter_mut().filter(|slot| slot.is_unfilled()) {
            slot.found = self.reserved(slot.family).find(|ip| self.can_have_reserved(*ip));
        }
        let blocked: Positions = positions(slots, FamilySlot::is_blocked);
        if blocked.len() > 1 && self.find_all(slots, &blocked, &search.pools, search) {
            return;
        }
        for slot in slots.iter_mut().filter(|slot| slot.is_blocked()) {
            slot.found = search.pools.iter().find_map(|pool| self.next_address(*pool, slot.family));
        }
    }

    /// All from one pool, or one family alone if that is enough: what is to be replaced before what is merely lacking,
    /// and nothing alone while another address waits for its replacement, which would be of another pool. Pools that
    /// reserve an address for the Service come before the others.
    fn find_in_one_pool(&self, slots: &mut FamilySlots, search: &Search) {
        let one_is_enough = self.request.families.one_is_enough();
        let wanted = positions(slots, |slot| slot.is_unfilled() && !self.ends(slot, &search.pools));
        if wanted.is_empty() {
            return;
        }
        let replaced: Positions = wanted.iter().copied().filter(|i| slots[*i].had.is_some()).collect();
        let alone = match replaced.len() {
            0 => wanted.clone(),
            1 => replaced,
            _ => Positions::new(),
        };
        let reserving = self.reserving_pools(slots, &wanted, search);
        for pools in [&reserving, &search.pools] {
            if self.find_all(slots, &wanted, pools, search)
                || one_is_enough && alone.iter().any(|i| self.find_all(slots, &[*i], pools, search))
            {
                return;
            }
        }
    }

    /// Whether the Service does without this family, because the pool that it asks for has no such addresses.
    fn ends(&self, slot: &FamilySlot, pools: &[usize]) -> bool {
        let has = |pool: &usize| self.inputs.pools.at(*pool).has_family(slot.family);
        self.request.families.one_is_enough() && slot.is(Fit::Elsewhere) && !pools.iter().any(has)
    }

    /// Finds an address for each of these slots in the first pool that has one for all of them.
    fn find_all(&self, slots: &mut FamilySlots, which: &[usize], pools: &[usize], search: &Search) -> bool {
        for pool in pools {
            let in_pool = |i: &usize| self.next_or_reserved(*pool, slots[*i].family, search);
            let found: Addresses = which.iter().filter_map(in_pool).collect();
            if found.len() == which.len() {
                which.iter().zip(found).for_each(|(i, ip)| slots[*i].found = Some(ip));
                return true;
            }
        }
        false
    }

    /// Pools that reserve an address for the Service which it can have now. Where something that it has decides about the
    /// pool, only that one.
    fn reserving_pools(&self, slots: &[FamilySlot], wanted: &[usize], search: &Search) -> PoolOrder {
        let reserved = wanted.iter().flat_map(|i| self.reserved(slots[*i].family));
        let sites =
            reserved.filter(|ip| self.can_have_reserved(*ip)).filter_map(|ip| self.inputs.pools.site(ip));
        let mut pools = PoolOrder::new();
        for site in sites.filter(|site| !search.is_fixed() || search.pools.contains(&site.pool)) {
            if !pools.contains(&site.pool) {
                pools.push(site.pool);
            }
        }
        pools
    }

    /// An address of this pool that is reserved for the Service; else, if the pool may be asked, the next.
    pub(super) fn next_or_reserved(&self, pool: usize, family: IpFamily, search: &Search) -> Option<IpAddr> {
        let is_here = |ip: &IpAddr| self.inputs.pools.site(*ip).is_some_and(|site| site.pool == pool);
        let mut reserved = self.reserved(family).filter(is_here);
        let reserved = reserved.find(|ip| self.can_have_reserved(*ip));
        reserved.or_else(|| self.next_address(pool, family).filter(|_| search.pools.contains(&pool)))
    }

    fn is_of_asked_pool(&self, pool: usize) -> bool {
        self.request.pool.as_ref().is_none_or(|asked| self.inputs.pools.at(pool).name == asked.value)
    }

    /// The address that comes next for the Service in this pool. One that it was given in memory, or that its status
    /// shows, comes before all others; the one it had when it went the last time, before other free ones.
    fn next_address(&self, pool: usize, family: IpFamily) -> Option<IpAddr> {
        let CurrentAddresses { chosen, shown, last, .. } = self.current;
        let Inputs { assignments, entries, pools, .. } = self.inputs;
        let preferred = Preferred { to_all: [chosen, shown], to_free: last };
        assignments.find(entries, pools, pool, family, self.applicant, preferred)
    }

    /// The addresses of this family that are kept for the Service, in the pool it asks for if it asks for one.
    pub(super) fn reserved(&self, family: IpFamily) -> impl Iterator<Item = IpAddr> {
        let asked = self.request.pool.as_ref();
        let fits = move |ip: &IpAddr| {
            let owner = self.inputs.pools.owner(*ip);
            IpFamily::of(*ip) == family
                && asked.is_none_or(|asked| owner.is_some_and(|pool| pool.name == asked.value))
        };
        self.inputs.pools.reserved_for(self.applicant.key).filter(fits)
    }

    fn can_have_reserved(&self, ip: IpAddr) -> bool {
        self.provided(ip) && self.blocker(ip).is_none()
    }

    /// Whether one of the pools has addresses of this family at all, in use or not, and of those that are of use only
    /// together with it.
    pub(super) fn is_possible(&self, family: IpFamily, search: &Search) -> bool {
        search.pools.iter().any(|pool| {
            let pool = self.inputs.pools.at(*pool);
            pool.has_family(family) && search.inseparable.iter().all(|family| pool.has_family(*family))
        })
    }
}

/// Which of a Service's families.
type Positions = SmallVec<[usize; 2]>;

fn positions(slots: &[FamilySlot], which: impl Fn(&FamilySlot) -> bool) -> Positions {
    slots.iter().enumerate().filter(|(_, slot)| which(slot)).map(|(i, _)| i).collect()
}
