//! Random histories of Services and pools. Whatever happens in whatever order, the invariants hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cloud_provider::testing::a_service_named;
use cloud_provider::{CloudLoadBalancer, Ingress, IpFamily, ServiceKey, ServiceView};
use metallb::pool::Definition;
use proptest::collection::vec;
use proptest::prelude::*;
use provider_bare::BareConfig;
use provider_bare::assignments::Reuse;
use provider_bare::plan::{AnnouncerKind, Policy, RemovedAddress};

use crate::events::{Event, Versions, Wish, event, pools};
use crate::oracle::{Oracle, is_mistaken, may_share};
use crate::support::{Cluster, now};

/// A cluster, and what the invariants need to know of its past.
struct History {
    cluster: Cluster,
    policy: Policy,
    slots: BTreeMap<usize, ServiceKey>,
    generation: usize,
    lose: usize,
    /// Services that changed since the controller last saw to them.
    stale: BTreeSet<ServiceKey>,
    /// What another writer published though one of ours had it, or in the status of one of ours.
    contested: BTreeSet<IpAddr>,
}

impl History {
    fn new(policy: Policy, pools: Vec<Definition>) -> Self {
        // Whatever the order in which addresses are used again, nothing else may differ.
        let reuse = if pools.len().is_multiple_of(2) { Reuse::Lowest } else { Reuse::LongestFree };
        let Policy { removed_address, pool_grace, announcer } = policy;
        let mut config = BareConfig::default();
        config.removed_address = removed_address;
        config.pool_grace = pool_grace;
        config.announcer = announcer;
        config.reuse = reuse;
        History {
            cluster: Cluster::with(config, pools),
            policy,
            slots: BTreeMap::new(),
            generation: 0,
            lose: 0,
            stale: BTreeSet::new(),
            contested: BTreeSet::new(),
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Apply(slot, wish) => self.apply(*slot, wish),
            Event::Delete(slot) => self.delete(*slot),
            Event::Recreate(slot, wish) => {
                self.delete(*slot);
                let generation = self.next_generation();
                self.put(*slot, wish.service(*slot, generation));
            }
            Event::Pools(pools) => {
                self.cluster.set_pools(pools.definitions());
            }
            Event::PassingPools(first, then) => {
                self.cluster.set_pools(first.definitions());
                self.cluster.set_pools(then.definitions());
            }
            Event::DefinitionVanishes => {
                let mut left = self.cluster.definitions();
                while left.pop().is_some() {
                    self.cluster.set_pools(left.clone());
                }
            }
            Event::LoseWrites(count) => self.lose = *count,
            Event::Outage(pools, wishes) => {
                // What the provider was about to say is said to nobody.
                for key in self.slots.values().cloned().collect::<Vec<_>>() {
                    let _ = self.cluster.ensure(&key);
                }
                wishes.iter().for_each(|(slot, wish)| self.apply(*slot, wish));
                self.cluster.set_pools(pools.definitions());
            }
            Event::OverwriteStatus(slot, last) => {
                if let Some(service) = self.slots.get(slot).and_then(|key| self.cluster.services.get_mut(key))
                {
                    let ip = IpAddr::from([10, 0, 0, *last]);
                    service.published = vec![Ingress::ip(ip)];
                    self.contested.insert(ip);
                    self.stale.insert(service.id.key.clone());
                }
            }
            Event::Foreign(slot, last) => self.foreign(*slot, *last),
            Event::Clear(slot) => {
                if let Some(service) = self.slots.get(slot).and_then(|key| self.cluster.services.get_mut(key))
                {
                    service.published.clear();
                    self.stale.insert(service.id.key.clone());
                }
            }
            Event::Work(slots) => {
                for key in slots.iter().filter_map(|slot| self.slots.get(slot)).cloned().collect::<Vec<_>>() {
                    self.reconcile(&key);
                }
            }
            // Time that ends no grace period.
            Event::Pass => self.cluster.pass(self.policy.pool_grace / 3),
            Event::Settle => {
                // However often pools changed since anybody was told: what counts is what is shown, and the pools of now.
                let before = self.undisturbed(rightly_shown(self));
                self.settle();
                still_shown(self, before);
            }
            Event::Restart => {
                // A new process finds what a user's change made double, and it may be the other's turn to move.
                let doubled: Vec<ServiceKey> =
                    self.doubled().flat_map(|(a, b, _)| [a.id.key.clone(), b.id.key.clone()]).collect();
                self.stale.extend(doubled);
                self.cluster.restart();
            }
        }
    }

    fn apply(&mut self, slot: usize, wish: &Wish) {
        let generation = match self.slots.get(&slot).and_then(|key| self.cluster.services.get(key)) {
            Some(before) => before.id.uid.split('-').nth(1).unwrap().parse().unwrap(),
            None => self.next_generation(),
        };
        let service = wish.service(slot, generation);
        if self.slots.get(&slot).is_some_and(|key| *key != service.id.key) {
            // A namespace cannot change: it is another Service.
            self.delete(slot);
        }
        self.put(slot, service);
    }

    fn foreign(&mut self, slot: usize, last: Option<u8>) {
        let published = last.map(|last| Ingress::ip(IpAddr::from([10, 0, 0, last])));
        let held = now(self.cluster.provider.list()).expect("it is known in memory");
        let is_held = |ip: &IpAddr| held.iter().any(|held| held.resource == ip.to_string());
        // What is about to move is no longer held, and stays with whoever shows it until the move is told.
        let is_shown = |ip: &IpAddr| {
            let mut ours = self.services().filter(|service| self.cluster.is_ours(service));
            ours.any(|service| service.published_ips().any(|shown| shown == *ip))
        };
        let contested = published.iter().filter_map(|entry| entry.ip);
        let contested: Vec<IpAddr> = contested.filter(|ip| is_held(ip) || is_shown(ip)).collect();
        self.contested.extend(contested);
        let foreign = a_service_named("foreign", &format!("f{slot}")).uid(&format!("foreign-{slot}"));
        self.cluster.foreign(foreign.class("somebody.else/lb").published(published));
    }

    fn next_generation(&mut self) -> usize {
        self.generation += 1;
        self.generation
    }

    fn put(&mut self, slot: usize, service: ServiceView) {
        let key = self.cluster.put(service);
        self.stale.insert(key.clone());
        self.slots.insert(slot, key);
    }

    fn delete(&mut self, slot: usize) {
        if let Some(key) = self.slots.remove(&slot) {
            self.cluster.delete_key(&key);
            self.stale.remove(&key);
        }
    }

    fn reconcile(&mut self, key: &ServiceKey) {
        if self.lose > 0 {
            self.lose -= 1;
            let _ = self.cluster.ensure(key);
            return;
        }
        let before: Vec<IpAddr> = self.cluster.services[key].published_ips().collect();
        let _ = self.cluster.reconcile(key);
        self.stale.remove(key);
        let service = &self.cluster.services[key];
        let shown: Vec<IpAddr> = service.published_ips().collect();
        if shown.iter().any(|ip| !before.contains(ip)) {
            let oracle = Oracle::new(&self.cluster, self.policy);
            let right: Vec<IpAddr> = shown.into_iter().filter(|ip| oracle.is_right(service, *ip)).collect();
            assert!(oracle.may_be_had_together(&right), "{key} has {right:?} of several pools");
        }
    }

    fn settle(&mut self) {
        self.lose = 0;
        self.cluster.settle();
        self.cluster.pass(self.policy.pool_grace);
        self.cluster.settle();
        self.stale.clear();
    }

    fn services(&self) -> impl Iterator<Item = &ServiceView> {
        self.cluster.services.values()
    }

    /// No address is shown by two that do not share, unless a change of one of them is still to be looked at.
    fn no_address_is_doubled(&self) {
        // What another controller publishes, it may publish though we gave it away before.
        let ours = |service: &ServiceView| self.cluster.is_ours(service);
        for (a, b, ip) in self.doubled().filter(|(a, b, _)| ours(a) && ours(b)) {
            let stale = self.stale.contains(&a.id.key) || self.stale.contains(&b.id.key);
            // Who asks for what cannot be keeps what it had, even if it would not get it again.
            let kept = is_mistaken(a) || is_mistaken(b);
            assert!(stale || kept, "{} and {} both show {ip}", a.id, b.id);
        }
    }

    /// Those of Services that changed nothing since the controller last saw to them.
    fn undisturbed(&self, shown: Vec<(ServiceKey, IpAddr)>) -> Vec<(ServiceKey, IpAddr)> {
        shown.into_iter().filter(|(key, _)| !self.stale.contains(key)).collect()
    }

    /// Pairs of Services that show the same address and do not share.
    fn doubled(&self) -> impl Iterator<Item = (&ServiceView, &ServiceView, IpAddr)> {
        let pairs = self.services().flat_map(|a| self.services().map(move |b| (a, b)));
        pairs.filter(|(a, b)| a.id < b.id && !may_share(a, b)).filter_map(|(a, b)| {
            let both = a.published_ips().find(|ip| b.published_ips().any(|other| other == *ip))?;
            Some((a, b, both))
        })
    }

    /// What a Service of another class shows is given to nobody of ours, unless it was ours before.
    fn nothing_foreign_is_given_away(&self, before: &BTreeMap<ServiceKey, ServiceView>) {
        let is_ours = |service: &&ServiceView| self.cluster.is_ours(service);
        let shows = |service: &ServiceView, ip: IpAddr| service.published_ips().any(|shown| shown == ip);
        let foreign = self.services().filter(|service| !is_ours(service));
        let shown = foreign.flat_map(ServiceView::published_ips);
        for ip in shown.filter(|ip| !self.contested.contains(ip)) {
            let had = before.values().filter(is_ours).any(|service| shows(service, ip));
            let mut has = self.services().filter(is_ours).filter(|service| shows(service, ip));
            assert!(had || has.next().is_none(), "{ip}, which somebody else shows, was given away");
        }
    }

    /// Only when all is at rest.
    fn nobody_waits_in_vain(&self) {
        let oracle = Oracle::new(&self.cluster, self.policy);
        for service in self.services().filter(|service| self.cluster.is_ours(service)) {
            oracle.check_not_in_vain(service);
        }
    }

    /// Only when all is at rest.
    fn counters_agree_with_a_recount(&self) {
        let statuses = self.cluster.provider.pool_statuses();
        let shown: BTreeSet<IpAddr> = self.services().flat_map(ServiceView::published_ips).collect();
        for pool in self.cluster.provider.pools().iter() {
            let used = |family: IpFamily| {
                let used = shown.iter().filter(|ip| IpFamily::of(**ip) == family);
                used.filter(|ip| pool.ranges.iter().any(|range| range.contains(**ip))).count()
            };
            let status = statuses[&pool.name];
            let counted = (used(IpFamily::V4).try_into().unwrap(), used(IpFamily::V6).try_into().unwrap());
            assert_eq!((status.assigned_ipv4, status.assigned_ipv6), counted, "pool {}", pool.name);
        }
    }
}

/// What every Service shows that it may go on showing.
fn rightly_shown(history: &History) -> Vec<(ServiceKey, IpAddr)> {
    let oracle = Oracle::new(&history.cluster, history.policy);
    let shown = history.services().flat_map(|s| s.published_ips().map(move |ip| (s, ip)));
    shown.filter(|(s, ip)| oracle.is_right(s, *ip)).map(|(s, ip)| (s.id.key.clone(), ip)).collect()
}

fn still_shown(history: &History, before: Vec<(ServiceKey, IpAddr)>) {
    for (key, ip) in before {
        let service = &history.cluster.services[&key];
        assert!(service.published_ips().any(|shown| shown == ip), "{key} lost {ip}");
    }
}

fn run(policy: Policy, pools: Versions, events: Vec<Event>) {
    let mut history = History::new(policy, pools.definitions());
    for event in &events {
        let before = history.cluster.services.clone();
        history.happen(event);
        if !matches!(event, Event::OverwriteStatus(..) | Event::Foreign(..)) {
            history.nothing_foreign_is_given_away(&before);
        }
        history.no_address_is_doubled();
        if matches!(event, Event::Settle) {
            history.nobody_waits_in_vain();
            history.counters_agree_with_a_recount();
        }
    }
    // Whatever is shown and may be shown survives: a restart, and all that is still to be done. (May be shown by
    // the pools as the new process finds them: it has no last good version of those with mistakes.)
    history.cluster.restart();
    let before = rightly_shown(&history);
    history.settle();
    still_shown(&history, before);
    history.no_address_is_doubled();
    history.nobody_waits_in_vain();
    history.counters_agree_with_a_recount();
    // And at rest, a restart changes nothing at all.
    let at_rest = history.cluster.services.clone();
    history.cluster.restart();
    history.settle();
    assert_eq!(history.cluster.services, at_rest, "a restart at rest changed something");
}

fn policy(removed_address: impl Strategy<Value = RemovedAddress>) -> impl Strategy<Value = Policy> {
    let grace = prop_oneof![Just(Duration::ZERO), Just(Duration::from_secs(60))];
    let announcer = prop_oneof![Just(AnnouncerKind::MetalLb), Just(AnnouncerKind::Own)];
    (removed_address, grace, announcer).prop_map(|(removed_address, pool_grace, announcer)| Policy {
        removed_address,
        pool_grace,
        announcer,
    })
}

fn any_removed_address() -> impl Strategy<Value = RemovedAddress> {
    prop_oneof![
        2 => Just(RemovedAddress::Move),
        1 => Just(RemovedAddress::Keep),
        1 => Just(RemovedAddress::Release),
    ]
}

/// So many, or as many as `HISTORIES` says, for whoever has the time.
fn cases(usually: u32) -> ProptestConfig {
    let cases = std::env::var("HISTORIES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usually);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(5000))]

    #[test]
    fn short_histories_keep_the_invariants(
        policy in policy(Just(RemovedAddress::Move)),
        pools in pools(),
        events in vec(event(), 1..10),
    ) {
        run(policy, pools, events);
    }

    #[test]
    fn whatever_becomes_of_removed_addresses_short_histories_keep_the_invariants(
        policy in policy(any_removed_address()),
        pools in pools(),
        events in vec(event(), 1..10),
    ) {
        run(policy, pools, events);
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn long_histories_keep_the_invariants(
        policy in policy(any_removed_address()),
        pools in pools(),
        events in vec(event(), 1..80),
    ) {
        run(policy, pools, events);
    }
}
