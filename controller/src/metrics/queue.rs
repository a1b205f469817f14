//! Services that wait for their turn.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloud_provider::ServiceKey;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::time::Instant;

/// Who waits, and since when. Depth and age are looked up when somebody asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Mutex<HashMap<ServiceKey, Instant>>>);

impl Queue {
    /// A Service waits from now on; says whether it did not before.
    pub(super) fn joins(&self, key: &ServiceKey) -> bool {
        match self.lock().entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Instant::now());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Its turn has come; how long it waited, if it did.
    pub(super) fn leaves(&self, key: &ServiceKey) -> Option<Duration> {
        self.lock().remove(key).map(|since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceKey, Instant>> {
        // A panic elsewhere does not make a plain map wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Queue {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (depth, oldest) = {
            let waiting = self.lock();
            (waiting.len(), waiting.values().min().map(Instant::elapsed))
        };
        let depth = ConstGauge::new(i64::try_from(depth).unwrap_or(i64::MAX));
        let kind = depth.metric_type();
        depth.encode(encoder.encode_descriptor(
            "workqueue_depth",
            "Services waiting for a turn",
            None,
            kind,
        )?)?;
        let oldest = ConstGauge::new(oldest.unwrap_or_default().as_secs_f64());
        let kind = oldest.metric_type();
        oldest.encode(encoder.encode_descriptor(
            "cloud_lb_queue_oldest",
            "How long the Service that waits longest has waited for its turn",
            Some(&Unit::Seconds),
            kind,
        )?)
    }
}
