//! Pools change, vanish and come back: what a status shows is what the next decision starts from, never what was
//! intended and told to nobody.

use std::time::Duration;

use cloud_provider::ServiceKey;
use cloud_provider::testing::a_service_named;
use metallb::pool::Definition;
use provider_bare::BareConfig;
use provider_bare::plan::RemovedAddress;

use crate::support::{Cluster, PoolWords, entry, notes, pool, service};

fn a() -> Definition {
    pool("a", &["1.2.3.0/29"])
}

fn b() -> Definition {
    pool("b", &["5.6.7.0/29"])
}

fn c_by_request() -> Definition {
    pool("c", &["9.9.9.0/29"]).by_request_only()
}

const NAMES: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];

/// Five Services with addresses of pool `a`, and a pool `b` beside it that sorts behind.
fn five_on_a() -> (Cluster, Vec<Vec<String>>) {
    let mut cluster = Cluster::new([a()]);
    let addresses = NAMES.map(|name| cluster.serve(service(name))).to_vec();
    cluster.set_pools([a(), b()]);
    cluster.settle();
    (cluster, addresses)
}

fn all(cluster: &Cluster) -> Vec<Vec<String>> {
    NAMES.iter().map(|name| cluster.ips(name)).collect()
}

#[test]
fn pools_that_are_deleted_one_after_the_other_take_nothing_from_anybody() {
    let (mut cluster, before) = five_on_a();
    cluster.set_pools([b()]);
    cluster.set_pools([]);
    cluster.settle();
    assert_eq!(all(&cluster), before);
    cluster.restart();
    cluster.settle();
    assert_eq!(all(&cluster), before);
}

#[test]
fn an_address_that_was_never_published_is_no_reason_to_move_to_it() {
    let (mut cluster, before) = five_on_a();
    cluster.set_pools([b()]);
    cluster.set_pools([c_by_request()]);
    cluster.settle();
    assert_eq!(all(&cluster), before);
}

#[test]
fn a_pool_that_is_back_before_anybody_was_told_moves_nobody() {
    let (mut cluster, before) = five_on_a();
    cluster.set_pools([b()]);
    cluster.set_pools([a(), b()]);
    cluster.settle();
    assert_eq!(all(&cluster), before);
    assert_eq!(cluster.counters("b").assigned_ipv4, 0, "what was set aside is free again");
}

#[test]
fn a_replacement_whose_status_could_not_be_written_is_no_state() {
    let (mut cluster, before) = five_on_a();
    cluster.set_pools([b()]);
    let keys: Vec<_> = cluster.services.keys().cloned().collect();
    for key in &keys {
        // The answer is there, the write is not.
        cluster.ensure(key).expect("there is a replacement");
    }
    cluster.set_pools([]);
    cluster.settle();
    assert_eq!(all(&cluster), before);
}

#[test]
fn an_address_that_is_taken_back_and_given_up_again_before_anybody_was_told_stays() {
    let (mut cluster, before) = five_on_a();
    cluster.set_pools([b()]);
    let keys: Vec<_> = cluster.services.keys().cloned().collect();
    for key in &keys {
        // The answer is there, the write is not.
        cluster.ensure(key).expect("there is a replacement");
    }
    // What the statuses show is taken back, and given up for what was answered last.
    cluster.set_pools([a()]);
    cluster.set_pools([a(), b()]);
    let new = cluster.serve(service("new"));
    assert!(!before.contains(&new), "{new:?} is shown by another");
    cluster.settle();
    assert_eq!(all(&cluster), before);
}

#[test]
fn an_address_that_a_status_still_shows_is_not_had_by_whoever_somebody_writes_it_for() {
    let mut cluster = Cluster::new([a()]);
    cluster.serve(service("s"));
    cluster.set_pools([a().for_namespace("other", 1), b()]);
    // The answer is there, the write is not.
    cluster.ensure(&ServiceKey::new("default", "s")).expect("there is a replacement");
    let theirs = a_service_named("other", "t").published([entry("1.2.3.0")]);
    assert_eq!(cluster.serve(theirs), ["1.2.3.1"]);
}

#[test]
fn what_was_chosen_and_not_told_is_still_the_choice_while_it_holds() {
    let mut cluster = Cluster::new([a()]);
    cluster.serve(service("s0"));
    cluster.set_pools([b()]);
    cluster.set_pools([b(), c_by_request()]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s0"), ["5.6.7.0"]);
    assert_eq!(cluster.counters("b").assigned_ipv4, 1);
}

const GRACE: Duration = Duration::from_secs(60);

/// As [`five_on_a`], with the grace period that is the default.
fn five_on_a_with_grace(removed_address: RemovedAddress) -> (Cluster, Vec<Vec<String>>) {
    let mut config = BareConfig::default();
    config.removed_address = removed_address;
    let mut cluster = Cluster::with(config, [a(), b()]);
    let addresses = NAMES.map(|name| cluster.serve(service(name))).to_vec();
    (cluster, addresses)
}

const POLICIES: [RemovedAddress; 2] = [RemovedAddress::Move, RemovedAddress::Release];

#[test]
fn a_pool_that_is_gone_and_back_within_the_grace_period_moves_nobody() {
    for policy in POLICIES {
        let (mut cluster, before) = five_on_a_with_grace(policy);
        cluster.set_pools([b()]);
        cluster.settle();
        cluster.pass(GRACE.checked_sub(Duration::from_millis(1)).unwrap());
        cluster.set_pools([a(), b()]);
        cluster.settle();
        cluster.pass(2 * GRACE);
        assert_eq!(all(&cluster), before);
    }
}

#[test]
fn a_pool_that_is_edited_to_a_wrong_range_and_taken_back_moves_nobody() {
    let (mut cluster, before) = five_on_a_with_grace(RemovedAddress::Move);
    cluster.set_pools([pool("a", &["1.2.33.0/29"]), b()]);
    cluster.settle();
    cluster.pass(Duration::from_secs(9));
    assert_eq!(all(&cluster), before, "the edit may be taken back");
    cluster.set_pools([a(), b()]);
    cluster.settle();
    cluster.pass(2 * GRACE);
    assert_eq!(all(&cluster), before);
}

#[test]
fn after_the_grace_period_what_was_decided_is_done() {
    let (mut cluster, before) = five_on_a_with_grace(RemovedAddress::Move);
    cluster.set_pools([b()]);
    cluster.follow_wakeups();
    assert_eq!(all(&cluster), before);
    cluster.pass(GRACE);
    assert!(cluster.ips("s0")[0].starts_with("5.6.7."), "{:?}", cluster.ips("s0"));

    let (mut cluster, _) = five_on_a_with_grace(RemovedAddress::Release);
    cluster.set_pools([c_by_request()]);
    cluster.follow_wakeups();
    cluster.pass(GRACE);
    assert_eq!(cluster.ips("s0"), [""; 0]);
}

#[test]
fn a_grace_period_is_told_with_what_happens_when_it_ends() {
    let (mut cluster, _) = five_on_a_with_grace(RemovedAddress::Move);
    cluster.set_pools([b()]);
    assert!(cluster.woken().contains(&"s0".to_owned()), "whom it concerns is looked at");
    let told = notes(&cluster.apply(service("s0")));
    assert_eq!(told[0].reason, "AddressLeavesPool");
    assert!(told[0].message.contains("stays published for 60 s"), "{}", told[0].message);
}

#[test]
fn a_grace_period_begins_anew_for_a_new_process_and_after_a_time_without_any_pool() {
    let (mut cluster, before) = five_on_a_with_grace(RemovedAddress::Move);
    cluster.set_pools([b()]);
    cluster.settle();
    cluster.pass(GRACE / 2);
    cluster.restart();
    cluster.settle();
    cluster.pass(GRACE / 2);
    assert_eq!(all(&cluster), before, "the new process knows nothing of what has passed");
    cluster.set_pools([]);
    cluster.settle();
    cluster.pass(3 * GRACE);
    cluster.set_pools([b()]);
    cluster.settle();
    assert_eq!(all(&cluster), before, "pools come back one by one");
}

#[test]
fn who_waits_past_the_grace_period_keeps_its_address_and_waits_on() {
    let (mut cluster, before) = five_on_a_with_grace(RemovedAddress::Move);
    cluster.set_pools([c_by_request()]);
    cluster.follow_wakeups();
    cluster.pass(GRACE);
    let pending = cluster.wait(service("s0"));
    assert_eq!(pending.reason, "PoolExhausted", "{}", pending.why);
    cluster.pass(GRACE);
    assert_eq!(cluster.wait(service("s0")).reason, "PoolExhausted", "no second period begins");
    assert_eq!(all(&cluster), before);
}

#[test]
fn a_service_that_comes_back_gets_the_address_that_it_had() {
    let mut cluster = Cluster::new([a()]);
    let addresses = NAMES.map(|name| cluster.serve(service(name)));
    cluster.delete("s0");
    cluster.delete("s3");
    assert_eq!(cluster.serve(service("s3").uid("another")), addresses[3]);
    // It is a preference and no claim.
    cluster.delete("s3");
    assert_eq!(cluster.serve(service("t")), addresses[0]);
    assert_eq!(cluster.serve(service("u")), addresses[3]);
    assert_ne!(cluster.serve(service("s3").uid("a third")), addresses[3]);
}
