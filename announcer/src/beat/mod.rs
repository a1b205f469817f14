//! The heartbeat: what a node says of itself on a segment, ten times a second, to everybody.
//!
//! It goes the way that questions for addresses go, as a broadcast frame of EtherType 0x88B5, which IEEE 802 leaves to local
//! experiments: no address, no port, no firewall between. Whoever hears it knows that the sender's questions and answers
//! come through as well.
//!
//! [`Key::seal`] makes frames of a [`Beat`], [`Key::open`] reads one.
//!
//! # What the signature is for
//!
//! Each frame is signed with HMAC-SHA256, cut to 16 bytes, under a key that the nodes share. Without the key nobody can
//! say in a node's name that it is alive, that it leaves or what it claims. A frame that is repeated is passed over: within
//! a process's life its sequence only grows, and a process that another one has replaced is not listened to while that one is
//! heard.
//!
//! Whoever stands on the segment without the key can still
//!
//! * answer for any address by ARP or neighbour discovery. That is how a segment works; such a claim is told
//!   ([`Answered::Claimed`](crate::answer::Answered::Claimed)) and no more;
//! * read everything: nothing is secret, names and addresses least of all;
//! * keep nodes from taking an address that none of them has, by claiming it in a frame: an announcer of this cluster that has
//!   another key is not to lose what it has to one that does not know it. What a node has it gives up for no such frame;
//! * hold frames up or swallow them, if they pass through its hands, and play them later. A recording that a receiver never
//!   heard, because it started later or was cut off, keeps a dead node alive for that receiver for as long as the
//!   recording lasts;
//! * carry frames from one segment to another. The two are then one for the heartbeat, as behind a bridge.

pub mod rotation;

mod keyring;
mod sealed;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::ethernet::Mac;
pub use keyring::Keyring;
pub use sealed::{Key, KeyTooShort, Refused, unvouched};
pub use wire::{ETHER_TYPE, MAX_PAGE_BYTES, VERSION};

/// Which cluster a beat belongs to. Two clusters on one segment do not listen to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cluster([u8; 8]);

impl Cluster {
    /// From what identifies a cluster for its whole life: the UID of its namespace `kube-system`.
    pub fn of(uid: &str) -> Self {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(uid).into();
        Cluster([a, b, c, d, e, f, g, h])
    }
}

/// One life of one announcing link: drawn at random when it begins, and never used again. It tells a restarted process from
/// the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u64);

impl Boot {
    /// What others list when they hear this one. Half as long, because a beat names everybody whom its sender hears.
    pub fn mark(self) -> Mark {
        Mark((self.0 ^ self.0 >> 32) as u32)
    }
}

/// A [`Boot`] cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u32);

/// What a node does about addresses that nobody claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has just begun, or begun again, and only listens who claims what.
    Listener,
    /// It takes them.
    Candidate,
    /// It goes. What it claims is answered for until somebody else claims it.
    Leaver,
}

/// One frame of the heartbeat. What does not fit into one goes on in further pages: frames of the same sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The hardware address of the link that it comes from.
    pub from: Mac,
    /// The node's name, as Kubernetes has it.
    pub node: Arc<str>,
    /// The link's name on that node. A node with two links on one segment hears itself.
    pub link: Arc<str>,
    /// Which life of that link this is.
    pub boot: Boot,
    /// Grows with each beat of one life.
    pub sequence: u64,
    /// How long after this one the next comes, in whole milliseconds. It comes earlier when there is something new.
    pub interval: Duration,
    /// After how long a silence the sender is to be taken for dead, in whole milliseconds. The sender keeps to it too.
    pub dead: Duration,
    /// What it does about addresses that nobody claims.
    pub role: Role,
    /// Which page this is, from 0.
    pub page: u16,
    /// How many pages the beat has.
    pub pages: u16,
    /// Whom the sender hears.
    pub hears: Vec<Mark>,
    /// Which addresses the sender answers for.
    pub claims: Vec<IpAddr>,
}

impl Beat {
    /// In as many pages as it needs for none to be longer than [`MAX_PAGE_BYTES`]. Whom it hears is listed before what it claims.
    pub fn paged(self) -> Vec<Beat> {
        let room = wire::room(&self.node, &self.link);
        let (mut pages, mut left) = (vec![(Vec::new(), Vec::new())], room);
        let mut page_for = |length: usize, pages: &mut Vec<(Vec<Mark>, Vec<IpAddr>)>| {
            if left < length {
                pages.push((Vec::new(), Vec::new()));
                left = room;
            }
            left -= length;
            pages.len() - 1
        };
        for mark in &self.hears {
            let at = page_for(wire::MARK_BYTES, &mut pages);
            pages[at].0.push(*mark);
        }
        for ip in &self.claims {
            let at = page_for(wire::length_of(*ip), &mut pages);
            pages[at].1.push(*ip);
        }
        // What is beyond the last page that can be numbered is not claimed aloud: 20 million addresses in.
        pages.truncate(usize::from(u16::MAX));
        let count = pages.len() as u16;
        pages
            .into_iter()
            .zip(0..)
            .map(|((hears, claims), page)| Beat { page, pages: count, hears, claims, ..self.clone() })
            .collect()
    }
}
