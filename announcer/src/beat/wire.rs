//! The bytes of a heartbeat.
//!
//! ```text
//!  0 version (1)   1 role (1)    2 length with the signature (2)
//!  4 cluster (8)  12 boot (8)   20 sequence (8)
//! 28 interval, ms (2)   30 dead after, ms (2)   32 page (2)   34 pages (2)
//! 36 length of the node's name (1)   37 of the link's (1)
//! 38 marks (2)   40 IPv4 addresses (2)   42 IPv6 addresses (2)
//! 44 node, link, marks, IPv4 addresses, IPv6 addresses; the signature (16) over all that stands before it
//! ```
//!
//! Numbers are sent with their high byte first. What every later version keeps is the first byte.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Beat, Boot, Cluster, Mark, Role};
use crate::ethernet::{Mac, bytes_at};

/// IEEE 802's first EtherType for local experiments.
pub const ETHER_TYPE: u16 = 0x88b5;
/// The version of the bytes.
pub const VERSION: u8 = 1;
/// How long a page is at most, from the version to the end of the signature: less than a frame holds, with room for what
/// tunnels put around it.
pub const MAX_PAGE_BYTES: usize = 1_400;

pub(super) const SIGNATURE_BYTES: usize = 16;
pub(super) const MARK_BYTES: usize = 4;
const FIXED_BYTES: usize = 44;
const CLUSTER_OFFSET: usize = 4;
/// What Kubernetes and Linux allow.
const MAX_NODE_BYTES: usize = 253;
const MAX_LINK_BYTES: usize = 15;

/// What is left for marks and addresses on a page of this node and link.
pub(super) fn room(node: &str, link: &str) -> usize {
    MAX_PAGE_BYTES
        - FIXED_BYTES
        - SIGNATURE_BYTES
        - node.len().min(MAX_NODE_BYTES)
        - link.len().min(MAX_LINK_BYTES)
}

/// How many bytes an address takes.
pub(super) fn length_of(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}

/// A page without its signature.
pub(super) fn emit(beat: &Beat, cluster: Cluster) -> Vec<u8> {
    let node = &beat.node.as_bytes()[..beat.node.len().min(MAX_NODE_BYTES)];
    let link = &beat.link.as_bytes()[..beat.link.len().min(MAX_LINK_BYTES)];
    let v4 = || beat.claims.iter().filter(|ip| ip.is_ipv4());
    let v6 = || beat.claims.iter().filter(|ip| ip.is_ipv6());
    let addresses: usize = beat.claims.iter().map(|ip| length_of(*ip)).sum();
    let length =
        FIXED_BYTES + node.len() + link.len() + beat.hears.len() * MARK_BYTES + addresses + SIGNATURE_BYTES;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend([VERSION, role_byte(beat.role)]);
    bytes.extend((length as u16).to_be_bytes());
    bytes.extend(cluster.0);
    bytes.extend(beat.boot.0.to_be_bytes());
    bytes.extend(beat.sequence.to_be_bytes());
    for number in [milliseconds(beat.interval), milliseconds(beat.dead), beat.page, beat.pages] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend([node.len() as u8, link.len() as u8]);
    for count in [beat.hears.len(), v4().count(), v6().count()] {
        bytes.extend((count as u16).to_be_bytes());
    }
    bytes.extend(node);
    bytes.extend(link);
    beat.hears.iter().for_each(|mark| bytes.extend(mark.0.to_be_bytes()));
    for ip in v4().chain(v6()) {
        match ip {
            IpAddr::V4(ip) => bytes.extend(ip.octets()),
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
    }
    bytes
}

/// The bytes of a page, its signature with them, out of what a frame carries, which may be padded. None if it does not hold
/// as many as it says, or too few to be one.
pub(super) fn whole(payload: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes(bytes_at(payload, 2)?));
    (FIXED_BYTES + SIGNATURE_BYTES..=MAX_PAGE_BYTES).contains(&length).then_some(())?;
    payload.get(..length)
}

/// The cluster that a page names.
pub(super) fn cluster(page: &[u8]) -> Option<Cluster> {
    bytes_at(page, CLUSTER_OFFSET).map(Cluster)
}

/// The node that a page names, which may be a lie as long as the signature was not looked at.
pub(super) fn node(page: &[u8]) -> Option<&str> {
    let length = usize::from(*page.get(36)?);
    let name = str::from_utf8(page.get(FIXED_BYTES..FIXED_BYTES + length)?).ok()?;
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-.".contains(character);
    (!name.is_empty() && name.chars().all(allowed)).then_some(name)
}

/// Reads a page without its signature, or says what is wrong with it.
pub(super) fn parse(from: Mac, page: &[u8]) -> Result<Beat, &'static str> {
    const TOO_SHORT: &str = "it is shorter than it says";
    let number = |at| bytes_at(page, at).map(u16::from_be_bytes).ok_or(TOO_SHORT);
    let long = |at| bytes_at(page, at).map(u64::from_be_bytes).ok_or(TOO_SHORT);
    let role = role_of(*page.get(1).ok_or(TOO_SHORT)?).ok_or("its role is unknown")?;
    let (interval, dead) = (number(28)?, number(30)?);
    if interval == 0 || dead <= interval {
        return Err("its interval is zero, or it is dead before the next one comes");
    }
    let (page_number, pages) = (number(32)?, number(34)?);
    if page_number >= pages {
        return Err("its page is not one of its pages");
    }
    let node_name = node(page).ok_or("the node's name is none")?;
    let link_at = FIXED_BYTES + node_name.len();
    let lists_at = link_at + usize::from(*page.get(37).ok_or(TOO_SHORT)?);
    let link = page.get(link_at..lists_at).and_then(|link| str::from_utf8(link).ok()).ok_or(TOO_SHORT)?;
    if link.is_empty() || !link.chars().all(|character| character.is_ascii_graphic()) {
        return Err("the link's name is none");
    }
    let (marks, v4, v6) = (usize::from(number(38)?), usize::from(number(40)?), usize::from(number(42)?));
    let v4_at = lists_at + marks * MARK_BYTES;
    let v6_at = v4_at + v4 * 4;
    if page.len() != v6_at + v6 * 16 {
        return Err("its lists are not as long as it says");
    }
    let hears = page[lists_at..v4_at].chunks_exact(MARK_BYTES);
    let v4 = page[v4_at..v6_at].chunks_exact(4).filter_map(|ip| <[u8; 4]>::try_from(ip).ok());
    let v6 = page[v6_at..].chunks_exact(16).filter_map(|ip| <[u8; 16]>::try_from(ip).ok());
    Ok(Beat {
        from,
        node: Arc::from(node_name),
        link: Arc::from(link),
        boot: Boot(long(12)?),
        sequence: long(20)?,
        interval: Duration::from_millis(interval.into()),
        dead: Duration::from_millis(dead.into()),
        role,
        page: page_number,
        pages,
        hears: hears.filter_map(|mark| mark.try_into().ok()).map(u32::from_be_bytes).map(Mark).collect(),
        claims: v4.map(IpAddr::from).chain(v6.map(IpAddr::from)).collect(),
    })
}

fn milliseconds(time: Duration) -> u16 {
    u16::try_from(time.as_millis()).unwrap_or(u16::MAX)
}

fn role_byte(role: Role) -> u8 {
    match role {
        Role::Listener => 0,
        Role::Candidate => 1,
        Role::Leaver => 2,
    }
}

fn role_of(byte: u8) -> Option<Role> {
    [Role::Listener, Role::Candidate, Role::Leaver].into_iter().find(|role| role_byte(*role) == byte)
}
