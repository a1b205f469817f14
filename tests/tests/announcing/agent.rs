//! The announcer's own loop, from what the API server says to what a router is told.

use announcer::bgp::message::keepalive;
use announcer::status::object::StatusKey;
use cloud_provider::ServiceKey;
use kube::api::Api;
use kube::runtime::wait::await_condition;
use metallb::crd::AnnouncementProtocol;
use metallb::crd::ServiceBGPStatus;
use tests::cluster::{Cluster, DEADLINE};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::scene::{NODE, Running, Scene, listen, router, until_told};

/// The route to the Service's address, as an UPDATE has it.
const ROUTE: [u8; 5] = [32, 192, 0, 2, 7];

/// The router takes a connection and says who it is.
async fn connected(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(DEADLINE, listener.accept()).await.expect("in time").expect("a connection");
    stream.write_all(&[router().emit(), keepalive()].concat()).await.expect("it takes it");
    stream
}

/// Waits until the route is taken back: an UPDATE with a withdrawn one, which is as long as the prefix is.
async fn until_withdrawn(stream: &mut TcpStream) {
    until_told(stream, "its withdrawal", &[&[2, 0, 5][..], &ROUTE].concat()).await;
}

#[tokio::test]
async fn a_service_reaches_a_router_is_told_in_the_cluster_and_leaves_both_with_its_last_endpoint() {
    let listener = listen().await;
    let scene = Scene::start(listener.local_addr().expect("an address").port()).await;
    let Running { stop, task, .. } = scene.run();
    let mut stream = connected(&listener).await;
    until_told(&mut stream, "the route", &ROUTE).await;

    let statuses: Api<ServiceBGPStatus> =
        Api::namespaced(scene.cluster.client.clone(), &scene.cluster.namespace);
    let key = ServiceKey::new(&scene.cluster.namespace, "web");
    let name = StatusKey::of(AnnouncementProtocol::Bgp, &key, NODE).name;
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
    until_withdrawn(&mut stream).await;
    let gone = await_condition(statuses, &name, |it: Option<&ServiceBGPStatus>| it.is_none());
    timeout(DEADLINE, gone).await.expect("in time").expect("an answer");
    stop.cancel();
    timeout(DEADLINE, task).await.expect("in time").expect("it ends well");
}

#[tokio::test]
async fn while_the_api_server_is_away_a_router_that_comes_back_is_told_what_was_known_last() {
    let listener = listen().await;
    let port = listener.local_addr().expect("an address").port();
    let scene = Scene::on(Cluster::with_faults().await, port).await;
    let _running = scene.run();
    let mut stream = connected(&listener).await;
    until_told(&mut stream, "the route", &ROUTE).await;

    scene.cluster.faults().cut_network();
    drop(stream);
    let mut stream = connected(&listener).await;
    until_told(&mut stream, "the route once more", &ROUTE).await;

    scene.cluster.faults().mend_network();
    scene.serve(false).await;
    until_withdrawn(&mut stream).await;
}

#[tokio::test]
async fn sessions_and_what_routers_were_told_are_counted_by_peer() {
    let listener = listen().await;
    let scene = Scene::start(listener.local_addr().expect("an address").port()).await;
    let running = scene.run();
    for times in 1..=2 {
        let mut stream = connected(&listener).await;
        until_told(&mut stream, "the route", &ROUTE).await;
        let figures = running.shown.metrics();
        let ups = format!("session_ups_total{{peer=\"tor\"}} {times}");
        for figure in ["session_up{peer=\"tor\"} 1", "prefixes{peer=\"tor\"} 1", &ups] {
            assert!(figures.contains(&format!("\ncloud_lb_announcer_bgp_{figure}\n")), "{figure}: {figures}");
        }
    }
}
