//! Targets: which are registered, and which AWS refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use cloud_provider::Ordered;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::client::Target;

/// By Service UID.
#[derive(Debug, Default)]
pub(crate) struct TargetMemory {
    services: Mutex<HashMap<String, Targets>>,
}

#[derive(Debug, Default)]
struct Targets {
    /// By target group ARN, after the last call that changed or read them.
    registered: BTreeMap<String, BTreeSet<Target>>,
    /// All of them together.
    all: Known,
    /// By target group ARN: what AWS did not take, and until when it is not asked again.
    refused: BTreeMap<String, BTreeMap<Target, Instant>>,
}

/// What is known of all targets of a Service together.
#[derive(Debug, Default)]
enum Known {
    /// This process has changed nothing: what was noted holds.
    #[default]
    AsNoted,
    /// It has changed some, so that what was noted holds no more.
    Changed,
    /// The sets of this digest are registered.
    Registered(String),
}

impl TargetMemory {
    /// The targets of a target group, if they are known.
    pub(crate) fn registered(&self, uid: &str, target_group: &str) -> Option<BTreeSet<Target>> {
        self.services.lock().get(uid)?.registered.get(target_group).cloned()
    }

    /// The targets of a target group, if they are known, which they are no longer: they are about to change.
    pub(crate) fn take_registered(&self, uid: &str, target_group: &str) -> Option<BTreeSet<Target>> {
        self.of(uid, |known| {
            known.all = Known::Changed;
            known.registered.remove(target_group)
        })
    }

    /// The targets of a target group are these.
    pub(crate) fn set_registered(&self, uid: &str, target_group: &str, targets: BTreeSet<Target>) {
        self.of(uid, |known| {
            known.registered.insert(target_group.to_owned(), targets);
        });
    }

    /// The digest of the registered targets, where it was noted as this; none if they are others in part.
    pub(crate) fn digest(&self, uid: &str, noted: Option<&String>) -> Option<String> {
        match self.services.lock().get(uid).map(|known| &known.all) {
            None | Some(Known::AsNoted) => noted.cloned(),
            Some(Known::Changed) => None,
            Some(Known::Registered(digest)) => Some(digest.clone()),
        }
    }

    /// All target groups of a Service hold the targets of this digest; none: not all of them do.
    pub(crate) fn set_digest(&self, uid: &str, digest: Option<String>) {
        self.of(uid, |known| known.all = digest.map_or(Known::Changed, Known::Registered));
    }

    /// AWS does not take these targets; it is not asked again for a while.
    pub(crate) fn refuse(
        &self,
        uid: &str,
        target_group: &str,
        holds: Duration,
        targets: impl IntoIterator<Item = Target>,
    ) {
        let until = Instant::now() + holds;
        self.of(uid, |known| {
            let refused = known.refused.entry(target_group.to_owned()).or_default();
            refused.extend(targets.into_iter().map(|target| (target, until)));
        });
    }

    /// The targets of a target group that AWS is not asked for again yet.
    pub(crate) fn refused(&self, uid: &str, target_group: &str) -> BTreeSet<Target> {
        let mut services = self.services.lock();
        let Some(known) = services.get_mut(uid) else { return BTreeSet::new() };
        let Some(refused) = known.refused.get_mut(target_group) else { return BTreeSet::new() };
        let now = Instant::now();
        refused.retain(|_, until| *until > now);
        refused.keys().cloned().ordered()
    }

    /// How long until a refused target is worth another try; none when none is refused.
    pub(crate) fn until_another_try(&self, uid: &str) -> Option<Duration> {
        let services = self.services.lock();
        let now = Instant::now();
        let refused = services.get(uid)?.refused.values().flat_map(BTreeMap::values);
        Some(*refused.filter(|until| **until > now).min()? - now)
    }

    pub(super) fn doubt(&self, uid: &str) {
        self.of(uid, |known| {
            known.registered.clear();
            known.all = Known::Changed;
        });
    }

    pub(super) fn forget(&self, uid: &str) {
        self.services.lock().remove(uid);
    }

    fn of<T>(&self, uid: &str, act: impl FnOnce(&mut Targets) -> T) -> T {
        act(self.services.lock().entry(uid.to_owned()).or_default())
    }
}
