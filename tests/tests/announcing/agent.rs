//! The announcer's own loop, from what the API server says to what a router is told.

use std::net::Ipv4Addr;

use announcer::agent::{Announcer, BgpEngine, Config};
use announcer::bgp::family::Family;
use announcer::bgp::message::keepalive;
use announcer::bgp::open::{Capabilities, Open};
use announcer::link::Excluded;
use announcer::status::object::{Pod, Protocol, StatusKey};
use cloud_provider::ServiceKey;
use kube::api::Api;
use kube::runtime::wait::await_condition;
use metallb::crd::ServiceBGPStatus;
use serde_json::{Value, json};
use tests::cluster::{Cluster, DEADLINE};
use tests::sandbox::manifests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const NODE: &str = "node-1";

/// Where it is listened as a router does: a BGPPeer can name ports up to 16,384 only.
async fn listen() -> TcpListener {
    for _ in 0..1_000 {
        let port = fastrand::u16(10_000..16_384);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
    panic!("there is no port for a router");
}

/// Reads from a router's connection until these bytes have come.
async fn until_told(stream: &mut TcpStream, what: &str, bytes: &[u8]) {
    let mut said = Vec::new();
    let told = async {
        let mut buffer = [0; 4_096];
        while !said.windows(bytes.len()).any(|window| window == bytes) {
            let length = stream.read(&mut buffer).await.expect("it is connected");
            assert!(length > 0, "it closed: {what} was waited for");
            said.extend_from_slice(&buffer[..length]);
        }
    };
    let in_time = timeout(DEADLINE, told).await.is_ok();
    assert!(in_time, "waited for {what}, and heard {said:02x?}");
}

/// What the router says of itself.
fn router() -> Open {
    let capabilities =
        Capabilities { families: [Family::V4].into(), four_octet_as: true, ..Capabilities::default() };
    Open { asn: 64_600, hold_time: 90, identifier: Ipv4Addr::new(10, 0, 0, 254), capabilities }
}

struct Scene {
    cluster: Cluster,
    peer_port: u16,
    key: tempfile::TempDir,
}

impl Scene {
    async fn start(peer_port: u16) -> Self {
        let cluster = Cluster::start().await;
        let definitions = metallb::crd::manifest().expect("the definitions");
        for object in manifests::parse(&definitions, "resource definitions").expect("they are objects") {
            manifests::apply(&cluster.client, &object).await.expect("they are accepted");
        }
        let key = tempfile::tempdir().expect("a folder");
        std::fs::write(key.path().join("key"), "sixteen bytes or more").expect("a file");
        let scene = Scene { cluster, peer_port, key };
        scene.write().await;
        scene
    }

    async fn apply(&self, object: Value) {
        let object = serde_json::from_value(object).expect("an object");
        manifests::apply(&self.cluster.client, &object).await.expect("it is accepted");
    }

    /// A Service with an address and an endpoint, a pool, an advertisement, and two peers: one can be had.
    async fn write(&self) {
        let namespace = &self.cluster.namespace;
        let metallb = |version: &str, kind: &str, name: &str, spec: Value| {
            json!({
                "apiVersion": format!("metallb.io/{version}"), "kind": kind,
                "metadata": { "name": name, "namespace": namespace }, "spec": spec,
            })
        };
        self.cluster.add_node(NODE).await;
        self.apply(metallb("v1beta1", "IPAddressPool", "lan", json!({ "addresses": ["192.0.2.0/28"] })))
            .await;
        self.apply(metallb("v1beta1", "BGPAdvertisement", "all", json!({}))).await;
        let router = json!({
            "myASN": 64512, "peerASN": 64600, "peerAddress": "127.0.0.1", "peerPort": self.peer_port,
            "routerID": "10.0.0.1",
        });
        self.apply(metallb("v1beta2", "BGPPeer", "tor", router)).await;
        let lacking = json!({ "myASN": 64512, "peerASN": 64600, "peerAddress": "127.0.0.2", "vrf": "red" });
        self.apply(metallb("v1beta2", "BGPPeer", "lacking", lacking)).await;
        self.cluster.create("web").await;
        let ingress = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } } });
        self.cluster.change_status("web", ingress).await;
        self.serve(true).await;
    }

    /// The Service has an endpoint on the node, or none.
    async fn serve(&self, there: bool) {
        let endpoints = match there {
            true => json!([{ "addresses": ["10.0.0.1"], "nodeName": NODE }]),
            false => json!([]),
        };
        self.apply(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "web-1", "namespace": self.cluster.namespace,
                "labels": { "kubernetes.io/service-name": "web" },
            },
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "port": 80 }],
        }))
        .await;
    }

    fn run(&self) -> (CancellationToken, AbortOnDropHandle<()>) {
        // This machine's own links are not to announce anything.
        let excluded = Excluded::new([".*"]).expect("an expression");
        let mut config = Config::new(NODE, self.key.path().join("key"), excluded);
        config.bgp = Some(BgpEngine::Native);
        config.namespace = Some(self.cluster.namespace.clone());
        config.pod = Some(Pod { name: "announcer-1".to_owned(), uid: "uid-1".to_owned() });
        let (announcer, stop) =
            (Announcer::new(self.cluster.client.clone(), config), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { announcer.run(stopped).await.expect("it follows links") });
        (stop, AbortOnDropHandle::new(task))
    }
}

#[tokio::test]
async fn a_service_reaches_a_router_is_told_in_the_cluster_and_leaves_both_with_its_last_endpoint() {
    let listener = listen().await;
    let scene = Scene::start(listener.local_addr().expect("an address").port()).await;
    let (stop, task) = scene.run();
    let (mut stream, _) = timeout(DEADLINE, listener.accept()).await.expect("in time").expect("a connection");
    stream.write_all(&[router().emit(), keepalive()].concat()).await.expect("it takes it");
    let prefix = [32, 192, 0, 2, 7];
    until_told(&mut stream, "the route", &prefix).await;

    let statuses: Api<ServiceBGPStatus> =
        Api::namespaced(scene.cluster.client.clone(), &scene.cluster.namespace);
    let key = ServiceKey::new(&scene.cluster.namespace, "web");
    let name = StatusKey::of(Protocol::Bgp, &key, NODE).name;
    let says = |it: Option<&ServiceBGPStatus>| {
        it.and_then(|it| it.status.as_ref()).is_some_and(|status| status.peers == ["tor"])
    };
    let told = await_condition(statuses.clone(), &name, says);
    timeout(DEADLINE, told).await.expect("in time").expect("an answer");
    let assigned = scene.cluster.until_event("web", "nodeAssigned").await;
    assert_eq!(assigned, r#"announcing from node "node-1" with protocol "bgp""#);
    let lacks = scene.cluster.until_event("lacking", "PeerNotServed").await;
    assert!(lacks.contains("spec.vrf") && lacks.contains("or --bgp=frr-k8s"), "{lacks}");

    scene.serve(false).await;
    // An UPDATE with a withdrawn route, which is as long as the prefix is.
    until_told(&mut stream, "its withdrawal", &[&[2, 0, 5][..], &prefix].concat()).await;
    let gone = await_condition(statuses, &name, |it: Option<&ServiceBGPStatus>| it.is_none());
    timeout(DEADLINE, gone).await.expect("in time").expect("an answer");
    stop.cancel();
    timeout(DEADLINE, task).await.expect("in time").expect("it ends well");
}
