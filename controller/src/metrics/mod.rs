//! What the controller counts, for `/metrics`.
//!
//! Kubernetes' own service controller's names where it has them
//! ([reference](https://kubernetes.io/docs/reference/instrumentation/metrics/)), `cloud_lb_…` beside them. Nothing is
//! labelled by Service: the number of series does not grow with the cluster.

mod health;
mod labels;
mod names;
mod node_sync;
mod queue;
mod service_counts;
#[cfg(test)]
mod tests;
mod zero;

use parking_lot::Mutex;

use std::time::Duration;

use cloud_provider::{ErrorClass, ServiceKey};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::health::Health;
use health::HealthMetrics;
pub use labels::ProviderOperation;
pub(crate) use labels::ReconcileOutcome;
use labels::{CallLabels, NameLabel, OperationLabels, ProviderLabel, ReconcileLabels, RetryLabels};
use node_sync::NodeSync;
use queue::QueueMetrics;
use service_counts::ServiceCounts;
pub(crate) use service_counts::{ServiceState, ServicesByState};

/// The counters of one controller. Cheap to share; every handle counts into the same.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    throttles: Family<ProviderLabel, Counter>,
    pub(crate) orphans: OrphanGauge,
    queue: QueueMetrics,
    of_health: HealthMetrics,
    queue_adds: Counter,
    queue_retries: Counter,
    queue_seconds: Histogram,
    work_seconds: Histogram,
    reconciles: Family<ReconcileLabels, Counter>,
    retries: Family<RetryLabels, Counter>,
    service_counts: ServiceCounts,
    node_sets: Counter,
    node_sync: NodeSync,
    node_sync_seconds: Histogram,
    node_updates: Counter,
    node_update_errors: Counter,
    node_update_seconds: Histogram,
    status_writes: Counter,
    status_contested: Counter,
    services_missing: Counter,
    services_found: Counter,
    leading: Family<NameLabel, Gauge>,
}

/// Resources found in this cluster's name that no Service stands for, by provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrphanGauge(Family<ProviderLabel, Gauge>);

impl OrphanGauge {
    pub(crate) fn set(&self, provider: &str, count: usize) {
        let label = ProviderLabel { provider: provider.to_owned() };
        self.0.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// 5 ms to about 5 min: from a cached answer to the longest call.
fn call_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 17))
}

/// What Kubernetes' service controller uses for node syncs: 1 s doubling to 16384 s.
fn node_buckets() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 15))
}

/// 1 ms to about 4 min: from an idle queue to a long call.
fn queue_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 10))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Mutex::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(call_buckets),
            throttles: Family::default(),
            orphans: OrphanGauge::default(),
            queue: QueueMetrics::default(),
            of_health: HealthMetrics::default(),
            queue_adds: Counter::default(),
            queue_retries: Counter::default(),
            queue_seconds: queue_buckets(),
            work_seconds: queue_buckets(),
            reconciles: Family::default(),
            retries: Family::default(),
            service_counts: ServiceCounts::default(),
            node_sets: Counter::default(),
            node_sync: NodeSync::default(),
            node_sync_seconds: node_buckets(),
            node_updates: Counter::default(),
            node_update_errors: Counter::default(),
            node_update_seconds: node_buckets(),
            status_writes: Counter::default(),
            status_contested: Counter::default(),
            services_missing: Counter::default(),
            services_found: Counter::default(),
            leading: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// Lets an embedder, or a provider's owner, add metrics of its own to what is shown. Names that are taken already
    /// are shown twice: nothing checks them. Nothing is encoded meanwhile, so `register` should only register.
    pub fn extend(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock());
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry.lock());
        text
    }

    /// Whether this process leads. Not shown before it was said once, as nothing is where there is no election.
    pub fn lead(&self, leading: bool) {
        self.leading.get_or_create(&NameLabel { name: "cloud-lb-controller" }).set(i64::from(leading));
    }

    pub(crate) fn called(
        &self,
        provider: &str,
        operation: ProviderOperation,
        failed: Option<ErrorClass>,
        took: Duration,
    ) {
        let outcome = failed.map_or("Done", ErrorClass::as_str);
        let provider = provider.to_owned();
        if failed == Some(ErrorClass::Throttled) {
            self.throttles.get_or_create(&ProviderLabel { provider: provider.clone() }).inc();
        }
        if operation == ProviderOperation::update_backends {
            self.node_updates.inc();
            self.node_update_seconds.observe(took.as_secs_f64());
            if failed.is_some_and(|class| class != ErrorClass::ImplementedElsewhere) {
                self.node_update_errors.inc();
            }
        }
        let labels = OperationLabels { provider: provider.clone(), operation };
        self.call_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.calls.get_or_create(&CallLabels { provider, operation, outcome }).inc();
    }

    pub(crate) fn queued(&self, key: &ServiceKey) {
        if self.queue.joins(key) {
            self.queue_adds.inc();
        }
    }

    pub(crate) fn reconcile_begins(&self, key: &ServiceKey) {
        if let Some(waited) = self.queue.begins(key) {
            self.queue_seconds.observe(waited.as_secs_f64());
        }
    }

    /// `provider` is empty for a Service that is nobody's.
    pub(crate) fn reconcile_ends(
        &self,
        key: &ServiceKey,
        provider: &str,
        outcome: ReconcileOutcome,
        took: Duration,
    ) {
        self.queue.ends(key);
        self.work_seconds.observe(took.as_secs_f64());
        let labels = ReconcileLabels { provider: provider.to_owned(), outcome: outcome.as_str() };
        self.reconciles.get_or_create(&labels).inc();
        self.nodes_arrived(self.node_sync.reconciled(key, took));
    }

    /// A Service left before the reconcile that it waited for.
    pub(crate) fn left(&self, key: &ServiceKey) {
        self.queue.leaves(key);
        self.nodes_arrived(self.node_sync.left(key));
    }

    fn nodes_arrived(&self, took: Option<Duration>) {
        if let Some(took) = took {
            self.node_sync_seconds.observe(took.as_secs_f64());
        }
    }

    /// Something failed, and the same is tried again.
    pub(crate) fn retried(&self, provider: &str, class: &'static str) {
        self.queue_retries.inc();
        self.retries.get_or_create(&RetryLabels { provider: provider.to_owned(), class }).inc();
    }

    /// A controller begins: what was under way in one before it, which lost its Lease, is not its own.
    pub(crate) fn begins(&self) {
        self.queue.clear();
        self.node_sync.clear();
    }

    /// From now on this controller's health is shown, if none was before.
    pub(crate) fn show_health(&self, health: Health) {
        self.of_health.is_that_of(health);
    }

    /// How long the reconcile under way that takes longest has taken.
    pub(crate) fn longest_reconcile(&self) -> Duration {
        self.queue.longest()
    }

    /// From now on `count` knows how Services stand.
    pub(crate) fn count_services_by(&self, count: impl Fn() -> ServicesByState + Send + Sync + 'static) {
        self.service_counts.by(count);
    }

    pub(crate) fn status_contested(&self) {
        self.status_contested.inc();
    }

    pub(crate) fn services_missing(&self, count: usize) {
        self.services_missing.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn service_found(&self) {
        self.services_found.inc();
    }

    pub(crate) fn status_written(&self) {
        self.status_writes.inc();
    }

    pub(crate) fn node_set_settled(&self, concerned: impl IntoIterator<Item = ServiceKey>) {
        self.node_sets.inc();
        self.node_sync.begins(concerned);
    }
}
