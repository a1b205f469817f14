//! A cluster whose nodes are instances of an emulator of AWS.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use provider_aws::client::{Aws, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};
use serde_json::{Value, json};
use tests::aws::{Endpoint, LoadBalancer, NOTHING, Network, instance_id};
use tests::cluster::{Cluster, Running, addresses, condition, quick};
use tokio::time::timeout;

/// How long a condition at AWS may take to come true: an emulator answers one request after another.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Fixture {
    pub cluster: Cluster,
    pub network: Network,
    /// The cluster's name at AWS.
    pub name: String,
}

impl Fixture {
    /// A cluster without nodes.
    pub(crate) async fn start() -> Self {
        Fixture::at(Endpoint::start().await).await
    }

    /// A cluster without nodes, at this endpoint.
    pub(crate) async fn at(endpoint: Endpoint) -> Self {
        let cluster = Cluster::start().await;
        let name = format!("cluster-{:08x}", fastrand::u32(..));
        let network = Network::seed(&endpoint, &name).await;
        Fixture { cluster, network, name }
    }

    /// A cluster with nodes of these names.
    pub(crate) async fn with_nodes<const N: usize>(names: [&str; N]) -> Self {
        let fixture = Fixture::start().await;
        for name in names {
            fixture.add_node(name).await;
        }
        fixture
    }

    /// Starts an instance that joins the cluster; returns the instance's id.
    pub(crate) async fn add_node(&self, name: &str) -> String {
        let provider_id = self.network.launch(name.len()).await;
        let id = instance_id(&provider_id).to_owned();
        self.cluster.add_node_with(name, json!({ "spec": { "providerID": provider_id } })).await;
        id
    }

    /// A configuration that is quick to look again.
    pub(crate) fn config(&self) -> AwsConfig {
        let mut config = AwsConfig::new(&self.name);
        config.provisioning_look = Duration::from_millis(200);
        config
    }

    /// Starts a controller with a provider as it is in a process that has just started.
    pub(crate) fn run(&self) -> Running {
        self.run_with(self.config())
    }

    /// Starts a controller with a provider of this configuration.
    pub(crate) fn run_with(&self, config: AwsConfig) -> Running {
        let aws = Aws::new(self.network.endpoint.sdk(), SharingOptions::default());
        let provider = Arc::new(AwsProvider::new(aws, config));
        let mut config = quick();
        config.provider_timeout = DEADLINE;
        config.shutdown_grace = DEADLINE;
        self.cluster.run_with(vec![provider], config)
    }

    /// Creates a Service for the provider, with `changes` merged over a plain one.
    pub(crate) async fn create(&self, name: &str, mut changes: Value) -> Service {
        changes["spec"]["loadBalancerClass"] = AwsConfig::CLASS.into();
        self.cluster.create_with(name, changes).await
    }

    /// Creates a plain Service and waits until it is served; returns its load balancer.
    pub(crate) async fn serve(&self, name: &str) -> LoadBalancer {
        self.create(name, json!({})).await;
        self.served(name).await
    }

    /// Waits until a Service is served; returns its load balancer.
    pub(crate) async fn served(&self, name: &str) -> LoadBalancer {
        let is_ensured = |s: &Service| condition(s, "aws").is_some_and(|(_, reason, _)| reason == "Ensured");
        let service = self.cluster.until(name, "to be served", is_ensured).await;
        let shown = addresses(&service);
        let all = self.network.load_balancers().await;
        let found = all.iter().find(|balancer| shown == [balancer.host_name.clone()]);
        found.unwrap_or_else(|| panic!("{name} shows {shown:?}; at AWS there are {all:#?}")).clone()
    }

    /// Waits until the only load balancer is as described.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&LoadBalancer) -> bool) -> LoadBalancer {
        let mut seen = Vec::new();
        let looking = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            loop {
                looks.tick().await;
                seen = self.network.load_balancers().await;
                if let [balancer] = &seen[..]
                    && is_so(balancer)
                {
                    return;
                }
            }
        };
        assert!(
            timeout(DEADLINE, looking).await.is_ok(),
            "it did not come to {what}; at AWS there are {seen:#?}"
        );
        seen.remove(0)
    }

    /// Waits until an event on a Service has happened again.
    pub(crate) async fn until_event_is_counted_up(&self, name: &str) {
        let looking = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            while self.cluster.events(name).await.iter().all(|(_, _, _, count)| *count < 2) {
                looks.tick().await;
            }
        };
        let seen = timeout(DEADLINE, looking).await;
        assert!(seen.is_ok(), "no event was counted up: {:?}", self.cluster.events(name).await);
    }

    /// Waits until only these IPv4 ranges may connect to a load balancer.
    pub(crate) async fn until_open_to(&self, balancer: &LoadBalancer, wanted: &[&str]) {
        let mut seen = Vec::new();
        let looking = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            while seen != wanted {
                looks.tick().await;
                seen = self.network.sources(&balancer.security_groups).await;
            }
        };
        assert!(timeout(DEADLINE, looking).await.is_ok(), "it is open to {seen:?} instead of {wanted:?}");
    }

    /// Takes a node out of the cluster.
    pub(crate) async fn remove_node(&self, name: &str) {
        self.cluster.nodes().delete(name, &DeleteParams::default()).await.expect("the Node is deleted");
    }

    /// Deletes Services, waits until they are gone, and sees that AWS is as it was before.
    pub(crate) async fn delete_all<const N: usize>(&self, names: [&str; N]) {
        for name in names {
            self.cluster.delete(name).await;
        }
        for name in names {
            self.cluster.until_gone(name).await;
        }
        assert_eq!(self.network.leftovers().await, NOTHING);
    }
}
