//! Targets in and out.

use std::collections::BTreeSet;

use cloud_provider::{Note, NoteKind};

use super::Applier;
use crate::client::{TARGETS_PER_CALL, Target};
use crate::error::ErrorKind;
use crate::failure::Failure;

impl Applier<'_> {
    /// Registers targets. AWS refuses a whole request for one bad target, so that a refused request is halved
    /// until the bad one stands alone (the AWS Load Balancer Controller's issues #1279 and #3508); a quota is
    /// filled as far as it goes. What was refused is told, the rest serves.
    pub(crate) async fn register(&mut self, target_group: &str, targets: &[Target]) -> Result<(), Failure> {
        let mut queue: Vec<&[Target]> = targets.chunks(TARGETS_PER_CALL).rev().collect();
        let mut refused: Vec<(String, String)> = Vec::new();
        let mut registered: BTreeSet<Target> = BTreeSet::new();
        while let Some(some) = queue.pop() {
            match self.aws.register_targets(target_group, some).await {
                Ok(()) => registered.extend(some.iter().cloned()),
                Err(error) if error.is("InvalidTarget") || error.is("TooManyTargets") => match some {
                    [] => {}
                    [one] => refused.push((one.id.clone(), error.message)),
                    _ => {
                        let (first, second) = some.split_at(some.len() / 2);
                        queue.extend([second, first]);
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
        if !refused.is_empty() {
            self.aws.forget_instances(refused.iter().map(|(id, _)| id.as_str()));
            self.refused_targets = true;
            let listed: Vec<String> =
                refused.iter().take(5).map(|(id, why)| format!("{id}: {why}")).collect();
            let message = format!("AWS refuses {} targets: {}", refused.len(), listed.join("; "));
            self.notes.push(Note::new(NoteKind::Warning, "TargetsRefused", message));
        }
        self.remember(target_group, |known| known.extend(registered));
        Ok(())
    }

    /// Takes targets out; those that are not there are no failure.
    pub(crate) async fn deregister(&mut self, target_group: &str, targets: &[Target]) -> Result<(), Failure> {
        for some in targets.chunks(TARGETS_PER_CALL) {
            match self.aws.deregister_targets(target_group, some).await {
                Err(error) if error.kind != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        self.remember(target_group, |known| known.retain(|target| !targets.contains(target)));
        Ok(())
    }

    fn remember(&self, target_group: &str, change: impl FnOnce(&mut BTreeSet<Target>)) {
        let uid = &self.service.uid;
        if let Some(mut known) = self.memory.targets(uid, target_group) {
            change(&mut known);
            self.memory.set_targets(uid, self.config.deep_verification, target_group, known);
        }
    }
}
