//! All that is said about announcing together: which advertisements and peers are in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud_provider::{Mistake, Mistakes, NodeView};

use crate::advertisement::{Bgp, Layer2, PoolChoice};
use crate::bfd_profile::BfdProfile;
use crate::community::{self, CommunityValue};
use crate::crd::{BFDProfileSpec, BGPAdvertisementSpec, BGPPeerSpec, CommunitySpec, L2AdvertisementSpec};
use crate::peer::Peer;
use crate::pools::Pools;
use crate::selector::AnyOf;
use crate::written::{ObjectKey, ObjectMistakes, ResourceSpec, Written};

/// All definitions that say something about announcing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Advertisements on the local network.
    pub layer2: Vec<Written<L2AdvertisementSpec>>,
    /// Advertisements to routers.
    pub bgp: Vec<Written<BGPAdvertisementSpec>>,
    /// Routers.
    pub peers: Vec<Written<BGPPeerSpec>>,
    /// How routers are watched.
    pub bfd_profiles: Vec<Written<BFDProfileSpec>>,
    /// Names of communities.
    pub communities: Vec<Written<CommunitySpec>>,
}

type InForce<T> = BTreeMap<ObjectKey, Arc<T>>;

/// What is in force about announcing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announcing {
    layer2: InForce<Layer2>,
    bgp: InForce<Bgp>,
    peers: InForce<Peer>,
    bfd_profiles: InForce<BfdProfile>,
    communities: InForce<BTreeMap<String, CommunityValue>>,
}

impl Announcing {
    /// Checks definitions without any history; see [`Announcing::update`].
    pub fn parse(definitions: &Definitions) -> (Self, Vec<ObjectMistakes>) {
        Announcing::default().update(definitions)
    }

    /// What is in force after the definitions became these, and what is wrong with the others.
    ///
    /// Each object is judged by itself. One with a mistake is left out; if an earlier version of it was in force, that
    /// version stays in force. Objects are named by their name alone: where two namespaces have the same, the older one
    /// (by creation, then namespace) is taken. What a peer or an advertisement refers to, a profile or the name of a
    /// community, must be there: a route without its community may go where it never should.
    pub fn update(&self, definitions: &Definitions) -> (Self, Vec<ObjectMistakes>) {
        let mut report = Vec::new();
        let communities = settle(
            &definitions.communities,
            &self.communities,
            names_of_communities,
            "none of its names is known",
            &mut report,
        );
        let bfd_profiles = settle(
            &definitions.bfd_profiles,
            &self.bfd_profiles,
            BfdProfile::parse,
            "no peer can be watched by it",
            &mut report,
        );
        let profile = |name: &str| by_name(&bfd_profiles, name).cloned();
        let peers = settle(
            &definitions.peers,
            &self.peers,
            |definition| Peer::parse(definition, profile),
            "there is no session with it",
            &mut report,
        );
        let mut aliases: BTreeMap<&str, CommunityValue> = BTreeMap::new();
        for definition in by_age(&definitions.communities) {
            for (name, community) in
                communities.get(&definition.key()).into_iter().flat_map(|names| names.iter())
            {
                if *aliases.entry(name).or_insert(*community) != *community {
                    let mistake =
                        Mistake::new("spec.communities", name, "has another value in an older Community")
                            .allowing("each name once over all objects")
                            .meanwhile("the older one counts");
                    report.push(found(definition, mistake.into()));
                }
            }
        }
        let layer2 = settle(
            &definitions.layer2,
            &self.layer2,
            Layer2::parse,
            "nothing is announced by it",
            &mut report,
        );
        let bgp = settle(
            &definitions.bgp,
            &self.bgp,
            |definition| Bgp::parse(definition, |name| aliases.get(name).copied()),
            "nothing is advertised by it",
            &mut report,
        );
        report.sort_by(|a, b| (a.kind, &a.object).cmp(&(b.kind, &b.object)));
        (Announcing { layer2, bgp, peers, bfd_profiles, communities }, report)
    }

    /// The advertisements on the local network, oldest first.
    pub fn layer2(&self) -> Vec<&Arc<Layer2>> {
        let mut advertisements: Vec<_> = self.layer2.values().collect();
        advertisements.sort_unstable_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        advertisements
    }

    /// The advertisements to routers, oldest first.
    pub fn bgp(&self) -> Vec<&Arc<Bgp>> {
        let mut advertisements: Vec<_> = self.bgp.values().collect();
        advertisements.sort_unstable_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        advertisements
    }

    /// The routers, by name.
    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.values()
    }

    /// What means nothing at present: names of pools and peers that are not in force, and selectors that fit no pool or no
    /// node. They harm nobody: the rest of each object works. Where no node is known, nothing is said of nodes.
    pub fn loose_ends(&self, pools: &Pools, nodes: &[&NodeView]) -> Vec<ObjectMistakes> {
        let layer2 = self.layer2.values().map(|it| {
            let mistakes = [idle_pools(&it.pools, pools), idle_nodes(&it.nodes, nodes)].concat();
            ((L2AdvertisementSpec::KIND, L2AdvertisementSpec::VERSION), &it.key, mistakes)
        });
        let bgp = self.bgp.values().map(|it| {
            let peers = it.peers.iter().filter_map(|name| self.no_such_peer(name)).collect();
            let mistakes = [idle_pools(&it.pools, pools), idle_nodes(&it.nodes, nodes), peers].concat();
            ((BGPAdvertisementSpec::KIND, BGPAdvertisementSpec::VERSION), &it.key, mistakes)
        });
        let peers = self
            .peers
            .values()
            .map(|it| ((BGPPeerSpec::KIND, BGPPeerSpec::VERSION), &it.key, idle_nodes(&it.nodes, nodes)));
        let told = layer2.chain(bgp).chain(peers).filter_map(|((kind, version), object, mistakes)| {
            Some(ObjectMistakes { kind, version, object: object.clone(), mistakes: Mistakes::new(mistakes)? })
        });
        told.collect()
    }

    fn no_such_peer(&self, name: &str) -> Option<Mistake> {
        by_name(&self.peers, name).is_none().then(|| {
            let mistake = Mistake::new("spec.peers", name, "is the name of no BGPPeer in force");
            mistake.allowing("names of BGPPeers").meanwhile("it stands for no peer")
        })
    }
}

/// What a choice of pools names that is not there.
fn idle_pools(choice: &PoolChoice, pools: &Pools) -> Vec<Mistake> {
    let selectors = choice.labels.idle(pools.iter().map(|pool| &pool.labels)).map(|(i, selector)| {
        let field = format!("spec.ipAddressPoolSelectors[{i}]");
        Mistake::new(field, selector.to_string(), "fits no IPAddressPool in force")
            .allowing("labels of IPAddressPools")
            .meanwhile("it stands for no address")
    });
    choice.names.iter().filter_map(|name| no_such_pool(name, pools)).chain(selectors).collect()
}

fn idle_nodes(selectors: &AnyOf, nodes: &[&NodeView]) -> Vec<Mistake> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let idle = selectors.idle(nodes.iter().copied()).map(|(i, selector)| {
        Mistake::new(format!("spec.nodeSelectors[{i}]"), selector.to_string(), "fits no Node")
            .allowing("labels of Nodes")
            .meanwhile("it stands for no node")
    });
    idle.collect()
}

fn no_such_pool(name: &str, pools: &Pools) -> Option<Mistake> {
    pools.get(name).is_none().then(|| {
        Mistake::new("spec.ipAddressPools", name, "is the name of no IPAddressPool in force")
            .allowing("names of IPAddressPools")
            .meanwhile("it stands for no address")
    })
}

fn by_name<'a, T>(in_force: &'a InForce<T>, name: &str) -> Option<&'a Arc<T>> {
    in_force.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

/// Oldest first.
fn by_age<S>(definitions: &[Written<S>]) -> Vec<&Written<S>> {
    let mut sorted: Vec<_> = definitions.iter().collect();
    sorted
        .sort_unstable_by(|a, b| (a.created, &a.name, &a.namespace).cmp(&(b.created, &b.name, &b.namespace)));
    sorted
}

fn found<S: ResourceSpec>(definition: &Written<S>, mistakes: Mistakes) -> ObjectMistakes {
    ObjectMistakes { kind: S::KIND, version: S::VERSION, object: definition.key(), mistakes }
}

/// The definitions that are right, and the last good version of those that are not.
fn settle<S: ResourceSpec, T>(
    definitions: &[Written<S>],
    earlier: &InForce<T>,
    parse: impl Fn(&Written<S>) -> Result<T, Vec<Mistake>>,
    while_left_out: &str,
    report: &mut Vec<ObjectMistakes>,
) -> InForce<T> {
    let mut settled = InForce::new();
    for definition in by_age(definitions) {
        let key = definition.key();
        let namesake = settled.keys().find(|other: &&ObjectKey| other.name == key.name);
        let parsed = match namesake {
            Some(other) => {
                let problem =
                    format!("is the name of a {} in namespace {:?} already", S::KIND, other.namespace);
                Err(vec![Mistake::new("metadata.name", &key.name, problem).allowing("a name of its own")])
            }
            None => parse(definition),
        };
        let earlier = earlier.get(&key).filter(|_| namesake.is_none());
        match parsed {
            Ok(value) => {
                settled.insert(key, Arc::new(value));
            }
            Err(mistakes) => {
                let until_then = match earlier {
                    Some(_) => "its last good version stays in force",
                    None => while_left_out,
                };
                let mistakes = mistakes.into_iter().map(|mistake| mistake.meanwhile(until_then)).collect();
                report.extend(Mistakes::new(mistakes).map(|mistakes| found(definition, mistakes)));
                settled.extend(earlier.map(|value| (key, value.clone())));
            }
        }
    }
    settled
}

fn names_of_communities(
    definition: &Written<CommunitySpec>,
) -> Result<BTreeMap<String, CommunityValue>, Vec<Mistake>> {
    let spec = definition.spec.as_ref().map_err(|mistake| vec![mistake.clone()])?;
    let mut names = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (i, alias) in spec.communities.iter().enumerate() {
        let field = |name: &str| format!("spec.communities[{i}].{name}");
        let name = alias.name.clone().unwrap_or_default();
        let value = alias.value.clone().unwrap_or_default();
        if name.is_empty() || names.contains_key(&name) {
            let problem = if name.is_empty() { "is empty" } else { "is there twice" };
            mistakes.push(
                Mistake::new(field("name"), &*name, problem).allowing("each name once over all objects"),
            );
        }
        match value.parse() {
            Ok(community) => {
                names.insert(name, community);
            }
            Err(problem) => {
                let problem: community::NoCommunity = problem;
                let mistake = Mistake::new(field("value"), value, problem.to_string());
                mistakes.push(mistake.allowing(community::SYNTAX));
            }
        }
    }
    if mistakes.is_empty() { Ok(names) } else { Err(mistakes) }
}
