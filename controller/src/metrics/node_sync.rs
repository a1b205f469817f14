//! How long it takes until a settled set of nodes is with every Service it concerns.

use std::collections::HashMap;
use std::time::Duration;

use cloud_provider::ServiceKey;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// The set that is on its way.
#[derive(Debug, Default)]
pub(super) struct NodeSync(Mutex<Option<UnderWay>>);

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    /// Who has not had the set yet, and since when it is theirs.
    remaining: HashMap<ServiceKey, Instant>,
}

impl NodeSync {
    /// No set is on its way.
    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    /// A set has settled that concerns these Services. One that comes while another is on its way joins it.
    pub(super) fn begins(&self, concerned: impl IntoIterator<Item = ServiceKey>) {
        let (mut under_way, now) = (self.lock(), Instant::now());
        let joined = under_way.get_or_insert_with(|| UnderWay { since: now, remaining: HashMap::new() });
        joined.remaining.extend(concerned.into_iter().map(|key| (key, now)));
        if joined.remaining.is_empty() {
            *under_way = None;
        }
    }

    /// A reconcile of a Service is over that took so long; how long the set took, if it was the last. A reconcile that
    /// began before the set was there has not seen it.
    pub(super) fn reconciled(&self, key: &ServiceKey, reconcile_took: Duration) -> Option<Duration> {
        let settled = self.lock().as_ref()?.remaining.get(key).copied()?;
        if settled.elapsed() >= reconcile_took { self.left(key) } else { None }
    }

    /// A Service needs no nodes any more; how long the set took, if it was the last.
    pub(super) fn left(&self, key: &ServiceKey) -> Option<Duration> {
        let mut under_way = self.lock();
        let set = under_way.as_mut()?;
        let last = set.remaining.remove(key).is_some() && set.remaining.is_empty();
        let took = set.since.elapsed();
        last.then(|| {
            *under_way = None;
            took
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn a_set_is_there_when_the_last_service_was_reconciled() {
        let sync = NodeSync::default();
        let (a, b) = (ServiceKey::new("d", "a"), ServiceKey::new("d", "b"));
        sync.begins([a.clone(), b.clone()]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(sync.reconciled(&a, AT_ONCE), None);
        assert_eq!(sync.reconciled(&ServiceKey::new("d", "stranger"), AT_ONCE), None);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(sync.reconciled(&b, AT_ONCE), Some(Duration::from_secs(5)));
        assert_eq!(sync.reconciled(&b, AT_ONCE), None, "it counts once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_that_concerns_nobody_takes_no_time_and_one_that_comes_early_joins() {
        let sync = NodeSync::default();
        let a = ServiceKey::new("d", "a");
        sync.begins([]);
        assert_eq!(sync.reconciled(&a, AT_ONCE), None);
        sync.begins([a.clone()]);
        tokio::time::advance(Duration::from_secs(1)).await;
        sync.begins([a.clone()]);
        assert_eq!(sync.reconciled(&a, AT_ONCE), Some(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_began_before_the_set_was_there_does_not_count() {
        let sync = NodeSync::default();
        let a = ServiceKey::new("d", "a");
        sync.begins([a.clone()]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sync.reconciled(&a, Duration::from_secs(4)), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sync.reconciled(&a, Duration::from_secs(1)), Some(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_service_that_left() {
        let sync = NodeSync::default();
        let (a, b) = (ServiceKey::new("d", "a"), ServiceKey::new("d", "b"));
        sync.begins([a.clone(), b.clone()]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sync.reconciled(&a, AT_ONCE), None);
        assert_eq!(sync.left(&b), Some(Duration::from_secs(1)));
    }
}
