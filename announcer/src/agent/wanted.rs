//! What each link of this node is told to want.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::announcements::{Announcement, Candidate, Interfaces};
use crate::link::{Link, announcing};
use crate::segment::{Eligible, Links};

/// Addresses, and who may answer for each.
pub(super) type WantedAddresses = BTreeMap<IpAddr, Vec<Eligible>>;

/// What links of a node are to want.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WantedByLink {
    /// By name, for each link.
    pub(super) addresses: BTreeMap<String, WantedAddresses>,
    /// Links that were to answer for addresses of IPv6 and have no link-local address. They do not: what such a link took
    /// would be lost for its clients, and another node takes what it does not.
    pub(super) without_link_local: BTreeSet<String>,
}

/// What these links are to want on this node.
pub(super) fn wanted(
    node: &str,
    links: &[Link],
    announcements: &BTreeMap<IpAddr, Announcement>,
) -> WantedByLink {
    let mut wanted = WantedByLink {
        addresses: links.iter().map(|link| (link.name.clone(), WantedAddresses::new())).collect(),
        without_link_local: BTreeSet::new(),
    };
    for (&ip, announcement) in announcements {
        let Ok(own) = announcement.on(node) else { continue };
        let named: Option<Vec<String>> = match &own.interfaces {
            Interfaces::All => None,
            Interfaces::Named(names) => Some(names.iter().cloned().collect()),
        };
        let eligible: Vec<Eligible> = announcement.candidates().map(eligible).collect();
        for link in announcing(links, ip, named.as_deref()) {
            if !link.can_serve(ip) {
                wanted.without_link_local.insert(link.name.clone());
            } else if let Some(addresses) = wanted.addresses.get_mut(&link.name) {
                addresses.insert(ip, eligible.clone());
            }
        }
    }
    wanted
}

fn eligible((node, candidate): (&Arc<str>, &Candidate)) -> Eligible {
    let links = match &candidate.interfaces {
        Interfaces::All => Links::All,
        Interfaces::Named(names) => Links::Named(names.iter().map(|name| name.as_str().into()).collect()),
    };
    Eligible { node: node.clone(), links, score: candidate.score }
}
