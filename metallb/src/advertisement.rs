//! Advertisements, validated once: after that nothing in them can be wrong.

use std::collections::BTreeSet;

use cloud_provider::{IpFamily, Mistake, NodeView};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::community::{self, CommunityValue};
use crate::crd::{BGPAdvertisementSpec, L2AdvertisementSpec};
use crate::number::Numbers;
use crate::per_family::PerFamily;
use crate::pool::Pool;
use crate::selector::{AnyOf, Selector};
use crate::written::{ObjectKey, Written};

/// How many communities a route may have: MetalLB takes no more.
const MAX_COMMUNITIES: usize = 63;

/// Which pools are meant: those named, and those with the labels. All, if nothing is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolChoice {
    /// Names; not every one need be that of a pool.
    pub names: BTreeSet<String>,
    /// Labels.
    pub labels: AnyOf,
}

impl PoolChoice {
    fn parse(names: &[String], selectors: &[LabelSelector], mistakes: &mut Vec<Mistake>) -> Self {
        PoolChoice {
            names: each_once("spec.ipAddressPools", names, "the name of each IPAddressPool once", mistakes),
            labels: AnyOf::parse("spec.ipAddressPoolSelectors", selectors, mistakes),
        }
    }

    /// Whether a pool is meant.
    pub fn includes(&self, pool: &Pool) -> bool {
        let all = self.names.is_empty() && self.labels.is_empty();
        all || self.names.contains(&pool.name) || self.labels.is_fitted_by(&pool.labels)
    }
}

/// How much some nodes are preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// 1 to 100.
    pub weight: u8,
    /// Which nodes.
    pub nodes: Selector,
}

/// An advertisement on the local network, without mistakes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layer2 {
    /// Which object it is.
    pub key: ObjectKey,
    /// See [`Written::created`].
    pub created: Option<i64>,
    /// Whose addresses.
    pub pools: PoolChoice,
    /// Which nodes may answer.
    pub nodes: AnyOf,
    /// For which Services.
    pub services: AnyOf,
    /// On which interfaces; empty: on all.
    pub interfaces: BTreeSet<String>,
    /// Nodes that are preferred.
    pub preferences: Vec<Preference>,
}

impl Layer2 {
    /// Checks a definition.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(definition: &Written<L2AdvertisementSpec>) -> Result<Self, Vec<Mistake>> {
        let spec = definition.spec.as_ref().map_err(|mistake| vec![mistake.clone()])?;
        let mut numbers = Numbers::default();
        let mut preferences = Vec::with_capacity(spec.preferred_node_selectors.len());
        for (i, preferred) in spec.preferred_node_selectors.iter().enumerate() {
            let field = |name: &str| format!("spec.preferredNodeSelectors[{i}].{name}");
            let weight = numbers.within(&field("weight"), preferred.weight, 1, 100);
            match Selector::parse(&preferred.preference) {
                Ok(nodes) => preferences.push(Preference { weight, nodes }),
                Err(problems) => {
                    let value = serde_json::to_string(&preferred.preference).unwrap_or_default();
                    let wrong = |problem| {
                        Mistake::new(field("preference"), &*value, problem).allowing("a label selector")
                    };
                    numbers.mistakes.extend(problems.into_iter().map(wrong));
                }
            }
        }
        let mistakes = &mut numbers.mistakes;
        let advertisement = Layer2 {
            key: definition.key(),
            created: definition.created,
            pools: PoolChoice::parse(&spec.ip_address_pools, &spec.ip_address_pool_selectors, mistakes),
            nodes: AnyOf::parse("spec.nodeSelectors", &spec.node_selectors, mistakes),
            services: AnyOf::parse("spec.serviceSelectors", &spec.service_selectors, mistakes),
            interfaces: each_once(
                "spec.interfaces",
                &spec.interfaces,
                "the name of each interface once",
                mistakes,
            ),
            preferences,
        };
        numbers.unless_wrong(advertisement)
    }

    /// How much a node is preferred: the sum of all that fits.
    pub fn preference(&self, node: &NodeView) -> u32 {
        self.preferences.iter().filter(|it| it.nodes.matches(node)).map(|it| u32::from(it.weight)).sum()
    }
}

/// An advertisement to routers, without mistakes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bgp {
    /// Which object it is.
    pub key: ObjectKey,
    /// See [`Written::created`].
    pub created: Option<i64>,
    /// Whose addresses.
    pub pools: PoolChoice,
    /// Which nodes advertise.
    pub nodes: AnyOf,
    /// For which Services.
    pub services: AnyOf,
    /// How many bits of an address are advertised.
    pub aggregation_length: PerFamily<u8>,
    /// LOCAL_PREF; none: it is not sent.
    pub local_pref: Option<u32>,
    /// Communities of the routes.
    pub communities: BTreeSet<CommunityValue>,
    /// To which peers, by name; empty: to all. Not every name need be that of a peer.
    pub peers: BTreeSet<String>,
}

impl Bgp {
    /// Checks a definition. `alias` finds a community by the name that a `Community` gives it.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(
        definition: &Written<BGPAdvertisementSpec>,
        alias: impl Fn(&str) -> Option<CommunityValue>,
    ) -> Result<Self, Vec<Mistake>> {
        let spec = definition.spec.as_ref().map_err(|mistake| vec![mistake.clone()])?;
        let mut numbers = Numbers::default();
        let aggregation_length = PerFamily::each(|family| match family {
            IpFamily::V4 => numbers.within("spec.aggregationLength", spec.aggregation_length, 1, 32),
            IpFamily::V6 => numbers.within("spec.aggregationLengthV6", spec.aggregation_length_v6, 1, 128),
        });
        // 0 is what MetalLB has where nothing was written.
        let local_pref = numbers.within("spec.localPref", spec.local_pref.unwrap_or(0), 0, u32::MAX);
        let mistakes = &mut numbers.mistakes;
        let services = AnyOf::parse("spec.serviceSelectors", &spec.service_selectors, mistakes);
        if !services.is_empty() && (spec.aggregation_length, spec.aggregation_length_v6) != (32, 128) {
            let value = format!("{}, {}", spec.aggregation_length, spec.aggregation_length_v6);
            let field = "spec.aggregationLength, spec.aggregationLengthV6";
            let problem =
                "cannot be chosen together with serviceSelectors: a prefix holds addresses of other Services";
            mistakes.push(Mistake::new(field, value, problem).allowing("32 and 128, or no serviceSelectors"));
        }
        let advertisement = Bgp {
            key: definition.key(),
            created: definition.created,
            pools: PoolChoice::parse(&spec.ip_address_pools, &spec.ip_address_pool_selectors, mistakes),
            nodes: AnyOf::parse("spec.nodeSelectors", &spec.node_selectors, mistakes),
            services,
            aggregation_length,
            local_pref: (local_pref > 0).then_some(local_pref),
            communities: communities(&spec.communities, alias, mistakes),
            peers: each_once("spec.peers", &spec.peers, "the name of each BGPPeer once", mistakes),
        };
        numbers.unless_wrong(advertisement)
    }
}

fn communities(
    written: &[String],
    alias: impl Fn(&str) -> Option<CommunityValue>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeSet<CommunityValue> {
    let field = "spec.communities";
    let written = each_once(field, written, "each community once", mistakes);
    if written.len() > MAX_COMMUNITIES {
        let mistake = Mistake::new(field, format!("{} communities", written.len()), "are too many");
        mistakes.push(mistake.allowing(format!("at most {MAX_COMMUNITIES}")));
    }
    let mut communities = BTreeSet::new();
    for text in written {
        match text.parse().ok().or_else(|| alias(&text)) {
            Some(community) => {
                communities.insert(community);
            }
            None => {
                let mistake = Mistake::new(field, text, "is no community, and no Community has it as a name");
                mistakes.push(mistake.allowing(format!("{}, or a name from a Community", community::SYNTAX)));
            }
        }
    }
    communities
}

/// A list in which nothing may stand twice, nor be empty.
fn each_once(
    field: &str,
    written: &[String],
    allowed: &str,
    mistakes: &mut Vec<Mistake>,
) -> BTreeSet<String> {
    let mut read = BTreeSet::new();
    for (i, entry) in written.iter().enumerate() {
        let problem = match entry.as_str() {
            "" => "is empty",
            _ if !read.insert(entry.clone()) => "is listed twice",
            _ => continue,
        };
        mistakes.push(Mistake::new(format!("{field}[{i}]"), entry, problem).allowing(allowed));
    }
    read
}
