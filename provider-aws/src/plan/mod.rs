//! From what should exist and what does, to ordered steps. Pure.
//!
//! The order makes every prefix safe to stop after:
//!
//! 0. what is taken over from another controller is made ours, load balancer and target groups in one request;
//! 1. what lets traffic in: the nodes' source group, the rules on the nodes, the frontend group with its rules;
//! 2. target groups, with their targets, before anything sends traffic to them;
//! 3. the load balancer;
//! 4. listeners: those wanted are made or changed, then the others go (some before, where AWS has no room for both);
//! 5. what is no longer wanted: IPv6 and source NAT that old listeners needed, targets, rules, an old load balancer,
//!    old target groups, old groups;
//! 6. the record that all of it was done.
//!
//! New rules come before old ones go, as far as the quota has room for both; new targets before old ones go. A load balancer that has to be replaced
//! (its scheme changed) goes only when the new one is active and the Service's status shows it; a target group
//! that has to be replaced goes only when its targets have drained.
//!
//! A listener goes over to a new target group in one request, with targets registered and not yet checked: AWS
//! checks only what a listener uses. Sharing the traffic by weight meanwhile would let them be checked first, but
//! a listener takes only target groups of protocols it is compatible with, so that hardly any replacement could use
//! it, and whether a group of weight 0 is checked AWS does not say.

mod action;
mod groups;
mod listeners;
mod rules;
mod target_groups;

use std::collections::BTreeSet;

use crate::client::{IngressRule, IpAddressType, LoadBalancer as AwsLoadBalancer, LoadBalancerState, Tags};
use crate::drift;
use crate::model::{Desired, LoadBalancer};
use crate::naming::{APPLIED_TAG, CLUSTER_TAG, TARGETS_TAG, UID_TAG};
use crate::observe::{Observed, ObservedLoadBalancer, ObservedTargetGroup};
use crate::placement;

pub use self::action::{Action, GroupRef, Known, What};
pub(crate) use self::groups::open_nodes;
pub(crate) use self::rules::weight as rules_weight;

/// What has to happen, and what has to be waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Steps, in order. None means no write is sent.
    pub actions: Vec<Action>,
    /// What the steps' names mean at AWS.
    pub known: Known,
    /// What keeps the plan from being the last one.
    pub waits: BTreeSet<Wait>,
}

/// Something that takes time at AWS, after which the rest can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// A new load balancer has to be active and published before the old one goes.
    Replacement,
    /// Connections to targets that are no longer wanted are given time to end.
    Draining,
}

/// Compares, and says what to do.
pub fn plan(desired: &Desired, observed: &Observed) -> Planned {
    let mut planner = Planner::new(desired, observed);
    planner.claim();
    planner.make_room();
    planner.grant();
    planner.make_target_groups();
    planner.make_load_balancer();
    planner.make_listeners();
    planner.narrow();
    planner.revoke();
    planner.deregister();
    planner.retire();
    planner.record();
    Planned { actions: planner.actions, known: planner.known, waits: planner.waits }
}

struct Planner<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    /// The load balancer that stays, if it exists.
    keeper: Option<&'a ObservedLoadBalancer>,
    /// Load balancers that are to go.
    others: Vec<&'a ObservedLoadBalancer>,
    /// ARNs of load balancers that this plan deletes.
    deleted: BTreeSet<&'a str>,
    /// Target groups that stay, in the order of the desired ones; none where one is to be made.
    matched: Vec<Option<&'a ObservedTargetGroup>>,
    /// Target groups that are to go.
    leftover: Vec<&'a ObservedTargetGroup>,
    /// Rules that go early, to make room for others.
    revoked: BTreeSet<IngressRule>,
    actions: Vec<Action>,
    known: Known,
    waits: BTreeSet<Wait>,
}

impl<'a> Planner<'a> {
    fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let wanted = &desired.load_balancer;
        let stays = |lb: &&ObservedLoadBalancer| {
            lb.resource.scheme == wanted.scheme
                && lb.resource.name == wanted.name
                && lb.resource.state != LoadBalancerState::Failed
        };
        let keeper = observed.load_balancers.iter().find(stays);
        let is_keeper =
            |lb: &&ObservedLoadBalancer| keeper.is_some_and(|k| k.resource.arn == lb.resource.arn);
        let others = observed.load_balancers.iter().filter(|lb| !is_keeper(lb)).collect();
        let (matched, leftover) = target_groups::match_up(desired, observed, keeper);
        let mut known = Known {
            load_balancer: keeper.map(|lb| lb.resource.arn.clone()),
            nodes_source: observed.nodes_source.as_ref().map(|group| group.id.clone()),
            ..Known::default()
        };
        for (wanted, found) in desired.target_groups.iter().zip(&matched) {
            if let Some(found) = found {
                known.target_groups.insert(wanted.name.clone(), found.resource.arn.clone());
            }
        }
        for listener in keeper.iter().flat_map(|lb| &lb.listeners) {
            known.listeners.insert(listener.resource.port, listener.resource.arn.clone());
        }
        let frontend = desired.groups.frontend.as_ref();
        let frontend = frontend.and_then(|f| observed.frontend_groups.iter().find(|g| g.name == f.name));
        known.frontend = frontend.map(|group| group.id.clone());
        Planner {
            desired,
            observed,
            keeper,
            others,
            deleted: BTreeSet::new(),
            matched,
            leftover,
            revoked: BTreeSet::new(),
            actions: Vec::new(),
            known,
            waits: BTreeSet::new(),
        }
    }

    fn push(&mut self, what: What, reason: impl Into<String>) {
        self.actions.push(Action::new(what, reason));
    }

    /// Makes what is taken over ours. AWS tags one resource a request, so the order says whose it is in between: the
    /// load balancer comes first, and whatever it uses comes along with it from then on, tagged or not. Listeners, which
    /// nobody finds by their tags, come last, and again until all has been applied once.
    fn claim(&mut self) {
        let theirs = |tags: &Tags| !tags.contains_key(UID_TAG);
        let load_balancer = self.keeper.filter(|lb| theirs(&lb.tags));
        let target_groups = self.observed.target_groups.iter().filter(|tg| theirs(&tg.tags));
        let mut arns: Vec<String> = load_balancer.iter().map(|lb| lb.resource.arn.clone()).collect();
        arns.extend(target_groups.map(|tg| tg.resource.arn.clone()));
        self.claim_these(arns, "it is taken over from another controller");
        let is_unfinished = |lb: &&ObservedLoadBalancer| !lb.tags.contains_key(APPLIED_TAG);
        let listeners = self.keeper.filter(is_unfinished).into_iter().flat_map(|lb| &lb.listeners);
        let arns = listeners.map(|listener| listener.resource.arn.clone()).collect();
        self.claim_these(arns, "a takeover that did not end may have left it out");
    }

    fn claim_these(&mut self, arns: Vec<String>, reason: &str) {
        if !arns.is_empty() {
            let what = What::Tag { arns, add: self.claim_tags(), remove: Vec::new() };
            self.push(what, reason);
        }
    }

    /// The tags that make something this Service's.
    fn claim_tags(&self) -> Tags {
        let mut tags = self.desired.load_balancer.tags.clone();
        tags.retain(|key, _| [CLUSTER_TAG, UID_TAG].contains(&key.as_str()));
        tags
    }

    /// The tags something has once it is claimed.
    fn claimed(&self, found: &Tags) -> Tags {
        let mut tags = found.clone();
        tags.extend(self.claim_tags());
        tags
    }

    /// A name is unique, so that what has ours and cannot stay must go first; the user chose the name, or AWS
    /// failed to make the load balancer.
    fn make_room(&mut self) {
        if self.keeper.is_some() {
            return;
        }
        for lb in self.others.clone() {
            if lb.resource.name == self.desired.load_balancer.name {
                let reason = match lb.resource.state {
                    LoadBalancerState::Failed => "AWS failed to make it; it has to be made anew",
                    _ => "its scheme cannot change, and the new one needs its name",
                };
                self.delete_load_balancer(lb, reason);
            }
        }
    }

    fn delete_load_balancer(&mut self, lb: &'a ObservedLoadBalancer, reason: &str) {
        let arn = &lb.resource.arn;
        if self.deleted.insert(arn) {
            self.push(What::DeleteLoadBalancer { arn: arn.clone() }, reason);
        }
    }

    fn make_load_balancer(&mut self) {
        let wanted = &self.desired.load_balancer;
        let groups = self.group_refs();
        match self.keeper {
            None => {
                let enforce = self.desired.groups.private_link_rules.filter(|_| !groups.is_empty());
                let set_groups =
                    What::SetSecurityGroups { groups: groups.clone(), enforce_private_link_inbound: enforce };
                let what = What::CreateLoadBalancer { load_balancer: wanted.clone(), groups };
                let reason = match self.others.is_empty() {
                    true => "it does not exist",
                    false => "the one that exists cannot be changed into it",
                };
                self.push(what, reason);
                if enforce.is_some() {
                    self.push(set_groups, "rules for PrivateLink cannot be set when it is made");
                }
                if !wanted.attributes.is_empty() {
                    let what = What::ModifyLoadBalancerAttributes(wanted.attributes.clone());
                    self.push(what, "the Service asks for them");
                }
                if let Some(change) = wanted.capacity {
                    self.push(What::ModifyCapacityReservation(change), "the Service asks for it");
                }
            }
            Some(keeper) => self.change_load_balancer(keeper, groups),
        }
    }

    fn change_load_balancer(&mut self, keeper: &ObservedLoadBalancer, groups: BTreeSet<GroupRef>) {
        let wanted = &self.desired.load_balancer;
        let found = &*keeper.resource;
        let drift = drift::tags(&wanted.tags, &self.claimed(&keeper.tags));
        if !drift.is_empty() {
            let what = What::Tag { arns: vec![found.arn.clone()], add: drift.add, remove: drift.remove };
            self.push(what, "tags differ");
        }
        if !loses_source_nat(wanted, found) {
            self.set_subnets(keeper);
        }
        self.set_groups(keeper, groups);
        if wanted.ip_address_type == IpAddressType::DualStack && !placement::comes_with_subnets(wanted, found)
        {
            self.set_ip_address_type(keeper);
        }
        let attributes = drift::attributes(&wanted.attributes, &keeper.attributes, &keeper.tags);
        if !attributes.is_empty() {
            self.push(What::ModifyLoadBalancerAttributes(attributes), "attributes differ");
        }
        let reserved = keeper.capacity.as_ref().and_then(|capacity| capacity.minimum_units);
        if let Some(capacity) = wanted.capacity
            && let Some(change) = drift::capacity(capacity, reserved)
        {
            let what = What::ModifyCapacityReservation(capacity);
            self.actions.push(Action::new(what, "reserved capacity differs").with(vec![change]));
        }
    }

    /// What listeners and target groups that have been replaced by now may have needed: IPv6, and source NAT for
    /// datagrams over it.
    fn narrow(&mut self) {
        let Some(keeper) = self.keeper else { return };
        let wanted = &self.desired.load_balancer;
        if loses_source_nat(wanted, &keeper.resource) {
            self.set_subnets(keeper);
        }
        if wanted.ip_address_type == IpAddressType::Ipv4 {
            self.set_ip_address_type(keeper);
        }
    }

    fn set_ip_address_type(&mut self, keeper: &ObservedLoadBalancer) {
        let wanted = &self.desired.load_balancer;
        if let Some(change) = drift::ip_address_type(wanted, &keeper.resource) {
            let what = What::SetIpAddressType(wanted.ip_address_type);
            self.actions.push(Action::new(what, "address families differ").with(vec![change]));
        }
    }

    /// Zone by zone where a subnet or an address changes. What cannot be moved at all was refused before.
    fn set_subnets(&mut self, keeper: &ObservedLoadBalancer) {
        let wanted = &self.desired.load_balancer;
        let is_applied = keeper.tags.get(APPLIED_TAG) == Some(&self.desired.digest());
        let Some(change) = placement::difference(wanted, &keeper.resource, is_applied) else { return };
        let moves = placement::moves(wanted, &keeper.resource, is_applied).unwrap_or_default();
        for step in moves {
            let reason = match step.takes_zones_out {
                true => "another subnet or address is wanted in a zone, so the zone has to go first",
                false => "subnets differ",
            };
            let what = What::SetSubnets {
                subnets: step.subnets,
                ipv6_source_nat: wanted.ipv6_source_nat,
                ip_address_type: step.ip_address_type,
                takes_zones_out: step.takes_zones_out,
            };
            self.actions.push(Action::new(what, reason).with(vec![change.clone()]));
        }
    }

    /// Old load balancers, then old target groups, then old groups: each is free only after the one before.
    fn retire(&mut self) {
        let serves = self.keeper.is_some_and(|keeper| {
            let name = keeper.resource.dns_name.to_lowercase();
            keeper.resource.state != LoadBalancerState::Provisioning
                && self.observed.published.contains(&name)
        });
        for lb in self.others.clone() {
            if serves || lb.resource.state == LoadBalancerState::Failed {
                self.delete_load_balancer(lb, "another one has taken its place");
            } else if !self.deleted.contains(lb.resource.arn.as_str()) {
                self.waits.insert(Wait::Replacement);
            }
        }
        self.retire_target_groups();
        self.retire_groups();
    }

    /// What was applied is noted on the load balancer, so that whoever comes next needs no more than the shared
    /// view to know that nothing is to be done. The note comes off before something changes: half a change must
    /// not look like a whole one when the Service is changed back.
    fn record(&mut self) {
        let digest = self.desired.digest();
        let instances = self.desired.instances_digest();
        let noted = |tag: &str| {
            let tags: Option<&Tags> = self.keeper.map(|lb| &*lb.tags);
            tags.and_then(|tags| tags.get(tag)).cloned()
        };
        let applied = noted(APPLIED_TAG);
        let is_applied = applied.as_ref() == Some(&digest);
        let is_registered = instances.is_none() || noted(TARGETS_TAG) == instances;
        if self.actions.is_empty() && self.waits.is_empty() && is_applied && is_registered {
            return;
        }
        let only_targets = self.actions.iter().all(|action| {
            matches!(action.what, What::RegisterTargets { .. } | What::DeregisterTargets { .. })
        });
        if applied.is_some_and(|applied| !applied.is_empty()) && !(only_targets && is_applied) {
            let what = What::Record { applied: None, instances: None };
            self.actions.insert(0, Action::new(what, "what was applied is about to change"));
        }
        if self.waits.is_empty() {
            let what = What::Record { applied: Some(digest), instances };
            self.push(what, "so that nobody has to compare again");
        }
    }
}

fn loses_source_nat(wanted: &LoadBalancer, found: &AwsLoadBalancer) -> bool {
    found.ipv6_source_nat && wanted.ipv6_source_nat == Some(false)
}

#[cfg(test)]
mod tests;
