//! What MetalLB gets wrong and we promise to get right, and what a provider shows.

use std::sync::Arc;

use cloud_provider::testing::{ServiceBuilder, a_service_named, nodes, request};
use cloud_provider::{CloudLoadBalancer, FamilyPolicy, ServiceKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use metallb::crd::ServiceAllocation;
use provider_bare::{BareConfig, BareProvider, PoolSource};

use crate::support::{BOTH, Cluster, PoolWords, entry, notes, now, pool, service};

const IPS: &str = "metallb.io/loadBalancerIPs";
const SHARE: &str = "metallb.io/allow-shared-ip";

fn prefer(name: &str) -> ServiceBuilder {
    service(name).families(BOTH).family_policy(FamilyPolicy::PreferDualStack)
}

#[test]
fn one_bad_pool_does_not_stop_the_rest() {
    let mut cluster = Cluster::new([
        pool("bad", &["1.2.3.9-1.2.3.1"]),
        pool("good", &["1.2.3.4/31"]),
        pool("overlaps", &["1.2.3.5/32"]),
    ]);
    assert_eq!(cluster.serve(service("s")), ["1.2.3.4"]);
    let mistakes = cluster.set_pools([pool("bad", &["nonsense"]), pool("good", &["1.2.3.4/30"])]);
    assert_eq!(mistakes.len(), 1);
    cluster.serve(service("t"));
    cluster.serve(service("u"));
}

#[test]
fn while_a_pool_cannot_be_read_nobody_is_evicted() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/31"]), pool("b", &["5.6.7.8/31"])]);
    cluster.serve(service("s"));
    // A new process that finds the pool broken has no last good version of it.
    cluster.set_pools([pool("a", &["1.2.3.4-"]), pool("b", &["5.6.7.8/31"])]);
    cluster.restart();
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    let told = notes(&cluster.apply(service("s")));
    assert!(told[0].message.contains("not readable: a"), "{}", told[0].message);
    assert_eq!(cluster.serve(service("t")), ["5.6.7.8"], "others are served");
    cluster.set_pools([pool("a", &["1.2.3.4/31"]), pool("b", &["5.6.7.8/31"])]);
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
}

#[test]
fn a_mistyped_annotation_does_not_drop_a_live_address() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    cluster.serve(service("s"));
    let message = cluster.refuse(service("s").annotation(IPS, "1.2.3.400"));
    assert!(message.contains("1.2.3.4 stays published"), "{message}");
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    cluster.restart();
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    assert_eq!(cluster.serve(service("t")), ["1.2.3.5"]);
    assert_eq!(cluster.serve(service("s")), ["1.2.3.4"]);
}

#[test]
fn prefer_dual_stack_does_not_flap() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/30", "1000::4/126"])]);
    let single = || service("s").family_policy(FamilyPolicy::PreferDualStack);
    assert_eq!(cluster.serve(single()), ["1.2.3.4"]);
    for _ in 0..5 {
        assert_eq!(cluster.serve(single()), ["1.2.3.4"]);
    }
    cluster.restart();
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    // With two cluster IPs it takes two, and holds on to them.
    for _ in 0..3 {
        assert_eq!(cluster.serve(prefer("t")), ["1.2.3.5", "1000::4"]);
    }
}

#[test]
fn prefer_dual_stack_gets_its_second_family_when_there_is_one() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31", "1000::4/128"])]);
    cluster.serve(service("six").families(crate::support::V6));
    let outcome = cluster.apply(prefer("s"));
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    assert!(notes(&outcome).iter().any(|note| note.reason == "SingleFamily"));
    cluster.delete("six");
    assert_eq!(cluster.ips("s"), ["1.2.3.4", "1000::4"]);
}

#[test]
fn a_selector_that_matches_nothing_denies() {
    let selecting = |label: &str| LabelSelector {
        match_labels: Some([("team".to_owned(), label.to_owned())].into()),
        ..Default::default()
    };
    let namespaces = pool("n", &["1.2.3.4/32"]).allocation(ServiceAllocation {
        namespace_selectors: Some(vec![selecting("red")]),
        ..Default::default()
    });
    let services = pool("s", &["1.2.3.5/32"]).allocation(ServiceAllocation {
        service_selectors: Some(vec![selecting("red")]),
        ..Default::default()
    });
    let mut cluster = Cluster::new([namespaces, services]);
    cluster.label_namespace("default", "team", "blue");
    assert_eq!(cluster.wait(service("s")).reason, "NoAddressPool");
    for ip in ["1.2.3.4", "1.2.3.5"] {
        let message = cluster.refuse(service("s").annotation(IPS, ip));
        assert!(message.contains("not for this Service"), "{message}");
    }
    let message = cluster.refuse(service("s").annotation("metallb.io/address-pool", "n"));
    assert!(message.contains("not for this Service"), "{message}");
    // A namespace that nothing is known of is not selected either.
    cluster.refuse(a_service_named("unknown", "s").annotation(IPS, "1.2.3.4"));
    cluster.label_namespace("default", "team", "red");
    assert_eq!(cluster.serve(service("s")), ["1.2.3.4"]);
}

#[test]
fn an_allocation_without_conditions_is_for_everybody() {
    let empty = pool("a", &["1.2.3.4/32"]).allocation(ServiceAllocation::default());
    let ranked = pool("b", &["1.2.3.5/32"])
        .allocation(ServiceAllocation { priority: Some(5), ..ServiceAllocation::default() });
    let mut cluster = Cluster::new([empty, ranked]);
    assert_eq!(cluster.serve(service("s")), ["1.2.3.5"]);
    assert_eq!(cluster.serve(service("t")), ["1.2.3.4"]);
}

#[test]
fn labels_of_a_namespace_open_and_close_pools() {
    let selector =
        LabelSelector { match_labels: Some([("team".into(), "red".into())].into()), ..Default::default() };
    let red = pool("red", &["1.2.3.4/32"])
        .allocation(ServiceAllocation { namespace_selectors: Some(vec![selector]), ..Default::default() });
    let mut cluster = Cluster::new([red, pool("z", &["5.6.7.8/32"]).by_request_only()]);
    cluster.wait(service("s"));
    cluster.label_namespace("default", "team", "red");
    cluster.follow_wakeups();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    cluster.label_namespace("other", "team", "red");
    assert_eq!(cluster.woken(), [""; 0]);
}

#[test]
fn a_sharing_key_cannot_be_joined_from_another_namespace_unless_the_operator_allows_it() {
    for share_across_namespaces in [false, true] {
        let mut config = BareConfig::default();
        config.share_across_namespaces = share_across_namespaces;
        let mut cluster = Cluster::with(config, [pool("p", &["1.2.3.4/31"])]);
        cluster.serve(service("s").annotation(SHARE, "k").ports([80]));
        let guest = |name: &str| a_service_named("elsewhere", name).annotation(SHARE, "k").ports([443]);
        let asks = guest("asks").annotation(IPS, "1.2.3.4");
        if share_across_namespaces {
            assert_eq!(cluster.serve(asks), ["1.2.3.4"]);
        } else {
            let why = cluster.occupied(asks);
            assert!(why.contains("within one namespace only"), "{why}");
        }
        let unasked = guest("unasked").ports([8443]);
        let expected = if share_across_namespaces { "1.2.3.4" } else { "1.2.3.5" };
        assert_eq!(cluster.serve(unasked), [expected]);
    }
}

#[test]
fn the_order_in_which_services_are_seen_after_a_restart_does_not_matter() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/30", "1000::4/127"])]);
    for (i, name) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        let created = i64::try_from(i).unwrap();
        let builder = match i {
            0 => service(name).published_ips(["1.2.3.6"]),
            1 => prefer(name),
            2 => service(name).annotation(IPS, "1.2.3.4"),
            3 => service(name).published_ips(["1.2.3.6"]),
            _ => service(name).annotation(SHARE, "k").ports([u16::try_from(i).unwrap()]),
        };
        cluster.put(builder.created(created));
    }
    let before = cluster.services.clone();
    let keys: Vec<ServiceKey> = before.keys().cloned().collect();
    let mut end = None;
    for rotation in 0..keys.len() {
        cluster.services.clone_from(&before);
        cluster.restart();
        for i in 0..keys.len() {
            let _ = cluster.reconcile(&keys[(i * 5 + rotation) % keys.len()]);
        }
        cluster.follow_wakeups();
        let now = cluster.services.clone();
        assert_eq!(*end.get_or_insert_with(|| now.clone()), now, "rotation {rotation}");
    }
}

#[test]
fn a_plan_shows_steps_before_and_nothing_after() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31"])]);
    let plan = |cluster: &Cluster, key: &ServiceKey| {
        now(cluster.provider.plan(&request(&cluster.services[key], &nodes(1)))).unwrap().to_string()
    };
    let key = cluster.put(service("s"));
    assert_eq!(plan(&cluster, &key), "+ address 1.2.3.4: from pool p");
    cluster.reconcile(&key).unwrap();
    assert_eq!(plan(&cluster, &key), "nothing to do");
    cluster.put(service("s").annotation(IPS, "1.2.3.5"));
    let steps = plan(&cluster, &key);
    assert!(steps.starts_with("+ address 1.2.3.5: from pool p\n- address 1.2.3.4: "), "{steps}");
    assert_eq!(cluster.counters("p").assigned_ipv4, 1, "a plan changes nothing");
}

#[test]
fn list_and_get_tell_what_is_held() {
    let mut cluster = Cluster::new([pool("p", &["1.2.3.4/31", "1000::4/127"])]);
    cluster.serve(service("s").dual_stack());
    let owned: Vec<(Arc<str>, String)> =
        now(cluster.provider.list()).unwrap().into_iter().map(|o| (o.service.key.name, o.resource)).collect();
    assert_eq!(owned, [("s".into(), "1.2.3.4".into()), ("s".into(), "1000::4".into())]);
    let view = cluster.services[&ServiceKey::new("default", "s")].clone();
    let published = now(cluster.provider.get(&view)).unwrap().unwrap();
    assert_eq!(published.ingress, [entry("1.2.3.4"), entry("1000::4")]);
    cluster.delete("s");
    assert_eq!(now(cluster.provider.get(&view)).unwrap(), None);
    assert_eq!(now(cluster.provider.list()).unwrap(), []);
}

#[test]
fn pools_from_the_cluster_need_a_client() {
    let mut config = BareConfig::default();
    config.pools = PoolSource::Cluster { namespace: None };
    assert!(BareProvider::new(config, None).is_err());
}
