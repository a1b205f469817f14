//! Who waits, and who is served when: all of them in order when pools change, and those whom it helps when something becomes
//! free.

use std::collections::HashSet;
use std::net::IpAddr;

use cloud_provider::{IpFamily, ServiceId};

use super::{Allocator, applicant};
use crate::desired::Handling;
use crate::entries::{Entry, EntryId};
use crate::plan::provides;
use crate::wait_queue::{QueuePosition, WaitQueue, WaitRank, WaitTarget};

impl Allocator {
    /// Waits for this, or for nothing any more.
    pub(super) fn wait(&mut self, id: EntryId, waiting: Option<(QueuePosition, Vec<WaitTarget>)>) {
        let entry = &mut self.entries[id];
        if entry.waiting() != waiting.as_ref() {
            if let Some((position, targets)) = entry.waiting() {
                self.queue.leave(position, targets);
            }
            if let Some((position, targets)) = &waiting {
                self.queue.join(position, targets);
            }
            entry.unsettled().waiting = waiting;
        }
        entry.settle();
    }

    /// Decides for everybody again, in order.
    pub(super) fn reallocate_all(&mut self) {
        // Positions of pools in the queue may be out of date.
        self.queue = WaitQueue::default();
        for entry in self.entries.iter_mut().filter(|entry| entry.waiting().is_some()) {
            entry.unsettled().waiting = None;
            entry.settle();
        }
        let mut order: Vec<(WaitRank, i64, ServiceId, EntryId)> = self
            .entries
            .iter()
            .map(|(id, entry)| (self.rank(id, entry), entry.created, entry.id.clone(), id))
            .collect();
        order.sort_unstable();
        for (_, _, service, id) in order {
            if self.reallocate(id) {
                self.wakeups.insert(service.key);
            }
        }
        self.serve_waiting();
    }

    /// Which place a Service has in the order, before it is decided for.
    fn rank(&self, id: EntryId, entry: &Entry) -> WaitRank {
        let Handling::Serve(request) = &entry.handling else { return WaitRank::Pending };
        let removed = |ip: &IpAddr| !provides(self.inputs(), applicant(id, entry), request, *ip);
        if request.addresses.is_some() {
            WaitRank::Explicit
        } else if !entry.outdated().is_empty() || entry.owned.iter().any(removed) {
            WaitRank::Evicted
        } else if !entry.owned.is_empty() {
            WaitRank::Additional
        } else {
            WaitRank::Pending
        }
    }

    /// Gives what became free, or fit to be joined, to those who wait for it: all of it together, so that who comes
    /// first in the queue is first whatever it needs.
    pub(super) fn serve_waiting(&mut self) {
        if self.queue.is_empty() {
            self.assignments.forget_changed();
            return;
        }
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
            let Some(id) = self.entries.find(&position.id.uid) else { return };
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
        targets.extend(self.assignments.key_of(&self.entries, ip).map(WaitTarget::Key));
        targets
    }
}
