//! On the local network: which nodes may answer for an address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{NodeView, ServiceKey};
use metallb::advertisement::Layer2;

use super::nodes;
use super::offer::{Offer, offers};
use super::refusal::Refusal;
use super::view::{ServingNodes, View};

/// On which interfaces a node may answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interfaces {
    /// On all.
    All,
    /// On those of these names, where the node has them.
    Named(BTreeSet<String>),
}

impl Interfaces {
    /// Whether the node may answer on the interface of this name.
    pub fn include(&self, name: &str) -> bool {
        match self {
            Interfaces::All => true,
            Interfaces::Named(names) => names.contains(name),
        }
    }

    /// Where one of both may be answered.
    pub fn and(self, other: Interfaces) -> Self {
        match (self, other) {
            (Interfaces::Named(mut names), Interfaces::Named(others)) => {
                names.extend(others);
                Interfaces::Named(names)
            }
            (Interfaces::All, _) | (_, Interfaces::All) => Interfaces::All,
        }
    }
}

/// A node that may answer for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// How much it is preferred: the sum of the weights of all that fits; 0 without preferences.
    pub score: u32,
    /// Where it may answer.
    pub interfaces: Interfaces,
}

/// What each node may do for an address. Addresses for which that is the same share it.
pub type ByNode = BTreeMap<Arc<str>, Result<Candidate, Refusal>>;

/// One address on the local network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Announcement {
    /// The Services that publish it.
    pub services: BTreeSet<ServiceKey>,
    /// Every node, and why it may not answer if it may not; or why nobody may.
    pub nodes: Result<Arc<ByNode>, Refusal>,
    /// Whether no node can serve all Services that have the address. Then those may answer that can serve one of them.
    pub torn: bool,
}

impl Announcement {
    /// The nodes that may answer.
    pub fn candidates(&self) -> impl Iterator<Item = (&Arc<str>, &Candidate)> {
        let nodes = self.nodes.as_ref().into_iter().flat_map(|nodes| nodes.iter());
        nodes.filter_map(|(name, candidate)| Some((name, candidate.as_ref().ok()?)))
    }

    /// What a node may do, or why it may not answer.
    ///
    /// # Errors
    /// The reason for which this node, or every node, may not.
    pub fn on(&self, node: &str) -> Result<&Candidate, Refusal> {
        let nodes = self.nodes.as_ref().map_err(Clone::clone)?;
        match nodes.get(node) {
            Some(candidate) => candidate.as_ref().map_err(Clone::clone),
            None => Err(Refusal::NoSuchNode { node: node.into() }),
        }
    }
}

/// The addresses that are published, and who may answer for each on the local network.
pub fn layer2(view: &View) -> BTreeMap<IpAddr, Announcement> {
    let mut table = Table::of(view);
    offers(view).into_iter().map(|(ip, offers)| (ip, table.announcement(ip, &offers))).collect()
}

/// What is the same for many addresses, found out once.
struct Table<'a> {
    view: &'a View,
    advertisements: Vec<&'a Arc<Layer2>>,
    nodes: Vec<(&'a Arc<str>, &'a NodeView, Option<Refusal>)>,
    /// Of each advertisement, what it makes of each node; nothing if it does not take it.
    taken: Vec<Vec<Option<Candidate>>>,
    known: HashMap<(Vec<usize>, Option<&'a ServingNodes>), Arc<ByNode>>,
}

impl<'a> Table<'a> {
    fn of(view: &'a View) -> Self {
        let advertisements = view.announcing.layer2();
        let nodes = nodes::all(view);
        let candidate = |advertisement: &Layer2, node: &NodeView| {
            let interfaces = match advertisement.interfaces.is_empty() {
                true => Interfaces::All,
                false => Interfaces::Named(advertisement.interfaces.clone()),
            };
            let taken = advertisement.nodes.matches(node);
            taken.then(|| Candidate { score: advertisement.preference(node), interfaces })
        };
        let taken = advertisements
            .iter()
            .map(|advertisement| nodes.iter().map(|(_, node, _)| candidate(advertisement, node)).collect())
            .collect();
        Table { view, advertisements, nodes, taken, known: HashMap::new() }
    }

    fn announcement(&mut self, ip: IpAddr, offers: &[Offer<'a>]) -> Announcement {
        let services = offers.iter().map(|offer| offer.key().clone()).collect();
        let mut refused = None;
        let mut of_services = Vec::with_capacity(offers.len());
        for offer in offers {
            match self.of_service(ip, offer) {
                Ok(nodes) => of_services.push((offer.key(), nodes)),
                Err(reason) => {
                    refused.get_or_insert(reason);
                }
            }
        }
        // A Service that no node can serve has no say in who answers for the others.
        if of_services.iter().any(|(_, nodes)| nodes.values().any(Result::is_ok)) {
            of_services.retain(|(_, nodes)| nodes.values().any(Result::is_ok));
        }
        let mut of_services = of_services.into_iter();
        let (nodes, torn) = match (of_services.next(), refused) {
            (None, reason) => (Err(reason.unwrap_or(Refusal::NoEndpoints)), false),
            (Some((_, nodes)), _) if of_services.len() == 0 => (Ok(nodes), false),
            (Some(first), _) => {
                let (nodes, torn) = together(&[first].into_iter().chain(of_services).collect::<Vec<_>>());
                (Ok(Arc::new(nodes)), torn)
            }
        };
        Announcement { services, nodes, torn }
    }

    /// What each node may do for one Service's address.
    fn of_service(&mut self, ip: IpAddr, offer: &Offer<'a>) -> Result<Arc<ByNode>, Refusal> {
        let pool = self.view.pools.owner(ip).ok_or(Refusal::NoPool)?;
        let of_pool = || {
            let all = self.advertisements.iter().enumerate();
            all.filter(|(_, advertisement)| advertisement.pools.includes(pool))
        };
        let matching: Vec<usize> = of_pool()
            .filter(|(_, advertisement)| advertisement.services.matches(&offer.service.labels))
            .map(|(i, _)| i)
            .collect();
        if matching.is_empty() {
            let pool = pool.name.clone();
            return Err(match of_pool().next() {
                None => Refusal::NoAdvertisement { pool },
                Some(_) => Refusal::ServiceNotSelected { pool },
            });
        }
        // MetalLB's rule. Its speakers choose by Service; the same set of nodes for all that share is what saves them from
        // two that answer.
        let chooses = |i: &&usize| !self.advertisements[**i].services.is_empty();
        if let Some(i) = matching.iter().find(chooses).filter(|_| offer.may_share()) {
            let advertisement = self.advertisements[*i].key.clone();
            return Err(Refusal::SharedWithServiceSelectors { advertisement });
        }
        offer.refused().map_or(Ok(()), Err)?;
        let (nodes, taken) = (&self.nodes, &self.taken);
        let known = self.known.entry((matching, offer.only_on()));
        let by_node = known.or_insert_with_key(|(matching, only_on)| {
            let by_node = nodes.iter().enumerate().map(|(n, (name, _, refused))| {
                let taken = matching.iter().filter_map(|i| taken[*i][n].clone());
                let candidate = taken.reduce(|a, b| Candidate {
                    score: a.score + b.score,
                    interfaces: a.interfaces.and(b.interfaces),
                });
                let verdict = match (candidate, refused, only_on) {
                    (None, ..) => Err(Refusal::NodeNotSelected),
                    (_, Some(reason), _) => Err(reason.clone()),
                    (_, _, Some(serving)) if !serving.nodes.contains(&**name) => {
                        Err(Refusal::NoLocalEndpoints)
                    }
                    (Some(candidate), ..) => Ok(candidate),
                };
                (Arc::clone(name), verdict)
            });
            Arc::new(by_node.collect())
        });
        Ok(by_node.clone())
    }
}

/// One address has one owner, so of several Services each has a say: a node must be able to serve all of them. Where none
/// can, those may answer that can serve one.
fn together(of_services: &[(&ServiceKey, Arc<ByNode>)]) -> (ByNode, bool) {
    let Some((_, first)) = of_services.first() else { return (ByNode::new(), false) };
    let all_of = |node: &Arc<str>| {
        let mut verdicts =
            of_services.iter().filter_map(|(service, nodes)| Some((service, nodes.get(node)?)));
        let refused = verdicts.find_map(|(service, verdict)| Some((service, verdict.as_ref().err()?)));
        refused.map_or(Ok(()), Err)
    };
    let torn = !first.keys().any(|node| all_of(node).is_ok());
    let nodes = first.keys().map(|node| {
        let able = of_services.iter().filter_map(|(_, nodes)| nodes.get(node)?.as_ref().ok().cloned());
        let candidate = able.reduce(|a, b| Candidate {
            score: a.score.max(b.score),
            interfaces: a.interfaces.and(b.interfaces),
        });
        let verdict = match (candidate, all_of(node)) {
            (Some(candidate), Ok(())) => Ok(candidate),
            (Some(candidate), Err(_)) if torn => Ok(candidate),
            (Some(_), Err((service, _))) => Err(Refusal::NotForAll { service: (*service).clone() }),
            (None, Err((_, reason))) => Err(reason.clone()),
            // What nobody refused, everybody can.
            (None, Ok(())) => Err(Refusal::NodeNotSelected),
        };
        (node.clone(), verdict)
    });
    (nodes.collect(), torn)
}
