//! Tags: what is taken over is made ours first, and what a tag says was done is written after it was.

use super::{Action, Operation, Part, Planner, describe, with_tags};
use crate::client::Tags;
use crate::drift::{self, TagDrift};
use crate::naming::{APPLIED_TAG, CLUSTER_TAG, TARGETS_TAG, UID_TAG};

/// What the steps about tags stand before and after.
pub(super) struct TagSteps {
    pub(super) before: TagDrift,
    pub(super) after: TagDrift,
}

impl Planner<'_> {
    /// Makes what is taken over ours. The load balancer comes first: once it is ours, whoever goes on finds its target
    /// groups by it, and before that everything is the other controller's. Listeners are nobody's but their load
    /// balancer's, and get their tags when their turn comes.
    pub(super) fn claim(&mut self) {
        let theirs = |tags: &Tags| !tags.contains_key(UID_TAG);
        let load_balancer = self.retained.filter(|lb| theirs(&lb.tags)).map(|lb| &lb.resource.arn);
        let target_groups = self.observed.target_groups.iter().filter(|tg| theirs(&tg.tags));
        let arns: Vec<String> =
            load_balancer.into_iter().chain(target_groups.map(|tg| &tg.resource.arn)).cloned().collect();
        for arn in arns {
            let operation = Operation::Tag { arn, add: self.claim_tags(), remove: Vec::new() };
            self.push(Part::Foundation, operation, "it is taken over from another controller");
        }
    }

    /// The tags that make something this Service's.
    fn claim_tags(&self) -> Tags {
        let mut tags = self.desired.load_balancer.tags.clone();
        tags.retain(|key, _| [CLUSTER_TAG, UID_TAG].contains(&key.as_str()));
        tags
    }

    /// How the tags of something that is claimed differ from those it should have.
    pub(super) fn tag_steps(&self, wanted: &Tags, found: &Tags) -> TagSteps {
        let (before, after) = drift::tags_around(wanted, &with_tags(found, &self.claim_tags()));
        TagSteps { before, after }
    }

    pub(super) fn tag(&mut self, part: Part, arn: &str, found: &Tags, drift: TagDrift) {
        if drift.is_empty() {
            return;
        }
        let changes = describe::tags(&drift.add, &drift.remove, found);
        let operation = Operation::Tag { arn: arn.to_owned(), add: drift.add, remove: drift.remove };
        self.push_with(part, operation, "tags differ", changes);
    }
}

/// Takes what these load balancers say of registered targets off before the first of these steps, if one of them changes
/// targets: a process that dies in between, or at any time before it is said anew, leaves nothing that the next one would
/// believe once the nodes are those of before. Nobody believes it of a load balancer of which it is not noted that all else
/// was applied.
pub(super) fn forgetting_targets<'a>(
    load_balancers: impl IntoIterator<Item = (&'a String, &'a Tags)>,
    steps: &[Action],
) -> Vec<Action> {
    if !steps.iter().any(Action::is_of_targets) {
        return Vec::new();
    }
    let said = |tags: &'a Tags, key| tags.get(key).filter(|value| !value.is_empty());
    let believed = load_balancers.into_iter().filter_map(|(arn, tags)| {
        said(tags, APPLIED_TAG)?;
        Some((arn, said(tags, TARGETS_TAG)?))
    });
    let forget = |(arn, digest): (&String, &String)| {
        let operation = Operation::ForgetTargets { arn: arn.clone() };
        let changes = vec![describe::removed(TARGETS_TAG, digest)];
        Action::new(Part::Foundation, operation, "registered targets are about to change").with(changes)
    };
    believed.map(forget).collect()
}
