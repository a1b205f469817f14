//! The provider: each method in a few named steps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apiserver_client::Watches;
use async_trait::async_trait;
use cloud_provider::{
    BackendInterest, ClassRule, CloudLoadBalancer, Error, Ordered, Outcome, Owned, Plan, ProviderCondition,
    Published, Request, ServiceId, ServiceView, WakeupStream,
};
use kube::Client;
use metallb::crd::AnnouncementProtocol;
use parking_lot::Mutex;
use tokio::sync::watch as latest;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use metallb::crd::IPAddressPoolStatus;
use metallb::pool::Definition;
use metallb::pools::{PoolMistakes, Pools};

use crate::allocation::{Addresses, Allocation};
use crate::allocator::{Allocator, ServiceAddresses};
use crate::assignments::Reuse;
use crate::desired::{self, ObservedService, Ownership, ReadService, read};
use crate::error::SourceError;
use crate::file::PoolFile;
use crate::plan::{AnnouncerKind, Namespaces, Policy, RemovedAddress};
use crate::pool_events::{MistakenPools, keep_warning};
use crate::pool_status::{ShownStatuses, keep_statuses};
use crate::report::Report;
use crate::shared::SharedAllocator;
use crate::watch::{self, Progress};

/// What announcers say, as it is called in the log.
const STATEMENTS: &str = "servicel2statuses.metallb.io and servicebgpstatuses.metallb.io";

/// How long the first look at what announcers say is waited for.
const STATEMENTS_DEADLINE: Duration = Duration::from_secs(5);

/// Where the address pools come from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PoolSource {
    /// `IPAddressPool` resources, watched.
    Cluster {
        /// Only those in this namespace; none: in all.
        namespace: Option<String>,
    },
    /// A file of manifests. It is read by [`resume`](CloudLoadBalancer::resume), by [`BareProvider::reload`], and
    /// within seconds whenever it has changed.
    File(PathBuf),
    /// These, until [`BareProvider::use_pools`].
    Static(Vec<Definition>),
}

/// How a [`BareProvider`] works. Every field has a default.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BareConfig {
    /// Which Services are ours.
    pub class: ClassRule,
    /// Where the address pools come from.
    pub pools: PoolSource,
    /// Whether Services of different namespaces may share an address. If so, whoever knows a sharing key can join
    /// it from anywhere.
    pub share_across_namespaces: bool,
    /// What happens to published addresses that no pool provides any more.
    pub removed_address: RemovedAddress,
    /// How long a published address that no pool provides any more stays as if one did, in case the pool comes back:
    /// gone and made again, or edited and taken back. 60 s by default; none at zero.
    pub pool_grace: Duration,
    /// Who announces the addresses: MetalLB's speaker, which asks for all of a Service's to be of one pool, or another.
    pub announcer: AnnouncerKind,
    /// In which order addresses that were given back are used again.
    pub reuse: Reuse,
    /// Whether counters are kept in the statuses of the cluster's pools.
    pub write_pool_status: bool,
    /// How long [`resume`](CloudLoadBalancer::resume) waits for the first list of pools.
    pub pools_deadline: Duration,
}

impl Default for BareConfig {
    /// Pools of all namespaces, Services without a class.
    fn default() -> Self {
        BareConfig {
            class: ClassRule::Unset,
            pools: PoolSource::Cluster { namespace: None },
            share_across_namespaces: false,
            removed_address: RemovedAddress::Move,
            pool_grace: Duration::from_secs(60),
            announcer: AnnouncerKind::MetalLb,
            reuse: Reuse::Lowest,
            write_pool_status: true,
            pools_deadline: Duration::from_secs(30),
        }
    }
}

/// Assigns addresses from pools. See the [crate page](crate).
pub struct BareProvider {
    config: BareConfig,
    client: Option<Client>,
    watches: Option<Watches>,
    shared: Arc<SharedAllocator>,
    file: Option<Arc<PoolFile>>,
    feed: Mutex<Option<Feed>>,
    resumed: AtomicBool,
}

/// The watches, for as long as the provider lives. They read, and write nothing.
#[derive(Debug)]
struct Feed {
    pools: Option<PoolFeed>,
    namespaces: Option<latest::Receiver<Progress>>,
    /// One for each kind.
    statements: Vec<latest::Receiver<Progress>>,
    _watches: Vec<AbortOnDropHandle<()>>,
    /// What follows a file, and tells the cluster of pools: none before the process leads.
    at_work: Option<Vec<AbortOnDropHandle<()>>>,
}

/// The watch on the cluster's pools, and what is to be told of them.
#[derive(Clone, Debug)]
struct PoolFeed {
    progress: latest::Receiver<Progress>,
    mistaken: latest::Receiver<MistakenPools>,
    statuses: ShownStatuses,
}

impl BareProvider {
    /// A provider. `client` is needed for pools from the cluster; with pools from elsewhere it makes pools that
    /// select namespaces by label work.
    ///
    /// # Errors
    /// If the pools are to come from the cluster and there is no client.
    pub fn new(config: BareConfig, client: Option<Client>) -> Result<Self, SourceError> {
        if client.is_none() && matches!(config.pools, PoolSource::Cluster { .. }) {
            return Err(SourceError::NoClient);
        }
        let BareConfig { removed_address, pool_grace, announcer, .. } = config;
        let policy = Policy { removed_address, pool_grace, announcer };
        let shared = Arc::new(SharedAllocator::new(Allocator::new(policy).reusing(config.reuse)));
        let file = match &config.pools {
            PoolSource::File(path) => Some(Arc::new(PoolFile::new(path.clone()))),
            PoolSource::Cluster { .. } | PoolSource::Static(_) => None,
        };
        let provider = BareProvider {
            config,
            client,
            watches: None,
            shared,
            file,
            feed: Mutex::new(None),
            resumed: AtomicBool::new(false),
        };
        if let PoolSource::Static(definitions) = &provider.config.pools {
            provider.use_pools(definitions);
        }
        Ok(provider)
    }

    /// Follows pools and namespaces beside what these follow already: all of them share one look at an API server that is
    /// away. By default they are the provider's own.
    pub fn watches(mut self, watches: Watches) -> Self {
        self.watches = Some(watches);
        self
    }

    /// Puts these pools in force, as if the source had delivered them. Pools with mistakes are left out, or keep
    /// their last good version; what is wrong with them is logged and returned.
    pub fn use_pools(&self, definitions: &[Definition]) -> Vec<PoolMistakes> {
        self.shared.put_in_force(definitions)
    }

    /// Takes these for the namespaces of the cluster, as if a watch had delivered them.
    pub fn use_namespaces(&self, namespaces: Namespaces) {
        self.shared.change(|allocator| allocator.set_namespaces(namespaces));
    }

    /// The pools in force.
    pub fn pools(&self) -> Pools {
        self.shared.read(|allocator| allocator.pools().clone())
    }

    /// Whether it knows who has which address: [`resume`](CloudLoadBalancer::resume) has succeeded. A process that stands by
    /// knows pools, and of nobody who has an address from them.
    pub fn has_resumed(&self) -> bool {
        self.resumed.load(Ordering::Relaxed)
    }

    /// How much of each pool is in use, by pool name: for metrics, and what the pools' statuses tell. Of use once it
    /// [has resumed](Self::has_resumed).
    pub fn pool_statuses(&self) -> BTreeMap<String, IPAddressPoolStatus> {
        self.shared.statuses().into_iter().map(|(pool, status)| (pool.name, status)).ordered()
    }

    /// Reads the file of pools again. Nothing happens with pools from elsewhere.
    ///
    /// # Errors
    /// If the file cannot be read; the pools in force stay in force.
    pub fn reload(&self) -> Result<Vec<PoolMistakes>, SourceError> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let manifests = file.read()?;
        for sentence in &manifests.passed_over {
            info!(file = %file.path().display(), "{sentence}");
        }
        Ok(self.use_pools(&manifests.pools))
    }

    /// Begins all that runs beside the calls, once, and waits until all that the watches list is known.
    async fn pools_known(&self) -> Result<(), Error> {
        self.reload()?;
        let (pools, namespaces, statements) = {
            let mut feed = self.feed.lock();
            let feed = feed.get_or_insert_with(|| self.watch());
            feed.at_work.get_or_insert_with(|| self.work(feed.pools.as_ref()));
            (feed.pools.clone(), feed.namespaces.clone(), feed.statements.clone())
        };
        if let Some(pools) = pools {
            watch::complete(pools.progress, watch::POOLS, self.config.pools_deadline).await?;
        }
        if let Some(namespaces) = namespaces {
            watch::complete(namespaces, watch::NAMESPACES, self.config.pools_deadline).await?;
        }
        for statements in statements {
            // Without them it is not told who announces. Nothing else needs them, so nothing waits long for them.
            if let Err(error) = watch::complete(statements, STATEMENTS, STATEMENTS_DEADLINE).await {
                info!(%error, "Services do not tell who announces them");
            }
        }
        Ok(())
    }

    /// Begins to read what the cluster has.
    fn watch(&self) -> Feed {
        let mut tasks = Vec::new();
        let watches = self.watches.clone().or_else(|| self.client.clone().map(Watches::new));
        let namespaces = watches.as_ref().map(|watches| {
            let (tell, namespaces) = latest::channel(Progress::Listing);
            tasks.push(tokio::spawn(watch::namespaces(watches.clone(), self.shared.clone(), tell)));
            namespaces
        });
        let pools = match (&self.config.pools, &watches) {
            (PoolSource::Cluster { namespace }, Some(watches)) => {
                let (tell, progress) = latest::channel(Progress::Listing);
                let (tell_mistaken, mistaken) = latest::channel(MistakenPools::new());
                let (shared, statuses) = (self.shared.clone(), ShownStatuses::default());
                let (watches, namespace) = (watches.clone(), namespace.clone());
                let watch = watch::pools(watches, namespace, shared, statuses.clone(), tell_mistaken, tell);
                tasks.push(tokio::spawn(watch));
                Some(PoolFeed { progress, mistaken, statuses })
            }
            _ => None,
        };
        let mut statements = Vec::new();
        if let (PoolSource::Cluster { .. }, Some(watches)) = (&self.config.pools, &watches) {
            for protocol in AnnouncementProtocol::ALL {
                let (tell, told) = latest::channel(Progress::Listing);
                let watch = watch::statements(watches.clone(), protocol, self.shared.clone(), tell);
                tasks.push(tokio::spawn(watch));
                statements.push(told);
            }
        }
        let tasks = tasks.into_iter().map(AbortOnDropHandle::new).collect();
        Feed { pools, namespaces, statements, _watches: tasks, at_work: None }
    }

    /// Begins what only the process that leads may do.
    fn work(&self, pools: Option<&PoolFeed>) -> Vec<AbortOnDropHandle<()>> {
        let mut tasks = Vec::new();
        if let Some(file) = &self.file {
            tasks.push(tokio::spawn(watch::pool_file(file.clone(), self.shared.clone())));
        }
        if let (Some(client), Some(PoolFeed { mistaken, statuses, .. })) = (&self.client, pools) {
            tasks.push(tokio::spawn(keep_warning(client.clone(), mistaken.clone())));
            if self.config.write_pool_status {
                let shared = self.shared.clone();
                let changed = shared.counted.clone();
                let count = move || shared.statuses();
                tasks.push(tokio::spawn(keep_statuses(client.clone(), statuses.clone(), changed, count)));
            }
        }
        tasks.into_iter().map(AbortOnDropHandle::new).collect()
    }

    fn report<'a>(
        &self,
        service: &'a ServiceView,
        answer: &'a ServiceAddresses,
        allocator: &'a Allocator,
        announced: Option<&'a ProviderCondition>,
    ) -> Report<'a> {
        let (pools, announcer) = (allocator.pools(), self.config.announcer);
        Report { service, answer, pools, announcer, announced }
    }

    fn read(&self, service: &ServiceView, ownership: Ownership) -> ReadService {
        read(service, ownership, self.config.share_across_namespaces)
    }
}

#[async_trait]
impl CloudLoadBalancer for BareProvider {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn claims(&self, service: &ServiceView) -> bool {
        self.config.class.matches(service.class.as_deref())
    }

    /// The Service's status is the record of its address; nothing else has to go before the Service may.
    fn holds_resources(&self) -> bool {
        false
    }

    fn reads_annotation(&self, key: &str) -> bool {
        desired::is_input(key)
    }

    fn published_annotations(&self) -> Vec<&str> {
        vec![desired::ALLOCATED_FROM]
    }

    /// Whoever announces the address looks at nodes; who assigns it does not.
    fn backends(&self, _service: &ServiceView) -> BackendInterest {
        BackendInterest::none()
    }

    /// Pools, namespaces and what announcers say are followed from here on; nothing is written before `resume`.
    fn stand_by(&self) {
        self.feed.lock().get_or_insert_with(|| self.watch());
    }

    async fn resume(&self, services: &[Arc<ServiceView>]) -> Result<(), Error> {
        self.pools_known().await?;
        let observed: Vec<ObservedService> = services
            .iter()
            .map(|service| {
                let ours = service.wants_load_balancer && self.claims(service);
                self.read(service, if ours { Ownership::Ours } else { Ownership::Theirs }).observed
            })
            .collect();
        self.shared.change(|allocator| allocator.resume(observed));
        self.resumed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn observe_foreign(&self, service: &ServiceView) {
        let shows_nothing = service.published_ips().next().is_none();
        if shows_nothing && self.shared.read(|allocator| !allocator.knows(&service.id.uid)) {
            return;
        }
        let observed = self.read(service, Ownership::Theirs).observed;
        self.shared.change(|allocator| allocator.avoid(observed));
    }

    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        let announced = self.shared.announced(&service.id.key);
        Ok(self.shared.read(|allocator| {
            let answer = ServiceAddresses {
                addresses: allocator.get(&service.id.uid)?.into(),
                allocation: Allocation::Served,
                outdated: Addresses::new(),
                lost: Vec::new(),
            };
            Some(self.report(service, &answer, allocator, announced.as_ref()).published())
        }))
    }

    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        let service = request.service();
        let ReadService { observed, mistakes, notes } = self.read(service, Ownership::Ours);
        let announced = self.shared.announced(&service.id.key);
        let (outcome, outdated) = self.shared.change(|allocator| {
            let answer = allocator.ensure(observed);
            let report = self.report(service, &answer, allocator, announced.as_ref());
            let outcome =
                if mistakes.is_empty() { report.outcome(notes) } else { report.refused(mistakes, notes) };
            (outcome, !answer.outdated.is_empty())
        });
        if outdated {
            self.shared.look_again(service.id.key.clone());
        }
        outcome
    }

    async fn update_backends(&self, _request: &Request) -> Result<(), Error> {
        Ok(())
    }

    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        self.shared.change(|allocator| allocator.delete(&service.uid));
        Ok(())
    }

    fn wakeups(&self) -> WakeupStream {
        self.shared.wakeups()
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let service = request.service();
        let ReadService { observed, mistakes, notes } = self.read(service, Ownership::Ours);
        self.shared.read(|allocator| {
            let answer = allocator.preview(&observed);
            let report = self.report(service, &answer, allocator, None);
            if mistakes.is_empty() { report.outcome(notes) } else { report.refused(mistakes, notes) }?;
            Ok(report.plan(&observed.published))
        })
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        Ok(self.shared.read(|allocator| {
            let mut owned: Vec<Owned> = allocator
                .holdings()
                .flat_map(|(service, ips)| ips.into_iter().map(move |ip| (service, ip)))
                .map(|(service, ip)| Owned::new(service.clone(), ip.to_string()))
                .collect();
            owned.sort_unstable_by(|a, b| (&a.service, &a.resource).cmp(&(&b.service, &b.resource)));
            owned
        }))
    }
}
