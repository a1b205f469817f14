//! Random histories of Services and pools. Whatever happens in whatever order, the invariants hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use cloud_provider::testing::a_service_named;
use cloud_provider::{CloudLoadBalancer, FamilyPolicy, Ingress, IpFamily, ServiceKey, ServiceView};
use metallb::crd::ServiceAllocation;
use metallb::pool::Definition;
use proptest::collection::vec;
use proptest::prelude::*;
use provider_bare::BareConfig;
use provider_bare::assignments::Reuse;
use provider_bare::plan::{Announcer, Policy, RemovedAddress};

use crate::oracle::{Oracle, is_mistaken, may_share};
use crate::support::{Cluster, PoolWords, V4, V6, now, pool};

/// What a Service asks for; small numbers pick from short lists, so that Services get into each other's way.
#[derive(Clone)]
struct Wish {
    families: u8,
    namespace: bool,
    key: bool,
    port: bool,
    local: bool,
    asks: u8,
}

/// Short, so that a history can be read at a glance.
impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish { families, namespace, key, port, local, asks } = self;
        write!(f, "families {families} namespace {namespace} key {key} port {port} local {local} asks {asks}")
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    (0..6u8, any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), 0..12u8).prop_map(
        |(families, namespace, key, port, local, asks)| Wish { families, namespace, key, port, local, asks },
    )
}

impl Wish {
    fn service(&self, slot: usize, generation: usize) -> ServiceView {
        let namespace = if self.namespace { "a" } else { "b" };
        let builder = a_service_named(namespace, &format!("s{slot}"))
            .uid(&format!("{slot}-{generation}"))
            .created(i64::try_from(generation % 3).unwrap())
            .ports([if self.port { 80 } else { 443 }]);
        let builder = match self.families {
            0 | 1 => builder.families(V4),
            2 => builder.families(V6),
            3 => builder.families(V4).family_policy(FamilyPolicy::PreferDualStack),
            4 => builder.dual_stack().family_policy(FamilyPolicy::PreferDualStack),
            _ => builder.dual_stack(),
        };
        let builder = if self.key { builder.annotation("metallb.io/allow-shared-ip", "k") } else { builder };
        let builder = if self.local { builder.local_traffic() } else { builder };
        match self.asks {
            0 => builder.annotation("metallb.io/loadBalancerIPs", "10.0.0.1"),
            1 => builder.annotation("metallb.io/loadBalancerIPs", "10.0.0.4,fc00::1"),
            2 => builder.annotation("metallb.io/loadBalancerIPs", "garbage"),
            3 => builder.annotation("metallb.io/address-pool", "p1"),
            4 => builder.annotation("metallb.io/address-pool", "p2"),
            _ => builder,
        }
        .build()
    }
}

/// What pools there are: which version of each of three.
#[derive(Clone, Copy, Debug)]
struct Versions(u8, u8, u8);

fn pools() -> impl Strategy<Value = Versions> {
    (0..8u8, 0..7u8, 0..5u8).prop_map(|(first, second, third)| Versions(first, second, third))
}

impl Versions {
    fn definitions(self) -> Vec<Definition> {
        let first = match self.0 {
            0 => None,
            1 => Some(pool("p1", &["10.0.0.0/31"])),
            2 => Some(pool("p1", &["10.0.0.0/30"])),
            3 => Some(pool("p1", &["10.0.0.2-10.0.0.3", "fc00::/127"])),
            4 => Some(pool("p1", &["10.0.0.0/30"]).without_buggy()),
            5 => Some(
                pool("p1", &["10.0.0.0/30"]).excluding("10.0.0.1").reserving("10.0.0.2=a/s1,10.0.0.2=a/s2"),
            ),
            6 => Some(pool("p1", &["10.0.0.0/30"]).reserving("10.0.0.0=b/s0,10.0.0.1=a/s1,10.0.0.3=b/s3")),
            _ => Some(pool("p1", &["10.0.0.3-10.0.0.0"])),
        };
        let second = match self.1 {
            0 => None,
            1 => Some(pool("p2", &["10.0.0.4/31", "fc00::2/127"])),
            2 => Some(pool("p2", &["10.0.0.4/31"]).for_namespace("a", 1)),
            3 => Some(pool("p2", &["10.0.0.4/30"]).by_request_only()),
            4 => Some(pool("p2", &["10.0.0.3-10.0.0.5"])),
            5 => Some(
                pool("p2", &["10.0.0.4/31", "fc00::2/127"])
                    .by_request_only()
                    .reserving("10.0.0.5=a/s1,fc00::2=b/s2"),
            ),
            _ => Some(pool("p2", &["fc00::/126"])),
        };
        let third = match self.2 {
            0 | 1 => None,
            2 => Some(pool("p3", &["10.0.0.6/32"])),
            3 => Some(pool("p3", &["10.0.0.6/32", "fc00::8/128"]).for_namespace("b", 2)),
            _ => Some(pool("p3", &["10.0.0.6/32"]).allocation(ServiceAllocation {
                service_selectors: Some(vec![
                    k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
                        match_labels: Some([("app".to_owned(), "s1".to_owned())].into()),
                        ..Default::default()
                    },
                ]),
                ..Default::default()
            })),
        };
        first.into_iter().chain(second).chain(third).collect()
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// A Service is made, or changes what it asks for.
    Apply(usize, Wish),
    /// A Service goes.
    Delete(usize),
    /// A Service goes and comes again under its name.
    Recreate(usize, Wish),
    /// Pools change.
    Pools(Versions),
    /// Pools change twice before anybody is told.
    PassingPools(Versions, Versions),
    /// The definition of pools goes, and all pools with it, one after the other.
    DefinitionVanishes,
    /// The next so many writes to statuses fail.
    LoseWrites(usize),
    /// The API server is away: nobody hears of anything, no write succeeds, and what changed meanwhile is seen at once
    /// when it is back.
    Outage(Versions, Vec<(usize, Wish)>),
    /// Another writer puts an address into a status.
    OverwriteStatus(usize, u8),
    /// A Service of another class shows an address, or shows none any more.
    Foreign(usize, Option<u8>),
    /// Somebody clears a status.
    Clear(usize),
    /// The controller does some of its work, in an order of its own.
    Work(Vec<usize>),
    /// A part of a grace period passes.
    Pass,
    /// The controller does all of its work.
    Settle,
    /// A new process.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let slot = 0..5usize;
    prop_oneof![
        5 => (slot.clone(), wish()).prop_map(|(slot, wish)| Event::Apply(slot, wish)),
        2 => slot.clone().prop_map(Event::Delete),
        1 => (slot.clone(), wish()).prop_map(|(slot, wish)| Event::Recreate(slot, wish)),
        2 => pools().prop_map(Event::Pools),
        1 => (pools(), pools()).prop_map(|(first, then)| Event::PassingPools(first, then)),
        1 => Just(Event::DefinitionVanishes),
        1 => (1..3usize).prop_map(Event::LoseWrites),
        1 => (pools(), vec((slot.clone(), wish()), 0..3)).prop_map(|(pools, wishes)| Event::Outage(pools, wishes)),
        1 => (slot.clone(), 0..8u8).prop_map(|(slot, last)| Event::OverwriteStatus(slot, last)),
        1 => (0..2usize, prop::option::weighted(0.7, 0..8u8)).prop_map(|(slot, last)| Event::Foreign(slot, last)),
        1 => slot.clone().prop_map(Event::Clear),
        3 => vec(slot, 1..4).prop_map(Event::Work),
        1 => Just(Event::Pass),
        2 => Just(Event::Settle),
        3 => Just(Event::Restart),
    ]
}

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
        let config = BareConfig { removed_address, pool_grace, announcer, reuse, ..BareConfig::default() };
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
        let contested = published.iter().filter_map(|entry| entry.ip);
        self.contested.extend(contested.filter(|ip| held.iter().any(|held| held.resource == ip.to_string())));
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
        let world = Oracle::new(&self.cluster, self.policy);
        for service in self.services().filter(|service| self.cluster.is_ours(service)) {
            world.check_not_in_vain(service);
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
    let announcer = prop_oneof![Just(Announcer::MetalLb), Just(Announcer::Own)];
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
