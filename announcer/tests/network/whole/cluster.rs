//! What the API server holds in these scenes. It is the double, in the scene's own process: namespaces have no way out.

use announcer::agent::Config;
use announcer::link::Excluded;
use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::sandbox::manifests;

use crate::namespaces::run;

/// A cluster with MetalLB's kinds and a key for its announcers.
pub(crate) struct NetworkCluster {
    pub(crate) cluster: Cluster,
    folder: tempfile::TempDir,
}

impl NetworkCluster {
    /// One with these nodes.
    pub(crate) async fn start(nodes: &[&str]) -> Self {
        // A new network has a loopback that is down, and the API server is there.
        run("ip link set lo up");
        let cluster = Cluster::with_faults().await;
        let definitions = metallb::crd::manifest().expect("the definitions");
        for object in manifests::parse(&definitions, "resource definitions").expect("they are objects") {
            manifests::apply(&cluster.client, &object).await.expect("they are accepted");
        }
        for node in nodes {
            let labels = json!({ "metadata": { "labels": { "kubernetes.io/hostname": node } } });
            cluster.add_node_with(node, labels).await;
        }
        NetworkCluster { cluster, folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) async fn apply(&self, object: Value) {
        let object = serde_json::from_value(object).expect("an object");
        manifests::apply(&self.cluster.client, &object).await.expect("it is accepted");
    }

    /// One of MetalLB's objects.
    pub(crate) async fn metallb(&self, version: &str, kind: &str, name: &str, spec: Value) {
        self.apply(json!({
            "apiVersion": format!("metallb.io/{version}"), "kind": kind,
            "metadata": { "name": name, "namespace": self.cluster.namespace }, "spec": spec,
        }))
        .await;
    }

    /// A Service with these addresses, which are a pool of their own.
    pub(crate) async fn publish(&self, name: &str, addresses: &[&str], changes: Value) {
        let prefix = |ip: &&str| format!("{ip}/{}", if ip.contains(':') { 128 } else { 32 });
        let pool: Vec<String> = addresses.iter().map(prefix).collect();
        self.metallb("v1beta1", "IPAddressPool", name, json!({ "addresses": pool })).await;
        self.cluster.create_with(name, changes).await;
        let ingress: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        let status = json!({ "status": { "loadBalancer": { "ingress": ingress } } });
        self.cluster.change_status(name, status).await;
    }

    /// The Service has an endpoint on each of these nodes, and no other.
    pub(crate) async fn serve(&self, name: &str, nodes: &[&str]) {
        let endpoint = |node: &&str| json!({ "addresses": ["10.244.0.1"], "nodeName": node });
        let endpoints: Vec<Value> = nodes.iter().map(endpoint).collect();
        self.apply(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-1"), "namespace": self.cluster.namespace,
                "labels": { "kubernetes.io/service-name": name },
            },
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "port": 80 }],
        }))
        .await;
    }

    /// A file beside the others of this cluster.
    pub(crate) fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// What an announcer of a node is told, with a key of this name.
    pub(crate) fn config(&self, node: &str, key: &str) -> Config {
        let path = self.file(key, &format!("the key of the cluster: {key}"));
        let excluded = Excluded::new(Excluded::DEFAULT).expect("expressions");
        let mut config = Config::new(node, path, excluded);
        config.namespace = Some(self.cluster.namespace.clone());
        config
    }
}
