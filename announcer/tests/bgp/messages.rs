//! Messages, byte by byte and rule by rule.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use announcer::bgp::family::Family;
use announcer::bgp::message::{BgpMessage, keepalive};
use announcer::bgp::notification::Notification;
use announcer::bgp::open::{Capabilities, GracefulRestart, Open};

const ID: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub(crate) fn open() -> Open {
    Open {
        asn: 4_200_000_001,
        hold_time: 90,
        identifier: ID,
        capabilities: Capabilities {
            families: Family::ALL.into(),
            four_octet_as: true,
            route_refresh: true,
            graceful_restart: Some(GracefulRestart {
                restarted: true,
                seconds: 120,
                forwarded: BTreeMap::from([(Family::V4, true), (Family::V6, false)]),
            }),
        },
    }
}

/// A message of a type with this body.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (19 + body.len()) as u16;
    [&[255; 16], &length.to_be_bytes()[..], &[kind], body].concat()
}

/// An OPEN of version 4 with these fields, and these optional parameters with their length before them.
fn open_with(asn: u16, hold: u16, id: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    let body = [&[4], &asn.to_be_bytes()[..], &hold.to_be_bytes(), &id, parameters].concat();
    message(1, &body)
}

fn read(bytes: &[u8]) -> BgpMessage {
    let (message, length) = BgpMessage::read(bytes).expect("it is valid").expect("it is whole");
    assert_eq!(length, bytes.len());
    message
}

fn refused(bytes: &[u8]) -> (u8, u8, Vec<u8>) {
    let Notification { code, subcode, data } = BgpMessage::read(bytes).expect_err("it is refused");
    (code, subcode, data)
}

#[test]
fn an_open_has_the_bytes_that_the_rfcs_have() {
    let capabilities = [
        [1, 4, 0, 1, 0, 1].as_slice(),    // RFC 4760 §8: IPv4 unicast
        &[1, 4, 0, 2, 0, 1],              // IPv6 unicast
        &[2, 0],                          // RFC 2918 §2
        &[64, 10, 0x80, 120],             // RFC 4724 §3: restarted, 120 seconds
        &[0, 1, 1, 0x80, 0, 2, 1, 0],     // IPv4 was forwarded, IPv6 was not
        &[65, 4, 0xfa, 0x56, 0xea, 0x01], // RFC 6793 §3
    ]
    .concat();
    let length = capabilities.len() as u8;
    let head = [4, 0x5b, 0xa0, 0, 90, 192, 0, 2, 1, length + 2, 2, length];
    assert_eq!(open().emit(), message(1, &[&head[..], &capabilities].concat()));
}

#[test]
fn what_is_read_is_what_was_written() {
    assert_eq!(read(&open().emit()), BgpMessage::Open(open()));
    let short = Open { asn: 64_512, ..open() };
    assert_eq!(read(&short.emit()), BgpMessage::Open(short));
    let plain = Open {
        capabilities: Capabilities { families: [Family::V6].into(), ..Default::default() },
        asn: 1,
        ..open()
    };
    assert_eq!(read(&plain.emit()), BgpMessage::Open(plain));
    let last = Notification { code: 6, subcode: 2, data: b"\x07upgrade".to_vec() };
    assert_eq!(read(&last.emit()), BgpMessage::Notification(last));
    assert_eq!(read(&keepalive()), BgpMessage::Keepalive);
}

#[test]
fn a_message_that_is_not_there_whole_is_waited_for() {
    let whole = open().emit();
    for length in 0..whole.len() {
        assert_eq!(BgpMessage::read(&whole[..length]), Ok(None), "{length} bytes");
    }
    let two = [whole.clone(), keepalive()].concat();
    assert_eq!(BgpMessage::read(&two).unwrap().unwrap().1, whole.len());
}

#[test]
fn a_header_that_is_malformed_ends_the_session_as_rfc_4271_6_1_has_it() {
    let mut marker = keepalive();
    marker[3] = 0;
    let mut long = message(2, &[]);
    long[16..18].copy_from_slice(&4097_u16.to_be_bytes());
    let mut short = keepalive();
    short[16..18].copy_from_slice(&18_u16.to_be_bytes());
    let table = [
        ("a marker that is not all ones", marker, (1, 1, vec![])),
        ("longer than any", long, (1, 2, vec![0x10, 0x01])),
        ("shorter than any", short, (1, 2, vec![0, 18])),
        ("a KEEPALIVE that says something", message(4, &[0]), (1, 2, vec![0, 20])),
        ("an OPEN shorter than any", message(1, &[4; 9]), (1, 2, vec![0, 28])),
        ("an UPDATE shorter than any", message(2, &[0; 3]), (1, 2, vec![0, 22])),
        ("a NOTIFICATION shorter than any", message(3, &[6]), (1, 2, vec![0, 20])),
        ("a request for routes that is too long", message(5, &[0, 1, 0, 1, 0]), (1, 2, vec![0, 24])),
        ("a type that nobody knows", message(6, &[]), (1, 3, vec![6])),
    ];
    for (what, bytes, expected) in table {
        assert_eq!(refused(&bytes), expected, "{what}");
    }
}

#[test]
fn an_open_that_is_malformed_ends_the_session_as_rfc_4271_6_2_has_it() {
    let id = ID.octets();
    let mut version = open().emit();
    version[19] = 3;
    let table = [
        ("another version, and ours is told", version, (2, 1, vec![0, 4])),
        ("an AS of 0 (RFC 7607)", open_with(0, 90, id, &[0]), (2, 2, vec![0, 0])),
        (
            "an AS of 0 in four bytes",
            open_with(23456, 90, id, &[8, 2, 6, 65, 4, 0, 0, 0, 0]),
            (2, 2, vec![0x5b, 0xa0]),
        ),
        ("a router ID of 0", open_with(1, 90, [0; 4], &[0]), (2, 3, vec![0; 4])),
        ("a parameter that nobody knows", open_with(1, 90, id, &[3, 1, 1, 0]), (2, 4, vec![])),
        ("a hold time of one second", open_with(1, 1, id, &[0]), (2, 6, vec![0, 1])),
        ("a hold time of two seconds", open_with(1, 2, id, &[0]), (2, 6, vec![0, 2])),
        ("parameters beyond the end", open_with(1, 90, id, &[9, 2, 0]), (2, 0, vec![])),
        ("bytes behind the parameters", open_with(1, 90, id, &[0, 0]), (2, 0, vec![])),
        ("a parameter beyond the parameters", open_with(1, 90, id, &[2, 2, 1]), (2, 0, vec![])),
        ("a capability beyond its parameter", open_with(1, 90, id, &[4, 2, 2, 65, 4]), (2, 0, vec![])),
        (
            "a number of four bytes that has two",
            open_with(1, 90, id, &[6, 2, 4, 65, 2, 0, 1]),
            (2, 0, vec![]),
        ),
        ("a length of three bytes cut off", open_with(1, 90, id, &[255, 255, 0]), (2, 0, vec![])),
    ];
    for (what, bytes, expected) in table {
        assert_eq!(refused(&bytes), expected, "{what}");
    }
}

#[test]
fn capabilities_are_read_from_several_parameters_and_what_is_unknown_is_passed_over() {
    let parameters = [12, 2, 6, 1, 4, 0, 2, 0, 1, 2, 2, 70, 0];
    let BgpMessage::Open(open) = read(&open_with(64_512, 0, ID.octets(), &parameters)) else {
        panic!("an OPEN")
    };
    assert_eq!((open.asn, open.hold_time), (64_512, 0));
    assert_eq!(open.capabilities.families, BTreeSet::from([Family::V6]));
}

#[test]
fn whoever_names_no_family_takes_ipv4() {
    let BgpMessage::Open(open) = read(&open_with(1, 90, ID.octets(), &[0])) else { panic!("an OPEN") };
    assert_eq!(open.capabilities, Capabilities { families: [Family::V4].into(), ..Default::default() });
}

#[test]
fn parameters_of_the_extended_length_of_rfc_9072_are_read() {
    let parameters = [255, 255, 0, 9, 2, 0, 6, 65, 4, 0, 1, 0, 0];
    let BgpMessage::Open(open) = read(&open_with(23456, 90, ID.octets(), &parameters)) else {
        panic!("an OPEN")
    };
    assert_eq!(open.asn, 65_536);
}

#[test]
fn of_the_peers_updates_only_the_form_is_looked_at() {
    let attribute = [0x40, 1, 1, 0];
    let table = [
        ("End-of-RIB", vec![0, 0, 0, 0]),
        ("a withdrawn route", vec![0, 2, 8, 10, 0, 0]),
        ("a route", [&[0, 0, 0, 4], &attribute[..], &[32, 10, 0, 0, 1, 0, 9, 10, 128]].concat()),
        ("an attribute that is malformed (RFC 7606 §2)", vec![0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 8, 10]),
    ];
    for (what, body) in table {
        assert_eq!(
            BgpMessage::read(&message(2, &body)).map(|read| read.unwrap().0),
            Ok(BgpMessage::Update),
            "{what}"
        );
    }
}

#[test]
fn an_update_that_cannot_be_read_on_ends_the_session_as_rfc_7606_has_it() {
    let table = [
        ("withdrawn routes beyond the end", vec![0, 5, 8, 10, 0, 0], (3, 1, vec![])),
        ("attributes beyond the end", vec![0, 0, 0, 5, 0x40, 1, 1, 0], (3, 1, vec![])),
        ("no room for the attributes' length", vec![0, 2, 8, 10], (3, 1, vec![])),
        ("a prefix of 33 bits", vec![0, 0, 0, 0, 33, 10, 0, 0, 0, 0], (3, 10, vec![])),
        ("a prefix that is cut off", vec![0, 0, 0, 0, 24, 10, 0], (3, 10, vec![])),
        ("a withdrawn prefix that is cut off", vec![0, 2, 16, 10, 0, 0], (3, 10, vec![])),
    ];
    for (what, body, expected) in table {
        assert_eq!(refused(&message(2, &body)), expected, "{what}");
    }
}

#[test]
fn a_request_for_the_routes_of_a_family_is_read() {
    let table = [([0, 1, 0, 1], Some(Family::V4)), ([0, 2, 0, 1], Some(Family::V6)), ([0, 1, 0, 2], None)];
    for (body, family) in table {
        assert_eq!(read(&message(5, &body)), BgpMessage::RouteRefresh(family));
    }
}

#[test]
fn a_last_word_is_shown_by_name_with_what_the_other_operator_wrote() {
    let shown = |code, subcode, data: &[u8]| Notification { code, subcode, data: data.to_vec() }.to_string();
    assert_eq!(shown(2, 2, &[]), "Bad Peer AS (2/2)");
    assert_eq!(shown(6, 2, b"\x07upgrade"), "Administrative Shutdown (6/2): \"upgrade\"");
    assert_eq!(shown(6, 4, b"\x03a\nb"), "Administrative Reset (6/4): \"ab\"");
    assert_eq!(shown(6, 2, b"\x09upgrade"), "Administrative Shutdown (6/2)", "longer than it is");
    assert_eq!(shown(2, 99, &[]), "OPEN Message Error (2/99)");
    assert_eq!(shown(99, 1, &[]), "error 99/1");
    let long = [&[255], "ä".repeat(127).as_bytes(), b"x"].concat();
    assert_eq!(shown(6, 2, &long).chars().filter(|c| *c == 'ä').count(), 127);
}
