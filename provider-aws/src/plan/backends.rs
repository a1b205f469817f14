//! The plan of a change of nodes: nothing but targets, and the nodes' security groups that must let load balancers in.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::open_nodes;
use super::tags::forgetting_targets;
use super::target_groups::{TargetChange, target_step};
use super::{Part, Planned, ResolvedIds, TargetGroupRef};
use crate::client::{LoadBalancer, SecurityGroup, Tagged, Target, TargetHealth, TargetState, Traffic};
use crate::desired::Limits;
use crate::observe::TargetGroupDetails;
use crate::targets::TargetNodes;

/// What is known when nodes have changed.
#[derive(Clone, Debug)]
pub struct BackendChange<'a> {
    /// The load balancers of the Service, by ARN.
    pub load_balancers: &'a BTreeMap<String, Tagged<LoadBalancer>>,
    /// Target groups of the Service that take traffic.
    pub target_groups: Vec<TargetGroupTargets>,
    /// What the nodes' security groups must let in from the backend security group, that one, and they; none when they
    /// are open.
    pub open: Option<(&'a BTreeSet<Traffic>, &'a SecurityGroup, &'a [SecurityGroup])>,
}

/// The targets of one target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroupTargets {
    /// Its ARN.
    pub arn: String,
    /// The Service's port it is for.
    pub port: u16,
    /// Those it has.
    pub present: BTreeSet<Target>,
    /// Those it should have.
    pub wanted: BTreeSet<Target>,
    /// Those that AWS refused a while ago.
    pub refused: BTreeSet<Target>,
}

/// What is noted of the targets comes off first. Then the nodes are opened, then new targets come, then old ones go; old
/// ones first only where AWS has no room for both.
pub fn backends(change: &BackendChange<'_>, nodes: &TargetNodes, limits: &Limits) -> Planned {
    let mut planned = Planned::default();
    if let Some((wanted, source, groups)) = change.open {
        planned.ids = ResolvedIds { backend: Some(source.id.clone()), ..ResolvedIds::default() };
        planned.actions.extend(open_nodes(wanted, Some(&source.id), groups));
    }
    let there: usize = change.target_groups.iter().map(|group| group.present.len()).sum();
    let mut room = limits.targets.per_load_balancer.saturating_sub(there);
    let name = |id: &str| nodes.get(id).map(|node| node.node.as_str());
    let mut later = Vec::new();
    for group in &change.target_groups {
        let target = TargetChange::new(&group.wanted, Some(&group.details()));
        let reference = TargetGroupRef::Arn(group.arn.clone());
        let (come_part, go_part) = (Part::Port(group.port), Part::OldTargets(group.port));
        let here = limits.targets.per_group.saturating_sub(target.there).min(room);
        room = room.saturating_sub(target.come.len());
        let at_once = target.come.len().min(here);
        let is_crowded = at_once < target.come.len() && !target.go.is_empty();
        let (fit, others) = target.come.split_at(if is_crowded { at_once } else { target.come.len() });
        let mut push = |part, targets: &[Target], come| {
            planned.actions.extend(target_step(part, &reference, targets.to_vec(), come, name));
        };
        push(come_part.clone(), fit, true);
        if is_crowded {
            room += target.go.len();
            push(go_part, &target.go, false);
            push(come_part, others, true);
        } else {
            later.extend(target_step(go_part, &reference, target.go, false, name));
        }
    }
    planned.actions.extend(later);
    let noted = change.load_balancers.iter().map(|(arn, lb)| (arn, &*lb.tags));
    let forget = forgetting_targets(noted, &planned.actions);
    planned.actions.splice(0..0, forget);
    planned
}

impl TargetGroupTargets {
    fn details(&self) -> TargetGroupDetails {
        let health = |target: &Target| TargetHealth {
            target: target.clone(),
            state: TargetState::Healthy,
            reason: None,
            description: None,
        };
        TargetGroupDetails {
            targets: self.present.iter().map(health).collect(),
            refused: self.refused.clone(),
            ..TargetGroupDetails::default()
        }
    }
}
