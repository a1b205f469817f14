//! What a Service is told: reasons, annotations, and what goes without saying.

use cloud_provider::testing::{a_service_named, nodes, request};
use cloud_provider::{CloudLoadBalancer, NoteKind, ServiceKey};

use crate::support::{Cluster, notes, now, pool, service};

const IPS: &str = "metallb.io/loadBalancerIPs";
const SHARE: &str = "metallb.io/allow-shared-ip";
const POOL: &str = "metallb.io/address-pool";
const FROM: &str = "metallb.io/ip-allocated-from-pool";

#[test]
fn an_address_in_use_is_waited_for_under_a_reason_of_its_own_and_is_no_mistake() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    cluster.serve(service("holder"));
    let pending = cluster.wait(service("s").annotation(IPS, "1.2.3.4"));
    assert_eq!(pending.reason, "AddressInUse");
    assert!(pending.why.contains("default/holder"), "{}", pending.why);
    cluster.delete("holder");
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
}

#[test]
fn who_gets_no_address_is_warned_by_metallbs_reason() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("holder"));
    let pending = cluster.wait(service("s"));
    assert_eq!(pending.reason, "PoolExhausted");
    let [note] = &pending.notes[..] else { panic!("{pending:?}") };
    assert_eq!((note.kind, note.reason.as_str()), (NoteKind::Warning, "AllocationFailed"));
    assert_eq!(note.message, format!("Failed to allocate IP for default/s: {}", pending.why));
}

#[test]
fn who_is_in_the_way_is_told_anew_when_it_is_somebody_else() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("first"));
    cluster.wait(service("second").created(1).annotation(IPS, "1.2.3.4"));
    cluster.wait(service("third").created(2).annotation(IPS, "1.2.3.4"));
    cluster.delete_key(&ServiceKey::new("default", "first"));
    assert_eq!(cluster.woken(), ["second", "third"]);
    let _ = cluster.reconcile(&ServiceKey::new("default", "second"));
    let pending = cluster.wait(service("third").created(2).annotation(IPS, "1.2.3.4"));
    assert!(
        pending.why.contains("default/second") && !pending.why.contains("default/first"),
        "{}",
        pending.why
    );
}

#[test]
fn the_key_by_which_others_share_is_never_told() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    cluster.serve(service("s").annotation(SHARE, "a-key-of-theirs"));
    let asks = service("t").annotation(SHARE, "guess").annotation(IPS, "1.2.3.4").ports([443]);
    let pending = cluster.wait(asks);
    assert!(pending.why.contains("another sharing key"), "{}", pending.why);
    assert!(!format!("{pending:?}").contains("a-key-of-theirs"), "{pending:?}");
}

#[test]
fn a_move_is_a_warning_that_says_why() {
    let shared = |name: &str| service(name).annotation(SHARE, "k");
    let moves = [
        ("another address is asked for", service("s").annotation(IPS, "5.6.7.9"), "asks for other addresses"),
        ("another pool is asked for", service("s").annotation(POOL, "b"), "asks for pool b"),
        ("a port clashes", shared("s").ports([443]), "default/other"),
    ];
    for (case, change, why) in moves {
        let mut cluster = Cluster::new([pool("a", &["1.2.3.4/32"]), pool("b", &["5.6.7.8/31"])]);
        cluster.serve(shared("s").ports([80]));
        cluster.serve(shared("other").ports([443]));
        let told = notes(&cluster.apply(change.clone()));
        let moved = told.iter().find(|note| note.reason == "AddressMoved");
        let moved = moved.unwrap_or_else(|| panic!("{case}: {told:?}"));
        assert_eq!(moved.kind, NoteKind::Warning, "{case}");
        assert!(
            moved.message.contains("1.2.3.4") && moved.message.contains(why),
            "{case}: {}",
            moved.message
        );
        // Once its status shows the new one, there is nothing more to say.
        assert!(notes(&cluster.apply(change)).is_empty(), "{case}");
    }
}

#[test]
fn a_move_or_a_loss_by_a_change_of_pools_is_a_warning_that_says_why() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/32"])]);
    cluster.serve(service("s"));
    cluster.set_pools([pool("b", &["5.6.7.8/31"])]);
    let told = notes(&cluster.reconcile(&ServiceKey::new("default", "s")));
    assert_eq!((told[0].kind, told[0].reason.as_str()), (NoteKind::Warning, "AddressMoved"));
    assert!(
        told[0].message.contains("1.2.3.4") && told[0].message.contains("no pool contains it"),
        "{told:?}"
    );
}

#[test]
fn the_pool_an_address_comes_from_is_told_as_it_is_now() {
    let key = ServiceKey::new("default", "s");
    let mut cluster = Cluster::new([pool("whole", &["1.2.3.0/24"])]);
    cluster.serve(service("s"));
    assert_eq!(cluster.annotation(&key, FROM), Some("whole"));
    // Split, with its own address in the second half's pool.
    cluster.set_pools([pool("low", &["1.2.3.0/25"]), pool("high", &["1.2.3.128/25"])]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s"), ["1.2.3.0"]);
    assert_eq!(cluster.annotation(&key, FROM), Some("low"));
    cluster.set_pools([pool("renamed", &["1.2.3.0/25"])]);
    cluster.follow_wakeups();
    assert_eq!(cluster.annotation(&key, FROM), Some("renamed"));
    // In no pool any more, and kept: it comes from none.
    cluster.set_pools([]);
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s"), ["1.2.3.0"]);
    assert_eq!(cluster.annotation(&key, FROM), None);
}

#[test]
fn without_an_address_no_pool_is_named() {
    let key = ServiceKey::new("default", "s");
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/32"])]);
    cluster.serve(service("holder"));
    cluster.wait(service("s").annotation(FROM, "p"));
    assert_eq!(cluster.annotation(&key, FROM), None);
}

/// As after a handover from MetalLB, which shares across namespaces.
#[test]
fn a_plan_shows_what_a_status_loses_even_if_this_process_never_held_it() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    let shares = |namespace: &str, port: u16| {
        let service = a_service_named(namespace, "s").annotation(SHARE, "k").ports([port]);
        service.published_ips(["1.2.3.4"])
    };
    cluster.put(shares("a", 80).created(1));
    let second = cluster.put(shares("b", 443).created(2));
    cluster.restart();

    let plan =
        now(cluster.provider.plan(&request(&cluster.services[&second], &nodes(1)))).unwrap().to_string();

    assert!(plan.contains("+ address 1.2.3.5") && plan.contains("- address 1.2.3.4"), "{plan}");
}
