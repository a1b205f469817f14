//! MetalLB's speakers replaced by our announcers, node by node, and back: the steps of docs/bare-metal.md.

use std::time::Duration;

use announcer::rank::rank;
use tests::rights::INSTALLED_AS;

use super::client::{Asking, owner_and_other, send_by_arp, until_it_answers, until_it_sends_to};
use super::handover::Moves;
use super::install::{chart_in, helm, values};
use super::metallb::{
    METALLB, WEBHOOKS, install_metallb, rolled_out, start_the_controller, stop_the_controller,
};
use super::report::say;
use super::stage::{FIRST, SCENE_TIMEOUT, Stage, until};
use super::traffic::served;

/// How long an address may be without an answer, whatever is replaced.
const SILENCE_AT_MOST: Duration = Duration::from_secs(2);

/// Where Pods are that answer on the LAN.
struct Answering {
    namespace: &'static str,
    selector: &'static str,
}

const SPEAKER: Answering = Answering { namespace: "metallb-system", selector: "component=speaker" };
const ANNOUNCER: Answering =
    Answering { namespace: INSTALLED_AS, selector: "app.kubernetes.io/name=cloud-lb-announcer" };

impl Answering {
    /// Waits until its Pod on a node is ready, or until there is none.
    async fn until_it_is_on(&self, stage: &Stage, node: &str, wanted: bool) {
        let on = format!("--field-selector=spec.nodeName={node}");
        let ready = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        let get = ["--namespace", self.namespace, "get", "pods", &on, "--selector", self.selector];
        let get = [&get[..], &["--output", ready]].concat();
        until(&format!("{} is on {node}: {wanted}", self.selector), SCENE_TIMEOUT, async || {
            match (wanted, stage.kubectl(&get).as_str()) {
                (true, "True") | (false, "") => Ok(()),
                (_, seen) => Err(format!("ready is {seen:?}")),
            }
        })
        .await;
    }
}

/// The speakers' affinity: none, or to the nodes that are not ours.
fn keep_speakers_off_our_nodes(stage: &Stage, off: bool) {
    let affinity = match off {
        true => {
            r#"{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"announcer","operator":"DoesNotExist"}]}]}}}"#
        }
        false => "null",
    };
    let patch = format!(r#"{{"spec":{{"template":{{"spec":{{"affinity":{affinity}}}}}}}}}"#);
    stage.kubectl(&[&METALLB[..], &["patch", "daemonset", "speaker", "--patch", &patch]].concat());
}

/// The values of the chart, beside MetalLB's pools.
fn beside_metallb(announcers: bool) -> Vec<String> {
    let pools = "config.bare-pools-namespace=metallb-system".to_owned();
    let announcer = match announcers {
        true => {
            ["announcer.enabled=true", "announcer.nodeSelector.announcer=ours"].map(str::to_owned).to_vec()
        }
        false => vec!["announcer.enabled=false".to_owned()],
    };
    [values(FIRST), vec![pools], announcer].concat()
}

pub(crate) async fn speakers_are_replaced_node_by_node_and_back_and_the_address_stays_where_it_is(
    stage: &Stage,
) {
    install_metallb(stage).await;
    let published = served(stage, "spoken", "").await;
    send_by_arp(stage, &published);
    for address in &published {
        until_it_answers(stage, stage.cluster.client_machine(), address).await;
    }
    // MetalLB has one node for all addresses of a Service, by the first of them. Our announcers have the same order.
    let [owner, other] = owner_and_other(stage, &published[0]).await;
    let first = published[0].parse().expect("an address");
    assert!(rank(owner.name(), first) < rank(other.name(), first), "{} answers for {first}", owner.name());
    let moves = Moves::of(stage, "spoken");
    let clients = [Asking::closely(stage, &published[0]).await, Asking::closely(stage, &published[1]).await];

    // There: the controller, then node by node.
    stop_the_controller(stage);
    stage.kubectl(&["delete", WEBHOOKS]);
    chart_in(stage, "privileged", &beside_metallb(false));
    keep_speakers_off_our_nodes(stage, true);
    rolled_out(stage, "daemonset/speaker");
    chart_in(stage, "privileged", &beside_metallb(true));
    for node in [owner, other] {
        stage.kubectl(&["label", "node", node.name(), "announcer=ours"]);
        SPEAKER.until_it_is_on(stage, node.name(), false).await;
        ANNOUNCER.until_it_is_on(stage, node.name(), true).await;
    }
    for address in &published {
        until_it_sends_to(stage, address, owner).await;
    }

    // And back.
    for node in [owner, other] {
        stage.kubectl(&["label", "node", node.name(), "announcer-"]);
        ANNOUNCER.until_it_is_on(stage, node.name(), false).await;
        SPEAKER.until_it_is_on(stage, node.name(), true).await;
    }
    chart_in(stage, "privileged", &beside_metallb(false));
    keep_speakers_off_our_nodes(stage, false);
    helm(stage, &["uninstall", INSTALLED_AS]);
    start_the_controller(stage).await;

    for (client, address) in clients.into_iter().zip(&published) {
        let heard = client.heard().await;
        let (answered, lost) = (heard.answered, heard.lost);
        let silent = heard.silence.as_millis();
        say(&format!(
            "{address}: {lost} of {} requests lost while speakers were replaced and came back, {silent} ms silent at most",
            answered + lost
        ));
        assert!(heard.silence < SILENCE_AT_MOST, "{address}: {heard:?}");
    }
    assert_eq!(moves.seen(), std::slice::from_ref(&published));
    // Who asks anew finds it where it was.
    send_by_arp(stage, &published);
    for address in &published {
        until_it_answers(stage, stage.cluster.client_machine(), address).await;
        until_it_sends_to(stage, address, owner).await;
    }
}
