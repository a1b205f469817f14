//! A frame in; an answer, a foreign claim or nothing out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use crate::arp::{ArpFrame, ArpOperation};
use crate::ethernet::Mac;
use crate::ndp::{Message, NdpFrame, solicited_node_group};

/// What is held on one link: the addresses that are answered for, and the link's hardware address as it is now. A link
/// whose hardware address changes is another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAddresses {
    mac: Mac,
    addresses: BTreeSet<IpAddr>,
}

impl HeldAddresses {
    /// These addresses, at this hardware address.
    pub fn new(mac: Mac, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        HeldAddresses { mac, addresses: addresses.into_iter().collect() }
    }

    /// Whether it is these addresses at this hardware address.
    pub(crate) fn is(&self, mac: Mac, addresses: &BTreeSet<IpAddr>) -> bool {
        self.mac == mac && self.addresses == *addresses
    }
}

/// What is to be done about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It does not concern what is held.
    Nothing,
    /// It asks for an address that is held.
    Reply {
        /// The address.
        ip: IpAddr,
        /// What is to be sent, on the link that the question came from.
        frame: Vec<u8>,
    },
    /// Somebody else says that an address that is held is theirs. How often to defend it is not decided here: RFC 5227 §2.4
    /// allows once in 10 seconds.
    Claimed {
        /// The address.
        ip: IpAddr,
        /// Who claims it.
        by: Mac,
    },
}

/// What is to be done about a frame that came in on a link, or went out there: a packet socket sees both.
pub fn answer(frame: &[u8], held: &HeldAddresses) -> Answered {
    let to_ip = if let Some(arp) = ArpFrame::parse(frame) {
        to_arp(&arp, held)
    } else {
        NdpFrame::parse(frame).and_then(|ndp| to_ndp(&ndp, held))
    };
    to_ip.unwrap_or(Answered::Nothing)
}

fn to_arp(arp: &ArpFrame, held: &HeldAddresses) -> Option<Answered> {
    if arp.from == held.mac || !arp.sender_mac.is_an_interface() {
        return None;
    }
    // Before anything else, and whatever the operation: to send from an address is to claim it (RFC 5227 §2.4). A probe
    // sends from 0.0.0.0 and claims nothing; the answer to it is what defends the address (§2.1.1).
    let sender = IpAddr::V4(arp.sender_ip);
    if held.addresses.contains(&sender) && arp.sender_mac != held.mac {
        return Some(Answered::Claimed { ip: sender, by: arp.sender_mac });
    }
    // Linux asks the one it knows, by unicast, whether it is still there. A frame for another interface is seen by a link
    // that is promiscuous, and is not for us.
    let for_us = arp.to == Mac::BROADCAST || arp.to == held.mac;
    let ip = IpAddr::V4(arp.target_ip);
    let asks = arp.operation == ArpOperation::Request && held.addresses.contains(&ip);
    (for_us && asks).then(|| Answered::Reply { ip, frame: arp.answer(held.mac).emit() })
}

fn to_ndp(ndp: &NdpFrame, held: &HeldAddresses) -> Option<Answered> {
    if ndp.from == held.mac || !held.addresses.contains(&ndp.target.into()) {
        return None;
    }
    match ndp.message {
        Message::Solicitation { .. } => {
            for_us(ndp.to, ndp.destination, ndp.target, held.mac).then_some(())?;
            Some(Answered::Reply { ip: ndp.target.into(), frame: ndp.answer(held.mac)?.emit() })
        }
        Message::Advertisement { target_mac, .. } => {
            let by = target_mac.unwrap_or(ndp.from);
            let claims = by != held.mac && by.is_an_interface();
            claims.then_some(Answered::Claimed { ip: ndp.target.into(), by })
        }
    }
}

/// Whether a question came to us: to the group of the address, or by unicast, which is how neighbours see whether we are
/// still there (RFC 4861 §7.3.3).
fn for_us(to: Mac, destination: Ipv6Addr, target: Ipv6Addr, ours: Mac) -> bool {
    let group = solicited_node_group(target);
    (to == ours || to == Mac::of_group(group)) && (destination == target || destination == group)
}
