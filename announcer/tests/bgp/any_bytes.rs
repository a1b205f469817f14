//! Any bytes come from a peer, at any time: nothing panics, nothing is waited for without end, and whatever is sent is valid.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use announcer::bgp::message::{BgpMessage, keepalive};
use announcer::bgp::peer::BgpPeer;
use announcer::bgp::reason::DownReason;
use announcer::bgp::session::{BgpAction, BgpSession, Leaving};

use crate::messages::{message, open};
use crate::reader::messages;
use crate::sessions::peer;

/// How many inputs are tried, from `ANNOUNCER_MESSAGES`; with the frames of the suite `frames` a million.
fn count() -> u64 {
    std::env::var("ANNOUNCER_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(500_000)
}

fn samples() -> Vec<Vec<u8>> {
    vec![
        open().emit(),
        keepalive(),
        message(2, &[0, 0, 0, 0]),
        message(2, &[0, 3, 16, 10, 0, 0, 4, 0x40, 1, 1, 0, 32, 10, 0, 0, 1]),
        message(3, &[6, 2, 7, b'u', b'p', b'g', b'r', b'a', b'd', b'e']),
        message(5, &[0, 2, 0, 1]),
    ]
}

/// A message that was damaged, cut, lengthened or is nothing but noise; half of them have a length that is right again.
fn drawn(random: &mut fastrand::Rng, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = samples[random.usize(..samples.len())].clone();
    match random.u8(..8) {
        0 => bytes.truncate(random.usize(..bytes.len())),
        1 => bytes.extend((0..random.usize(..60)).map(|_| random.u8(..))),
        2 => bytes = (0..random.usize(..80)).map(|_| random.u8(..)).collect(),
        _ => {}
    }
    for _ in 0..random.usize(..4) {
        if bytes.len() > 19 {
            let from = if random.bool() { 0 } else { 16 };
            let at = random.usize(from..bytes.len());
            bytes[at] = random.u8(..);
        }
    }
    if random.bool() && bytes.len() >= 19 {
        let length = bytes.len() as u16;
        bytes[16..18].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

#[test]
fn any_bytes_are_read_without_panic_and_what_is_refused_is_refused_by_a_word_that_can_be_read() {
    let samples = samples();
    let (mut read, mut refused) = (0, 0);
    for seed in 1..=count() {
        let bytes = drawn(&mut fastrand::Rng::with_seed(seed), &samples);
        match BgpMessage::read(&bytes) {
            Ok(Some((_, length))) => {
                assert!(length <= bytes.len(), "seed {seed}: {bytes:02x?}");
                read += 1;
            }
            Ok(None) => {}
            Err(last) => {
                let again = BgpMessage::read(&last.emit()).expect("it is valid").expect("it is whole").0;
                assert_eq!(again, BgpMessage::Notification(last.clone()), "seed {seed}: {bytes:02x?}");
                assert!(!last.to_string().starts_with("error"), "seed {seed}: {last} has no name");
                refused += 1;
            }
        }
    }
    assert!(
        read > count() / 10 && refused > count() / 10,
        "{read} read, {refused} refused: too few to say much"
    );
}

#[test]
fn whatever_a_peer_sends_and_whenever_a_session_goes_on_and_sends_only_messages() {
    let samples = samples();
    let mut ups = 0;
    for seed in 1..=count() / 20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let remote = open();
        let peer = BgpPeer { remote_as: announcer::bgp::peer::RemoteAs::Number(remote.asn), ..peer() };
        let mut session = BgpSession::new(peer, fastrand::Rng::with_seed(seed));
        let mut now = Instant::now();
        let mut actions = session.start(now);
        for _ in 0..40 {
            for action in actions.drain(..) {
                match action {
                    BgpAction::Send(bytes) => assert!(!messages(&bytes).is_empty(), "seed {seed}"),
                    BgpAction::Up(_) => ups += 1,
                    _ => {}
                }
            }
            assert!(session.deadline().is_some(), "seed {seed}: it waits for ever: {session:?}");
            actions = match random.u8(..9) {
                0 => session.connected(now, IpAddr::V4(Ipv4Addr::LOCALHOST)),
                1 => {
                    session.connected(now, IpAddr::V4(Ipv4Addr::LOCALHOST));
                    session.received(now, &[remote.emit(), keepalive()].concat())
                }
                2 => session.failed(now, DownReason::Closed(String::new())),
                3 => session.path_lost(now),
                4 => {
                    now += Duration::from_millis(random.u64(..200_000));
                    session.passed(now)
                }
                5 => {
                    now = session.deadline().map_or(now, |at| at.max(now));
                    session.passed(now)
                }
                6 => {
                    session.leave(if random.bool() { Leaving::ForGood } else { Leaving::ToRestart });
                    session.start(now)
                }
                _ => session.received(now, &drawn(&mut random, &samples)),
            };
            session.updates();
        }
    }
    assert!(ups > count() / 100, "{ups} sessions came up: too few to say much");
}
