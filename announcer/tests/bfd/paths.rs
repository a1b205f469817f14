//! Paths over UDP, between addresses of this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use announcer::bfd::packet::{BfdState, ControlPacket, Diagnostic};
use announcer::bfd::path::{PathKey, PathStatus, Paths, WatchedPath};
use announcer::bfd::session::Profile;
use announcer::distance::Distance;
use tokio::time::timeout;

use crate::packets::packet;

const WITHIN: Duration = Duration::from_secs(60);

fn fast() -> Profile {
    Profile { receive: Duration::from_millis(50), transmit: Duration::from_millis(50), ..Profile::default() }
}

fn key(from: u8, to: u8, distance: Distance) -> PathKey {
    let ip = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 4, last));
    PathKey { from: Some(ip(from)), to: ip(to), distance }
}

fn watch(paths: &Paths, key: PathKey, profile: Profile) -> WatchedPath {
    paths.watch(key, profile, fastrand::Rng::new())
}

async fn stands(path: &WatchedPath, is_so: impl FnMut(&PathStatus) -> bool) -> PathStatus {
    let mut status = path.status();
    let status = timeout(WITHIN, status.wait_for(is_so)).await.expect("in time");
    status.expect("it is watched").clone()
}

fn is_up(status: &PathStatus) -> bool {
    status.state == BfdState::Up
}

#[tokio::test]
async fn paths_come_up_over_one_hop_and_over_several_and_a_peer_that_is_gone_is_noticed() {
    for (distance, ours, theirs) in [(Distance::Link, 1, 2), (Distance::Hops, 3, 4)] {
        // Each is a node of its own.
        let (here, there) = (Paths::default(), Paths::default());
        let first = watch(&here, key(ours, theirs, distance), fast());
        let second = watch(&there, key(theirs, ours, distance), fast());
        stands(&first, is_up).await;
        stands(&second, is_up).await;
        drop(second);
        let status = stands(&first, |status| status.losses == 1).await;
        assert_eq!((status.state, status.diagnostic), (BfdState::Down, Diagnostic::Expired));
    }
}

#[tokio::test]
async fn one_socket_hears_for_all_peers_and_is_open_no_longer_than_somebody_is_watched() {
    let (here, there) = (Paths::default(), Paths::default());
    let first = [11, 12].map(|peer| watch(&here, key(10, peer, Distance::Link), fast()));
    let second = [11, 12].map(|peer| watch(&there, key(peer, 10, Distance::Link), fast()));
    for path in first.iter().chain(&second) {
        stands(path, is_up).await;
    }
    drop(first);
    let at = SocketAddr::from((Ipv4Addr::new(127, 0, 4, 10), 3784));
    let free = async {
        while UdpSocket::bind(at).is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WITHIN, free).await.expect("the port is free again");
}

#[tokio::test]
async fn what_was_sent_from_beyond_the_link_is_not_heard() {
    let paths = Paths::default();
    let path = watch(&paths, key(20, 21, Distance::Link), fast());
    let mut first = [0; 64];
    let router = UdpSocket::bind(SocketAddr::from((Ipv4Addr::new(127, 0, 4, 21), 3784))).expect("a port");
    let router = {
        router.set_nonblocking(true).expect("it can wait");
        tokio::net::UdpSocket::from_std(router).expect("a socket")
    };
    let (length, _) =
        timeout(WITHIN, router.recv_from(&mut first)).await.expect("in time").expect("a packet");
    let yours = ControlPacket::parse(&first[..length]).expect("it is sound").mine;
    let to = SocketAddr::from((Ipv4Addr::new(127, 0, 4, 20), 3784));
    let said = |state| ControlPacket { state, yours, poll: false, ..packet() }.emit();
    // The one from afar would bring the session up; the one that counts comes after it and leaves it coming up.
    router.set_ttl(254).expect("as if a router lay between");
    router.send_to(&said(BfdState::Init), to).await.expect("it is sent");
    router.set_ttl(255).expect("from the link");
    router.send_to(&said(BfdState::Down), to).await.expect("it is sent");
    let status = stands(&path, |status| status.state != BfdState::Down).await;
    assert_eq!(status.state, BfdState::Init);
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_told_and_tried_again() {
    let paths = Paths::default();
    let key = PathKey { from: Some("192.0.2.77".parse().unwrap()), ..key(30, 31, Distance::Link) };
    let path = watch(&paths, key, fast());
    let status = stands(&path, |status| status.error.is_some()).await;
    assert!(status.error.is_some_and(|error| error.starts_with("Cannot assign requested address")));
    timeout(WITHIN, path.switch_off()).await.expect("it ends");
}

#[tokio::test]
async fn two_minimum_ttls_at_one_address_are_refused_by_name_and_the_first_is_kept() {
    let (here, there) = (Paths::default(), Paths::default());
    let first = watch(&here, key(40, 41, Distance::Hops), fast());
    let _second = watch(&there, key(41, 40, Distance::Hops), fast());
    stands(&first, is_up).await;
    let other = watch(&here, key(40, 42, Distance::Hops), Profile { minimum_ttl: 250, ..fast() });
    let said = stands(&other, |status| status.error.is_some()).await.error;
    assert_eq!(
        said.as_deref(),
        Some(
            "a minimum TTL of 250 is asked for at 127.0.4.40, where another peer has 254: all peers of an address have the same"
        )
    );
    assert!(is_up(&first.status().borrow()));
}
