//! What changes for everybody: pools, namespaces, and the end of a grace period.

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use cloud_provider::Ordered;
use metallb::pools::Pools;
use metallb::selector::Labels;

use super::Allocator;
use crate::plan::Namespaces;

impl Allocator {
    /// Puts other pools in force.
    pub fn set_pools(&mut self, pools: Pools) {
        if pools == self.pools {
            return;
        }
        let before = mem::replace(&mut self.pools, pools);
        self.assignments.fit(&self.pools);
        self.reallocate_all();
        // Who has its address from a pool of another name now is to be told so.
        let name = |pools: &Pools, ip: IpAddr| pools.owner(ip).map(|pool| pool.name.clone());
        for (_, entry) in self.entries.iter().filter(|(_, entry)| !entry.is_avoided()) {
            if entry.owned.iter().any(|ip| name(&before, *ip) != name(&self.pools, *ip)) {
                self.wakeups.insert(entry.id.key.clone());
            }
        }
    }

    /// Replaces all that is known of namespaces.
    pub fn set_namespaces(&mut self, namespaces: Namespaces) {
        let before = mem::replace(&mut self.namespaces, namespaces);
        let names: BTreeSet<&String> = before.keys().chain(self.namespaces.keys()).ordered();
        if names.iter().any(|name| self.opens_differently(name, before.get(*name))) {
            self.reallocate_all();
        }
    }

    /// Takes note of one namespace's labels; none: it is gone. Costs nothing where no pool selects by them.
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        let before = match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        if self.opens_differently(name, before.as_ref()) {
            self.reallocate_all();
        }
    }

    /// Whether some pool was open to the namespace and is not any more, or the other way round.
    fn opens_differently(&self, namespace: &str, before: Option<&Labels>) -> bool {
        let now = self.namespaces.get(namespace);
        let mut conditions = self.pools.iter().filter_map(|pool| pool.allowed_services.as_ref());
        conditions.any(|allowed| {
            allowed.allows_namespace(namespace, before) != allowed.allows_namespace(namespace, now)
        })
    }

    /// When the next grace period ends: [`end_graces`](Allocator::end_graces) is to be called then.
    pub fn next_end(&self) -> Option<Duration> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Decides again where a grace period is over by [now](Allocator::set_now).
    pub fn end_graces(&mut self) {
        if self.next_end().is_some_and(|end| end <= self.now) {
            self.reallocate_all();
        }
    }
}
