//! The contract of [`CloudLoadBalancer`] as a suite that every provider, and every wrapper around one, runs.
//!
//! A provider's author implements [`Harness`], which says how to start the provider and what is outside it, and
//! calls [`conformance`] from a test. Each clause is a function of its own, so that one can be run alone. A
//! clause fails by a panic that names it, what it expected and what happened.
//!
//! The suite plays the controller: it resumes each new process with all Services, writes what an `ensure`
//! publishes into the Service's status, as the API server would store it, and never has one Service in two calls.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::builders;
use crate::endpoint::EndpointSet;
use crate::node::NodeSet;
use crate::provider::CloudLoadBalancer;
use crate::service::{ServiceId, ServiceView};

mod backends;
mod declared;
mod delete;
mod ensure;
mod failure;
mod mistakes;
mod report;
mod restart;
mod serving;
mod stage;

pub use serving::Serving;

/// One call of the provider to the outside that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Which of the provider's outside calls from now on, counted from 1.
    pub call: usize,
    /// Whether the call takes effect and only its reply is lost.
    pub reply_lost: bool,
}

/// What the suite has to know of a provider.
///
/// One harness is one platform. All clauses may run on it one after the other: each takes away what it made.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Starts a new process of the provider on the same platform; the one before is dead, or about to be. It
    /// remembers nothing of it but what is outside. The suite calls
    /// [`stand_by`](CloudLoadBalancer::stand_by) and [`resume`](CloudLoadBalancer::resume).
    async fn start(&self) -> Arc<dyn CloudLoadBalancer>;

    /// A Service that the provider claims and can serve, each name another one; the class, annotations and
    /// ports are the provider's to choose.
    fn service(&self, name: &str) -> ServiceView {
        builders::a_service_named("conformance", name).build()
    }

    /// The same Service after a user's edit that the provider has to act on, if any edit makes it act, and that
    /// keeps its address.
    fn edited(&self, service: &ServiceView) -> ServiceView {
        let mut edited = service.clone();
        edited.ports.iter_mut().for_each(|port| port.node_port = port.node_port.map(|number| number + 1));
        edited
    }

    /// The same Service with a mistake that the provider finds itself, in an annotation or in what its fields mean together:
    /// one by which it makes nothing new. None if there is no such mistake.
    fn mistaken(&self, _service: &ServiceView) -> Option<ServiceView> {
        None
    }

    /// A Service that wants a load balancer and is not the provider's to serve; none if it serves all.
    fn foreign(&self, name: &str) -> Option<ServiceView> {
        Some(
            builders::a_service_named("conformance", name).class("conformance.example/somebody-else").build(),
        )
    }

    /// So many nodes; a smaller set is part of a larger one.
    fn nodes(&self, count: usize) -> NodeSet {
        builders::nodes(count)
    }

    /// So many endpoints of a Service; a smaller set is part of a larger one. Asked for where endpoints
    /// [matter](CloudLoadBalancer::backends), and to see that they do not matter elsewhere.
    fn endpoints(&self, service: &ServiceView, count: u8) -> EndpointSet {
        builders::endpoints(service, count)
    }

    /// What serves this Service outside, half-made things aside; looked up by other means than the provider's own
    /// where there are other means. None if nothing does, or if the harness cannot tell: then the clauses about what a
    /// Service asks for check nothing.
    async fn serving(&self, _service: &ServiceId) -> Option<Serving> {
        None
    }

    /// Lets the platform move on, so that what is pending comes nearer to being ready.
    async fn settle(&self) {}

    /// Orders one failure, in place of the one ordered before. False if the provider makes no calls that can
    /// fail; then the clauses about failures have nothing to check.
    fn fail(&self, _failure: Failure) -> bool {
        false
    }

    /// From now on every outside call takes this long, by a clock that runs while the provider waits (tokio's, or that
    /// of a server in a thread of its own). False if there are no such calls; then only what a provider does by itself
    /// can be seen to block.
    fn slow(&self, _outside_call: Duration) -> bool {
        false
    }

    /// Takes the order back: what was to fail or to be slow is not. Whether the failure happened.
    fn heal(&self) -> bool {
        false
    }

    /// Everything of ours that exists outside, half-made things included, in words; looked up by other means
    /// than the provider's own [`list`](CloudLoadBalancer::list) where there are other means.
    async fn leftovers(&self) -> Vec<String>;
}

/// Declares the clauses once, so that none is exported and not run.
macro_rules! clauses {
    ($($module:ident: $($clause:ident),+;)+) => {
        $(pub use $module::{$($clause),+};)+

        /// The names of all clauses, in the order they run.
        pub const CLAUSES: &[&str] = &[$($(stringify!($clause)),+),+];

        /// Runs every clause, one after the other, on one platform.
        ///
        /// # Panics
        /// At the first clause that the provider does not keep.
        pub async fn conformance(harness: &dyn Harness) {
            $($($clause(harness).await;)+)+
        }
    };
}

clauses! {
    report: claims_are_stable, published_annotations_are_declared, get_agrees_with_ensure, plan_changes_nothing, list_shows_what_was_ensured;
    ensure: ensure_is_idempotent, pending_becomes_ready, an_edit_converges, a_dropped_ensure_can_be_repeated,
        services_do_not_disturb_each_other;
    delete: delete_of_the_absent_is_success, delete_leaves_nothing, delete_of_the_pending_leaves_nothing,
        ensure_after_delete_makes_it_anew, delete_needs_no_spec, delete_keeps_a_namesake,
        a_dropped_delete_can_be_repeated;
    backends: nodes_come_and_go, no_nodes_is_no_error, update_backends_creates_nothing,
        a_service_with_a_mistake_follows_its_nodes, endpoints_come_and_go, unknown_endpoints_change_nothing;
    declared: backends_that_do_not_matter_change_nothing, node_labels_that_do_not_matter_change_nothing,
        what_is_not_read_changes_nothing, nothing_is_held_that_was_not_said, calls_do_not_block_the_thread;
    serving: ports_are_served_with_their_protocols, source_ranges_are_kept, families_are_kept,
        local_traffic_asks_for_endpoints, affinity_is_kept, ports_without_node_ports_lead_to_none;
    mistakes: nothing_is_made_beside_a_mistake, what_serves_goes_on_beside_a_mistake;
    restart: a_restart_keeps_addresses, a_restart_finds_what_was_not_published, resume_may_be_repeated, overlapping_leaders_make_one,
        a_taken_address_is_not_given, wakeups_can_be_taken;
    failure: a_failed_ensure_can_be_repeated, a_failed_ensure_can_be_deleted, a_failed_edit_keeps_serving,
        a_failed_delete_can_be_repeated, a_failed_update_of_backends_can_be_repeated,
        a_failed_resume_can_be_repeated, a_failed_list_is_no_list, a_failed_look_is_no_absence;
}
