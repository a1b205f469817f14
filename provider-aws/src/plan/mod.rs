//! From what should exist and what does, to ordered steps. Pure.
//!
//! The order makes every prefix safe to stop after:
//!
//! 0. what is taken over from another controller is made ours, the load balancer first, by which the rest is found;
//! 1. security groups that are missing: a load balancer that is made without any never gets one;
//! 2. the load balancer, if there is none: AWS takes minutes over it, and its host name is what users wait for. Without a
//!    listener it takes no traffic;
//! 3. what lets traffic in: the rules on the nodes, the rules of the frontend group;
//! 4. target groups, with their targets, before anything sends traffic to them;
//! 5. the settings of the load balancer;
//! 6. listeners: those wanted are made or changed, then the others go (some before, where AWS has no room for both);
//! 7. what is no longer wanted: IPv6 and source NAT that old listeners needed, targets, rules, an old load balancer,
//!    old target groups, old groups;
//! 8. the record that all of it was done.
//!
//! New rules come before old ones go, as far as the quota has room for both, and so do new targets. Each step belongs to
//! a part, and a part that fails leaves undone only those that need it ([`Part`]); so does one that a mistake leaves
//! undecided ([`plan_beside`]). A load balancer that has to be
//! replaced (its scheme changed) goes only when the new one is active and the Service's status shows it; a target group
//! that has to be replaced goes only when its targets have drained.
//!
//! A listener goes over to a new target group in one request, with targets registered and not yet checked: AWS
//! checks only what a listener uses. Sharing the traffic by weight meanwhile would let them be checked first, but
//! a listener takes only target groups of protocols it is compatible with, so that hardly any replacement could use
//! it, and whether a group of weight 0 is checked AWS does not say.

mod action;
mod backends;
mod deletion;
mod describe;
mod groups;
mod listeners;
mod load_balancer;
mod rules;
mod tags;
mod target_groups;
mod undecided;

use std::collections::BTreeSet;

use cloud_provider::Change;

use crate::client::{IngressRule, LoadBalancerState, Tags};
use crate::desired::{Desired, Limits};
use crate::drift;
use crate::naming::{APPLIED_TAG, TARGETS_TAG};
use crate::observe::{Observed, ObservedLoadBalancer, ObservedTargetGroup};

pub use self::action::{Action, GroupRef, Operation, Part, ResolvedIds, TargetGroupRef};
pub use self::backends::{BackendChange, TargetGroupTargets, backends};
pub use self::deletion::{Deletion, deletion};
pub(crate) use self::groups::open_nodes;
pub use self::undecided::plan_beside;

/// What has to happen, and what has to be waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Steps, in order. None means no write is sent.
    pub actions: Vec<Action>,
    /// What the steps' names mean at AWS.
    pub ids: ResolvedIds,
    /// What keeps the plan from being the last one.
    pub waits: BTreeSet<Wait>,
}

impl Planned {
    /// Whether there is nothing to do and nothing to wait for.
    pub fn is_settled(&self) -> bool {
        self.actions.is_empty() && self.waits.is_empty()
    }
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
pub fn plan(desired: &Desired, observed: &Observed, limits: &Limits) -> Planned {
    let mut planner = Planner::new(desired, observed, *limits);
    planner.claim();
    planner.make_room();
    planner.make_groups();
    planner.make_load_balancer();
    planner.grant();
    planner.make_target_groups();
    planner.set_load_balancer();
    planner.make_listeners();
    planner.narrow();
    planner.revoke();
    planner.deregister();
    planner.retire();
    planner.record();
    Planned { actions: planner.actions, ids: planner.ids, waits: planner.waits }
}

struct Planner<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    limits: Limits,
    /// The load balancer that stays, if it exists.
    retained: Option<&'a ObservedLoadBalancer>,
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
    /// Ports whose old targets go early, to make room for others.
    exchanged: BTreeSet<u16>,
    actions: Vec<Action>,
    ids: ResolvedIds,
    waits: BTreeSet<Wait>,
}

impl<'a> Planner<'a> {
    fn new(desired: &'a Desired, observed: &'a Observed, limits: Limits) -> Self {
        let wanted = &desired.load_balancer;
        let stays = |lb: &&ObservedLoadBalancer| {
            lb.resource.scheme == wanted.scheme
                && lb.resource.name == wanted.name
                && lb.resource.state != LoadBalancerState::Failed
        };
        let retained = observed.load_balancers.iter().find(stays);
        let is_retained =
            |lb: &&ObservedLoadBalancer| retained.is_some_and(|k| k.resource.arn == lb.resource.arn);
        let others = observed.load_balancers.iter().filter(|lb| !is_retained(lb)).collect();
        let (matched, leftover) = target_groups::match_up(desired, observed, retained);
        let mut ids = ResolvedIds {
            load_balancer: retained.map(|lb| lb.resource.arn.clone()),
            backend: observed.groups.as_ref().and_then(|g| g.backend.as_ref()).map(|group| group.id.clone()),
            ..ResolvedIds::default()
        };
        for (wanted, found) in desired.target_groups.iter().zip(&matched) {
            if let Some(found) = found {
                ids.target_groups.insert(wanted.name.clone(), found.resource.arn.clone());
            }
        }
        for listener in retained.iter().flat_map(|lb| lb.listeners()) {
            ids.listeners.insert(listener.resource.port, listener.resource.arn.clone());
        }
        if let (Some(frontend), Some(groups)) = (&desired.groups.frontend, &observed.groups) {
            let found = groups.frontends.iter().find(|group| group.name == frontend.name);
            ids.frontend = found.map(|group| group.id.clone());
        }
        Planner {
            desired,
            observed,
            limits,
            retained,
            others,
            deleted: BTreeSet::new(),
            matched,
            leftover,
            revoked: BTreeSet::new(),
            exchanged: BTreeSet::new(),
            actions: Vec::new(),
            ids,
            waits: BTreeSet::new(),
        }
    }

    fn push(&mut self, part: Part, operation: Operation, reason: impl Into<String>) {
        self.actions.push(Action::new(part, operation, reason));
    }

    fn push_with(
        &mut self,
        part: Part,
        operation: Operation,
        reason: impl Into<String>,
        changes: Vec<Change>,
    ) {
        self.actions.push(Action::new(part, operation, reason).with(changes));
    }

    /// Old load balancers, then old target groups, then old groups: each is free only after the one before.
    fn retire(&mut self) {
        let serves = self.retained.is_some_and(|retained| {
            let name = retained.resource.dns_name.to_lowercase();
            retained.resource.state != LoadBalancerState::Provisioning
                && self.observed.published.contains(&name)
        });
        for lb in self.others.clone() {
            if serves || lb.resource.state == LoadBalancerState::Failed {
                self.delete_load_balancer(Part::Remains, lb, "another one has taken its place");
            } else if !self.deleted.contains(lb.resource.arn.as_str()) {
                self.waits.insert(Wait::Replacement);
            }
        }
        self.retire_target_groups();
        self.retire_groups();
    }

    /// What was applied is noted on the load balancer, so that whoever comes next needs no more than the shared
    /// view to know that nothing is to be done. The note comes off before something changes: half a change must
    /// not look like a whole one when the Service is changed back. Where only targets change, only what was noted of them
    /// comes off.
    ///
    /// A note that another version of this program wrote is compared with nothing, and that alone is nothing to write:
    /// an upgrade costs a look at each Service, not a write. Neither is it worth a write of its own that only the targets
    /// were noted otherwise: that is noted when the Service is looked at the next time.
    fn record(&mut self) {
        let digest = self.desired.digest();
        let noted = self.retained.and_then(|lb| lb.tags.get(APPLIED_TAG)).cloned().unwrap_or_default();
        let is_applied = self.retained.is_some_and(|lb| self.desired.is_noted(&lb.tags));
        if self.actions.is_empty() && (is_applied || !self.waits.is_empty()) {
            return;
        }
        if self.actions.iter().all(Action::is_of_targets) && is_applied {
            let retained = self.retained.map(|lb| (&lb.resource.arn, &*lb.tags));
            let forget = tags::forgetting_targets(retained, &self.actions);
            self.actions.splice(0..0, forget);
        } else if !noted.is_empty() {
            let operation = Operation::Record { applied: None, targets: None };
            let reason = "what was applied is about to change";
            let changes = vec![describe::removed(APPLIED_TAG, &noted)];
            self.actions.insert(0, Action::new(Part::Foundation, operation, reason).with(changes));
        }
        if self.waits.is_empty() {
            let targets = self.desired.targets_digest();
            let tags = self.retained.map(|lb| lb.tags.clone()).unwrap_or_default();
            let record = |tag: &str, to: Option<&String>| {
                let from = tags.get(tag).cloned().unwrap_or_default();
                drift::change(tag, from, to.cloned().unwrap_or_default())
            };
            let changes = [record(APPLIED_TAG, Some(&digest)), record(TARGETS_TAG, targets.as_ref())];
            let operation = Operation::Record { applied: Some(digest), targets };
            let reason = "so that nobody has to compare again";
            self.push_with(Part::Record, operation, reason, changes.into_iter().flatten().collect());
        }
    }
}

/// What comes of tags that something has, after others were put on.
fn with_tags(found: &Tags, more: &Tags) -> Tags {
    let mut tags = found.clone();
    tags.extend(more.clone());
    tags
}

#[cfg(test)]
mod tests;
