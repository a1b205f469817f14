//! Target groups and targets: filled before traffic comes, emptied and deleted after it has gone.

use std::collections::BTreeSet;

use super::{Action, Planner, Wait, What};
use crate::client::{Target, TargetType};
use crate::drift;
use crate::model::{Desired, TargetGroup};
use crate::observe::{Observed, ObservedLoadBalancer, ObservedTargetGroup};

type Matched<'a> = (Vec<Option<&'a ObservedTargetGroup>>, Vec<&'a ObservedTargetGroup>);

/// Finds for each target group that should exist the one that does: the one of its name, else the one that its
/// listener forwards to now, if nothing about it would have to change that cannot. The latter is how a load
/// balancer that somebody else made is taken over without an interruption.
pub(super) fn match_up<'a>(
    desired: &Desired,
    observed: &'a Observed,
    keeper: Option<&ObservedLoadBalancer>,
) -> Matched<'a> {
    let find = |wanted: &TargetGroup| {
        let named = observed.target_groups.iter().find(|found| found.resource.name == wanted.name);
        named.filter(|found| can_become(found, wanted)).or_else(|| {
            let listener = keeper?.listeners.iter().find(|l| l.resource.port == wanted.port)?;
            let [only] = listener.resource.forward.target_groups.as_slice() else { return None };
            let found = observed.target_groups.iter().find(|found| found.resource.arn == only.arn)?;
            can_become(found, wanted).then_some(found)
        })
    };
    let matched: Vec<Option<&ObservedTargetGroup>> = desired.target_groups.iter().map(find).collect();
    let kept: BTreeSet<&str> = matched.iter().flatten().map(|tg| tg.resource.arn.as_str()).collect();
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

/// The targets a group should have.
fn wanted_targets(desired: &Desired, target_group: &TargetGroup) -> Option<BTreeSet<Target>> {
    let instances = desired.instances.as_ref()?;
    Some(instances.iter().map(|id| Target::new(id, target_group.node_port)).collect())
}

/// The targets a group has, without those that are on their way out: one that is wanted again is registered again.
fn present_targets(found: &ObservedTargetGroup) -> BTreeSet<Target> {
    found.targets.iter().filter(|t| !t.state.is_leaving()).map(|t| t.target.clone()).collect()
}

impl Planner<'_> {
    pub(super) fn make_target_groups(&mut self) {
        let desired = self.desired;
        for (wanted, found) in desired.target_groups.iter().zip(self.matched.clone()) {
            match found {
                None => {
                    self.push(What::CreateTargetGroup(wanted.clone()), "it does not exist");
                    if !wanted.attributes.is_empty() {
                        let attributes = wanted.attributes.clone();
                        let what = What::ModifyTargetGroupAttributes {
                            target_group: wanted.name.clone(),
                            attributes,
                        };
                        self.push(what, "the Service asks for them");
                    }
                }
                Some(found) => self.change_target_group(wanted, found),
            }
            self.register(wanted, found);
        }
    }

    fn change_target_group(&mut self, wanted: &TargetGroup, found: &ObservedTargetGroup) {
        let target_group = wanted.name.clone();
        let drift = drift::tags(&wanted.tags, &self.claimed(&found.tags));
        if !drift.is_empty() {
            let arns = vec![found.resource.arn.clone()];
            self.push(What::Tag { arns, add: drift.add, remove: drift.remove }, "tags differ");
        }
        let changes = drift::health_check(&wanted.health_check, &found.resource.health_check);
        if !changes.is_empty() {
            let health_check = wanted.health_check.clone();
            let what = What::ModifyTargetGroup { target_group: target_group.clone(), health_check };
            self.actions.push(Action::new(what, "the health check differs").with(changes));
        }
        let attributes = drift::attributes(&wanted.attributes, &found.attributes, &found.tags);
        if !attributes.is_empty() {
            let what = What::ModifyTargetGroupAttributes { target_group, attributes };
            self.push(what, "attributes differ");
        }
    }

    fn register(&mut self, wanted: &TargetGroup, found: Option<&ObservedTargetGroup>) {
        let Some(targets) = wanted_targets(self.desired, wanted) else { return };
        let present = found.map(present_targets).unwrap_or_default();
        let missing: Vec<Target> = targets.difference(&present).cloned().collect();
        if !missing.is_empty() {
            let what = What::RegisterTargets { target_group: wanted.name.clone(), targets: missing };
            self.push(what, "these nodes may take traffic");
        }
    }

    pub(super) fn deregister(&mut self) {
        let desired = self.desired;
        for (wanted, found) in desired.target_groups.iter().zip(self.matched.clone()) {
            let (Some(found), Some(targets)) = (found, wanted_targets(desired, wanted)) else { continue };
            let extra: Vec<Target> = present_targets(found).difference(&targets).cloned().collect();
            if !extra.is_empty() {
                let what = What::DeregisterTargets { target_group: wanted.name.clone(), targets: extra };
                self.push(what, "these nodes may no longer take traffic");
            }
        }
    }

    /// A target group that served is emptied first, and deleted by a later plan once connections have ended.
    pub(super) fn retire_target_groups(&mut self) {
        for found in self.leftover.clone() {
            let arn = &found.resource.arn;
            let forwards = |lb: &ObservedLoadBalancer| {
                let mut groups = lb.listeners.iter().flat_map(|l| &l.resource.forward.target_groups);
                groups.any(|tg| &tg.arn == arn)
            };
            let stays = |lb: &&&ObservedLoadBalancer| !self.deleted.contains(lb.resource.arn.as_str());
            if self.others.iter().filter(stays).any(|lb| forwards(lb)) {
                continue;
            }
            let served = self.keeper.is_some_and(forwards)
                || found
                    .resource
                    .load_balancer_arns
                    .iter()
                    .any(|lb| self.known.load_balancer.as_ref() == Some(lb));
            let present: Vec<Target> = present_targets(found).into_iter().collect();
            if served && !present.is_empty() {
                let what = What::DeregisterTargets { target_group: arn.clone(), targets: present };
                self.push(
                    what,
                    "another target group has taken its place; connections are given time to end",
                );
                self.known.target_groups.insert(arn.clone(), arn.clone());
                self.waits.insert(Wait::Draining);
            } else if served && found.targets.iter().any(|target| target.state.is_leaving()) {
                self.waits.insert(Wait::Draining);
            } else {
                self.push(What::DeleteTargetGroup { arn: arn.clone() }, "no listener uses it");
            }
        }
    }
}
