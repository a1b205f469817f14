//! Putting the parts together and running them.

use std::collections::HashSet;
use std::sync::Arc;

use apiserver_client::{Lean, Watches, bounded};
use cloud_provider::{CloudLoadBalancer, ServiceKey, ServiceView};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::context::{Context, FenceCheck};
use crate::error::Error;
use crate::events::Events;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::resume::resume;
use crate::service_api::ServiceApi;
use crate::user_agent::{SERVICE_CONTROLLER, UserAgent};
use crate::{follow, nodes, reconcile, sweep};

/// The service controller: give it a client and one or more providers, and run it.
#[must_use = "nothing happens before `run`"]
pub struct ServiceController {
    client: kube::Client,
    user_agent: UserAgent,
    config: Config,
    providers: Vec<Arc<dyn CloudLoadBalancer>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Health,
    watches: Option<Watches>,
    fence: FenceCheck,
}

impl ServiceController {
    /// A controller that talks to the API server through `client`, with default behaviour and no provider yet.
    pub fn new(client: kube::Client) -> Self {
        ServiceController {
            client,
            user_agent: UserAgent::default(),
            config: Config::default(),
            providers: Vec::new(),
            metrics: Arc::default(),
            health: Health::default(),
            watches: None,
            fence: FenceCheck::new(|| true),
        }
    }

    /// Behaves like this.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Calls itself this to the API server, in its requests and in what it writes; by default the name of the executable.
    pub fn user_agent(mut self, user_agent: UserAgent) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// Adds a provider. A Service belongs to the first one that claims it.
    pub fn provider(mut self, provider: Arc<dyn CloudLoadBalancer>) -> Self {
        self.providers.push(provider);
        self
    }

    /// Asks this before every provider call and every write, so that a process that was paused past its Lease
    /// does nothing when it wakes, before anything else has noticed.
    pub fn fenced_by(mut self, holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.fence = FenceCheck::new(holds);
        self
    }

    /// Counts into these, so that the caller can show them.
    pub fn metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Says here how it stands, for `/readyz` and `/healthz`.
    pub fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// Follows Services and Nodes beside what these follow already, for example for a provider: all of them share one look
    /// at an API server that is away, and all count for [`Health`]. By default they are the controller's own.
    pub fn watches(mut self, watches: Watches) -> Self {
        self.watches = Some(watches);
        self
    }

    /// Runs at once, until `stop`: as [`run_when`](ServiceController::run_when) without waiting for leadership.
    ///
    /// # Errors
    /// As there.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        self.run_when(std::future::ready(()), stop).await
    }

    /// Fills the caches, has every provider [stand by](CloudLoadBalancer::stand_by), waits for `leading`, lets every provider resume, then works until `stop`. `leading` is not polled
    /// before the caches are full, so that nobody leads who cannot see.
    ///
    /// Providers resume beside each other. While one cannot, its Services are told so, and those of the others are served.
    ///
    /// No request to the API server takes longer than [`Config::bounds`] says, whatever client was given.
    ///
    /// After `stop` no provider call starts; those in flight may end within [`Config::shutdown_grace`], and are dropped
    /// then (every step is safe to repeat by the next process). Nothing is written while `leading` is pending.
    ///
    /// # Errors
    /// When it cannot run at all: no provider, two of one name, or a watch that ended.
    pub async fn run_when(
        self,
        leading: impl Future<Output = ()> + Send,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let ServiceController { client, user_agent, config, providers, metrics, health, watches, fence } =
            self;
        check(&providers)?;
        let client = user_agent.client(&bounded(&client, config.bounds), SERVICE_CONTROLLER);
        let watches = watches.unwrap_or_else(|| Watches::new(client.clone()));
        metrics.begins();
        providers.iter().for_each(|provider| metrics.begins_with(provider.name()));
        let counted = metrics.clone();
        health.begins(&watches, move || counted.longest_reconcile(), config.longest_reconcile());
        metrics.show_health(health.clone());
        let (settled, node_sets) = watch::channel(None);
        let leads = fence.clone();
        let (events, post_events) =
            Events::new(client.clone(), config.identity.clone(), move || leads.holds());
        let mut tasks = JoinSet::new();
        let posting = tokio::spawn(post_events);
        tasks.spawn(nodes::follow(watched::<Lean<Node>>(&watches, "nodes"), config.debounce, settled));
        let api = ServiceApi::new(client.clone(), user_agent.program());
        let context = Context::new(api, config, &providers, node_sets, events, metrics, fence);
        let context = Arc::new(context);
        let (complete, mut listed) = watch::channel(false);
        let events = watched::<Lean<Service>>(&watches, "services");
        tasks.spawn(follow::services(events, context.clone(), complete));

        let ready = async {
            // Both wait for the first complete list; an error means that the watch's task has ended.
            listed.wait_for(|complete| *complete).await.map_err(|_| Error::WatchEnded)?;
            // Not before: Services are what everything else waits for. And not later: what a provider lists once the Lease
            // was written is answered when the server's caches have heard of that write, up to 100 ms later.
            providers.iter().for_each(|provider| provider.stand_by());
            context.nodes.clone().wait_for(Option::is_some).await.map_err(|_| Error::WatchEnded)?;
            health.waits();
            leading.await;
            Ok(())
        };
        tokio::select! {
            ready = ready => ready?,
            () = stop.cancelled() => return Ok(()),
        }

        for (i, handle) in context.providers.iter().enumerate() {
            let mut wakeups = handle.provider.wakeups();
            let context = context.clone();
            tasks.spawn(async move {
                while let Some(key) = wakeups.next().await {
                    tracing::debug!(service = %key, provider = context.providers.name(i), "woken");
                    context.queue.add_woken(&key);
                }
                // A provider that has nothing to tell any more is no reason to stop.
                std::future::pending::<()>().await;
            });
        }
        let known = Arc::downgrade(&context);
        context
            .metrics
            .count_services_by(move || known.upgrade().map(|c| c.count_services()).unwrap_or_default());
        // From here on deletions are noted, so that none is missed between resuming and the first reconcile.
        context.activate();
        health.leads(providers.iter().map(|provider| provider.name().to_owned()));
        for provider in context.providers.indices() {
            tasks.spawn(resume(context.clone(), provider, health.clone()));
        }
        for tracked in context.services.all() {
            context.wake(&tracked.view.id.key);
        }
        tasks.spawn(wake_on_node_changes(context.clone()));
        tasks.spawn(sweep::run(context.clone()));

        let grace = context.config.shutdown_grace;
        let work = work(context, stop.clone());
        let mut work = std::pin::pin!(work);
        let result = tokio::select! {
            () = &mut work => Ok(()),
            Some(_) = tasks.join_next() => Err(Error::WatchEnded),
            () = stop.cancelled() => {
                if timeout(grace, &mut work).await.is_err() {
                    tracing::warn!("provider calls did not end in time and were dropped; they will be repeated");
                }
                Ok(())
            }
        };
        tasks.abort_all();
        posting.abort();
        result
    }
}

fn check(providers: &[Arc<dyn CloudLoadBalancer>]) -> Result<(), Error> {
    if providers.is_empty() {
        return Err(Error::NoProvider);
    }
    let mut names = HashSet::new();
    match providers.iter().find(|p| !names.insert(p.name())) {
        Some(double) => Err(Error::DoubleName(double.name().to_owned())),
        None => Ok(()),
    }
}

/// What the watch on a kind of objects delivers, for ever. Of its failures it tells itself.
fn watched<K>(watches: &Watches, name: &str) -> impl Stream<Item = watcher::Event<K>> + Send + use<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
    K: serde::de::DeserializeOwned,
{
    watches.follow(name, Api::<K>::all).filter_map(|event| std::future::ready(event.ok()))
}

/// One reconcile of every Service to which what changed in a settled set matters.
async fn wake_on_node_changes(context: Arc<Context>) {
    let mut nodes = context.nodes.clone();
    let mut before = nodes.borrow_and_update().clone().unwrap_or_default();
    while nodes.changed().await.is_ok() {
        let now = nodes.borrow_and_update().clone().unwrap_or_default();
        let matters = |view: &ServiceView| {
            let followed = context.memories.followed_view(&view.id);
            let interests = context.providers.interests(view, followed.as_deref());
            interests.into_iter().any(|interest| before.fingerprint(&interest) != now.fingerprint(&interest))
        };
        let concerned: Vec<ServiceKey> = context
            .services
            .all()
            .iter()
            .filter(|tracked| tracked.is_load_balancer && matters(&tracked.view))
            .map(|tracked| tracked.view.id.key.clone())
            .collect();
        context.metrics.node_set_settled(concerned.iter().cloned());
        for key in &concerned {
            context.queue.add(key);
        }
        before = now;
    }
}

/// Reconciles until `stop`, then until those under way have ended.
async fn work(context: Arc<Context>, stop: CancellationToken) {
    let workers = usize::from(context.config.workers.max(1));
    // Tasks of their own, so that they run beside each other; they end with this set.
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = under_way.join_next() => propagate_panic(ended),
            item = context.queue.next(), if under_way.len() < workers => {
                under_way.spawn(reconcile::reconcile(item, context.clone()));
            }
        }
    }
    while let Some(ended) = under_way.join_next().await {
        propagate_panic(ended);
    }
}

/// A panic in the controller itself is no Service's failure: the process ends, as it would without tasks.
fn propagate_panic(ended: Result<(), JoinError>) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}
