//! ARP, byte by byte and rule by rule.

use std::net::Ipv4Addr;

use announcer::answer::{Answered, HeldAddresses, answer};
use announcer::arp::{ArpFrame, ArpOperation};
use announcer::ethernet::Mac;

const OURS: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
const CLIENT: Mac = Mac::new([2, 0, 0, 0, 0, 9]);
const HELD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

fn held() -> HeldAddresses {
    HeldAddresses::new(OURS, [HELD.into()])
}

fn reply(frame: &ArpFrame) -> Option<ArpFrame> {
    match answer(&frame.emit(), &held()) {
        Answered::Reply { frame: bytes, .. } => Some(ArpFrame::parse(&bytes).expect("an answer is ARP")),
        _ => None,
    }
}

#[test]
fn a_question_is_answered_byte_by_byte_as_rfc_826_has_it() {
    let question = [
        255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 192,
        0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7,
    ];
    let mut expected = vec![
        2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 192, 0, 2, 7, 2,
        0, 0, 0, 0, 9, 192, 0, 2, 9,
    ];
    expected.resize(60, 0);
    assert_eq!(answer(&question, &held()), Answered::Reply { ip: HELD.into(), frame: expected });
}

#[test]
fn whoever_asks_by_unicast_whether_we_are_still_there_is_answered() {
    let asked = ArpFrame { to: OURS, ..ArpFrame::question(CLIENT, CLIENT_IP, HELD) };
    assert_eq!(reply(&asked).map(|reply| (reply.to, reply.sender_mac)), Some((CLIENT, OURS)));
}

#[test]
fn a_probe_is_answered_which_defends_the_address() {
    let probe = ArpFrame::question(CLIENT, Ipv4Addr::UNSPECIFIED, HELD);
    assert_eq!(reply(&probe).map(|reply| reply.sender_ip), Some(HELD));
}

#[test]
fn what_is_not_asked_of_us_is_not_answered() {
    let question = ArpFrame::question(CLIENT, CLIENT_IP, HELD);
    let everybody = Mac::BROADCAST;
    let table = [
        ("another address", ArpFrame { target_ip: CLIENT_IP, ..question }),
        ("a frame for another interface", ArpFrame { to: Mac::new([2, 0, 0, 0, 0, 5]), ..question }),
        ("a reply", ArpFrame { operation: ArpOperation::Reply, ..question }),
        ("an answer that everybody would get", ArpFrame { sender_mac: everybody, ..question }),
        ("an answer that nobody would get", ArpFrame { sender_mac: Mac::ZERO, ..question }),
        ("what we sent ourselves", ArpFrame { from: OURS, ..question }),
    ];
    for (title, frame) in table {
        assert_eq!(answer(&frame.emit(), &held()), Answered::Nothing, "{title}");
    }
}

#[test]
fn whoever_sends_from_a_held_address_claims_it_and_is_not_answered() {
    let claims = Answered::Claimed { ip: HELD.into(), by: CLIENT };
    for frame in [
        ArpFrame::announcement(CLIENT, HELD),
        ArpFrame::announcing_reply(CLIENT, HELD),
        ArpFrame::question(CLIENT, HELD, CLIENT_IP),
    ] {
        assert_eq!(answer(&frame.emit(), &held()), claims, "{frame:?}");
    }
    assert_eq!(answer(&ArpFrame::announcement(OURS, HELD).emit(), &held()), Answered::Nothing);
}

#[test]
fn a_reply_that_announces_names_its_sender_as_target() {
    let frame = ArpFrame::announcing_reply(OURS, HELD);
    assert_eq!((frame.to, frame.operation), (Mac::BROADCAST, ArpOperation::Reply));
    assert_eq!((frame.target_mac, frame.target_ip), (frame.sender_mac, frame.sender_ip));
    let request = ArpFrame::announcement(OURS, HELD);
    assert_eq!(
        (request.operation, request.sender_ip, request.target_ip),
        (ArpOperation::Request, HELD, HELD)
    );
}
