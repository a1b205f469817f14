//! What is written for an FRR that frr-k8s runs, judged by an API server with the definition's fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use announcer::bgp::route::{LargeCommunity, PathAttributes, WantedRoutes};
use announcer::engine::frr_k8s::configuration;
use announcer::engine::frr_k8s_keeper::FrrKeeper;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::wait::await_condition;
use metallb::bfd_profile::BfdProfile;
use metallb::peer::Peer;
use metallb::written::Written;
use serde_json::{Value, json};
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, DEADLINE};
use tests::sandbox::manifests;
use tokio::time::timeout;

/// The definition, as far as its fields go that a speaker writes (metallb/frr-k8s, `API-DOCS.md`): whoever applies another
/// field is refused.
fn definition() -> Value {
    let object = |properties: Value| json!({ "type": "object", "properties": properties });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let (text, flag) = (json!({ "type": "string" }), json!({ "type": "boolean" }));
    let number = |least: i64, most: i64| json!({ "type": "integer", "format": "int64", "minimum": least, "maximum": most });
    let (prefixes, asn) = (list(text.clone()), number(0, 4_294_967_295));
    let some_prefixes = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    let advertised = object(json!({
        "allowed": object(json!({
            "mode": { "type": "string", "enum": ["all", "filtered"], "default": "filtered" },
            "prefixes": prefixes,
        })),
        "withLocalPref": list(object(json!({ "localPref": number(0, 4_294_967_295), "prefixes": some_prefixes }))),
        "withCommunity": list(object(json!({ "community": text, "prefixes": some_prefixes }))),
    }));
    let neighbor = object(json!({
        "asn": asn, "dynamicASN": { "type": "string", "enum": ["internal", "external"] }, "sourceaddress": text,
        "address": text, "interface": text, "port": number(0, 16_384), "password": text,
        "passwordSecret": object(json!({ "name": text, "namespace": text })), "holdTime": text, "keepaliveTime": text,
        "connectTime": text, "ebgpMultiHop": flag, "bfdProfile": text, "enableGracefulRestart": flag,
        "dualStackAddressFamily": { "type": "boolean", "default": false }, "toAdvertise": advertised,
    }));
    let router = object(json!({
        "asn": asn, "id": text, "vrf": text, "neighbors": list(neighbor), "prefixes": prefixes,
    }));
    let profile = object(json!({
        "name": text, "receiveInterval": number(10, 60_000), "transmitInterval": number(10, 60_000),
        "detectMultiplier": number(2, 255), "echoInterval": number(10, 60_000), "echoMode": flag,
        "passiveMode": flag, "minimumTtl": number(1, 254),
    }));
    let labels = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let spec = object(json!({
        "bgp": object(json!({ "routers": list(router), "bfdProfiles": list(profile) })),
        "nodeSelector": object(json!({ "matchLabels": labels })),
    }));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "frrconfigurations.frrk8s.metallb.io" },
        "spec": {
            "group": "frrk8s.metallb.io", "scope": "Namespaced",
            "names": {
                "kind": "FRRConfiguration", "listKind": "FRRConfigurationList", "plural": "frrconfigurations",
                "singular": "frrconfiguration",
            },
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": object(json!({ "spec": spec })) },
            }],
        },
    })
}

async fn with_definition(cluster: Cluster) -> Cluster {
    let object = serde_json::from_value(definition()).expect("an object");
    manifests::apply(&cluster.client, &object).await.expect("it is accepted");
    cluster
}

fn written<S: serde::de::DeserializeOwned>(name: &str, spec: Value) -> Written<S> {
    Written {
        namespace: "metallb-system".to_owned(),
        name: name.to_owned(),
        labels: BTreeMap::new(),
        created: None,
        annotations: BTreeMap::new(),
        spec: Ok(serde_json::from_value(spec).expect("a spec")),
    }
}

/// A peer that says all that can be said, and one of each other form.
fn peers() -> Vec<Peer> {
    let profile = |name: &str| {
        Some(Arc::new(BfdProfile::parse(&written(name, json!({ "echoMode": true }))).expect("a profile")))
    };
    let peer = |name: &str, spec: Value| Peer::parse(&written(name, spec), profile).expect("a peer");
    vec![
        peer(
            "full",
            json!({
                "myASN": 64512, "peerASN": 64600, "peerAddress": "192.0.2.254", "sourceAddress": "192.0.2.1",
                "peerPort": 1179, "holdTime": "30s", "keepaliveTime": "5s", "connectTime": "7s", "routerID": "10.0.0.1",
                "bfdProfile": "echo", "passwordSecret": { "name": "bgp" }, "enableGracefulRestart": true,
                "ebgpMultiHop": true, "dualStackAddressFamily": true,
            }),
        ),
        peer(
            "interface",
            json!({ "myASN": 64512, "dynamicASN": "external", "interface": "eth1", "vrf": "red" }),
        ),
        peer(
            "password",
            json!({ "myASN": 64512, "peerASN": 64512, "peerAddress": "2001:db8::fe", "password": "x" }),
        ),
    ]
}

fn object(namespace: &str, prefixes: &[&str]) -> Value {
    let mut wanted = WantedRoutes::default();
    for prefix in prefixes {
        let said = PathAttributes {
            local_preference: Some(150),
            communities: [64_512 << 16 | 7].into(),
            large_communities: [LargeCommunity { global: 1, first: 2, second: 3 }].into(),
        };
        let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
        wanted.add(prefix.addr(), prefix.prefix_len(), said).expect("a route");
    }
    let peers = peers();
    let made = configuration("node-1", "node-1", namespace, peers.iter().map(|peer| (peer, &wanted)));
    assert_eq!(made.left_out, BTreeMap::new());
    made.object
}

async fn until_it_says(cluster: &Cluster, object: &Value) {
    let kind =
        ApiResource::from_gvk(&GroupVersionKind::gvk("frrk8s.metallb.io", "v1beta1", "FRRConfiguration"));
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &kind);
    let says = |found: Option<&DynamicObject>| found.is_some_and(|it| it.data["spec"] == object["spec"]);
    let waited = timeout(DEADLINE, await_condition(api.clone(), "cloud-lb-announcer-node-1", says)).await;
    if waited.is_err() {
        let found = api.get_opt("cloud-lb-announcer-node-1").await.expect("an answer");
        panic!("{:#}\nis expected, there is\n{:#}", object["spec"], found.map_or(Value::Null, |it| it.data));
    }
}

#[tokio::test]
async fn a_server_that_knows_the_definition_takes_every_field_and_keeps_it_as_it_was_meant() {
    let cluster = with_definition(Cluster::start().await).await;
    let keeper = FrrKeeper::start(cluster.client.clone());
    let first = object(&cluster.namespace, &["198.51.100.7/32", "2001:db8::7/128"]);
    keeper.apply(first.clone());
    until_it_says(&cluster, &first).await;
    let second = object(&cluster.namespace, &[]);
    keeper.apply(second.clone());
    until_it_says(&cluster, &second).await;
}

#[tokio::test]
async fn what_is_refused_or_whose_reply_is_lost_is_written_all_the_same_and_until_then_it_is_said_why() {
    let cluster = with_definition(Cluster::with_faults().await).await;
    let patches = || Matching::any().verb("patch").resource("frrconfigurations");
    cluster.faults().fail(patches(), Failure::Forbidden, 1);
    let keeper = FrrKeeper::start(cluster.client.clone());
    let mut trouble = keeper.trouble();
    let wanted = object(&cluster.namespace, &["198.51.100.7/32"]);
    keeper.apply(wanted.clone());
    let told = timeout(DEADLINE, trouble.wait_for(Option::is_some))
        .await
        .expect("in time")
        .expect("it runs")
        .clone();
    assert!(told.is_some_and(|why| why.contains("the FRRConfiguration cannot be written")));
    cluster.faults().lose_replies(patches(), 1);
    until_it_says(&cluster, &wanted).await;
    timeout(DEADLINE, trouble.wait_for(Option::is_none)).await.expect("in time").expect("it runs");
}
