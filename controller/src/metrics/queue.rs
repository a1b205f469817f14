//! Services that wait to be reconciled, and those that are being reconciled.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::ServiceKey;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::time::Instant;

use crate::sparse::ShrinkWhenSparse;

/// Who waits or is being reconciled, and since when. Numbers and ages are looked up when somebody asks.
#[derive(Clone, Debug, Default)]
pub(super) struct QueueMetrics(Arc<Mutex<TimedKeys>>);

#[derive(Debug, Default)]
struct TimedKeys {
    waiting: HashMap<ServiceKey, Instant>,
    at_work: HashMap<ServiceKey, Instant>,
}

impl QueueMetrics {
    /// A Service waits from now on; says whether it did not before.
    pub(super) fn joins(&self, key: &ServiceKey) -> bool {
        match self.lock().waiting.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Instant::now());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Its reconcile begins; how long it waited, if it did.
    pub(super) fn begins(&self, key: &ServiceKey) -> Option<Duration> {
        let mut keys = self.lock();
        keys.at_work.insert(key.clone(), Instant::now());
        let waited = keys.waiting.remove(key).map(|since| since.elapsed());
        keys.waiting.shrink_when_sparse();
        waited
    }

    /// Its reconcile is over.
    pub(super) fn ends(&self, key: &ServiceKey) {
        self.lock().at_work.remove(key);
    }

    /// How long the one that takes longest has taken.
    pub(super) fn longest(&self) -> Duration {
        age(&self.lock().at_work)
    }

    /// It does not wait any more.
    pub(super) fn leaves(&self, key: &ServiceKey) {
        self.lock().waiting.remove(key);
    }

    /// Nobody waits, and nothing is being reconciled.
    pub(super) fn clear(&self) {
        *self.lock() = TimedKeys::default();
    }

    fn lock(&self) -> MutexGuard<'_, TimedKeys> {
        self.0.lock()
    }
}

/// How long ago the first was.
fn age(of: &HashMap<ServiceKey, Instant>) -> Duration {
    of.values().min().map(Instant::elapsed).unwrap_or_default()
}

impl Collector for QueueMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (depth, oldest, longest) = {
            let keys = self.lock();
            (keys.waiting.len(), age(&keys.waiting).as_secs_f64(), age(&keys.at_work).as_secs_f64())
        };
        let depth = ConstGauge::new(i64::try_from(depth).unwrap_or(i64::MAX));
        let (kind, help) = (depth.metric_type(), "Services waiting to be reconciled");
        depth.encode(encoder.encode_descriptor("workqueue_depth", help, None, kind)?)?;
        let (oldest, unit) = (ConstGauge::new(oldest), Some(&Unit::Seconds));
        let (kind, help) =
            (oldest.metric_type(), "How long the Service that waits longest has waited to be reconciled");
        oldest.encode(encoder.encode_descriptor("cloud_lb_queue_oldest", help, unit, kind)?)?;
        let longest = ConstGauge::new(longest);
        let help = "How long the longest reconcile under way has taken so far";
        longest.encode(encoder.encode_descriptor("workqueue_longest_running_processor", help, unit, kind)?)
    }
}
