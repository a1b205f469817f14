//! Addresses of a pool that are not for everybody: excluded ones, and reserved ones.

use cloud_provider::ServiceKey;
use provider_bare::assignments::Reuse;
use provider_bare::plan::RemovedAddress;

use crate::support::{Cluster, PoolWords, V6, decisive, pool, service};

const IPS: &str = "metallb.io/loadBalancerIPs";

#[test]
fn an_excluded_address_is_given_to_nobody() {
    let mut cluster =
        Cluster::new([pool("lan", &["10.0.0.0/29"]).excluding("10.0.0.0, 10.0.0.2-10.0.0.5, 10.0.0.7/32")]);
    assert_eq!(cluster.serve(service("a")), ["10.0.0.1"]);
    assert_eq!(cluster.serve(service("b")), ["10.0.0.6"]);
    let waiting = cluster.wait(service("c"));
    assert_eq!(waiting.why, "no free IPv4 address in lan (all 2 in use)");
    assert_eq!(cluster.counters("lan").available_ipv4, 0);
    assert_eq!(cluster.counters("lan").assigned_ipv4, 2);
}

#[test]
fn an_excluded_address_that_comes_back_stays_excluded() {
    let plain = || pool("lan", &["10.0.0.0/31"]);
    let mut cluster = Cluster::new([plain()]);
    cluster.serve(service("a"));
    cluster.set_pools([plain().excluding("10.0.0.0")]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("a"), ["10.0.0.1"], "it moves, as from a pool that lost the address");
    cluster.settle();
    cluster.delete("a");
    assert_eq!(cluster.serve(service("b")), ["10.0.0.1"]);
    cluster.wait(service("c"));
}

#[test]
fn who_asks_for_an_excluded_address_is_told() {
    let mut cluster = Cluster::new([pool("lan", &["10.0.0.0/29"]).excluding("10.0.0.3")]);
    let message = cluster.refuse(service("a").annotation(IPS, "10.0.0.3"));
    assert!(message.contains("asks for 10.0.0.3, which pool \"lan\" excludes"), "{message}");
}

#[test]
fn a_published_address_that_is_excluded_later_follows_the_policy() {
    for (policy, after) in
        [(RemovedAddress::Move, vec!["10.0.0.1"]), (RemovedAddress::Keep, vec!["10.0.0.0"])]
    {
        let mut config = decisive();
        config.removed_address = policy;
        let mut cluster = Cluster::with(config, [pool("lan", &["10.0.0.0/31"])]);
        cluster.serve(service("a"));
        cluster.set_pools([pool("lan", &["10.0.0.0/31"]).excluding("10.0.0.0")]);
        cluster.settle();
        assert_eq!(cluster.ips("a"), after, "{policy:?}");
    }
}

#[test]
fn what_one_pool_excludes_another_cannot_have() {
    let mut cluster = Cluster::new([]);
    let mistakes = cluster
        .set_pools([pool("a", &["10.0.0.0/29"]).excluding("10.0.0.4/30"), pool("b", &["10.0.0.4/30"])]);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].to_string().contains("overlaps"), "{}", mistakes[0]);
}

#[test]
fn an_address_that_was_given_back_rests_while_there_are_others() {
    let mut config = decisive();
    config.reuse = Reuse::LongestFree;
    let mut cluster = Cluster::with(config, [pool("lan", &["10.0.0.0/30"])]);
    for (name, address) in [("a", "10.0.0.0"), ("b", "10.0.0.1"), ("c", "10.0.0.2")] {
        assert_eq!(cluster.serve(service(name)), [address]);
    }
    cluster.delete("b");
    cluster.delete("a");
    assert_eq!(cluster.serve(service("d")), ["10.0.0.3"], "what was never used comes first");
    assert_eq!(cluster.serve(service("e")), ["10.0.0.1"], "then what has been free longest");
    assert_eq!(cluster.serve(service("f")), ["10.0.0.0"]);
}

#[test]
fn an_address_that_rests_can_be_asked_for() {
    let mut config = decisive();
    config.reuse = Reuse::LongestFree;
    let mut cluster = Cluster::with(config, [pool("lan", &["10.0.0.0/31"])]);
    cluster.serve(service("a"));
    cluster.delete("a");
    assert_eq!(cluster.serve(service("b").annotation(IPS, "10.0.0.0")), ["10.0.0.0"]);
    assert_eq!(cluster.serve(service("c")), ["10.0.0.1"]);
    cluster.wait(service("d"));
}

#[test]
fn a_reserved_address_waits_for_its_service() {
    let mut cluster = Cluster::new([pool("lan", &["10.0.0.0/30"]).reserving("10.0.0.1=default/web")]);
    assert_eq!(cluster.serve(service("a")), ["10.0.0.0"]);
    assert_eq!(cluster.serve(service("b")), ["10.0.0.2"]);
    assert_eq!(cluster.serve(service("web")), ["10.0.0.1"]);
    assert_eq!(cluster.serve(service("c")), ["10.0.0.3"]);
    assert_eq!(cluster.wait(service("d")).why, "no free IPv4 address in lan (all 3 in use)");
}

#[test]
fn a_reservation_outlives_the_service_and_a_restart() {
    let mut cluster = Cluster::new([pool("lan", &["10.0.0.0/30"]).reserving("10.0.0.2=default/web")]);
    cluster.serve(service("web"));
    cluster.delete("web");
    cluster.restart();
    for name in ["a", "b", "c"] {
        assert_ne!(cluster.serve(service(name)), ["10.0.0.2"]);
    }
    assert_eq!(cluster.serve(service("web").uid("another")), ["10.0.0.2"]);
}

#[test]
fn a_reservation_holds_in_a_pool_that_gives_nothing_unasked() {
    let mut cluster = Cluster::new([
        pool("lan", &["10.0.0.0/30"]),
        pool("vips", &["10.0.1.0/30"]).by_request_only().reserving("10.0.1.3=default/web"),
    ]);
    assert_eq!(cluster.serve(service("web")), ["10.0.1.3"]);
}

#[test]
fn who_asks_for_what_is_reserved_for_others_is_told() {
    let mut cluster = Cluster::new([pool("lan", &["10.0.0.0/30"]).reserving("10.0.0.1=default/web")]);
    let message = cluster.refuse(service("a").annotation(IPS, "10.0.0.1"));
    assert!(message.contains("asks for 10.0.0.1, which pool \"lan\" reserves for others"), "{message}");
    assert_eq!(cluster.serve(service("web").annotation(IPS, "10.0.0.1")), ["10.0.0.1"]);
}

#[test]
fn who_holds_an_address_that_is_reserved_for_another_moves_and_makes_room() {
    let plain = || pool("lan", &["10.0.0.0/30"]);
    let mut cluster = Cluster::new([plain()]);
    assert_eq!(cluster.serve(service("a")), ["10.0.0.0"]);
    cluster.set_pools([plain().reserving("10.0.0.0=default/web")]);
    cluster.settle();
    assert_eq!(cluster.ips("a"), ["10.0.0.1"]);
    assert_eq!(cluster.serve(service("web")), ["10.0.0.0"]);
}

#[test]
fn who_has_an_address_keeps_it_when_another_is_reserved_for_it() {
    let plain = || pool("lan", &["10.0.0.0/30"]);
    let mut cluster = Cluster::new([plain()]);
    assert_eq!(cluster.serve(service("web")), ["10.0.0.0"]);
    cluster.set_pools([plain().reserving("10.0.0.3=default/web")]);
    cluster.settle();
    assert_eq!(cluster.ips("web"), ["10.0.0.0"], "what is published is never moved without need");
}

#[test]
fn a_service_that_waits_gets_its_reserved_address_as_soon_as_that_is_free() {
    let plain = || pool("lan", &["10.0.0.0/31"]);
    let mut config = decisive();
    config.removed_address = RemovedAddress::Keep;
    let mut cluster = Cluster::with(config, [plain()]);
    cluster.serve(service("a"));
    cluster.serve(service("b"));
    cluster.set_pools([plain().reserving("10.0.0.0=default/web")]);
    cluster.settle();
    cluster.wait(service("web"));
    cluster.delete("a");
    assert_eq!(cluster.ips("web"), ["10.0.0.0"]);
}

#[test]
fn services_that_share_can_have_one_reservation() {
    let lan = pool("lan", &["10.0.0.0/30"]).reserving("10.0.0.1=default/tcp, 10.0.0.1=default/udp");
    let mut cluster = Cluster::new([lan]);
    let sharing =
        |name: &str, port| service(name).ports([port]).annotation("metallb.io/allow-shared-ip", "dns");
    assert_eq!(cluster.serve(sharing("tcp", 53)), ["10.0.0.1"]);
    assert_eq!(cluster.serve(sharing("udp", 5353)), ["10.0.0.1"]);
    assert_eq!(cluster.serve(sharing("stranger", 80)), ["10.0.0.0"], "the key alone does not let anybody in");
}

#[test]
fn each_family_has_its_own_reservations() {
    let lan =
        pool("lan", &["10.0.0.0/30", "fc00::/126"]).reserving("10.0.0.2=default/web,fc00::3=default/web");
    let mut cluster = Cluster::new([lan]);
    assert_eq!(cluster.serve(service("web").dual_stack()), ["10.0.0.2", "fc00::3"]);
    assert_eq!(cluster.serve(service("six").families(V6)), ["fc00::"]);
}

#[test]
fn mistakes_name_the_annotation_and_the_last_good_version_stays() {
    let plain = || pool("lan", &["10.0.0.0/30"]);
    let table = [
        (plain().excluding("10.0.0.9"), "exclude]", "has \"10.0.0.9\", of which the pool contains nothing"),
        (
            plain().excluding("10.0.0.3-10.0.0.1"),
            "exclude]",
            "has \"10.0.0.3-10.0.0.1\", which starts at 10.0.0.3",
        ),
        (plain().excluding("lan"), "exclude]", "has \"lan\", which is not an IP address"),
        (plain().excluding("10.0.0.0/24"), "exclude]", "excludes the whole pool"),
        (plain().reserving("10.0.0.1"), "reserve]", "which is not ADDRESS=NAMESPACE/NAME"),
        (plain().reserving("10.0.0.1=web"), "reserve]", "which is not ADDRESS=NAMESPACE/NAME"),
        (
            plain().reserving("10.0.0.9=default/web"),
            "reserve]",
            "has 10.0.0.9, which the pool does not contain",
        ),
        (
            plain().excluding("10.0.0.1").reserving("10.0.0.1=default/web"),
            "reserve]",
            "has 10.0.0.1, which the pool excludes",
        ),
    ];
    for (wrong, field, problem) in table {
        let mut cluster = Cluster::new([plain()]);
        cluster.serve(service("a"));
        let mistakes = cluster.set_pools([wrong]);
        let message = mistakes[0].to_string();
        assert!(message.contains(field) && message.contains(problem), "{message}");
        assert!(message.contains("its last good version stays in force"), "{message}");
        assert_eq!(cluster.serve(service("b")), ["10.0.0.1"]);
        assert_eq!(cluster.ips_of(&ServiceKey::new("default", "a")), ["10.0.0.0"]);
    }
}
