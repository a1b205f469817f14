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
//!   [`WaitRank`](crate::wait_queue::WaitRank)'s, then the oldest first.
//! * A step costs the same whatever the size of the pools.

mod by_uid;
mod freeing;
mod last_addresses;
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
use slab::Slab;

use crate::allocation::{Addresses, Allocation, LostAddress, WaitReason};
use crate::assignments::{Assignments, Holder, Reuse};
use crate::desired::{Handling, ObservedService, Sharing};
use crate::maps::UidMap;
use crate::plan::{
    CurrentAddresses, Decision, Inputs, LeavingAddress, Namespaces, Policy, are_of_several_pools, decide,
    why_lost,
};
use crate::wait_queue::{QueuePosition, WaitQueue, WaitTarget};
use by_uid::ByUid;
use last_addresses::LastAddresses;

/// Which entry of the allocator is a Service's, for as long as the Service is known.
type EntryId = usize;

/// What an allocator knows of one Service.
#[derive(Clone, Debug)]
struct Entry {
    holder: Arc<Holder>,
    /// The holder under which the books have what it owns: an earlier one, if its ports or key changed since.
    entered: Arc<Holder>,
    created: i64,
    handling: Handling,
    /// What is its own, in publishing order.
    owned: Addresses,
    /// What its status may show besides what it was last answered: an earlier answer, or what is another's. If a decision
    /// takes it back, it stays here until that is answered too, for the next decision may give it up again.
    shown: Addresses,
    /// What it was last answered to have, so that its status may show it: what the next decision starts from, whether
    /// or not a decision since then, of which nobody was told, set something else aside.
    answered: Addresses,
    /// What of that no pool provides any more, and until when it is kept all the same.
    leaving: Vec<LeavingAddress>,
    allocation: Allocation,
    waiting: Option<(QueuePosition, Vec<WaitTarget>)>,
}

impl Entry {
    fn new(holder: Holder, created: i64, handling: Handling) -> Self {
        let holder = Arc::new(holder);
        Entry {
            entered: holder.clone(),
            holder,
            created,
            handling,
            owned: Addresses::new(),
            shown: Addresses::new(),
            answered: Addresses::new(),
            leaving: Vec::new(),
            allocation: Allocation::Served,
            waiting: None,
        }
    }

    /// What it was answered to have, now that its status shows this; none if that is no news. A status that still
    /// shows what it showed before the last answer, or what that answer gave up, was not written: then that answer is as
    /// if it had not been given. One of which nothing is shown stands, but where it could not be announced by now.
    fn answered_by(&self, published: &[IpAddr], inputs: Inputs<'_>) -> Option<Addresses> {
        let is_its = |ip: &&IpAddr| self.owned.contains(ip) || self.shown.contains(ip);
        let shows_its_last_answer = published.iter().any(|ip| self.answered.contains(ip));
        let shows_what_it_gave_up =
            published.iter().any(|ip| self.shown.contains(ip) && !self.answered.contains(ip));
        let answered: Addresses = published.iter().filter(is_its).copied().collect();
        let was_not_written = !shows_its_last_answer || shows_what_it_gave_up;
        let may_stand = answered.is_empty() && !are_of_several_pools(inputs, &self.answered);
        (was_not_written && !may_stand).then_some(answered)
    }

    /// What it owns and was answered. What is set aside for it in memory alone does not exist for anybody yet.
    fn held(&self) -> Vec<IpAddr> {
        self.owned.iter().copied().filter(|ip| self.may_show(*ip)).collect()
    }

    /// Whether its status may show it.
    fn may_show(&self, ip: IpAddr) -> bool {
        self.answered.contains(&ip) || self.shown.contains(&ip)
    }

    /// What its status may show though it is not its own (any longer).
    fn outdated(&self) -> Addresses {
        those(&self.shown, |ip| !self.owned.contains(ip))
    }

    fn is_avoided(&self) -> bool {
        matches!(self.handling, Handling::Avoid)
    }
}

/// Those of these addresses: mostly none of none, which costs next to nothing.
fn those(addresses: &[IpAddr], which: impl Fn(&IpAddr) -> bool) -> Addresses {
    let mut those = Addresses::new();
    addresses.iter().filter(|ip| which(ip)).for_each(|ip| those.push(*ip));
    those
}

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
    entries: Slab<Entry>,
    by_uid: UidMap<ByUid, EntryId>,
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
        let mut observed = observed;
        let published = mem::take(&mut observed.published);
        let id = self.observe(observed, &published);
        self.reallocate(id);
        self.serve_waiting();
        let lost = self.lost(id, &published);
        let entry = &mut self.entries[id];
        entry.answered = Addresses::from_slice(&entry.owned);
        if !entry.shown.is_empty() {
            entry.shown = entry.outdated();
        }
        // It is answered now; no need to wake it for what it hears.
        self.wakeups.remove(&entry.holder.id.key);
        ServiceAddresses {
            addresses: Addresses::from_slice(&entry.owned),
            allocation: entry.allocation.clone(),
            outdated: Addresses::from_slice(&entry.shown),
            lost,
        }
    }

    fn lost(&self, id: EntryId, published: &[IpAddr]) -> Vec<LostAddress> {
        let Entry { handling: Handling::Serve(request), owned, .. } = &self.entries[id] else {
            return Vec::new();
        };
        let lost = published.iter().copied().filter(|ip| !owned.contains(ip));
        lost.map(|ip| LostAddress { ip, reason: why_lost(self.inputs(), request, ip) }).collect()
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            pools: &self.pools,
            namespaces: &self.namespaces,
            assignments: &self.assignments,
            policy: self.policy,
            now: self.now,
        }
    }

    fn entry(&self, uid: &str) -> Option<&Entry> {
        self.by_uid.get(uid).map(|id| &self.entries[*id])
    }

    /// Decides for one Service again and carries it out. Says whether anything about it changed.
    pub(super) fn reallocate(&mut self, id: EntryId) -> bool {
        let entry = &self.entries[id];
        let Handling::Serve(request) = &entry.handling else {
            self.wait(id, None);
            return false;
        };
        let outdated = entry.outdated();
        let Basis { has, chosen } = Basis::new(&entry.answered, &entry.owned, &outdated);
        let current = CurrentAddresses {
            has: &has,
            chosen: &chosen,
            shown: &outdated,
            last: self.last.of(&entry.holder.id.key),
            leaving: &entry.leaving,
        };
        let decision = decide(self.inputs(), current, request);
        self.apply_decision(id, decision)
    }

    fn apply_decision(&mut self, id: EntryId, decision: Decision) -> bool {
        let Decision { addresses, allocation, rank, waits_for, leaving } = decision;
        let entry = &mut self.entries[id];
        if entry.leaving != leaving {
            for over in mem::replace(&mut entry.leaving, leaving) {
                self.ends.remove(&(over.until, id));
            }
            let ends = entry.leaving.iter().map(|leaving| leaving.until).filter(|until| *until > self.now);
            self.ends.extend(ends.map(|until| (until, id)));
        }
        let changed = entry.owned != addresses || is_news(&entry.allocation, &allocation);
        // Others see it with the ports and the key that it has now: what stays is entered anew if these changed.
        let anew = !Arc::ptr_eq(&entry.entered, &entry.holder);
        if entry.owned.is_empty() && entry.shown.is_empty() {
            addresses.iter().for_each(|ip| self.assignments.own(&self.pools, *ip, &entry.holder));
        } else {
            let uid: &str = &entry.holder.id.uid;
            for ip in entry.owned.iter().filter(|ip| anew || !addresses.contains(ip)) {
                self.assignments.leave(&self.pools, *ip, uid);
            }
            for ip in entry.outdated().iter().filter(|ip| addresses.contains(ip)) {
                self.assignments.leave(&self.pools, *ip, uid);
            }
            for ip in addresses.iter().filter(|ip| anew || !entry.owned.contains(ip)) {
                self.assignments.own(&self.pools, *ip, &entry.holder);
            }
            // Its status goes on showing what was answered before, until it is written.
            let given_up = |ip: &IpAddr| !addresses.contains(ip) && entry.may_show(*ip);
            for ip in those(&entry.owned, given_up) {
                self.assignments.show(&self.pools, ip, &entry.holder);
                if !entry.shown.contains(&ip) {
                    entry.shown.push(ip);
                }
            }
        }
        if anew {
            entry.entered = entry.holder.clone();
        }
        entry.owned = addresses;
        entry.allocation = allocation;
        let waiting = (!waits_for.is_empty()).then(|| {
            let id = Arc::new(entry.holder.id.clone());
            (QueuePosition { rank, created: entry.created, id }, waits_for)
        });
        self.wait(id, waiting);
        changed
    }

    /// Services that stand otherwise by somebody else's doing since the last call.
    pub fn take_wakeups(&mut self) -> Vec<ServiceKey> {
        mem::take(&mut self.wakeups).into_iter().collect()
    }

    /// Adds or updates a Service's entry without deciding anything.
    fn observe(&mut self, observed: ObservedService, published: &[IpAddr]) -> EntryId {
        let uid: &str = &observed.id.uid;
        let known = self.by_uid.get(uid).copied();
        let stays_ours =
            |id: &EntryId| !self.entries[*id].is_avoided() && !matches!(observed.handling, Handling::Avoid);
        if let Some(id) = known.filter(stays_ours) {
            self.update(id, observed.sharing, observed.handling);
            self.confirm(id, published);
            if let Some(answered) = self.entries[id].answered_by(published, self.inputs()) {
                self.entries[id].answered = answered;
            }
            return id;
        }
        if known.is_some() {
            // If it was somebody else's until now, what it shows is taken over, where nobody is in the way.
            self.remove_entry(uid);
        }
        let id = self.insert(observed);
        published.iter().for_each(|ip| self.register(id, *ip));
        let entry = &mut self.entries[id];
        entry.answered = Addresses::from_slice(&entry.owned);
        id
    }

    fn insert(&mut self, observed: ObservedService) -> EntryId {
        let ObservedService { id, created, sharing, handling, .. } = observed;
        let entry = Entry::new(Holder { id, sharing }, created, handling);
        let by_uid = ByUid(entry.holder.clone());
        let id = self.entries.insert(entry);
        self.by_uid.insert(by_uid, id);
        id
    }

    fn update(&mut self, id: EntryId, sharing: Sharing, handling: Handling) {
        let entry = &mut self.entries[id];
        entry.handling = handling;
        if entry.holder.sharing == sharing {
            return;
        }
        let uid: &str = &entry.holder.id.uid;
        let protect = matches!(entry.handling, Handling::Protect);
        let in_the_way = |ip: &IpAddr| self.assignments.owner_in_the_way(*ip, uid, &sharing).is_some();
        if protect && entry.owned.iter().any(in_the_way) {
            // What it has stays, and so does what others share it by.
            return;
        }
        entry.holder = Arc::new(Holder { id: entry.holder.id.clone(), sharing });
        if protect {
            // Nothing is decided for it, so this is the place to let its ports and key of now be known.
            for ip in &entry.owned {
                self.assignments.leave(&self.pools, *ip, &entry.holder.id.uid);
                self.assignments.own(&self.pools, *ip, &entry.holder);
            }
            entry.entered = entry.holder.clone();
        }
    }

    /// Whether a Service whose status shows an address may have it: nobody owns it that would be in the way, and no other
    /// Service of ours gave it up whose status may still show it.
    fn may_take_over(&self, ip: IpAddr, uid: &str, sharing: &Sharing) -> bool {
        let is_anothers = |holder: &Arc<Holder>| {
            let other: &str = &holder.id.uid;
            other != uid && self.entry(other).is_some_and(|entry| !entry.is_avoided())
        };
        self.assignments.owner_in_the_way(ip, uid, sharing).is_none()
            && (!self.assignments.owners(ip).is_empty()
                || !self.assignments.shown_by(ip).iter().any(is_anothers))
    }

    /// Takes an address that a status shows: for that Service, or out of everybody's reach.
    fn register(&mut self, id: EntryId, ip: IpAddr) {
        let entry = &self.entries[id];
        if entry.owned.contains(&ip) || entry.shown.contains(&ip) {
            return;
        }
        let Holder { id: service, sharing } = &*entry.holder;
        let is_its = !entry.is_avoided() && self.may_take_over(ip, &service.uid, sharing);
        let entry = &mut self.entries[id];
        if is_its {
            self.assignments.own(&self.pools, ip, &entry.holder);
            entry.owned.push(ip);
        } else {
            self.assignments.show(&self.pools, ip, &entry.holder);
            entry.shown.push(ip);
        }
    }

    /// A status that shows what we last answered shows nothing else any more.
    fn confirm(&mut self, id: EntryId, published: &[IpAddr]) {
        let entry = &mut self.entries[id];
        if entry.shown.is_empty() || entry.is_avoided() {
            return;
        }
        let as_set = |ips: &[IpAddr]| ips.iter().copied().collect::<BTreeSet<_>>();
        let answered = as_set(&entry.answered);
        if as_set(published) == answered && answered == as_set(&entry.owned) {
            let outdated = entry.outdated();
            entry.shown.clear();
            for ip in outdated {
                self.assignments.leave(&self.pools, ip, &entry.holder.id.uid);
            }
        }
    }
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
