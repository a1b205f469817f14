//! `doctor` on clusters in good and in bad health; what it prints is kept in `docs/output`.

use serde_json::{Value, json};
use tests::cluster::Cluster;
use tests::rights::{INSTALLED_AS, Rights};

use super::process::{
    Access, Program, announcer_pod, apply, define, pool, ready, with_announcers, with_pool,
};
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
    with_announcers(&cluster, "default", 1).await;
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
    // Of an advertisement by a name that somebody mistyped.
    apply(&cluster, &advertisement(&cluster, "ipAddressPools: [offices]")).await;
    let excluded = json!({ "node.kubernetes.io/exclude-from-external-load-balancers": "" });
    cluster.add_node_with("node-1", json!({ "metadata": { "labels": excluded } })).await;

    let said = Access::to(&cluster.plane).output(&DOCTOR).await;

    assert_eq!(said.code, Some(2), "{said:?}");
    let shown = without_version(&said.output).replace(&cluster.namespace, "metallb-system");
    matches_the_docs("doctor-broken.txt", &shown);
}

fn advertisement(cluster: &Cluster, spec: &str) -> String {
    let namespace = &cluster.namespace;
    format!(
        "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {{name: lan, namespace: {namespace}}}\n\
         spec: {{{spec}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn announcers_that_do_not_hear_each_other_are_named_by_their_nodes() {
    let cluster = Cluster::with_faults().await;
    with_pool(&cluster).await;
    with_announcers(&cluster, "default", 2).await;
    announcer_pod(&cluster, "default", "node-1", 1).await;
    announcer_pod(&cluster, "default", "node-2", 1).await;
    let access = Access::to(&cluster.plane);
    let said = access.output(&DOCTOR).await;
    assert!(
        said.output.contains("ok    announcers     each hears the heartbeat of others"),
        "{}",
        said.output
    );

    announcer_pod(&cluster, "default", "node-2", 0).await;
    let said = access.output(&DOCTOR).await;
    let found =
        "warn  announcers     no heartbeat of another is heard on node-2; the nodes' network has to carry";
    assert!(said.output.contains(found), "{}", said.output);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metallbs_speaker_beside_our_announcers_is_named() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    with_announcers(&cluster, "default", 1).await;
    let speaker = "apiVersion: apps/v1
kind: DaemonSet
metadata: {name: speaker, namespace: default, labels: {app: metallb, component: speaker}}
spec:
  selector: {matchLabels: {app: metallb}}
  template: {metadata: {labels: {app: metallb}}, spec: {containers: [{name: speaker, image: example.com/speaker}]}}
";
    apply(&cluster, speaker).await;
    ready(&cluster, "default", "speaker", 1).await;
    let said = Access::to(&cluster.plane).output(&DOCTOR).await;
    let found = "DaemonSet default/announcer and MetalLB's speaker, DaemonSet default/speaker, both run";
    assert!(said.output.contains(found), "{}", said.output);
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

#[tokio::test(flavor = "multi_thread")]
async fn what_it_may_not_look_at_is_not_well_and_the_code_says_so() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    cluster.add_node("node-1").await;
    // The roles of a Pod, which has no right to see Deployments.
    let access = Access::with(&cluster.kubeconfig_with(Rights::of_the_bare_overlay()));
    let lease = format!("--leader-elect-resource-namespace={INSTALLED_AS}");
    let said = access.output(&[&DOCTOR[..], &[&lease]].concat()).await;
    assert_eq!(said.code, Some(3), "{said:?}");
    let class = said.output.lines().find(|line| line.contains(" class ")).expect("a line");
    assert!(class.starts_with("blind class "), "{class}");
    assert!(said.output.lines().last().expect("a count").contains(" not checked, "), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn for_machines_it_is_json() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let said = Access::to(&cluster.plane).output(&[&DOCTOR[..], &["-o", "json"]].concat()).await;
    let findings: Vec<Value> = serde_json::from_str(&said.output).expect("JSON");
    let server = &findings[0];
    assert_eq!((&server["verdict"], &server["subject"]), (&json!("ok"), &json!("api-server")), "{server}");
    assert!(server["says"].as_str().is_some_and(|says| says.ends_with(" answers")), "{server}");
}

const INSTALLED: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: lb-config-1, namespace: default}
data: {config.yaml: 'leader-elect-resource-name: led'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: lb, namespace: default, labels: {app.kubernetes.io/name: cloud-lb-controller}}
spec:
  replicas: 2
  selector: {matchLabels: {app: lb}}
  template:
    metadata: {labels: {app: lb}}
    spec:
      containers: [{name: controller, image: example.com/lb}]
      volumes: [{name: config, configMap: {name: lb-config-1}}]
";

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_it_finds_what_is_installed_and_its_lease() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    apply(&cluster, INSTALLED).await;
    let access = Access::to(&cluster.plane);
    let said = access.output(&DOCTOR).await;
    let found = "Deployment default/lb, 0 of 2 replicas ready: nobody holds the Lease default/led";
    assert!(said.output.contains(&format!("warn  leadership     {found}")), "{}", said.output);

    let lease = ["--leader-elect-resource-namespace=default", "--leader-elect-resource-name=led"];
    let program = Program::start(&access, &lease);
    program.until_it_says("became leader").await;
    let said = access.output(&DOCTOR).await;
    assert!(said.output.contains("holds the Lease default/led and leads"), "{}", said.output);
}
