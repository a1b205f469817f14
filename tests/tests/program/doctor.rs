//! `doctor` on clusters in good and in bad health; what it prints is kept in `docs/output`.

use serde_json::json;
use tests::cluster::Cluster;

use super::process::{Access, apply, define, pool, with_pool};
use tests::recorded::matches_the_docs;

const IPVS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-proxy, namespace: kube-system}\n\
                    data: {config.conf: 'mode: ipvs'}\n";

const METALLB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: default, labels: {app: metallb, component: controller}}
spec:
  selector: {matchLabels: {app: metallb}}
  template:
    metadata: {labels: {app: metallb}}
    spec: {containers: [{name: controller, image: example.com/controller}]}
";

const DOCTOR: [&str; 2] = ["doctor", "--cloud-provider=bare"];

/// The same of whichever server answers.
fn without_version(said: &str) -> String {
    let (_, rest) = said.split_once(" answers\n").expect("a line about the API server");
    format!("ok    api-server     Kubernetes v1.37.2 answers\n{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_cluster_passes() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    cluster.add_node("node-1").await;
    let said = Access::to(&cluster.plane).output(&DOCTOR).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    matches_the_docs("doctor.txt", &without_version(&said.output));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_broken_cluster_is_a_line_that_says_how_to_mend_it() {
    let cluster = Cluster::start().await;
    define(&cluster).await;
    pool(&cluster, "office", "192.0.2.10-192.0.2.19").await;
    pool(&cluster, "overlapping", "192.0.2.0/28").await;
    apply(&cluster, IPVS).await;
    apply(&cluster, METALLB).await;
    let excluded = json!({ "node.kubernetes.io/exclude-from-external-load-balancers": "" });
    cluster.add_node_with("node-1", json!({ "metadata": { "labels": excluded } })).await;

    let said = Access::to(&cluster.plane).output(&DOCTOR).await;

    assert_eq!(said.code, Some(2), "{said:?}");
    let shown = without_version(&said.output).replace(&cluster.namespace, "metallb-system");
    matches_the_docs("doctor-broken.txt", &shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_definitions_it_says_how_to_get_them() {
    let cluster = Cluster::start().await;
    let said = Access::to(&cluster.plane).output(&DOCTOR).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.output.contains("run: cloud-lb-controller crds | kubectl apply -f -"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rights_every_missing_verb_is_a_line() {
    let cluster = Cluster::start().await;
    let said = Access::with(&cluster.plane.kubeconfig_yaml_as("weak")).output(&DOCTOR).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    for verb in
        ["list services", "patch services/status", "watch nodes", "update leases", "list ipaddresspools"]
    {
        assert!(said.output.contains(&format!("may not {verb} in ")), "{verb}: {}", said.output);
    }
}
