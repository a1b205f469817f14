//! Looking at what is assigned, and at what would be. Changes nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cloud_provider::{Ordered, ServiceId};
use metallb::pool::Pool;

use super::{Allocator, Basis, ServiceAddresses};
use crate::allocation::{Addresses, Allocation};
use crate::assignments::Applicant;
use crate::counters::Counters;
use crate::desired::{Handling, ObservedService};
use crate::entries::Entry;
use crate::plan::{CurrentAddresses, decide};

impl Allocator {
    /// What [`ensure`](Allocator::ensure) would answer. Changes nothing.
    pub fn preview(&self, observed: &ObservedService) -> ServiceAddresses {
        let id = self.entries.find(&observed.id.uid);
        let known = id.map(|id| &self.entries[id]).filter(|entry| !entry.is_avoided());
        let (answered, owned, outdated): (Addresses, Addresses, Addresses) = match known {
            Some(entry) => {
                let answered = self.answered_by(entry, &observed.published);
                let answered = answered.unwrap_or_else(|| entry.answered().into());
                (answered, entry.owned.clone(), entry.outdated())
            }
            None => {
                let free = |ip: &&IpAddr| self.may_take_over(**ip, id, &observed.sharing);
                let (owned, shown): (Vec<&IpAddr>, Vec<&IpAddr>) = observed.published.iter().partition(free);
                let copied = |ips: Vec<&IpAddr>| ips.into_iter().copied().collect();
                (observed.published.iter().copied().collect(), copied(owned), copied(shown))
            }
        };
        let (addresses, allocation) = match &observed.handling {
            Handling::Serve(request) => {
                let Basis { has, chosen } = Basis::new(&answered, &owned, &outdated);
                let leaving = known.map(Entry::leaving).unwrap_or_default();
                let last = self.last.of(&observed.id.key);
                let current =
                    CurrentAddresses { has: &has, chosen: &chosen, shown: &outdated, last, leaving };
                let applicant = Applicant { id, key: &observed.id.key, sharing: &observed.sharing };
                let decision = decide(self.inputs(), current, applicant, request);
                (decision.addresses, decision.allocation)
            }
            Handling::Protect | Handling::Avoid => (owned, Allocation::Served),
        };
        ServiceAddresses { addresses, allocation, outdated, lost: Vec::new() }
    }

    /// Whether anything is known of a Service.
    pub fn knows(&self, uid: &str) -> bool {
        self.entries.find(uid).is_some()
    }

    /// What a Service has, as far as anybody was told; none if it has nothing.
    pub fn get(&self, uid: &str) -> Option<Vec<IpAddr>> {
        self.entry(uid).map(Entry::held).filter(|held| !held.is_empty()).map(Addresses::into_vec)
    }

    /// How much of each pool is in use, by pool name.
    pub fn counters(&self) -> BTreeMap<String, Counters> {
        let counters = |(i, pool): (usize, &Pool)| (pool.name.clone(), self.assignments.counters(i));
        self.pools.iter().enumerate().map(counters).ordered()
    }

    /// Every Service that is served or protected, with what it has, as far as anybody was told.
    pub fn holdings(&self) -> impl Iterator<Item = (&ServiceId, Vec<IpAddr>)> {
        let entries = self.entries.iter().map(|(_, entry)| entry).filter(|entry| !entry.is_avoided());
        entries.map(|entry| (&entry.id, entry.held().into_vec()))
    }
}
