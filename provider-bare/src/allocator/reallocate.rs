//! Deciding, for one Service or for all, and carrying it out.

use std::collections::HashSet;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{IpFamily, ServiceId};

use super::{Allocator, Basis, Entry, EntryId};
use crate::allocation::{Addresses, Allocation, WaitReason};
use crate::desired::Handling;
use crate::plan::{CurrentAddresses, Decision, decide, provides};
use crate::wait_queue::{QueuePosition, Rank, WaitQueue, WaitTarget};

impl Allocator {
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
        let uid = entry.holder.id.uid.as_str();
        let outdated = entry.outdated();
        // Others see it with the ports and the key that it has now: what stays is entered anew if these changed.
        let anew = !Arc::ptr_eq(&entry.entered, &entry.holder);
        for ip in entry.owned.iter().filter(|ip| anew || !addresses.contains(ip)) {
            self.assignments.leave(&self.pools, *ip, uid);
        }
        for ip in outdated.iter().filter(|ip| addresses.contains(ip)) {
            self.assignments.leave(&self.pools, *ip, uid);
        }
        for ip in addresses.iter().filter(|ip| anew || !entry.owned.contains(ip)) {
            self.assignments.own(&self.pools, *ip, &entry.holder);
        }
        // Its status goes on showing what was answered before, until it is written.
        let given_up = |ip: &&IpAddr| !addresses.contains(ip) && entry.may_show(**ip);
        let given_up: Addresses = entry.owned.iter().filter(given_up).copied().collect();
        for ip in given_up {
            self.assignments.show(&self.pools, ip, &entry.holder);
            if !entry.shown.contains(&ip) {
                entry.shown.push(ip);
            }
        }
        let changed = entry.owned != addresses || is_news(&entry.allocation, &allocation);
        entry.entered = entry.holder.clone();
        entry.owned = addresses;
        entry.allocation = allocation;
        let waiting = (!waits_for.is_empty()).then(|| {
            let id = Arc::new(entry.holder.id.clone());
            (QueuePosition { rank, created: entry.created, id }, waits_for)
        });
        self.wait(id, waiting);
        changed
    }

    fn wait(&mut self, id: EntryId, waiting: Option<(QueuePosition, Vec<WaitTarget>)>) {
        let entry = &mut self.entries[id];
        if entry.waiting == waiting {
            return;
        }
        if let Some((position, targets)) = &entry.waiting {
            self.queue.leave(position, targets);
        }
        if let Some((position, targets)) = &waiting {
            self.queue.join(position, targets);
        }
        entry.waiting = waiting;
    }

    /// Decides for everybody again, in order.
    pub(super) fn reallocate_all(&mut self) {
        // Positions of pools in the queue may be out of date.
        self.queue = WaitQueue::default();
        self.entries.iter_mut().for_each(|(_, entry)| entry.waiting = None);
        let mut order: Vec<(Rank, i64, ServiceId, EntryId)> = self
            .entries
            .iter()
            .map(|(id, entry)| (self.rank(entry), entry.created, entry.holder.id.clone(), id))
            .collect();
        order.sort();
        for (_, _, service, id) in order {
            if self.reallocate(id) {
                self.wakeups.insert(service.key);
            }
        }
        self.serve_waiting();
    }

    /// Which place a Service has in the order, before it is decided for.
    fn rank(&self, entry: &Entry) -> Rank {
        let Handling::Serve(request) = &entry.handling else { return Rank::Pending };
        let removed = |ip: &IpAddr| !provides(self.inputs(), request, *ip);
        if request.addresses.is_some() {
            Rank::Explicit
        } else if !entry.outdated().is_empty() || entry.owned.iter().any(removed) {
            Rank::Evicted
        } else if !entry.owned.is_empty() {
            Rank::Additional
        } else {
            Rank::Pending
        }
    }

    /// Gives what became free, or fit to be joined, to those who wait for it: all of it together, so that who comes
    /// first in the queue is first whatever it needs.
    pub(super) fn serve_waiting(&mut self) {
        let mut targets: HashSet<WaitTarget> = HashSet::new();
        let mut last: Option<QueuePosition> = None;
        loop {
            while let Some(ip) = self.assignments.next_changed() {
                targets.extend(self.helped_by(ip).into_iter().filter(|target| self.queue.has(target)));
                // It may help one who was passed over.
                last = None;
            }
            targets.retain(|target| match target {
                WaitTarget::Pool(pool, family) => self.assignments.has_free(*pool, *family),
                WaitTarget::Address(_) | WaitTarget::Key(_) => true,
            });
            let Some(position) = self.queue.next(&targets, last.as_ref()).cloned() else { return };
            let Some(id) = self.by_uid.get(position.id.uid.as_str()).copied() else { return };
            if self.reallocate(id) {
                self.wakeups.insert(position.id.key.clone());
            }
            last = Some(position);
        }
    }

    /// What those wait for whom an address can help, as it is now.
    fn helped_by(&self, ip: IpAddr) -> Vec<WaitTarget> {
        let mut targets = vec![WaitTarget::Address(ip)];
        targets.extend(self.pools.site(ip).map(|site| WaitTarget::Pool(site.pool, IpFamily::of(ip))));
        targets.extend(self.assignments.key_of(ip).map(WaitTarget::Key));
        targets
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
