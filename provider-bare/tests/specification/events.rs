//! What may happen in a [history](crate::histories): Services that get into each other's way, pools in a few versions.

use std::fmt;

use cloud_provider::testing::a_service_named;
use cloud_provider::{FamilyPolicy, ServiceView};
use metallb::crd::ServiceAllocation;
use metallb::pool::Definition;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{PoolWords, V4, V6, pool};

/// What a Service asks for; small numbers pick from short lists, so that Services get into each other's way.
#[derive(Clone)]
pub(crate) struct Wish {
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

pub(crate) fn wish() -> impl Strategy<Value = Wish> {
    (0..6u8, any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), 0..12u8).prop_map(
        |(families, namespace, key, port, local, asks)| Wish { families, namespace, key, port, local, asks },
    )
}

impl Wish {
    pub(crate) fn service(&self, slot: usize, generation: usize) -> ServiceView {
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
pub(crate) struct Versions(u8, u8, u8);

pub(crate) fn pools() -> impl Strategy<Value = Versions> {
    (0..8u8, 0..7u8, 0..5u8).prop_map(|(first, second, third)| Versions(first, second, third))
}

impl Versions {
    pub(crate) fn definitions(self) -> Vec<Definition> {
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
pub(crate) enum Event {
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

pub(crate) fn event() -> impl Strategy<Value = Event> {
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
