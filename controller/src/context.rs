//! What all reconciles share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloud_provider::{CloudLoadBalancer, ServiceKey};
use tokio::sync::watch;

use crate::config::Config;
use crate::events::Events;
use crate::memory::Memories;
use crate::metrics::{Metrics, ServicesByState};
use crate::nodes::Nodes;
use crate::providers::Providers;
use crate::queue::Queue;
use crate::releases::Releases;
use crate::service_api::ServiceApi;
use crate::services::Services;

/// Whether this process may act: it holds the Lease, or there is no election.
#[derive(Clone)]
pub(crate) struct FenceCheck(Arc<dyn Fn() -> bool + Send + Sync>);

impl FenceCheck {
    /// A fence that asks `holds`, which must be cheap.
    pub(crate) fn new(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        FenceCheck(Arc::new(holds))
    }

    /// Whether this process may act now.
    pub(crate) fn holds(&self) -> bool {
        (self.0)()
    }
}

/// What all reconciles share.
pub(crate) struct Context {
    /// The API server.
    pub api: ServiceApi,
    /// How the controller behaves.
    pub config: Config,
    /// Who makes load balancers, and for whom.
    pub providers: Providers,
    /// The Services that the watch shows.
    pub services: Services,
    /// The debounced nodes; none until the first list.
    pub nodes: watch::Receiver<Option<Nodes>>,
    /// What was done for each Service.
    pub memories: Memories,
    /// What is being released.
    pub releases: Releases,
    /// Who waits to be reconciled.
    pub queue: Queue,
    /// Where events go.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Asked before every provider call and every write.
    pub fence: FenceCheck,
    active: AtomicBool,
}

impl Context {
    /// A context in which nothing happened yet.
    pub(crate) fn new(
        api: ServiceApi,
        config: Config,
        providers: &[Arc<dyn CloudLoadBalancer>],
        nodes: watch::Receiver<Option<Nodes>>,
        events: Events,
        metrics: Arc<Metrics>,
        fence: FenceCheck,
    ) -> Self {
        Context {
            api,
            providers: Providers::new(providers, config.retry),
            services: Services::default(),
            nodes,
            memories: Memories::default(),
            releases: Releases::new(config.retry),
            queue: Queue::new(metrics.clone()),
            events,
            metrics,
            fence,
            active: AtomicBool::new(false),
            config,
        }
    }

    /// Whether this process leads and takes note of what happens.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// From now on this process leads.
    pub(crate) fn activate(&self) {
        self.active.store(true, Ordering::Release);
    }

    /// Queues a reconcile of a Service. While this process does not lead nothing is queued: it starts with a reconcile
    /// of every Service.
    pub(crate) fn wake(&self, key: &ServiceKey) {
        if self.is_active() {
            self.queue.add(key);
        }
    }

    /// How the Services stand that somebody serves, each as after its last reconcile.
    pub(crate) fn count_services(&self) -> ServicesByState {
        let counts = self.memories.count();
        let mut by_name = BTreeMap::new();
        // Also of a provider that serves none: a number is missing only where nobody counts.
        for provider in self.providers.indices() {
            by_name
                .insert((self.providers.name(provider).to_owned(), crate::metrics::ServiceState::Ready), 0);
        }
        for ((provider, state), count) in counts {
            by_name.insert((self.providers.name(provider).to_owned(), state), count);
        }
        by_name
    }
}

#[cfg(test)]
impl Context {
    /// One that leads, with this API server and one provider that is at work, and without a node.
    pub(crate) fn that_leads(client: kube::Client, provider: Arc<dyn CloudLoadBalancer>) -> Arc<Self> {
        let (api, fence) = (ServiceApi::new(client, "test"), FenceCheck::new(|| true));
        let (_, nodes) = watch::channel(None);
        let events = Events::default();
        let context = Context::new(api, Config::default(), &[provider], nodes, events, Arc::default(), fence);
        context.providers[0].resumption.is_done();
        context.activate();
        Arc::new(context)
    }
}
