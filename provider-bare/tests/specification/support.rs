//! A cluster in a few lines: Services with their statuses, and a controller that does what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::testing::{ServiceBuilder, a_service_named, nodes, request};
use cloud_provider::{
    CloudLoadBalancer, Error, Ingress, IpFamily, Note, Outcome, Pending, Published, Ready, ServiceKey,
    ServiceView, WakeupStream,
};
use futures::{FutureExt, StreamExt};
use metallb::crd::{IPAddressPoolSpec, IPAddressPoolStatus, ServiceAllocation};
use metallb::pool::Definition;
use metallb::pools::PoolMistakes;
use metallb::reservations::{EXCLUDE, RESERVE};
use provider_bare::plan::{AnnouncerKind, Namespaces};
use provider_bare::{BareConfig, BareProvider, PoolSource};
use tokio::runtime::{Builder, Runtime};
use tokio::time::advance;

/// A pool in words.
pub(crate) fn pool(name: &str, addresses: &[&str]) -> Definition {
    Definition {
        namespace: "metallb-system".into(),
        name: name.into(),
        labels: Default::default(),
        created: None,
        annotations: BTreeMap::new(),
        spec: Ok(IPAddressPoolSpec::of(addresses.iter().copied())),
    }
}

/// What may be said of a pool.
pub(crate) trait PoolWords: Sized {
    fn spec(&mut self) -> &mut IPAddressPoolSpec;

    fn by_request_only(mut self) -> Self {
        self.spec().auto_assign = false;
        self
    }

    fn annotation(self, key: &str, value: &str) -> Self;

    fn excluding(self, addresses: &str) -> Self {
        self.annotation(EXCLUDE, addresses)
    }

    fn reserving(self, reservations: &str) -> Self {
        self.annotation(RESERVE, reservations)
    }

    fn without_buggy(mut self) -> Self {
        self.spec().avoid_buggy_ips = true;
        self
    }

    fn allocation(mut self, allocation: ServiceAllocation) -> Self {
        self.spec().service_allocation = Some(allocation);
        self
    }

    fn for_namespace(self, namespace: &str, priority: i64) -> Self {
        self.allocation(ServiceAllocation {
            priority: Some(priority),
            namespaces: Some(vec![namespace.into()]),
            ..Default::default()
        })
    }
}

impl PoolWords for Definition {
    fn spec(&mut self) -> &mut IPAddressPoolSpec {
        self.spec.as_mut().expect("a pool of a test has a spec")
    }

    fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }
}

pub(crate) fn created(mut definition: Definition, at: i64) -> Definition {
    definition.created = Some(at);
    definition
}

/// A Service in namespace `default`.
pub(crate) fn service(name: &str) -> ServiceBuilder {
    a_service_named("default", name)
}

pub(crate) const V4: [IpFamily; 1] = [IpFamily::V4];
pub(crate) const V6: [IpFamily; 1] = [IpFamily::V6];
pub(crate) const BOTH: [IpFamily; 2] = [IpFamily::V4, IpFamily::V6];

pub(crate) fn ips(service: &ServiceView) -> Vec<String> {
    service.published_ips().map(|ip| ip.to_string()).collect()
}

/// A configuration in which decisions about pools are settled at once.
pub(crate) fn decisive() -> BareConfig {
    let mut config = BareConfig::default();
    config.pool_grace = Duration::ZERO;
    config
}

/// As [`decisive`], with an announcer that does not mind which pools the addresses of a Service are of.
pub(crate) fn with_own_announcer() -> BareConfig {
    let mut config = decisive();
    config.announcer = AnnouncerKind::Own;
    config
}

thread_local! {
    /// Whose clock is the provider's. It stands still, so that no timer comes due until [`Cluster::pass`].
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime starts");
}

fn on_the_clock<T>(act: impl FnOnce() -> T) -> T {
    RUNTIME.with(|runtime| {
        let _context = runtime.enter();
        act()
    })
}

pub(crate) struct Cluster {
    config: BareConfig,
    definitions: Vec<Definition>,
    namespaces: Namespaces,
    pub(crate) provider: BareProvider,
    wakeups: WakeupStream,
    pub(crate) services: BTreeMap<ServiceKey, ServiceView>,
}

impl Cluster {
    pub(crate) fn new(pools: impl IntoIterator<Item = Definition>) -> Self {
        Cluster::with(decisive(), pools)
    }

    pub(crate) fn with(config: BareConfig, pools: impl IntoIterator<Item = Definition>) -> Self {
        let definitions: Vec<Definition> = pools.into_iter().collect();
        let mut config = config;
        config.pools = PoolSource::Static(definitions.clone());
        let (provider, wakeups) = start(&config, &Namespaces::new(), &[]);
        Cluster {
            config,
            definitions,
            namespaces: Namespaces::new(),
            provider,
            wakeups,
            services: BTreeMap::new(),
        }
    }

    /// A new process, or a new leader: nothing is known but what the cluster shows.
    pub(crate) fn restart(&mut self) {
        self.config.pools = PoolSource::Static(self.definitions.clone());
        let services: Vec<Arc<ServiceView>> = self.services.values().cloned().map(Arc::new).collect();
        (self.provider, self.wakeups) = start(&self.config, &self.namespaces, &services);
    }

    pub(crate) fn set_pools(&mut self, pools: impl IntoIterator<Item = Definition>) -> Vec<PoolMistakes> {
        self.definitions = pools.into_iter().collect();
        on_the_clock(|| self.provider.use_pools(&self.definitions))
    }

    pub(crate) fn definitions(&self) -> Vec<Definition> {
        self.definitions.clone()
    }

    /// A Service of another class is there, or has changed, and the controller hears of it.
    pub(crate) fn foreign(&mut self, service: impl Into<Put>) {
        let Put(service) = service.into();
        on_the_clock(|| self.provider.observe_foreign(&service));
        self.services.insert(service.id.key.clone(), service);
        self.follow_wakeups();
    }

    pub(crate) fn is_ours(&self, service: &ServiceView) -> bool {
        self.provider.claims(service)
    }

    pub(crate) fn label_namespace(&mut self, name: &str, key: &str, value: &str) {
        self.namespaces.entry(name.into()).or_default().insert(key.into(), value.into());
        on_the_clock(|| self.provider.use_namespaces(self.namespaces.clone()));
    }

    /// Shown in the cluster, not yet looked at by the controller. A status that is there stays.
    pub(crate) fn put(&mut self, service: impl Into<Put>) -> ServiceKey {
        let Put(mut service) = service.into();
        if let Some(before) = self.services.get(&service.id.key)
            && service.published.is_empty()
        {
            service.published.clone_from(&before.published);
            let published = self.provider.published_annotations().into_iter();
            let published =
                published.filter_map(|key| Some((key.to_owned(), before.annotations.get(key)?.clone())));
            service.annotations.extend(published);
        }
        let key = service.id.key.clone();
        self.services.insert(key.clone(), service);
        key
    }

    /// Applies a Service, and lets the controller see to it and to everybody it wakes.
    pub(crate) fn apply(&mut self, service: impl Into<Put>) -> Result<Outcome, Error> {
        let key = self.put(service);
        let outcome = self.reconcile(&key);
        self.follow_wakeups();
        outcome
    }

    /// Applies a Service that must be served; its addresses.
    pub(crate) fn serve(&mut self, service: impl Into<Put>) -> Vec<String> {
        let Put(service) = service.into();
        let key = service.id.key.clone();
        match self.apply(service) {
            Ok(Outcome::Ready(_)) => self.ips_of(&key),
            other => panic!("{key} is not served: {other:?}"),
        }
    }

    /// Applies a Service that must be refused; the message.
    pub(crate) fn refuse(&mut self, service: impl Into<Put>) -> String {
        match self.apply(service) {
            Err(Error::Invalid(mistakes) | Error::InvalidInPart(mistakes)) => mistakes.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Applies a Service that must wait.
    pub(crate) fn wait(&mut self, service: impl Into<Put>) -> Pending {
        match self.apply(service) {
            Ok(Outcome::Pending(pending)) => pending,
            other => panic!("does not wait: {other:?}"),
        }
    }

    /// Applies a Service that asks for an address which others have; who, and why they cannot share it.
    pub(crate) fn occupied(&mut self, service: impl Into<Put>) -> String {
        let pending = self.wait(service);
        assert_eq!(pending.reason, "AddressInUse", "{}", pending.why);
        pending.why
    }

    /// One pass of the controller for one Service, with the write that follows from it.
    pub(crate) fn reconcile(&mut self, key: &ServiceKey) -> Result<Outcome, Error> {
        if !self.is_ours(&self.services[key]) {
            return Ok(Outcome::ready(Published::default()));
        }
        let outcome = self.ensure(key);
        if let Ok(
            Outcome::Ready(Ready { published, .. })
            | Outcome::Pending(Pending { publish: Some(published), .. }),
        ) = &outcome
        {
            self.write(key, published);
        }
        outcome
    }

    /// The provider's answer, without the write.
    pub(crate) fn ensure(&self, key: &ServiceKey) -> Result<Outcome, Error> {
        let request = request(&self.services[key], &nodes(1));
        now(self.provider.ensure(&request))
    }

    fn write(&mut self, key: &ServiceKey, published: &Published) {
        let service = self.services.get_mut(key).expect("the Service is there");
        service.published.clone_from(&published.ingress);
        for declared in self.provider.published_annotations() {
            service.annotations.remove(declared);
        }
        service.annotations.extend(published.annotations.clone());
    }

    pub(crate) fn follow_wakeups(&mut self) {
        while let Some(key) = self.next_woken() {
            if self.services.contains_key(&key) {
                let _ = self.reconcile(&key);
            }
        }
    }

    /// Lets time pass, and the controller see to everybody whom that wakes.
    pub(crate) fn pass(&mut self, time: Duration) {
        RUNTIME.with(|runtime| runtime.block_on(advance(time)));
        self.follow_wakeups();
    }

    /// Who is woken, each once.
    pub(crate) fn woken(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_woken()).map(|key| key.name.to_string()).collect()
    }

    pub(crate) fn next_woken(&mut self) -> Option<ServiceKey> {
        on_the_clock(|| self.wakeups.next().now_or_never().flatten())
    }

    /// The controller looks at everybody, until nothing changes any more.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..20 {
            let before = self.services.clone();
            let keys: Vec<ServiceKey> = self.services.keys().cloned().collect();
            for key in keys {
                let _ = self.reconcile(&key);
            }
            self.follow_wakeups();
            // The provider learns of a write by the next look, and what that sets free may change something again.
            quiet = if before == self.services { quiet + 1 } else { 0 };
            if quiet == 2 {
                return;
            }
        }
        panic!("does not come to rest: {:?}", self.services);
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.delete_key(&ServiceKey::new("default", name));
        self.follow_wakeups();
    }

    pub(crate) fn delete_key(&mut self, key: &ServiceKey) {
        if let Some(service) = self.services.remove(key) {
            now(self.provider.delete(&service.id)).expect("deletion succeeds");
        }
    }

    pub(crate) fn ips_of(&self, key: &ServiceKey) -> Vec<String> {
        self.services.get(key).map(ips).unwrap_or_default()
    }

    pub(crate) fn ips(&self, name: &str) -> Vec<String> {
        self.ips_of(&ServiceKey::new("default", name))
    }

    pub(crate) fn annotation(&self, key: &ServiceKey, name: &str) -> Option<&str> {
        self.services[key].annotations.get(name).map(String::as_str)
    }

    pub(crate) fn counters(&self, pool: &str) -> IPAddressPoolStatus {
        self.provider.pool_statuses()[pool]
    }
}

fn start(
    config: &BareConfig,
    namespaces: &Namespaces,
    services: &[Arc<ServiceView>],
) -> (BareProvider, WakeupStream) {
    let provider = on_the_clock(|| BareProvider::new(config.clone(), None)).expect("no client is needed");
    on_the_clock(|| provider.use_namespaces(namespaces.clone()));
    let wakeups = provider.wakeups();
    now(provider.resume(services)).expect("resume succeeds");
    (provider, wakeups)
}

/// The provider has nothing to wait for where pools do not come from a cluster.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    on_the_clock(|| future.now_or_never()).expect("nothing to wait for")
}

pub(crate) fn notes(outcome: &Result<Outcome, Error>) -> Vec<Note> {
    match outcome {
        Ok(Outcome::Ready(ready)) => ready.notes.clone(),
        Ok(Outcome::Pending(pending)) => pending.notes.clone(),
        Err(_) => Vec::new(),
    }
}

/// A Service or its builder.
pub(crate) struct Put(pub(crate) ServiceView);

impl From<ServiceView> for Put {
    fn from(service: ServiceView) -> Self {
        Put(service)
    }
}

impl From<ServiceBuilder> for Put {
    fn from(builder: ServiceBuilder) -> Self {
        Put(builder.build())
    }
}

pub(crate) fn entry(ip: &str) -> Ingress {
    Ingress::ip(ip.parse().expect("an address of a test parses"))
}
