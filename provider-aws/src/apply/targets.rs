//! Targets in and out.

use std::collections::BTreeSet;
use std::time::Duration;

use cloud_provider::{Note, NoteKind, Ordered};

use super::{Applied, Applier};
use crate::client::{TARGETS_PER_CALL, Target};
use crate::error::{ApiError, ErrorKind};
use crate::failure::StepFailure;

/// How many refused targets are named to the user.
const TARGETS_TOLD: usize = 5;

/// How long a target that AWS calls invalid is not asked for again: whatever is wrong with an instance takes minutes to
/// mend.
const INVALID_TARGET_TTL: Duration = Duration::from_secs(600);

/// How long one for which there is no room is not: targets on their way out may still take some.
const QUOTA_TTL: Duration = Duration::from_secs(60);

/// Targets that AWS did not take.
#[derive(Default)]
struct RefusedTargets {
    /// Each with AWS's words.
    invalid: Vec<(Target, String)>,
    /// Those beyond a quota, and AWS's words.
    beyond: Vec<Target>,
    quota: String,
}

impl Applier<'_> {
    /// Registers targets. What AWS refuses is told and remembered, the rest serves.
    ///
    /// AWS refuses a whole request for one bad target (the AWS Load Balancer Controller's issues #1279 and #3508) and
    /// names it: the others are asked for again. Where it names none, the request is halved until the bad one stands
    /// alone. A quota ends it: what fits was computed before, and more requests make no room.
    pub(super) async fn register(
        &mut self,
        target_group: &str,
        targets: &[Target],
    ) -> Result<Applied, StepFailure> {
        let mut queue: Vec<Vec<Target>> =
            targets.chunks(TARGETS_PER_CALL).rev().map(<[Target]>::to_vec).collect();
        let mut refused = RefusedTargets::default();
        let mut known = self.memory.targets.take_registered(&self.service.uid, target_group);
        while let Some(some) = queue.pop() {
            match self.aws.elbv2().register_targets(target_group, &some).await {
                Ok(()) => known.iter_mut().for_each(|known| known.extend(some.iter().cloned())),
                Err(error) if error.is("InvalidTarget") => match named(&error, &some) {
                    (bad, good) if !bad.is_empty() => {
                        refused.invalid.extend(bad.into_iter().map(|target| (target, error.message.clone())));
                        queue.extend((!good.is_empty()).then_some(good));
                    }
                    (_, some) if some.len() <= 1 => {
                        refused
                            .invalid
                            .extend(some.into_iter().map(|target| (target, error.message.clone())));
                    }
                    (_, mut first) => {
                        let second = first.split_off(first.len() / 2);
                        queue.extend([second, first]);
                    }
                },
                Err(error) if is_quota(&error) => {
                    refused.quota = error.message;
                    refused.beyond = std::iter::once(some).chain(queue).flatten().collect();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.remember(target_group, known);
        self.refuse(target_group, refused);
        Ok(Applied::Done)
    }

    /// Remembers and tells what was refused.
    fn refuse(&mut self, target_group: &str, refused: RefusedTargets) {
        let uid = &self.service.uid;
        let memory = &self.memory.targets;
        let mut told = Vec::new();
        if !refused.invalid.is_empty() {
            let some = refused.invalid.iter().take(TARGETS_TOLD);
            let listed: Vec<String> = some.map(|(target, why)| format!("{}: {why}", target.id)).collect();
            told.push(format!("AWS refuses {} targets: {}", refused.invalid.len(), listed.join("; ")));
            self.aws.forget_instances(refused.invalid.iter().map(|(target, _)| target.id.as_str()));
            memory.refuse(uid, target_group, INVALID_TARGET_TTL, refused.invalid.into_iter().map(|(t, _)| t));
        }
        if !refused.beyond.is_empty() {
            told.push(format!("AWS has no room for {} targets: {}", refused.beyond.len(), refused.quota));
            memory.refuse(uid, target_group, QUOTA_TTL, refused.beyond);
        }
        self.refused_targets |= !told.is_empty();
        let note = |message| Note::new(NoteKind::Warning, "TargetsRefused", message);
        self.notes.extend(told.into_iter().map(note));
    }

    /// Takes targets out; those that are not there are no failure.
    pub(super) async fn deregister(
        &mut self,
        target_group: &str,
        targets: &[Target],
    ) -> Result<Applied, StepFailure> {
        let mut known = self.memory.targets.take_registered(&self.service.uid, target_group);
        for some in targets.chunks(TARGETS_PER_CALL) {
            match self.aws.elbv2().deregister_targets(target_group, some).await {
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        known.iter_mut().for_each(|known| known.retain(|target| !targets.contains(target)));
        self.remember(target_group, known);
        Ok(Applied::Done)
    }

    /// What is registered now, if it was known before. Until then it is not: a call may be cut short at any point.
    fn remember(&self, target_group: &str, known: Option<BTreeSet<Target>>) {
        if let Some(known) = known {
            self.memory.targets.set_registered(&self.service.uid, target_group, known);
        }
    }
}

fn is_quota(error: &ApiError) -> bool {
    error.is("TooManyTargets") || error.is("TooManyRegistrationsForTargetId")
}

/// The targets whose id stands in the message, and the others.
fn named(error: &ApiError, targets: &[Target]) -> (Vec<Target>, Vec<Target>) {
    let words: BTreeSet<&str> =
        error.message.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').ordered();
    targets.iter().cloned().partition(|target| words.contains(target.id.as_str()))
}
