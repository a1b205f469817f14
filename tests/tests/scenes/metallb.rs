//! MetalLB as its authors publish it, in a cluster of the scenes.

use tests::real_cluster::POOL;
use tests::rights::INSTALLED_AS;

use super::stage::{SCENE_TIMEOUT, Stage, until};

/// The names of the images in MetalLB's manifest.
const IMAGES: [(&str, &str); 2] =
    [("controller", "quay.io/metallb/controller:v0.15.2"), ("speaker", "quay.io/metallb/speaker:v0.15.2")];

/// MetalLB's namespace, for kubectl.
pub(crate) const METALLB: [&str; 2] = ["--namespace", "metallb-system"];

pub(crate) const WEBHOOKS: &str = "validatingwebhookconfiguration/metallb-webhook-configuration";

/// Everything of MetalLB's manifest, with images that have its own programs, a pool, and an advertisement of it. Nothing of
/// ours is there then but the definitions that scenes before this one left, over which MetalLB puts its own. Where a scene
/// left MetalLB at work it is taken as it is, which saves the better part of a minute.
pub(crate) async fn install_metallb(stage: &Stage) {
    let controller = ["rollout", "status", "deployment/controller", "--timeout=1s"];
    if stage.try_kubectl(&[&METALLB[..], &controller].concat()).is_err() {
        make_it(stage);
    }
    until_the_webhook_refuses(stage).await;
    until_admitted(stage, &pool("")).await;
    until_admitted(
        stage,
        "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: lan, namespace: metallb-system}\n",
    )
    .await;
}

fn make_it(stage: &Stage) {
    // Who has no controller any more admits no change of its pools, not even their end.
    let _ = stage.try_kubectl(&["delete", WEBHOOKS, "--ignore-not-found"]);
    let _ = stage.try_kubectl(&["delete", "namespace", INSTALLED_AS, "metallb-system", "--ignore-not-found"]);
    let cluster_wide = ["delete", "clusterroles,clusterrolebindings", "--selector"];
    let _ = stage.try_kubectl(&[&cluster_wide[..], &["app.kubernetes.io/name=cloud-lb-controller"]].concat());

    for (program, image) in IMAGES {
        let path = stage.cluster.program(&format!("metallb-{program}"));
        stage.load(&[image], &[(program, &path)], "0");
    }
    apply_the_manifest(stage);
    for part in ["deployment/controller", "daemonset/speaker"] {
        rolled_out(stage, part);
    }
}

fn apply_the_manifest(stage: &Stage) {
    let manifest = stage.cluster.program("metallb-native.yaml").display().to_string();
    stage.kubectl(&["apply", "-f", &manifest]);
}

/// Waits until all Pods of a part are the new ones.
#[track_caller]
pub(crate) fn rolled_out(stage: &Stage, part: &str) {
    stage.kubectl(&[&METALLB[..], &["rollout", "status", part, "--timeout=90s"]].concat());
}

/// A pool of the LAN's addresses.
pub(crate) fn pool(more: &str) -> String {
    format!(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: lan, namespace: metallb-system}}\n\
         spec:\n  addresses: [\"{}\", {more}]\n",
        POOL.join("\", \"")
    )
}

/// Applies something that MetalLB's webhook has to admit; for as long as nobody serves the webhook yet.
async fn until_admitted(stage: &Stage, manifest: &str) {
    until("MetalLB's webhook admits it", SCENE_TIMEOUT, async || stage.try_apply(manifest)).await;
}

/// MetalLB's webhook is at work: it refuses what is wrong, in its own words.
async fn until_the_webhook_refuses(stage: &Stage) {
    until("MetalLB's webhook refuses a wrong pool", SCENE_TIMEOUT, async || {
        match stage.try_apply(&pool("\"10.99.0.9-10.99.0.1\"")) {
            Err(said) if said.contains("ipaddresspoolvalidationwebhook.metallb.io\" denied") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Scales its controller to nothing, and waits until its Pods are gone.
pub(crate) fn stop_the_controller(stage: &Stage) {
    stage.kubectl(&[&METALLB[..], &["scale", "deployment", "controller", "--replicas", "0"]].concat());
    let gone = ["wait", "pods", "--selector=component=controller", "--for=delete", "--timeout=60s"];
    stage.kubectl(&[&METALLB[..], &gone].concat());
}

/// Scales it up again, with the webhook that was taken away.
pub(crate) async fn start_the_controller(stage: &Stage) {
    stage.kubectl(&[&METALLB[..], &["scale", "deployment", "controller", "--replicas", "1"]].concat());
    apply_the_manifest(stage);
    rolled_out(stage, "deployment/controller");
    until_the_webhook_refuses(stage).await;
}
