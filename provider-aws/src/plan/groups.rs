//! Security groups: what lets traffic in comes first, what let it in goes last.

use std::collections::BTreeSet;

use cloud_provider::{Change, Ordered};

use super::load_balancer::{PRIVATE_LINK, on_or_off};
use super::rules::{self, Exchange};
use super::{Action, GroupRef, Operation, Part, Planner, describe};
use crate::client::{IngressRule, RuleSource, SecurityGroup, Traffic};
use crate::drift;
use crate::naming::{PRIVATE_LINK_RULES, SET_ATTRIBUTES_TAG, UID_TAG, remembered};
use crate::observe::ObservedLoadBalancer;

impl Planner<'_> {
    /// The groups the load balancer should carry.
    pub(super) fn group_refs(&self) -> BTreeSet<GroupRef> {
        let groups = &self.desired.groups;
        let frontend = groups.frontend.as_ref().map(|_| GroupRef::Frontend);
        let nodes = groups.nodes.as_ref().map(|_| GroupRef::Backend);
        let given = groups.given.iter().cloned().map(GroupRef::Id);
        given.chain(frontend).chain(nodes).ordered()
    }

    /// Makes the groups that are missing; without a rule they let nobody in yet.
    pub(super) fn make_groups(&mut self) {
        let Some(groups) = &self.observed.groups else { return };
        if let Some(wanted) = &self.desired.groups.nodes
            && groups.backend.is_none()
        {
            let operation = Operation::CreateBackendGroup(wanted.clone());
            self.push(Part::Foundation, operation, "no Service of this cluster had it yet");
        }
        if let Some(wanted) = &self.desired.groups.frontend
            && self.frontend().is_none()
        {
            let operation = Operation::CreateFrontendGroup(wanted.clone());
            self.push(Part::Foundation, operation, "it does not exist");
        }
    }

    /// Adds rules.
    pub(super) fn grant(&mut self) {
        if self.observed.groups.is_none() {
            return;
        }
        self.open_nodes();
        let Some(wanted) = &self.desired.groups.frontend else { return };
        let Some(found) = self.frontend() else {
            if !wanted.rules.is_empty() {
                let rules = wanted.rules.iter().cloned().collect();
                let operation = Operation::AuthorizeIngress { group: GroupRef::Frontend, rules };
                self.push(Part::Access, operation, "these may connect");
            }
            return;
        };
        let steps = rules::exchange(&found.ingress, &wanted.rules, self.limits.rules_per_group);
        let (mut before, after) = drift::tags_around(&wanted.tags, &found.tags);
        // A group has no attributes to wait for, so that its tags change at once.
        before.add.extend(after.add);
        before.remove.extend(after.remove);
        if !before.is_empty() {
            let changes = describe::tags(&before.add, &before.remove, &found.tags);
            let operation =
                Operation::TagGroup { group: GroupRef::Frontend, add: before.add, remove: before.remove };
            self.push_with(Part::Attributes, operation, "tags differ", changes);
        }
        for step in steps {
            let group = GroupRef::Frontend;
            match step {
                Exchange::Grant(rules) => {
                    let operation = Operation::AuthorizeIngress { group, rules };
                    self.push(Part::Access, operation, "these may connect, too");
                }
                Exchange::Revoke(rules) => {
                    self.revoked.extend(rules.iter().cloned());
                    let reason = "these may no longer connect, and the others need the room";
                    self.push(Part::Access, Operation::RevokeIngress { group, rules }, reason);
                }
            }
        }
    }

    /// One group for the whole cluster, and a handful of rules on the nodes.
    fn open_nodes(&mut self) {
        let Some(wanted) = &self.desired.groups.nodes else { return };
        let Some(groups) = &self.observed.groups else { return };
        let source = self.ids.backend.as_deref();
        self.actions.extend(open_nodes(&wanted.traffic, source, &groups.nodes));
    }

    pub(super) fn set_groups(&mut self, retained: &ObservedLoadBalancer, groups: BTreeSet<GroupRef>) {
        // One made without groups stays so, and must not be asked.
        if groups.is_empty() || self.observed.groups.is_none() {
            return;
        }
        let ids: Option<BTreeSet<String>> = groups.iter().map(|group| self.ids.group(group)).collect();
        // What was asked for once goes back to what AWS does by itself (ELBv2 API reference, SetSecurityGroups).
        let was_set = remembered(&retained.tags, SET_ATTRIBUTES_TAG).any(|key| key == PRIVATE_LINK_RULES);
        let enforce = self.desired.groups.private_link_rules.or(was_set.then_some(true));
        let enforces = retained.resource.enforce_private_link_inbound;
        let same_groups = ids.as_ref() == Some(&retained.resource.security_groups);
        if same_groups && (enforce.is_none() || enforce == enforces) {
            return;
        }
        let mut changes = Vec::new();
        if !same_groups {
            let name = |group: &GroupRef| self.ids.group(group).unwrap_or_else(|| group.to_string());
            let from = describe::join(&retained.resource.security_groups);
            changes.push(Change::new("SecurityGroups", from, describe::join(groups.iter().map(name))));
        }
        if let Some(enforce) = enforce {
            let from = enforces.map(on_or_off).unwrap_or_default();
            changes.extend(drift::change(PRIVATE_LINK, from, on_or_off(enforce)));
        }
        let operation = Operation::SetSecurityGroups { groups, enforce_private_link_inbound: enforce };
        self.push_with(Part::Access, operation, "security groups differ", changes);
    }

    /// Takes rules out that let in what may no longer connect. Those of a port that is going away stay for as long as
    /// what takes its place fails to come.
    pub(super) fn revoke(&mut self) {
        let (Some(wanted), Some(found)) = (&self.desired.groups.frontend, self.frontend()) else { return };
        let extra =
            rules::stale(&found.ingress, &wanted.rules).filter(|rule| !self.revoked.contains(rule)).cloned();
        let stays = |rule: &IngressRule| {
            self.desired.listeners.iter().any(|listener| rules::is_of(rule, listener.port))
        };
        let (narrower, gone): (Vec<IngressRule>, Vec<IngressRule>) = extra.partition(stays);
        for (part, rules) in [(Part::Access, narrower), (Part::Remains, gone)] {
            if !rules.is_empty() {
                let operation = Operation::RevokeIngress { group: GroupRef::Frontend, rules };
                self.push(part, operation, "these may no longer connect");
            }
        }
    }

    /// Deletes groups of this Service that nothing wants.
    pub(super) fn retire_groups(&mut self) {
        let stays = self.ids.frontend.clone();
        let Some(groups) = &self.observed.groups else { return };
        for group in &groups.frontends {
            let is_ours = group.tags.contains_key(UID_TAG);
            if is_ours && Some(&group.id) != stays.as_ref() && self.waits.is_empty() {
                let operation = Operation::DeleteGroup { id: group.id.clone() };
                self.push(Part::Remains, operation, "nothing uses it");
            }
        }
    }

    fn frontend(&self) -> Option<&SecurityGroup> {
        let id = self.ids.frontend.as_ref()?;
        self.observed.groups.as_ref()?.frontends.iter().find(|group| &group.id == id)
    }
}

/// The steps that open these groups of nodes to members of the source group, where they are not open yet.
pub(crate) fn open_nodes(
    wanted: &BTreeSet<Traffic>,
    source: Option<&str>,
    node_groups: &[SecurityGroup],
) -> Vec<Action> {
    let lets_in = |group: &SecurityGroup, traffic: &Traffic| {
        let from_us = |rule: &&IngressRule| match &rule.source {
            RuleSource::Group(id) => Some(id.as_str()) == source,
            _ => false,
        };
        group.ingress.iter().filter(from_us).any(|rule| covers(&rule.traffic, traffic))
    };
    let mut actions = Vec::new();
    for group in node_groups {
        let missing: BTreeSet<Traffic> =
            wanted.iter().filter(|traffic| !lets_in(group, traffic)).cloned().ordered();
        if !missing.is_empty() {
            let operation = Operation::OpenNodes { node_group: group.id.clone(), traffic: missing };
            let part = Part::NodeGroup(group.id.clone());
            actions.push(Action::new(part, operation, "the nodes must let the load balancers in"));
        }
    }
    actions
}

/// Whether a rule for `rule` lets `wanted` in.
fn covers(rule: &Traffic, wanted: &Traffic) -> bool {
    match (rule, wanted) {
        (Traffic::All, _) => true,
        (Traffic::Tcp { from, to }, Traffic::Tcp { from: first, to: last })
        | (Traffic::Udp { from, to }, Traffic::Udp { from: first, to: last }) => from <= first && last <= to,
        _ => rule == wanted,
    }
}
