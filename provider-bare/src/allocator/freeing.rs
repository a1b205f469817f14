//! What becomes free: by a deletion, or since somebody else serves a Service or shows its address.

use std::mem;
use std::net::IpAddr;

use super::Allocator;
use crate::desired::ObservedService;
use crate::entries::{EntryId, UidHash};

impl Allocator {
    /// Stays away from what the status of somebody else's Service shows now, and gives what it shows no more to those who
    /// wait. One that was served until now, and is somebody else's from here on, has nothing any more.
    pub fn avoid(&mut self, observed: ObservedService) {
        let mut observed = observed;
        let published = mem::take(&mut observed.published);
        let hash = UidHash::of(&observed.id.uid);
        let known = self.entries.find_hashed(&observed.id.uid, hash);
        self.observe(observed, hash, known, &published);
        published.iter().for_each(|ip| self.choose_again(*ip));
        self.serve_waiting();
    }

    /// An address that is set aside in memory alone, and that somebody else has published by now, is chosen by nobody any
    /// more. Once any of its owners was answered it is a Service's, and stays that.
    fn choose_again(&mut self, ip: IpAddr) {
        let owners: Vec<EntryId> = self.assignments.owners(ip).to_vec();
        if owners.iter().any(|id| self.entries[*id].may_show(ip)) {
            return;
        }
        for id in &owners {
            let entry = &mut self.entries[*id];
            entry.owned.retain(|owned| *owned != ip);
            self.assignments.leave(&self.pools, ip, *id, entry.sharing.key.as_ref());
        }
        for id in owners {
            self.reallocate(id);
            self.wakeups.insert(self.entries[id].id.key.clone());
        }
    }

    /// Forgets a Service and frees what it had.
    pub fn delete(&mut self, uid: &str) {
        self.remove_entry(uid);
        self.serve_waiting();
    }

    pub(super) fn remove_entry(&mut self, uid: &str) {
        let Some((id, entry)) = self.entries.remove(uid) else { return };
        if let Some((position, targets)) = entry.waiting() {
            self.queue.leave(position, targets);
        }
        for ip in entry.owned.iter().chain(entry.shown()) {
            self.assignments.leave(&self.pools, *ip, id, entry.sharing.key.as_ref());
        }
        for leaving in entry.leaving() {
            self.ends.remove(&(leaving.until, id));
        }
        let held = entry.held();
        if !held.is_empty() && !entry.is_avoided() {
            self.last.remember(&entry.id.key, held);
        }
        self.wakeups.remove(&entry.id.key);
    }
}
