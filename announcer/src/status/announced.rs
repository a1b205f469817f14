//! Which Services a node announces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cloud_provider::ServiceKey;

use crate::announcements::{Advertised, Announcement, Interfaces};

/// The Services that a node announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// On the local network: those with an address for which this node answers, and on which interfaces it may.
    pub layer2: BTreeMap<ServiceKey, Interfaces>,
    /// To routers: those with an address that this node advertises, and the names of the peers that are told.
    pub bgp: BTreeMap<ServiceKey, BTreeSet<String>>,
}

/// What the node of this name announces where its links hold these addresses. Peers that the engine cannot serve are
/// `without`: nothing is advertised to them.
///
/// An address that is held and that is wanted no more is on its way out, and is not told.
pub fn announced(
    node: &str,
    layer2: &BTreeMap<IpAddr, Announcement>,
    held: &BTreeSet<IpAddr>,
    bgp: &BTreeMap<IpAddr, Advertised>,
    without: &BTreeSet<String>,
) -> Announced {
    let mut announced = Announced::default();
    for (announcement, candidate) in held.iter().filter_map(|ip| {
        let announcement = layer2.get(ip)?;
        Some((announcement, announcement.on(node).ok()?))
    }) {
        for service in &announcement.services {
            let interfaces = candidate.interfaces.clone();
            let all = match announced.layer2.remove(service) {
                Some(others) => others.and(interfaces),
                None => interfaces,
            };
            announced.layer2.insert(service.clone(), all);
        }
    }
    for (service, peers) in bgp.values().flat_map(|advertised| &advertised.by_service) {
        let peers = peers.iter().flatten().filter(|peer| !without.contains(*peer)).cloned();
        let mut peers = peers.peekable();
        if peers.peek().is_some() {
            announced.bgp.entry(service.clone()).or_default().extend(peers);
        }
    }
    announced
}
