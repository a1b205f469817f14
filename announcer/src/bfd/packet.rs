//! Control packets (RFC 5880 §4.1).

use std::fmt;
use std::time::Duration;

use crate::ethernet::bytes_at;

const BFD_VERSION: u8 = 1;
/// A packet without authentication.
const PACKET_BYTES: usize = 24;

const POLL_FLAG: u8 = 0x20;
const FINAL_FLAG: u8 = 0x10;
const AUTHENTICATION_FLAG: u8 = 0x04;
const DEMAND_FLAG: u8 = 0x02;
const MULTIPOINT_FLAG: u8 = 0x01;

/// How one end sees the session (RFC 5880 §4.1, §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BfdState {
    /// It was switched off by somebody. That says nothing about the path.
    AdminDown,
    /// The other end is not heard, or does not hear us.
    Down,
    /// The other end is heard.
    Init,
    /// Each end hears the other.
    Up,
}

impl BfdState {
    fn read(bits: u8) -> Self {
        match bits & 3 {
            0 => BfdState::AdminDown,
            1 => BfdState::Down,
            2 => BfdState::Init,
            _ => BfdState::Up,
        }
    }

    fn bits(self) -> u8 {
        match self {
            BfdState::AdminDown => 0,
            BfdState::Down => 1,
            BfdState::Init => 2,
            BfdState::Up => 3,
        }
    }
}

impl fmt::Display for BfdState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BfdState::AdminDown => "administratively down",
            BfdState::Down => "down",
            BfdState::Init => "coming up",
            BfdState::Up => "up",
        })
    }
}

/// Why one end went down last (RFC 5880 §4.1). Those that we never are are read as [`Diagnostic::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    /// For no reason: it has not been up.
    None,
    /// The other end was not heard for the detection time.
    Expired,
    /// The other end said so.
    NeighborDown,
    /// Somebody switched it off.
    AdminDown,
    /// For another reason, of this number.
    Other(u8),
}

impl Diagnostic {
    fn read(bits: u8) -> Self {
        match bits & 0x1f {
            0 => Diagnostic::None,
            1 => Diagnostic::Expired,
            3 => Diagnostic::NeighborDown,
            7 => Diagnostic::AdminDown,
            other => Diagnostic::Other(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Diagnostic::None => 0,
            Diagnostic::Expired => 1,
            Diagnostic::NeighborDown => 3,
            Diagnostic::AdminDown => 7,
            Diagnostic::Other(other) => other & 0x1f,
        }
    }
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ControlPacket {
    /// Why the sender went down last.
    pub diagnostic: Diagnostic,
    /// How the sender sees the session.
    pub state: BfdState,
    /// The sender waits for an answer to what it has changed.
    pub poll: bool,
    /// This is the answer.
    pub is_final: bool,
    /// The sender, being up, would hear nothing more until it asks.
    pub demand: bool,
    /// After how many packets that do not come the sender is gone; not zero.
    pub multiplier: u8,
    /// The sender's number for the session; not zero.
    pub mine: u32,
    /// The receiver's number for it, as the sender has heard it; zero before that.
    pub yours: u32,
    /// How often the sender would send.
    pub transmit: Duration,
    /// How often the sender can receive; zero is never.
    pub receive: Duration,
    /// How often the sender can receive echoes; zero is never.
    pub echo: Duration,
}

impl ControlPacket {
    /// Reads a packet. None if it breaks one of the rules by which it must be passed over without a word (RFC 5880 §6.8.6),
    /// and where it is authenticated: nothing is configured that it could be compared with.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, flags, multiplier, length] = bytes_at(bytes, 0)?;
        let length = usize::from(length);
        let is_sound = first >> 5 == BFD_VERSION
            && (PACKET_BYTES..=bytes.len()).contains(&length)
            && flags & (AUTHENTICATION_FLAG | MULTIPOINT_FLAG) == 0
            && multiplier != 0;
        let state = BfdState::read(flags >> 6);
        let number = |at| bytes_at(bytes, at).map(u32::from_be_bytes);
        let (mine, yours) = (number(4)?, number(8)?);
        // Who has not heard us yet cannot be further than down.
        let has_heard_us = yours != 0 || matches!(state, BfdState::Down | BfdState::AdminDown);
        if !is_sound || mine == 0 || !has_heard_us {
            return None;
        }
        let time = |at| number(at).map(|micros| Duration::from_micros(micros.into()));
        Some(ControlPacket {
            diagnostic: Diagnostic::read(first),
            state,
            poll: flags & POLL_FLAG != 0,
            is_final: flags & FINAL_FLAG != 0,
            demand: flags & DEMAND_FLAG != 0,
            multiplier,
            mine,
            yours,
            transmit: time(12)?,
            receive: time(16)?,
            echo: time(20)?,
        })
    }

    /// The packet as it is sent. Times are in microseconds, 71 minutes at most.
    pub fn emit(&self) -> [u8; 24] {
        let flag = |is_set, bit| if is_set { bit } else { 0 };
        let flags = self.state.bits() << 6
            | flag(self.poll, POLL_FLAG)
            | flag(self.is_final, FINAL_FLAG)
            | flag(self.demand, DEMAND_FLAG);
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let numbers = [self.mine, self.yours, micros(self.transmit), micros(self.receive), micros(self.echo)];
        let mut bytes = [0; PACKET_BYTES];
        bytes[..4].copy_from_slice(&[
            BFD_VERSION << 5 | self.diagnostic.bits(),
            flags,
            self.multiplier,
            PACKET_BYTES as u8,
        ]);
        for (place, number) in bytes[4..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }
}
