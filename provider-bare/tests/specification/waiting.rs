//! Who waits, and who is next.

use std::collections::BTreeMap;

use cloud_provider::testing::ServiceBuilder;
use cloud_provider::{FamilyPolicy, ServiceKey};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{BOTH, Cluster, PoolWords, V4, V6, pool, service, with_own_announcer};

#[test]
fn a_freed_address_goes_to_the_oldest_that_waits_then_by_name_then_by_uid() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("holder").created(9));
    cluster.wait(service("c").created(1));
    cluster.wait(service("b").created(2));
    cluster.wait(service("a").created(2));
    for (goes, next) in [("holder", "c"), ("c", "a"), ("a", "b")] {
        cluster.delete(goes);
        assert_eq!(cluster.ips(next), ["1.2.3.4"], "after {goes}");
    }
}

#[test]
fn who_waits_has_it_before_who_comes_later() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("holder"));
    cluster.wait(service("waits").created(5));
    // Freed, and before anybody looks at the one who waits, an older Service comes.
    cluster.delete_key(&ServiceKey::new("default", "holder"));
    cluster.wait(service("comes").created(1));
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("waits"), ["1.2.3.4"]);
}

#[test]
fn who_waits_and_goes_or_changes_its_mind_waits_no_more() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32", "1000::4/128"])]);
    cluster.serve(service("holder"));
    cluster.wait(service("a").created(1));
    cluster.wait(service("b").created(2));
    cluster.wait(service("c").created(3));
    cluster.delete("a");
    assert_eq!(cluster.serve(service("b").created(2).families(V6)), ["1000::4"]);
    cluster.delete("holder");
    assert_eq!(cluster.ips("c"), ["1.2.3.4"]);
}

#[test]
fn who_waits_with_a_mistake_in_it_is_passed_over() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("holder"));
    cluster.wait(service("a").created(1));
    cluster.wait(service("b").created(2));
    cluster.refuse(service("a").created(1).annotation("metallb.io/loadBalancerIPs", "garbage"));
    cluster.delete("holder");
    assert_eq!(cluster.ips("b"), ["1.2.3.4"]);
}

#[test]
fn an_address_that_was_asked_for_goes_to_who_asked() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("holder"));
    cluster.wait(service("old").created(1));
    cluster.occupied(service("asks").created(2).annotation("metallb.io/loadBalancerIPs", "1.2.3.4"));
    cluster.delete("holder");
    assert_eq!(cluster.ips("asks"), ["1.2.3.4"], "nothing else can help it");
}

/// What one of many asks for: family, policy, pool.
#[derive(Clone, Copy, Debug)]
struct Need(u8);

impl Need {
    fn service(self, name: &str, created: i64) -> ServiceBuilder {
        let builder = service(name).created(created);
        match self.0 {
            0 | 1 => builder.families(V4),
            2 => builder.families(V6),
            3 => builder.families(V4).annotation("metallb.io/address-pool", "b"),
            4 => builder.dual_stack(),
            _ => builder.families(BOTH).family_policy(FamilyPolicy::PreferDualStack),
        }
    }

    /// Whether one free address could help it, who has nothing.
    fn is_helped_by(self, ip: &str, other_family_is_free: bool) -> bool {
        match self.0 {
            0 | 1 => !ip.contains(':'),
            2 => ip.contains(':'),
            3 => ip.starts_with("10.0.1."),
            4 => other_family_is_free,
            _ => true,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Services come, and go one by one. Each address that becomes free is at once with the oldest of those that
    /// had nothing and could use it; wake-ups alone carry the news.
    #[test]
    fn a_freed_address_is_with_the_oldest_that_can_use_it(
        needs in vec((0..6u8, 0..4i64), 4..14),
        goes in vec(any::<prop::sample::Index>(), 1..10),
    ) {
        let mut cluster = Cluster::with(with_own_announcer(), [
            pool("a", &["10.0.0.0/31", "fc00::/128"]),
            pool("b", &["10.0.1.0/32", "fc00::1:0/128"]),
        ]);
        let mut here: BTreeMap<String, (Need, i64)> = BTreeMap::new();
        for (i, (need, created)) in needs.into_iter().enumerate() {
            let name = format!("s{i:02}");
            let _ = cluster.apply(Need(need).service(&name, created));
            here.insert(name, (Need(need), created));
        }
        for index in goes {
            let Some(name) = here.keys().nth(index.index(here.len().max(1))).cloned() else { break };
            let freed = cluster.ips(&name);
            let had_nothing: Vec<String> =
                here.keys().filter(|name| cluster.ips(name).is_empty()).cloned().collect();
            here.remove(&name);
            cluster.delete(&name);
            // Of those who still have nothing, nobody is older than one who was given a freed address and could
            // have used that address.
            let (lucky, rest): (Vec<&String>, Vec<&String>) =
                had_nothing.iter().filter(|other| **other != name).partition(|n| !cluster.ips(n).is_empty());
            for lucky in lucky {
                for ip in cluster.ips(lucky).iter().filter(|ip| freed.contains(ip)) {
                    for waiting in &rest {
                        let (need, created) = here[*waiting];
                        let older = (created, *waiting) < (here[lucky].1, lucky);
                        let helped = need.is_helped_by(ip, false);
                        prop_assert!(!(older && helped), "{waiting} is older than {lucky}, who has {ip}");
                    }
                }
            }
            // And nobody is left who could use what is still free.
            let shown: Vec<String> = here.keys().flat_map(|name| cluster.ips(name)).collect();
            let all = ["10.0.0.0", "10.0.0.1", "10.0.1.0", "fc00::", "fc00::1:0"];
            let free: Vec<&str> = all.into_iter().filter(|ip| !shown.iter().any(|shown| shown == ip)).collect();
            let both = free.iter().any(|ip| ip.contains(':')) && free.iter().any(|ip| !ip.contains(':'));
            for waiting in here.keys().filter(|name| cluster.ips(name).is_empty()) {
                let helped = free.iter().any(|ip| here[waiting].0.is_helped_by(ip, both));
                prop_assert!(!helped, "{waiting} waits while {free:?} is free");
            }
        }
    }
}

#[test]
fn a_pool_by_request_that_becomes_automatic_serves_those_who_wait() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"]).by_request_only()]);
    cluster.wait(service("s"));
    cluster.set_pools([pool("p", &["1.2.3.4/32"])]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
}
