//! Under which name, and with which help, each counter is shown. Kubernetes' own names where it has them: dashboards and
//! alerts that people have go on working.

use prometheus_client::registry::Unit;

use super::Metrics;

impl Metrics {
    pub(super) fn register(&mut self) {
        let r = self.registry.get_mut();
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
}
