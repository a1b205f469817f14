//! MetalLB's peers for an FRR that the operator runs.

use std::collections::BTreeMap;

use announcer::bgp::route::{LargeCommunity, PathAttributes, WantedRoutes};
use announcer::engine::frr_k8s::{FrrConfiguration, configuration};
use cloud_provider::NodeView;
use cloud_provider::testing::a_node;
use metallb::peer::Peer;
use serde_json::{Value, json};

use crate::{peer, routes};

fn node() -> NodeView {
    a_node("node-1").label("kubernetes.io/hostname", "node-1.example").build()
}

fn of(peers: &[Peer]) -> FrrConfiguration {
    let none = WantedRoutes::default();
    configuration(&node(), "frr-k8s-system", peers.iter().map(|peer| (peer, &none)))
}

#[test]
fn a_node_has_one_configuration_that_says_all_of_its_peer() {
    let full = peer(
        "a",
        json!({
            "interface": "eth1", "peerAddress": null, "vrf": "red", "peerASN": null, "dynamicASN": "external",
            "holdTime": "30s", "keepaliveTime": "5s", "connectTime": "7s", "routerID": "10.0.0.1", "bfdProfile": "echo",
            "passwordSecret": { "name": "bgp" }, "enableGracefulRestart": true, "ebgpMultiHop": false,
        }),
    );
    let said = PathAttributes {
        local_preference: Some(150),
        communities: [64_512 << 16 | 7].into(),
        large_communities: [LargeCommunity { global: 1, first: 2, second: 3 }].into(),
    };
    let routes = routes(&[("198.51.100.7/32", said), ("2001:db8::7/128", PathAttributes::default())]);
    let made = configuration(&node(), "frr-k8s-system", [(&full, &routes)]);
    let expected = json!({
        "apiVersion": "frrk8s.metallb.io/v1beta1",
        "kind": "FRRConfiguration",
        "metadata": {
            "name": "cloud-lb-announcer-node-1",
            "namespace": "frr-k8s-system",
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "uid-node-1" }],
        },
        "spec": {
            "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": "node-1.example" } },
            "bgp": {
                "bfdProfiles": [{
                    "name": "echo", "receiveInterval": 100, "transmitInterval": 300, "detectMultiplier": 5,
                    "echoInterval": 50, "echoMode": true, "passiveMode": false, "minimumTtl": 254,
                }],
                "routers": [{
                    "asn": 64512, "id": "10.0.0.1", "vrf": "red",
                    "prefixes": ["198.51.100.7/32", "2001:db8::7/128"],
                    "neighbors": [{
                        "dynamicASN": "external", "interface": "eth1", "port": 179,
                        "passwordSecret": { "name": "bgp", "namespace": "metallb-system" },
                        "holdTime": "30s", "keepaliveTime": "5s", "connectTime": "7s", "ebgpMultiHop": false,
                        "bfdProfile": "echo", "enableGracefulRestart": true, "dualStackAddressFamily": false,
                        "toAdvertise": {
                            "allowed": { "mode": "filtered", "prefixes": ["198.51.100.7/32", "2001:db8::7/128"] },
                            "withLocalPref": [{ "localPref": 150, "prefixes": ["198.51.100.7/32"] }],
                            "withCommunity": [
                                { "community": "64512:7", "prefixes": ["198.51.100.7/32"] },
                                { "community": "large:1:2:3", "prefixes": ["198.51.100.7/32"] },
                            ],
                        },
                    }],
                }],
            },
        },
    });
    assert_eq!(made.object, expected);
    assert_eq!(made.left_out, BTreeMap::new());
}

#[test]
fn a_peer_of_one_family_is_told_routes_of_that_family() {
    let routes = routes(&[
        ("198.51.100.7/32", PathAttributes::default()),
        ("2001:db8::7/128", PathAttributes::default()),
    ]);
    for (dual, expected) in
        [(false, json!(["198.51.100.7/32"])), (true, json!(["198.51.100.7/32", "2001:db8::7/128"]))]
    {
        let peer = peer("a", json!({ "dualStackAddressFamily": dual }));
        let made = configuration(&node(), "frr", [(&peer, &routes)]).object;
        let router = &made["spec"]["bgp"]["routers"][0];
        assert_eq!(router["prefixes"], expected);
        assert_eq!(router["neighbors"][0]["toAdvertise"]["allowed"]["prefixes"], expected);
        assert_eq!(router["neighbors"][0]["asn"], 64_600);
        assert_eq!(router["neighbors"][0].get("vrf"), None, "what was not said is not there");
    }
}

#[test]
fn only_a_peer_of_another_as_is_said_to_be_several_hops_away() {
    for (fields, expected) in [
        (json!({ "ebgpMultiHop": true }), true),
        (json!({}), false),
        (json!({ "peerASN": 64512 }), false),
        (json!({ "peerASN": null, "dynamicASN": "internal" }), false),
    ] {
        let made = of(&[peer("a", fields.clone())]).object;
        assert_eq!(made["spec"]["bgp"]["routers"][0]["neighbors"][0]["ebgpMultiHop"], expected, "{fields}");
    }
}

#[test]
fn peers_that_do_not_go_together_are_named_by_field_and_the_first_stays() {
    let first = || peer("a", json!({ "routerID": "10.0.0.1" }));
    for (fields, field) in [
        (json!({ "peerAddress": "192.0.2.253", "myASN": 64513 }), "spec.myASN"),
        (json!({ "peerAddress": "192.0.2.253", "routerID": "10.0.0.2" }), "spec.routerID"),
        (json!({}), "spec.peerAddress"),
        (json!({ "peerAddress": "192.0.2.253", "localASN": 64513 }), "spec.localASN"),
    ] {
        let made = of(&[peer("b", fields), first()]);
        let left_out: Vec<_> =
            made.left_out.iter().map(|(key, it)| (key.name.as_str(), it.field.as_str())).collect();
        assert_eq!(left_out, [("b", field)]);
        let neighbors = &made.object["spec"]["bgp"]["routers"][0]["neighbors"];
        assert_eq!(neighbors.as_array().map(Vec::len), Some(1));
    }
    let made = of(&[first(), peer("b", json!({ "vrf": "red", "myASN": 64513 }))]);
    assert_eq!(made.left_out, BTreeMap::new(), "another VRF has a router of its own");
    let asns: Vec<&Value> = made.object["spec"]["bgp"]["routers"]
        .as_array()
        .expect("routers")
        .iter()
        .map(|it| &it["asn"])
        .collect();
    assert_eq!(asns, [64_512, 64_513]);
}
