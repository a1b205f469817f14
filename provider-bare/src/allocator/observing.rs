//! What is taken in of a Service as it is shown, before anything is decided for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cloud_provider::Ordered;

use super::Allocator;
use crate::allocation::Addresses;
use crate::desired::{Handling, ObservedService, Sharing};
use crate::entries::{Entry, EntryId, UidHash};
use crate::plan::are_of_several_pools;

impl Allocator {
    /// Adds or updates a Service's entry without deciding anything. `hash` is its UID's hash, `known` its entry until now.
    pub(super) fn observe(
        &mut self,
        observed: ObservedService,
        hash: UidHash,
        known: Option<EntryId>,
        published: &[IpAddr],
    ) -> EntryId {
        let stays_ours =
            |id: &EntryId| !self.entries[*id].is_avoided() && !matches!(observed.handling, Handling::Avoid);
        if let Some(id) = known.filter(stays_ours) {
            self.update(id, observed.sharing, observed.handling);
            self.confirm(id, published);
            if let Some(answered) = self.answered_by(&self.entries[id], published) {
                self.entries[id].set_answered(answered);
            }
            return id;
        }
        if known.is_some() {
            // If it was somebody else's until now, what it shows is taken over, where nobody is in the way.
            self.remove_entry(&observed.id.uid);
        }
        let id = self.entries.insert_hashed(Entry::new(observed), hash);
        published.iter().for_each(|ip| self.register(id, *ip));
        id
    }

    fn update(&mut self, id: EntryId, sharing: Sharing, handling: Handling) {
        let entry = &self.entries[id];
        let is_as_before = entry.sharing == sharing;
        let protect = matches!(handling, Handling::Protect);
        let in_the_way =
            |ip: &IpAddr| self.assignments.owner_in_the_way(&self.entries, *ip, Some(id), &sharing).is_some();
        // What it has stays, and so does what others share it by.
        let stays = is_as_before || protect && entry.owned.iter().any(in_the_way);
        let entry = &mut self.entries[id];
        entry.handling = handling;
        if stays {
            return;
        }
        if !protect {
            entry.unsettled().sharing_of_now = Some(sharing);
            return;
        }
        // Nothing is decided for it, so this is the place to let its ports and key of now be known.
        for ip in &entry.owned {
            self.assignments.leave(&self.pools, *ip, id, entry.sharing.key.as_ref());
            self.assignments.own(&self.pools, *ip, id, sharing.key.as_ref());
        }
        entry.sharing = sharing;
    }

    /// Whether a Service whose status shows an address may have it: nobody owns it that would be in the way, and no other
    /// Service of ours gave it up whose status may still show it.
    pub(super) fn may_take_over(&self, ip: IpAddr, id: Option<EntryId>, sharing: &Sharing) -> bool {
        let is_anothers = |other: &EntryId| Some(*other) != id && !self.entries[*other].is_avoided();
        self.assignments.owner_in_the_way(&self.entries, ip, id, sharing).is_none()
            && (!self.assignments.owners(ip).is_empty()
                || !self.assignments.shown_by(ip).iter().any(is_anothers))
    }

    /// Takes an address that a status shows: for that Service, or out of everybody's reach.
    pub(super) fn register(&mut self, id: EntryId, ip: IpAddr) {
        let entry = &self.entries[id];
        if entry.owned.contains(&ip) || entry.shown().contains(&ip) {
            return;
        }
        let is_its = !entry.is_avoided() && self.may_take_over(ip, Some(id), &entry.sharing);
        let entry = &mut self.entries[id];
        if is_its {
            self.assignments.own(&self.pools, ip, id, entry.sharing.key.as_ref());
            entry.owned.push(ip);
        } else {
            self.assignments.show(&self.pools, ip, id);
            entry.unsettled().shown.push(ip);
        }
    }

    /// A status that shows what we last answered shows nothing else any more.
    fn confirm(&mut self, id: EntryId, published: &[IpAddr]) {
        let entry = &mut self.entries[id];
        if entry.shown().is_empty() || entry.is_avoided() {
            return;
        }
        let as_set = |ips: &[IpAddr]| ips.iter().copied().ordered::<BTreeSet<_>>();
        let answered = as_set(entry.answered());
        if as_set(published) == answered && answered == as_set(&entry.owned) {
            let outdated = entry.outdated();
            entry.unsettled().shown.clear();
            for ip in outdated {
                self.assignments.leave(&self.pools, ip, id, entry.sharing.key.as_ref());
            }
            entry.settle();
        }
    }

    /// What a Service was answered to have, now that its status shows this; none if that is no news. A status that still
    /// shows what it showed before the last answer, or what that answer gave up, was not written: then that answer is as
    /// if it had not been given. One of which nothing is shown stands, but where it could not be announced by now.
    pub(super) fn answered_by(&self, entry: &Entry, published: &[IpAddr]) -> Option<Addresses> {
        let is_its = |ip: &&IpAddr| entry.owned.contains(ip) || entry.shown().contains(ip);
        let shows_its_last_answer = published.iter().any(|ip| entry.answered().contains(ip));
        let shows_what_it_gave_up =
            published.iter().any(|ip| entry.shown().contains(ip) && !entry.answered().contains(ip));
        let answered: Addresses = published.iter().filter(is_its).copied().collect();
        let was_not_written = !shows_its_last_answer || shows_what_it_gave_up;
        let may_stand = answered.is_empty() && !are_of_several_pools(self.inputs(), entry.answered());
        (was_not_written && !may_stand).then_some(answered)
    }
}
