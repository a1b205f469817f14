//! Where a load balancer may stand: subnets, zones, addresses.

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::{
    super::{
        IpAddressType, Scheme, SourceNatPrefix, Subnet, SubnetMapping, ZoneAddress, ZoneKind, ZoneMapping,
    },
    account::AccountState,
    refusal::{Answered, refuse},
    rules::{IMPOSSIBLE, MALFORMED},
};

/// Free addresses a Network Load Balancer wants in a subnet.
const FREE_ADDRESSES: u32 = 8;

/// What placing depends on besides the subnets.
pub(super) struct Placing<'a> {
    pub(super) scheme: Scheme,
    pub(super) ip_address_type: IpAddressType,
    pub(super) source_nat: bool,
    /// The load balancer that is there already, whose addresses are its own.
    pub(super) owner: Option<&'a str>,
}

impl AccountState {
    /// Checks subnets and addresses; returns the VPC and the zones with their addresses.
    pub(super) fn place(
        &self,
        mappings: &[SubnetMapping],
        placing: &Placing<'_>,
    ) -> Answered<(String, Vec<ZoneMapping>)> {
        if mappings.is_empty() {
            return refuse(MALFORMED, "At least one subnet must be specified");
        }
        if placing.source_nat && placing.ip_address_type != IpAddressType::DualStack {
            return refuse(IMPOSSIBLE, "IPv6 source NAT needs a dualstack load balancer");
        }
        let mut vpcs = BTreeSet::new();
        let mut zones_taken = BTreeSet::new();
        let mut zones = Vec::new();
        for mapping in mappings {
            let Some(subnet) = self.subnets.get(&mapping.subnet_id) else {
                return refuse(
                    "SubnetNotFound",
                    format!("The subnet ID '{}' does not exist", mapping.subnet_id),
                );
            };
            vpcs.insert(subnet.vpc_id.clone());
            if vpcs.len() > 1 {
                return refuse(IMPOSSIBLE, "The subnets belong to different VPCs");
            }
            if !zones_taken.insert(subnet.zone.clone()) {
                let message = format!("A load balancer cannot have two subnets in zone {}", subnet.zone);
                return refuse(IMPOSSIBLE, message);
            }
            self.subnet_fits(subnet, placing)?;
            zones.push(self.zone_mapping(mapping, subnet, placing)?);
        }
        zones.sort_by(|a, b| a.subnet_id.cmp(&b.subnet_id));
        let vpc = vpcs.pop_first().expect("at least one subnet");
        Ok((vpc, zones))
    }

    /// Whether a load balancer of this sort may use the subnet.
    pub(super) fn subnet_fits(&self, subnet: &Subnet, placing: &Placing<'_>) -> Answered<()> {
        let id = &subnet.id;
        let in_ordinary_zone =
            self.zones.get(&subnet.zone).is_some_and(|zone| zone.kind == ZoneKind::AvailabilityZone);
        if !in_ordinary_zone {
            let message = format!("Network load balancers are not supported in {}", subnet.zone);
            return refuse("AvailabilityZoneNotSupported", message);
        }
        let already_there = placing
            .owner
            .and_then(|arn| self.load_balancers.get(arn))
            .is_some_and(|record| record.lb.zones.iter().any(|zone| zone.subnet_id == *id));
        if subnet.available_ipv4 < FREE_ADDRESSES && !already_there {
            return refuse("InvalidSubnet", format!("Not enough IP space available in {id}"));
        }
        if placing.scheme == Scheme::InternetFacing && !self.internet_gateways.contains(&subnet.vpc_id) {
            return refuse("InvalidSubnet", format!("VPC {} has no internet gateway", subnet.vpc_id));
        }
        if placing.ip_address_type == IpAddressType::DualStack && subnet.ipv6_cidrs.is_empty() {
            return refuse("InvalidSubnet", format!("The subnet {id} has no IPv6 range"));
        }
        Ok(())
    }

    fn zone_mapping(
        &self,
        mapping: &SubnetMapping,
        subnet: &Subnet,
        placing: &Placing<'_>,
    ) -> Answered<ZoneMapping> {
        let dualstack = placing.ip_address_type == IpAddressType::DualStack;
        let mut address = ZoneAddress::default();
        if let Some(id) = &mapping.allocation_id {
            if placing.scheme == Scheme::Internal {
                return refuse(IMPOSSIBLE, "Elastic IPs are for internet-facing load balancers only");
            }
            address.public_ipv4 = Some(self.elastic_ip(id, placing.owner)?);
            address.allocation_id = Some(id.clone());
        }
        if let Some(ip) = mapping.private_ipv4 {
            if placing.scheme == Scheme::InternetFacing {
                return refuse(IMPOSSIBLE, "Private addresses are for internal load balancers only");
            }
            if !subnet.ipv4_cidr.is_some_and(|range| range.contains(&ip)) {
                return refuse(IMPOSSIBLE, format!("{ip} is not in the range of {}", subnet.id));
            }
            address.private_ipv4 = Some(ip);
        }
        if let Some(ip) = mapping.ipv6 {
            if !dualstack || !subnet.ipv6_cidrs.iter().any(|range| range.contains(&ip)) {
                let message = format!("{ip} is not in the range of {}, or it is not dualstack", subnet.id);
                return refuse(IMPOSSIBLE, message);
            }
            address.ipv6 = Some(ip);
        }
        Ok(ZoneMapping {
            zone: subnet.zone.clone(),
            subnet_id: subnet.id.clone(),
            addresses: if address == ZoneAddress::default() { Vec::new() } else { vec![address] },
            source_nat_ipv6_prefixes: source_nat_prefix(mapping, subnet, placing)?.into_iter().collect(),
        })
    }

    fn elastic_ip(&self, id: &str, owner: Option<&str>) -> Answered<Ipv4Addr> {
        let Some(elastic_ip) = self.addresses.get(id) else {
            return refuse("AllocationIdNotFound", format!("The allocation ID '{id}' does not exist"));
        };
        match &elastic_ip.used_by {
            Some(user) if Some(user.as_str()) != owner => {
                refuse("ResourceInUse", format!("The allocation ID '{id}' is not available for use"))
            }
            _ => Ok(elastic_ip.address),
        }
    }

    /// Marks the Elastic IPs of these zones as used by the load balancer, and no others.
    pub(super) fn hold_addresses(&mut self, arn: &str, zones: &[ZoneMapping]) {
        let held: BTreeSet<&String> =
            zones.iter().flat_map(|zone| &zone.addresses).filter_map(|a| a.allocation_id.as_ref()).collect();
        for (id, elastic_ip) in &mut self.addresses {
            if held.contains(id) {
                elastic_ip.used_by = Some(arn.to_owned());
            } else if elastic_ip.used_by.as_deref() == Some(arn) {
                elastic_ip.used_by = None;
            }
        }
    }
}

fn source_nat_prefix(
    mapping: &SubnetMapping,
    subnet: &Subnet,
    placing: &Placing<'_>,
) -> Answered<Option<ipnet::Ipv6Net>> {
    let range = subnet.ipv6_cidrs.first();
    match (placing.source_nat, mapping.source_nat_ipv6_prefix) {
        (false, None) => Ok(None),
        (false, Some(_)) => refuse(IMPOSSIBLE, "A source NAT prefix needs IPv6 source NAT turned on"),
        (true, Some(SourceNatPrefix::Prefix(prefix))) => {
            if prefix.prefix_len() != 80 || !range.is_some_and(|range| range.contains(&prefix)) {
                return refuse(IMPOSSIBLE, format!("{prefix} is not a /80 of {}", subnet.id));
            }
            Ok(Some(prefix))
        }
        (true, None | Some(SourceNatPrefix::AutoAssigned)) => {
            Ok(range.and_then(|range| ipnet::Ipv6Net::new(range.network(), 80).ok()))
        }
    }
}
