//! What comes of a Service: the cases of MetalLB's own controller tests, and where we differ on purpose.

use cloud_provider::testing::{ServiceBuilder, a_service_named};
use cloud_provider::{
    CloudLoadBalancer, Error, FamilyPolicy, Ingress, IpMode, NoteKind, Outcome, ServiceView,
};
use metallb::crd::ServiceAllocation;
use metallb::pool::Definition;

use crate::support::{BOTH, Cluster, PoolWords, V4, V6, entry, notes, pool, service};

const IPS: &str = "metallb.io/loadBalancerIPs";
const POOL: &str = "metallb.io/address-pool";

fn labelled(name: &str, value: &str, priority: i64, addresses: &[&str]) -> Definition {
    pool(name, addresses).allocation(ServiceAllocation {
        priority: Some(priority),
        service_selectors: Some(vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
            match_labels: Some([("pin".to_owned(), value.to_owned())].into()),
            ..Default::default()
        }]),
        ..Default::default()
    })
}

/// The pools of the table below.
fn pools() -> Vec<Definition> {
    vec![
        pool("pool1", &["1.2.3.0/24"]),
        pool("pool2", &["3.4.5.6/32"]).by_request_only(),
        pool("pool3", &["1000::/127"]).by_request_only(),
        pool("pool5", &["1.2.4.0/24", "1001::/120"]).by_request_only(),
        pool("pool7", &["7.8.9.0/24"]).for_namespace("pinned", 10),
        pool("pool8", &["7.8.10.0/24"]).for_namespace("pinned", 11),
        pool("pool9", &["7.8.11.0/24"]).for_namespace("unranked", 0),
        labelled("pool10", "yes", 8, &["7.8.12.0/24"]),
        labelled("pool11", "yes", 9, &["7.8.13.0/24"]),
    ]
}

/// What a case of the table expects.
enum Expect {
    /// These addresses, published.
    Ips(&'static [&'static str]),
    /// A mistake whose message has this in it, and what is published stays.
    Mistake(&'static str),
}
use Expect::{Ips, Mistake};

fn prefer(name: &str) -> ServiceBuilder {
    service(name).families(BOTH).family_policy(FamilyPolicy::PreferDualStack)
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<(&'static str, ServiceBuilder, Expect)> {
    let s = || service("s");
    vec![
        ("simple LoadBalancer", s(), Ips(&["1.2.3.0"])),
        ("specific IP by field", s().load_balancer_ip("1.2.3.1"), Ips(&["1.2.3.1"])),
        ("specific IP by annotation", s().annotation(IPS, "1.2.3.1"), Ips(&["1.2.3.1"])),
        (
            "both field and annotation",
            s().load_balancer_ip("1.2.3.1").annotation(IPS, "1.2.3.4"),
            Mistake("is set besides metadata.annotations[metallb.io/loadBalancerIPs]"),
        ),
        ("invalid IP by field", s().load_balancer_ip("please"), Mistake("spec.loadBalancerIP: \"please\"")),
        ("invalid IP by annotation", s().annotation(IPS, "please"), Mistake("not an IP address")),
        (
            "IP and pool that do not go together",
            s().annotation(IPS, "1.2.3.1").annotation(POOL, "pool2"),
            Mistake("in pool \"pool1\", not in \"pool2\""),
        ),
        (
            "two IPs of one family",
            s().annotation(IPS, "1.2.3.1,1.2.3.2"),
            Mistake("two IPv4 addresses, 1.2.3.1 and 1.2.3.2"),
        ),
        (
            // MetalLB clears the status; what serves keeps serving with us.
            "infeasible IP",
            s().annotation(IPS, "9.9.9.9").published_ips(["1.2.3.1"]),
            Mistake("9.9.9.9, which is in no address pool"),
        ),
        ("specific pool", s().annotation(POOL, "pool1"), Ips(&["1.2.3.0"])),
        (
            "switch to another pool",
            s().annotation(POOL, "pool2").published_ips(["1.2.3.0"]),
            Ips(&["3.4.5.6"]),
        ),
        ("unknown pool", s().annotation(POOL, "nope"), Mistake("names no address pool there is")),
        ("assigned IP in no pool", s().published_ips(["9.9.9.9"]), Ips(&["1.2.3.0"])),
        (
            "invalid ingress state",
            s().published([Ingress::hostname("invalid.invalid"), entry("5.6.7.8")]),
            Ips(&["1.2.3.0"]),
        ),
        ("explicit IP of a pool by request", s().annotation(IPS, "3.4.5.6"), Ips(&["3.4.5.6"])),
        ("the same with local traffic", s().annotation(IPS, "3.4.5.6").local_traffic(), Ips(&["3.4.5.6"])),
        ("v6 asked by field, v4 served", s().load_balancer_ip("1000::"), Mistake("names IPv6")),
        ("v6 asked by annotation, v4 served", s().annotation(IPS, "1000::"), Mistake("names IPv6")),
        ("v4 asked by field, v6 served", s().families(V6).load_balancer_ip("1.2.3.1"), Mistake("names IPv4")),
        (
            "v4 asked by annotation, v6 served",
            s().families(V6).annotation(IPS, "1.2.3.1"),
            Mistake("names IPv4"),
        ),
        ("v6 assigned, v4 served", s().published_ips(["1000::"]), Ips(&["1.2.3.0"])),
        (
            "v4 assigned, v6 served",
            s().families(V6).annotation(POOL, "pool3").published_ips(["1.2.3.0"]),
            Ips(&["1000::"]),
        ),
        ("dual stack from a pool", s().dual_stack().annotation(POOL, "pool5"), Ips(&["1.2.4.0", "1001::"])),
        ("prefer dual stack from a pool", prefer("s").annotation(POOL, "pool5"), Ips(&["1.2.4.0", "1001::"])),
        ("prefer dual stack, v4 pool", prefer("s").annotation(POOL, "pool2"), Ips(&["3.4.5.6"])),
        ("prefer dual stack, v6 pool", prefer("s").annotation(POOL, "pool3"), Ips(&["1000::"])),
        (
            "prefer dual stack in a pinned namespace with v4 pools",
            a_service_named("pinned", "s").families(BOTH).family_policy(FamilyPolicy::PreferDualStack),
            Ips(&["7.8.9.0"]),
        ),
        (
            "prefer dual stack with one cluster IP",
            s().family_policy(FamilyPolicy::PreferDualStack).annotation(POOL, "pool5"),
            Ips(&["1.2.4.0"]),
        ),
        (
            "require dual stack with one cluster IP",
            s().family_policy(FamilyPolicy::RequireDualStack).annotation(POOL, "pool5"),
            Mistake("spec.ipFamilyPolicy: \"RequireDualStack\" needs two IP families"),
        ),
        (
            "one address by field for two families",
            s().dual_stack().load_balancer_ip("1.2.4.1"),
            Mistake("names IPv4, and the Service is served in IPv4 and IPv6"),
        ),
        (
            "one address by annotation for two families",
            s().dual_stack().annotation(IPS, "1.2.4.1"),
            Mistake("allowed: one IPv4 and one IPv6 address"),
        ),
        (
            // MetalLB refuses this too; asking for one address of a family one would rather have twice is clear enough.
            "one address for a Service that prefers two",
            prefer("s").annotation(IPS, "1.2.4.1"),
            Ips(&["1.2.4.1"]),
        ),
        (
            "two addresses in the order given",
            s().dual_stack().annotation(IPS, "1001::7, 1.2.4.7"),
            Ips(&["1001::7", "1.2.4.7"]),
        ),
        (
            // MetalLB always puts IPv4 first; clients read the first entry, and the first family is the primary one.
            "dual stack with IPv6 first and an invalid ingress",
            s().cluster_ips(["3000::1", "5.6.7.8"])
                .family_policy(FamilyPolicy::RequireDualStack)
                .annotation(POOL, "pool5")
                .published([Ingress::hostname("invalid.invalid")]),
            Ips(&["1001::", "1.2.4.0"]),
        ),
        (
            "two addresses for one family",
            s().annotation(IPS, "1.2.4.1,1001::1"),
            Mistake("names IPv4 and IPv6, and the Service is served in IPv4"),
        ),
        ("pinned by namespace, priority 10 before 11", a_service_named("pinned", "s"), Ips(&["7.8.9.0"])),
        (
            "pinned without priority before general pools",
            a_service_named("unranked", "s"),
            Ips(&["7.8.11.0"]),
        ),
        ("pinned by label, priority 8 before 9", s().label("pin", "yes"), Ips(&["7.8.12.0"])),
        (
            "pinned by namespace and by label: the lower number",
            a_service_named("pinned", "s").label("pin", "yes"),
            Ips(&["7.8.12.0"]),
        ),
        (
            // MetalLB warns and takes a fresh one; the first of them is as good and moves nobody.
            "three v4 addresses assigned",
            s().published_ips(["1.2.3.7", "1.2.3.8", "1.2.3.9"]),
            Ips(&["1.2.3.7"]),
        ),
    ]
}

fn check(cluster: &mut Cluster, case: &str, view: ServiceView, expect: &Expect) {
    let key = view.id.key.clone();
    let before: Vec<String> = view.published_ips().map(|ip| ip.to_string()).collect();
    cluster.services.insert(key.clone(), view);
    let outcome = cluster.reconcile(&key);
    match expect {
        Ips(ips) => {
            assert!(matches!(outcome, Ok(Outcome::Ready(_))), "{case}: {outcome:?}");
            assert_eq!(cluster.ips_of(&key), *ips, "{case}");
        }
        Mistake(says) => {
            let Err(Error::Invalid(mistakes) | Error::InvalidInPart(mistakes)) = outcome else {
                panic!("{case}: {outcome:?}")
            };
            assert!(mistakes.to_string().contains(says), "{case}: {mistakes}");
            assert!(!mistakes.to_string().contains("<nil>"));
            assert_eq!(cluster.ips_of(&key), before, "{case}: what is published stays");
        }
    }
    cluster.delete_key(&key);
}

#[test]
fn every_request_has_its_answer() {
    for (case, builder, expect) in table() {
        check(&mut Cluster::new(pools()), case, builder.build(), &expect);
    }
}

#[test]
fn the_answer_depends_on_the_request_alone_not_on_what_was_before() {
    let mut cases = table();
    let mut cluster = Cluster::new(pools());
    // A walk over all orders that is the same in every run.
    let mut state = 7_usize;
    for round in 0..100 {
        for i in (1..cases.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            cases.swap(i, (state >> 33) % (i + 1));
        }
        for (turn, (case, builder, expect)) in cases.iter().enumerate() {
            // Names of their own: who comes back under its name may get the address that it had.
            let mut view = builder.clone().build();
            view.id.key.name = format!("s-{round}-{turn}").into();
            check(&mut cluster, case, view, expect);
        }
    }
}

#[test]
fn a_service_that_never_was_is_deleted_in_peace_twice() {
    let mut cluster = Cluster::new(pools());
    cluster.delete("nobody");
    cluster.delete("nobody");
}

/// MetalLB empties the status by itself; with us the controller does, after the provider let go.
#[test]
fn a_service_that_stops_being_a_load_balancer_gives_its_address_back() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("s1"));
    cluster.wait(service("s2"));
    cluster.delete("s1");
    assert_eq!(cluster.ips("s2"), ["1.2.3.4"]);
}

#[test]
fn a_service_without_a_cluster_ip_is_told_so() {
    let mut cluster = Cluster::new(pools());
    let mut view = service("s").build();
    view.cluster_ips.clear();
    view.families.clear();
    let message = cluster.refuse(view);
    assert!(message.contains("spec.clusterIPs"), "{message}");
}

#[test]
fn a_pool_that_comes_changes_nothing_and_one_that_goes_moves_its_services() {
    let (first, second) = (pool("a", &["1.2.3.4/32"]), pool("b", &["1.2.5.4/32"]));
    let mut cluster = Cluster::new([second.clone()]);
    cluster.serve(service("s"));
    cluster.set_pools([first.clone(), second]);
    assert_eq!(cluster.woken(), [""; 0], "nothing changes, so nobody is woken");
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.5.4"]);
    cluster.set_pools([first]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
}

/// MetalLB does the same for one pool, and clears what the last pool leaves behind; we never do.
#[test]
fn services_wait_for_the_first_pool() {
    for dual in [false, true] {
        let mut cluster = Cluster::new([]);
        let builder = if dual { service("s").dual_stack() } else { service("s") };
        assert_eq!(cluster.wait(builder.clone()).reason, "NoAddressPools");
        cluster.set_pools([pool("p", &["1.2.3.4/32", "1000::4/128"])]);
        cluster.follow_wakeups();
        assert_eq!(cluster.ips("s").len(), if dual { 2 } else { 1 });
        cluster.set_pools([]);
        cluster.settle();
        assert_eq!(cluster.ips("s").len(), if dual { 2 } else { 1 });
    }
}

#[test]
fn pools_that_change_keep_their_services_as_long_as_they_contain_their_addresses() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.0/30", "1000::/126"])]);
    cluster.serve(service("s1"));
    cluster.serve(service("s2").families(V6));
    let mut check = |definitions: Vec<Definition>, owner_of_s1: &str| {
        let mistakes = cluster.set_pools(definitions);
        assert_eq!(mistakes, []);
        cluster.settle();
        assert_eq!((cluster.ips("s1"), cluster.ips("s2")), (vec!["1.2.3.0".into()], vec!["1000::".into()]));
        let service = &cluster.services[&cloud_provider::ServiceKey::new("default", "s1")];
        let published = crate::support::now(cluster.provider.get(service)).unwrap().unwrap();
        assert_eq!(published.annotations["metallb.io/ip-allocated-from-pool"], owner_of_s1);
    };
    check(vec![pool("test", &["1.2.3.0/30", "1000::/126"])], "test");
    check(vec![pool("test", &["1.2.3.0/29", "1000::/125"])], "test");
    check(vec![pool("test", &["1.2.3.0/31", "1000::/127"])], "test");
    check(vec![pool("renamed", &["1.2.3.0/31", "1000::/127"])], "renamed");
    check(vec![pool("left", &["1.2.3.0/31"]), pool("right", &["1000::/127"])], "left");
}

#[test]
fn a_pool_that_is_shrunk_moves_only_those_it_no_longer_contains() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.0/31", "1000::/127"])]);
    cluster.serve(service("s1"));
    cluster.serve(service("s2").families(V6));
    cluster.set_pools([pool("test", &["1.2.3.1/32", "1000::/127"])]);
    cluster.settle();
    assert_eq!((cluster.ips("s1"), cluster.ips("s2")), (vec!["1.2.3.1".into()], vec!["1000::".into()]));
    cluster.set_pools([pool("test", &["1.2.3.1/32", "1000::1/128"])]);
    cluster.settle();
    assert_eq!((cluster.ips("s1"), cluster.ips("s2")), (vec!["1.2.3.1".into()], vec!["1000::1".into()]));
}

#[test]
fn a_pool_that_begins_to_avoid_buggy_addresses_moves_those_who_have_one() {
    let mut cluster = Cluster::new([pool("test", &["1.2.3.0/24"])]);
    cluster.serve(service("s1"));
    cluster.serve(service("s2"));
    cluster.set_pools([pool("test", &["1.2.3.0/24"]).without_buggy()]);
    cluster.settle();
    assert_eq!((cluster.ips("s1"), cluster.ips("s2")), (vec!["1.2.3.2".into()], vec!["1.2.3.1".into()]));
    let status = cluster.counters("test");
    assert_eq!((status.assigned_ipv4, status.available_ipv4), (2, 252));
}

#[test]
fn auto_assign_switched_off_and_better_pools_move_nobody() {
    let mut cluster = Cluster::new([pool("b", &["1.2.3.0/31"])]);
    cluster.serve(service("s1"));
    cluster.set_pools([pool("b", &["1.2.3.0/31"]).by_request_only()]);
    cluster.settle();
    assert_eq!(cluster.ips("s1"), ["1.2.3.0"]);
    cluster.set_pools([pool("a", &["1.2.4.0/31"]).for_namespace("default", 1), pool("b", &["1.2.3.0/31"])]);
    cluster.settle();
    assert_eq!(cluster.ips("s1"), ["1.2.3.0"]);
}

#[test]
fn entries_of_others_keep_what_others_added_to_them() {
    let mut cluster = Cluster::new(pools());
    let mut shown = entry("1.2.3.7");
    shown.ip_mode = Some(IpMode::Proxy);
    let outcome = cluster.apply(service("s").published([shown.clone()]));
    let Ok(Outcome::Ready(ready)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(ready.published.ingress, [shown]);
}

#[test]
fn an_assignment_is_announced_once_and_names_address_and_pool() {
    let mut cluster = Cluster::new(pools());
    let first = notes(&cluster.apply(service("s")));
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].kind, first[0].reason.as_str()), (NoteKind::Normal, "IPAllocated"));
    assert_eq!(first[0].message, "Assigned IP [1.2.3.0] from pool pool1");
    assert_eq!(notes(&cluster.apply(service("s"))), []);
}

#[test]
fn deprecated_annotations_work_and_name_their_replacement() {
    let mut cluster = Cluster::new(pools());
    let old = |key: &str| format!("metallb.universe.tf/{key}");
    let outcome = cluster.apply(service("s").annotation(&old("address-pool"), "pool2"));
    assert_eq!(cluster.ips("s"), ["3.4.5.6"]);
    let notes = notes(&outcome);
    let note = notes.iter().find(|note| note.reason == "DeprecatedAnnotation").expect("a note");
    assert_eq!(note.kind, NoteKind::Normal);
    assert!(note.message.contains("use metallb.io/address-pool"), "{}", note.message);
    for key in ["loadBalancerIPs", "address-pool", "allow-shared-ip"] {
        assert!(cluster.provider.reads_annotation(&old(key)));
        assert!(cluster.provider.reads_annotation(&format!("metallb.io/{key}")));
    }
    assert!(!cluster.provider.reads_annotation("metallb.io/ip-allocated-from-pool"));
}

#[test]
fn a_new_annotation_hides_its_deprecated_twin_by_being_there() {
    let mut cluster = Cluster::new(pools());
    let both = service("s").annotation(POOL, "").annotation("metallb.universe.tf/address-pool", "pool2");
    assert_eq!(cluster.serve(both), ["1.2.3.0"]);
    let both = service("t").families(V4).annotation(IPS, "1.2.3.9");
    assert_eq!(cluster.serve(both.annotation("metallb.universe.tf/loadBalancerIPs", "1.2.3.8")), ["1.2.3.9"]);
}
