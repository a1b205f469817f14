//! The work queue: which Services wait to be reconciled, and which will at a later time.
//!
//! As client-go's: a Service waits at most once however often it is added, is never worked on twice at once, and what
//! is added while it is worked on is worked on after that. First come, first served: nobody is reconciled twice while
//! somebody who came before waits.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use cloud_provider::ServiceKey;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::metrics::Metrics;
use crate::sparse::ShrinkWhenSparse;

/// What is to be reconciled next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The Service, or all that had this name and still hold something.
    pub key: ServiceKey,
    /// Whether a provider asked for another look since the last reconcile.
    pub woken: bool,
}

/// The work queue. It grows with the number of Services, never with the number of events.
#[derive(Debug)]
pub(crate) struct Queue {
    keys: Mutex<Keys>,
    /// Told when there may be something to do earlier than was known. There is one consumer.
    changed: Notify,
    /// Told when somebody is added who is being worked on.
    overtaken: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Keys {
    /// In the order in which they came.
    in_line: VecDeque<ServiceKey>,
    /// Those in line, and those that were added while they were worked on.
    waiting: HashSet<ServiceKey>,
    at_work: HashSet<ServiceKey>,
    woken: HashSet<ServiceKey>,
    /// When they are added by themselves: one moment for each key, twice, to be found by key and by time.
    later: HashMap<ServiceKey, Instant>,
    by_time: BTreeSet<(Instant, ServiceKey)>,
}

impl Keys {
    fn add(&mut self, key: ServiceKey) {
        self.cancel(&key);
        if self.waiting.insert(key.clone()) && !self.at_work.contains(&key) {
            self.in_line.push_back(key);
        }
    }

    fn cancel(&mut self, key: &ServiceKey) {
        if let Some(at) = self.later.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// After somebody left the line.
    fn shrink_when_sparse(&mut self) {
        self.in_line.shrink_when_sparse();
        self.waiting.shrink_when_sparse();
        self.woken.shrink_when_sparse();
    }

    /// Adds whoever's time has come.
    fn add_what_is_due(&mut self, now: Instant) -> Vec<ServiceKey> {
        let mut due = Vec::new();
        while self.by_time.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.by_time.pop_first()
        {
            self.later.remove(&key);
            self.add(key.clone());
            due.push(key);
        }
        due
    }
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Queue { keys: Mutex::default(), changed: Notify::new(), overtaken: Notify::new(), metrics }
    }

    /// Puts a Service in line, unless it waits already.
    pub(crate) fn add(&self, key: &ServiceKey) {
        self.metrics.queued(key);
        let is_at_work = {
            let mut keys = self.lock();
            keys.add(key.clone());
            keys.at_work.contains(key)
        };
        self.changed.notify_one();
        if is_at_work {
            self.overtaken.notify_waiters();
        }
    }

    /// Waits until `is_so`, which may become so when somebody is added who is being worked on.
    pub(crate) async fn until(&self, is_so: impl Fn() -> bool) {
        let mut overtaken = std::pin::pin!(self.overtaken.notified());
        loop {
            // From here on nobody is missed.
            overtaken.as_mut().enable();
            if is_so() {
                return;
            }
            overtaken.as_mut().await;
            overtaken.set(self.overtaken.notified());
        }
    }

    /// As [`add`](Self::add); its provider is asked again though nothing changed in the cluster.
    pub(crate) fn add_woken(&self, key: &ServiceKey) {
        self.lock().woken.insert(key.clone());
        self.add(key);
    }

    /// Takes who came first, when somebody is there. May be dropped at any time without loss.
    pub(crate) async fn next(&self) -> Item {
        loop {
            let earliest = {
                let mut keys = self.lock();
                for due in keys.add_what_is_due(Instant::now()) {
                    self.metrics.queued(&due);
                }
                if let Some(key) = keys.in_line.pop_front() {
                    keys.waiting.remove(&key);
                    keys.at_work.insert(key.clone());
                    let woken = keys.woken.remove(&key);
                    keys.shrink_when_sparse();
                    return Item { key, woken };
                }
                keys.by_time.first().map(|(at, _)| *at)
            };
            match earliest {
                Some(at) => {
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = sleep_until(at) => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// The work on it is over. It is looked at again at `again`, or earlier if it is added before.
    pub(crate) fn done(&self, key: &ServiceKey, again: Option<Instant>) {
        let mut keys = self.lock();
        keys.at_work.remove(key);
        if keys.waiting.contains(key) {
            keys.in_line.push_back(key.clone());
        } else if let Some(at) = again {
            keys.later.insert(key.clone(), at);
            keys.by_time.insert((at, key.clone()));
        }
        drop(keys);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("d", name)
    }

    fn queue() -> Queue {
        Queue::new(Arc::default())
    }

    async fn next(queue: &Queue) -> String {
        queue.next().await.key.name.to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_is_served_first_and_once() {
        let queue = queue();
        for name in ["a", "b", "a", "c", "b"] {
            queue.add(&key(name));
        }
        assert_eq!([next(&queue).await, next(&queue).await, next(&queue).await], ["a", "b", "c"]);
        let nothing = tokio::time::timeout(Duration::from_secs(60), queue.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_happens_to_services_that_nobody_can_serve_they_are_in_the_queue_once_each() {
        const SERVICES: usize = 8;
        let queue = queue();
        let names: Vec<String> = (0..SERVICES).map(|i| format!("s-{i}")).collect();
        let lengths = |queue: &Queue| {
            let keys = queue.lock();
            [keys.in_line.len(), keys.waiting.len(), keys.woken.len(), keys.later.len(), keys.by_time.len()]
        };
        // One is being reconciled all the while, as where a provider does not answer, and one is to be tried again later.
        queue.add(&key("s-0"));
        assert_eq!(next(&queue).await, "s-0");
        queue.add(&key("s-1"));
        assert_eq!(next(&queue).await, "s-1");
        queue.done(&key("s-1"), Some(Instant::now() + Duration::from_secs(3_600)));
        for round in 0..5_000 {
            let key = key(&names[round % SERVICES]);
            if round % 3 == 0 {
                queue.add_woken(&key);
            } else {
                queue.add(&key);
            }
            assert!(
                lengths(&queue).iter().all(|length| *length <= SERVICES),
                "{round}: {:?}",
                lengths(&queue)
            );
        }
        assert_eq!(lengths(&queue), [SERVICES - 1, SERVICES, SERVICES, 0, 0]);
        let shown = queue.metrics.encode();
        assert!(shown.contains("\nworkqueue_depth{name=\"service\"} 8\n"), "{shown}");
        queue.done(&key("s-0"), None);
        for _ in 0..SERVICES {
            queue.done(&key(&next(&queue).await), None);
        }
        assert_eq!(lengths(&queue), [0; 5], "each was reconciled once for all that happened to it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_added_while_it_is_worked_on_comes_after_that_and_behind_who_waits() {
        let queue = queue();
        queue.add(&key("a"));
        assert_eq!(next(&queue).await, "a");
        queue.add(&key("a"));
        queue.add(&key("b"));
        assert_eq!(next(&queue).await, "b", "one Service is never worked on twice at once");
        queue.done(&key("a"), Some(Instant::now() + Duration::from_secs(3_600)));
        assert_eq!(next(&queue).await, "a", "it was added meanwhile: the later time is void");
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_time_comes_by_itself_and_an_earlier_addition_replaces_it() {
        let queue = queue();
        let began = Instant::now();
        for (name, seconds) in [("a", 20), ("b", 10)] {
            queue.add(&key(name));
            next(&queue).await;
            queue.done(&key(name), Some(began + Duration::from_secs(seconds)));
        }
        assert_eq!((next(&queue).await.as_str(), began.elapsed().as_secs()), ("b", 10));
        queue.done(&key("b"), None);
        queue.add(&key("a"));
        assert_eq!((next(&queue).await.as_str(), began.elapsed().as_secs()), ("a", 10));
        queue.done(&key("a"), None);
        let nothing = tokio::time::timeout(Duration::from_secs(60), queue.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_is_told_once_and_is_not_lost_to_an_addition_before_it() {
        let queue = queue();
        queue.add(&key("a"));
        queue.add_woken(&key("a"));
        assert_eq!(queue.next().await, Item { key: key("a"), woken: true });
        queue.add(&key("a"));
        queue.done(&key("a"), None);
        assert_eq!(queue.next().await, Item { key: key("a"), woken: false });
    }

    #[tokio::test(start_paused = true)]
    async fn under_endless_changes_nobody_is_more_than_one_reconcile_ahead_of_another() {
        let queue = queue();
        let names: Vec<String> = (0..100).map(|i| format!("s-{i:02}")).collect();
        let mut reconciled: HashMap<String, usize> = HashMap::new();
        for round in 0..1_000 {
            for name in &names {
                queue.add(&key(name));
            }
            // A change to some of them, again and again, hurries none of them.
            queue.add(&key(&names[round % 7]));
            let name = next(&queue).await;
            *reconciled.entry(name.clone()).or_default() += 1;
            queue.done(&key(&name), None);
            let (least, most) = (reconciled.values().min(), reconciled.values().max());
            let least = if reconciled.len() < names.len() { 0 } else { *least.unwrap() };
            assert!(most.unwrap() - least <= 1, "{reconciled:?}");
        }
    }
}
