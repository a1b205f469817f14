//! The bare-metal backend, end to end: pools as resources of the cluster, addresses in statuses.

mod announced;
mod pools;
mod services;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use metallb::crd::IPAddressPool;
use provider_bare::{BareConfig, BareProvider};
use serde_json::json;
use tests::cluster::{Cluster, DEADLINE, Running};
use tests::control_plane::{ControlPlane, Options};
use tests::sandbox::manifests;

/// A cluster that knows MetalLB's resources.
struct Metal {
    cluster: Cluster,
}

impl Metal {
    async fn start() -> Self {
        Metal::on(Cluster::start().await).await
    }

    async fn dual_stack() -> Self {
        let options = Options { dual_stack: true, ..Options::default() };
        Metal::on(Cluster::on(ControlPlane::start_with(options).await).await).await
    }

    async fn on(cluster: Cluster) -> Self {
        let definitions = metallb::crd::manifest().expect("the resource definitions");
        for object in manifests::parse(&definitions, "resource definitions").expect("they are objects") {
            manifests::apply(&cluster.client, &object).await.expect("they are accepted");
        }
        Metal { cluster }
    }

    fn pools(&self) -> Api<IPAddressPool> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    async fn pool(&self, name: &str, addresses: &[&str]) {
        let pool = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": { "name": name },
            "spec": { "addresses": addresses },
        });
        // A server holds back the creation of custom resources for two seconds after their definition, but not applying.
        let applied = self.pools().patch(name, &PatchParams::apply("test"), &Patch::Apply(pool)).await;
        applied.expect("the pool is accepted");
    }

    async fn change_pool(&self, name: &str, spec: serde_json::Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.pools().patch(name, &PatchParams::default(), &patch).await.expect("the pool is changed");
    }

    fn run(&self) -> Running {
        self.run_with(BareConfig::default())
    }

    /// With decisions about pools that are carried out at once.
    fn run_without_grace(&self) -> Running {
        let mut config = BareConfig::default();
        config.pool_grace = Duration::ZERO;
        self.run_with(config)
    }

    fn run_with(&self, config: BareConfig) -> Running {
        let mut config = config;
        config.pools_deadline = DEADLINE;
        let provider = BareProvider::new(config, Some(self.cluster.controller_client())).expect("a provider");
        self.cluster.run(Arc::new(provider))
    }

    /// Waits for an event on a pool.
    async fn until_pool_event(&self, pool: &str) -> String {
        use futures::TryStreamExt;
        let events: Api<Event> = Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace);
        let about = watcher::Config::default().fields(&format!("involvedObject.name={pool}"));
        let mut stream = std::pin::pin!(watcher(events, about).default_backoff().applied_objects());
        tokio::time::timeout(DEADLINE, async {
            let event = stream.try_next().await.expect("the watch works").expect("the watch goes on");
            event.message.unwrap_or_default()
        })
        .await
        .expect("an event on the pool")
    }
}
