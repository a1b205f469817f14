//! MetalLB as its authors publish it, the handover of addresses to us, and back: the steps of docs/bare-metal.md.

use std::collections::BTreeSet;
use std::process::Command;

use futures::TryStreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use tests::cluster::addresses;
use tests::programs;
use tests::real_cluster::POOL;
use tests::rights::INSTALLED_AS;

use super::client::{Asking, answers_of, send_by_arp};
use super::install::{chart, helm, service, values};
use super::stage::{FIRST, SCENE_TIMEOUT, Stage, finish, until};
use super::traffic::served;

/// The names of the images in MetalLB's manifest.
const IMAGES: [(&str, &str); 2] =
    [("controller", "quay.io/metallb/controller:v0.15.2"), ("speaker", "quay.io/metallb/speaker:v0.15.2")];

const WEBHOOKS: &str = "validatingwebhookconfiguration/metallb-webhook-configuration";

/// The flags of docs/bare-metal.md.
const FLAGS: [&str; 4] = ["--cloud-provider", "bare", "--bare-pools-namespace", "metallb-system"];

/// Everything of MetalLB's manifest, with images that have its own programs.
fn install_metallb(stage: &Stage) {
    for (program, image) in IMAGES {
        let path = stage.cluster.program(&format!("metallb-{program}"));
        stage.load(&[image], &[(program, &path)], "0");
    }
    let manifest = stage.cluster.program("metallb-native.yaml").display().to_string();
    stage.kubectl(&["apply", "-f", &manifest]);
    for part in ["deployment/controller", "daemonset/speaker"] {
        stage.kubectl(&["--namespace", "metallb-system", "rollout", "status", part, "--timeout=90s"]);
    }
}

/// A pool of the LAN's addresses.
fn pool(more: &str) -> String {
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

/// Runs the program as an administrator does.
fn ours(stage: &Stage, arguments: &[&str]) -> String {
    let [controller, _] = programs::released();
    let mut program = Command::new(controller);
    program.env_clear().args(arguments).args(FLAGS).arg("--kubeconfig").arg(stage.cluster.kubeconfig());
    finish(program).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
}

/// Waits until `doctor` says this, and every other thing that it is to say then; it never says what it is not to.
async fn until_doctor_says(stage: &Stage, says: &[&str], says_not: &[&str]) {
    until(&format!("doctor says {says:?} and not {says_not:?}"), SCENE_TIMEOUT, async || {
        let said = ours(stage, &["doctor"]);
        let as_it_should = says.iter().all(|words| said.contains(words))
            && !says_not.iter().any(|words| said.contains(words))
            && said.ends_with(" 0 fail\n");
        if as_it_should { Ok(()) } else { Err(said) }
    })
    .await;
}

/// What doctor says of MetalLB's controller, beside which nobody else should give addresses.
const CLAIMS: &str = "Deployment metallb-system/controller claims Services without a class";
/// Of MetalLB's webhook, without the controller that answers it.
const UNANSWERED: &str =
    "ValidatingWebhookConfiguration metallb-webhook-configuration asks MetalLB's controller";
/// Of its conversion of BGPPeers, without that controller.
const UNCONVERTED: &str = "BGPPeers of v1beta1 are converted by MetalLB's controller, which does not run";
/// Of the Secret by which MetalLB's speakers know each other.
const MEMBERLIST: &str = "Secret metallb-system/memberlist belongs to the Deployment controller";
/// Of a published address that no pool holds.
const IN_NO_POOL: &str = "MetalLB's speaker refuses new configuration until one holds them again";
/// Of conditions that are not true any more.
const OUTDATED: &str = "named by our conditions and shown by no status";

/// The addresses that a Service shows from now on.
struct Moves(tokio::task::JoinHandle<()>, std::sync::Arc<std::sync::Mutex<BTreeSet<Vec<String>>>>);

impl Moves {
    fn of(stage: &Stage, namespace: &str) -> Self {
        let seen = std::sync::Arc::<std::sync::Mutex<BTreeSet<Vec<String>>>>::default();
        let (services, shown) = (stage.services(namespace), seen.clone());
        let watching = async move {
            let only = watcher::Config::default().fields("metadata.name=web");
            let stream = watcher(services, only).default_backoff().applied_objects();
            let mut stream = std::pin::pin!(stream);
            while let Ok(Some(service)) = stream.try_next().await {
                shown.lock().expect("no panic").insert(addresses(&service));
            }
        };
        Moves(tokio::spawn(watching), seen)
    }

    fn seen(self) -> Vec<Vec<String>> {
        self.0.abort();
        self.1.lock().expect("no panic").iter().cloned().collect()
    }
}

/// A new Service gets an address, and what answers for it on the LAN makes it reachable.
async fn a_new_service_is_served_and_announced(stage: &Stage, name: &str) {
    let web = service("metal", name, "ipFamilyPolicy: RequireDualStack");
    stage.apply(&web.replace(&format!("selector: {{app: {name}}}"), "selector: {app: web}"));
    let published = stage.published("metal", name, 2).await;
    send_by_arp(stage, &published);
    for address in &published {
        let client = stage.cluster.client_machine();
        answers_of(stage, client, address, &["node-1", "node-2"]).await;
    }
}

pub(crate) async fn metallb_hands_over_and_takes_back_and_no_request_is_lost(stage: &Stage) {
    // Nothing of ours is there but the definitions that scenes before this one left, over which MetalLB puts its own.
    let _ = stage.try_kubectl(&["delete", "namespace", INSTALLED_AS, "metallb-system", "--ignore-not-found"]);
    let cluster_wide = ["delete", "clusterroles,clusterrolebindings", "--selector"];
    let _ = stage.try_kubectl(&[&cluster_wide[..], &["app.kubernetes.io/name=cloud-lb-controller"]].concat());

    install_metallb(stage);
    until_the_webhook_refuses(stage).await;
    until_admitted(stage, &pool("")).await;
    until_admitted(
        stage,
        "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: lan, namespace: metallb-system}\n",
    )
    .await;
    let published = served(stage, "metal", "").await;
    send_by_arp(stage, &published);
    let moves = Moves::of(stage, "metal");
    let clients = [Asking::start(stage, &published[0]).await, Asking::start(stage, &published[1]).await];

    // There.
    until_doctor_says(
        stage,
        &[CLAIMS, MEMBERLIST, "its speaker announces Services without a class, which we serve"],
        &[UNANSWERED, UNCONVERTED, IN_NO_POOL, OUTDATED],
    )
    .await;
    let plan = ours(stage, &["plan", "--all"]);
    assert!(!plan.contains("+ address") && !plan.contains("- address"), "{plan}");
    let metallb = ["--namespace", "metallb-system"];
    stage.kubectl(&[&metallb[..], &["scale", "deployment", "controller", "--replicas", "0"]].concat());
    let gone = ["wait", "pods", "--selector=component=controller", "--for=delete", "--timeout=60s"];
    stage.kubectl(&[&metallb[..], &gone].concat());
    until_doctor_says(stage, &[UNANSWERED, UNCONVERTED], &[CLAIMS, IN_NO_POOL]).await;
    stage.kubectl(&["delete", WEBHOOKS]);
    chart(stage, &[values(FIRST), vec!["config.bare-pools-namespace=metallb-system".to_owned()]].concat());
    a_new_service_is_served_and_announced(stage, "by-ours").await;
    // Nobody's webhook is in the way.
    stage.apply(&pool("\"10.99.0.230-10.99.0.239\""));
    until_doctor_says(stage, &[UNCONVERTED], &[CLAIMS, UNANSWERED, IN_NO_POOL, OUTDATED]).await;
    // A pool that is in use goes: what doctor says of MetalLB's speaker then, the speaker says itself.
    let pools = ["--namespace", "metallb-system", "delete", "ipaddresspool", "lan"];
    stage.kubectl(&pools);
    until_doctor_says(stage, &[IN_NO_POOL, "autoAssign"], &[CLAIMS]).await;
    until("MetalLB's speaker refuses what its addresses are not in", SCENE_TIMEOUT, async || {
        // That of the node which announces them.
        let logs = ["logs", "--selector=component=speaker", "--tail=-1"];
        let said = stage.kubectl(&[&metallb[..], &logs].concat());
        let rejected = said.contains("new configuration rejected");
        if rejected { Ok(()) } else { Err(format!("{} lines of its log", said.lines().count())) }
    })
    .await;
    stage.apply(&pool("\"10.99.0.230-10.99.0.239\""));
    until_doctor_says(stage, &[UNCONVERTED], &[IN_NO_POOL]).await;

    // And back.
    helm(stage, &["uninstall", INSTALLED_AS]);
    stage.kubectl(&[&metallb[..], &["scale", "deployment", "controller", "--replicas", "1"]].concat());
    let manifest = stage.cluster.program("metallb-native.yaml").display().to_string();
    stage.kubectl(&["apply", "-f", &manifest]);
    stage.kubectl(&[&metallb[..], &["rollout", "status", "deployment/controller", "--timeout=90s"]].concat());
    until_the_webhook_refuses(stage).await;
    a_new_service_is_served_and_announced(stage, "by-metallb").await;
    ours(stage, &["remove-conditions"]);
    until_doctor_says(stage, &[CLAIMS], &[UNANSWERED, UNCONVERTED, IN_NO_POOL, OUTDATED]).await;

    for client in clients {
        client.lost_nothing().await;
    }
    assert_eq!(moves.seen(), [published]);
}
