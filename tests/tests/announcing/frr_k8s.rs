//! What is written for an FRR that frr-k8s runs, judged by an API server with the definition's fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use announcer::agent::BgpEngine;
use announcer::bgp::route::{LargeCommunity, PathAttributes, WantedRoutes};
use announcer::engine::frr_k8s::configuration;
use announcer::engine::frr_k8s_keeper::FrrKeeper;
use announcer::status::object::StatusKey;
use cloud_provider::testing::a_node;
use cloud_provider::{ServiceKey, SortedMap};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind};
use kube::runtime::wait::await_condition;
use metallb::bfd_profile::BfdProfile;
use metallb::crd::{AnnouncementProtocol, ServiceBGPStatus};
use metallb::peer::Peer;
use metallb::written::Written;
use serde_json::{Value, json};
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, DEADLINE};
use tests::control_plane::{ControlPlane, Options};
use tests::sandbox::manifests;
use tokio::time::timeout;

use super::scene::{NODE, Scene};

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
        labels: SortedMap::new(),
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
    let made = configuration(&a_node(NODE).build(), namespace, peers.iter().map(|peer| (peer, &wanted)));
    assert_eq!(made.left_out, BTreeMap::new());
    made.object
}

const CONFIGURATION: &str = "cloud-lb-announcer-node-1";

fn configurations(cluster: &Cluster) -> Api<DynamicObject> {
    let kind =
        ApiResource::from_gvk(&GroupVersionKind::gvk("frrk8s.metallb.io", "v1beta1", "FRRConfiguration"));
    Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &kind)
}

async fn until_it_says(cluster: &Cluster, object: &Value) {
    let api = configurations(cluster);
    let says = |found: Option<&DynamicObject>| found.is_some_and(|it| it.data["spec"] == object["spec"]);
    let waited = timeout(DEADLINE, await_condition(api.clone(), CONFIGURATION, says)).await;
    if waited.is_err() {
        let found = api.get_opt(CONFIGURATION).await.expect("an answer");
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

/// The UID of the Node that a configuration belongs to.
fn owner_of(configuration: &DynamicObject) -> Option<String> {
    configuration.owner_references().first().map(|owner| owner.uid.clone())
}

/// The UID of the Node that the configuration belongs to, once it is another than this.
async fn until_it_belongs_to_another_than(cluster: &Cluster, before: &str) -> String {
    let is_another = |it: Option<&DynamicObject>| it.and_then(owner_of).is_some_and(|uid| uid != before);
    let waited = timeout(DEADLINE, await_condition(configurations(cluster), CONFIGURATION, is_another)).await;
    let found = waited.expect("in time").expect("an answer").expect("it is there");
    owner_of(&found).expect("an owner")
}

/// A real server's garbage collector takes what is left of a Node; the double has none, and this test does as it would.
#[tokio::test]
async fn a_configuration_goes_with_its_node_and_none_is_written_while_there_is_no_node() {
    let options = Options { controller_manager: true, ..Options::default() };
    let cluster = with_definition(Cluster::on(ControlPlane::start_with(options).await).await).await;
    // Nobody listens at this port, nor is there anybody who would connect to it.
    let scene = Scene::on(cluster, 1).await;
    let (cluster, namespace) = (&scene.cluster, scene.cluster.namespace.clone());
    let _running = scene.run_with(BgpEngine::FrrK8s { namespace: namespace.clone() });
    let first = until_it_belongs_to_another_than(cluster, "").await;
    assert_eq!(cluster.nodes().get(NODE).await.expect("a Node").uid(), Some(first.clone()));

    let statuses: Api<ServiceBGPStatus> = Api::namespaced(cluster.client.clone(), &namespace);
    let name = StatusKey::of(AnnouncementProtocol::Bgp, &ServiceKey::new(&namespace, "web"), NODE).name;
    let is_told = await_condition(statuses.clone(), &name, |it: Option<&ServiceBGPStatus>| it.is_some());
    timeout(DEADLINE, is_told).await.expect("in time").expect("an answer");
    cluster.nodes().delete(NODE, &DeleteParams::default()).await.expect("the Node is deleted");
    // Its word of the Service goes a second after it has learned that its Node is gone: by then it would have written.
    let is_gone = await_condition(statuses, &name, |it: Option<&ServiceBGPStatus>| it.is_none());
    timeout(DEADLINE, is_gone).await.expect("in time").expect("an answer");
    let configurations = configurations(cluster);
    if !cluster.plane.is_real() {
        let left = configurations.get(CONFIGURATION).await.expect("nobody has deleted it yet");
        assert_eq!(owner_of(&left), Some(first.clone()));
        configurations.delete(CONFIGURATION, &DeleteParams::default()).await.expect("it is there");
    }
    let is_gone = await_condition(configurations, CONFIGURATION, |it: Option<&DynamicObject>| it.is_none());
    timeout(DEADLINE, is_gone).await.expect("in time").expect("an answer");

    cluster.add_node(NODE).await;
    until_it_belongs_to_another_than(cluster, &first).await;
}
