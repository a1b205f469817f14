//! The rules that keep a published address where it is: start, restart, order, lost writes, pools that change. They
//! are numbered as in the crate's README.

use cloud_provider::testing::{ServiceBuilder, a_service_named};
use cloud_provider::{ClassRule, CloudLoadBalancer, FamilyPolicy, NoteKind, Outcome, ServiceKey};
use provider_bare::plan::RemovedAddress;

use crate::support::{BOTH, Cluster, PoolWords, V6, decisive, notes, now, pool, service, with_own_announcer};

const IPS: &str = "metallb.io/loadBalancerIPs";
const POOL: &str = "metallb.io/address-pool";

fn prefer(name: &str) -> ServiceBuilder {
    service(name).families(BOTH).family_policy(FamilyPolicy::PreferDualStack)
}

/// Rule 1.
#[test]
fn with_invalid_or_absent_pools_at_the_start_nothing_changes() {
    for pools in [vec![], vec![pool("p", &["1.2.3.9-1.2.3.0"])]] {
        let mut cluster = Cluster::new(pools);
        cluster.put(service("s1").published_ips(["1.2.3.4"]));
        cluster.put(service("s2").published([cloud_provider::Ingress::hostname("by.somebody.else")]));
        cluster.restart();
        let before = cluster.services.clone();
        cluster.settle();
        assert_eq!(cluster.services, before);
        // And what is published is known to be taken when a pool comes.
        cluster.set_pools([pool("p", &["1.2.3.4/31"])]);
        cluster.follow_wakeups();
        assert_eq!((cluster.ips("s1"), cluster.ips("s2")), (vec!["1.2.3.4".into()], vec!["1.2.3.5".into()]));
    }
}

/// Rule 2, and the cascade of moves that a rebuild in one phase leads to.
#[test]
fn after_a_restart_every_published_address_is_taken_before_anybody_gets_one() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.0/29"])]);
    for i in 0..4 {
        cluster.serve(service(&format!("s{i}")));
    }
    // While nobody looks, the pool loses its first address, and a new, older Service comes.
    cluster.put(service("new").created(1));
    cluster.set_pools([pool("p", &["1.2.3.1-1.2.3.7"])]);
    cluster.restart();
    cluster.settle();
    let given: Vec<String> = (0..4).flat_map(|i| cluster.ips(&format!("s{i}"))).collect();
    assert_eq!(given, ["1.2.3.4", "1.2.3.1", "1.2.3.2", "1.2.3.3"], "only the one that must moves");
    assert_eq!(cluster.ips("new"), ["1.2.3.5"], "who must move comes before who has nothing");
}

/// Rule 2: additional families are no reason to take what is somebody's.
#[test]
fn a_second_family_is_not_taken_from_a_service_that_has_it() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31", "1000::4/128"])]);
    cluster.put(prefer("a").created(1).published_ips(["1.2.3.4"]));
    cluster.put(service("b").created(2).families(crate::support::V6).published_ips(["1000::4"]));
    cluster.restart();
    cluster.settle();
    assert_eq!((cluster.ips("a"), cluster.ips("b")), (vec!["1.2.3.4".into()], vec!["1000::4".into()]));
}

/// Rule 2: the order in which those are served who need something.
#[test]
fn after_a_restart_explicit_requests_come_first_then_the_evicted_then_families_then_age() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4-1.2.3.7", "1000::4/127"])]);
    cluster.put(service("explicit").created(9).annotation(IPS, "1.2.3.4"));
    cluster.put(service("evicted").created(8).published_ips(["9.9.9.9"]));
    cluster.put(prefer("additional").created(7).published_ips(["1.2.3.7"]));
    cluster.put(service("young").created(2));
    cluster.put(service("old").created(1).families(crate::support::V6));
    cluster.restart();
    cluster.settle();
    let ips = |name: &str| cluster.ips(name).join(",");
    assert_eq!(ips("explicit"), "1.2.3.4");
    assert_eq!(ips("evicted"), "1.2.3.5");
    assert_eq!(ips("additional"), "1.2.3.7,1000::4");
    assert_eq!(ips("young"), "1.2.3.6");
    assert_eq!(ips("old"), "1000::5");
}

/// Rule 2.
#[test]
fn of_two_with_the_same_address_the_one_that_asks_for_it_keeps_it_else_the_oldest() {
    let table = [(None, "old"), (Some("young"), "young"), (Some("old"), "old")];
    for (asking, keeps) in table {
        let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
        for (name, created) in [("young", 2), ("old", 1)] {
            let builder = service(name).created(created).published_ips(["1.2.3.4"]);
            let asks = asking == Some(name);
            cluster.put(if asks { builder.annotation(IPS, "1.2.3.4") } else { builder });
        }
        cluster.restart();
        let loser = if keeps == "old" { "young" } else { "old" };
        let outcome = cluster.reconcile(&ServiceKey::new("default", loser));
        assert_eq!(notes(&outcome)[0].reason, "AddressMoved", "the loser is told");
        cluster.settle();
        assert_eq!(
            (cluster.ips(keeps), cluster.ips(loser)),
            (vec!["1.2.3.4".into()], vec!["1.2.3.5".into()])
        );
    }
}

#[test]
fn of_two_with_the_same_address_the_loser_loses_it_even_if_there_is_no_other() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.put(service("old").created(1).published_ips(["1.2.3.4"]));
    cluster.put(service("young").created(2).published_ips(["1.2.3.4"]));
    cluster.restart();
    cluster.settle();
    assert_eq!((cluster.ips("old"), cluster.ips("young")), (vec!["1.2.3.4".to_owned()], vec![]));
}

#[test]
fn of_two_that_both_ask_for_one_address_the_loser_is_cleared_and_told_why() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    for (name, created) in [("old", 1), ("young", 2)] {
        cluster.put(service(name).created(created).annotation(IPS, "1.2.3.4").published_ips(["1.2.3.4"]));
    }
    cluster.restart();
    let outcome = cluster.reconcile(&ServiceKey::new("default", "young"));
    let Ok(Outcome::Pending(pending)) = outcome else { panic!("{outcome:?}") };
    assert!(pending.notes.iter().any(|note| note.kind == NoteKind::Warning), "{pending:?}");
    assert!(pending.why.contains("in use by default/old"), "{}", pending.why);
    assert_eq!((cluster.ips("old"), cluster.ips("young")), (vec!["1.2.3.4".to_owned()], vec![]));
}

/// Rule 3.
#[test]
fn an_address_in_any_status_is_given_to_nobody_else() {
    let ours = ClassRule::Unset;
    let config = || {
        let mut config = decisive();
        config.class = ours.clone();
        config
    };
    let mut cluster = Cluster::with(config(), [pool("p", &["1.2.3.4/30"])]);
    cluster.put(service("theirs").class("somebody.else/lb").published_ips(["1.2.3.4"]));
    cluster.put(service("mistaken").annotation(IPS, "garbage").published_ips(["1.2.3.5"]));
    cluster.put(
        service("unreadable").mistake(cloud_provider::Mistake::new("f", "v", "p")).published_ips(["1.2.3.6"]),
    );
    cluster.restart();
    assert_eq!(cluster.serve(service("new")), ["1.2.3.7"]);
    // Until the Service is gone: also the one that is not ours.
    cluster.wait(service("newer"));
    cluster.delete("theirs");
    assert_eq!(cluster.ips("newer"), ["1.2.3.4"]);
}

/// Rule 3.
#[test]
fn an_address_that_another_class_publishes_while_we_run_is_avoided_from_the_event_on() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    let theirs = |ips: &[&str]| {
        a_service_named("theirs", "s").class("somebody.else/lb").published_ips(ips.iter().copied())
    };
    cluster.foreign(theirs(&["1.2.3.4"]));
    assert_eq!(cluster.serve(service("a")), ["1.2.3.5"]);
    cluster.wait(service("b"));
    cluster.foreign(theirs(&[]));
    assert_eq!(cluster.ips("b"), ["1.2.3.4"], "and free again when it is shown no more");
}

/// Rule 3.
#[test]
fn an_address_that_was_set_aside_and_told_to_nobody_is_given_up_to_who_publishes_it() {
    let mut cluster = Cluster::new([]);
    cluster.wait(service("s"));
    cluster.set_pools([pool("p", &["1.2.3.4/31"])]);
    cluster.foreign(a_service_named("theirs", "s").class("somebody.else/lb").published_ips(["1.2.3.4"]));
    assert_eq!(cluster.ips("s"), ["1.2.3.5"]);
}

/// Rule 4: of two families, one was withdrawn and its status was never written.
#[test]
fn a_family_whose_withdrawal_was_never_written_is_still_there_when_its_pool_is_back() {
    let both = pool("p", &["1.2.3.4/31", "1000::4/127"]);
    let mut config = decisive();
    config.removed_address = RemovedAddress::Release;
    let mut cluster = Cluster::with(config, [both.clone()]);
    cluster.serve(prefer("s"));
    cluster.set_pools([pool("p", &["1.2.3.4/31"])]);
    let _lost = cluster.ensure(&ServiceKey::new("default", "s"));
    cluster.set_pools([pool("p", &["1.2.3.4/31"]), pool("q", &["1000::4/127"])]);
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.4", "1000::4"]);
}

/// Rule 4.
#[test]
fn memory_knows_better_than_an_older_status() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/30"])]);
    cluster.serve(service("first"));
    let key = cluster.put(service("s"));
    let answer = cluster.ensure(&key).unwrap();
    // The write is on its way; a lower address becomes free; the cache still shows the Service without any.
    cluster.delete("first");
    assert_eq!(cluster.ensure(&key).unwrap(), answer);
}

/// Rule 4.
#[test]
fn a_status_that_somebody_cleared_gets_the_same_address_again() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/30"])]);
    cluster.serve(service("first"));
    assert_eq!(cluster.serve(service("s")), ["1.2.3.5"]);
    cluster.delete("first");
    let key = ServiceKey::new("default", "s");
    cluster.services.get_mut(&key).unwrap().published.clear();
    cluster.reconcile(&key).unwrap();
    assert_eq!(cluster.ips("s"), ["1.2.3.5"]);
}

/// Rule 4.
#[test]
fn what_was_set_aside_and_never_told_is_given_up_when_something_else_is_asked_for() {
    let mut cluster = Cluster::new([]);
    cluster.wait(service("web").families(V6).annotation(POOL, "vips"));
    cluster.set_pools([pool("vips", &["10.0.0.0/30", "fc00::/126"]).by_request_only()]);
    assert_eq!(cluster.counters("vips").assigned_ipv6, 1);
    cluster.wait(service("web"));
    assert_eq!(cluster.ips("web"), Vec::<String>::new());
    assert_eq!(cluster.counters("vips").assigned_ipv6, 0);
}

#[test]
fn a_write_that_fails_keeps_the_reservation() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    let key = cluster.put(service("s"));
    let lost = cluster.ensure(&key).unwrap();
    assert_eq!(cluster.serve(service("other")), ["1.2.3.5"]);
    assert_eq!(cluster.ensure(&key).unwrap(), lost);
}

/// Rule 4: whose new address could not be written is still reached at the old one.
#[test]
fn an_address_that_a_status_may_still_show_is_given_to_nobody() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    cluster.serve(service("s").annotation(IPS, "1.2.3.4"));
    let key = cluster.put(service("s").annotation(IPS, "1.2.3.5"));
    let _lost = cluster.ensure(&key);
    let message = cluster.occupied(service("t").annotation(IPS, "1.2.3.4"));
    assert!(message.contains("still shown in the status of default/s"), "{message}");
    cluster.reconcile(&key).unwrap();
    cluster.settle();
    assert_eq!((cluster.ips("s"), cluster.ips("t")), (vec!["1.2.3.5".into()], vec!["1.2.3.4".into()]));
}

/// Rule 5.
#[test]
fn a_namesake_inherits_nothing() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/30"])]);
    cluster.serve(service("first"));
    cluster.serve(service("s").uid("one"));
    cluster.delete("first");
    cluster.services.remove(&ServiceKey::new("default", "s"));
    assert_eq!(cluster.serve(service("s").uid("two")), ["1.2.3.4"], "the other's is still the other's");
    now(cluster.provider.delete(&cloud_provider::ServiceId::new("default", "s", "one"))).unwrap();
    assert_eq!(cluster.counters("p").assigned_ipv4, 1);
}

/// Rule 5.
#[test]
fn a_class_that_is_not_ours_does_not_hide_what_we_hold() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("s"));
    cluster.wait(service("t"));
    let key = cluster.put(service("s").class("somebody.else/lb"));
    let view = &cluster.services[&key];
    assert!(!cluster.provider.claims(view));
    assert_eq!(now(cluster.provider.list()).unwrap().len(), 1);
    now(cluster.provider.delete(&view.id.clone())).unwrap();
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("t"), ["1.2.3.4"]);
}

/// Rule 6.
#[test]
fn zero_pools_never_wipe_a_status() {
    for removed_address in [RemovedAddress::Move, RemovedAddress::Keep, RemovedAddress::Release] {
        let mut config = decisive();
        config.removed_address = removed_address;
        let mut cluster = Cluster::with(config, [pool("p", &["1.2.3.4/31", "1000::4/127"])]);
        cluster.serve(service("s"));
        cluster.serve(service("t").dual_stack());
        let shown = |cluster: &Cluster| ["s", "t"].map(|name| cluster.ips(name));
        let before = shown(&cluster);
        cluster.set_pools([]);
        cluster.settle();
        assert_eq!(shown(&cluster), before);
        cluster.restart();
        cluster.settle();
        assert_eq!(shown(&cluster), before);
        let pending = cluster.wait(service("s"));
        assert_eq!(pending.reason, "NoAddressPools");
        assert!(pending.why.contains("1.2.3.4 stays published"), "{}", pending.why);
    }
}

/// Rule 6.
#[test]
fn a_vanished_pool_moves_keeps_or_releases_as_the_operator_chose() {
    let (old, new) = (pool("old", &["1.2.3.4/31"]), pool("new", &["5.6.7.8/32"]));
    let cluster = |removed_address| {
        let mut config = decisive();
        config.removed_address = removed_address;
        let mut cluster = Cluster::with(config, [old.clone()]);
        cluster.serve(service("s").created(1));
        cluster.serve(service("t").created(2));
        cluster.set_pools([new.clone()]);
        cluster.follow_wakeups();
        cluster
    };
    let mut moved = cluster(RemovedAddress::Move);
    assert_eq!(moved.ips("s"), ["5.6.7.8"]);
    assert_eq!(moved.ips("t"), ["1.2.3.5"], "there is no replacement, so what is published stays");
    let pending = moved.wait(service("t").created(2));
    assert!(pending.why.contains("1.2.3.5 is to be replaced"), "{}", pending.why);
    assert!(pending.why.contains("1.2.3.5 stays published"), "{}", pending.why);
    moved.delete("s");
    assert_eq!(moved.ips("t"), ["5.6.7.8"]);

    let mut kept = cluster(RemovedAddress::Keep);
    assert_eq!((kept.ips("s"), kept.ips("t")), (vec!["1.2.3.4".into()], vec!["1.2.3.5".into()]));
    let told = notes(&kept.apply(service("s").created(1)));
    assert_eq!((told[0].kind, told[0].reason.as_str()), (NoteKind::Warning, "AddressKept"));
    assert!(told[0].message.contains("1.2.3.4 stays published"), "{}", told[0].message);

    let released = cluster(RemovedAddress::Release);
    assert_eq!((released.ips("s"), released.ips("t")), (vec!["5.6.7.8".to_owned()], vec![]));
}

#[test]
fn a_pool_that_is_no_longer_for_a_service_is_as_good_as_gone() {
    let mut cluster =
        Cluster::new([pool("a", &["1.2.3.4/32"]).for_namespace("default", 1), pool("b", &["5.6.7.8/32"])]);
    assert_eq!(cluster.serve(service("s")), ["1.2.3.4"]);
    cluster.set_pools([pool("a", &["1.2.3.4/32"]).for_namespace("other", 1), pool("b", &["5.6.7.8/32"])]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s"), ["5.6.7.8"]);
}

/// Rule 7.
#[test]
fn the_new_address_is_had_before_the_old_one_is_lost() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/32"]), pool("b", &["5.6.7.8/32"])]);
    cluster.serve(service("s"));
    cluster.serve(service("t"));
    let pending = cluster.wait(service("s").annotation("metallb.io/address-pool", "b"));
    assert_eq!(pending.publish, None);
    assert!(pending.why.contains("1.2.3.4 stays published"), "{}", pending.why);
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    cluster.delete("t");
    assert_eq!(cluster.ips("s"), ["5.6.7.8"]);
    cluster.settle();
    // Asking for an address that somebody has is no different.
    cluster.serve(service("u").annotation(IPS, "1.2.3.4"));
    cluster.occupied(service("s").annotation(IPS, "1.2.3.4"));
    assert_eq!(cluster.ips("s"), ["5.6.7.8"]);
    cluster.delete("u");
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
}

#[test]
fn a_family_more_or_less_does_not_move_the_other() {
    let pools = [pool("a", &["1.2.3.4/31"]), pool("b", &["1.2.4.4/31", "1000::4/127"])];
    let mut cluster = Cluster::with(with_own_announcer(), pools);
    assert_eq!(cluster.serve(service("s")), ["1.2.3.4"]);
    assert_eq!(cluster.serve(service("s").dual_stack()), ["1.2.3.4", "1000::4"]);
    assert_eq!(cluster.serve(service("s")), ["1.2.3.4"]);
}

#[test]
fn both_or_nothing_takes_nothing_while_one_is_lacking_and_keeps_what_it_has() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31", "1000::4/128"])]);
    cluster.serve(service("six").families(crate::support::V6));
    cluster.serve(service("s"));
    let pending = cluster.wait(service("s").dual_stack());
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    assert!(pending.why.contains("no free IPv6 address in p (all 1 in use)"), "{}", pending.why);
    cluster.wait(service("t").dual_stack());
    assert_eq!(cluster.counters("p").available_ipv4, 1, "who cannot have both takes none");
    cluster.delete("six");
    assert_eq!(cluster.ips("s"), ["1.2.3.4", "1000::4"]);
}

/// Rule 8.
#[test]
fn only_those_are_woken_whom_a_freed_address_helps() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/32"]), pool("b", &["1000::4/128"])]);
    cluster.serve(service("holder"));
    cluster.serve(service("other").families(crate::support::V6));
    cluster.wait(service("w1").created(1));
    cluster.wait(service("w2").created(2));
    cluster.wait(service("w6").created(0).families(crate::support::V6));
    cluster.occupied(service("wx").created(0).annotation(IPS, "1000::4").families(crate::support::V6));
    cluster.delete_key(&ServiceKey::new("default", "holder"));
    assert_eq!(cluster.woken(), ["w1"]);
}

#[test]
fn a_change_of_pools_wakes_only_those_it_concerns() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/32"])]);
    cluster.serve(service("holder"));
    for i in 0..5 {
        cluster.wait(service(&format!("w{i}")).created(i));
    }
    cluster.set_pools([pool("a", &["1.2.3.4/31"])]);
    assert_eq!(cluster.woken(), ["w0"]);
}
