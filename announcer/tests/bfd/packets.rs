//! Control packets, byte by byte and rule by rule.

use std::time::Duration;

use announcer::bfd::packet::{BfdState, ControlPacket, Diagnostic};

pub(crate) fn packet() -> ControlPacket {
    ControlPacket {
        diagnostic: Diagnostic::Expired,
        state: BfdState::Down,
        poll: true,
        is_final: false,
        demand: false,
        multiplier: 3,
        mine: 0x0102_0304,
        yours: 0x0506_0708,
        transmit: Duration::from_secs(1),
        receive: Duration::from_millis(300),
        echo: Duration::ZERO,
    }
}

const BYTES: [u8; 24] =
    [0x21, 0x60, 3, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x0f, 0x42, 0x40, 0, 0x04, 0x93, 0xe0, 0, 0, 0, 0];

#[test]
fn a_packet_has_the_bytes_that_rfc_5880_has() {
    assert_eq!(packet().emit(), BYTES);
    let flags = ControlPacket { state: BfdState::Up, poll: false, is_final: true, demand: true, ..packet() };
    assert_eq!(flags.emit()[1], 0xd2);
}

#[test]
fn what_is_read_is_what_was_written() {
    for state in [BfdState::AdminDown, BfdState::Down, BfdState::Init, BfdState::Up] {
        for diagnostic in
            [Diagnostic::None, Diagnostic::NeighborDown, Diagnostic::AdminDown, Diagnostic::Other(6)]
        {
            let packet = ControlPacket { state, diagnostic, ..packet() };
            assert_eq!(ControlPacket::parse(&packet.emit()), Some(packet));
        }
    }
    assert_eq!(
        ControlPacket::parse(&[&BYTES[..], &[1, 2, 3]].concat()),
        Some(packet()),
        "what follows is no part of it"
    );
}

#[test]
fn what_rfc_5880_6_8_6_has_passed_over_is_passed_over() {
    let with = |at: usize, byte: u8| {
        let mut bytes = BYTES;
        bytes[at] = byte;
        bytes.to_vec()
    };
    let nobody = |at: usize| {
        let mut bytes = BYTES;
        bytes[at..at + 4].fill(0);
        bytes
    };
    let unheard = |state: BfdState| ControlPacket { yours: 0, state, ..packet() }.emit();
    let table = [
        ("another version", with(0, 0x41)),
        ("shorter than any", with(3, 23)),
        ("longer than what came", with(3, 25)),
        ("cut off", BYTES[..23].to_vec()),
        ("no multiplier", with(2, 0)),
        ("for many", with(1, 0x61)),
        ("authenticated, which nobody asked for", with(1, 0x64)),
        ("from a session without a number", nobody(4).to_vec()),
        ("coming up with somebody who is not named", unheard(BfdState::Init).to_vec()),
        ("up with somebody who is not named", unheard(BfdState::Up).to_vec()),
    ];
    for (what, bytes) in table {
        assert_eq!(ControlPacket::parse(&bytes), None, "{what}");
    }
    for state in [BfdState::Down, BfdState::AdminDown] {
        assert!(ControlPacket::parse(&unheard(state)).is_some(), "{state}: nobody is to be named yet");
    }
}
