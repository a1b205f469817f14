//! What holds for any cluster.

use announcer::announcements::{self, View};
use cloud_provider::testing::{a_node, a_service_named};
use cloud_provider::{EndpointState, ServiceKey, TrafficPolicy};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cluster::{At, Cluster, NOT_READY, READY, STILL_SERVING};

const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];

const POOLS: [&str; 2] = ["lan", "dmz"];

/// What is drawn of a Service: its addresses by their last number, its policy, a label, its endpoints.
type DrawnService = (Vec<u8>, bool, u8, Vec<(usize, u8)>);

#[derive(Clone, Debug)]
struct Drawn {
    services: Vec<DrawnService>,
    nodes: Vec<u8>,
    layer2: Vec<u8>,
    bgp: Vec<u8>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let endpoints = prop::collection::vec((0..NODES.len(), 0..3_u8), 0..4);
    let service = (prop::collection::vec(0..6_u8, 0..3), any::<bool>(), 0..3_u8, endpoints);
    (
        prop::collection::vec(service, 0..5),
        prop::collection::vec(any::<u8>(), NODES.len()),
        prop::collection::vec(any::<u8>(), 0..4),
        prop::collection::vec(any::<u8>(), 0..4),
    )
        .prop_map(|(services, nodes, layer2, bgp)| Drawn { services, nodes, layer2, bgp })
}

/// An advertisement by the bits of a number.
fn advertisement(bits: u8) -> Value {
    let mut spec = json!({});
    if bits & 1 > 0 {
        spec["nodeSelectors"] = json!([{ "matchLabels": { "rack": (bits >> 1 & 1).to_string() } }]);
    }
    if bits & 4 > 0 {
        spec["serviceSelectors"] = json!([{ "matchLabels": { "app": (bits >> 3 & 1).to_string() } }]);
    }
    if bits & 16 > 0 {
        spec["ipAddressPools"] = json!([POOLS[usize::from(bits >> 5 & 1)]]);
    }
    spec
}

fn cluster(drawn: &Drawn) -> Cluster {
    let mut cluster = Cluster::new()
        .pool("dmz", json!({ "addresses": ["198.51.100.0/24"] }), json!({}))
        .peer("r", json!({}))
        .peer("s", json!({ "nodeSelectors": [{ "matchLabels": { "rack": "1" } }] }));
    for (name, bits) in NODES.into_iter().zip(&drawn.nodes) {
        let node = a_node(name).label("rack", &(bits & 1).to_string());
        cluster = cluster.node(match bits >> 1 & 7 {
            0 => node.excluded(),
            1 => node.network_unavailable(),
            _ => node,
        });
    }
    for (i, bits) in drawn.layer2.iter().enumerate() {
        cluster = cluster.layer2(&format!("l2-{i}"), advertisement(*bits));
    }
    for (i, bits) in drawn.bgp.iter().enumerate() {
        let mut spec = advertisement(*bits);
        spec["localPref"] = json!(bits >> 6);
        cluster = cluster.bgp(&format!("bgp-{i}"), spec);
    }
    for (i, service) in drawn.services.iter().enumerate() {
        cluster = with_service(cluster, &format!("s{i}"), service);
    }
    cluster
}

fn with_service(cluster: Cluster, name: &str, (ips, local, app, endpoints): &DrawnService) -> Cluster {
    let ips: Vec<String> =
        ips.iter().map(|n| format!("{}.{n}", ["192.0.2", "198.51.100"][usize::from(n % 2)])).collect();
    let service = a_service_named("default", name)
        .published_ips(ips.iter().map(String::as_str))
        .label("app", &app.to_string());
    let service = if *local { service.local_traffic() } else { service };
    let states: [EndpointState; 3] = [READY, NOT_READY, STILL_SERVING];
    let endpoints: Vec<At> =
        endpoints.iter().map(|(node, state)| (NODES[*node], states[usize::from(*state)])).collect();
    cluster.service(service, &endpoints)
}

fn everything(view: &View) -> impl PartialEq + std::fmt::Debug + use<> {
    let bgp: Vec<_> = NODES.map(|node| announcements::bgp(view, node)).into_iter().collect();
    (announcements::layer2(view), bgp)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_view_gives_the_same_answer_on_every_node(drawn in drawn()) {
        let (one, other) = (cluster(&drawn), cluster(&drawn));
        prop_assert_eq!(everything(&one.view), everything(&other.view));
    }

    #[test]
    fn a_service_that_comes_changes_nothing_for_addresses_that_it_does_not_have(
        drawn in drawn(),
        newcomer in (prop::collection::vec(100..106_u8, 0..3), any::<bool>(), 0..3_u8, Just(vec![(0, 0)])),
    ) {
        let before = cluster(&drawn);
        let announced = announcements::layer2(&before.view);
        let advertised = announcements::bgp(&before.view, "n1");
        let after = with_service(cluster(&drawn), "newcomer", &newcomer);
        let (announced_after, advertised_after) =
            (announcements::layer2(&after.view), announcements::bgp(&after.view, "n1"));
        for (ip, announcement) in &announced {
            prop_assert_eq!(announcement, &announced_after[ip]);
            prop_assert_eq!(&advertised.addresses[ip], &advertised_after.addresses[ip]);
        }
        for (peer, wanted) in &advertised.wanted {
            for (prefix, attributes) in wanted.routes() {
                prop_assert_eq!(Some(attributes), advertised_after.wanted[peer].routes().get(prefix));
            }
        }
    }

    #[test]
    fn a_node_that_joins_changes_nothing_for_the_others(drawn in drawn()) {
        let before = announcements::layer2(&cluster(&drawn).view);
        let after = announcements::layer2(&cluster(&drawn).node(a_node("n9")).view);
        for (ip, announcement) in before {
            for node in NODES {
                prop_assert_eq!(announcement.on(node).cloned(), after[&ip].on(node).cloned());
            }
        }
    }

    #[test]
    fn nobody_may_announce_without_endpoint_network_pool_or_advertisement(drawn in drawn()) {
        let cluster = cluster(&drawn);
        let view = &cluster.view;
        let serves_on = |service: &ServiceKey, node: &str| {
            let serving = view.serving.get(service);
            serving.is_some_and(|it| it.anywhere() && (it.nodes.contains(node) || {
                view.services[service].traffic_policy == TrafficPolicy::Cluster
            }))
        };
        let well = |node: &str| !view.nodes[node].excluded && !view.nodes[node].network_unavailable;
        for (ip, announcement) in announcements::layer2(view) {
            for (node, _) in announcement.candidates() {
                prop_assert!(well(node) && view.pools.owner(ip).is_some() && !drawn.layer2.is_empty());
                prop_assert!(announcement.services.iter().any(|service| serves_on(service, node)));
            }
        }
        for node in NODES {
            for advertised in announcements::bgp(view, node).addresses.values() {
                let may = !advertised.peers().is_empty();
                prop_assert!(!may || well(node) && !drawn.bgp.is_empty());
                prop_assert!(!may || advertised.services.iter().any(|service| serves_on(service, node)));
            }
        }
    }

    #[test]
    fn an_address_that_some_node_could_announce_is_never_without_candidates(drawn in drawn()) {
        let shared = cluster(&drawn);
        for (ip, announcement) in announcements::layer2(&shared.view) {
            // Each Service alone: what is shared must not take the address from everybody.
            let alone = announcement.services.iter().any(|service| {
                let mut view = shared.view.clone();
                view.services.retain(|key, _| key == service);
                announcements::layer2(&view)[&ip].candidates().next().is_some()
            });
            prop_assert_eq!(announcement.candidates().next().is_some(), alone);
        }
    }
}
