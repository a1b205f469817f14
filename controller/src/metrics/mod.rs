//! What the controller counts, for `/metrics`.
//!
//! Kubernetes' own service controller's names where it has them
//! ([reference](https://kubernetes.io/docs/reference/instrumentation/metrics/)), `cloud_lb_…` beside them. Nothing is
//! labelled by Service: the number of series does not grow with the cluster.

mod node_sync;
mod queue;
mod service_counts;
mod standing;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cloud_provider::{ErrorClass, ServiceKey};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::health::Health;
use node_sync::NodeSync;
use queue::Queue;
use service_counts::ServiceCounts;
pub(crate) use service_counts::{ServiceState, ServicesByState};
use standing::OfHealth;

/// Which method of the provider was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the label's value is the method's name")]
pub enum Operation {
    /// `ensure`
    ensure,
    /// `update_backends`
    update_backends,
    /// `delete`
    delete,
    /// `resume`
    resume,
    /// `list`
    list,
}

/// What came of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReconcileOutcome {
    /// There was nothing to do.
    Unchanged,
    /// The load balancer is as it should be.
    Ready,
    /// It is under way.
    Pending,
    /// The load balancer has the nodes of now.
    NodesUpdated,
    /// What was held for the Service was released.
    CleanedUp,
    /// The provider leaves the Service to another controller.
    ImplementedElsewhere,
    /// The provider, or the Service itself, stood in the way.
    Failed,
    /// The API server did not take a write.
    WriteFailed,
}

impl ReconcileOutcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ReconcileOutcome::Unchanged => "Unchanged",
            ReconcileOutcome::Ready => "Ready",
            ReconcileOutcome::Pending => "Pending",
            ReconcileOutcome::NodesUpdated => "NodesUpdated",
            ReconcileOutcome::CleanedUp => "CleanedUp",
            ReconcileOutcome::ImplementedElsewhere => "ImplementedElsewhere",
            ReconcileOutcome::Failed => "Failed",
            ReconcileOutcome::WriteFailed => "WriteFailed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    provider: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    provider: String,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    provider: String,
    operation: Operation,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    provider: String,
    operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: &'static str,
}

/// The counters of one controller. Cheap to share; every handle counts into the same.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    throttles: Family<ProviderLabel, Counter>,
    pub(crate) orphans: OrphanGauge,
    queue: Queue,
    of_health: OfHealth,
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
            queue: Queue::default(),
            of_health: OfHealth::default(),
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
    fn register(&mut self) {
        let r = self.registry.get_mut().unwrap_or_else(PoisonError::into_inner);
        r.register("cloud_lb_provider_calls", "Calls to a provider, by outcome", self.calls.clone());
        r.register_with_unit(
            "cloud_lb_provider_call_duration",
            "How long calls to a provider took",
            Unit::Seconds,
            self.call_seconds.clone(),
        );
        r.register("cloud_lb_throttles", "Calls that a provider's API throttled", self.throttles.clone());
        r.register(
            "cloud_lb_orphans",
            "Resources in this cluster's name that no Service stands for, at the last sweep",
            self.orphans.0.clone(),
        );
        r.register(
            "cloud_lb_reconciles",
            "Reconciles of Services, by what came of them",
            self.reconciles.clone(),
        );
        r.register(
            "cloud_lb_retries",
            "Failures after which the same is tried again, by class",
            self.retries.clone(),
        );
        r.register_collector(Box::new(self.service_counts.clone()));
        r.register_collector(Box::new(self.of_health.clone()));
        r.register("cloud_lb_status_writes", "Writes to a Service's status", self.status_writes.clone());
        r.register(
            "cloud_lb_status_contested_writes",
            "Writes to a Service's status that put back what somebody else keeps changing",
            self.status_contested.clone(),
        );
        r.register(
            "cloud_lb_services_missing_from_list",
            "Services that were known and that a complete list lacked; each is asked for by name",
            self.services_missing.clone(),
        );
        r.register(
            "cloud_lb_services_found_by_name",
            "Services that a complete list lacked and that were there",
            self.services_found.clone(),
        );
        r.register(
            "cloud_lb_node_sets",
            "Sets of nodes that were passed on, after a quiet period",
            self.node_sets.clone(),
        );
        r.register(
            "service_controller_loadbalancer_sync",
            "Updates of a load balancer's nodes that were attempted",
            self.node_updates.clone(),
        );
        r.register(
            "service_controller_nodesync_error",
            "Updates of a load balancer's nodes that failed",
            self.node_update_errors.clone(),
        );
        r.register_with_unit(
            "service_controller_update_loadbalancer_host_latency",
            "How long one update of a load balancer's nodes took",
            Unit::Seconds,
            self.node_update_seconds.clone(),
        );
        r.register_with_unit(
            "service_controller_nodesync_latency",
            "How long a settled set of nodes took to reach every Service it concerns",
            Unit::Seconds,
            self.node_sync_seconds.clone(),
        );
        let queue = r.sub_registry_with_label(("name".into(), "service".into()));
        queue.register_collector(Box::new(self.queue.clone()));
        queue.register("workqueue_adds", "Services queued", self.queue_adds.clone());
        queue.register(
            "workqueue_retries",
            "Reconciles after which a Service is looked at again because something failed",
            self.queue_retries.clone(),
        );
        queue.register_with_unit(
            "workqueue_work_duration",
            "How long reconciles took",
            Unit::Seconds,
            self.work_seconds.clone(),
        );
        queue.register_with_unit(
            "workqueue_queue_duration",
            "How long Services waited to be reconciled",
            Unit::Seconds,
            self.queue_seconds.clone(),
        );
        r.register(
            "leader_election_master_status",
            "Whether this process leads: 1 if it does",
            self.leading.clone(),
        );
    }

    /// Lets an embedder, or a provider's owner, add metrics of its own to what is shown. Names that are taken already
    /// are shown twice: nothing checks them. Nothing is encoded meanwhile, so `register` should only register.
    pub fn extend(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }

    /// Whether this process leads. Not shown before it was said once, as nothing is where there is no election.
    pub fn lead(&self, leading: bool) {
        self.leading.get_or_create(&NameLabel { name: "cloud-lb-controller" }).set(i64::from(leading));
    }

    pub(crate) fn called(
        &self,
        provider: &str,
        operation: Operation,
        failed: Option<ErrorClass>,
        took: Duration,
    ) {
        let outcome = failed.map_or("Done", ErrorClass::as_str);
        let provider = provider.to_owned();
        if failed == Some(ErrorClass::Throttled) {
            self.throttles.get_or_create(&ProviderLabel { provider: provider.clone() }).inc();
        }
        if operation == Operation::update_backends {
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

    /// From now on `count` knows how Services stand.
    /// From now on this controller's health is shown, if none was before.
    pub(crate) fn show_health(&self, health: Health) {
        self.of_health.is_that_of(health);
    }

    /// How long the reconcile under way that takes longest has taken.
    pub(crate) fn longest_reconcile(&self) -> Duration {
        self.queue.longest()
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_kubernetes_own_where_it_has_them() {
        let metrics = Metrics::default();
        metrics.called(
            "bare",
            Operation::update_backends,
            Some(ErrorClass::Transient),
            Duration::from_secs(2),
        );
        metrics.called("bare", Operation::ensure, None, Duration::from_millis(10));
        metrics.queued(&ServiceKey::new("d", "s"));
        metrics.queued(&ServiceKey::new("d", "s"));
        metrics.lead(true);
        let text = metrics.encode();
        for line in [
            "service_controller_loadbalancer_sync_total 1",
            "service_controller_nodesync_error_total 1",
            "service_controller_update_loadbalancer_host_latency_seconds_count 1",
            "workqueue_depth{name=\"service\"} 1",
            "workqueue_adds_total{name=\"service\"} 1",
            "cloud_lb_queue_oldest_seconds{name=\"service\"} 0.",
            "leader_election_master_status{name=\"cloud-lb-controller\"} 1",
            "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"ensure\",outcome=\"Done\"} 1",
            "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"update_backends\",outcome=\"ProviderFailed\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_service_leaves_the_queue_when_its_reconcile_begins() {
        let (metrics, key) = (Metrics::default(), ServiceKey::new("d", "s"));
        metrics.queued(&key);
        metrics.reconcile_begins(&key);
        metrics.reconcile_ends(&key, "bare", ReconcileOutcome::Ready, Duration::from_secs(1));
        let text = metrics.encode();
        for line in [
            "workqueue_depth{name=\"service\"} 0",
            "workqueue_queue_duration_seconds_count{name=\"service\"} 1",
            "workqueue_work_duration_seconds_sum{name=\"service\"} 1.0",
            "cloud_lb_reconciles_total{provider=\"bare\",outcome=\"Ready\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_and_the_longest_reconcile_are_shown_while_they_last() {
        let metrics = Metrics::default();
        let (a, b) = (ServiceKey::new("d", "a"), ServiceKey::new("d", "b"));
        let told = || {
            let text = metrics.encode();
            ["cloud_lb_queue_oldest_seconds", "workqueue_longest_running_processor_seconds"].map(|name| {
                let sample = format!("{name}{{name=\"service\"}} ");
                let value = text.lines().find_map(|line| line.strip_prefix(&sample)).expect("a sample");
                value.parse::<f64>().expect("a number")
            })
        };
        metrics.queued(&a);
        tokio::time::advance(Duration::from_secs(3)).await;
        metrics.queued(&b);
        assert_eq!(told(), [3.0, 0.0]);
        metrics.reconcile_begins(&a);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(told(), [5.0, 5.0]);
        metrics.left(&b);
        metrics.reconcile_ends(&a, "bare", ReconcileOutcome::Ready, Duration::from_secs(5));
        assert_eq!(told(), [0.0, 0.0]);
    }

    #[test]
    fn a_settled_node_set_is_timed_until_it_is_with_every_service() {
        let (metrics, key) = (Metrics::default(), ServiceKey::new("d", "s"));
        metrics.node_set_settled([key.clone()]);
        metrics.reconcile_ends(&key, "aws", ReconcileOutcome::NodesUpdated, Duration::ZERO);
        assert!(metrics.encode().contains("service_controller_nodesync_latency_seconds_count 1"));
    }

    #[test]
    fn services_are_counted_when_somebody_asks() {
        let metrics = Metrics::default();
        metrics.count_services_by(|| [(("bare".to_owned(), ServiceState::Ready), 3)].into());
        let text = metrics.encode();
        assert!(text.contains("cloud_lb_services{provider=\"bare\",state=\"ready\"} 3"), "{text}");
        assert!(text.contains("cloud_lb_services{provider=\"bare\",state=\"failing\"} 0"), "{text}");
    }

    #[test]
    fn a_throttled_call_counts_as_throttled() {
        let metrics = Metrics::default();
        metrics.called("aws", Operation::ensure, Some(ErrorClass::Throttled), Duration::ZERO);
        assert!(metrics.encode().contains("cloud_lb_throttles_total{provider=\"aws\"} 1"));
    }
}
