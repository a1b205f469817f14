//! Who gets which address: the whole state in memory, and the few ways in which it changes.
//!
//! Pure: no clock (it is told the time), no IO, no randomness. The same Services and pools in the same order of events
//! lead to the same addresses, and after a [resume](Allocator::resume) the order of events does not matter either.
//!
//! # Guarantees
//!
//! * An address belongs to one Service, or to several that share it.
//! * An address that a status may still show is given to nobody else.
//! * What a Service has, it keeps, until it asks for something else or its pool no longer provides it and the grace
//!   period is over; and then it gets the new address before it loses the old.
//! * A Service that comes back, under its name, gets the address that it had, if that is free.
//! * Nobody waits while an address it could use is free; among those who wait, the order is
//!   [`WaitRank`]'s, then the oldest first.
//! * A step costs the same whatever the size of the pools.

mod freeing;
mod last_addresses;
mod observing;
mod pool_changes;
mod reading;
mod resume;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::ServiceKey;
use metallb::pools::Pools;

use crate::allocation::{Addresses, Allocation, LostAddress, WaitReason};
use crate::assignments::{Applicant, Assignments, FirstFree, Reuse};
use crate::desired::{Handling, ObservedService};
use crate::entries::{Entries, Entry, EntryId, LeavingAddress, UidHash, only, those};
use crate::plan::{CurrentAddresses, Decision, Inputs, Namespaces, Policy, decide, decide_at_once, why_lost};
use crate::wait_queue::{QueuePosition, WaitQueue, WaitRank, WaitTarget};
use last_addresses::LastAddresses;

/// What a decision for a Service starts from. A choice that nobody was told of is no state: it is only the first to be
/// asked when a choice is to be made again.
struct Basis {
    has: Addresses,
    chosen: Addresses,
}

impl Basis {
    fn new(answered: &[IpAddr], owned: &[IpAddr], shown: &[IpAddr]) -> Self {
        let is_its = |ip: &IpAddr| owned.contains(ip) || shown.contains(ip);
        Basis { has: those(answered, is_its), chosen: those(owned, |ip| !answered.contains(ip)) }
    }
}

/// The allocator.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    policy: Policy,
    pools: Pools,
    namespaces: Namespaces,
    now: Duration,
    assignments: Assignments,
    entries: Entries,
    queue: WaitQueue,
    wakeups: BTreeSet<ServiceKey>,
    /// When a grace period ends, and whose.
    ends: BTreeSet<(Duration, EntryId)>,
    last: LastAddresses,
}

/// The addresses of a Service, as [`ensure`](Allocator::ensure) answers.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceAddresses {
    /// Its addresses, in publishing order.
    pub addresses: Addresses,
    /// How it came to them, or why it has no more.
    pub allocation: Allocation,
    /// Addresses that its status showed when it was last seen, and that are not its own: they are free for others
    /// once a status without them is seen.
    pub outdated: Addresses,
    /// Which addresses of its status it has lost, and why.
    pub lost: Vec<LostAddress>,
}

impl Allocator {
    /// An allocator without pools and Services.
    pub fn new(policy: Policy) -> Self {
        Allocator { policy, ..Allocator::default() }
    }

    /// Uses addresses again in this order.
    pub fn reusing(self, reuse: Reuse) -> Self {
        Allocator { assignments: Assignments::new(reuse), ..self }
    }

    /// Tells it the time, counted from any moment that stays the same. It never goes back.
    pub fn set_now(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// The pools in force.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Serves a Service, newly seen or changed, and says what it has.
    pub fn ensure(&mut self, observed: ObservedService) -> ServiceAddresses {
        let hash = UidHash::of(&observed.id.uid);
        let known = self.entries.find_hashed(&observed.id.uid, hash);
        if known.is_none()
            && let Some(found) = self.at_once(&observed)
        {
            return self.serve_at_once(observed, hash, found);
        }
        let mut observed = observed;
        let published = mem::take(&mut observed.published);
        let id = self.observe(observed, hash, known, &published);
        self.reallocate(id);
        self.serve_waiting();
        let lost = self.lost(id, &published);
        let entry = &mut self.entries[id];
        entry.answer();
        // It is answered now; no need to wake it for what it hears.
        self.wakeups.remove(&entry.id.key);
        ServiceAddresses {
            addresses: Addresses::from_slice(&entry.owned),
            allocation: entry.allocation().clone(),
            outdated: Addresses::from_slice(entry.shown()),
            lost,
        }
    }

    /// What a Service that is not known gets without more ado; none if it takes more to find out.
    fn at_once(&self, observed: &ObservedService) -> Option<FirstFree> {
        let Handling::Serve(request) = &observed.handling else { return None };
        let key = &observed.id.key;
        if !observed.published.is_empty() || !self.last.of(key).is_empty() {
            return None;
        }
        decide_at_once(self.inputs(), Applicant { id: None, key, sharing: &observed.sharing }, request)
    }

    /// Enters a Service with the first free address of a pool. It shares it with nobody, so that there is nothing in this
    /// for those who wait.
    fn serve_at_once(
        &mut self,
        observed: ObservedService,
        hash: UidHash,
        found: FirstFree,
    ) -> ServiceAddresses {
        self.wakeups.remove(&observed.id.key);
        let id = self.entries.insert_hashed(Entry::served(observed, found.ip), hash);
        self.assignments.own_first(found, id);
        ServiceAddresses {
            addresses: only(found.ip),
            allocation: Allocation::Served,
            outdated: Addresses::new(),
            lost: Vec::new(),
        }
    }

    fn lost(&self, id: EntryId, published: &[IpAddr]) -> Vec<LostAddress> {
        let entry = &self.entries[id];
        let Handling::Serve(request) = &entry.handling else { return Vec::new() };
        let why = |ip| why_lost(self.inputs(), applicant(id, entry), request, ip);
        let lost = published.iter().copied().filter(|ip| !entry.owned.contains(ip));
        lost.map(|ip| LostAddress { ip, reason: why(ip) }).collect()
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            pools: &self.pools,
            namespaces: &self.namespaces,
            assignments: &self.assignments,
            entries: &self.entries,
            policy: self.policy,
            now: self.now,
        }
    }

    fn entry(&self, uid: &str) -> Option<&Entry> {
        self.entries.find(uid).map(|id| &self.entries[id])
    }

    /// Decides for one Service again and carries it out. Says whether anything about it changed.
    pub(super) fn reallocate(&mut self, id: EntryId) -> bool {
        let entry = &self.entries[id];
        let Handling::Serve(request) = &entry.handling else {
            self.wait(id, None);
            return false;
        };
        let outdated = entry.outdated();
        let Basis { has, chosen } = Basis::new(entry.answered(), &entry.owned, &outdated);
        let current = CurrentAddresses {
            has: &has,
            chosen: &chosen,
            shown: &outdated,
            last: self.last.of(&entry.id.key),
            leaving: entry.leaving(),
        };
        let decision = decide(self.inputs(), current, applicant(id, entry), request);
        self.apply_decision(id, decision)
    }

    fn apply_decision(&mut self, id: EntryId, decision: Decision) -> bool {
        let Decision { addresses, allocation, rank, waits_for, leaving } = decision;
        let entry = &mut self.entries[id];
        let changed = entry.owned != addresses || is_news(entry.allocation(), &allocation);
        let stays_settled = entry.is_settled()
            && matches!(allocation, Allocation::Served)
            && waits_for.is_empty()
            && leaving.is_empty();
        self.exchange(id, addresses);
        if !stays_settled {
            self.note_unsettled(id, allocation, rank, waits_for, leaving);
        }
        changed
    }

    /// Enters what a Service has from now on in place of what it had.
    fn exchange(&mut self, id: EntryId, addresses: Addresses) {
        let entry = &mut self.entries[id];
        // Others see it with the ports and the key that it has now: what stays is entered anew if these changed.
        let of_now = if entry.is_settled() { None } else { entry.unsettled().sharing_of_now.take() };
        let anew = of_now.is_some();
        let key = entry.sharing.key.as_ref();
        for ip in entry.owned.iter().filter(|ip| anew || !addresses.contains(ip)) {
            self.assignments.leave(&self.pools, *ip, id, key);
        }
        for ip in entry.outdated().iter().filter(|ip| addresses.contains(ip)) {
            self.assignments.leave(&self.pools, *ip, id, key);
        }
        if let Some(of_now) = of_now {
            entry.sharing = of_now;
        }
        let key = entry.sharing.key.as_ref();
        for ip in addresses.iter().filter(|ip| anew || !entry.owned.contains(ip)) {
            self.assignments.own(&self.pools, *ip, id, key);
        }
        // Its status goes on showing what was answered before, until it is written.
        let given_up = |ip: &IpAddr| !addresses.contains(ip) && entry.may_show(*ip);
        for ip in those(&entry.owned, given_up) {
            self.assignments.show(&self.pools, ip, id);
            let shown = &mut entry.unsettled().shown;
            if !shown.contains(&ip) {
                shown.push(ip);
            }
        }
        entry.exchange(addresses);
    }

    /// Takes note of what of a decision is not for all time.
    fn note_unsettled(
        &mut self,
        id: EntryId,
        allocation: Allocation,
        rank: WaitRank,
        waits_for: Vec<WaitTarget>,
        leaving: Vec<LeavingAddress>,
    ) {
        let entry = &mut self.entries[id];
        if entry.leaving() != leaving {
            for over in mem::replace(&mut entry.unsettled().leaving, leaving) {
                self.ends.remove(&(over.until, id));
            }
            let ends = entry.leaving().iter().map(|leaving| leaving.until).filter(|until| *until > self.now);
            self.ends.extend(ends.map(|until| (until, id)));
        }
        entry.unsettled().allocation = allocation;
        let waiting = (!waits_for.is_empty()).then(|| {
            let id = Arc::new(entry.id.clone());
            (QueuePosition { rank, created: entry.created, id }, waits_for)
        });
        self.wait(id, waiting);
    }

    /// Services that stand otherwise by somebody else's doing since the last call.
    pub fn take_wakeups(&mut self) -> Vec<ServiceKey> {
        mem::take(&mut self.wakeups).into_iter().collect()
    }
}

/// A Service that is known, as one who asks for an address.
fn applicant(id: EntryId, entry: &Entry) -> Applicant<'_> {
    Applicant { id: Some(id), key: &entry.id.key, sharing: entry.sharing_of_now() }
}

/// Whether a Service is worth waking for it: it stands otherwise, or somebody else is in its way.
fn is_news(before: &Allocation, after: &Allocation) -> bool {
    match (before, after) {
        (Allocation::Waiting(WaitReason::InUse(before)), Allocation::Waiting(WaitReason::InUse(after))) => {
            before != after
        }
        (Allocation::Waiting(before), Allocation::Waiting(after)) => {
            mem::discriminant(before) != mem::discriminant(after)
        }
        _ => mem::discriminant(before) != mem::discriminant(after),
    }
}
