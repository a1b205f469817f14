//! The platforms that the churn runs on: what fails there, what they hold, and what a new process' provider is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloud_provider::testing::{Calls, MemoryCloud, Method, Point};
use cloud_provider::{CloudLoadBalancer, ErrorClass};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use metallb::crd::IPAddressPool;
use provider_aws::client::fake::{FakeAws, Fault};
use provider_aws::client::{Elbv2, Select, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};
use provider_bare::{BareConfig, BareProvider};
use serde_json::{Value, json};

use super::impatient;
use crate::cluster::{Cluster, addresses};
use crate::sandbox::manifests;

/// What stands behind the provider, and outlives it.
#[async_trait]
pub trait Platform {
    /// The provider's name.
    fn name(&self) -> &'static str;

    /// The class of its Services.
    fn class(&self) -> Option<&'static str> {
        None
    }

    /// What its nodes have beside a name.
    fn node(&self) -> Value {
        json!({})
    }

    /// A provider as a new process has it.
    fn provider(&self) -> Arc<dyn CloudLoadBalancer>;

    /// One of its next calls fails.
    fn fails(&self, rng: &mut fastrand::Rng);

    /// It changes by itself, or at its operator's hands.
    async fn changes(&mut self, rng: &mut fastrand::Rng, cluster: &Cluster);

    /// From now on nothing fails, and there is enough of everything.
    async fn heals(&mut self, cluster: &Cluster);

    /// Whether it may be that this Service has no address.
    fn may_wait(&self, _service: &Service) -> bool {
        false
    }

    /// Where what it holds is not what these Services, all that want something, show.
    async fn disagrees(&self, services: &[Service]) -> Vec<String>;

    /// What it holds though there are no Services.
    async fn left(&self) -> Vec<String>;
}

fn uids(services: &[Service]) -> BTreeSet<String> {
    services.iter().filter_map(ResourceExt::uid).collect()
}

/// The cloud in memory.
#[derive(Default)]
pub struct Memory(MemoryCloud);

#[async_trait]
impl Platform for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn provider(&self) -> Arc<dyn CloudLoadBalancer> {
        self.0.provider()
    }

    fn fails(&self, rng: &mut fastrand::Rng) {
        let methods = [Method::Ensure, Method::Delete, Method::Resume];
        let points = [Point::Before, Point::Midway, Point::After];
        let classes = [ErrorClass::Transient, ErrorClass::Throttled, ErrorClass::Quota, ErrorClass::Denied];
        let method = methods[rng.usize(..methods.len())];
        let class = classes[rng.usize(..classes.len())];
        self.0.fail(Calls::next(method), points[rng.usize(..points.len())], class);
    }

    async fn changes(&mut self, rng: &mut fastrand::Rng, _: &Cluster) {
        let all: Vec<_> = self.0.load_balancers().into_values().collect();
        if !all.is_empty() {
            self.0.vandalise(&all[rng.usize(..all.len())].owner.key);
        }
    }

    async fn heals(&mut self, _: &Cluster) {
        self.0.heal();
    }

    async fn disagrees(&self, services: &[Service]) -> Vec<String> {
        let wanted = uids(services);
        let held: Vec<_> = self.0.load_balancers().into_values().collect();
        let mut wrong: Vec<String> = held
            .iter()
            .filter(|it| !wanted.contains(&*it.owner.uid))
            .map(|it| format!("a load balancer is held for {} that does not want it", it.owner.key))
            .collect();
        for service in services {
            let own = held.iter().find(|it| service.uid().is_some_and(|uid| *it.owner.uid == *uid));
            let held: Vec<String> = own.map_or_else(Vec::new, |it| {
                it.published.ingress.iter().filter_map(|entry| entry.ip.map(|ip| ip.to_string())).collect()
            });
            if held != addresses(service) {
                let name = service.name_any();
                wrong.push(format!("{name} shows {:?} and holds {held:?}", addresses(service)));
            }
        }
        wrong
    }

    async fn left(&self) -> Vec<String> {
        if self.0.is_empty() { Vec::new() } else { vec![format!("the cloud: {:?}", self.0.load_balancers())] }
    }
}

/// The strict AWS in memory.
pub struct Aws {
    aws: FakeAws,
    vpc: String,
    instance: String,
}

impl Default for Aws {
    fn default() -> Self {
        let aws = FakeAws::new();
        let vpc = aws.seed_vpc(3);
        let instance = aws.seed_nodes(&vpc, 1).remove(0);
        Aws { aws, vpc: vpc.id, instance }
    }
}

#[async_trait]
impl Platform for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn class(&self) -> Option<&'static str> {
        Some(AwsConfig::CLASS)
    }

    fn node(&self) -> Value {
        json!({ "spec": { "providerID": format!("aws:///us-east-1a/{}", self.instance) } })
    }

    fn provider(&self) -> Arc<dyn CloudLoadBalancer> {
        let shared = provider_aws::client::Aws::new(self.aws.clone(), SharingOptions::default());
        let mut config = AwsConfig::new("churn");
        config.vpc_id = Some(self.vpc.clone());
        Arc::new(AwsProvider::new(shared, config))
    }

    fn fails(&self, rng: &mut fastrand::Rng) {
        let nth = rng.u32(1..12);
        let fault = match rng.u32(0..4) {
            0 => Fault::before("Throttling"),
            1 => Fault::before("InternalFailure"),
            2 => Fault::before("ServiceUnavailable"),
            _ => Fault::reply_lost(),
        };
        self.aws.fail_nth_request(nth, fault);
    }

    async fn changes(&mut self, _: &mut fastrand::Rng, _: &Cluster) {
        self.aws.settle();
    }

    async fn heals(&mut self, _: &Cluster) {
        self.aws.heal();
        self.aws.settle();
    }

    async fn disagrees(&self, services: &[Service]) -> Vec<String> {
        let Ok(page) = self.aws.describe_load_balancers(&Select::All, None).await else {
            return vec!["load balancers cannot be listed".to_owned()];
        };
        let held: BTreeSet<String> = page.items.into_iter().map(|it| it.dns_name).collect();
        let shown: BTreeSet<String> = services.iter().flat_map(addresses).collect();
        let beyond: Vec<_> = held.symmetric_difference(&shown).collect();
        if beyond.is_empty() { Vec::new() } else { vec![format!("shown or held alone: {beyond:?}")] }
    }

    async fn left(&self) -> Vec<String> {
        self.aws.remaining()
    }
}

/// Pools of addresses on the cluster itself.
pub struct Metal {
    provider: std::sync::Mutex<Option<Arc<BareProvider>>>,
    client: kube::Client,
}

/// The pools, and what is in them: enough for all, and never the same address twice.
const POOLS: [(&str, &str); 2] = [("a", "192.0.2.0/26"), ("b", "198.51.100.0/26")];

impl Metal {
    /// Defines MetalLB's resources on the cluster, and two pools.
    ///
    /// # Panics
    /// When the cluster does not take them.
    pub async fn on(cluster: &Cluster) -> Self {
        let definitions = metallb::crd::manifest().expect("the resource definitions");
        for object in manifests::parse(&definitions, "resource definitions").expect("they are objects") {
            manifests::apply(&cluster.client, &object).await.expect("they are accepted");
        }
        for (name, range) in POOLS {
            apply_pool(cluster, name, range).await.expect("the pool is accepted");
        }
        Metal { provider: std::sync::Mutex::default(), client: impatient(&cluster.controller_client()) }
    }
}

async fn apply_pool(cluster: &Cluster, name: &str, range: &str) -> kube::Result<()> {
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": { "name": name },
        "spec": { "addresses": [range] },
    });
    pools(cluster).patch(name, &PatchParams::apply("churn").force(), &Patch::Apply(pool)).await.map(drop)
}

fn pools(cluster: &Cluster) -> Api<IPAddressPool> {
    Api::namespaced(impatient(&cluster.client), &cluster.namespace)
}

#[async_trait]
impl Platform for Metal {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn provider(&self) -> Arc<dyn CloudLoadBalancer> {
        // Longer than a pool is away, shorter than the test.
        let mut config = BareConfig::default();
        config.pool_grace = Duration::from_secs(2);
        let provider = Arc::new(BareProvider::new(config, Some(self.client.clone())).expect("a provider"));
        *self.provider.lock().expect("no panic") = Some(provider.clone());
        provider
    }

    fn fails(&self, _: &mut fastrand::Rng) {}

    async fn changes(&mut self, rng: &mut fastrand::Rng, cluster: &Cluster) {
        let (name, range) = POOLS[rng.usize(..POOLS.len())];
        match rng.u32(0..4) {
            0 => drop(pools(cluster).delete(name, &DeleteParams::default()).await),
            1 => drop(apply_pool(cluster, name, "192.0.2.300/32").await),
            _ => drop(apply_pool(cluster, name, range).await),
        }
    }

    async fn heals(&mut self, cluster: &Cluster) {
        for (name, range) in POOLS {
            // Until it is answered: a connection may have died meanwhile.
            while apply_pool(cluster, name, range).await.is_err() {}
        }
    }

    async fn disagrees(&self, services: &[Service]) -> Vec<String> {
        let of =
            |service: &Service| format!("{} ({})", service.name_any(), service.uid().unwrap_or_default());
        let shown: BTreeSet<(String, String)> = services
            .iter()
            .flat_map(|service| addresses(service).into_iter().map(move |ip| (of(service), ip)))
            .collect();
        let held = self.held().await;
        let beyond: Vec<_> = held.symmetric_difference(&shown).collect();
        let mut wrong = Vec::new();
        if !beyond.is_empty() {
            wrong.push(format!("shown or held alone: {beyond:?}"));
        }
        if usize::try_from(self.assigned()) != Ok(shown.len()) {
            wrong.push(format!("{} addresses are shown, and {} are counted", shown.len(), self.assigned()));
        }
        wrong
    }

    async fn left(&self) -> Vec<String> {
        match self.assigned() {
            0 => Vec::new(),
            held => vec![format!("{held} addresses are held for nobody")],
        }
    }
}

impl Metal {
    async fn held(&self) -> BTreeSet<(String, String)> {
        let provider = self.provider.lock().expect("no panic").clone();
        let Some(provider) = provider else { return BTreeSet::new() };
        let owned = provider.list().await.expect("what is held in memory can be listed");
        owned
            .into_iter()
            .map(|it| (format!("{} ({})", it.service.key.name, it.service.uid), it.resource))
            .collect()
    }

    fn assigned(&self) -> i64 {
        let provider = self.provider.lock().expect("no panic").clone();
        let statuses = provider.map(|provider| provider.pool_statuses()).unwrap_or_default();
        statuses.values().map(|status| status.assigned_ipv4 + status.assigned_ipv6).sum()
    }
}
