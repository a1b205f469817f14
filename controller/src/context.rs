//! What all reconciles share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloud_provider::{
    BackendInterest, CloudLoadBalancer, ErrorClass, Published, ServiceId, ServiceKey, ServiceView,
};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::decide::{Last, ProviderIndex};
use crate::events::Events;
use crate::metrics::{Count, Metrics, ServiceState};
use crate::nodes::Nodes;
use crate::queue::{Command, reference};
use crate::retry::{Backoff, ThrottleGate};
use crate::service::Tracked;
use crate::status::{DELETE_FAILED, Readiness};

/// A provider and the gate before its calls.
pub struct ProviderHandle {
    /// The provider.
    pub provider: Arc<dyn CloudLoadBalancer>,
    /// Tripped when its API throttles.
    pub throttle: ThrottleGate,
}

/// What this process knows of one Service beyond what the cluster says; dropped with the Service.
pub struct Memory {
    /// Of which Service.
    pub id: ServiceId,
    /// What was done.
    pub last: Last,
    /// The last view that ended in success: what node updates go by while the present one has a mistake.
    pub last_valid_view: Option<Arc<ServiceView>>,
    /// What the provider last said to publish.
    pub published: Option<Published>,
    /// What the user was last told in the condition.
    pub record: Option<crate::status::Record>,
    /// The Service as our own last write returned it, until the watch has caught up.
    pub written: Option<Arc<Tracked>>,
    /// Waits between attempts of this Service.
    pub backoff: Backoff,
    /// Provider notes already told.
    pub emitted_notes: Vec<cloud_provider::Note>,
    /// Whether the user was told that there is no node.
    pub emitted_no_nodes: bool,
}

impl Memory {
    /// How the Service stands, by what the user was last told.
    fn state(&self) -> ServiceState {
        match &self.record {
            Some(record) if record.ready == Readiness::True => ServiceState::Ready,
            Some(record) if record.reason == DELETE_FAILED => ServiceState::Failing,
            Some(record) if ErrorClass::ALL.iter().any(|class| class.as_str() == record.reason) => {
                ServiceState::Failing
            }
            _ => ServiceState::Waiting,
        }
    }
}

/// A Service that left, and what is still to be released for it.
pub struct Departure {
    /// The providers that may hold something.
    pub holders: Vec<ProviderIndex>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// When to try again; none: now.
    pub again: Option<Instant>,
}

/// Departures of one key: namesakes can leave one after the other.
pub type Departed = HashMap<ServiceId, Departure>;

/// Whether this process may act: it holds the Lease, or there is no election.
#[derive(Clone)]
pub struct Fence(Arc<dyn Fn() -> bool + Send + Sync>);

impl Fence {
    /// A fence that asks `holds`, which must be cheap.
    pub fn new(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Fence(Arc::new(holds))
    }

    /// Whether this process may act now.
    pub fn holds(&self) -> bool {
        (self.0)()
    }
}

/// What all reconciles share.
pub struct Context {
    /// The API server.
    pub client: kube::Client,
    /// How the controller behaves.
    pub config: Config,
    /// In order of preference.
    pub providers: Vec<ProviderHandle>,
    /// The settled nodes; none until the first list.
    pub nodes: watch::Receiver<Option<Nodes>>,
    /// Where events go.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Asked before every provider call and every write.
    pub fence: Fence,
    commands: mpsc::UnboundedSender<Command>,
    queue: mpsc::UnboundedSender<ObjectRef<Tracked>>,
    memory: Mutex<HashMap<ServiceKey, Memory>>,
    states: Mutex<HashMap<ServiceKey, (ProviderIndex, ServiceState)>>,
    departed: Mutex<HashMap<ServiceKey, Departed>>,
    woken: Mutex<HashSet<ServiceKey>>,
    released: Mutex<HashSet<ServiceId>>,
    active: AtomicBool,
}

/// What a [`Context`] is made of.
pub struct Parts {
    /// The API server.
    pub client: kube::Client,
    /// How the controller behaves.
    pub config: Config,
    /// The settled nodes.
    pub nodes: watch::Receiver<Option<Nodes>>,
    /// Where events go.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Asked before every provider call and every write.
    pub fence: Fence,
    /// To the store.
    pub commands: mpsc::UnboundedSender<Command>,
    /// To the queue of reconciles.
    pub queue: mpsc::UnboundedSender<ObjectRef<Tracked>>,
}

impl Context {
    /// A context in which nothing happened yet.
    pub fn new(parts: Parts, providers: &[Arc<dyn CloudLoadBalancer>]) -> Self {
        let Parts { client, config, nodes, events, metrics, fence, commands, queue } = parts;
        let handles = providers
            .iter()
            .map(|p| ProviderHandle { provider: p.clone(), throttle: ThrottleGate::new(config.retry) })
            .collect();
        Context {
            client,
            config,
            providers: handles,
            nodes,
            events,
            metrics,
            fence,
            commands,
            queue,
            memory: Mutex::default(),
            states: Mutex::default(),
            departed: Mutex::default(),
            woken: Mutex::default(),
            released: Mutex::default(),
            active: AtomicBool::new(false),
        }
    }

    /// Whether this process leads and takes note of what happens.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// From now on this process leads.
    pub fn activate(&self) {
        self.active.store(true, Ordering::Release);
    }

    /// Queues a reconcile of a Service. While this process does not lead nothing is queued: it starts with a reconcile
    /// of every Service.
    pub fn wake(&self, key: &ServiceKey) {
        if self.is_active() {
            self.metrics.queued(key);
            // The queue closes only when the controller stops, and then nobody needs a reconcile.
            let _ = self.queue.send(reference(key));
        }
    }

    /// Queues a reconcile in which the provider is asked again though nothing changed in the cluster.
    pub fn wake_for_provider(&self, key: ServiceKey) {
        lock(&self.woken).insert(key.clone());
        self.wake(&key);
    }

    /// Whether a provider asked for another look since the last reconcile.
    pub fn take_woken(&self, key: &ServiceKey) -> bool {
        lock(&self.woken).remove(key)
    }

    /// Notes that a Service left before the reconcile that it waited for.
    pub(crate) fn left(&self, key: &ServiceKey) {
        self.take_woken(key);
        self.count(key);
        self.metrics.left(key);
    }

    /// Drops a key from the store, or brings one into it.
    pub fn command(&self, command: Command) {
        // As above: a closed channel means that the controller stops.
        let _ = self.commands.send(command);
    }

    /// Takes what is remembered of a Service; the reconcile that took it puts it back.
    pub fn take_memory(&self, key: &ServiceKey) -> Option<Memory> {
        lock(&self.memory).remove(key)
    }

    /// Puts it back.
    pub fn put_memory(&self, memory: Memory) {
        lock(&self.memory).insert(memory.id.key.clone(), memory);
    }

    /// Counts a Service by what is remembered of it, until the next time; not at all if that is nothing.
    pub(crate) fn count(&self, key: &ServiceKey) {
        let counted = lock(&self.memory).get(key).and_then(|m| Some((m.last.provider?, m.state())));
        let mut states = lock(&self.states);
        match counted {
            Some(counted) => states.insert(key.clone(), counted),
            None => states.remove(key),
        };
    }

    /// How the Services stand that somebody serves, each as after its last reconcile.
    pub(crate) fn service_counts(&self) -> Count {
        let name = |provider: ProviderIndex| self.providers[provider].provider.name().to_owned();
        // Also of a provider that serves none: a number is missing only where nobody counts.
        let mut count: Count =
            (0..self.providers.len()).map(|p| ((name(p), ServiceState::Ready), 0)).collect();
        for (provider, state) in lock(&self.states).values() {
            *count.entry((name(*provider), *state)).or_default() += 1;
        }
        count
    }

    /// Notes that everything was released for a Service that is being deleted: when it has gone, nothing is left
    /// to do.
    pub fn released(&self, id: ServiceId) {
        lock(&self.released).insert(id);
    }

    /// Notes that a Service left and who may hold something for it. Whether anything is to be released.
    pub fn departed(&self, last: &Tracked) -> bool {
        let news = self.is_active() && !last.gone && !lock(&self.released).remove(&last.view.id);
        if news {
            self.note_departure(last.view.id.clone(), self.possible_holders(last));
        }
        news
    }

    /// Notes that something is held for a Service of which nothing else is known.
    pub fn departed_id(&self, id: ServiceId) {
        if self.is_active() {
            self.note_departure(id, (0..self.providers.len()).collect());
        }
    }

    /// Notes that a Service which this process served left unseen.
    pub fn departed_holder(&self, id: ServiceId, holder: Option<ProviderIndex>) {
        if let Some(holder) = holder {
            let key = id.key.clone();
            self.note_departure(id, vec![holder]);
            self.wake(&key);
        }
    }

    /// Patches a Service's status subresource: a strategic merge, so lists of others' finalizers and conditions
    /// are left alone. The subresource applies metadata too, which lets one write carry everything.
    ///
    /// # Errors
    /// The API server's.
    pub async fn patch_status(&self, key: &ServiceKey, body: serde_json::Value) -> kube::Result<Service> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), &key.namespace);
        api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(body)).await
    }

    fn note_departure(&self, id: ServiceId, holders: Vec<ProviderIndex>) {
        let departure = Departure { holders, backoff: Backoff::new(self.config.retry), again: None };
        lock(&self.departed).entry(id.key.clone()).or_default().entry(id).or_insert(departure);
    }

    /// The departed Services of a key.
    pub fn take_departed(&self, key: &ServiceKey) -> Departed {
        lock(&self.departed).remove(key).unwrap_or_default()
    }

    /// Puts back what could not be released yet.
    pub fn put_departed(&self, key: &ServiceKey, remaining: Departed) {
        if !remaining.is_empty() {
            lock(&self.departed).entry(key.clone()).or_default().extend(remaining);
        }
    }

    /// Whoever would serve this Service if it wanted a load balancer.
    pub fn claimer(&self, view: &ServiceView) -> Option<ProviderIndex> {
        if view.wants_load_balancer {
            return self.providers.iter().position(|s| s.provider.claims(view));
        }
        let mut wanting = view.clone();
        wanting.wants_load_balancer = true;
        self.providers.iter().position(|s| s.provider.claims(&wanting))
    }

    /// What of the backends matters for a Service to whoever claims it: as the Service is now, and as it was when it was
    /// last served, since what serves goes by that while the present one has a mistake.
    pub(crate) fn interests(&self, view: &ServiceView) -> Vec<BackendInterest> {
        let Some(claimer) = self.claimer(view) else { return Vec::new() };
        let provider = &self.providers[claimer].provider;
        let valid = lock(&self.memory).get(&view.id.key).and_then(|memory| memory.last_valid_view.clone());
        let views = [Some(view), valid.as_deref().filter(|valid| *valid != view)];
        views.into_iter().flatten().map(|view| provider.backends(view)).collect()
    }

    /// The name of the provider whose a Service is: whoever claims it, or else has recorded itself on it.
    pub(crate) fn whose(&self, tracked: &Tracked) -> Option<&str> {
        let claimer = if tracked.is_load_balancer { self.claimer(&tracked.view) } else { None };
        let recorded = || tracked.records.iter().find_map(|record| self.provider_named(&record.provider));
        claimer.or_else(recorded).map(|index| self.providers[index].provider.name())
    }

    /// The provider of this name.
    pub fn provider_named(&self, name: &str) -> Option<ProviderIndex> {
        self.providers.iter().position(|s| s.provider.name() == name)
    }

    /// Who may hold something for a Service that left: whoever recorded itself, whoever would claim it, and
    /// everybody whose release costs no cloud call (a foreign Service's published address was theirs to avoid).
    fn possible_holders(&self, last: &Tracked) -> Vec<ProviderIndex> {
        let recorded: Vec<_> = last.records.iter().filter_map(|r| self.provider_named(&r.provider)).collect();
        let claimer = self.claimer(&last.view);
        (0..self.providers.len())
            .filter(|i| {
                recorded.contains(i) || claimer == Some(*i) || !self.providers[*i].provider.holds_resources()
            })
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in another reconcile does not make plain maps wrong.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
