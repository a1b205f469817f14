//! What is wrong is told by name, on whatever it is wrong with, and the rest works.

use announcer::bgp::message::keepalive;
use announcer::bgp::notification::Notification;
use announcer::bgp::open::Open;
use serde_json::{Value, json};
use tests::cluster::DEADLINE;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::scene::{Scene, listen, router, until_told};

/// The route of the scene's Service, as an UPDATE has it.
const ROUTE: [u8; 5] = [32, 192, 0, 2, 7];

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("an address").port()
}

/// The session with the router that is as it should be.
async fn healthy(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(DEADLINE, listener.accept()).await.expect("in time").expect("a connection");
    stream.write_all(&[router().emit(), keepalive()].concat()).await.expect("it takes it");
    until_told(&mut stream, "the route", &ROUTE).await;
    stream
}

/// A router that says this to whoever connects, as often as anybody does.
fn saying(listener: TcpListener, what: Vec<u8>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // Who closes in between has heard it already.
            let _heard = stream.write_all(&what).await;
            open.push(stream);
        }
    }))
}

fn at_port(port: u16) -> Value {
    json!({ "myASN": 64512, "peerASN": 64600, "peerAddress": "127.0.0.1", "peerPort": port, "routerID": "10.0.0.1" })
}

#[tokio::test]
async fn why_a_peer_has_no_session_is_an_event_on_it_and_the_others_are_told_routes() {
    let (good, other_as, refusing, nowhere) =
        (listen().await, listen().await, listen().await, listen().await);
    let (at_other_as, at_refusing, at_nowhere) = (port(&other_as), port(&refusing), port(&nowhere));
    drop(nowhere);
    // RFC 4486 §4: connection rejected.
    let rejection = Notification { code: 6, subcode: 5, data: Vec::new() };
    let _other_as = saying(other_as, Open { asn: 64_999, ..router() }.emit());
    let _refusing = saying(refusing, rejection.emit());
    let scene = Scene::start(port(&good)).await;
    scene.metallb("v1beta2", "BGPPeer", "other-as", at_port(at_other_as)).await;
    scene.metallb("v1beta2", "BGPPeer", "refusing", at_port(at_refusing)).await;
    scene.metallb("v1beta2", "BGPPeer", "nowhere", at_port(at_nowhere)).await;
    let _running = scene.run();

    let _session = healthy(&good).await;
    for (peer, words) in [
        ("other-as", "it is of AS 64999, and should be of AS 64600"),
        ("refusing", "it says "),
        ("nowhere", "it cannot be connected to: "),
    ] {
        let said = scene.cluster.until_event(peer, "SessionDown").await;
        assert!(said.starts_with(words), "{peer}: {said}");
    }
}

#[tokio::test]
async fn what_advertisements_name_and_is_not_there_is_an_event_on_each_and_the_rest_works() {
    let listener = listen().await;
    let scene = Scene::start(port(&listener)).await;
    let nowhere = json!([{ "matchLabels": { "rack": "r9" } }]);
    for (kind, name, spec) in [
        ("L2Advertisement", "of-no-pool", json!({ "ipAddressPools": ["gone"] })),
        ("L2Advertisement", "of-no-node", json!({ "nodeSelectors": nowhere })),
        ("L2Advertisement", "of-no-link", json!({ "interfaces": ["eth99"] })),
        ("BGPAdvertisement", "of-no-community", json!({ "communities": ["gold"] })),
        ("BGPAdvertisement", "of-another-mind", json!({ "localPref": 200 })),
    ] {
        scene.metallb("v1beta1", kind, name, spec).await;
    }
    let _running = scene.run();

    let _session = healthy(&listener).await;
    for (object, reason, words) in [
        (
            "of-no-pool",
            "NamesNothing",
            "spec.ipAddressPools: \"gone\" is the name of no IPAddressPool in force",
        ),
        ("of-no-node", "NamesNothing", "spec.nodeSelectors[0]: \"rack=r9\" fits no Node"),
        (
            "of-no-link",
            "NoSuchInterface",
            "spec.interfaces: \"eth99\" is no link of node node-1 that announces",
        ),
        ("of-no-community", "Invalid", "spec.communities: \"gold\" is no community"),
        ("of-another-mind", "Contradiction", "does not go with "),
    ] {
        let said = scene.cluster.until_event(object, reason).await;
        assert!(said.contains(words), "{object}: {said}");
    }
}

#[tokio::test]
async fn two_nodes_that_find_the_same_mistake_write_one_event() {
    let scene = Scene::start(port(&listen().await)).await;
    scene.metallb("v1beta1", "L2Advertisement", "of-no-pool", json!({ "ipAddressPools": ["gone"] })).await;
    let _first = scene.run();
    scene.cluster.until_event("of-no-pool", "NamesNothing").await;
    let _second = scene.run();
    // The second says it of a peer of its own, after it has said the common one.
    scene.until_said("lacking", "PeerNotServed", 2).await;
    assert_eq!(scene.cluster.events("of-no-pool").await.len(), 1);
}

#[tokio::test]
async fn a_name_in_a_status_and_a_proxy_in_the_way_are_events_on_the_service() {
    let listener = listen().await;
    let scene = Scene::start(port(&listener)).await;
    scene.metallb("v1beta1", "L2Advertisement", "all", json!({})).await;
    let ingress = json!([{ "ip": "192.0.2.7" }, { "hostname": "lb.example.com" }]);
    scene.cluster.change_status("web", json!({ "status": { "loadBalancer": { "ingress": ingress } } })).await;
    scene.cluster.create("proxied").await;
    let ingress = json!([{ "ip": "192.0.2.8", "ipMode": "Proxy" }]);
    scene
        .cluster
        .change_status("proxied", json!({ "status": { "loadBalancer": { "ingress": ingress } } }))
        .await;
    let _running = scene.run();

    let _session = healthy(&listener).await;
    let said = scene.cluster.until_event("web", "HostnameInStatus").await;
    assert!(said.contains("\"lb.example.com\" is a name in place of an address"), "{said}");
    let said = scene.cluster.until_event("proxied", "NotAnnounced").await;
    assert!(said.starts_with("192.0.2.8 is announced by no node: its status has ipMode Proxy"), "{said}");
}
