//! To routers: which routes a node advertises, and to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{IpFamily, NodeView, ServiceKey};
use ipnet::IpNet;
use metallb::advertisement::Bgp;
use metallb::community::CommunityValue;
use metallb::pool::Pool;
use metallb::written::ObjectKey;

use super::nodes;
use super::offer::{Offer, offers};
use super::refusal::Refusal;
use super::view::View;
use crate::bgp::route::{LargeCommunity, PathAttributes, Unwanted, WantedRoutes};

/// What a node makes of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advertised {
    /// The Services that publish it.
    pub services: BTreeSet<ServiceKey>,
    /// For each Service, the peers to which it is advertised, by name; or why it is not.
    pub by_service: BTreeMap<ServiceKey, Result<BTreeSet<String>, Refusal>>,
}

impl Advertised {
    /// The peers to which the address is advertised: one Service that has it is enough.
    pub fn peers(&self) -> BTreeSet<&str> {
        self.by_service.values().flatten().flatten().map(String::as_str).collect()
    }
}

/// An advertisement that cannot be had beside an older one. What the older one wants is advertised, and the newer one has
/// no say in that prefix at that peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// To whom.
    pub peer: String,
    /// The older advertisement.
    pub kept: ObjectKey,
    /// The newer one.
    pub left_out: ObjectKey,
    /// What is wrong.
    pub unwanted: Unwanted,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conflict { peer, kept, left_out, unwanted } = self;
        write!(
            f,
            "BGPAdvertisement {left_out} does not go with {kept}, which is older, at BGPPeer {peer}: {unwanted}; until they \
             agree the older one counts there alone"
        )
    }
}

/// All that a node advertises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BgpAnnouncements {
    /// The addresses that are published, and what this node makes of each.
    pub addresses: BTreeMap<IpAddr, Advertised>,
    /// The routes that each peer of this node is to have. A peer without routes is there, too.
    pub wanted: BTreeMap<String, Arc<WantedRoutes>>,
    /// What could not be had together.
    pub conflicts: Vec<Conflict>,
}

/// What the node of this name advertises.
pub fn bgp(view: &View, node: &str) -> BgpAnnouncements {
    let mut routes = Routes::default();
    let Some(view_of_node) = view.nodes.get(node) else {
        let reason = Refusal::NoSuchNode { node: node.into() };
        let addresses = offers(view).into_iter().map(|(ip, offers)| {
            let by_service = offers.iter().map(|offer| (offer.key().clone(), Err(reason.clone())));
            (ip, advertised(by_service.collect()))
        });
        return BgpAnnouncements { addresses: addresses.collect(), ..BgpAnnouncements::default() };
    };
    let own = OwnNode {
        view,
        advertisements: view.announcing.bgp(),
        peers: view
            .announcing
            .peers()
            .filter(|peer| peer.nodes.matches(&**view_of_node))
            .map(|peer| &*peer.key.name)
            .collect(),
        node: view_of_node,
    };
    let addresses = offers(view).into_iter().map(|(ip, offers)| {
        let by_service =
            offers.iter().map(|offer| (offer.key().clone(), own.of_service(ip, offer, &mut routes)));
        (ip, advertised(by_service.collect()))
    });
    let addresses = addresses.collect();
    let (wanted, conflicts) = routes.settle(&own.advertisements, &own.peers);
    BgpAnnouncements { addresses, wanted, conflicts }
}

fn advertised(by_service: BTreeMap<ServiceKey, Result<BTreeSet<String>, Refusal>>) -> Advertised {
    Advertised { services: by_service.keys().cloned().collect(), by_service }
}

struct OwnNode<'a> {
    view: &'a View,
    /// Oldest first.
    advertisements: Vec<&'a Arc<Bgp>>,
    /// The names of those with which this node has a session.
    peers: BTreeSet<&'a str>,
    node: &'a NodeView,
}

impl<'a> OwnNode<'a> {
    /// To whom a Service's address is advertised. Its routes are added to `routes`.
    fn of_service(
        &self,
        ip: IpAddr,
        offer: &Offer<'a>,
        routes: &mut Routes<'a>,
    ) -> Result<BTreeSet<String>, Refusal> {
        let pool = self.view.pools.owner(ip).ok_or(Refusal::NoPool)?;
        let of_pool: Vec<(usize, &Bgp)> = self
            .advertisements
            .iter()
            .map(|it| &***it)
            .enumerate()
            .filter(|(_, it)| it.pools.includes(pool))
            .collect();
        if of_pool.is_empty() {
            return Err(Refusal::NoAdvertisement { pool: pool.name.clone() });
        }
        let matching: Vec<(usize, &Bgp)> =
            of_pool.into_iter().filter(|(_, it)| it.services.matches(&offer.service.labels)).collect();
        if matching.is_empty() {
            return Err(Refusal::ServiceNotSelected { pool: pool.name.clone() });
        }
        offer.refused().map_or(Ok(()), Err)?;
        let matching: Vec<(usize, &Bgp)> =
            matching.into_iter().filter(|(_, it)| it.nodes.matches(self.node)).collect();
        if matching.is_empty() {
            return Err(Refusal::NodeNotSelected);
        }
        nodes::refused(self.view, self.node).map_or(Ok(()), Err)?;
        if offer.only_on().is_some_and(|serving| !serving.nodes.contains(&*self.node.name)) {
            return Err(Refusal::NoLocalEndpoints);
        }
        let mut to = BTreeSet::new();
        let mut refused = None;
        for (i, advertisement) in matching {
            let prefix = match prefix(ip, advertisement, pool) {
                Ok(prefix) => prefix,
                Err(reason) => {
                    refused.get_or_insert(reason);
                    continue;
                }
            };
            let all = advertisement.peers.is_empty();
            for peer in self.peers.iter().filter(|peer| all || advertisement.peers.contains(**peer)) {
                routes.0.entry((peer, prefix)).or_default().insert(i);
                to.insert((*peer).to_owned());
            }
        }
        if to.is_empty() { Err(refused.unwrap_or(Refusal::NoPeer)) } else { Ok(to) }
    }
}

/// The prefix in which an advertisement has an address: none that is wider than the widest that the pool's entry has.
fn prefix(ip: IpAddr, advertisement: &Bgp, pool: &Pool) -> Result<IpNet, Refusal> {
    let length = advertisement.aggregation_length[IpFamily::of(ip)];
    let range = pool.ranges.iter().find(|range| range.contains(ip)).ok_or(Refusal::NoPool)?;
    let least = range.widest_prefix();
    let too_wide = || Refusal::PrefixTooWide { advertisement: advertisement.key.clone(), length, least };
    if length < least {
        return Err(too_wide());
    }
    IpNet::new(ip, length).map(|prefix| prefix.trunc()).map_err(|_| too_wide())
}

/// By peer and prefix, the positions of the advertisements that want it, oldest first.
#[derive(Default)]
struct Routes<'a>(BTreeMap<(&'a str, IpNet), BTreeSet<usize>>);

impl Routes<'_> {
    /// One prefix has one local preference at one peer: that of the oldest advertisement.
    fn settle(
        self,
        advertisements: &[&Arc<Bgp>],
        peers: &BTreeSet<&str>,
    ) -> (BTreeMap<String, Arc<WantedRoutes>>, Vec<Conflict>) {
        let mut wanted: BTreeMap<&str, WantedRoutes> =
            peers.iter().map(|peer| (*peer, WantedRoutes::default())).collect();
        let mut conflicts = Vec::new();
        for ((peer, prefix), by) in self.0 {
            let of_peer = wanted.entry(peer).or_default();
            let mut kept = None;
            for advertisement in by.into_iter().map(|i| advertisements[i]) {
                let kept = kept.get_or_insert(&advertisement.key);
                let added = of_peer.add(prefix.addr(), prefix.prefix_len(), attributes(advertisement));
                conflicts.extend(added.err().map(|unwanted| {
                    let (peer, left_out) = (peer.to_owned(), advertisement.key.clone());
                    Conflict { peer, kept: (*kept).clone(), left_out, unwanted }
                }));
            }
        }
        (wanted.into_iter().map(|(peer, wanted)| (peer.to_owned(), Arc::new(wanted))).collect(), conflicts)
    }
}

/// What an advertisement says of its routes.
fn attributes(advertisement: &Bgp) -> PathAttributes {
    let mut attributes =
        PathAttributes { local_preference: advertisement.local_pref, ..PathAttributes::default() };
    for community in &advertisement.communities {
        match *community {
            CommunityValue::Plain(asn, number) => {
                attributes.communities.insert(u32::from(asn) << 16 | u32::from(number));
            }
            CommunityValue::Large(global, first, second) => {
                attributes.large_communities.insert(LargeCommunity { global, first, second });
            }
        }
    }
    attributes
}
