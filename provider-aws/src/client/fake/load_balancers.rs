//! Load balancers.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        CapacityReservation, CreateLoadBalancer, IpAddressType, LoadBalancer, LoadBalancerKind,
        LoadBalancerState, Page, Select, SetSecurityGroups, SetSubnets, TargetFamily, ZoneMapping,
    },
    account::{AccountState, Lingering, LoadBalancerRecord, REGION},
    attributes,
    lags::Countdown,
    placement::Placing,
    refusal::{Answered, refuse},
    rules::{self, IMPOSSIBLE},
};

impl AccountState {
    pub(super) fn describe_load_balancers(
        &mut self,
        select: &Select,
        page: Option<&str>,
    ) -> Answered<Page<LoadBalancer>> {
        let now = self.now;
        let mut found: Vec<String> = Vec::new();
        match select {
            Select::All => found.extend(self.load_balancers.keys().cloned()),
            Select::Arns(arns) => {
                rules::at_most_twenty(arns)?;
                rules::at_least_one("ARN", arns.len())?;
                for arn in arns {
                    self.load_balancer(arn)?;
                    found.push(arn.clone());
                }
            }
            Select::Names(names) => {
                rules::at_most_twenty(names)?;
                rules::at_least_one("name", names.len())?;
                for name in names {
                    match self.load_balancers.values().find(|record| record.lb.name == *name) {
                        Some(record) => found.push(record.lb.arn.clone()),
                        None => return not_found(name),
                    }
                }
            }
        }
        let mut listed = self.page(found, page)?;
        let mut items = Vec::new();
        for arn in &listed.items {
            let record = self.load_balancers.get_mut(arn).expect("just found");
            let under_way = record.provisioning.look(now);
            record.lb.state = if under_way { LoadBalancerState::Provisioning } else { record.outcome };
            items.push(record.lb.clone());
        }
        if *select == Select::All && listed.next.is_none() {
            self.ghosts.retain_mut(|(_, listed)| listed.look(now));
            items.extend(self.ghosts.iter().map(|(lb, _)| lb.clone()));
        }
        Ok(Page { items, next: listed.next.take() })
    }

    pub(super) fn create_load_balancer(&mut self, request: &CreateLoadBalancer) -> Answered<LoadBalancer> {
        rules::load_balancer_name(&request.name)?;
        rules::elb_tags(&request.tags, self.quotas.tags)?;
        if let Some(record) = self.load_balancers.values().find(|record| record.lb.name == request.name) {
            return match same_settings(&record.lb, request) {
                true => Ok(record.lb.clone()),
                false => refuse(
                    "DuplicateLoadBalancerName",
                    format!("A load balancer with the same name '{}' exists", request.name),
                ),
            };
        }
        if self.load_balancers.len() >= self.quotas.load_balancers {
            return refuse("TooManyLoadBalancers", "The quota of load balancers in the region is reached");
        }
        let placing = Placing {
            scheme: request.scheme,
            ip_address_type: request.ip_address_type,
            source_nat: request.ipv6_source_nat,
            owner: None,
        };
        let (vpc_id, zones) = self.place(&request.subnets, &placing)?;
        self.groups_fit(&request.security_groups, &vpc_id)?;
        self.interfaces_fit(&vpc_id, None, zones.len())?;

        let number = self.next_number();
        let arn = self.arn(&format!("loadbalancer/net/{}/{number:016x}", request.name));
        let provisioning = Countdown::start(self.lags.provisioning, self.now);
        self.hold_addresses(&arn, &zones);
        let lb = LoadBalancer {
            arn: arn.clone(),
            name: request.name.clone(),
            dns_name: format!("{}-{number:016x}.elb.{REGION}.amazonaws.com", request.name),
            hosted_zone_id: Some("Z26RNL4JYFTOTI".to_owned()),
            created: Some(self.birth()),
            vpc_id,
            kind: LoadBalancerKind::Network,
            scheme: request.scheme,
            state: LoadBalancerState::Provisioning,
            state_reason: None,
            ip_address_type: request.ip_address_type,
            zones,
            security_groups: request.security_groups.clone(),
            enforce_private_link_inbound: (!request.security_groups.is_empty()).then_some(true),
            ipv6_source_nat: request.ipv6_source_nat,
        };
        let record = LoadBalancerRecord {
            lb: lb.clone(),
            provisioning,
            made_without_groups: request.security_groups.is_empty(),
            endpoint_service: false,
            leaving_zones: BTreeMap::new(),
            capacity_pending: Countdown::Over,
            outcome: LoadBalancerState::Active,
            attributes: attributes::load_balancer_defaults(),
            capacity: CapacityReservation::default(),
            tags: request.tags.clone(),
        };
        self.load_balancers.insert(arn, record);
        Ok(lb)
    }

    pub(super) fn delete_load_balancer(&mut self, arn: &str) -> Answered<()> {
        let Some(record) = self.load_balancers.get(arn) else { return Ok(()) };
        if record.attributes.get("deletion_protection.enabled").is_some_and(|on| on == "true") {
            let message = format!("Load balancer '{arn}' cannot be deleted: deletion protection is enabled");
            return refuse("OperationNotPermitted", message);
        }
        if record.endpoint_service {
            return refuse("ResourceInUse", format!("Load balancer '{arn}' is used by an endpoint service"));
        }
        let record = self.load_balancers.remove(arn).expect("just found");
        self.hold_addresses(arn, &[]);
        let listeners: Vec<String> = self
            .listeners
            .values()
            .filter(|record| record.listener.load_balancer_arn == arn)
            .map(|record| record.listener.arn.clone())
            .collect();
        for listener in listeners {
            self.remove_listener(&listener);
        }
        let until = Countdown::start(self.lags.network_interfaces, self.now);
        self.lingering.push(Lingering { groups: record.lb.security_groups.clone(), until });
        let listed = Countdown::start(self.lags.deleted_listed, self.now);
        if listed != Countdown::Over {
            self.ghosts.push((record.lb, listed));
        }
        Ok(())
    }

    pub(super) fn set_subnets(&mut self, request: &SetSubnets) -> Answered<Vec<ZoneMapping>> {
        let arn = &request.load_balancer_arn;
        self.no_capacity_pending(arn)?;
        let now = self.now;
        if let Some(record) = self.load_balancers.get_mut(arn) {
            record.leaving_zones.retain(|_, leaving| leaving.look(now));
        }
        let record = self.load_balancer(arn)?;
        let source_nat = request.ipv6_source_nat.unwrap_or(record.lb.ipv6_source_nat);
        let ip_address_type = request.ip_address_type.unwrap_or(record.lb.ip_address_type);
        let becomes_dualstack = ip_address_type != record.lb.ip_address_type;
        let placing = Placing { scheme: record.lb.scheme, ip_address_type, source_nat, owner: Some(arn) };
        if ip_address_type == IpAddressType::Ipv4 && becomes_dualstack {
            return refuse(IMPOSSIBLE, "IPv6 is turned off with SetIpAddressType");
        }
        let (vpc_id, zones) = self.place(&request.subnets, &placing)?;
        if vpc_id != record.lb.vpc_id {
            return refuse(IMPOSSIBLE, "The subnets are not in the VPC of the load balancer");
        }
        self.interfaces_fit(&vpc_id, Some(arn), zones.len())?;
        for zone in &zones {
            let before = record.lb.zones.iter().find(|before| before.zone == zone.zone);
            match before {
                Some(before) if before.subnet_id != zone.subnet_id => {
                    let message = format!("The subnet in {} cannot be replaced in one step", zone.zone);
                    return refuse(IMPOSSIBLE, message);
                }
                Some(before) if !keeps_addresses(before, zone, becomes_dualstack) => {
                    let message = format!("{} must keep its existing configuration", zone.subnet_id);
                    return refuse(IMPOSSIBLE, message);
                }
                None if record.leaving_zones.contains_key(&zone.zone) => {
                    let message = format!("{} is still associated with the load balancer", zone.zone);
                    return refuse(IMPOSSIBLE, message);
                }
                _ => {}
            }
        }
        let gone = record.lb.zones.iter().any(|before| !zones.iter().any(|zone| zone.zone == before.zone));
        if gone && record.endpoint_service {
            return refuse("ResourceInUse", "A zone in use by an endpoint service cannot be removed");
        }
        if !source_nat && self.has_udp_on_dualstack(arn, ip_address_type) {
            return refuse(IMPOSSIBLE, "UDP on a dualstack load balancer needs IPv6 source NAT");
        }
        self.hold_addresses(arn, &zones);
        let leaving = Countdown::start(self.lags.removed_zone, self.now);
        let record = self.load_balancers.get_mut(arn).expect("checked");
        let gone =
            record.lb.zones.iter().map(|zone| &zone.zone).filter(|z| !zones.iter().any(|n| n.zone == **z));
        record.leaving_zones.extend(gone.map(|zone| (zone.clone(), leaving)));
        record.lb.zones.clone_from(&zones);
        record.lb.ipv6_source_nat = source_nat;
        record.lb.ip_address_type = ip_address_type;
        Ok(zones)
    }

    pub(super) fn set_security_groups(&mut self, request: &SetSecurityGroups) -> Answered<()> {
        let record = self.load_balancer(&request.load_balancer_arn)?;
        if record.made_without_groups {
            return refuse(IMPOSSIBLE, "The load balancer was created without security groups");
        }
        if request.security_groups.is_empty() {
            return refuse(IMPOSSIBLE, "A load balancer with security groups must keep at least one");
        }
        self.groups_fit(&request.security_groups, &record.lb.vpc_id)?;
        let lb = &mut self.load_balancers.get_mut(&request.load_balancer_arn).expect("checked").lb;
        lb.security_groups.clone_from(&request.security_groups);
        lb.enforce_private_link_inbound =
            request.enforce_private_link_inbound.or(lb.enforce_private_link_inbound);
        Ok(())
    }

    pub(super) fn set_ip_address_type(&mut self, arn: &str, to: IpAddressType) -> Answered<()> {
        let lb = &self.load_balancer(arn)?.lb;
        match to {
            IpAddressType::DualStack => {
                let placing =
                    Placing { scheme: lb.scheme, ip_address_type: to, source_nat: false, owner: Some(arn) };
                for zone in &lb.zones {
                    if let Some(subnet) = self.subnets.get(&zone.subnet_id) {
                        self.subnet_fits(subnet, &placing)?;
                    }
                }
                if !lb.ipv6_source_nat && self.has_udp_on_dualstack(arn, to) {
                    return refuse(IMPOSSIBLE, "UDP on a dualstack load balancer needs IPv6 source NAT");
                }
            }
            IpAddressType::Ipv4 => {
                let uses_ipv6 = |record: &&super::account::TargetGroupRecord| {
                    record.tg.family == TargetFamily::Ipv6 && self.users_of(&record.tg.arn).contains(arn)
                };
                if self.target_groups.values().any(|record| uses_ipv6(&record)) {
                    return refuse(
                        IMPOSSIBLE,
                        "A target group with IPv6 targets needs a dualstack load balancer",
                    );
                }
            }
        }
        let lb = &mut self.load_balancers.get_mut(arn).expect("checked").lb;
        lb.ip_address_type = to;
        if to == IpAddressType::Ipv4 {
            lb.ipv6_source_nat = false;
            lb.zones.iter_mut().for_each(|zone| zone.source_nat_ipv6_prefixes.clear());
        }
        Ok(())
    }

    pub(super) fn load_balancer(&self, arn: &str) -> Answered<&LoadBalancerRecord> {
        match self.load_balancers.get(arn) {
            Some(record) => Ok(record),
            None => not_found(arn),
        }
    }

    /// Whether a load balancer in this VPC may have these security groups.
    fn groups_fit(&self, groups: &BTreeSet<String>, vpc_id: &str) -> Answered<()> {
        if groups.len() > self.quotas.groups_per_interface {
            let message = format!("At most {} security groups", self.quotas.groups_per_interface);
            return refuse(IMPOSSIBLE, message);
        }
        for id in groups {
            let known = self
                .security_groups
                .get(id)
                .is_some_and(|record| record.group.vpc_id == vpc_id && !record.hidden.is_running(self.now));
            if !known {
                return refuse(
                    "InvalidSecurityGroup",
                    format!("Security group '{id}' is not valid in {vpc_id}"),
                );
            }
        }
        Ok(())
    }

    /// Whether the VPC has room for the network interfaces of a load balancer, one a zone.
    fn interfaces_fit(&self, vpc_id: &str, instead_of: Option<&str>, zones: usize) -> Answered<()> {
        let others = self
            .load_balancers
            .values()
            .filter(|record| record.lb.vpc_id == vpc_id && Some(record.lb.arn.as_str()) != instead_of);
        let most = self.quotas.interfaces_per_vpc;
        match others.map(|record| record.lb.zones.len()).sum::<usize>() + zones > most {
            true => refuse("TooManyLoadBalancers", format!("At most {most} network interfaces in a VPC")),
            false => Ok(()),
        }
    }

    fn has_udp_on_dualstack(&self, arn: &str, ip_address_type: IpAddressType) -> bool {
        ip_address_type == IpAddressType::DualStack
            && self.listeners_of(arn).any(|record| record.listener.protocol.carries_udp())
    }
}

pub(super) fn not_found<T>(which: &str) -> Answered<T> {
    refuse("LoadBalancerNotFound", format!("Load balancer '{which}' not found"))
}

/// A subnet that stays is named with the addresses it has; only IPv6 comes along with the change to dualstack.
fn keeps_addresses(before: &ZoneMapping, after: &ZoneMapping, becomes_dualstack: bool) -> bool {
    let part = |zone: &ZoneMapping| {
        let address = zone.addresses.first().cloned().unwrap_or_default();
        let ipv6 = address.ipv6.filter(|_| !becomes_dualstack);
        (address.allocation_id, address.private_ipv4, ipv6)
    };
    part(before) == part(after)
}

/// Whether a create asks for what exists. Tags do not count.
fn same_settings(lb: &LoadBalancer, request: &CreateLoadBalancer) -> bool {
    let subnets: BTreeSet<&String> = request.subnets.iter().map(|mapping| &mapping.subnet_id).collect();
    let addresses: BTreeSet<&String> =
        request.subnets.iter().filter_map(|mapping| mapping.allocation_id.as_ref()).collect();
    let held = lb.zones.iter().flat_map(|zone| &zone.addresses).filter_map(|a| a.allocation_id.as_ref());
    lb.scheme == request.scheme
        && lb.ip_address_type == request.ip_address_type
        && lb.security_groups == request.security_groups
        && lb.ipv6_source_nat == request.ipv6_source_nat
        && lb.zones.iter().map(|zone| &zone.subnet_id).collect::<BTreeSet<_>>() == subnets
        && held.collect::<BTreeSet<_>>() == addresses
}
