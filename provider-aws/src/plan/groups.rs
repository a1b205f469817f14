//! Security groups: what lets traffic in comes first, what let it in goes last.

use std::collections::BTreeSet;

use super::rules::{self, Exchange};
use super::{Action, GroupRef, Planner, What};
use crate::client::{IngressRule, RuleSource, SecurityGroup, Traffic};
use crate::drift;
use crate::model::NodeOpening;
use crate::naming::UID_TAG;
use crate::observe::ObservedLoadBalancer;

impl Planner<'_> {
    /// The groups the load balancer should carry.
    pub(super) fn group_refs(&self) -> BTreeSet<GroupRef> {
        let groups = &self.desired.groups;
        let frontend = groups.frontend.as_ref().map(|_| GroupRef::Frontend);
        let nodes = groups.nodes.as_ref().map(|_| GroupRef::NodesSource);
        let given = groups.given.iter().cloned().map(GroupRef::Id);
        given.chain(frontend).chain(nodes).collect()
    }

    /// Makes groups and adds rules.
    pub(super) fn grant(&mut self) {
        self.open_nodes();
        let Some(wanted) = &self.desired.groups.frontend else { return };
        let Some(found) = self.frontend() else {
            self.push(What::CreateFrontendGroup(wanted.clone()), "it does not exist");
            if !wanted.rules.is_empty() {
                let rules = wanted.rules.iter().cloned().collect();
                let what = What::AuthorizeIngress { group: GroupRef::Frontend, rules };
                self.push(what, "these may connect");
            }
            return;
        };
        let steps = rules::exchange(&found.ingress, &wanted.rules, wanted.rules_at_most);
        let drift = drift::tags(&wanted.tags, &found.tags);
        if !drift.add.is_empty() {
            self.push(What::TagGroup { group: GroupRef::Frontend, add: drift.add }, "tags differ");
        }
        for step in steps {
            let group = GroupRef::Frontend;
            match step {
                Exchange::Grant(rules) => {
                    self.push(What::AuthorizeIngress { group, rules }, "these may connect, too");
                }
                Exchange::Revoke(rules) => {
                    self.revoked.extend(rules.iter().cloned());
                    let reason = "these may no longer connect, and the others need the room";
                    self.push(What::RevokeIngress { group, rules }, reason);
                }
            }
        }
    }

    /// One group for the whole cluster, and a handful of rules on the nodes.
    fn open_nodes(&mut self) {
        let Some(wanted) = &self.desired.groups.nodes else { return };
        if self.observed.nodes_source.is_none() {
            self.push(What::CreateNodesSource(wanted.clone()), "no Service of this cluster had it yet");
        }
        let source = self.known.nodes_source.as_deref();
        self.actions.extend(open_nodes(wanted, source, &self.observed.node_groups));
    }

    pub(super) fn set_groups(&mut self, keeper: &ObservedLoadBalancer, groups: BTreeSet<GroupRef>) {
        // One made without groups stays so, and must not be asked.
        if groups.is_empty() {
            return;
        }
        let ids: Option<BTreeSet<String>> = groups.iter().map(|group| self.known.group(group)).collect();
        let enforce = self.desired.groups.private_link_rules;
        let enforces = keeper.resource.enforce_private_link_inbound;
        if ids.as_ref() == Some(&keeper.resource.security_groups)
            && (enforce.is_none() || enforce == enforces)
        {
            return;
        }
        let change = cloud_provider::Change::new(
            "SecurityGroups",
            join(keeper.resource.security_groups.iter()),
            join(groups.iter()),
        );
        let what = What::SetSecurityGroups { groups, enforce_private_link_inbound: enforce };
        self.actions.push(Action::new(what, "security groups differ").with(vec![change]));
    }

    /// Takes rules out that let in what may no longer connect.
    pub(super) fn revoke(&mut self) {
        let (Some(wanted), Some(found)) = (&self.desired.groups.frontend, self.frontend()) else { return };
        let extra: Vec<IngressRule> = rules::stale(&found.ingress, &wanted.rules)
            .filter(|rule| !self.revoked.contains(rule))
            .cloned()
            .collect();
        if !extra.is_empty() {
            let what = What::RevokeIngress { group: GroupRef::Frontend, rules: extra };
            self.push(what, "these may no longer connect");
        }
    }

    /// Deletes groups of this Service that nothing wants.
    pub(super) fn retire_groups(&mut self) {
        let stays = self.known.frontend.clone();
        for group in &self.observed.frontend_groups {
            let is_ours = group.tags.contains_key(UID_TAG);
            if is_ours && Some(&group.id) != stays.as_ref() && self.waits.is_empty() {
                self.push(What::DeleteGroup { id: group.id.clone() }, "nothing uses it");
            }
        }
    }

    fn frontend(&self) -> Option<&SecurityGroup> {
        let id = self.known.frontend.as_ref()?;
        self.observed.frontend_groups.iter().find(|group| &group.id == id)
    }
}

impl super::Known {
    /// The id of a group, if it exists.
    pub fn group(&self, group: &GroupRef) -> Option<String> {
        match group {
            GroupRef::Frontend => self.frontend.clone(),
            GroupRef::NodesSource => self.nodes_source.clone(),
            GroupRef::Id(id) => Some(id.clone()),
        }
    }
}

/// The steps that open these groups of nodes to members of the source group, where they are not open yet.
pub(crate) fn open_nodes(
    wanted: &NodeOpening,
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
            wanted.traffic.iter().filter(|traffic| !lets_in(group, traffic)).cloned().collect();
        if !missing.is_empty() {
            let what = What::OpenNodes { node_group: group.id.clone(), traffic: missing };
            actions.push(Action::new(what, "the nodes must let the load balancers in"));
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

fn join(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
