//! Installing the program as its users do, and what it runs as then.

use std::path::Path;
use std::process::Command;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tests::programs;
use tests::real_cluster::POOL;
use tests::rights::INSTALLED_AS;

use super::stage::{FIRST, IMAGE, SCENE_TIMEOUT, Stage, WORKSPACE, finish, until};

/// What the chart is installed with.
pub(crate) fn values(tag: &str) -> Vec<String> {
    vec!["provider=bare".to_owned(), format!("image.repository={IMAGE}"), format!("image.tag={tag}")]
}

/// Runs Helm in a folder of its own, so that nobody's settings count.
#[track_caller]
pub(crate) fn helm(stage: &Stage, arguments: &[&str]) -> String {
    let home = tempfile::tempdir().expect("a folder");
    let mut helm = Command::new(programs::helm());
    helm.env_clear().env("HOME", home.path()).current_dir(WORKSPACE).args(arguments);
    helm.args(["--namespace", INSTALLED_AS, "--kubeconfig"]).arg(stage.cluster.kubeconfig());
    finish(helm).unwrap_or_else(|said| panic!("helm {}: {said}", arguments.join(" ")))
}

/// Installs the chart with these values, or upgrades it to them, and waits until all replicas are the new ones.
pub(crate) fn chart(stage: &Stage, values: &[String]) {
    chart_in(stage, "restricted", values);
}

/// The same in a namespace that admits Pods of this level.
pub(crate) fn chart_in(stage: &Stage, admitted: &str, values: &[String]) {
    // The namespace that the kustomization brings, and the chart's notes leave to the user.
    stage.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {INSTALLED_AS}\n  labels: {{pod-security.kubernetes.io/enforce: {admitted}}}\n"
    ));
    let mut arguments = vec!["upgrade", "--install", INSTALLED_AS, "deploy/helm/cloud-lb-controller"];
    arguments.extend(values.iter().flat_map(|value| ["--set", value.as_str()]));
    helm(stage, &arguments);
    rolled_out(stage);
}

/// The program with a pool of addresses of the LAN, by the chart.
pub(crate) fn with_a_pool(stage: &Stage) {
    chart(stage, &values(FIRST));
    pool(stage, &POOL);
}

/// A pool of these addresses.
pub(crate) fn pool(stage: &Stage, addresses: &[&str]) {
    stage.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: metallb-system}}\n---\n\
         apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
         metadata: {{name: lan, namespace: metallb-system}}\nspec:\n  addresses: [\"{}\"]\n",
        addresses.join("\", \"")
    ));
}

/// The announcers of the chart.
pub(crate) const ANNOUNCERS: &str = "daemonset/cloud-lb-controller-announcer";

/// The chart with its announcers, and one file of a pool and an advertisement: the two commands of docs/bare-metal.md.
pub(crate) fn with_announcers(stage: &Stage) {
    let values = [values(FIRST), vec!["announcer.enabled=true".to_owned()]].concat();
    chart_in(stage, "privileged", &values);
    pool(stage, &POOL);
    stage.apply(
        "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: lan, namespace: metallb-system}\n",
    );
    announcers_rolled_out(stage);
}

#[track_caller]
pub(crate) fn announcers_rolled_out(stage: &Stage) {
    stage.kubectl(&["--namespace", INSTALLED_AS, "rollout", "status", ANNOUNCERS, "--timeout=60s"]);
}

/// Waits until all replicas are of the newest version, and ready.
#[track_caller]
pub(crate) fn rolled_out(stage: &Stage) {
    let deployment = format!("deployment/{INSTALLED_AS}");
    stage.kubectl(&["--namespace", INSTALLED_AS, "rollout", "status", &deployment, "--timeout=60s"]);
}

/// The program's Pods that are not about to end.
pub(crate) async fn pods(stage: &Stage) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(stage.cluster.client(), INSTALLED_AS);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={INSTALLED_AS}"));
    let mut found = pods.list(&ours).await.expect("the Pods are listed").items;
    found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    found
}

/// The Pod that holds the Lease: that one leads.
pub(crate) async fn leader(stage: &Stage) -> String {
    until("somebody leads", SCENE_TIMEOUT, async || {
        holder(stage).await?.ok_or_else(|| "the Lease has no holder".to_owned())
    })
    .await
}

/// The Pod that holds the Lease, if one does.
pub(crate) async fn holder(stage: &Stage) -> Result<Option<String>, String> {
    let leases: Api<Lease> = Api::namespaced(stage.cluster.client(), INSTALLED_AS);
    let lease = leases.get(INSTALLED_AS).await.map_err(|error| error.to_string())?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    // A Pod's host name is its own name.
    let pod = holder.split('_').next().unwrap_or_default().to_owned();
    Ok(Some(pod).filter(|pod| !pod.is_empty()))
}

/// Waits until each node has one of the replicas.
pub(crate) async fn each_node_has_a_replica(stage: &Stage) {
    until("each node has a replica", SCENE_TIMEOUT, async || {
        let pods = pods(stage).await;
        let mut nodes: Vec<_> =
            pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref()).collect();
        nodes.sort_unstable();
        if nodes == ["node-1", "node-2"] { Ok(()) } else { Err(format!("they are on {nodes:?}")) }
    })
    .await;
}

/// Both replicas run, each on a node of its own, and a Pod that is not as locked down would not.
async fn two_replicas_run_on_two_nodes_under_restricted(stage: &Stage) {
    each_node_has_a_replica(stage).await;
    let refused = stage.try_apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: careless, namespace: {INSTALLED_AS}}}\n\
         spec:\n  containers: [{{name: pause, image: \"localhost/pause:1\"}}]\n"
    ));
    let said = refused.expect_err("the namespace enforces restricted");
    assert!(said.contains("violates PodSecurity \"restricted:latest\""), "{said}");
}

/// A Service gets an address of each family.
async fn a_service_is_served(stage: &Stage, namespace: &str) {
    stage.namespace(namespace);
    stage.apply(&service(namespace, "web", "ipFamilyPolicy: RequireDualStack"));
    let addresses = stage.published(namespace, "web", 2).await;
    assert!(
        addresses[0].starts_with("10.99.0.2") && addresses[1].starts_with("fd00:10:99::2"),
        "{addresses:?}"
    );
}

/// A Service of type LoadBalancer that sends what comes to Pods of that name.
pub(crate) fn service(namespace: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         type: LoadBalancer\n  selector: {{app: {name}}}\n  ports: [{{port: 80, targetPort: 8080}}]\n  {more}\n"
    )
}

pub(crate) async fn the_kustomization_runs_two_replicas_under_pod_security_restricted(stage: &Stage) {
    // An overlay of the user's own, as deploy/README.md has it, in a folder from which the path to ours is known.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let ours = Path::new(WORKSPACE).join("deploy/kustomize/overlays/bare");
    let ours = ours.canonicalize().expect("it is there");
    // Kustomize takes paths that are relative only.
    let up = "../".repeat(folder.path().canonicalize().expect("a path").components().count() - 1);
    let overlay = format!(
        "resources: [{up}{}]\nimages: [{{name: cloud-lb-controller, newName: {IMAGE}}}]\n",
        ours.display().to_string().trim_start_matches('/')
    );
    std::fs::write(folder.path().join("kustomization.yaml"), overlay).expect("it is written");
    let folder = folder.path().display().to_string();

    // Definitions are made where nobody has them, and not touched where somebody has.
    let definitions = Path::new(WORKSPACE).join("deploy/kustomize/definitions").display().to_string();
    stage.kubectl(&["create", "-k", &definitions]);
    let again = stage.try_kubectl(&["create", "-k", &definitions]).expect_err("they are there");
    assert!(again.contains("AlreadyExists"), "{again}");
    stage.kubectl(&["apply", "--server-side", "-k", &folder]);
    rolled_out(stage);
    two_replicas_run_on_two_nodes_under_restricted(stage).await;
    pool(stage, &POOL);
    a_service_is_served(stage, "kustomized").await;
    stage.clear().await;
    stage.kubectl(&["delete", "-k", &folder, "--timeout=60s"]);
    // The pools are still there, and with them what MetalLB may have configured.
    let pools = stage.kubectl(&["get", "ipaddresspools", "--all-namespaces", "--output=name"]);
    assert!(pools.contains("ipaddresspool.metallb.io/lan"), "{pools}");
    stage.kubectl(&["delete", "-k", &definitions, "--timeout=60s"]);
}

pub(crate) async fn the_chart_runs_two_replicas_under_pod_security_restricted(stage: &Stage) {
    // With the rights to look at everything that doctor looks at.
    let doctors = [values(FIRST), vec!["rbac.doctor=true".to_owned()]].concat();
    chart(stage, &doctors);
    pool(stage, &POOL);
    two_replicas_run_on_two_nodes_under_restricted(stage).await;
    a_service_is_served(stage, "charted").await;

    // What the chart's notes tell the user to run.
    let deployment = format!("deployment/{INSTALLED_AS}");
    let doctor = ["/cloud-lb-controller", "doctor", "--config=/etc/cloud-lb-controller/config.yaml"];
    let exec = ["--namespace", INSTALLED_AS, "exec", &deployment, "--"];
    let said = stage.kubectl(&[&exec[..], &doctor].concat());
    assert!(said.contains("ok    pools          in force: lan"), "{said}");
    assert!(said.ends_with(" 0 fail\n"), "{said}");
}
