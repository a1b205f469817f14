//! What is being released: one state for each Service that is deleted, in whatever way.
//!
//! A Service is deleted when it is being deleted, changes its type or class, vanishes, or another takes its name. From
//! then on its state here says what is still held and by whom, until nobody holds anything. What to do about it is
//! [decided](crate::decide) as everything else is; when an attempt fails, the state's one clock says when to go on.

use std::collections::HashMap;
use std::time::Duration;

use cloud_provider::{ServiceId, ServiceKey};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::decide::{Presence, ProviderIndex};
use crate::retry::{Backoff, RetryConfig};

/// Between two looks for Services that a list lacked. Whatever made the list lack them, load balancers do not go faster
/// than this, and somebody may still notice.
const CONFIRMATION_INTERVAL: Duration = Duration::from_millis(100);

/// What is still held for one Service that is deleted, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Release {
    /// What the cluster shows of the Service.
    pub presence: Presence,
    /// Who may still hold something; nobody: everything was released.
    pub holders: Vec<ProviderIndex>,
    /// When to go on; none: now.
    pub at: Option<Instant>,
}

struct ReleaseState {
    release: Release,
    backoff: Backoff,
}

/// All releases under way, by name and identity: namesakes can be deleted one after the other.
pub(crate) struct Releases {
    retry: RetryConfig,
    releases: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_key: HashMap<ServiceKey, HashMap<ServiceId, ReleaseState>>,
    /// When the last look for a Service that a list lacked is to be.
    last_confirmation: Option<Instant>,
}

impl Inner {
    fn get(&mut self, id: &ServiceId) -> Option<&mut ReleaseState> {
        self.by_key.get_mut(&id.key)?.get_mut(id)
    }

    fn remove(&mut self, id: &ServiceId) {
        if let Some(namesakes) = self.by_key.get_mut(&id.key) {
            namesakes.remove(id);
            if namesakes.is_empty() {
                self.by_key.remove(&id.key);
            }
        }
    }
}

impl Releases {
    /// None yet.
    pub(crate) fn new(retry: RetryConfig) -> Self {
        Releases { retry, releases: Mutex::default() }
    }

    /// A Service that is in the cluster is to be released. What was begun before goes on.
    pub(crate) fn begin(&self, id: &ServiceId, holders: &[ProviderIndex]) {
        self.insert(id, Presence::Shown, holders, None);
    }

    /// A Service was deleted, as an event or another Service under its name says. Whether something is left to do.
    pub(crate) fn deleted(&self, id: &ServiceId, possible_holders: &[ProviderIndex]) -> bool {
        self.gone_as(Presence::Deleted, id, possible_holders, None)
    }

    fn gone_as(
        &self,
        presence: Presence,
        id: &ServiceId,
        possible_holders: &[ProviderIndex],
        at: Option<Instant>,
    ) -> bool {
        let released = self.lock().get(id).is_some_and(|state| state.release.holders.is_empty());
        if released {
            self.lock().remove(id);
        } else {
            self.insert(id, presence, possible_holders, at);
        }
        !released
    }

    /// A complete list lacked a Service: nothing is released before it was asked for by name. Whether something is left
    /// to do.
    pub(crate) fn missing(&self, id: &ServiceId, possible_holders: &[ProviderIndex]) -> bool {
        let at = self.next_confirmation();
        self.gone_as(Presence::Missing, id, possible_holders, Some(at))
    }

    fn next_confirmation(&self) -> Instant {
        let (mut inner, now) = (self.lock(), Instant::now());
        let at = inner.last_confirmation.map_or(now, |last| now.max(last + CONFIRMATION_INTERVAL));
        inner.last_confirmation = Some(at);
        at
    }

    /// A Service that was missing is there.
    pub(crate) fn found(&self, id: &ServiceId) {
        let mut inner = self.lock();
        if inner.get(id).is_some_and(|state| state.release.presence == Presence::Missing) {
            inner.remove(id);
        }
    }

    /// A Service that was missing is not there indeed.
    pub(crate) fn confirmed(&self, id: &ServiceId) {
        if let Some(state) = self.lock().get(id) {
            state.release.presence = Presence::Deleted;
            state.release.at = None;
        }
    }

    /// An attempt failed: it goes on after a growing wait, and not before `not_before`. When that is.
    pub(crate) fn failed(&self, id: &ServiceId, not_before: Option<Instant>) -> Option<Instant> {
        let mut inner = self.lock();
        let state = inner.get(id)?;
        let at = Instant::now() + state.backoff.failed(self.retry);
        let at = not_before.map_or(at, |earliest| at.max(earliest));
        state.release.at = Some(at);
        Some(at)
    }

    /// A provider holds nothing any more.
    pub(crate) fn released_by(&self, id: &ServiceId, holder: ProviderIndex) {
        if let Some(state) = self.lock().get(id) {
            state.release.holders.retain(|other| *other != holder);
        }
    }

    /// The Service, which is there, is served again, or of no interest any more. If it was deleted meanwhile, that stays.
    pub(crate) fn cancel(&self, id: &ServiceId) {
        let mut inner = self.lock();
        if inner.get(id).is_some_and(|state| state.release.presence == Presence::Shown) {
            inner.remove(id);
        }
    }

    /// There is nothing left to do for a Service that is not there any more.
    pub(crate) fn forget(&self, id: &ServiceId) {
        self.lock().remove(id);
    }

    /// How far the release of a Service is, if there is one.
    pub(crate) fn of(&self, id: &ServiceId) -> Option<Release> {
        self.lock().get(id).map(|state| state.release.clone())
    }

    /// The names under which something is being released.
    pub(crate) fn keys(&self) -> Vec<ServiceKey> {
        self.lock().by_key.keys().cloned().collect()
    }

    /// Who had this name and is not in the cluster any more.
    pub(crate) fn gone(&self, key: &ServiceKey) -> Vec<ServiceId> {
        let inner = self.lock();
        let namesakes = inner.by_key.get(key).into_iter().flatten();
        let gone = namesakes.filter(|(_, state)| state.release.presence != Presence::Shown);
        gone.map(|(id, _)| id.clone()).collect()
    }

    /// Everybody for whom something is being released.
    pub(crate) fn all(&self) -> Vec<ServiceId> {
        self.lock().by_key.values().flat_map(HashMap::keys).cloned().collect()
    }

    /// What is known already of who holds what is not known worse: holders are added, a deletion stays one.
    fn insert(&self, id: &ServiceId, presence: Presence, holders: &[ProviderIndex], at: Option<Instant>) {
        let mut inner = self.lock();
        let namesakes = inner.by_key.entry(id.key.clone()).or_default();
        let state = namesakes.entry(id.clone()).or_insert_with(|| ReleaseState {
            release: Release { presence, holders: Vec::new(), at },
            backoff: Backoff::default(),
        });
        for holder in holders {
            if !state.release.holders.contains(holder) {
                state.release.holders.push(*holder);
            }
        }
        match (state.release.presence, presence) {
            (Presence::Deleted, _) | (_, Presence::Shown) => {}
            (_, Presence::Missing) => {
                state.release.presence = presence;
                state.release.at = state.release.at.max(at);
            }
            (_, Presence::Deleted) => state.release.presence = presence,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.releases.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(uid: &str) -> ServiceId {
        ServiceId::new("d", "web", uid)
    }

    fn releases() -> Releases {
        Releases::new(RetryConfig::default())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_released_before_it_was_deleted_leaves_nothing_to_do() {
        let releases = releases();
        releases.begin(&id("a"), &[0, 1]);
        releases.released_by(&id("a"), 0);
        releases.released_by(&id("a"), 1);
        assert!(!releases.deleted(&id("a"), &[0]));
        assert_eq!(releases.of(&id("a")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_does_not_hurry_a_release_that_waits_and_namesakes_are_told_apart() {
        let releases = releases();
        releases.begin(&id("a"), &[0]);
        let again = releases.failed(&id("a"), None);
        assert!(releases.deleted(&id("a"), &[0]) && releases.deleted(&id("b"), &[1]));
        let first = releases.of(&id("a")).unwrap();
        assert_eq!((first.presence, first.at), (Presence::Deleted, again));
        assert_eq!(releases.of(&id("b")).unwrap().holders, [1]);
        assert_eq!(releases.gone(&id("a").key).len(), 2);
        releases.forget(&id("a"));
        assert_eq!(releases.gone(&id("a").key), [id("b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_was_deleted_while_it_was_about_to_be_served_again_is_released() {
        let releases = releases();
        releases.begin(&id("a"), &[0]);
        releases.cancel(&id("a"));
        assert_eq!(releases.of(&id("a")), None);
        assert!(releases.deleted(&id("a"), &[0]));
        releases.cancel(&id("a"));
        assert_eq!(releases.of(&id("a")).unwrap().presence, Presence::Deleted);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_missing_is_looked_for_one_after_the_other() {
        let (releases, now) = (releases(), Instant::now());
        let all: Vec<ServiceId> = (0..20).map(|n| id(&n.to_string())).collect();
        for id in &all {
            assert!(releases.missing(id, &[0]));
        }
        let last = all.iter().filter_map(|id| releases.of(id)?.at).max().unwrap();
        assert_eq!(last - now, 19 * CONFIRMATION_INTERVAL);
        releases.found(&all[0]);
        assert_eq!(releases.of(&all[0]), None);
        releases.confirmed(&all[1]);
        releases.found(&all[1]);
        let confirmed = releases.of(&all[1]).unwrap();
        assert_eq!((confirmed.presence, confirmed.at), (Presence::Deleted, None), "a deletion stays one");
    }
}
