//! OPEN: how a session begins, and what each side can do (RFC 4271 §4.2, RFC 5492).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::family::{Family, UNICAST_SAFI};
use super::notification::{
    BAD_HOLD_TIME, BAD_IDENTIFIER, BAD_OPEN, BAD_PARAMETER, BAD_PEER_AS, BAD_VERSION, Notification,
};
use crate::ethernet::bytes_at;

const BGP_VERSION: u8 = 4;
/// What stands for a number that two bytes have no room for (RFC 6793 §9).
pub(crate) const AS_TRANS: u16 = 23456;

/// The one optional parameter that is in use (RFC 5492 §4).
const CAPABILITIES_PARAMETER: u8 = 2;
/// In the place of the first parameter's type, and of all parameters' length: lengths are of two bytes (RFC 9072 §2).
const EXTENDED_LENGTH: u8 = 255;

const MULTIPROTOCOL_CODE: u8 = 1;
const ROUTE_REFRESH_CODE: u8 = 2;
const GRACEFUL_RESTART_CODE: u8 = 64;
const FOUR_OCTET_AS_CODE: u8 = 65;

/// The bit that says "I have restarted" (RFC 4724 §3).
const RESTARTED_FLAG: u16 = 0x8000;
/// The bits that hold the seconds (RFC 4724 §3).
const SECONDS_MASK: u16 = 0x0fff;
/// The bit that says "and went on forwarding meanwhile", one for each family (RFC 4724 §3).
const FORWARDED_FLAG: u8 = 0x80;

/// The first message of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's autonomous system, of up to four bytes; not zero.
    pub asn: u32,
    /// After how many seconds of silence the sender would have the session end; 0 is never, and it is not 1 or 2.
    pub hold_time: u16,
    /// The sender's router ID; not zero.
    pub identifier: Ipv4Addr,
    /// What the sender can do.
    pub capabilities: Capabilities,
}

/// What one side can do, of what matters here. The rest is passed over (RFC 5492 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The families that it takes routes of. Whoever names none takes IPv4 (RFC 4760 §8).
    pub families: BTreeSet<Family>,
    /// Whether it takes numbers of four bytes in AS_PATH.
    pub four_octet_as: bool,
    /// Whether it may be asked to tell its routes again, and may ask.
    pub route_refresh: bool,
    /// Whether what it told is to be kept while it restarts.
    pub graceful_restart: Option<GracefulRestart>,
}

/// The capability of RFC 4724.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// It has restarted: the other is not to wait for its routes before it tells its own.
    pub restarted: bool,
    /// How many seconds it may be away; 4,095 at most.
    pub seconds: u16,
    /// The families that this is about, and whether packets were forwarded meanwhile.
    pub forwarded: BTreeMap<Family, bool>,
}

impl Open {
    /// What follows the header.
    pub(crate) fn body(&self) -> Vec<u8> {
        let short = u16::try_from(self.asn).unwrap_or(AS_TRANS);
        let capabilities = self.capabilities.bytes(self.asn);
        let mut body = vec![BGP_VERSION];
        body.extend(short.to_be_bytes());
        body.extend(self.hold_time.to_be_bytes());
        body.extend(self.identifier.octets());
        // All that we can do comes to fewer than 40 bytes, so a length of one byte has room.
        body.extend([capabilities.len() as u8 + 2, CAPABILITIES_PARAMETER, capabilities.len() as u8]);
        body.extend(capabilities);
        body
    }

    /// Reads what follows the header. What must not be there is the NOTIFICATION that RFC 4271 §6.2 asks for; whether the
    /// autonomous system is the one that was configured is for the session to say.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Notification> {
        let cut_off = || Notification::new(BAD_OPEN);
        let version = *body.first().ok_or_else(cut_off)?;
        if version != BGP_VERSION {
            let highest = u16::from(BGP_VERSION).to_be_bytes();
            return Err(Notification::about(BAD_VERSION, highest.to_vec()));
        }
        let short = u16::from_be_bytes(bytes_at(body, 1).ok_or_else(cut_off)?);
        let hold_time = u16::from_be_bytes(bytes_at(body, 3).ok_or_else(cut_off)?);
        let identifier: [u8; 4] = bytes_at(body, 5).ok_or_else(cut_off)?;
        let (capabilities, long) = read_parameters(body.get(9..).ok_or_else(cut_off)?)?;
        let asn = long.unwrap_or_else(|| short.into());
        if asn == 0 {
            // RFC 7607 §2: nobody is 0, in either place.
            return Err(Notification::about(BAD_PEER_AS, short.to_be_bytes().to_vec()));
        }
        if matches!(hold_time, 1 | 2) {
            return Err(Notification::about(BAD_HOLD_TIME, hold_time.to_be_bytes().to_vec()));
        }
        if identifier == [0; 4] {
            return Err(Notification::about(BAD_IDENTIFIER, identifier.to_vec()));
        }
        Ok(Open { asn, hold_time, identifier: identifier.into(), capabilities })
    }
}

impl Capabilities {
    fn bytes(&self, asn: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut add = |code: u8, value: &[u8]| {
            bytes.extend([code, value.len() as u8]);
            bytes.extend(value);
        };
        for family in &self.families {
            let [high, low] = family.number().to_be_bytes();
            add(MULTIPROTOCOL_CODE, &[high, low, 0, UNICAST_SAFI]);
        }
        if self.route_refresh {
            add(ROUTE_REFRESH_CODE, &[]);
        }
        if let Some(restart) = &self.graceful_restart {
            add(GRACEFUL_RESTART_CODE, &restart.bytes());
        }
        if self.four_octet_as {
            add(FOUR_OCTET_AS_CODE, &asn.to_be_bytes());
        }
        bytes
    }
}

impl GracefulRestart {
    fn bytes(&self) -> Vec<u8> {
        let flags = if self.restarted { RESTARTED_FLAG } else { 0 };
        let mut bytes = (flags | self.seconds.min(SECONDS_MASK)).to_be_bytes().to_vec();
        for (family, forwarded) in &self.forwarded {
            bytes.extend(family.number().to_be_bytes());
            bytes.extend([UNICAST_SAFI, if *forwarded { FORWARDED_FLAG } else { 0 }]);
        }
        bytes
    }

    fn read(value: &[u8]) -> Option<Self> {
        let head = u16::from_be_bytes(bytes_at(value, 0)?);
        let families = value[2..].chunks_exact(4).filter_map(|entry| {
            let family = Family::read(u16::from_be_bytes([entry[0], entry[1]]), entry[2])?;
            Some((family, entry[3] & FORWARDED_FLAG != 0))
        });
        Some(GracefulRestart {
            restarted: head & RESTARTED_FLAG != 0,
            seconds: head & SECONDS_MASK,
            forwarded: families.collect(),
        })
    }
}

/// The optional parameters, from their length on: what the sender can do, and its number if that was told in four bytes.
fn read_parameters(parameters: &[u8]) -> Result<(Capabilities, Option<u32>), Notification> {
    let bad = || Notification::new(BAD_OPEN);
    let (length, rest) = parameters.split_first().ok_or_else(bad)?;
    let is_extended = *length == EXTENDED_LENGTH && rest.first() == Some(&EXTENDED_LENGTH);
    let (length, mut rest) = if is_extended {
        (usize::from(u16::from_be_bytes(bytes_at(rest, 1).ok_or_else(bad)?)), &rest[3..])
    } else {
        (usize::from(*length), rest)
    };
    if rest.len() != length {
        return Err(bad());
    }
    let mut reading = Reading::default();
    while !rest.is_empty() {
        let kind = rest[0];
        let (length, head) = if is_extended {
            (usize::from(u16::from_be_bytes(bytes_at(rest, 1).ok_or_else(bad)?)), 3)
        } else {
            (usize::from(*rest.get(1).ok_or_else(bad)?), 2)
        };
        let value = rest.get(head..head + length).ok_or_else(bad)?;
        if kind != CAPABILITIES_PARAMETER {
            return Err(Notification::new(BAD_PARAMETER));
        }
        reading.capabilities(value).ok_or_else(bad)?;
        rest = &rest[head + length..];
    }
    Ok(reading.end())
}

#[derive(Default)]
struct Reading {
    capabilities: Capabilities,
    names_families: bool,
    asn: Option<u32>,
}

impl Reading {
    /// Reads one list of capabilities; several lists and several of one kind are allowed (RFC 5492 §4). None where one goes
    /// beyond the end, or is too short for its kind.
    fn capabilities(&mut self, mut list: &[u8]) -> Option<()> {
        while let [code, length, rest @ ..] = list {
            let value = rest.get(..usize::from(*length))?;
            match *code {
                MULTIPROTOCOL_CODE => {
                    self.names_families = true;
                    let [high, low, _, subsequent] = bytes_at(value, 0)?;
                    let family = Family::read(u16::from_be_bytes([high, low]), subsequent);
                    self.capabilities.families.extend(family);
                }
                ROUTE_REFRESH_CODE => self.capabilities.route_refresh = true,
                GRACEFUL_RESTART_CODE => {
                    self.capabilities.graceful_restart = Some(GracefulRestart::read(value)?);
                }
                FOUR_OCTET_AS_CODE => {
                    self.capabilities.four_octet_as = true;
                    self.asn = Some(u32::from_be_bytes(bytes_at(value, 0)?));
                }
                _ => {}
            }
            list = &rest[usize::from(*length)..];
        }
        list.is_empty().then_some(())
    }

    fn end(mut self) -> (Capabilities, Option<u32>) {
        if !self.names_families {
            self.capabilities.families.insert(Family::V4);
        }
        (self.capabilities, self.asn)
    }
}
