//! What each link of this node is told to want.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::announcements::{Announcement, Candidate, Interfaces};
use crate::link::{Link, announcing};
use crate::segment::{Eligible, Links};

/// Addresses, and who may answer for each.
pub(super) type WantedAddresses = BTreeMap<IpAddr, Vec<Eligible>>;

/// By name, what each of these links is to want on this node.
pub(super) fn wanted(
    node: &str,
    links: &[Link],
    announcements: &BTreeMap<IpAddr, Announcement>,
) -> BTreeMap<String, WantedAddresses> {
    let mut wanted: BTreeMap<String, WantedAddresses> =
        links.iter().map(|link| (link.name.clone(), WantedAddresses::new())).collect();
    for (&ip, announcement) in announcements {
        let Ok(own) = announcement.on(node) else { continue };
        let named: Option<Vec<String>> = match &own.interfaces {
            Interfaces::All => None,
            Interfaces::Named(names) => Some(names.iter().cloned().collect()),
        };
        let eligible: Vec<Eligible> = announcement.candidates().map(eligible).collect();
        for link in announcing(links, ip, named.as_deref()) {
            if let Some(wanted) = wanted.get_mut(&link.name) {
                wanted.insert(ip, eligible.clone());
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
