//! Clusters with one pool, clients of them, and crowds that create Services.

use std::time::{Duration, Instant};

use apiserver_client::connect;
use futures::future::join_all;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use tests::cluster::{Cluster, load_balancer};
use tests::control_plane::ControlPlane;
use tests::process;
use tower::layer::util::Identity;

/// Where a scene plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// On the real server, if there is one.
    AsAsked,
    /// On the double.
    Double,
}

/// How many create at once where nobody measures how fast.
const FILLING_AT_ONCE: usize = 8;

/// The API server that judges, in words.
pub(crate) async fn server() -> String {
    let plane = ControlPlane::start().await;
    let version = plane.client().apiserver_version().await.expect("a version").git_version;
    match plane.is_real() {
        true => format!("on a real API server {version} with etcd"),
        false => format!("on the tests' double of an API server {version}"),
    }
}

/// An empty cluster with a pool that is large enough for all.
pub(crate) async fn a_cluster(body: Body) -> Cluster {
    let cluster = match body {
        Body::AsAsked => Cluster::start().await,
        Body::Double => Cluster::with_faults().await,
    };
    process::define(&cluster).await;
    process::pool(&cluster, "pool", "198.18.0.0/15").await;
    cluster
}

/// The Services of the cluster, for a client with connections of its own that are made as the program's are.
pub(crate) fn services(cluster: &Cluster) -> Api<Service> {
    let mut config = cluster.plane.kube_config();
    config.cluster_url =
        cluster.plane.url().replacen("http://", "https://", 1).parse().expect("it was a URL before");
    let client = connect(config, &Identity::new()).expect("a client");
    Api::namespaced(client, &cluster.namespace)
}

/// There are fewer node ports than Services here.
fn without_node_ports() -> Value {
    json!({ "spec": { "allocateLoadBalancerNodePorts": false } })
}

/// Creates so many Services that wait for an address.
pub(crate) async fn fill(cluster: &Cluster, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(FILLING_AT_ONCE, async |i| {
            cluster.create_with(&format!("waiting-{i}"), without_node_ports()).await;
        })
        .await;
}

/// A Service that was created.
pub(crate) struct Made {
    pub(crate) name: String,
    /// When it was asked for.
    pub(crate) began: Instant,
    /// When the server had answered.
    pub(crate) ended: Instant,
}

/// Has so many Services created by so many clients. Each does one after the other, as fast as it is answered.
pub(crate) async fn create(cluster: &Cluster, clients: usize, count: usize) -> Vec<Made> {
    let clients: Vec<_> = (0..clients).map(|_| services(cluster)).collect();
    let at_once = clients.len();
    // Shaking hands is nobody's work here.
    for client in &clients {
        client.list_metadata(&ListParams::default().limit(1)).await.expect("an answer");
    }
    let by_client = clients.into_iter().enumerate().map(|(first, client)| async move {
        let mut made = Vec::new();
        for i in (first..count).step_by(at_once) {
            let service = load_balancer(&format!("made-{i}"), without_node_ports());
            let began = Instant::now();
            client.create(&PostParams::default(), &service).await.expect("the Service is created");
            made.push(Made { name: format!("made-{i}"), began, ended: Instant::now() });
        }
        made
    });
    join_all(by_client).await.into_iter().flatten().collect()
}

/// The one of these that so large a part of them does not exceed.
pub(crate) fn quantile(took: &[Duration], part: f64) -> Duration {
    let mut took = took.to_vec();
    took.sort();
    took[((took.len() - 1) as f64 * part).round() as usize]
}

pub(crate) fn median(took: &[Duration]) -> Duration {
    quantile(took, 0.5)
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64()
}
