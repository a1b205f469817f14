//! Any bytes come from the network: nothing panics, and every answer is a valid frame from us for the question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use announcer::answer::{Answered, HeldAddresses, answer};
use announcer::arp::{ArpFrame, ArpOperation};
use announcer::ethernet::Mac;
use announcer::ndp::{Message, NdpFrame};
use fastrand::Rng;

use crate::count::count;

const OURS: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
const CLIENT: Mac = Mac::new([2, 0, 0, 0, 0, 9]);
const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

fn frames() -> Vec<Vec<u8>> {
    let asked = NdpFrame::question(CLIENT, "fe80::9".parse().unwrap(), V6);
    vec![
        ArpFrame::question(CLIENT, Ipv4Addr::new(192, 0, 2, 9), V4).emit(),
        ArpFrame::announcement(CLIENT, V4).emit(),
        asked.emit(),
        NdpFrame { to: OURS, destination: V6, ..asked }.emit(),
        NdpFrame::question(CLIENT, Ipv6Addr::UNSPECIFIED, V6).emit(),
        NdpFrame::announcement(CLIENT, V6).emit(),
    ]
}

/// Half a million where nothing else is asked for: without a signature to compute, a frame costs little.
fn frames_count() -> u64 {
    25 * count()
}

/// A frame that was damaged, cut, lengthened or is nothing but noise.
fn drawn(random: &mut Rng, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = frames[random.usize(..frames.len())].clone();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..frame.len());
        frame[at] = random.u8(..);
    }
    match random.usize(..8) {
        0 => frame.truncate(random.usize(..frame.len())),
        1 => frame.resize(frame.len() + random.usize(..100), random.u8(..)),
        2 => frame = (0..random.usize(..120)).map(|_| random.u8(..)).collect(),
        _ => {}
    }
    frame
}

/// Whether an answer keeps to RFC 826 or RFC 4861: from us, to one that asked, about an address that is held.
fn is_valid(reply: &[u8]) -> bool {
    if let Some(arp) = ArpFrame::parse(reply) {
        return arp.operation == ArpOperation::Reply
            && (arp.from, arp.sender_mac, arp.sender_ip) == (OURS, OURS, V4)
            && arp.to == arp.target_mac
            && arp.to.is_an_interface();
    }
    let Some(ndp) = NdpFrame::parse(reply) else { return false };
    let to_a_group = ndp.destination.is_multicast();
    ndp.from == OURS
        && (ndp.target, ndp.source) == (V6, V6)
        && to_a_group != ndp.to.is_an_interface()
        && ndp.message
            == Message::Advertisement { solicited: !to_a_group, overrides: true, target_mac: Some(OURS) }
}

#[test]
fn any_bytes_are_read_without_panic_and_every_answer_is_valid() {
    let held = HeldAddresses::new(OURS, [IpAddr::V4(V4), IpAddr::V6(V6)]);
    let frames = frames();
    let (mut replies, mut claims) = (0, 0);
    for seed in 1..=frames_count() {
        let mut random = Rng::with_seed(seed);
        let frame = drawn(&mut random, &frames);
        match answer(&frame, &held) {
            Answered::Reply { frame: reply, .. } => {
                assert!(is_valid(&reply), "seed {seed}: {frame:02x?} is answered {reply:02x?}");
                replies += 1;
            }
            Answered::Claimed { by, .. } => {
                assert!(by != OURS && by.is_an_interface(), "seed {seed}: {frame:02x?}");
                claims += 1;
            }
            Answered::Nothing => {}
        }
    }
    assert!(
        replies > frames_count() / 20 && claims > frames_count() / 50,
        "{replies} answers, {claims} claims: too few to say much"
    );
}

#[test]
fn what_is_read_is_what_was_written() {
    for frame in frames() {
        let again = ArpFrame::parse(&frame).map(|arp| arp.emit());
        let again = again.or_else(|| NdpFrame::parse(&frame).map(|ndp| ndp.emit()));
        assert_eq!(again, Some(frame));
    }
}
