//! How a load balancer moves from the subnets and addresses it has to those it should have. Pure.
//!
//! `SetSubnets` names all subnets, those that stay *with their existing configurations* (ELBv2 API reference): an
//! address of a subnet that stays cannot change, nor can the subnet of a zone. The zone has to go first and comes
//! back with what is wanted (ELB guide, *Update the Availability Zones*; the AWS Load Balancer Controller's issues
//! #4171 and #4172). So the load balancer moves zone by zone: new zones come first, at every step other zones serve,
//! zones that are no longer wanted go last. With one zone alone that cannot be.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{Change, Mistake, Ordered};

use crate::client::{
    IpAddressType, LoadBalancer as AwsLoadBalancer, SourceNatPrefix, SubnetMapping, ZoneAddress, ZoneMapping,
};
use crate::model::{LoadBalancer, LoadBalancerZone};
use crate::options::annotation::key;

/// One `SetSubnets` on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// All subnets after it.
    pub subnets: Vec<SubnetMapping>,
    /// Set along with the subnets, which alone can give them IPv6 addresses of one's choice.
    pub ip_address_type: Option<IpAddressType>,
    /// Whether zones go that are to come back.
    pub takes_zones_out: bool,
}

/// A zone that would have to go while no other one serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlyZone {
    /// What is wanted in it.
    pub wanted: SubnetMapping,
}

impl OnlyZone {
    /// In words for the user.
    pub fn mistake(&self) -> Mistake {
        let wanted = &self.wanted;
        let (key, value) = match wanted {
            SubnetMapping { allocation_id: Some(id), .. } => (key::EIP_ALLOCATIONS, id.clone()),
            SubnetMapping { private_ipv4: Some(ip), .. } => (key::PRIVATE_IPV4, ip.to_string()),
            SubnetMapping { ipv6: Some(ip), .. } => (key::IPV6, ip.to_string()),
            SubnetMapping { subnet_id, .. } => (key::SUBNETS, subnet_id.clone()),
        };
        let problem = "cannot be set in the only zone of a load balancer that exists: AWS changes subnet and address \
                       of a zone only by taking the zone out, and no other one would serve meanwhile";
        Mistake::in_annotation(key, value, problem)
            .allowing("what the load balancer has now, another zone beside it, or a new Service")
            .meanwhile("nothing is changed and the load balancer keeps serving")
    }
}

/// How subnets and addresses differ, if they do. What was applied and is not shown is taken to hold.
pub fn difference(wanted: &LoadBalancer, found: &AwsLoadBalancer, is_applied: bool) -> Option<Change> {
    let gone =
        found.zones.iter().any(|zone| !wanted.zones.iter().any(|w| w.mapping.subnet_id == zone.subnet_id));
    let differs = |zone: &LoadBalancerZone| match subnet(found, &zone.mapping.subnet_id) {
        Some(present) => !is_kept(wanted, found, &zone.mapping, present, is_applied),
        None => true,
    };
    let source_nat = wanted.ipv6_source_nat.is_some_and(|on| on != found.ipv6_source_nat);
    (gone || source_nat || wanted.zones.iter().any(differs))
        .then(|| Change::new("Subnets", told_of_existing(found), told(&wanted.zones)))
}

/// Subnets with the addresses chosen in them, for people: in the order of their zones.
pub fn told(zones: &[LoadBalancerZone]) -> String {
    in_order(zones.iter().map(|zone| (zone.name.as_str(), show(&zone.mapping))))
}

/// The same of a load balancer that exists.
pub fn told_of_existing(found: &AwsLoadBalancer) -> String {
    in_order(found.zones.iter().map(|zone| (zone.zone.as_str(), show(&existing(found, zone)))))
}

fn in_order<'z>(subnets: impl Iterator<Item = (&'z str, String)>) -> String {
    let sorted: BTreeSet<(&str, String)> = subnets.ordered();
    let shown: Vec<String> = sorted.into_iter().map(|(zone, subnet)| format!("{subnet} ({zone})")).collect();
    shown.join(", ")
}

/// The requests, in order; none when nothing differs.
///
/// # Errors
/// When a zone would have to go and no other one serves meanwhile.
pub fn moves(
    wanted: &LoadBalancer,
    found: &AwsLoadBalancer,
    is_applied: bool,
) -> Result<Vec<Move>, OnlyZone> {
    if difference(wanted, found, is_applied).is_none() {
        return Ok(Vec::new());
    }
    let ip_address_type = comes_with_subnets(wanted, found).then_some(wanted.ip_address_type);
    let step =
        |subnets: Vec<SubnetMapping>, takes_zones_out| Move { subnets, ip_address_type, takes_zones_out };
    let target: Vec<SubnetMapping> = wanted.zones.iter().map(|zone| completed(wanted, found, zone)).collect();
    let mut now: BTreeMap<&str, SubnetMapping> =
        found.zones.iter().map(|zone| (zone.zone.as_str(), existing(found, zone))).ordered();
    let mut unmoved: BTreeMap<&str, &SubnetMapping> = BTreeMap::new();
    let mut moves = Vec::new();
    let mut is_wider = false;
    for (zone, mapping) in wanted.zones.iter().zip(&target) {
        let present = found.zones.iter().find(|present| present.zone == zone.name);
        match present {
            None => is_wider = true,
            Some(present) if !has_addresses(wanted, found, &zone.mapping, present, is_applied) => {
                unmoved.insert(&zone.name, mapping);
                continue;
            }
            Some(_) => {}
        }
        now.insert(&zone.name, mapping.clone());
    }
    if is_wider && !unmoved.is_empty() {
        moves.push(step(now.values().cloned().collect(), false));
    }
    while let Some((zone, mapping)) = unmoved.first_key_value().map(|(zone, mapping)| (*zone, *mapping)) {
        let out = moved_together(zone, &unmoved, &now);
        now.retain(|zone, _| !out.contains(zone));
        if now.is_empty() {
            return Err(OnlyZone { wanted: mapping.clone() });
        }
        moves.push(step(now.values().cloned().collect(), true));
        for zone in out {
            if let Some(mapping) = unmoved.remove(zone) {
                now.insert(zone, mapping.clone());
            }
        }
        moves.push(step(now.values().cloned().collect(), false));
    }
    if moves.last().is_none_or(|last| !same_subnets(&last.subnets, &target)) {
        moves.push(step(target, false));
    }
    Ok(moves)
}

/// Whether the address families are set by the same request as the subnets.
pub fn comes_with_subnets(wanted: &LoadBalancer, found: &AwsLoadBalancer) -> bool {
    let asks =
        wanted.ipv6_source_nat == Some(true) || wanted.zones.iter().any(|zone| zone.mapping.ipv6.is_some());
    becomes_dualstack(wanted, found) && asks
}

fn becomes_dualstack(wanted: &LoadBalancer, found: &AwsLoadBalancer) -> bool {
    wanted.ip_address_type == IpAddressType::DualStack && found.ip_address_type != IpAddressType::DualStack
}

fn subnet<'a>(found: &'a AwsLoadBalancer, id: &str) -> Option<&'a ZoneMapping> {
    found.zones.iter().find(|zone| zone.subnet_id == id)
}

/// The zones that have to go at the same time: an Elastic IP is free only after the zone that has it has gone.
fn moved_together<'z>(
    zone: &'z str,
    unmoved: &BTreeMap<&'z str, &SubnetMapping>,
    now: &BTreeMap<&'z str, SubnetMapping>,
) -> BTreeSet<&'z str> {
    let mut out = BTreeSet::from([zone]);
    loop {
        let needed: BTreeSet<&String> =
            out.iter().filter_map(|zone| unmoved.get(zone)?.allocation_id.as_ref()).ordered();
        let holders =
            now.iter().filter(|(_, has)| has.allocation_id.as_ref().is_some_and(|id| needed.contains(id)));
        let more: Vec<&str> = holders.map(|(zone, _)| *zone).filter(|zone| !out.contains(zone)).collect();
        if more.is_empty() {
            return out;
        }
        out.extend(more);
    }
}

/// Whether a subnet is as it should be.
fn is_kept(
    wanted: &LoadBalancer,
    found: &AwsLoadBalancer,
    mapping: &SubnetMapping,
    present: &ZoneMapping,
    is_applied: bool,
) -> bool {
    let prefix = match mapping.source_nat_ipv6_prefix {
        Some(SourceNatPrefix::Prefix(prefix)) => present.source_nat_ipv6_prefixes.contains(&prefix),
        Some(SourceNatPrefix::AutoAssigned) | None => true,
    };
    let ipv6 = !becomes_dualstack(wanted, found) || mapping.ipv6.is_none();
    prefix && ipv6 && has_addresses(wanted, found, mapping, present, is_applied)
}

/// Whether a zone has the subnet and the addresses that are asked for; those that nobody asks for are left as they
/// are. IPv6 addresses that AWS does not show are taken to be right, others only once they were applied.
fn has_addresses(
    wanted: &LoadBalancer,
    found: &AwsLoadBalancer,
    mapping: &SubnetMapping,
    present: &ZoneMapping,
    is_applied: bool,
) -> bool {
    mapping.subnet_id == present.subnet_id
        && holds(mapping.allocation_id.as_ref(), present, |a| a.allocation_id.as_ref(), is_applied)
        && holds(mapping.private_ipv4.as_ref(), present, |a| a.private_ipv4.as_ref(), is_applied)
        && (becomes_dualstack(wanted, found)
            || holds(mapping.ipv6.as_ref(), present, |a| a.ipv6.as_ref(), true))
}

fn holds<T: PartialEq>(
    wanted: Option<&T>,
    present: &ZoneMapping,
    shown: impl Fn(&ZoneAddress) -> Option<&T>,
    unless_shown: bool,
) -> bool {
    let Some(wanted) = wanted else { return true };
    let mut all = present.addresses.iter().filter_map(shown).peekable();
    match all.peek() {
        Some(_) => all.any(|address| address == wanted),
        None => unless_shown,
    }
}

/// A subnet with its existing configuration.
fn existing(found: &AwsLoadBalancer, zone: &ZoneMapping) -> SubnetMapping {
    let address = zone.addresses.first();
    SubnetMapping {
        subnet_id: zone.subnet_id.clone(),
        allocation_id: address.and_then(|address| address.allocation_id.clone()),
        private_ipv4: address.and_then(|address| address.private_ipv4),
        ipv6: address.and_then(|address| address.ipv6),
        source_nat_ipv6_prefix: zone
            .source_nat_ipv6_prefixes
            .first()
            .filter(|_| found.ipv6_source_nat)
            .copied()
            .map(SourceNatPrefix::Prefix),
    }
}

/// What is asked for, and where nobody asks what is there.
fn completed(wanted: &LoadBalancer, found: &AwsLoadBalancer, zone: &LoadBalancerZone) -> SubnetMapping {
    let mut mapping = zone.mapping.clone();
    if let Some(present) = subnet(found, &mapping.subnet_id) {
        let existing = existing(found, present);
        mapping.allocation_id = mapping.allocation_id.or(existing.allocation_id);
        mapping.private_ipv4 = mapping.private_ipv4.or(existing.private_ipv4);
        mapping.ipv6 = mapping.ipv6.or(existing.ipv6);
        if wanted.ipv6_source_nat.unwrap_or(found.ipv6_source_nat) {
            mapping.source_nat_ipv6_prefix =
                mapping.source_nat_ipv6_prefix.or(existing.source_nat_ipv6_prefix);
        }
    }
    mapping
}

fn same_subnets(one: &[SubnetMapping], other: &[SubnetMapping]) -> bool {
    one.len() == other.len() && one.iter().all(|mapping| other.contains(mapping))
}

fn show(mapping: &SubnetMapping) -> String {
    let addresses = [
        mapping.allocation_id.clone(),
        mapping.private_ipv4.map(|ip| ip.to_string()),
        mapping.ipv6.map(|ip| ip.to_string()),
    ];
    std::iter::once(mapping.subnet_id.clone())
        .chain(addresses.into_iter().flatten())
        .collect::<Vec<_>>()
        .join(" ")
}
