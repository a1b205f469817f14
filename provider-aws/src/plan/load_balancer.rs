//! The load balancer itself: made, replaced, changed in place.

use std::collections::BTreeSet;

use super::{Action, GroupRef, Operation, Part, Planner, describe};
use crate::client::{IpAddressType, LoadBalancer as AwsLoadBalancer, LoadBalancerState};
use crate::drift;
use crate::model::LoadBalancer;
use crate::observe::ObservedLoadBalancer;
use crate::subnet_moves;

impl<'a> Planner<'a> {
    /// A name is unique, so that what has ours and cannot stay must go first; the user chose the name, or AWS
    /// failed to make the load balancer.
    pub(super) fn make_room(&mut self) {
        if self.retained.is_some() {
            return;
        }
        for lb in self.others.clone() {
            if lb.resource.name == self.desired.load_balancer.name {
                let reason = match lb.resource.state {
                    LoadBalancerState::Failed => "AWS failed to make it; it has to be made anew",
                    _ => "its scheme cannot change, and the new one needs its name",
                };
                self.delete_load_balancer(Part::Foundation, lb, reason);
            }
        }
    }

    pub(super) fn delete_load_balancer(&mut self, part: Part, lb: &'a ObservedLoadBalancer, reason: &str) {
        let arn = &lb.resource.arn;
        if self.deleted.insert(arn) {
            let operation = Operation::DeleteLoadBalancer { arn: arn.clone() };
            let changes = vec![describe::removed("HostName", lb.resource.dns_name.to_lowercase())];
            self.push_with(part, operation, reason, changes);
        }
    }

    pub(super) fn make_load_balancer(&mut self) {
        if self.retained.is_some() {
            return;
        }
        let wanted = &self.desired.load_balancer;
        let groups = self.group_refs();
        let operation = Operation::CreateLoadBalancer { load_balancer: wanted.clone(), groups };
        match self.others.first() {
            None => self.push(Part::Foundation, operation, "it does not exist"),
            Some(old) => {
                let reason = match self.deleted.contains(old.resource.arn.as_str()) {
                    true => "the one that exists cannot be changed into it: the host name changes",
                    false => {
                        "the one that exists cannot be changed into it: the host name changes, and the old load balancer \
                         goes once the new one serves"
                    }
                };
                let changes = replacement(wanted, &old.resource);
                self.actions.push(Action::new(Part::Foundation, operation, reason).replacing(changes));
            }
        }
    }

    /// Brings the settings of the load balancer to what they should be.
    pub(super) fn set_load_balancer(&mut self) {
        let groups = self.group_refs();
        match self.retained {
            None => self.set_new_load_balancer(groups),
            Some(retained) => self.change_load_balancer(retained, groups),
        }
    }

    /// What AWS does not take with the request that makes it.
    fn set_new_load_balancer(&mut self, groups: BTreeSet<GroupRef>) {
        let wanted = &self.desired.load_balancer;
        if let Some(enforce) = self.desired.groups.private_link_rules.filter(|_| !groups.is_empty()) {
            let operation =
                Operation::SetSecurityGroups { groups, enforce_private_link_inbound: Some(enforce) };
            let reason = "rules for PrivateLink cannot be set when it is made";
            let changes = vec![describe::added(PRIVATE_LINK, on_or_off(enforce))];
            self.push_with(Part::Access, operation, reason, changes);
        }
        if !wanted.attributes.is_empty() {
            let operation = Operation::ModifyLoadBalancerAttributes(wanted.attributes.clone());
            self.push(Part::Attributes, operation, "the Service asks for them");
        }
        for setting in wanted.settings.wanted() {
            self.push(Part::Attributes, Operation::ChangeSetting(setting), "the Service asks for it");
        }
    }

    fn change_load_balancer(&mut self, retained: &ObservedLoadBalancer, groups: BTreeSet<GroupRef>) {
        let wanted = &self.desired.load_balancer;
        let found = &*retained.resource;
        let tags = self.tag_steps(&wanted.tags, &retained.tags);
        self.tag(Part::Attributes, &found.arn, &retained.tags, tags.before);
        if !loses_source_nat(wanted, found) {
            self.set_subnets(retained);
        }
        self.set_groups(retained, groups);
        let comes_alone = !subnet_moves::comes_with_subnets(wanted, found);
        if wanted.ip_address_type == IpAddressType::DualStack && comes_alone {
            self.set_ip_address_type(retained);
        }
        if let Some(details) = &retained.details {
            let attributes = drift::load_balancer_attributes(
                &wanted.attributes,
                &details.attributes,
                &retained.tags,
                found.scheme,
            );
            if !attributes.is_empty() {
                let changes = describe::attributes(&attributes, &details.attributes);
                let operation = Operation::ModifyLoadBalancerAttributes(attributes);
                self.push_with(Part::Attributes, operation, "attributes differ", changes);
            }
            for setting in wanted.settings.wanted() {
                let found = details.settings.get(setting.field()).cloned().unwrap_or_default();
                if let Some(change) = drift::change(setting.field(), found, setting.value()) {
                    let reason = format!("{} differs", setting.title());
                    self.push_with(Part::Attributes, Operation::ChangeSetting(setting), reason, vec![change]);
                }
            }
        }
    }

    /// What listeners and target groups that have been replaced by now may have needed: IPv6, and source NAT for
    /// datagrams over it. And what tags say was done.
    pub(super) fn narrow(&mut self) {
        let Some(retained) = self.retained else { return };
        let wanted = &self.desired.load_balancer;
        if loses_source_nat(wanted, &retained.resource) {
            self.set_subnets(retained);
        }
        if wanted.ip_address_type == IpAddressType::Ipv4 {
            self.set_ip_address_type(retained);
        }
        let tags = self.tag_steps(&wanted.tags, &retained.tags);
        self.tag(Part::Remains, &retained.resource.arn, &retained.tags, tags.after);
    }

    fn set_ip_address_type(&mut self, retained: &ObservedLoadBalancer) {
        let wanted = &self.desired.load_balancer;
        if let Some(change) = drift::ip_address_type(wanted, &retained.resource) {
            let operation = Operation::SetIpAddressType(wanted.ip_address_type);
            self.push_with(Part::Zones, operation, "address families differ", vec![change]);
        }
    }

    /// Zone by zone where a subnet or an address changes. What cannot be moved at all was refused before.
    fn set_subnets(&mut self, retained: &ObservedLoadBalancer) {
        let wanted = &self.desired.load_balancer;
        let is_applied = self.desired.is_noted(&retained.tags);
        let Some(change) = subnet_moves::difference(wanted, &retained.resource, is_applied) else { return };
        let moves = subnet_moves::moves(wanted, &retained.resource, is_applied).unwrap_or_default();
        for step in moves {
            let reason = match step.takes_zones_out {
                true => "another subnet or address is wanted in a zone, so the zone has to go first",
                false => "subnets differ",
            };
            let operation = Operation::SetSubnets {
                subnets: step.subnets,
                ipv6_source_nat: wanted.ipv6_source_nat,
                ip_address_type: step.ip_address_type,
                takes_zones_out: step.takes_zones_out,
            };
            self.push_with(Part::Zones, operation, reason, vec![change.clone()]);
        }
    }
}

/// The field of a step that sets whether rules hold for PrivateLink; AWS's parameter has the longer name.
pub(super) const PRIVATE_LINK: &str = "EnforceInboundRulesOnPrivateLink";

/// As AWS writes it.
pub(super) fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// How a load balancer and the one that takes its place differ, for who reads the plan.
fn replacement(wanted: &LoadBalancer, old: &AwsLoadBalancer) -> Vec<cloud_provider::Change> {
    let name = drift::change("Name", &old.name, &wanted.name);
    let scheme = drift::change("Scheme", old.scheme, wanted.scheme);
    let subnets =
        drift::change("Subnets", subnet_moves::told_of_existing(old), subnet_moves::told(&wanted.zones));
    let host = drift::change("HostName", old.dns_name.to_lowercase(), "a new one, which AWS chooses");
    [name, scheme, subnets, host].into_iter().flatten().collect()
}

fn loses_source_nat(wanted: &LoadBalancer, found: &AwsLoadBalancer) -> bool {
    found.ipv6_source_nat && wanted.ipv6_source_nat == Some(false)
}
