//! What a pool may look like, and what becomes of one with mistakes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use metallb::crd::ServiceAllocation;
use metallb::pool::Definition;
use metallb::pools::Pools;

use crate::support::{Cluster, PoolWords, created, pool, service};

/// The one mistake there is, as the user reads it.
fn mistake(definition: Definition) -> String {
    let (pools, mistakes) = Pools::parse(&[definition]);
    assert!(pools.is_empty());
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    mistakes[0].mistakes.to_string()
}

#[test]
fn a_broken_range_is_named_with_field_value_and_what_is_allowed() {
    let table = [
        (vec![], "spec.addresses: \"[]\" has no entry"),
        (
            vec!["1.2.3.9-1.2.3.1"],
            "spec.addresses[0]: \"1.2.3.9-1.2.3.1\" starts at 1.2.3.9, behind its end 1.2.3.1",
        ),
        (vec!["1.2.3.0/24", "lan"], "spec.addresses[1]: \"lan\" is not an IP address"),
        (vec!["1.2.3.4"], "is a single address; write 1.2.3.4/32"),
        (vec!["1.2.3.240-250"], "has \"250\", which is not an IP address"),
        (vec!["1.2.3.4-fc00::1"], "of different families"),
        (vec!["1.2.3.0/24", ""], "spec.addresses[1]: \"\" is empty"),
        (vec!["1.2.3.0/40"], "IPv4 allows 0 to 32"),
        (vec!["1.2.3.0/24", "1.2.3.7-1.2.3.9"], "overlaps \"1.2.3.0/24\", entry 0 of the same pool"),
    ];
    for (addresses, says) in table {
        let message = mistake(pool("p", &addresses));
        assert!(message.contains(says), "{addresses:?}: {message}");
        assert!(message.contains("allowed: "), "{message}");
        assert!(message.contains("until then"), "{message}");
    }
}

#[test]
fn every_mistake_of_a_pool_is_reported_at_once() {
    let message = mistake(pool("p", &["lan", "1.2.3.4", "fc00::/129"]));
    for field in ["spec.addresses[0]", "spec.addresses[1]", "spec.addresses[2]"] {
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn conditions_of_a_pool_are_checked() {
    let expression = |operator: &str, values: &[&str]| LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "app".into(),
            operator: operator.into(),
            values: Some(values.iter().map(|value| (*value).into()).collect()),
        }]),
        match_labels: None,
    };
    let selecting = |selectors: Vec<LabelSelector>| ServiceAllocation {
        service_selectors: Some(selectors.clone()),
        namespace_selectors: Some(selectors),
        ..Default::default()
    };
    let namespaces = |names: &[&str]| ServiceAllocation {
        namespaces: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..Default::default()
    };
    let table = [
        (namespaces(&["a", "a"]), "spec.serviceAllocation.namespaces[1]: \"a\" is listed twice"),
        (namespaces(&[""]), "spec.serviceAllocation.namespaces[0]: \"\" is empty"),
        (selecting(vec![expression("Equals", &["x"])]), "operator \"Equals\""),
        (selecting(vec![expression("In", &[])]), "without values"),
        (selecting(vec![expression("In", &["x", "x"])]), "twice"),
        (selecting(vec![expression("Exists", &["x"])]), "with values"),
        (selecting(vec![LabelSelector::default(); 2]), "is listed twice"),
    ];
    for (allocation, says) in table {
        let message = mistake(pool("p", &["1.2.3.0/24"]).allocation(allocation));
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn of_two_new_pools_that_overlap_the_older_one_is_taken_and_both_are_named() {
    let old = created(pool("z-old", &["1.2.3.0/24"]), 1);
    let new = created(pool("a-new", &["1.2.3.7/32", "5.6.7.0/24"]), 2);
    for definitions in [[old.clone(), new.clone()], [new, old]] {
        let (pools, mistakes) = Pools::parse(&definitions);
        assert_eq!(pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["z-old"]);
        let message = mistakes[0].to_string();
        assert!(message.contains("a-new") && message.contains("\"z-old\""), "{message}");
        assert!(message.contains("\"1.2.3.7/32\" overlaps \"1.2.3.0/24\""), "{message}");
    }
    let by_name = [pool("b", &["1.2.3.0/24"]), pool("a", &["1.2.3.0/25"])];
    assert_eq!(Pools::parse(&by_name).0.iter().next().map(|pool| pool.name.as_str()), Some("a"));
}

#[test]
fn a_bad_update_leaves_the_last_good_version_in_force() {
    let good = [pool("a", &["1.2.3.0/31"]), pool("b", &["5.6.7.0/31"])];
    let (pools, _) = Pools::parse(&good);
    for bad in [pool("a", &["nonsense"]), pool("a", &["1.2.3.0/31", "5.6.7.1/32"]), pool("a", &[])] {
        let (after, mistakes) = pools.update(&[bad, good[1].clone()]);
        assert_eq!(after, pools);
        assert!(mistakes[0].to_string().contains("its last good version stays in force"), "{}", mistakes[0]);
        // And from there, a good one is taken again, and the mistake is gone.
        let (mended, mistakes) = after.update(&[pool("a", &["1.2.3.0/30"]), good[1].clone()]);
        assert_eq!((mended.iter().count(), mistakes.len()), (2, 0));
        assert_eq!(mended.update(&good), (pools.clone(), vec![]));
    }
}

#[test]
fn the_last_good_configuration_keeps_serving() {
    let mut cluster = Cluster::new([pool("a", &["1.2.3.4/31"])]);
    cluster.serve(service("s"));
    let mistakes = cluster.set_pools([pool("a", &["1.2.3.4-"])]);
    assert_eq!(mistakes.len(), 1);
    cluster.settle();
    assert_eq!(cluster.ips("s"), ["1.2.3.4"]);
    assert_eq!(cluster.serve(service("t")), ["1.2.3.5"]);
}

#[test]
fn two_pools_may_swap_their_ranges() {
    let (pools, _) = Pools::parse(&[pool("a", &["1.2.3.0/24"]), pool("b", &["5.6.7.0/24"])]);
    let (swapped, mistakes) = pools.update(&[pool("a", &["5.6.7.0/24"]), pool("b", &["1.2.3.0/24"])]);
    assert_eq!(mistakes, []);
    assert_eq!(swapped.owner("1.2.3.4".parse().unwrap()).map(|pool| pool.name.as_str()), Some("b"));
}

#[test]
fn a_pool_that_lost_its_place_by_a_bad_update_gets_it_back_before_newcomers() {
    let (pools, _) = Pools::parse(&[pool("b", &["1.2.3.0/24"]), pool("c", &["9.9.9.0/24"])]);
    // `b` wants to move onto `c`, and `a` onto what `b` would leave.
    let (after, mistakes) =
        pools.update(&[pool("a", &["1.2.3.0/25"]), pool("b", &["9.9.9.0/25"]), pool("c", &["9.9.9.0/24"])]);
    assert_eq!(after.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(mistakes.len(), 2);
}

#[test]
fn a_name_in_two_namespaces_is_one_name_too_many() {
    let mut other = created(pool("p", &["5.6.7.0/24"]), 5);
    other.namespace = "elsewhere".into();
    let (pools, mistakes) = Pools::parse(&[other, created(pool("p", &["1.2.3.0/24"]), 1)]);
    assert_eq!(pools.iter().count(), 1);
    assert!(mistakes[0].to_string().contains("elsewhere/p"), "{}", mistakes[0]);
}

#[test]
fn an_object_of_the_wrong_shape_is_a_pool_with_a_mistake() {
    for spec in [
        serde_json::json!({}),
        serde_json::json!({ "addresses": "1.2.3.0/24" }),
        serde_json::json!({ "addresses": ["1.2.3.0/24"], "autoAssign": "yes" }),
        serde_json::Value::Null,
    ] {
        let object = serde_json::json!({ "metadata": { "name": "p" }, "spec": spec });
        let message = mistake(Definition::from_json(&object));
        assert!(message.contains("cannot be read"), "{message}");
    }
}

#[test]
fn available_addresses_are_counted_as_metallb_counts_them() {
    let count = |definition: Definition| {
        let cluster = Cluster::new([definition]);
        let status = cluster.counters("p");
        (status.available_ipv4, status.available_ipv6)
    };
    assert_eq!(count(pool("p", &["1.2.3.0/24"])), (256, 0));
    assert_eq!(count(pool("p", &["1.2.3.0/24", "1.2.4.128/25"])), (384, 0));
    assert_eq!(count(pool("p", &["1.2.3.0/24", "1.2.4.128/25"]).without_buggy()), (381, 0));
    assert_eq!(count(pool("p", &["1.2.3.1/32", "1000::/127"])), (1, 2));
    assert_eq!(count(pool("p", &["1.2.3.0/24", "1000::/16"])), (256, i64::MAX));
}

/// MetalLB's counters overflow and go below zero here.
#[test]
fn unlike_metallb_counters_neither_overflow_nor_go_below_zero() {
    let cluster = Cluster::new([pool("p", &["::/1", "8000::/1"])]);
    assert_eq!(cluster.counters("p").available_ipv6, i64::MAX);
    let cluster = Cluster::new([pool("p", &["1.2.3.255/32"]).without_buggy()]);
    assert_eq!(cluster.counters("p").available_ipv4, 0);
}
