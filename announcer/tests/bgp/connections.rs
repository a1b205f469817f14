//! Sessions over TCP with a router that is played: what FRR would not do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use announcer::bgp::connection::{PeerStatus, Peering};
use announcer::bgp::dial::Dial;
use announcer::bgp::message::keepalive;
use announcer::bgp::peer::{BgpPeer, HoldTime};
use announcer::bgp::reason::DownReason;
use announcer::bgp::route::{LargeCommunity, PathAttributes, WantedRoutes};
use announcer::bgp::session::Leaving;
use announcer::distance::Distance;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

use crate::reader::messages;
use crate::sessions::{peer, router};

const WITHIN: Duration = Duration::from_secs(60);

/// A place to listen where little fits that nobody reads.
fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small one");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    socket.listen(1).expect("it listens")
}

fn begin(listener: &TcpListener, peer: BgpPeer) -> Peering {
    let to = listener.local_addr().expect("an address");
    let dial = Dial { to, from: Some(Ipv4Addr::LOCALHOST.into()), distance: Distance::Link };
    Peering::start(dial, peer, None, fastrand::Rng::with_seed(7))
}

/// Takes a connection, and says what makes the session come up.
async fn take(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(WITHIN, listener.accept()).await.expect("in time").expect("a connection");
    stream.write_all(&[router().emit(), keepalive()].concat()).await.expect("it takes it");
    stream
}

async fn stands(peering: &Peering, is_so: impl FnMut(&PeerStatus) -> bool) -> PeerStatus {
    let mut status = peering.status();
    let status = timeout(WITHIN, status.wait_for(is_so)).await.expect("in time");
    status.expect("the task runs").clone()
}

async fn read_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    timeout(WITHIN, stream.read_to_end(&mut said)).await.expect("in time").expect("no reset");
    said
}

#[tokio::test]
async fn a_router_that_takes_nothing_off_the_connection_is_left_after_the_hold_time() {
    let listener = listen();
    let peering = begin(&listener, BgpPeer { hold_time: HoldTime::new(3).unwrap(), ..peer() });
    let mut wanted = WantedRoutes::default();
    // Eight megabytes: each is told in a message of its own, which is half full.
    for number in 0..4_000_u32 {
        let community = |first| LargeCommunity { global: number, first, second: 0 };
        let attributes = PathAttributes {
            large_communities: (0..170).map(community).collect(),
            ..PathAttributes::default()
        };
        wanted.add(Ipv4Addr::from(0x0a00_0000 + number).into(), 32, attributes).expect("it can be told");
    }
    peering.want(Arc::new(wanted));
    let mut stream = take(&listener).await;
    // It lives, and says so.
    let router = tokio::spawn(async move {
        let mut beat = interval(Duration::from_millis(500));
        while stream.write_all(&keepalive()).await.is_ok() {
            beat.tick().await;
        }
    });
    let status = stands(&peering, |status| status.reason.is_some()).await;
    assert_eq!(status.reason, Some(DownReason::SendHoldTimer(3)));
    router.await.expect("it notices that the connection is gone");
}

#[tokio::test]
async fn a_last_word_arrives_though_the_router_has_said_what_nobody_read() {
    let listener = listen();
    let peering = begin(&listener, peer());
    let mut stream = take(&listener).await;
    stands(&peering, |status| status.up.is_some()).await;
    let leaving = tokio::spawn(peering.leave(Leaving::ForGood));
    // What arrives behind the last word, and would reset the connection.
    stream.write_all(&keepalive()).await.expect("it is there still");
    let said = messages(&read_to_the_end(&mut stream).await);
    assert_eq!(said.last(), Some(&(3, vec![6, 2])));
    drop(stream);
    timeout(WITHIN, leaving).await.expect("in time").expect("it has left");
}

#[tokio::test]
async fn whoever_is_dropped_closes_without_a_word_and_so_does_whoever_restarts() {
    let restarting = BgpPeer { graceful_restart: Some(60), ..peer() };
    for leave in [true, false] {
        let listener = listen();
        let peering = begin(&listener, restarting.clone());
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let open = crate::sessions::router_that_keeps_routes();
        stream.write_all(&[open.emit(), keepalive()].concat()).await.expect("it takes it");
        stands(&peering, |status| status.up.is_some()).await;
        match leave {
            true => peering.leave(Leaving::ToRestart).await,
            false => drop(peering),
        }
        let said = messages(&read_to_the_end(&mut stream).await);
        assert!(said.len() > 1 && said.iter().all(|(kind, _)| *kind != 3), "{said:?}");
    }
}

#[tokio::test]
async fn a_router_that_closes_without_a_word_is_told_apart_and_connected_to_again() {
    let listener = listen();
    let peering = begin(&listener, peer());
    drop(take(&listener).await);
    let status = stands(&peering, |status| status.reason.is_some()).await;
    let reason = status.reason.expect("it is there").to_string();
    assert!(reason.starts_with("it closed the connection without a word: "), "{reason}");
    let _stream = take(&listener).await;
    stands(&peering, |status| status.up.is_some()).await;
}
