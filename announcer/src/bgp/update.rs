//! UPDATE: routes that are there, routes that are there no more (RFC 4271 §4.3, RFC 4760).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::family::{Family, UNICAST_SAFI};
use super::framing::{HEADER_BYTES, MAX_MESSAGE_BYTES, UPDATE_TYPE, framed};
use super::notification::{BAD_ATTRIBUTES, BAD_NETWORK, Notification};
use super::open::AS_TRANS;
use super::route::{LOCAL_PREFERENCE, PathAttributes};
use crate::ethernet::bytes_at;

const ORIGIN: u8 = 1;
const AS_PATH: u8 = 2;
const NEXT_HOP: u8 = 3;
const LOCAL_PREF: u8 = 5;
const COMMUNITIES: u8 = 8;
const MP_REACH: u8 = 14;
const MP_UNREACH: u8 = 15;
const AS4_PATH: u8 = 17;
const LARGE_COMMUNITIES: u8 = 32;

/// Flags of an attribute (RFC 4271 §4.3): every speaker knows it.
const WELL_KNOWN_FLAGS: u8 = 0x40;
/// Those who do not know it pass it over.
const OPTIONAL_FLAGS: u8 = 0x80;
/// Those who do not know it pass it on.
const OPTIONAL_TRANSITIVE_FLAGS: u8 = 0xc0;
/// Its length is of two bytes.
const EXTENDED_LENGTH_FLAG: u8 = 0x10;

/// The route was made here (RFC 4271 §4.3), as a router says it of those it was configured with.
const ORIGIN_IGP: u8 = 0;
/// A segment of a path whose order matters (RFC 4271 §4.3).
const AS_SEQUENCE: u8 = 2;

/// A message without withdrawn routes and without attributes: the header, and two lengths.
const EMPTY_MESSAGE_BYTES: usize = HEADER_BYTES + 4;
/// Type, flags and a length of two bytes.
const ATTRIBUTE_HEAD_BYTES: usize = 4;

/// Where packets for what is announced are to go: an address of this node for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHops {
    /// For IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl NextHops {
    /// These, with an address in the place of what is missing of its family.
    pub(crate) fn or(mut self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.v4 = self.v4.or(Some(ip)),
            IpAddr::V6(ip) => self.v6 = self.v6.or(Some(ip)),
        }
        self
    }

    /// These, with each of the addresses in the place of what is missing of its family.
    pub(crate) fn with(self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        addresses.into_iter().fold(self, NextHops::or)
    }

    /// That of a family.
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

/// How routes are told on one session: what its two ends agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Our autonomous system.
    pub asn: u32,
    /// Whether the peer is of the same. Then the path is empty, and the local preference is told (RFC 4271 §5.1.2, §5.1.5).
    pub is_internal: bool,
    /// Whether the peer takes numbers of four bytes in AS_PATH (RFC 6793).
    pub four_octet_as: bool,
    /// Where packets are to go.
    pub next_hops: NextHops,
}

impl Telling {
    /// Messages that announce prefixes of one family with the same attributes, as few as they fit into. None if there is no
    /// next hop of their family.
    pub fn announce(&self, family: Family, prefixes: &[IpNet], attributes: &PathAttributes) -> Vec<Vec<u8>> {
        let Some(next_hop) = self.next_hops.of(family) else { return Vec::new() };
        let common = self.common(next_hop, attributes);
        let own = match next_hop {
            IpAddr::V4(_) => 0,
            // A next hop of 16 bytes, its length, the family, and a byte that is reserved (RFC 4760 §3).
            IpAddr::V6(_) => ATTRIBUTE_HEAD_BYTES + 21,
        };
        let messages = packed(prefixes, MAX_MESSAGE_BYTES - EMPTY_MESSAGE_BYTES - common.len() - own);
        messages
            .map(|prefixes| match next_hop {
                IpAddr::V4(_) => message(&[], &common, &prefixes),
                IpAddr::V6(ip) => {
                    let mut value = family.number().to_be_bytes().to_vec();
                    value.extend([UNICAST_SAFI, 16]);
                    value.extend(ip.octets());
                    value.push(0);
                    value.extend(prefixes);
                    // First of all, so that whoever finds another one malformed still knows what it was about (RFC 7606 §5.1).
                    let reach = attribute(OPTIONAL_FLAGS, MP_REACH, &value);
                    message(&[], &[reach, common.clone()].concat(), &[])
                }
            })
            .collect()
    }

    /// What is said of every prefix of a message, in the order of the attributes' numbers, as RFC 4271 §5 would have it.
    fn common(&self, next_hop: IpAddr, attributes: &PathAttributes) -> Vec<u8> {
        let short = u16::try_from(self.asn);
        let path = match (self.is_internal, self.four_octet_as) {
            (true, _) => Vec::new(),
            (false, true) => [&[AS_SEQUENCE, 1], &self.asn.to_be_bytes()[..]].concat(),
            (false, false) => [&[AS_SEQUENCE, 1], &short.unwrap_or(AS_TRANS).to_be_bytes()[..]].concat(),
        };
        let mut bytes = attribute(WELL_KNOWN_FLAGS, ORIGIN, &[ORIGIN_IGP]);
        bytes.extend(attribute(WELL_KNOWN_FLAGS, AS_PATH, &path));
        if let IpAddr::V4(ip) = next_hop {
            bytes.extend(attribute(WELL_KNOWN_FLAGS, NEXT_HOP, &ip.octets()));
        }
        if self.is_internal {
            let preference = attributes.local_preference.unwrap_or(LOCAL_PREFERENCE);
            bytes.extend(attribute(WELL_KNOWN_FLAGS, LOCAL_PREF, &preference.to_be_bytes()));
        }
        if !attributes.communities.is_empty() {
            let value: Vec<u8> = attributes.communities.iter().flat_map(|it| it.to_be_bytes()).collect();
            bytes.extend(attribute(OPTIONAL_TRANSITIVE_FLAGS, COMMUNITIES, &value));
        }
        // The number that does not fit travels beside a path that says AS_TRANS (RFC 6793 §4.2.2).
        if !self.is_internal && !self.four_octet_as && short.is_err() {
            let value = [&[AS_SEQUENCE, 1], &self.asn.to_be_bytes()[..]].concat();
            bytes.extend(attribute(OPTIONAL_TRANSITIVE_FLAGS, AS4_PATH, &value));
        }
        if !attributes.large_communities.is_empty() {
            let parts = attributes.large_communities.iter().flat_map(|it| [it.global, it.first, it.second]);
            let value: Vec<u8> = parts.flat_map(u32::to_be_bytes).collect();
            bytes.extend(attribute(OPTIONAL_TRANSITIVE_FLAGS, LARGE_COMMUNITIES, &value));
        }
        bytes
    }
}

/// Messages that take prefixes of one family back, as few as they fit into.
pub fn withdraw(family: Family, prefixes: &[IpNet]) -> Vec<Vec<u8>> {
    match family {
        Family::V4 => packed(prefixes, MAX_MESSAGE_BYTES - EMPTY_MESSAGE_BYTES)
            .map(|prefixes| message(&prefixes, &[], &[]))
            .collect(),
        Family::V6 => packed(prefixes, MAX_MESSAGE_BYTES - EMPTY_MESSAGE_BYTES - ATTRIBUTE_HEAD_BYTES - 3)
            .map(|prefixes| message(&[], &unreachable(family, &prefixes), &[]))
            .collect(),
    }
}

/// The word that all routes of a family have been told (RFC 4724 §2). Who keeps routes of before a restart lets go of those
/// that were not told again.
pub fn end_of_rib(family: Family) -> Vec<u8> {
    match family {
        Family::V4 => message(&[], &[], &[]),
        Family::V6 => message(&[], &unreachable(family, &[]), &[]),
    }
}

fn unreachable(family: Family, prefixes: &[u8]) -> Vec<u8> {
    let [high, low] = family.number().to_be_bytes();
    attribute(OPTIONAL_FLAGS, MP_UNREACH, &[&[high, low, UNICAST_SAFI], prefixes].concat())
}

fn message(withdrawn: &[u8], attributes: &[u8], announced: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| (part.len() as u16).to_be_bytes();
    let body = [&length(withdrawn)[..], withdrawn, &length(attributes)[..], attributes, announced].concat();
    framed(UPDATE_TYPE, &body)
}

fn attribute(flags: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = match u8::try_from(value.len()) {
        Ok(length) => vec![flags, kind, length],
        Err(_) => {
            let [high, low] = (value.len() as u16).to_be_bytes();
            vec![flags | EXTENDED_LENGTH_FLAG, kind, high, low]
        }
    };
    bytes.extend(value);
    bytes
}

/// Prefixes as they are sent, in pieces of at most so many bytes.
fn packed(prefixes: &[IpNet], room: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut rest = prefixes.iter().map(bytes_of).peekable();
    std::iter::from_fn(move || {
        let mut piece = rest.next()?;
        while let Some(next) = rest.next_if(|next| piece.len() + next.len() <= room) {
            piece.extend(next);
        }
        Some(piece)
    })
}

/// A prefix: its length in bits, and so many of its bytes as have any (RFC 4271 §4.3).
fn bytes_of(prefix: &IpNet) -> Vec<u8> {
    let mut bytes = vec![prefix.prefix_len()];
    let used = usize::from(prefix.prefix_len().div_ceil(8));
    match prefix.network() {
        IpAddr::V4(ip) => bytes.extend(&ip.octets()[..used]),
        IpAddr::V6(ip) => bytes.extend(&ip.octets()[..used]),
    }
    bytes
}

/// Whether an UPDATE of the other side has the form of one.
///
/// Its routes are not kept here, so what RFC 7606 has treated as if they were withdrawn (an attribute that is malformed), and
/// what RFC 4760 §7 has passed over for the rest of the session (routes of IPv6 that are malformed), is done already. What
/// remains is what leaves the reader without a place to go on: a length beyond the end, and a prefix of IPv4 that is none
/// (RFC 7606 §3 and §5.3).
pub(crate) fn check(body: &[u8]) -> Result<(), Notification> {
    let bad_lengths = || Notification::new(BAD_ATTRIBUTES);
    let (withdrawn, rest) = part(body).ok_or_else(bad_lengths)?;
    let (_attributes, announced) = part(rest).ok_or_else(bad_lengths)?;
    if are_prefixes(withdrawn) && are_prefixes(announced) {
        Ok(())
    } else {
        Err(Notification::new(BAD_NETWORK))
    }
}

/// A part that its length stands before, and what follows it.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes(bytes_at(bytes, 0)?));
    bytes[2..].split_at_checked(length)
}

fn are_prefixes(mut bytes: &[u8]) -> bool {
    while let Some((&bits, rest)) = bytes.split_first() {
        let Some(after) = rest.get(usize::from(bits.div_ceil(8))..) else { return false };
        if bits > 32 {
            return false;
        }
        bytes = after;
    }
    true
}
