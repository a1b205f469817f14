//! What the allocator answered, in the controller's and the user's words.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cloud_provider::{
    Error, Ingress, IpFamily, Mistake, Mistakes, Note, NoteKind, Ordered, Outcome, Pending, Plan,
    ProviderCondition, Published, Ready, ServiceKey, ServiceView, Step, Verb,
};

use metallb::manifest;
use metallb::pools::Pools;

use crate::allocation::{Allocation, LossReason, LostAddress, OnePool, WaitReason};
use crate::allocator::ServiceAddresses;
use crate::announced::ANNOUNCED;
use crate::desired::ALLOCATED_FROM;
use crate::plan::AnnouncerKind;

/// The namespace of a pool that is to be made, where there is no pool to take it from: MetalLB's own.
const USUAL_POOL_NAMESPACE: &str = "metallb-system";

/// Words for one Service: what it shows, how it stands, and in which pools.
#[derive(Clone, Copy)]
pub(crate) struct Report<'a> {
    pub(crate) service: &'a ServiceView,
    pub(crate) answer: &'a ServiceAddresses,
    pub(crate) pools: &'a Pools,
    pub(crate) announcer: AnnouncerKind,
    /// Who says that they announce it; none while nobody could know.
    pub(crate) announced: Option<&'a ProviderCondition>,
}

impl Report<'_> {
    /// The outcome of an `ensure` for a Service that could be read.
    pub(crate) fn outcome(&self, mut notes: Vec<Note>) -> Result<Outcome, Error> {
        notes.extend(self.lost());
        notes.extend(self.assigned());
        match &self.answer.allocation {
            Allocation::Served => Ok(self.served(notes)),
            Allocation::Partly { missing } => {
                let message = format!(
                    "served with {} alone: there is no free {missing} address in a pool for this Service",
                    list(&self.answer.addresses)
                );
                notes.push(note(NoteKind::Normal, "SingleFamily", message));
                Ok(self.served(notes))
            }
            Allocation::Kept { addresses, unreadable } => {
                let why = match unreadable.as_slice() {
                    [] => "no pool provides it to this Service any more".to_owned(),
                    names => format!("it is in no pool that can be read; not readable: {}", names.join(", ")),
                };
                let message = format!("{} stays published though {why}", list(addresses));
                Ok(self.served_by_way_of_exception("AddressKept", message, notes))
            }
            Allocation::Leaving { addresses, grace } => {
                let message = format!(
                    "no pool provides {} to this Service any more: it stays published for {} s, in case the pool comes \
                     back, and is given up or replaced then",
                    list(addresses),
                    grace.as_secs_f64()
                );
                Ok(self.served_by_way_of_exception("AddressLeavesPool", message, notes))
            }
            Allocation::Refused(mistakes) => self.refused(mistakes.clone(), notes),
            Allocation::Waiting(wait_reason) => {
                let (reason, why) = wait_reason_in_words(wait_reason);
                let why = match self.keeps_published() {
                    Some(kept) => format!("{why}; until then {kept}"),
                    None => why,
                };
                // As MetalLB tells it, so that whoever looks for that event finds it.
                let message = format!("Failed to allocate IP for {}: {why}", self.service.id.key);
                notes.push(note(NoteKind::Warning, "AllocationFailed", message));
                Ok(Outcome::Pending(self.pending(reason, why, notes)))
            }
        }
    }

    /// The outcome for a Service that asks for what cannot be. What it has stays; if its status shows anything
    /// else, that is put right, since it may be somebody else's by now.
    pub(crate) fn refused(&self, mistakes: Vec<Mistake>, mut notes: Vec<Note>) -> Result<Outcome, Error> {
        let until_then = self.keeps_published().unwrap_or_else(|| "no address is assigned".to_owned());
        let mistakes = mistakes.into_iter().map(|mistake| mistake.meanwhile(until_then.clone())).collect();
        let Some(mistakes) = Mistakes::new(mistakes) else { return Ok(self.ready(notes)) };
        if self.shows_its_addresses() {
            // What it has is entered with the ports and the sharing key of now, which what was last valid is not to undo.
            let invalid =
                if self.answer.addresses.is_empty() { Error::Invalid } else { Error::InvalidInPart };
            return Err(invalid(mistakes));
        }
        notes.push(note(NoteKind::Warning, "Invalid", mistakes.to_string()));
        Ok(Outcome::Pending(self.pending("Invalid", mistakes.to_string(), notes)))
    }

    /// It has what it asks for. Whether that is announced is another matter, and a Service that nobody can reach is not
    /// ready.
    fn served(&self, mut notes: Vec<Note>) -> Outcome {
        let Some((reason, why)) = self.speaker_objects() else { return self.ready(notes) };
        notes.push(note(NoteKind::Warning, reason, why.clone()));
        Outcome::Pending(self.pending(reason, why, notes))
    }

    /// As [`served`](Report::served), with addresses that no pool provides.
    fn served_by_way_of_exception(&self, reason: &str, message: String, mut notes: Vec<Note>) -> Outcome {
        let objection = self.speaker_objects().map(|(reason, why)| (reason, format!("{message}; {why}")));
        let Some((pending, why)) = objection else {
            notes.push(note(NoteKind::Warning, reason, message));
            return self.ready(notes);
        };
        notes.push(note(NoteKind::Warning, reason, why.clone()));
        Outcome::Pending(self.pending(pending, why, notes))
    }

    /// What MetalLB's speaker has against the addresses, if it is the one that announces them: reason and sentence.
    fn speaker_objects(&self) -> Option<(&'static str, String)> {
        if let Some(sentence) = self.speaker_waits_for_a_pool() {
            return Some(("AddressInNoPool", sentence));
        }
        let pools = self.pool_names(&self.answer.addresses);
        if self.announcer != AnnouncerKind::MetalLb || pools.len() < 2 {
            return None;
        }
        let message = format!(
            "{} are of pools {}, and {}",
            list(&self.answer.addresses),
            pools.join(" and "),
            OnePool { kept: None }
        );
        Some(("AddressesOfTwoPools", message))
    }

    /// MetalLB's speaker checks the address of every Service against its configuration, and takes no new one in which an
    /// address that a status shows is in no pool.
    fn speaker_waits_for_a_pool(&self) -> Option<String> {
        let is_outside = |ip: &IpAddr| self.pools.owner(*ip).is_none();
        let outside: Vec<IpAddr> = self.answer.addresses.iter().copied().filter(is_outside).collect();
        if outside.is_empty() || self.announcer != AnnouncerKind::MetalLb {
            return None;
        }
        let ServiceKey { namespace, name } = &self.service.id.key;
        let of_pools = self.pools.iter().next().map_or(USUAL_POOL_NAMESPACE, |pool| &pool.namespace);
        let pool = manifest::holding(&format!("kept-{namespace}-{name}"), of_pools, &outside);
        Some(format!(
            "MetalLB's speaker refuses new configuration until a pool holds {} again, such as {pool}",
            list(&outside)
        ))
    }

    fn ready(&self, notes: Vec<Note>) -> Outcome {
        Outcome::Ready(Ready::new(self.published()).with_notes(notes))
    }

    fn pending(&self, reason: &str, why: String, notes: Vec<Note>) -> Pending {
        let pending = Pending::new(reason, why).with_notes(notes);
        // What is said of announcing changes also while the addresses stay.
        let is_told = self.announced.is_some();
        if self.shows_what_it_has() && !is_told { pending } else { pending.publishing(self.published()) }
    }

    /// What is to be published. Entries that are there already are taken as they are, so that what others added
    /// to them (ports, a mode) stays.
    pub(crate) fn published(&self) -> Published {
        let entry = |ip: &IpAddr| {
            let shown = self.service.published.iter().find(|entry| entry.ip == Some(*ip));
            shown.cloned().unwrap_or_else(|| Ingress::ip(*ip))
        };
        let mut published = Published::new(self.answer.addresses.iter().map(entry));
        if let Some(announced) = self.announced.filter(|_| !self.answer.addresses.is_empty()) {
            published = published.with_condition(ANNOUNCED, announced.clone());
        }
        let pools = self.pool_names(&self.answer.addresses);
        if pools.is_empty() { published } else { published.with_annotation(ALLOCATED_FROM, pools.join(",")) }
    }

    /// The steps from what the Service has to what it should have.
    pub(crate) fn plan(&self, before: &[IpAddr]) -> Plan {
        let after = &self.answer.addresses;
        let from = |ip: IpAddr| match self.pools.owner(ip) {
            Some(pool) => format!("from pool {}", pool.name),
            None => "from no pool".to_owned(),
        };
        let added = after.iter().filter(|ip| !before.contains(ip));
        let added = added.map(|ip| Step::new(Verb::Create, "address", ip.to_string(), from(*ip)));
        let removed = before.iter().filter(|ip| !after.contains(ip)).map(|ip| {
            let reason = if self.pools.owner(*ip).is_some() {
                "not what the Service asks for, or not its own"
            } else {
                "no pool contains it"
            };
            Step::new(Verb::Delete, "address", ip.to_string(), reason)
        });
        Plan::new(added.chain(removed))
    }

    fn shows_what_it_has(&self) -> bool {
        let named = self.service.annotations.get(ALLOCATED_FROM).map_or("", String::as_str);
        self.shows_its_addresses() && named == self.pool_names(&self.answer.addresses).join(",")
    }

    fn shows_its_addresses(&self) -> bool {
        let shown: BTreeSet<IpAddr> = self.service.published_ips().ordered();
        shown == self.answer.addresses.iter().copied().ordered()
    }

    fn keeps_published(&self) -> Option<String> {
        let stays = match self.answer.addresses.as_slice() {
            [] => return None,
            [ip] => format!("{ip} stays published"),
            ips => format!("{} stay published", list(ips)),
        };
        match self.speaker_waits_for_a_pool() {
            Some(sentence) => Some(format!("{stays}, and {sentence}")),
            None => Some(stays),
        }
    }

    /// What its status shows and it has no more: a Warning, whoever's doing it is, for somebody may use it.
    fn lost(&self) -> Option<Note> {
        let each: Vec<String> = self.answer.lost.iter().map(lost_in_words).collect();
        if each.is_empty() {
            return None;
        }
        let why = each.join("; ");
        let (reason, message) = match self.answer.addresses.as_slice() {
            [] => ("AddressLost", why),
            now => ("AddressMoved", format!("{why}; its addresses are {} now", list(now))),
        };
        Some(note(NoteKind::Warning, reason, message))
    }

    fn assigned(&self) -> Option<Note> {
        let shown: Vec<IpAddr> = self.service.published_ips().collect();
        let new: Vec<IpAddr> =
            self.answer.addresses.iter().copied().filter(|ip| !shown.contains(ip)).collect();
        if new.is_empty() {
            return None;
        }
        let pools = self.pool_names(&new);
        let from = match pools.as_slice() {
            [] => String::new(),
            [pool] => format!(" from pool {pool}"),
            pools => format!(" from pools {}", pools.join(", ")),
        };
        let message = format!("Assigned IP [{}]{from}", list(&new));
        Some(note(NoteKind::Normal, "IPAllocated", message))
    }

    fn pool_names(&self, ips: &[IpAddr]) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for pool in ips.iter().filter_map(|ip| self.pools.owner(*ip)) {
            if !names.contains(&pool.name.as_str()) {
                names.push(&pool.name);
            }
        }
        names
    }
}

fn lost_in_words(LostAddress { ip, reason }: &LostAddress) -> String {
    match reason {
        LossReason::InTheWay(blocker) => format!("{ip} is given up, since it {blocker}"),
        LossReason::AsksForOthers => format!("{ip} is given up, since the Service asks for other addresses"),
        LossReason::AsksForPool(pool) => format!("{ip} is given up, since the Service asks for pool {pool}"),
        LossReason::NotItsFamily => {
            format!("{ip} is given up, since the Service has no such family any more")
        }
        LossReason::InNoPool => format!("{ip} is given up, since no pool contains it any more"),
        LossReason::NotProvided(pool) => {
            format!("{ip} is given up, since pool {pool} does not provide it to this Service any more")
        }
        LossReason::HasAnother => format!("{ip} is given up, since the Service has another of that family"),
    }
}

fn wait_reason_in_words(wait_reason: &WaitReason) -> (&'static str, String) {
    match wait_reason {
        WaitReason::NoPools => {
            ("NoAddressPools", "no address pool is defined; create an IPAddressPool".to_owned())
        }
        WaitReason::Unreadable(names) => (
            "AddressPoolInvalid",
            format!("address pools with mistakes must be corrected first: {}", names.join(", ")),
        ),
        WaitReason::NoPoolForIt(names) => (
            "NoAddressPool",
            format!("no address pool assigns to this Service unasked; there are: {}", names.join(", ")),
        ),
        WaitReason::Exhausted { families, replacing, one_pool } => {
            let per_family = families.iter().map(|(family, pools)| exhausted(*family, pools));
            let mut why = per_family.collect::<Vec<_>>().join("; ");
            if !replacing.is_empty() {
                why = format!("{} is to be replaced: {why}", list(replacing));
            }
            if let Some(one_pool) = one_pool {
                why = format!("{why}; {one_pool}");
            }
            ("PoolExhausted", why)
        }
        WaitReason::InUse(mistakes) => {
            let each: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
            ("AddressInUse", each.join("; "))
        }
    }
}

fn exhausted(family: IpFamily, pools: &[(String, u128)]) -> String {
    if pools.is_empty() {
        return format!("no pool for this Service has {family} addresses");
    }
    let pools = pools.iter().map(|(name, count)| format!("{name} (all {count} in use)"));
    format!("no free {family} address in {}", pools.collect::<Vec<_>>().join(", "))
}

fn note(kind: NoteKind, reason: &str, message: String) -> Note {
    Note::new(kind, reason, message)
}

fn list(ips: &[IpAddr]) -> String {
    ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
