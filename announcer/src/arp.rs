//! ARP for IPv4 on Ethernet (RFC 826, RFC 5227).

use std::net::Ipv4Addr;

use crate::ethernet::{Mac, bytes_at, join, mac_at, split};

pub(crate) const ETHER_TYPE: u16 = 0x0806;

/// Ethernet, IPv4, and how long their addresses are: what every packet of this kind begins with (RFC 826).
const PACKET_HEAD: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

/// Whether somebody asks or answers. Other operations are not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArpOperation {
    /// Who has the target's address?
    Request,
    /// The sender has its address.
    Reply,
}

/// A frame of ARP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArpFrame {
    /// To whom the frame goes.
    pub to: Mac,
    /// From whom it comes. Switches that look for forgery compare it with the sender's hardware address.
    pub from: Mac,
    /// Whether it asks or answers.
    pub operation: ArpOperation,
    /// The sender's hardware address.
    pub sender_mac: Mac,
    /// The sender's address; 0.0.0.0 in a probe.
    pub sender_ip: Ipv4Addr,
    /// The target's hardware address; without a meaning in a question.
    pub target_mac: Mac,
    /// The target's address.
    pub target_ip: Ipv4Addr,
}

impl ArpFrame {
    /// Reads a frame. None if it is no ARP for IPv4 on Ethernet, cut off, or of another operation; padding is passed over.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let parts = split(frame)?;
        let packet = parts.payload;
        if parts.ether_type != ETHER_TYPE || bytes_at(packet, 0)? != PACKET_HEAD {
            return None;
        }
        let operation = match bytes_at(packet, 6)? {
            [0, 1] => ArpOperation::Request,
            [0, 2] => ArpOperation::Reply,
            _ => return None,
        };
        Some(ArpFrame {
            to: parts.to,
            from: parts.from,
            operation,
            sender_mac: mac_at(packet, 8)?,
            sender_ip: bytes_at::<4>(packet, 14)?.into(),
            target_mac: mac_at(packet, 18)?,
            target_ip: bytes_at::<4>(packet, 24)?.into(),
        })
    }

    /// The frame as it is sent: 60 bytes, the padding with them.
    pub fn emit(&self) -> Vec<u8> {
        let operation: u8 = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        let packet = [
            &PACKET_HEAD[..],
            &[0, operation],
            &self.sender_mac.bytes(),
            &self.sender_ip.octets(),
            &self.target_mac.bytes(),
            &self.target_ip.octets(),
        ];
        join(self.to, self.from, ETHER_TYPE, &packet.concat())
    }

    /// The question who has an address, to everybody. From 0.0.0.0 it is a probe, which claims nothing (RFC 5227 §2.1.1).
    pub fn question(asking: Mac, asking_ip: Ipv4Addr, ip: Ipv4Addr) -> Self {
        ArpFrame {
            to: Mac::BROADCAST,
            from: asking,
            operation: ArpOperation::Request,
            sender_mac: asking,
            sender_ip: asking_ip,
            target_mac: Mac::ZERO,
            target_ip: ip,
        }
    }

    /// The answer to a question: `ours` has the address that was asked for. It goes to the sender alone (RFC 826).
    pub fn answer(&self, ours: Mac) -> Self {
        ArpFrame {
            to: self.sender_mac,
            from: ours,
            operation: ArpOperation::Reply,
            sender_mac: ours,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// The announcement that an address is here, in the form of a question for one's own address (RFC 5227 §2.3). Whoever
    /// has an entry for the address mends it; nobody makes a new one.
    pub fn announcement(ours: Mac, ip: Ipv4Addr) -> Self {
        ArpFrame::question(ours, ip, ip)
    }

    /// The same in the form of a reply that nobody asked for. The target's hardware address must be the sender's (RFC 5944
    /// §4.6): Linux takes one that is the broadcast's for an ordinary reply, which it passes over for a second after an
    /// entry has changed. There are devices that listen to one of the two forms only, so whoever takes over sends both.
    pub fn announcing_reply(ours: Mac, ip: Ipv4Addr) -> Self {
        ArpFrame { operation: ArpOperation::Reply, target_mac: ours, ..ArpFrame::announcement(ours, ip) }
    }
}
