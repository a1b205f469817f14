//! Rebuilding everything from what the cluster shows.

use std::net::IpAddr;

use super::Allocator;
use crate::desired::{Handling, ObservedService};
use crate::entries::{Entry, EntryId};
use crate::wait_queue::WaitQueue;

/// In which order shown addresses are taken where two Services that do not share show the same one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Priority {
    AsksForIt,
    Serves,
    /// Who asks for what cannot be may have changed its key or ports besides: that harms nobody else.
    HasMistakes,
}

const PRIORITIES: [Priority; 3] = [Priority::AsksForIt, Priority::Serves, Priority::HasMistakes];

impl Priority {
    fn of(service: &ObservedService, ip: IpAddr) -> Self {
        match &service.handling {
            Handling::Serve(request) if request.asks_for(ip) => Priority::AsksForIt,
            Handling::Serve(_) | Handling::Avoid => Priority::Serves,
            Handling::Protect => Priority::HasMistakes,
        }
    }
}

impl Allocator {
    /// Rebuilds everything from what the cluster shows.
    ///
    /// First every shown address is taken, before anybody may ask for one; then those that need something are
    /// served in the order of [`WaitRank`](crate::wait_queue::WaitRank), oldest first. Where two Services that do not share
    /// show the same address, the one that asks for that very address keeps it, else the oldest of those without
    /// mistakes.
    pub fn resume(&mut self, services: Vec<ObservedService>) {
        self.entries.clear();
        self.ends.clear();
        self.queue = WaitQueue::default();
        self.assignments.clear();
        self.assignments.fit(&self.pools);
        let mut services = services;
        services.sort_unstable_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        let published: Vec<Vec<(IpAddr, Priority)>> = services
            .iter()
            .map(|service| service.published.iter().map(|ip| (*ip, Priority::of(service, *ip))).collect())
            .collect();
        let ids: Vec<EntryId> =
            services.into_iter().map(|service| self.entries.insert(Entry::new(service))).collect();
        for now in PRIORITIES {
            for (id, published) in ids.iter().zip(&published) {
                for (ip, _) in published.iter().filter(|(_, priority)| *priority == now) {
                    self.register(*id, *ip);
                }
            }
        }
        for (id, published) in ids.iter().zip(&published) {
            let entry = &mut self.entries[*id];
            entry.owned.sort_by_key(|ip| published.iter().position(|(shown, _)| shown == ip));
        }
        self.reallocate_all();
        self.wakeups.clear();
    }
}
