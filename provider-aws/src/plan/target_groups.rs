//! Target groups and targets: filled before traffic comes, emptied and deleted after it has gone.

use std::collections::BTreeSet;

use cloud_provider::{Change, Ordered};

use super::{Action, Operation, Part, Planner, TargetGroupRef, Wait, describe};
use crate::client::{Target, TargetType};
use crate::desired::Desired;
use crate::drift;
use crate::model::TargetGroup;
use crate::naming::{self, RESOURCE_TAG};
use crate::observe::{Observed, ObservedLoadBalancer, ObservedTargetGroup, TargetGroupDetails};

type Matched<'a> = (Vec<Option<&'a ObservedTargetGroup>>, Vec<&'a ObservedTargetGroup>);

/// Finds for each target group that should exist the one that does: the one of its name, else the one of its load
/// balancer that is tagged for its port or that its listener forwards to now, if nothing about it would have to change
/// that cannot. The latter is how a load balancer that somebody else made is taken over without an interruption.
pub(super) fn match_up<'a>(
    desired: &Desired,
    observed: &'a Observed,
    retained: Option<&ObservedLoadBalancer>,
) -> Matched<'a> {
    let is_attached = |found: &ObservedTargetGroup| {
        let arns = &found.resource.load_balancer_arns;
        retained.is_some_and(|lb| arns.contains(&lb.resource.arn))
    };
    let find = |wanted: &TargetGroup| {
        let fits = |found: &&ObservedTargetGroup| can_become(found, wanted);
        let mut all = observed.target_groups.iter();
        let named = all.clone().find(|found| found.resource.name == wanted.name);
        let tagged = |found: &&ObservedTargetGroup| {
            is_attached(found) && found.tags.get(RESOURCE_TAG) == wanted.tags.get(RESOURCE_TAG)
        };
        named.filter(fits).or_else(|| all.clone().filter(tagged).find(fits)).or_else(|| {
            let listener = retained?.listeners().iter().find(|l| l.resource.port == wanted.port)?;
            let [only] = listener.resource.forward.target_groups.as_slice() else { return None };
            all.find(|found| found.resource.arn == only.arn).filter(fits)
        })
    };
    let matched: Vec<Option<&ObservedTargetGroup>> = desired.target_groups.iter().map(find).collect();
    let kept: BTreeSet<&str> = matched.iter().flatten().map(|tg| tg.resource.arn.as_str()).ordered();
    let leftover =
        observed.target_groups.iter().filter(|tg| !kept.contains(tg.resource.arn.as_str())).collect();
    (matched, leftover)
}

/// ELBv2 `ModifyTargetGroup`: protocol, family, VPC and target type cannot change.
fn can_become(found: &ObservedTargetGroup, wanted: &TargetGroup) -> bool {
    let found = &found.resource;
    found.protocol == wanted.protocol
        && found.family == wanted.family
        && found.vpc_id == wanted.vpc_id
        && found.target_type == TargetType::Instance
}

/// How the targets of one target group change.
pub(super) struct TargetChange {
    /// To be registered.
    pub(super) come: Vec<Target>,
    /// To be taken out.
    pub(super) go: Vec<Target>,
    /// How many are there, those on their way out included.
    pub(super) there: usize,
}

impl TargetChange {
    pub(super) fn new(wanted: &BTreeSet<Target>, found: Option<&TargetGroupDetails>) -> Self {
        let present = found.map(TargetGroupDetails::present).unwrap_or_default();
        let is_refused = |target: &&Target| found.is_some_and(|found| found.refused.contains(*target));
        TargetChange {
            come: wanted.difference(&present).filter(|target| !is_refused(target)).cloned().collect(),
            go: present.difference(wanted).cloned().collect(),
            there: present.len() + found.map_or(0, TargetGroupDetails::leaving),
        }
    }
}

impl Planner<'_> {
    pub(super) fn make_target_groups(&mut self) {
        let desired = self.desired;
        let mut room = self.room_for_targets();
        for (wanted, found) in desired.target_groups.iter().zip(self.matched.clone()) {
            match found {
                None => self.create_target_group(wanted),
                Some(found) => self.change_target_group(wanted, found),
            }
            self.register(wanted, found, &mut room);
        }
    }

    fn create_target_group(&mut self, wanted: &TargetGroup) {
        let part = Part::Port(wanted.port);
        let operation = Operation::CreateTargetGroup(wanted.clone());
        let resource = wanted.tags.get(RESOURCE_TAG);
        let old = self.leftover.iter().find(|old| old.tags.get(RESOURCE_TAG) == resource);
        match old.filter(|_| self.retained.is_some()) {
            None => self.push(part.clone(), operation, "it does not exist"),
            Some(old) => {
                let reason =
                    "the one that exists cannot be changed into it; it goes when its connections have ended";
                let protocol = drift::change("Protocol", old.resource.protocol, wanted.protocol);
                let family = drift::change("IpAddressType", old.resource.family, wanted.family);
                let name = drift::change("Name", &old.resource.name, &wanted.name);
                let changes = [name, protocol, family].into_iter().flatten().collect();
                self.actions.push(Action::new(part.clone(), operation, reason).replacing(changes));
            }
        }
        if !wanted.attributes.is_empty() {
            let target_group = TargetGroupRef::Named(wanted.name.clone());
            let attributes = wanted.attributes.clone();
            let operation = Operation::ModifyTargetGroupAttributes { target_group, attributes };
            self.push(part, operation, "the Service asks for them");
        }
    }

    fn change_target_group(&mut self, wanted: &TargetGroup, found: &ObservedTargetGroup) {
        let part = Part::Port(wanted.port);
        let target_group = TargetGroupRef::Named(wanted.name.clone());
        let arn = &found.resource.arn;
        let tags = self.tag_steps(&wanted.tags, &found.tags);
        self.tag(part.clone(), arn, &found.tags, tags.before);
        let changes = drift::health_check(&wanted.health_check, &found.resource.health_check);
        if !changes.is_empty() {
            let health_check = wanted.health_check.clone();
            let operation = Operation::ModifyTargetGroup { target_group: target_group.clone(), health_check };
            self.push_with(part.clone(), operation, "the health check differs", changes);
        }
        if let Some(details) = &found.details {
            let attributes = drift::target_group_attributes(
                &wanted.attributes,
                &details.attributes,
                &found.tags,
                wanted.protocol,
            );
            if !attributes.is_empty() {
                let changes = describe::attributes(&attributes, &details.attributes);
                let operation = Operation::ModifyTargetGroupAttributes { target_group, attributes };
                self.push_with(part.clone(), operation, "attributes differ", changes);
            }
        }
        self.tag(part, arn, &found.tags, tags.after);
    }

    /// How many targets the load balancer has room for, beside those it has.
    fn room_for_targets(&self) -> usize {
        let there = |tg: &ObservedTargetGroup| tg.details.as_ref().map_or(0, |details| details.targets.len());
        let attached = self.observed.target_groups.iter().filter(|tg| {
            let arns = &tg.resource.load_balancer_arns;
            self.retained.is_some_and(|lb| arns.contains(&lb.resource.arn))
        });
        self.limits.targets.per_load_balancer.saturating_sub(attached.map(there).sum())
    }

    /// Registers targets; old ones go later, when new ones can take their place. Where AWS has no room for both, as
    /// many new ones come as fit, then the old ones go at once, and then the others come.
    fn register(&mut self, wanted: &TargetGroup, found: Option<&ObservedTargetGroup>, room: &mut usize) {
        let Some(targets) = self.desired.targets.as_ref().and_then(|sets| sets.of(&wanted.name)) else {
            return;
        };
        // What was not read is as it should be.
        if found.is_some_and(|found| found.details.is_none()) {
            return;
        }
        let change = TargetChange::new(targets, found.and_then(|found| found.details.as_ref()));
        let port = wanted.port;
        let group = TargetGroupRef::Named(wanted.name.clone());
        let here = self.limits.targets.per_group.saturating_sub(change.there).min(*room);
        *room = room.saturating_sub(change.come.len());
        if change.come.len() <= here || change.go.is_empty() {
            self.push_targets(Part::Port(port), &group, change.come, true);
            return;
        }
        let (fit, others) = change.come.split_at(here);
        self.push_targets(Part::Port(port), &group, fit.to_vec(), true);
        *room += change.go.len();
        self.push_targets(Part::OldTargets(port), &group, change.go, false);
        self.push_targets(Part::Port(port), &group, others.to_vec(), true);
        self.exchanged.insert(port);
    }

    fn push_targets(&mut self, part: Part, group: &TargetGroupRef, targets: Vec<Target>, come: bool) {
        self.actions.extend(target_step(part, group, targets, come, |id| {
            self.desired.nodes.get(id).map(|node| node.node.as_str())
        }));
    }

    pub(super) fn deregister(&mut self) {
        let desired = self.desired;
        let Some(sets) = &desired.targets else { return };
        for (wanted, found) in desired.target_groups.iter().zip(self.matched.clone()) {
            let details = found.and_then(|found| found.details.as_ref());
            let (Some(details), Some(targets)) = (details, sets.of(&wanted.name)) else { continue };
            if !self.exchanged.contains(&wanted.port) {
                let group = TargetGroupRef::Named(wanted.name.clone());
                let go = TargetChange::new(targets, Some(details)).go;
                self.push_targets(Part::OldTargets(wanted.port), &group, go, false);
            }
        }
    }

    /// A target group that served is emptied first, and deleted by a later plan once connections have ended.
    pub(super) fn retire_target_groups(&mut self) {
        for found in self.leftover.clone() {
            let arn = &found.resource.arn;
            let forwards = |lb: &ObservedLoadBalancer| {
                let mut groups = lb.listeners().iter().flat_map(|l| &l.resource.forward.target_groups);
                groups.any(|tg| &tg.arn == arn)
            };
            let stays = |lb: &&&ObservedLoadBalancer| !self.deleted.contains(lb.resource.arn.as_str());
            if self.others.iter().filter(stays).any(|lb| forwards(lb)) {
                continue;
            }
            let served = self.retained.is_some_and(forwards)
                || found
                    .resource
                    .load_balancer_arns
                    .iter()
                    .any(|lb| self.ids.load_balancer.as_ref() == Some(lb));
            let part = naming::port_of_target_group(&found.tags).map_or(Part::Remains, Part::OldPort);
            let details = found.details.clone().unwrap_or_default();
            let present: Vec<Target> = details.present().into_iter().collect();
            if served && !present.is_empty() {
                let operation = Operation::DeregisterTargets {
                    target_group: TargetGroupRef::Arn(arn.clone()),
                    targets: present,
                };
                let reason = "another target group has taken its place; connections are given time to end";
                self.push(part, operation, reason);
                self.waits.insert(Wait::Draining);
            } else if served && details.leaving() > 0 {
                self.waits.insert(Wait::Draining);
            } else {
                let operation = Operation::DeleteTargetGroup { arn: arn.clone() };
                self.push(part, operation, "no listener uses it");
            }
        }
    }
}

/// One step about targets, if there are any, with the names of their nodes.
pub(super) fn target_step<'n>(
    part: Part,
    group: &TargetGroupRef,
    targets: Vec<Target>,
    come: bool,
    node: impl Fn(&str) -> Option<&'n str>,
) -> Option<Action> {
    if targets.is_empty() {
        return None;
    }
    let show = |target: &Target| match node(&target.id) {
        Some(node) => format!("{node} ({}:{})", target.id, target.port),
        None => format!("{}:{}", target.id, target.port),
    };
    let target_group = group.clone();
    let change = |target: &Target| match come {
        true => describe::added(describe::TARGET, show(target)),
        false => describe::removed(describe::TARGET, show(target)),
    };
    let mut changes: Vec<Change> = targets.iter().map(change).collect();
    // By the names of nodes, where targets go by their ids.
    changes.sort_unstable_by(|one, other| (&one.from, &one.to).cmp(&(&other.from, &other.to)));
    let (operation, reason) = match come {
        true => (Operation::RegisterTargets { target_group, targets }, "these nodes may take traffic"),
        false => {
            (Operation::DeregisterTargets { target_group, targets }, "these nodes may no longer take traffic")
        }
    };
    Some(Action::new(part, operation, reason).with(changes))
}
