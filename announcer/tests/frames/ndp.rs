//! Neighbour discovery, byte by byte and rule by rule.

use std::net::Ipv6Addr;

use announcer::answer::{Answered, HeldAddresses, answer};
use announcer::ethernet::Mac;
use announcer::ndp::{ALL_NODES, Message, NdpFrame, solicited_node_group};

const OURS: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
const CLIENT: Mac = Mac::new([2, 0, 0, 0, 0, 9]);
const HELD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xab12, 0x3456);
const CLIENT_IP: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

fn held() -> HeldAddresses {
    HeldAddresses::new(OURS, [HELD.into()])
}

fn asked() -> NdpFrame {
    NdpFrame::question(CLIENT, CLIENT_IP, HELD)
}

fn reply(frame: &NdpFrame) -> Option<NdpFrame> {
    match answer(&frame.emit(), &held()) {
        Answered::Reply { frame: bytes, .. } => {
            Some(NdpFrame::parse(&bytes).expect("an answer is neighbour discovery"))
        }
        _ => None,
    }
}

/// The answer to the client, written down by hand; the checksum is from another program.
const ANSWER: [u8; 86] = [
    2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255, 0x20, 1, 0xd, 0xb8, 0, 0,
    0, 0, 0, 0, 0, 0, 0xab, 0x12, 0x34, 0x56, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 136, 0,
    0xfa, 0xd4, 0x60, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0x12, 0x34, 0x56, 2, 1, 2,
    0, 0, 0, 0, 1,
];

#[test]
fn a_question_is_answered_byte_by_byte_as_rfc_4861_has_it() {
    assert_eq!(answer(&asked().emit(), &held()), Answered::Reply { ip: HELD.into(), frame: ANSWER.to_vec() });
}

#[test]
fn the_group_in_which_questions_are_heard_ends_in_the_last_24_bits() {
    let group = solicited_node_group(HELD);
    assert_eq!(group, "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
    assert_eq!(Mac::of_group(group), Mac::new([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
}

#[test]
fn whoever_asks_by_unicast_whether_we_are_still_there_is_answered_with_or_without_its_hardware_address() {
    for source_mac in [Some(CLIENT), None] {
        let message = Message::Solicitation { source_mac };
        let unicast = NdpFrame { to: OURS, destination: HELD, message, ..asked() };
        let reply = reply(&unicast).expect("an answer");
        assert_eq!((reply.to, reply.destination), (CLIENT, CLIENT_IP), "{source_mac:?}");
    }
}

#[test]
fn whoever_looks_for_a_duplicate_hears_with_everybody_that_there_is_one() {
    let reply = reply(&NdpFrame::question(CLIENT, Ipv6Addr::UNSPECIFIED, HELD)).expect("an answer");
    assert_eq!((reply.to, reply.destination), (Mac::of_group(ALL_NODES), ALL_NODES));
    let Message::Advertisement { solicited, overrides, target_mac } = reply.message else {
        panic!("{reply:?}")
    };
    assert_eq!((solicited, overrides, target_mac), (false, true, Some(OURS)));
}

#[test]
fn what_is_not_asked_of_us_is_not_answered() {
    let elsewhere = Mac::new([2, 0, 0, 0, 0, 5]);
    let to_everybody = Message::Solicitation { source_mac: Some(Mac::BROADCAST) };
    let table = [
        ("another address", NdpFrame::question(CLIENT, CLIENT_IP, CLIENT_IP)),
        ("a frame for another interface", NdpFrame { to: elsewhere, destination: HELD, ..asked() }),
        ("a packet for another host", NdpFrame { to: OURS, destination: CLIENT_IP, ..asked() }),
        ("an answer that everybody would get", NdpFrame { message: to_everybody, ..asked() }),
        ("what we sent ourselves", NdpFrame { from: OURS, ..asked() }),
    ];
    for (title, frame) in table {
        assert_eq!(answer(&frame.emit(), &held()), Answered::Nothing, "{title}");
    }
}

#[test]
fn whoever_advertises_a_held_address_claims_it() {
    let foreign = NdpFrame::announcement(CLIENT, HELD);
    assert_eq!(answer(&foreign.emit(), &held()), Answered::Claimed { ip: HELD.into(), by: CLIENT });
    assert_eq!(answer(&NdpFrame::announcement(OURS, HELD).emit(), &held()), Answered::Nothing);
}

#[test]
fn what_breaks_a_rule_of_validity_is_passed_over() {
    let good = asked().emit();
    assert!(NdpFrame::parse(&good).is_some());
    // A changed byte would be told by the checksum alone, so the sum is mended where another rule is meant: a word that
    // grows by one is made up for in the checksum, which is at 56 and 57.
    let mended = |at: usize, to: u8| {
        let mut frame = good.clone();
        let word = |frame: &[u8]| i32::from(u16::from_be_bytes([frame[at & !1], frame[at | 1]]));
        let before = word(&frame);
        frame[at] = to;
        let more = word(&frame) - before;
        let sum = (i32::from(u16::from_be_bytes([frame[56], frame[57]])) - more).rem_euclid(0xffff) as u16;
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let mut passed_a_router = good.clone();
    passed_a_router[21] = 254;
    let mut damaged = good.clone();
    damaged[85] ^= 1;
    // One byte longer, which is no option: the length grows, and the checksum with it.
    let mut goes_on = good.clone();
    goes_on.push(0);
    goes_on[19] += 1;
    let sum = u16::from_be_bytes([good[56], good[57]]) - 1;
    goes_on[56..58].copy_from_slice(&sum.to_be_bytes());
    let nobody = NdpFrame::question(CLIENT, Ipv6Addr::UNSPECIFIED, HELD);
    let shown = NdpFrame { message: asked().message, ..nobody };
    let advertised = Message::Advertisement { solicited: true, overrides: true, target_mac: None };
    let table = [
        ("a hop limit below 255", passed_a_router),
        ("a wrong checksum", damaged),
        ("a code", mended(55, 1)),
        ("an option without length", mended(79, 0)),
        ("an option that goes on behind the end", mended(79, 2)),
        ("half an option behind the others", goes_on),
        ("a target that is a group", mended(62, 0xff)),
        ("from nobody, and with a hardware address", shown.emit()),
        ("from nobody, and not to the group", NdpFrame { destination: HELD, ..nobody }.emit()),
        ("solicited, and to a group", NdpFrame { message: advertised, ..asked() }.emit()),
        ("from a group", NdpFrame { source: ALL_NODES, ..asked() }.emit()),
    ];
    for (title, frame) in table {
        assert_eq!(NdpFrame::parse(&frame), None, "{title}");
    }
    // The last option's address is another's: nothing else is wrong with it, which shows that the sums above are mended.
    assert!(NdpFrame::parse(&mended(85, 8)).is_some());
}
