//! The plan towards nothing: what a Service has goes, and what all Services shared goes with the last of them.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::Ordered;

use super::{Action, Operation, Part, Planned};
use crate::client::{SecurityGroup, Snapshot, Tags};
use crate::naming::UID_TAG;

/// What is known of a Service that is being deleted.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    /// Its load balancers and target groups.
    pub found: Snapshot,
    /// Its own security groups.
    pub groups: Vec<SecurityGroup>,
    /// Ids of groups that this process made for it and that no list shows.
    pub unseen_groups: BTreeSet<String>,
    /// The tags that make something this Service's, and the groups that came along with a load balancer that was taken
    /// over and do not carry them yet.
    pub claim: Tags,
    /// See there.
    pub unclaimed_groups: Vec<SecurityGroup>,
    /// The backend security group. Whether another Service still needs it is known only when all the rest has gone: of
    /// several that are deleted at once each would see the others now, and leave it to them.
    pub backend: Option<SecurityGroup>,
}

/// What is not tagged as ours yet becomes so first, so that it is found without the load balancer that it came with;
/// then load balancers go, target groups, groups: each is free only after the one before.
pub fn deletion(deletion: &Deletion) -> Planned {
    let mut actions = Vec::new();
    let mut push = |part, operation, reason: &str| actions.push(Action::new(part, operation, reason));
    let theirs = |tags: &Tags| !tags.contains_key(UID_TAG);
    const GONE: &str = "the Service is deleted";
    const TAKEN_OVER: &str = "it was taken over, and has to be found without its load balancer";
    for (arn, _) in deletion.found.target_groups.iter().filter(|(_, tg)| theirs(&tg.tags)) {
        let operation = Operation::Tag { arn: arn.clone(), add: deletion.claim.clone(), remove: Vec::new() };
        push(Part::Foundation, operation, TAKEN_OVER);
    }
    for group in &deletion.unclaimed_groups {
        let operation = Operation::TagGroup {
            group: super::GroupRef::Id(group.id.clone()),
            add: deletion.claim.clone(),
            remove: Vec::new(),
        };
        push(Part::Foundation, operation, TAKEN_OVER);
    }
    for arn in deletion.found.load_balancers.keys() {
        push(Part::Foundation, Operation::DeleteLoadBalancer { arn: arn.clone() }, GONE);
    }
    for arn in deletion.found.target_groups.keys() {
        push(Part::Foundation, Operation::DeleteTargetGroup { arn: arn.clone() }, GONE);
    }
    let own: BTreeMap<&str, &SecurityGroup> = deletion
        .groups
        .iter()
        .chain(&deletion.unclaimed_groups)
        .map(|group| (group.id.as_str(), group))
        .ordered();
    for id in own.keys() {
        push(Part::Foundation, Operation::DeleteGroup { id: (*id).to_owned() }, GONE);
    }
    for id in deletion.unseen_groups.iter().filter(|id| !own.contains_key(id.as_str())) {
        push(Part::Foundation, Operation::DeleteUnseenGroup { id: id.clone() }, GONE);
    }
    if let Some(backend) = &deletion.backend {
        let operation =
            Operation::DeleteBackendGroup { id: backend.id.clone(), vpc_id: backend.vpc_id.clone() };
        push(Part::Remains, operation, "no Service of this cluster is left that needs it");
    }
    Planned { actions, ..Planned::default() }
}
