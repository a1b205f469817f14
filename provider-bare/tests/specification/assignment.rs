//! Which address a Service gets: the cases of MetalLB's own allocator tests, and where we differ on purpose.

use cloud_provider::testing::ServiceBuilder;
use cloud_provider::{Error, FamilyPolicy, Protocol};
use metallb::pool::Definition;

use crate::support::{BOTH, Cluster, PoolWords, V4, V6, pool, service, with_own_announcer};

const IPS: &str = "metallb.io/loadBalancerIPs";
const POOL: &str = "metallb.io/address-pool";
const SHARE: &str = "metallb.io/allow-shared-ip";

fn asking(name: &str, ip: &str) -> ServiceBuilder {
    let families = if ip.contains(':') { V6 } else { V4 };
    service(name).families(families).annotation(IPS, ip)
}

/// The two families, told by the same script with other addresses.
fn both_families(script: impl Fn(&str, &str, &mut Cluster)) {
    let cluster = || Cluster::new([pool("test", &["1.2.3.4/31", "1000::4/127"])]);
    script("1.2.3.4", "1.2.3.5", &mut cluster());
    script("1000::4", "1000::5", &mut cluster());
}

#[test]
fn a_free_address_can_be_taken_and_taken_again() {
    both_families(|first, _, cluster| {
        assert_eq!(cluster.serve(asking("s1", first)), [first]);
        assert_eq!(cluster.serve(asking("s1", first)), [first]);
    });
}

#[test]
fn an_address_in_use_is_refused_and_another_is_not() {
    both_families(|first, second, cluster| {
        cluster.serve(asking("s1", first));
        let message = cluster.occupied(asking("s2", first));
        assert!(message.contains("in use by default/s1"), "{message}");
        assert_eq!(cluster.serve(asking("s2", second)), [second]);
    });
}

#[test]
fn a_move_that_fails_leaves_the_service_where_it_was() {
    both_families(|first, second, cluster| {
        cluster.serve(asking("s1", first));
        cluster.serve(asking("s2", second));
        cluster.occupied(asking("s1", second));
        assert_eq!(cluster.ips("s1"), [first]);
        cluster.occupied(asking("s3", first));
    });
}

#[test]
fn a_move_that_succeeds_frees_the_former_address() {
    both_families(|first, second, cluster| {
        cluster.serve(asking("s1", first));
        cluster.serve(asking("s2", second));
        cluster.delete("s1");
        assert_eq!(cluster.serve(asking("s2", first)), [first]);
        // Once the status without it was seen, nobody can be reached at it any more.
        cluster.settle();
        assert_eq!(cluster.serve(asking("s1", second)), [second]);
    });
}

#[test]
fn buggy_addresses_cannot_be_asked_for_where_they_are_avoided() {
    let mut cluster = Cluster::new([pool("test2", &["1.2.4.0/24", "1000::/120"]).without_buggy()]);
    for ip in ["1.2.4.0", "1.2.4.255"] {
        let message = cluster.refuse(asking("s3", ip));
        assert!(message.contains("avoidBuggyIPs"), "{message}");
    }
    assert_eq!(cluster.serve(asking("s3", "1.2.4.254")), ["1.2.4.254"]);
    assert_eq!(cluster.serve(asking("s4", "1000::ff")), ["1000::ff"]);
}

fn sharing(name: &str, ip: &str, key: &str, port: u16) -> ServiceBuilder {
    asking(name, ip).annotation(SHARE, key).ports([port])
}

#[test]
fn a_sole_owner_may_change_its_sharing_key() {
    both_families(|first, _, cluster| {
        cluster.serve(sharing("s4", first, "sharing", 80));
        assert_eq!(cluster.serve(sharing("s4", first, "new-key", 80)), [first]);
    });
}

#[test]
fn sharing_needs_equal_keys_equal_backends_and_disjoint_ports() {
    both_families(|first, second, cluster| {
        cluster.serve(sharing("s4", first, "key", 80));
        assert_eq!(cluster.serve(asking("s3", second)), [second]);
        let message = cluster.occupied(sharing("s3", first, "key", 80));
        assert!(message.contains("default/s4") && message.contains("80/TCP"), "{message}");
        let message = cluster.occupied(sharing("s3", first, "other", 443));
        assert!(message.contains("default/s4") && message.contains("another sharing key"), "{message}");
        let message = cluster.occupied(sharing("s3", first, "key", 443).local_traffic());
        assert!(message.contains("default/s4") && message.contains("same selector"), "{message}");
        assert_eq!(cluster.ips("s3"), [second]);
        assert_eq!(cluster.serve(sharing("s3", first, "key", 443)), [first]);
        // Another port, of another protocol even.
        let udp = sharing("s3", first, "key", 443).protocol_ports([(Protocol::Udp, 80)]);
        assert_eq!(cluster.serve(udp), [first]);
        assert_eq!(cluster.ips("s4"), [first]);
        cluster.settle();
        // Its first address became free by its move.
        assert_eq!(cluster.serve(asking("s5", second)), [second]);
    });
}

#[test]
fn a_service_with_a_mistake_has_the_ports_of_now_of_the_address_it_shares_and_is_not_asked_for_as_it_was() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/31"])]);
    let first = "1.2.3.4";
    cluster.serve(sharing("s4", first, "key", 80));
    let mistaken = sharing("s4", first, "key", 80).ports([80, 443]).load_balancer_ip("1.2.3.5");
    let key = cluster.put(mistaken);
    let outcome = cluster.reconcile(&key);
    assert!(matches!(outcome, Err(Error::InvalidInPart(_))), "{outcome:?}");
    assert_eq!(cluster.ips_of(&key), [first]);
    let message = cluster.occupied(sharing("s3", first, "key", 443));
    assert!(message.contains("443"), "{message}");
    assert_eq!(cluster.serve(sharing("s5", first, "key", 8443)), [first]);
}

#[test]
fn local_traffic_is_shared_by_services_with_the_same_selector() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/31"])]);
    let local =
        |name, port, app| sharing(name, "1.2.3.4", "k", port).local_traffic().selector([("app", app)]);
    cluster.serve(local("s1", 80, "web"));
    assert_eq!(cluster.serve(local("s2", 443, "web")), ["1.2.3.4"]);
    cluster.occupied(local("s3", 8080, "other"));
}

/// MetalLB refuses the change and clears the Service; so do we, but only if nothing else is to be had, and only
/// the one that changed.
#[test]
fn who_breaks_a_sharing_by_its_own_change_leaves_the_address_to_the_others() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/31"])]);
    let by_key = |name: &str, key: &str, port: u16| service(name).annotation(SHARE, key).ports([port]);
    cluster.serve(by_key("s1", "k", 80));
    assert_eq!(cluster.serve(by_key("s2", "k", 443)), ["1.2.3.4"]);
    cluster.serve(service("s3"));
    let pending = cluster.wait(by_key("s2", "k", 80));
    assert_eq!(pending.reason, "PoolExhausted");
    assert_eq!(cluster.ips("s2"), [""; 0], "port 80 of that address is s1's");
    assert_eq!(cluster.ips("s1"), ["1.2.3.4"]);
    assert_eq!(cluster.serve(by_key("s2", "k", 443)), ["1.2.3.4"], "it may come back");
    cluster.delete("s3");
    assert_eq!(cluster.serve(by_key("s2", "other", 443)), ["1.2.3.5"], "another address is as good");
    assert_eq!(cluster.ips("s1"), ["1.2.3.4"]);
}

#[test]
fn two_families_can_be_asked_for_together() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/31", "1000::4/127"])]);
    let dual = service("s1").dual_stack();
    assert_eq!(cluster.serve(dual.annotation(IPS, "1.2.3.4,1000::4")), ["1.2.3.4", "1000::4"]);
}

/// MetalLB wants both from one pool.
#[test]
fn with_an_announcer_that_does_not_mind_two_families_may_come_from_two_pools() {
    let pools = [pool("four", &["1.2.3.4/31"]), pool("six", &["1000::4/127"])];
    let mut cluster = Cluster::with(with_own_announcer(), pools);
    let asked = service("s1").dual_stack().annotation(IPS, "1.2.3.4,1000::4");
    assert_eq!(cluster.serve(asked), ["1.2.3.4", "1000::4"]);
    assert_eq!(cluster.serve(service("s2").dual_stack()), ["1.2.3.5", "1000::5"]);
}

#[test]
fn one_pool_with_both_families_is_preferred_to_two() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/31"]), pool("b", &["1.2.4.4/31", "1000::4/127"])]);
    assert_eq!(cluster.serve(service("s1").dual_stack()), ["1.2.4.4", "1000::4"]);
}

#[test]
fn pinned_pools_serve_only_whom_they_are_pinned_to_even_on_request() {
    let by_label = |key: &str| k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
        match_labels: Some([("tier".to_owned(), key.to_owned())].into()),
        ..Default::default()
    };
    let allocation = |namespace: Option<&str>, label: Option<&str>| metallb::crd::ServiceAllocation {
        priority: None,
        namespaces: namespace.map(|namespace| vec![namespace.to_owned()]),
        namespace_selectors: None,
        service_selectors: label.map(|label| vec![by_label(label)]),
    };
    let table = [
        ("same namespace", Some("default"), None, true),
        ("different namespace", Some("other"), None, false),
        ("same label", None, Some("front"), true),
        ("different label", None, Some("back"), false),
        ("both", Some("default"), Some("front"), true),
        ("namespace and incompatible label", Some("default"), Some("back"), false),
        ("label and incompatible namespace", Some("other"), Some("front"), false),
    ];
    for (case, namespace, label, allowed) in table {
        let pinned = pool("pinned", &["1.2.3.4/31"]).allocation(allocation(namespace, label));
        for unasked in [false, true] {
            let mut cluster = Cluster::new([pinned.clone()]);
            let builder = service("s1").label("tier", "front");
            let builder = if unasked { builder } else { builder.annotation(IPS, "1.2.3.4") };
            let served = cluster.apply(builder).is_ok() && cluster.ips("s1") == ["1.2.3.4"];
            assert_eq!(served, allowed, "{case}, unasked: {unasked}");
        }
    }
}

/// The script of MetalLB's pool and automatic allocation tests: four fit, two do not, one leaves, one comes, and a
/// shared address takes one more.
fn fill(pools: impl IntoIterator<Item = Definition>, prepare: impl Fn(ServiceBuilder) -> ServiceBuilder) {
    let mut cluster = Cluster::new(pools);
    let by_name = |name: &str| prepare(service(name));
    for name in ["s1", "s2", "s3", "s4"] {
        cluster.serve(by_name(name));
    }
    for name in ["s5", "s6"] {
        assert_eq!(cluster.wait(by_name(name)).reason, "PoolExhausted");
    }
    let former = cluster.ips("s1");
    cluster.delete("s1");
    assert_eq!(cluster.ips("s5"), former, "the oldest that waits has it at once");
    assert_eq!(cluster.wait(by_name("s6")).reason, "PoolExhausted");
    cluster.serve(by_name("s5").annotation(SHARE, "share").ports([80]));
    assert_eq!(cluster.serve(by_name("s6").annotation(SHARE, "share").ports([443])), former);
}

#[test]
fn a_requested_pool_is_filled_to_the_brim_and_no_other_is_used() {
    let pools = || {
        [
            pool("not_this_one", &["192.168.0.0/16", "fc00::1:0/112"]),
            pool("test", &["1.2.3.4/31", "1.2.3.10/31", "1000::4/127", "1000::10/127"]),
        ]
    };
    fill(pools(), |service| service.annotation(POOL, "test"));
    fill(pools(), |service| service.families(V6).annotation(POOL, "test"));
    fill(pools(), |service| service.dual_stack().annotation(POOL, "test"));
}

#[test]
fn several_pools_are_filled_one_after_the_other() {
    let pools =
        || [pool("test1", &["1.2.3.4/31", "1000::4/127"]), pool("test2", &["1.2.3.10/31", "1000::10/127"])];
    fill(pools(), |service| service);
    fill(pools(), |service| service.families(V6));
    fill(pools(), cloud_provider::testing::ServiceBuilder::dual_stack);
}

#[test]
fn entries_are_used_up_in_the_order_written_each_from_its_lowest_address() {
    let mut cluster = Cluster::new([pool("test", &["1.2.4.0/31", "1.2.3.0-1.2.3.1"])]);
    let given: Vec<String> =
        ["a", "b", "c", "d"].into_iter().flat_map(|n| cluster.serve(service(n))).collect();
    assert_eq!(given, ["1.2.4.0", "1.2.4.1", "1.2.3.0", "1.2.3.1"]);
}

/// MetalLB calls it an error; for us the cluster has changed its mind, and the Service follows.
#[test]
fn unlike_metallb_an_address_of_another_family_is_replaced_not_an_error() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/31", "1000::4/127"])]);
    assert_eq!(cluster.serve(service("s1")), ["1.2.3.4"]);
    assert_eq!(cluster.serve(service("s1").families(V6)), ["1000::4"]);
}

#[test]
fn prefer_dual_stack_takes_what_there_is() {
    let prefer = |name: &str, pool: &str| {
        service(name).families(BOTH).family_policy(FamilyPolicy::PreferDualStack).annotation(POOL, pool)
    };
    let mut cluster = Cluster::new([
        pool("dual", &["1.2.3.4/31", "1000::4/127"]),
        pool("four", &["1.2.4.4/31"]),
        pool("six", &["1001::4/127"]),
    ]);
    assert_eq!(cluster.serve(prefer("s1", "dual")), ["1.2.3.4", "1000::4"]);
    assert_eq!(cluster.serve(prefer("s2", "four")), ["1.2.4.4"]);
    assert_eq!(cluster.serve(prefer("s3", "six")), ["1001::4"]);
    // Its one family stays, and is enough.
    assert_eq!(cluster.serve(prefer("s3", "six")), ["1001::4"]);
}

#[test]
fn a_pool_that_does_not_exist_cannot_be_asked_for() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/31"])]);
    let message = cluster.refuse(service("s1").annotation(POOL, "nope"));
    assert!(message.contains("metallb.io/address-pool") && message.contains("\"nope\""), "{message}");
    assert!(message.contains("test"), "names what there is: {message}");
}

#[test]
fn avoided_addresses_are_left_out_when_pools_are_filled() {
    let mut cluster = Cluster::new([
        pool("test", &["1.2.3.0/31", "1.2.3.254/31"]),
        pool("test2", &["1.2.4.0/31", "1.2.4.254/31"]).without_buggy(),
    ]);
    for i in 1..=6 {
        cluster.serve(service(&format!("s{i}")));
    }
    assert_eq!(cluster.wait(service("s7")).reason, "PoolExhausted");
    let given: Vec<String> = (1..=6).flat_map(|i| cluster.ips(&format!("s{i}"))).collect();
    assert_eq!(given, ["1.2.3.0", "1.2.3.1", "1.2.3.254", "1.2.3.255", "1.2.4.1", "1.2.4.254"]);
}

#[test]
fn a_pool_by_request_only_gives_nothing_unasked() {
    let script = |prepare: &dyn Fn(ServiceBuilder) -> ServiceBuilder| {
        let mut cluster = Cluster::new([
            pool("a", &["1.2.3.4/31", "1000::4/127"]).by_request_only(),
            pool("b", &["1.2.3.10/31", "1000::10/127"]),
        ]);
        cluster.serve(prepare(service("s1")));
        cluster.serve(prepare(service("s2")));
        for name in ["s3", "s4", "s5"] {
            assert_eq!(cluster.wait(prepare(service(name))).reason, "PoolExhausted");
        }
        cluster.serve(prepare(service("s3")).annotation(POOL, "a"));
    };
    script(&|service| service);
    script(&|service| service.families(V6));
    script(&|service| service.dual_stack());
}

#[test]
fn pools_pinned_by_priority_come_before_those_for_everybody() {
    let mut cluster = Cluster::new([
        pool("a-general", &["1.1.0.0/32"]),
        pool("b-late", &["1.2.0.0/32"]).for_namespace("default", 0),
        pool("c-second", &["1.3.0.0/32"]).for_namespace("default", 11),
        pool("d-first", &["1.4.0.0/32"]).for_namespace("default", 10),
        pool("e-other", &["1.5.0.0/32"]).for_namespace("other", 1),
    ]);
    let given: Vec<String> = (1..=4).flat_map(|i| cluster.serve(service(&format!("s{i}")))).collect();
    assert_eq!(given, ["1.4.0.0", "1.3.0.0", "1.2.0.0", "1.1.0.0"]);
    cluster.wait(service("s5"));
}

/// MetalLB walks addresses upwards and takes the first that is free or can be joined, so that a free lower address
/// separates Services that asked to share.
#[test]
fn unlike_metallb_a_sharing_service_joins_before_it_takes_a_free_address() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/30"])]);
    cluster.serve(service("s1"));
    let sharing = |name: &str, port: u16| service(name).annotation(SHARE, "k").ports([port]);
    assert_eq!(cluster.serve(sharing("s2", 80)), ["1.2.3.5"]);
    cluster.delete("s1");
    assert_eq!(cluster.serve(sharing("s3", 443)), ["1.2.3.5"]);
}

#[test]
fn a_waiting_service_joins_when_the_way_is_clear() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/32"])]);
    let sharing = |name: &str, port: u16| service(name).annotation(SHARE, "k").ports([port]);
    cluster.serve(sharing("s1", 80));
    cluster.wait(sharing("s2", 80));
    cluster.serve(sharing("s1", 443));
    assert_eq!(cluster.ips("s2"), ["1.2.3.4"], "the port it waited for is free now");
}

#[test]
fn a_mistake_neither_breaks_a_sharing_nor_invites_to_one() {
    let by_key = |name: &str, key: &str, port: u16| service(name).annotation(SHARE, key).ports([port]);
    let mistaken = |builder: ServiceBuilder| builder.annotation(IPS, "garbage");
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/31"])]);
    cluster.serve(by_key("s1", "k", 80));
    cluster.serve(by_key("s2", "k", 443));
    // Its own change is at odds with the other; what serves stays, and the other is not harmed.
    cluster.refuse(mistaken(by_key("s2", "other", 443)));
    assert_eq!((cluster.ips("s1"), cluster.ips("s2")), (vec!["1.2.3.4".into()], vec!["1.2.3.4".into()]));
    cluster.delete("s1");
    // Alone with a key of now, it is not joined by its key of old.
    cluster.refuse(mistaken(by_key("s2", "other", 443)));
    assert_eq!(cluster.serve(by_key("s3", "k", 80)), ["1.2.3.5"]);
    assert_eq!(cluster.serve(by_key("s4", "other", 80)), ["1.2.3.4"]);
}

#[test]
fn counters_follow_every_change_and_count_a_shared_address_once() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.4/30", "1000::4/126"])]);
    let in_use = |cluster: &Cluster| {
        let status = cluster.counters("test");
        assert_eq!(status.assigned_ipv4 + status.available_ipv4, 4);
        assert_eq!(status.assigned_ipv6 + status.available_ipv6, 4);
        (status.assigned_ipv4, status.assigned_ipv6)
    };
    cluster.serve(service("s1"));
    assert_eq!(in_use(&cluster), (1, 0));
    cluster.serve(service("s2").dual_stack());
    assert_eq!(in_use(&cluster), (2, 1));
    cluster.delete("s1");
    cluster.delete("s2");
    assert_eq!(in_use(&cluster), (0, 0));
    for (name, port) in [("s1", 80), ("s2", 81), ("s3", 82)] {
        cluster.serve(service(name).annotation(SHARE, "k").ports([port]));
        assert_eq!(in_use(&cluster), (1, 0));
    }
    for (name, left) in [("s1", 1), ("s2", 1), ("s3", 0)] {
        cluster.delete(name);
        assert_eq!(in_use(&cluster), (left, 0));
    }
    cluster.set_pools([]);
    assert!(cluster.provider.pool_statuses().is_empty());
}
