//! What is assigned can be announced: MetalLB's speaker announces a Service only if all its addresses are of one pool, and
//! takes no new configuration while a Service shows an address that is in no pool.

use cloud_provider::testing::ServiceBuilder;
use cloud_provider::{FamilyPolicy, NoteKind};
use metallb::manifest;
use metallb::pool::Definition;
use provider_bare::BareConfig;
use provider_bare::plan::RemovedAddress;

use crate::support::{
    BOTH, Cluster, PoolWords, V6, decisive, entry, notes, pool, service, with_own_announcer,
};

const IPS: &str = "metallb.io/loadBalancerIPs";
const POOL: &str = "metallb.io/address-pool";

fn prefer(name: &str) -> ServiceBuilder {
    service(name).families(BOTH).family_policy(FamilyPolicy::PreferDualStack)
}

fn four_and_six() -> [Definition; 2] {
    [pool("four", &["1.2.3.4/30"]), pool("six", &["1000::4/126"])]
}

#[test]
fn with_metallbs_speaker_no_second_family_comes_from_another_pool() {
    let mut cluster = Cluster::new(four_and_six());
    assert_eq!(cluster.serve(prefer("s")), ["1.2.3.4"]);
    let single = service("t");
    assert_eq!(cluster.serve(single), ["1.2.3.5"]);
    assert_eq!(cluster.serve(prefer("t")), ["1.2.3.5"], "what is announced stays announced");
    cluster.restart();
    cluster.settle();
    assert_eq!((cluster.ips("s"), cluster.ips("t")), (vec!["1.2.3.4".into()], vec!["1.2.3.5".into()]));

    let mut cluster = Cluster::with(with_own_announcer(), four_and_six());
    assert_eq!(cluster.serve(prefer("s")), ["1.2.3.4", "1000::4"]);
}

#[test]
fn with_metallbs_speaker_a_pool_with_both_families_comes_before_one_that_is_asked_earlier() {
    let pools = [pool("a", &["1.2.3.4/30"]), pool("b", &["5.6.7.0/30", "1000::4/126"])];
    let mut cluster = Cluster::new(pools);
    assert_eq!(cluster.serve(prefer("s")), ["5.6.7.0", "1000::4"]);
    assert_eq!(cluster.serve(service("t").dual_stack()), ["5.6.7.1", "1000::5"]);
    assert_eq!(cluster.serve(service("u")), ["1.2.3.4"]);
}

#[test]
fn with_metallbs_speaker_a_service_that_needs_both_families_is_told_that_one_pool_must_have_them() {
    let mut cluster = Cluster::new(four_and_six());
    let message = cluster.refuse(service("new").dual_stack());
    assert!(message.contains("needs IPv4 and IPv6 addresses: MetalLB's speaker announces"), "{message}");
    cluster.serve(service("s"));
    let message = cluster.refuse(service("s").dual_stack());
    assert!(message.contains("1.2.3.4 is of pool four, and MetalLB's speaker"), "{message}");
    assert!(message.contains("1.2.3.4 stays published"), "{message}");
    let message = cluster.refuse(service("t").dual_stack().annotation(IPS, "1.2.3.5,1000::5"));
    assert!(message.contains("asks for addresses of pools four and six"), "{message}");
}

#[test]
fn who_waits_for_both_families_of_one_pool_has_them_as_soon_as_one_pool_has_both() {
    let mut cluster =
        Cluster::new([pool("a", &["1.2.3.4/32", "1000::4/128"]), pool("b", &["5.6.7.0/32", "2000::4/128"])]);
    cluster.serve(service("six").families(V6).annotation(IPS, "1000::4"));
    cluster.serve(service("four").annotation(IPS, "5.6.7.0"));
    let pending = cluster.wait(service("s").dual_stack());
    assert!(pending.why.contains("MetalLB's speaker announces a Service only if"), "{}", pending.why);
    assert_eq!(cluster.counters("a").available_ipv4, 1, "nothing is taken alone");
    cluster.delete("six");
    assert_eq!(cluster.ips("s"), ["1.2.3.4", "1000::4"]);
}

#[test]
fn addresses_that_no_status_shows_are_chosen_again_if_they_are_of_two_pools_by_now() {
    let mut cluster = Cluster::new([pool("both", &["1.2.3.0/30", "fc00::/126"])]);
    let key = cluster.put(prefer("s"));
    // The answer is there, the write is not.
    cluster.ensure(&key).expect("there are addresses");
    cluster.set_pools([pool("v4", &["1.2.3.0/30"]), pool("v6", &["fc00::/126"])]);
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.0"], "the speaker would announce neither");

    let mut cluster = Cluster::new([pool("both", &["1.2.3.0/30", "fc00::/126"])]);
    cluster.serve(prefer("s"));
    // Somebody else writes into the status.
    cluster.put(prefer("s").published([entry("9.9.9.9")]));
    cluster.set_pools([pool("v4", &["1.2.3.0/30"]), pool("v6", &["fc00::/126"])]);
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.0"]);
}

#[test]
fn both_addresses_move_together_or_stay_together() {
    let both = pool("a", &["1.2.3.4/30", "1000::4/126"]);
    let mut cluster = Cluster::new([both.clone()]);
    cluster.serve(prefer("s"));
    cluster.set_pools([pool("b", &["5.6.7.0/30"]), pool("c", &["2000::/126"])]);
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.4", "1000::4"], "no pool has both");
    cluster.set_pools([pool("b", &["5.6.7.0/30"]), pool("d", &["9.9.9.0/30", "3000::/126"])]);
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["9.9.9.0", "3000::"]);
}

#[test]
fn a_reserved_address_comes_before_a_second_family() {
    let reserving = pool("a", &["1.2.3.4/30"]).by_request_only().reserving("1.2.3.6=default/s");
    let mut cluster = Cluster::new([reserving, pool("b", &["5.6.7.0/30", "1000::4/126"])]);
    assert_eq!(cluster.serve(prefer("s")), ["1.2.3.6"]);
    assert_eq!(cluster.serve(service("needs-both").dual_stack()), ["5.6.7.0", "1000::4"]);
}

#[test]
fn a_service_goes_to_the_pool_it_asks_for_with_what_that_pool_has() {
    let both = pool("a", &["1.2.3.4/30", "1000::4/126"]);
    let mut cluster = Cluster::new([both, pool("b", &["5.6.7.0/30"])]);
    cluster.serve(prefer("s"));
    assert_eq!(cluster.serve(prefer("s").annotation(POOL, "b")), ["5.6.7.0"]);
}

#[test]
fn addresses_of_two_pools_stay_and_the_condition_says_that_nobody_announces_them() {
    let mut cluster = Cluster::new(four_and_six());
    cluster.put(prefer("s").published_ips(["1.2.3.4", "1000::4"]));
    cluster.restart();
    let outcome = cluster.apply(prefer("s"));
    assert_eq!(cluster.ips("s"), ["1.2.3.4", "1000::4"]);
    assert_eq!(notes(&outcome)[0].kind, NoteKind::Warning);
    let pending = cluster.wait(prefer("s"));
    assert_eq!(pending.reason, "AddressesOfTwoPools");
    assert!(pending.why.contains("1.2.3.4, 1000::4 are of pools four and six"), "{}", pending.why);
}

/// The manifest in a sentence.
fn manifest_in(sentence: &str) -> Vec<Definition> {
    let (start, end) = (sentence.find('{').expect("a manifest"), sentence.rfind('}').expect("its end"));
    manifest::parse(&sentence[start..=end]).pools
}

#[test]
fn while_an_address_is_in_no_pool_event_and_condition_say_what_the_speaker_refuses_and_which_pool_mends_it() {
    let pools = || [pool("a", &["1.2.3.4/30", "1000::4/126"]), pool("b", &["5.6.7.0/30"]).by_request_only()];
    for removed_address in [RemovedAddress::Move, RemovedAddress::Keep] {
        for left in [vec![], vec![pools()[1].clone()]] {
            let mut config = decisive();
            config.removed_address = removed_address;
            let mut cluster = Cluster::with(config, pools());
            cluster.serve(service("s").dual_stack());
            cluster.set_pools(left.clone());
            let pending = cluster.wait(service("s").dual_stack());
            let says =
                "MetalLB's speaker refuses new configuration until a pool holds 1.2.3.4, 1000::4 again";
            assert!(pending.why.contains(says), "{}", pending.why);
            assert_eq!(cluster.ips("s"), ["1.2.3.4", "1000::4"], "it is never taken to please the speaker");
            let mending = manifest_in(&pending.why);
            assert_eq!(mending[0].namespace, "metallb-system");
            cluster.set_pools(left.into_iter().chain(mending));
            assert_eq!(cluster.serve(service("s").dual_stack()), ["1.2.3.4", "1000::4"]);
            cluster.wait(service("other"));
        }
    }
}

#[test]
fn a_grace_period_says_what_the_speaker_refuses_meanwhile() {
    let config = BareConfig::default();
    let mut cluster = Cluster::with(config, [pool("a", &["1.2.3.4/30"]), pool("b", &["5.6.7.0/30"])]);
    cluster.serve(service("s"));
    cluster.set_pools([pool("b", &["5.6.7.0/30"])]);
    let outcome = cluster.apply(service("s"));
    let told = notes(&outcome);
    assert_eq!(told[0].reason, "AddressLeavesPool");
    assert!(told[0].message.contains("MetalLB's speaker refuses new configuration"), "{}", told[0].message);
}

#[test]
fn a_refused_service_is_told_what_the_speaker_refuses_too() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/30"]), pool("b", &["5.6.7.0/30"])]);
    cluster.serve(service("s").annotation(IPS, "1.2.3.4"));
    cluster.set_pools([pool("b", &["5.6.7.0/30"])]);
    let message = cluster.refuse(service("s").annotation(IPS, "1.2.3.4"));
    assert!(
        message.contains("MetalLB's speaker refuses new configuration until a pool holds 1.2.3.4"),
        "{message}"
    );
}

#[test]
fn another_announcer_minds_neither() {
    let mut cluster = Cluster::with(with_own_announcer(), four_and_six());
    assert_eq!(cluster.serve(prefer("s")), ["1.2.3.4", "1000::4"]);
    cluster.set_pools([]);
    let pending = cluster.wait(prefer("s"));
    assert!(!pending.why.contains("speaker"), "{}", pending.why);
}
