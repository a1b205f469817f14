//! Neighbour discovery for IPv6 on Ethernet (RFC 4861): solicitations, which ask, and advertisements, which answer.

use std::net::Ipv6Addr;

use crate::ethernet::{Mac, bytes_at, join, mac_at, split};
use crate::icmpv6::{NEXT_HEADER, checksum};

pub(crate) const ETHER_TYPE: u16 = 0x86dd;

/// All nodes of the segment.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const IPV6_HEADER_BYTES: usize = 40;
/// A router would have made it less: who sees 255 knows that the sender is on this segment (RFC 4861 §3.1).
const HOP_LIMIT: u8 = 255;
const SOLICITATION_TYPE: u8 = 135;
const ADVERTISEMENT_TYPE: u8 = 136;
/// Type, code, checksum, flags or nothing, and the target.
const FIXED_BYTES: usize = 24;
const SOURCE_LINK_LAYER_OPTION: u8 = 1;
const TARGET_LINK_LAYER_OPTION: u8 = 2;
const SOLICITED_FLAG: u8 = 0x40;
const OVERRIDE_FLAG: u8 = 0x20;

/// The group in which who has an address listens for questions: `ff02::1:ff00:0/104` and its last 24 bits (RFC 4291
/// §2.7.1). It is to be joined for each address and each link.
pub fn solicited_node_group(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// What a frame of neighbour discovery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Who has the target's address?
    Solicitation {
        /// The hardware address to answer to, if the question names one.
        source_mac: Option<Mac>,
    },
    /// The target's address is here.
    Advertisement {
        /// Whether it answers a question.
        solicited: bool,
        /// Whether entries that say otherwise are to be mended.
        overrides: bool,
        /// The hardware address of the target, if it is named.
        target_mac: Option<Mac>,
    },
}

/// A frame of neighbour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NdpFrame {
    /// To whom the frame goes.
    pub to: Mac,
    /// From whom it comes.
    pub from: Mac,
    /// The source in the IPv6 header; `::` of who looks whether somebody else has the address already.
    pub source: Ipv6Addr,
    /// The destination in the IPv6 header.
    pub destination: Ipv6Addr,
    /// The address that is asked for, or that is answered for.
    pub target: Ipv6Addr,
    /// What is said of it.
    pub message: Message,
}

impl NdpFrame {
    /// Reads a frame. None if it is no solicitation and no advertisement, or breaks one of the rules by which a node must
    /// pass it over without a word (RFC 4861 §7.1.1 and §7.1.2); options of other kinds are passed over.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let parts = split(frame)?;
        let header = parts.payload.get(..IPV6_HEADER_BYTES)?;
        if parts.ether_type != ETHER_TYPE || header[0] >> 4 != 6 {
            return None;
        }
        let (next_header, hop_limit) = (header[6], header[7]);
        if next_header != NEXT_HEADER || hop_limit != HOP_LIMIT {
            return None;
        }
        let length = usize::from(u16::from_be_bytes(bytes_at(header, 4)?));
        // What follows is padding of the frame, and no part of the packet.
        let packet = parts.payload[IPV6_HEADER_BYTES..].get(..length)?;
        let source = Ipv6Addr::from(bytes_at::<16>(header, 8)?);
        let destination = Ipv6Addr::from(bytes_at::<16>(header, 24)?);
        let (kind, code) = (*packet.first()?, *packet.get(1)?);
        // With its own checksum in it, a packet that arrived whole sums up to all ones, the complement of which is 0.
        if packet.len() < FIXED_BYTES || code != 0 || checksum(source, destination, packet) != 0 {
            return None;
        }
        let target = Ipv6Addr::from(bytes_at::<16>(packet, 8)?);
        if target.is_multicast() || source.is_multicast() {
            return None;
        }
        let options = &packet[FIXED_BYTES..];
        let message = match kind {
            SOLICITATION_TYPE => {
                let source_mac = NdpOptions::parse(options, SOURCE_LINK_LAYER_OPTION)?.link_layer;
                let from_nobody = source.is_unspecified();
                if from_nobody && (destination != solicited_node_group(target) || source_mac.is_some()) {
                    return None;
                }
                Message::Solicitation { source_mac }
            }
            ADVERTISEMENT_TYPE => {
                let target_mac = NdpOptions::parse(options, TARGET_LINK_LAYER_OPTION)?.link_layer;
                let (solicited, overrides) =
                    (packet[4] & SOLICITED_FLAG != 0, packet[4] & OVERRIDE_FLAG != 0);
                if destination.is_multicast() && solicited {
                    return None;
                }
                Message::Advertisement { solicited, overrides, target_mac }
            }
            _ => return None,
        };
        Some(NdpFrame { to: parts.to, from: parts.from, source, destination, target, message })
    }

    /// The frame as it is sent.
    pub fn emit(&self) -> Vec<u8> {
        let (kind, flags, option) = match self.message {
            Message::Solicitation { source_mac } => {
                (SOLICITATION_TYPE, 0, source_mac.map(|mac| (SOURCE_LINK_LAYER_OPTION, mac)))
            }
            Message::Advertisement { solicited, overrides, target_mac } => {
                // Never the flag of a router: an address that is announced is nobody's way out of the segment (§4.4).
                let flags =
                    if solicited { SOLICITED_FLAG } else { 0 } | if overrides { OVERRIDE_FLAG } else { 0 };
                (ADVERTISEMENT_TYPE, flags, target_mac.map(|mac| (TARGET_LINK_LAYER_OPTION, mac)))
            }
        };
        let mut packet = vec![kind, 0, 0, 0, flags, 0, 0, 0];
        packet.extend(self.target.octets());
        if let Some((kind, mac)) = option {
            // The length of an option is in units of 8 bytes, its head with it (§4.6).
            packet.extend([kind, 1]);
            packet.extend(mac.bytes());
        }
        let sum = checksum(self.source, self.destination, &packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut payload = vec![0x60, 0, 0, 0];
        payload.extend((packet.len() as u16).to_be_bytes());
        payload.extend([NEXT_HEADER, HOP_LIMIT]);
        payload.extend(self.source.octets());
        payload.extend(self.destination.octets());
        payload.extend(packet);
        join(self.to, self.from, ETHER_TYPE, &payload)
    }

    /// The question who has an address, to the group of those who may. From `::` it is duplicate address detection, and
    /// names no hardware address (§7.1.1).
    pub fn question(asking: Mac, asking_ip: Ipv6Addr, ip: Ipv6Addr) -> Self {
        let group = solicited_node_group(ip);
        NdpFrame {
            to: Mac::of_group(group),
            from: asking,
            source: asking_ip,
            destination: group,
            target: ip,
            message: Message::Solicitation { source_mac: (!asking_ip.is_unspecified()).then_some(asking) },
        }
    }

    /// The answer to a question: `ours` has the address that was asked for (§7.2.4). It comes from that address itself, so
    /// that the link needs none of its own. Who asks from `::` cannot be answered to: then everybody hears it. None if the
    /// question names no interface to answer to.
    pub fn answer(&self, ours: Mac) -> Option<Self> {
        let Message::Solicitation { source_mac } = self.message else { return None };
        if self.source.is_unspecified() {
            return Some(NdpFrame::announcement(ours, self.target));
        }
        // A unicast question may leave its source's hardware address out (§4.3).
        let to = source_mac.unwrap_or(self.from);
        to.is_an_interface().then_some(NdpFrame {
            to,
            destination: self.source,
            message: Message::Advertisement { solicited: true, overrides: true, target_mac: Some(ours) },
            ..NdpFrame::announcement(ours, self.target)
        })
    }

    /// The announcement that an address is here, to everybody (§7.2.6). It overrides: there is one owner.
    pub fn announcement(ours: Mac, ip: Ipv6Addr) -> Self {
        NdpFrame {
            to: Mac::of_group(ALL_NODES),
            from: ours,
            source: ip,
            destination: ALL_NODES,
            target: ip,
            message: Message::Advertisement { solicited: false, overrides: true, target_mac: Some(ours) },
        }
    }
}

/// What the options of a packet say that matters here.
struct NdpOptions {
    /// The hardware address that the first option of the wanted kind names.
    link_layer: Option<Mac>,
}

impl NdpOptions {
    /// Reads them. None where one has no length, or goes on behind the end: then the whole packet is passed over (§4.6,
    /// §7.1).
    fn parse(mut options: &[u8], wanted: u8) -> Option<Self> {
        let mut link_layer = None;
        while let [kind, units, ..] = *options {
            let length = usize::from(units) * 8;
            if length == 0 {
                return None;
            }
            let option = options.get(..length)?;
            if kind == wanted && link_layer.is_none() {
                link_layer = mac_at(option, 2);
            }
            options = &options[length..];
        }
        options.is_empty().then_some(NdpOptions { link_layer })
    }
}
