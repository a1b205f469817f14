//! What the network carries to the announcer, read from bytes that nobody meant: no input may panic, be believed without
//! the key, or be answered by anything but a valid frame.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use announcer::answer::{Answered, HeldAddresses, answer};
use announcer::arp::{ArpFrame, ArpOperation};
use announcer::beat::{Beat, Boot, Cluster, Key, Refused, Role, unvouched};
use announcer::bfd::packet::{BfdState, ControlPacket, Diagnostic};
use announcer::bfd::session::{BfdAction, BfdSession, Profile};
use announcer::bgp::family::Family;
use announcer::bgp::message::{BgpMessage, keepalive};
use announcer::bgp::open::{Capabilities, GracefulRestart, Open};
use announcer::bgp::peer::{BgpPeer, HoldTime, RemoteAs};
use announcer::bgp::session::{BgpAction, BgpSession};
use announcer::bgp::update::NextHops;
use announcer::ethernet::Mac;
use announcer::ndp::{Message, NdpFrame};
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

const OURS: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
const CLIENT: Mac = Mac::new([2, 0, 0, 0, 0, 9]);
const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
const KEY: &[u8] = b"a key of the fuzz targets";
/// Two hardware addresses and an `EtherType` stand before a heartbeat.
const HEADER_BYTES: usize = 14;
const SIGNATURE_BYTES: usize = 16;
/// How much arrives at once of what a router sends: less than most messages have.
const BGP_CHUNK_BYTES: usize = 17;
const BFD_PACKET_BYTES: usize = 24;

pub(super) fn questions() -> Vec<Vec<u8>> {
    let asked = NdpFrame::question(CLIENT, CLIENT_V6, V6);
    vec![
        ArpFrame::question(CLIENT, Ipv4Addr::new(192, 0, 2, 9), V4).emit(),
        ArpFrame::announcement(CLIENT, V4).emit(),
        asked.emit(),
        NdpFrame { to: OURS, destination: V6, ..asked }.emit(),
        NdpFrame::question(CLIENT, Ipv6Addr::UNSPECIFIED, V6).emit(),
        NdpFrame::announcement(CLIENT, V6).emit(),
    ]
}

/// A frame of ARP or of neighbour discovery: an answer is from us, about what is held, to one that can be answered; a claim
/// is another's.
pub(super) fn question(frame: &[u8]) {
    let held = HeldAddresses::new(OURS, [IpAddr::V4(V4), IpAddr::V6(V6)]);
    match answer(frame, &held) {
        Answered::Reply { frame: reply, .. } => {
            let arp = ArpFrame::parse(&reply).map(|arp| {
                let is_ours = (arp.from, arp.sender_mac, arp.sender_ip) == (OURS, OURS, V4);
                arp.operation == ArpOperation::Reply && is_ours && arp.to.is_an_interface()
            });
            let ndp = || {
                let ndp = NdpFrame::parse(&reply)?;
                let solicited = !ndp.destination.is_multicast();
                let told = Message::Advertisement { solicited, overrides: true, target_mac: Some(OURS) };
                Some((ndp.from, ndp.target, ndp.message) == (OURS, V6, told))
            };
            assert_eq!(arp.or_else(ndp), Some(true), "{frame:02x?} is answered {reply:02x?}");
        }
        Answered::Claimed { by, .. } => assert!(by != OURS && by.is_an_interface(), "{frame:02x?}"),
        Answered::Nothing => {}
    }
}

fn cluster() -> Cluster {
    Cluster::of("6f8b2f4e-0000-4000-8000-000000000001")
}

fn key() -> Key {
    Key::new(KEY).expect("it is long enough")
}

pub(super) fn beats() -> Vec<Vec<u8>> {
    let beat = Beat {
        from: CLIENT,
        node: "worker-1".into(),
        link: "eth0".into(),
        boot: Boot(0x0102_0304_0506_0708),
        sequence: 9,
        interval: Duration::from_millis(100),
        dead: Duration::from_millis(350),
        role: Role::Candidate,
        page: 0,
        pages: 1,
        hears: vec![Boot(7).mark(), Boot(8).mark()],
        claims: vec![IpAddr::V4(V4), IpAddr::V6(V6)],
    };
    let bare = Beat { node: "n".repeat(253).into(), hears: Vec::new(), claims: Vec::new(), ..beat.clone() };
    [beat, bare].iter().map(|beat| key().seal(beat, cluster())).collect()
}

/// A heartbeat, as it came and as somebody with the key would send it: it is refused by a name, or it is what is sealed by
/// the same bytes.
pub(super) fn beat(frame: &[u8]) {
    is_sealed_or_refused(frame);
    if let Some(signed) = signed(frame) {
        match key().open(&signed, cluster()) {
            Err(Refused::OtherKey { .. }) => panic!("the key does not open what it signed: {signed:02x?}"),
            _ => is_sealed_or_refused(&signed),
        }
    }
}

fn is_sealed_or_refused(frame: &[u8]) {
    // What is under another key is read as well.
    let said = unvouched(frame);
    match key().open(frame, cluster()) {
        Ok(beat) => {
            assert_eq!(said.as_ref(), Some(&beat), "{frame:02x?}");
            let sealed = key().seal(&beat, cluster());
            // The hardware addresses are not signed, and padding may follow what is.
            assert_eq!(frame.get(12..sealed.len()), sealed.get(12..), "{frame:02x?} is believed");
        }
        Err(refused) => assert!(!refused.to_string().is_empty(), "{frame:02x?} is refused without a word"),
    }
}

/// The frame with the length that it has and the signature that is right for it.
fn signed(frame: &[u8]) -> Option<Vec<u8>> {
    let mut frame = frame.to_vec();
    frame.truncate(frame.len().checked_sub(SIGNATURE_BYTES)?);
    let length = (frame.len().checked_sub(HEADER_BYTES)? + SIGNATURE_BYTES).try_into().unwrap_or(u16::MAX);
    frame.get_mut(HEADER_BYTES + 2..HEADER_BYTES + 4)?.copy_from_slice(&u16::to_be_bytes(length));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("a key of any length will do");
    mac.update(&frame[HEADER_BYTES..]);
    frame.extend(&mac.finalize().into_bytes()[..SIGNATURE_BYTES]);
    Some(frame)
}

/// A message of BGP of this type.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length: u16 = (19 + body.len()).try_into().expect("an example is short");
    [&[255; 16], &length.to_be_bytes()[..], &[kind], body].concat()
}

pub(super) fn bgp_streams() -> Vec<Vec<u8>> {
    let open = Open {
        asn: 64_600,
        hold_time: 90,
        identifier: Ipv4Addr::new(192, 0, 2, 254),
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
    .emit();
    let up = [open.clone(), keepalive()].concat();
    let and = |then: Vec<u8>| [up.clone(), then].concat();
    vec![
        open,
        and(message(2, &[0, 0, 0, 0])),
        and(message(2, &[0, 3, 16, 10, 0, 0, 4, 0x40, 1, 1, 0, 32, 10, 0, 0, 1])),
        and(message(3, &[6, 2, 7, b'u', b'p', b'g', b'r', b'a', b'd', b'e'])),
        and(message(5, &[0, 2, 0, 1])),
    ]
}

/// What a router sends from the first byte of a connection on: each message is read or refused by a word, and a session to
/// which it comes in pieces sends messages only.
pub(super) fn bgp(arrived: &[u8]) {
    let mut rest = arrived;
    // RFC 4271, 4.2: with a hold time of 0 nothing is sent to keep the session, and no silence ends it.
    let mut may_be_silent = false;
    loop {
        match BgpMessage::read(rest) {
            Ok(Some((message, length))) => {
                may_be_silent |= matches!(message, BgpMessage::Open(Open { hold_time: 0, .. }));
                assert!((1..=rest.len()).contains(&length), "{length} bytes are read of {rest:02x?}");
                rest = &rest[length..];
            }
            Ok(None) => break,
            Err(last) => {
                are_messages(&last.emit());
                break;
            }
        }
    }
    let peer = BgpPeer {
        asn: 64_512,
        remote_as: RemoteAs::Number(64_600),
        router_id: Ipv4Addr::new(192, 0, 2, 1),
        hold_time: HoldTime::DEFAULT,
        keepalive: None,
        connect_time: BgpPeer::CONNECT_TIME,
        families: Family::ALL.into(),
        graceful_restart: Some(BgpPeer::RESTART_SECONDS),
        next_hops: NextHops { v4: None, v6: Some(V6) },
    };
    let now = Instant::now();
    let mut session = BgpSession::new(peer, fastrand::Rng::with_seed(1));
    let mut actions = session.start(now);
    actions.extend(session.connected(now, IpAddr::V4(Ipv4Addr::LOCALHOST)));
    for piece in arrived.chunks(BGP_CHUNK_BYTES) {
        actions.extend(session.received(now, piece));
        are_messages(&session.updates());
    }
    for action in actions {
        if let BgpAction::Send(bytes) = action {
            are_messages(&bytes);
        }
    }
    assert!(may_be_silent || session.deadline().is_some(), "it waits for ever: {session:?}");
}

fn are_messages(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match BgpMessage::read(bytes) {
            Ok(Some((_, length))) => bytes = &bytes[length..],
            other => panic!("{bytes:02x?} is sent, which is {other:?}"),
        }
    }
}

pub(super) fn bfd_streams() -> Vec<Vec<u8>> {
    let packet = ControlPacket {
        diagnostic: Diagnostic::None,
        state: BfdState::Down,
        poll: false,
        is_final: false,
        demand: false,
        multiplier: 3,
        mine: 7,
        yours: 0,
        transmit: Duration::from_millis(300),
        receive: Duration::from_millis(300),
        echo: Duration::ZERO,
    };
    let init = ControlPacket { state: BfdState::Init, ..packet };
    let polled = ControlPacket { poll: true, ..init };
    vec![
        packet.emit().to_vec(),
        [packet.emit(), init.emit()].concat(),
        [packet.emit(), polled.emit(), packet.emit()].concat(),
    ]
}

/// Packets of BFD, one after the other, a little apart. Whatever is sent can be read.
pub(super) fn bfd(arrived: &[u8]) {
    let mut now = Instant::now();
    let mut session = BfdSession::new(Profile::default(), now, fastrand::Rng::with_seed(1));
    let mut theirs = 0;
    for bytes in arrived.chunks(BFD_PACKET_BYTES) {
        let mut actions = session.passed(now);
        if let Some(packet) = ControlPacket::parse(bytes) {
            // A random number finds no session: what names one is for ours.
            let yours = if packet.yours == 0 { 0 } else { theirs };
            actions.extend(session.received(now, ControlPacket { yours, ..packet }));
        }
        for action in actions {
            if let BfdAction::Send(packet) = action {
                assert_eq!(ControlPacket::parse(&packet.emit()), Some(packet));
                theirs = packet.mine;
            }
        }
        now = session.deadline().map_or(now, |at| at.max(now));
    }
}
