//! What the controller counts, for `/metrics`.
//!
//! Kubernetes' own service controller's names where it has them
//! ([reference](https://kubernetes.io/docs/reference/instrumentation/metrics/)), `cloud_lb_…` beside them. Nothing is
//! labelled by Service: the number of series does not grow with the cluster.

use std::time::Duration;

use cloud_provider::ErrorClass;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Which method of the provider was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the label's value is the method's name")]
pub enum Operation {
    /// `ensure`
    ensure,
    /// `update_nodes`
    update_nodes,
    /// `delete`
    delete,
    /// `resume`
    resume,
    /// `list`
    list,
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
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    throttles: Family<ProviderLabel, Counter>,
    pub(crate) orphans: OrphanGauge,
    queue_depth: Gauge,
    queue_adds: Counter,
    queue_seconds: Histogram,
    turns: Counter,
    node_sets: Counter,
    node_updates: Counter,
    node_update_errors: Counter,
    node_update_seconds: Histogram,
    status_writes: Counter,
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

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(call_buckets),
            throttles: Family::default(),
            orphans: OrphanGauge::default(),
            queue_depth: Gauge::default(),
            queue_adds: Counter::default(),
            queue_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 10)),
            turns: Counter::default(),
            node_sets: Counter::default(),
            node_updates: Counter::default(),
            node_update_errors: Counter::default(),
            node_update_seconds: node_buckets(),
            status_writes: Counter::default(),
            leading: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
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
        r.register("cloud_lb_turns", "Times a Service was looked at", self.turns.clone());
        r.register("cloud_lb_status_writes", "Writes to a Service's status", self.status_writes.clone());
        r.register("cloud_lb_node_sets", "Node sets that settled", self.node_sets.clone());
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
        let queue = r.sub_registry_with_label(("name".into(), "service".into()));
        queue.register("workqueue_depth", "Services waiting for a turn", self.queue_depth.clone());
        queue.register("workqueue_adds", "Services queued", self.queue_adds.clone());
        queue.register_with_unit(
            "workqueue_queue_duration",
            "How long Services waited for their turn",
            Unit::Seconds,
            self.queue_seconds.clone(),
        );
        r.register(
            "leader_election_master_status",
            "Whether this process leads: 1 if it does",
            self.leading.clone(),
        );
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Whether this process leads.
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
        if operation == Operation::update_nodes {
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

    pub(crate) fn queued(&self) {
        self.queue_adds.inc();
        self.queue_depth.inc();
    }

    pub(crate) fn turn(&self, waited: Option<Duration>) {
        self.turns.inc();
        if let Some(waited) = waited {
            self.queue_depth.dec();
            self.queue_seconds.observe(waited.as_secs_f64());
        }
    }

    pub(crate) fn status_written(&self) {
        self.status_writes.inc();
    }

    pub(crate) fn node_set_settled(&self) {
        self.node_sets.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_kubernetes_own_where_it_has_them() {
        let metrics = Metrics::default();
        metrics.called("bare", Operation::update_nodes, Some(ErrorClass::Transient), Duration::from_secs(2));
        metrics.called("bare", Operation::ensure, None, Duration::from_millis(10));
        metrics.queued();
        metrics.lead(true);
        let text = metrics.encode();
        for line in [
            "service_controller_loadbalancer_sync_total 1",
            "service_controller_nodesync_error_total 1",
            "service_controller_update_loadbalancer_host_latency_seconds_count 1",
            "workqueue_depth{name=\"service\"} 1",
            "workqueue_adds_total{name=\"service\"} 1",
            "leader_election_master_status{name=\"cloud-lb-controller\"} 1",
            "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"ensure\",outcome=\"Done\"} 1",
            "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"update_nodes\",outcome=\"ProviderFailed\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_throttled_call_counts_as_throttled() {
        let metrics = Metrics::default();
        metrics.called("aws", Operation::ensure, Some(ErrorClass::Throttled), Duration::ZERO);
        assert!(metrics.encode().contains("cloud_lb_throttles_total{provider=\"aws\"} 1"));
    }
}
