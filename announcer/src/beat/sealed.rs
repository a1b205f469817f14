//! Beats under a key.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use super::wire::{self, ETHER_TYPE, SIGNATURE_BYTES, VERSION};
use super::{Beat, Cluster};
use crate::ethernet::{self, Mac};

/// The key that the nodes of a cluster share.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

/// Keys that sign alike are one.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.clone().finalize() == other.0.clone().finalize()
    }
}

impl Eq for Key {}

/// Keys are not printed.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A key that could be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTooShort {
    /// How many bytes it has.
    pub length: usize,
}

impl fmt::Display for KeyTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortest = Key::MIN_BYTES;
        write!(f, "the key of the heartbeat has {} bytes, and at least {shortest} are needed", self.length)
    }
}

impl std::error::Error for KeyTooShort {}

/// Why a frame is no beat that one listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has another EtherType: it is something else.
    NotABeat,
    /// It is of a version that is not known here. It is passed over.
    Version {
        /// From which link.
        from: Mac,
        /// The version it names.
        version: u8,
    },
    /// It is of another cluster.
    OtherCluster {
        /// From which link.
        from: Mac,
    },
    /// It is of this cluster, and signed with another key, or forged.
    OtherKey {
        /// From which link.
        from: Mac,
        /// The node in whose name it speaks, which nobody vouches for; none if that is no name.
        node: Option<String>,
    },
    /// It cannot be read.
    Malformed {
        /// From which link.
        from: Mac,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotABeat => write!(f, "the frame is no heartbeat"),
            Refused::Version { from, version } => {
                write!(
                    f,
                    "the heartbeat from {from} is of version {version}; version {VERSION} is known here"
                )
            }
            Refused::OtherCluster { from } => write!(f, "the heartbeat from {from} is of another cluster"),
            Refused::OtherKey { from, node: Some(node) } => write!(
                f,
                "the heartbeat from {from} in the name of node {node} is signed with another key: it is not listened \
                 to, but that nothing is taken which it claims; what both have already, both answer for"
            ),
            Refused::OtherKey { from, node: None } => {
                write!(f, "the heartbeat from {from} is signed with another key")
            }
            Refused::Malformed { from, what } => {
                write!(f, "the heartbeat from {from} cannot be read: {what}")
            }
        }
    }
}

impl Key {
    /// How many bytes a key has at least.
    pub const MIN_BYTES: usize = 16;

    /// A key of these bytes, [`Key::MIN_BYTES`] or more.
    ///
    /// # Errors
    /// How many there are, if they are too few.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyTooShort> {
        let too_short = KeyTooShort { length: bytes.len() };
        if bytes.len() < Key::MIN_BYTES {
            return Err(too_short);
        }
        Hmac::new_from_slice(bytes).map(Key).map_err(|_| too_short)
    }

    /// The frame of a page, as it is sent.
    pub fn seal(&self, beat: &Beat, cluster: Cluster) -> Vec<u8> {
        let mut page = wire::emit(beat, cluster);
        let signature = self.0.clone().chain_update(&page).finalize().into_bytes();
        page.extend(&signature[..SIGNATURE_BYTES]);
        ethernet::join(Mac::BROADCAST, beat.from, ETHER_TYPE, &page)
    }

    /// Reads a frame. Never panics, whatever the bytes.
    ///
    /// # Errors
    /// The reason for which it is not listened to.
    pub fn open(&self, frame: &[u8], cluster: Cluster) -> Result<Beat, Refused> {
        let parts = ethernet::split(frame).filter(|parts| parts.ether_type == ETHER_TYPE);
        let parts = parts.ok_or(Refused::NotABeat)?;
        let from = parts.from;
        let malformed = |what| Refused::Malformed { from, what };
        // Before anything else: what stands behind the first byte is another version's own affair.
        let version = *parts.payload.first().ok_or(malformed("it is empty"))?;
        if version != VERSION {
            return Err(Refused::Version { from, version });
        }
        let page = wire::whole(parts.payload).ok_or(malformed("it is not as long as it says"))?;
        if wire::cluster(page) != Some(cluster) {
            return Err(Refused::OtherCluster { from });
        }
        let (signed, signature) = page.split_at(page.len() - SIGNATURE_BYTES);
        if self.0.clone().chain_update(signed).verify_truncated_left(signature).is_err() {
            return Err(Refused::OtherKey { from, node: wire::node(signed).map(str::to_owned) });
        }
        wire::parse(from, signed).map_err(malformed)
    }
}

/// What a frame says that nobody vouches for: its signature and its cluster are not looked at. None if it cannot be read.
pub fn unvouched(frame: &[u8]) -> Option<Beat> {
    let parts = ethernet::split(frame).filter(|parts| parts.ether_type == ETHER_TYPE)?;
    let page = wire::whole(parts.payload).filter(|page| page[0] == VERSION)?;
    wire::parse(parts.from, &page[..page.len() - SIGNATURE_BYTES]).ok()
}
