//! Which subnets a load balancer stands in: a pure choice among those AWS describes.
//!
//! 1. Subnets the user named, in the user's order: all of them, or a mistake.
//! 2. Else those tagged for load balancers of this scheme (`kubernetes.io/role/elb`, `.../internal-elb`).
//! 3. Else, by reachability: those with a route to an internet gateway for internet-facing ones, the others for
//!    internal ones.
//!
//! DiscoveredSubnets ones are left out when they are tagged for other clusters only, have fewer than eight free
//! addresses, or lack the IPv6 range that dualstack needs; of each zone one is taken: this cluster's first, then
//! the lowest id. A load balancer that exists keeps its subnets, gains newly found zones and never loses one
//! unasked (the AWS Load Balancer Controller never adds: its issues #2930, #3157, #4008).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cloud_provider::{Mistake, Mistakes, Ordered};

use crate::client::{IpAddressType, RouteTable, Scheme, Subnet, Tags, Zone, ZoneKind};
use crate::naming::KUBERNETES_CLUSTER_TAG;
use crate::options::SubnetRef;
use crate::options::annotation::key;

/// The free addresses a Network Load Balancer needs in a subnet (*Create a Network Load Balancer*, ELB guide).
const FREE_ADDRESSES: u32 = 8;

/// What the choice is made by.
#[derive(Clone, Copy, Debug)]
pub struct Criteria<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// Where the load balancer is reachable from.
    pub scheme: Scheme,
    /// Address families of clients.
    pub ip_address_type: IpAddressType,
    /// The subnets the user named.
    pub named: Option<&'a [SubnetRef]>,
    /// Ids of the subnets the load balancer has now.
    pub present: &'a BTreeSet<String>,
}

/// Chooses among all subnets of the VPC. Named subnets keep their order, discovered ones are sorted by id.
///
/// # Errors
/// A mistake that says what is missing: a subnet that does not exist, a zone named twice, no subnet that suits.
pub fn choose(
    criteria: &Criteria<'_>,
    subnets: &[Subnet],
    route_tables: &[RouteTable],
) -> Result<Vec<Subnet>, Mistakes> {
    let chosen = match criteria.named {
        Some(named) => find_named(named, subnets)?,
        None => found(criteria, subnets, route_tables)?,
    };
    check(criteria, &chosen)?;
    Ok(chosen)
}

fn find_named(named: &[SubnetRef], subnets: &[Subnet]) -> Result<Vec<Subnet>, Mistakes> {
    let mut by_id: BTreeMap<&str, &Subnet> = subnets.iter().map(|s| (s.id.as_str(), s)).ordered();
    let mut found = Vec::new();
    let mut mistakes = Vec::new();
    for reference in named {
        // Several subnets may carry one name; they are used up in the order of their ids.
        let id = match reference {
            SubnetRef::Id(id) => Some(id.as_str()),
            SubnetRef::Name(name) => {
                let mut matching = by_id.values().filter(|s| s.tags.get("Name") == Some(name));
                matching.next().map(|subnet| subnet.id.as_str())
            }
        };
        match id.and_then(|id| by_id.remove(id)) {
            Some(subnet) => found.push(subnet.clone()),
            None => {
                mistakes.push(
                    Mistake::in_annotation(
                        key::SUBNETS,
                        reference.text(),
                        "is no subnet of the cluster's VPC",
                    )
                    .allowing("ids or Name tags of subnets in the cluster's VPC, each once")
                    .meanwhile("nothing is changed"),
                );
            }
        }
    }
    match Mistakes::new(mistakes) {
        Some(mistakes) => Err(mistakes),
        None => Ok(found),
    }
}

/// Whether any subnet is tagged for load balancers of this scheme, so that routes need not be looked at.
pub fn is_any_tagged(scheme: Scheme, subnets: &[Subnet]) -> bool {
    subnets.iter().any(|subnet| is_tagged(role_tag(scheme), subnet))
}

/// The tag of subnets for load balancers of this scheme; its value is `1` or empty.
pub fn role_tag(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Internal => "kubernetes.io/role/internal-elb",
        Scheme::InternetFacing => "kubernetes.io/role/elb",
    }
}

fn is_tagged(role: &str, subnet: &Subnet) -> bool {
    subnet.tags.get(role).is_some_and(|value| value == "1" || value.is_empty())
}

/// Why a subnet that could have been found is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is tagged for other clusters and not for this one.
    OtherClusters,
    /// It has only so many free addresses.
    TooFull(u32),
    /// It has no IPv6 range, which dualstack needs.
    WithoutIpv6,
    /// Another one of its zone is taken.
    SameZone(String),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherClusters => f.write_str("is tagged for other clusters only"),
            Self::TooFull(free) => {
                write!(f, "has {free} free addresses, and a load balancer needs {FREE_ADDRESSES}")
            }
            Self::WithoutIpv6 => f.write_str("has no IPv6 range"),
            Self::SameZone(other) => write!(f, "is in the same zone as {other}, and one a zone is taken"),
        }
    }
}

/// What discovery finds when a Service names no subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredSubnets {
    /// The subnets taken, one a zone, sorted by id.
    pub chosen: Vec<Subnet>,
    /// Those that could have been, with the reason, by id.
    pub left_out: BTreeMap<String, LeftOut>,
}

/// The subnets a load balancer can stand in unless they are named.
///
/// *Create a Network Load Balancer*, ELB guide: it stands in availability zones and, by name only, on Outposts.
pub fn discoverable(subnets: &[Subnet], zones: &[Zone]) -> Vec<Subnet> {
    let suits = |subnet: &&Subnet| {
        let zone = zones.iter().find(|zone| zone.name == subnet.zone);
        subnet.outpost_arn.is_none() && zone.is_none_or(|zone| zone.kind == ZoneKind::AvailabilityZone)
    };
    subnets.iter().filter(suits).cloned().collect()
}

/// Finds subnets by tag or by route, among the [`discoverable`] ones.
pub fn discover(
    criteria: &Criteria<'_>,
    subnets: &[Subnet],
    route_tables: &[RouteTable],
) -> DiscoveredSubnets {
    let role = role_tag(criteria.scheme);
    let mut candidates: Vec<&Subnet> = subnets.iter().filter(|s| is_tagged(role, s)).collect();
    if candidates.is_empty() {
        let wants_public = criteria.scheme == Scheme::InternetFacing;
        candidates = subnets.iter().filter(|s| is_public(s, route_tables) == wants_public).collect();
    }
    let mut left_out = BTreeMap::new();
    candidates.retain(|subnet| {
        let reason = reason_against(criteria, subnet).filter(|_| !criteria.present.contains(&subnet.id));
        reason.map(|reason| left_out.insert(subnet.id.clone(), reason)).is_none()
    });
    // What serves stays, whether it would be found today or not.
    let present = subnets.iter().filter(|s| criteria.present.contains(&s.id));
    let mut by_zone: BTreeMap<&str, &Subnet> = BTreeMap::new();
    candidates.sort_by_key(|s| (!is_for_cluster(criteria.cluster, &s.tags), s.id.as_str()));
    for subnet in present.chain(candidates) {
        let taken = *by_zone.entry(&subnet.zone).or_insert(subnet);
        if taken.id != subnet.id {
            left_out.insert(subnet.id.clone(), LeftOut::SameZone(taken.id.clone()));
        }
    }
    let mut chosen: Vec<Subnet> = by_zone.into_values().cloned().collect();
    chosen.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    DiscoveredSubnets { chosen, left_out }
}

fn found(
    criteria: &Criteria<'_>,
    subnets: &[Subnet],
    route_tables: &[RouteTable],
) -> Result<Vec<Subnet>, Mistakes> {
    let DiscoveredSubnets { chosen, left_out } = discover(criteria, subnets, route_tables);
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let count = |of: fn(&LeftOut) -> bool| left_out.values().filter(|reason| of(reason)).count();
    let problem = format!(
        "finds no subnet: of {} for {} load balancers, {} are tagged for other clusters, {} have fewer than \
         {FREE_ADDRESSES} free addresses, {} have no IPv6 range",
        left_out.len(),
        criteria.scheme,
        count(|reason| *reason == LeftOut::OtherClusters),
        count(|reason| matches!(reason, LeftOut::TooFull(_))),
        count(|reason| *reason == LeftOut::WithoutIpv6),
    );
    let role = role_tag(criteria.scheme);
    let mistake = Mistake::in_annotation(key::SUBNETS, "", problem)
        .allowing(format!("subnets named in the annotation, or tagged {role}=1 in the VPC"))
        .meanwhile("no load balancer is made");
    Err(mistake.into())
}

fn reason_against(criteria: &Criteria<'_>, subnet: &Subnet) -> Option<LeftOut> {
    let mut tagged_for = subnet.tags.keys().filter(|k| k.starts_with(KUBERNETES_CLUSTER_TAG)).peekable();
    if tagged_for.peek().is_some() && !is_for_cluster(criteria.cluster, &subnet.tags) {
        Some(LeftOut::OtherClusters)
    } else if subnet.available_ipv4 < FREE_ADDRESSES {
        Some(LeftOut::TooFull(subnet.available_ipv4))
    } else if criteria.ip_address_type == IpAddressType::DualStack && subnet.ipv6_cidrs.is_empty() {
        Some(LeftOut::WithoutIpv6)
    } else {
        None
    }
}

fn is_for_cluster(cluster: &str, tags: &Tags) -> bool {
    tags.contains_key(&format!("{KUBERNETES_CLUSTER_TAG}{cluster}"))
}

/// By its own route table, else by the VPC's main one.
fn is_public(subnet: &Subnet, route_tables: &[RouteTable]) -> bool {
    let own = route_tables.iter().find(|table| table.subnet_ids.contains(&subnet.id));
    own.or_else(|| route_tables.iter().find(|table| table.main)).is_some_and(RouteTable::is_public)
}

/// One subnet a zone, and an IPv6 range in each for dualstack, whoever chose them.
fn check(criteria: &Criteria<'_>, chosen: &[Subnet]) -> Result<(), Mistakes> {
    let mut mistakes = Vec::new();
    let mut zones: BTreeMap<&str, &str> = BTreeMap::new();
    // What is quoted is what the user wrote; named subnets are in the order of their names.
    let written = |number: usize| criteria.named.and_then(|named| named.get(number)).map(SubnetRef::text);
    let is = |subnet: &Subnet, text: &str, problem: &str| match text == subnet.id {
        true => problem.to_owned(),
        false => format!("is {}, which {problem}", subnet.id),
    };
    for (number, subnet) in chosen.iter().enumerate() {
        let other = zones.insert(&subnet.zone, &subnet.id);
        if let (Some(other), Some(text)) = (other, written(number)) {
            let problem = is(subnet, text, &format!("is in zone {}, as {other} is", subnet.zone));
            let mistake = Mistake::in_annotation(key::SUBNETS, text, problem).allowing("one subnet a zone");
            mistakes.push(mistake.meanwhile("nothing is changed"));
        }
        if criteria.ip_address_type == IpAddressType::DualStack && subnet.ipv6_cidrs.is_empty() {
            let mistake = match written(number) {
                Some(text) => {
                    let problem = is(subnet, text, "has no IPv6 range, which dualstack needs");
                    Mistake::in_annotation(key::SUBNETS, text, problem)
                }
                None => {
                    let problem = format!("needs an IPv6 range in {}, where the load balancer is", subnet.id);
                    Mistake::in_annotation(key::IP_ADDRESS_TYPE, "dualstack", problem)
                }
            };
            let allowed = "subnets with an IPv6 range, or ip-address-type ipv4";
            mistakes.push(mistake.allowing(allowed).meanwhile("nothing is changed"));
        }
    }
    Mistakes::new(mistakes).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
