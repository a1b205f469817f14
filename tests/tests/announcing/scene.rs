//! A cluster with a Service, a pool and a router, and an announcer that follows it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use announcer::agent::{Announcer, BgpEngine, Config, Telemetry};
use announcer::bgp::family::Family;
use announcer::bgp::open::{Capabilities, Open};
use announcer::link::Excluded;
use announcer::status::object::Pod;
use serde_json::{Value, json};
use tests::cluster::{Cluster, DEADLINE};
use tests::sandbox::manifests;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const NODE: &str = "node-1";

/// Where it is listened as a router does: a BGPPeer can name ports up to 16,384 only.
pub(crate) async fn listen() -> TcpListener {
    for _ in 0..1_000 {
        let port = fastrand::u16(10_000..16_384);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
    panic!("there is no port for a router");
}

/// Reads from a router's connection until these bytes have come.
pub(crate) async fn until_told(stream: &mut TcpStream, what: &str, bytes: &[u8]) {
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
pub(crate) fn router() -> Open {
    let capabilities =
        Capabilities { families: [Family::V4].into(), four_octet_as: true, ..Capabilities::default() };
    Open { asn: 64_600, hold_time: 90, identifier: Ipv4Addr::new(10, 0, 0, 254), capabilities }
}

/// An announcer at work. Dropped, it ends where it stands.
pub(crate) struct Running {
    pub(crate) shown: Arc<Telemetry>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: AbortOnDropHandle<()>,
}

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    peer_port: u16,
    key: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn start(peer_port: u16) -> Self {
        Scene::on(Cluster::start().await, peer_port).await
    }

    /// The same in a cluster that is there already.
    pub(crate) async fn on(cluster: Cluster, peer_port: u16) -> Self {
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

    pub(crate) async fn apply(&self, object: Value) {
        let object = serde_json::from_value(object).expect("an object");
        manifests::apply(&self.cluster.client, &object).await.expect("it is accepted");
    }

    /// A Service with an address and an endpoint, a pool, an advertisement, and two peers: one can be had.
    async fn write(&self) {
        self.cluster.add_node(NODE).await;
        self.metallb("v1beta1", "IPAddressPool", "lan", json!({ "addresses": ["192.0.2.0/28"] })).await;
        self.metallb("v1beta1", "BGPAdvertisement", "all", json!({})).await;
        let router = json!({
            "myASN": 64512, "peerASN": 64600, "peerAddress": "127.0.0.1", "peerPort": self.peer_port,
            "routerID": "10.0.0.1",
        });
        self.metallb("v1beta2", "BGPPeer", "tor", router).await;
        let lacking = json!({ "myASN": 64512, "peerASN": 64600, "peerAddress": "127.0.0.2", "vrf": "red" });
        self.metallb("v1beta2", "BGPPeer", "lacking", lacking).await;
        self.cluster.create("web").await;
        let ingress = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } } });
        self.cluster.change_status("web", ingress).await;
        self.serve(true).await;
    }

    /// One of MetalLB's objects.
    pub(crate) async fn metallb(&self, version: &str, kind: &str, name: &str, spec: Value) {
        self.apply(json!({
            "apiVersion": format!("metallb.io/{version}"), "kind": kind,
            "metadata": { "name": name, "namespace": self.cluster.namespace }, "spec": spec,
        }))
        .await;
    }

    /// The Service has an endpoint on the node, or none.
    pub(crate) async fn serve(&self, there: bool) {
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

    pub(crate) fn run(&self) -> Running {
        self.run_with(BgpEngine::Native)
    }

    /// Runs the announcer, with this to speak to routers.
    pub(crate) fn run_with(&self, engine: BgpEngine) -> Running {
        // This machine's own links are not to announce anything.
        let excluded = Excluded::new([".*"]).expect("an expression");
        let mut config = Config::new(NODE, self.key.path().join("key"), excluded);
        config.bgp = Some(engine);
        config.namespace = Some(self.cluster.namespace.clone());
        config.pod = Some(Pod { name: "announcer-1".to_owned(), uid: "uid-1".to_owned() });
        let (announcer, stop) =
            (Announcer::new(self.cluster.client.clone(), config), CancellationToken::new());
        let (stopped, shown) = (stop.clone(), announcer.shown());
        let task = tokio::spawn(async move { announcer.run(stopped).await.expect("it follows links") });
        Running { shown, stop, task: AbortOnDropHandle::new(task) }
    }

    /// Waits until so many events say this of an object.
    pub(crate) async fn until_said(&self, object: &str, reason: &str, times: usize) {
        let said = async {
            let mut looks = tokio::time::interval(Duration::from_millis(20));
            let is_meant = |event: &(String, String, String, i32)| event.1 == reason;
            while self.cluster.events(object).await.iter().filter(|event| is_meant(event)).count() < times {
                looks.tick().await;
            }
        };
        assert!(timeout(DEADLINE, said).await.is_ok(), "{object} is not said to be {reason} {times} times");
    }
}
