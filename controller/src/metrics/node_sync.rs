//! How long it takes until a settled set of nodes is with every Service it concerns.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloud_provider::ServiceKey;
use tokio::time::Instant;

/// The set that is on its way.
#[derive(Debug, Default)]
pub(super) struct NodeSync(Mutex<Option<UnderWay>>);

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    remaining: HashSet<ServiceKey>,
}

impl NodeSync {
    /// A set has settled that concerns these Services. One that comes while another is on its way joins it.
    pub(super) fn begins(&self, concerned: impl IntoIterator<Item = ServiceKey>) {
        let mut under_way = self.lock();
        let joined =
            under_way.get_or_insert_with(|| UnderWay { since: Instant::now(), remaining: HashSet::new() });
        joined.remaining.extend(concerned);
        if joined.remaining.is_empty() {
            *under_way = None;
        }
    }

    /// A Service had its turn, or left; how long the set took, if it was the last.
    pub(super) fn reached(&self, key: &ServiceKey) -> Option<Duration> {
        let mut under_way = self.lock();
        let set = under_way.as_mut()?;
        let last = set.remaining.remove(key) && set.remaining.is_empty();
        let took = set.since.elapsed();
        last.then(|| {
            *under_way = None;
            took
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnderWay>> {
        // A panic elsewhere does not make a plain set wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_set_is_there_when_the_last_service_had_its_turn() {
        let sync = NodeSync::default();
        let (a, b) = (ServiceKey::new("d", "a"), ServiceKey::new("d", "b"));
        sync.begins([a.clone(), b.clone()]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(sync.reached(&a), None);
        assert_eq!(sync.reached(&ServiceKey::new("d", "stranger")), None);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(sync.reached(&b), Some(Duration::from_secs(5)));
        assert_eq!(sync.reached(&b), None, "it counts once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_that_concerns_nobody_takes_no_time_and_one_that_comes_early_joins() {
        let sync = NodeSync::default();
        let a = ServiceKey::new("d", "a");
        sync.begins([]);
        assert_eq!(sync.reached(&a), None);
        sync.begins([a.clone()]);
        tokio::time::advance(Duration::from_secs(1)).await;
        sync.begins([a.clone()]);
        assert_eq!(sync.reached(&a), Some(Duration::from_secs(1)));
    }
}
