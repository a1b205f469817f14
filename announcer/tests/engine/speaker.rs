//! Our own speaker follows peers and routes as they come, change and go.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use announcer::bgp::route::PathAttributes;
use announcer::bgp::session::Leaving;
use announcer::engine::speaker::{Speaker, SpeakerConfig};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::{peer, routes};

const WITHIN: Duration = Duration::from_secs(20);

async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port")
}

/// A peer that listens there, at a port that no resource may name.
fn at(listener: &TcpListener, name: &str) -> Arc<metallb::peer::Peer> {
    let port = listener.local_addr().expect("an address").port();
    let mut made = peer(name, json!({ "peerAddress": "127.0.0.1", "routerID": "10.0.0.1" }));
    made.port = port;
    Arc::new(made)
}

/// Takes a connection on which somebody opens a session.
async fn opened(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(WITHIN, listener.accept()).await.expect("in time").expect("a connection");
    let mut header = [0; 19];
    timeout(WITHIN, stream.read_exact(&mut header)).await.expect("in time").expect("a header");
    assert_eq!((&header[..16], header[18]), (&[0xff; 16][..], 1), "an OPEN");
    stream
}

/// Reads until the connection is closed.
async fn closed(stream: &mut TcpStream) {
    let mut said = Vec::new();
    timeout(WITHIN, stream.read_to_end(&mut said)).await.expect("in time").expect("no reset");
}

fn told(peers: &[Arc<metallb::peer::Peer>]) -> SpeakerConfig {
    let node = vec!["127.0.0.1/8".parse().expect("a net")];
    let wanted = routes(&[("198.51.100.7/32", PathAttributes::default())]);
    let wanted = peers.iter().map(|peer| (peer.key.name.clone(), Arc::new(wanted.clone()))).collect();
    SpeakerConfig { peers: peers.to_vec(), node, wanted }
}

#[tokio::test]
async fn each_peer_has_a_session_and_one_that_asks_for_what_is_lacking_harms_no_other() {
    let (first, second) = (listen().await, listen().await);
    let (news, _news) = mpsc::unbounded_channel();
    let speaker = Speaker::start(news);
    let lacking = Arc::new(peer("lacking", json!({ "vrf": "red" })));
    let told = told(&[at(&first, "a"), lacking, at(&second, "b")]);
    let left_out = told.left_out();
    let fields = left_out.iter().map(|(peer, lacks)| (peer.name.as_str(), lacks[0].field.as_str()));
    assert_eq!(fields.collect::<Vec<_>>(), [("lacking", "spec.vrf")]);
    speaker.tell(told);
    let (mut a, mut b) = (opened(&first).await, opened(&second).await);
    let mut shown = speaker.shown();
    let shown = timeout(WITHIN, shown.wait_for(|shown| !shown.is_empty())).await;
    let shown = shown.expect("in time").expect("it runs").clone();
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["a", "b"]);
    speaker.leave(Leaving::ForGood).await;
    closed(&mut a).await;
    closed(&mut b).await;
}

#[tokio::test]
async fn a_peer_that_goes_is_left_one_that_changes_has_a_new_session_and_the_others_keep_theirs() {
    let (first, second, third) = (listen().await, listen().await, listen().await);
    let (news, _news) = mpsc::unbounded_channel();
    let speaker = Speaker::start(news);
    let stays = at(&first, "stays");
    speaker.tell(told(&[stays.clone(), at(&second, "changes"), at(&third, "goes")]));
    let mut kept = opened(&first).await;
    let (mut changed, mut gone) = (opened(&second).await, opened(&third).await);
    let mut other = metallb::peer::Peer::clone(&at(&second, "changes"));
    other.hold_time = Duration::from_secs(30);
    speaker.tell(told(&[stays, Arc::new(other)]));
    closed(&mut changed).await;
    closed(&mut gone).await;
    opened(&second).await;
    // The rest of the OPEN is there; after it nothing came, not even the end.
    let mut rest = [0; 512];
    timeout(WITHIN, kept.read(&mut rest)).await.expect("in time").expect("the rest of the OPEN");
    let waits = std::io::ErrorKind::WouldBlock;
    assert_eq!(kept.try_read(&mut rest).map_err(|error| error.kind()), Err(waits), "it is as it was");
}

#[tokio::test]
async fn why_a_peer_has_no_session_is_told_once_by_its_name() {
    let listener = listen().await;
    let refusing = at(&listener, "refuses");
    drop(listener);
    let (news, mut told_of) = mpsc::unbounded_channel();
    let speaker = Speaker::start(news);
    speaker.tell(told(&[refusing]));
    let first = timeout(WITHIN, told_of.recv()).await.expect("in time").expect("it runs");
    assert_eq!(first.peer.name, "refuses");
    assert!(first.down.is_some_and(|why| why.contains("it cannot be connected to")));
    let mut shown = speaker.shown();
    let shown = timeout(WITHIN, shown.wait_for(|shown| !shown.is_empty())).await;
    let mut session = shown.expect("in time").expect("it runs")["refuses"].session.clone();
    // It is tried again, and fails in the same way; when it does so for the second time, the first has long been heard of.
    for _ in 0..2 {
        timeout(WITHIN, session.changed()).await.expect("in time").expect("it runs");
    }
    assert!(told_of.try_recv().is_err(), "the same is not told twice");
}
