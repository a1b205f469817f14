//! MetalLB as its authors publish it, the handover of addresses to us, and back: the steps of docs/bare-metal.md.

use std::collections::BTreeSet;
use std::process::Command;

use futures::TryStreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use tests::cluster::addresses;
use tests::programs;
use tests::rights::INSTALLED_AS;

use super::client::{Asking, answers_of, send_by_arp};
use super::install::{chart, helm, service, values};
use super::metallb::{METALLB, WEBHOOKS, install_metallb, pool, start_the_controller, stop_the_controller};
use super::stage::{FIRST, SCENE_TIMEOUT, Stage, finish, until};
use super::traffic::served;

/// The flags of docs/bare-metal.md.
const FLAGS: [&str; 4] = ["--cloud-provider", "bare", "--bare-pools-namespace", "metallb-system"];

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
pub(crate) struct Moves(tokio::task::JoinHandle<()>, std::sync::Arc<std::sync::Mutex<BTreeSet<Vec<String>>>>);

impl Moves {
    pub(crate) fn of(stage: &Stage, namespace: &str) -> Self {
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

    pub(crate) fn seen(self) -> Vec<Vec<String>> {
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
    install_metallb(stage).await;
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
    stop_the_controller(stage);
    until_doctor_says(stage, &[UNANSWERED, UNCONVERTED], &[CLAIMS, IN_NO_POOL]).await;
    stage.kubectl(&["delete", WEBHOOKS]);
    chart(stage, &[values(FIRST), vec!["config.bare-pools-namespace=metallb-system".to_owned()]].concat());
    a_new_service_is_served_and_announced(stage, "by-ours").await;
    // Nobody's webhook is in the way.
    stage.apply(&pool("\"10.99.0.230-10.99.0.239\""));
    until_doctor_says(stage, &[UNCONVERTED], &[CLAIMS, UNANSWERED, IN_NO_POOL, OUTDATED]).await;
    // A pool that is in use goes: what doctor says of MetalLB's speaker then, the speaker says itself.
    stage.kubectl(&[&METALLB[..], &["delete", "ipaddresspool", "lan"]].concat());
    until_doctor_says(stage, &[IN_NO_POOL, "autoAssign"], &[CLAIMS]).await;
    until("MetalLB's speaker refuses what its addresses are not in", SCENE_TIMEOUT, async || {
        // That of the node which announces them.
        let logs = ["logs", "--selector=component=speaker", "--tail=-1"];
        let said = stage.kubectl(&[&METALLB[..], &logs].concat());
        let rejected = said.contains("new configuration rejected");
        if rejected { Ok(()) } else { Err(format!("{} lines of its log", said.lines().count())) }
    })
    .await;
    stage.apply(&pool("\"10.99.0.230-10.99.0.239\""));
    until_doctor_says(stage, &[UNCONVERTED], &[IN_NO_POOL]).await;

    // And back.
    helm(stage, &["uninstall", INSTALLED_AS]);
    start_the_controller(stage).await;
    a_new_service_is_served_and_announced(stage, "by-metallb").await;
    ours(stage, &["remove-conditions"]);
    until_doctor_says(stage, &[CLAIMS], &[UNANSWERED, UNCONVERTED, IN_NO_POOL, OUTDATED]).await;

    for client in clients {
        client.lost_nothing().await;
    }
    assert_eq!(moves.seen(), [published]);
}
