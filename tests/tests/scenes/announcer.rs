//! The chart's announcers: who answers for an address on the LAN, and what becomes of that when one ends.

use std::time::{Duration, Instant};

use tests::rights::INSTALLED_AS;

use super::client::{Asking, answers_of, owner_and_other, send_by_arp, until_it_answers, until_it_sends_to};
use super::install::{ANNOUNCERS, announcers_rolled_out, with_announcers};
use super::stage::{SCENE_TIMEOUT, Stage, until};
use super::traffic::served;

/// How long an address may be without an answer, whatever breaks.
const SILENCE_AT_MOST: Duration = Duration::from_secs(2);

/// A Service whose addresses the client finds by asking the LAN.
pub(crate) async fn announced(stage: &Stage, namespace: &str, more: &str) -> Vec<String> {
    with_announcers(stage);
    let published = served(stage, namespace, more).await;
    send_by_arp(stage, &published);
    for address in &published {
        until_it_answers(stage, stage.cluster.client_machine(), address).await;
    }
    published
}

pub(crate) async fn a_client_finds_an_address_by_arp_and_by_neighbour_discovery(stage: &Stage) {
    let published = announced(stage, "found", "").await;
    for address in &published {
        answers_of(stage, stage.cluster.client_machine(), address, &["node-1", "node-2"]).await;
        owner_and_other(stage, address).await;
    }
    // It is told who announces, and the controller tells it on.
    let condition = "{.status.conditions[?(@.type==\"bare.cloud-lb-controller/Announced\")].status}";
    let field = format!("jsonpath={condition}");
    until("the Service says that it is announced", SCENE_TIMEOUT, async || {
        match stage.kubectl(&["--namespace", "found", "get", "service", "web", "--output", &field]).as_str() {
            "True" => Ok(()),
            other => Err(format!("its condition is {other:?}")),
        }
    })
    .await;
    // What does not go with MetalLB's speaker is not said where ours announces.
    let log = stage.kubectl(&["--namespace", INSTALLED_AS, "logs", ANNOUNCERS, "--all-pods", "--tail=-1"]);
    assert!(
        published.iter().all(|address| log.contains(&format!("{address} is announced from here"))),
        "{log}"
    );
    assert!(!log.contains(" ERROR ") && !log.contains(" WARN "), "{log}");
}

pub(crate) async fn where_the_cable_of_the_announcing_node_is_pulled_the_other_one_answers(stage: &Stage) {
    // With policy Local each node answers by its own Pods: what is silent is the announcement alone.
    let published = announced(stage, "pulled", "externalTrafficPolicy: Local").await;
    for address in &published {
        let [owner, other] = owner_and_other(stage, address).await;
        let asking = Asking::start(stage, address).await;
        let pulled = Instant::now();
        stage.cluster.cut_off(owner.name()).expect("it has a cable");
        until_it_sends_to(stage, address, other).await;
        let silent = pulled.elapsed();
        println!(
            "{address}: the client sent to the other node {} ms after the cable was pulled",
            silent.as_millis()
        );
        assert!(silent < SILENCE_AT_MOST, "{silent:?}");
        answers_of(stage, stage.cluster.client_machine(), address, &[other.name()]).await;
        drop(asking);
        stage.cluster.reconnect(owner.name()).expect("it is plugged in again");
        // It comes back, and takes nothing away.
        until(&format!("{} is ready", owner.name()), SCENE_TIMEOUT, async || {
            stage
                .try_kubectl(&["wait", "node", owner.name(), "--for=condition=Ready", "--timeout=1s"])
                .map(drop)
        })
        .await;
        answers_of(stage, stage.cluster.client_machine(), address, &[other.name()]).await;
        announcers_rolled_out(stage);
    }
}

pub(crate) async fn a_rollout_of_the_announcers_and_the_end_of_one_cost_no_request(stage: &Stage) {
    let published = announced(stage, "rolled", "").await;
    let clients = [Asking::start(stage, &published[0]).await, Asking::start(stage, &published[1]).await];
    stage.kubectl(&["--namespace", INSTALLED_AS, "rollout", "restart", ANNOUNCERS]);
    announcers_rolled_out(stage);
    let [owner, _] = owner_and_other(stage, &published[0]).await;
    let field = format!("--field-selector=spec.nodeName={}", owner.name());
    let label = "--selector=app.kubernetes.io/name=cloud-lb-announcer";
    stage.kubectl(&["--namespace", INSTALLED_AS, "delete", "pod", label, &field]);
    announcers_rolled_out(stage);
    for client in clients {
        client.lost_nothing().await;
    }
    // A node that is drained goes on announcing: Pods of a DaemonSet stay until the end. The others' requests are theirs.
    let [owner, other] = owner_and_other(stage, &published[0]).await;
    let drain = ["drain", owner.name(), "--ignore-daemonsets", "--delete-emptydir-data", "--force"];
    stage.kubectl(&[&drain[..], &["--timeout=60s"]].concat());
    answers_of(stage, stage.cluster.client_machine(), &published[0], &[other.name()]).await;
    assert_eq!(owner_and_other(stage, &published[0]).await[0].name(), owner.name());
    stage.kubectl(&["uncordon", owner.name()]);
}

/// The Secret that the chart makes of the key.
const KEY: &str = "secret/cloud-lb-controller-announcer-key";

/// The commands of docs/bare-metal.md, and kubelets that bring the Secret. That what comes minutes later moves nothing either,
/// when the new key is signed with and the old one goes, is seen where a test turns the clock.
pub(crate) async fn the_key_is_changed_under_clients_that_never_stop_asking_and_no_address_moves(
    stage: &Stage,
) {
    let published = announced(stage, "rekeyed", "").await;
    let clients = [Asking::start(stage, &published[0]).await, Asking::start(stage, &published[1]).await];
    let mut owners = Vec::new();
    for address in &published {
        owners.push(owner_and_other(stage, address).await[0].name());
    }
    let kubectl = |arguments: &[&str]| stage.kubectl(&[&["--namespace", INSTALLED_AS], arguments].concat());
    let old = kubectl(&["get", KEY, "--output=jsonpath={.data.key}"]);
    // "another key of the heartbeat", as a Secret has it.
    let new = "YW5vdGhlciBrZXkgb2YgdGhlIGhlYXJ0YmVhdA==";
    let both = format!("{{\"data\":{{\"key\":\"{new}\",\"key.previous\":\"{old}\"}}}}");
    kubectl(&["patch", KEY, "--patch", &both]);

    let label = "--selector=app.kubernetes.io/name=cloud-lb-announcer";
    let mut looks = 0;
    until("both announcers believe the new key", SCENE_TIMEOUT, async || {
        // A kubelet looks at its Pods every minute or so, and at one that was changed at once.
        looks += 1;
        kubectl(&["annotate", "pods", label, "--overwrite", &format!("looks={looks}")]);
        let log = kubectl(&["logs", ANNOUNCERS, "--all-pods", "--tail=-1"]);
        match log.matches("another key of the heartbeat is believed from now on").count() {
            2 => Ok(()),
            so_far => Err(format!("{so_far} say so")),
        }
    })
    .await;
    for (address, owner) in published.iter().zip(&owners) {
        assert_eq!(owner_and_other(stage, address).await[0].name(), *owner, "{address}");
    }
    // One that starts meanwhile reads both keys, and hears who still signs with the old one.
    kubectl(&["delete", "pod", label, &format!("--field-selector=spec.nodeName={}", owners[0])]);
    announcers_rolled_out(stage);
    let [owner, _] = owner_and_other(stage, &published[0]).await;
    assert_ne!(owner.name(), owners[0], "who ended has handed over, and who began has taken nothing back");
    for client in clients {
        client.lost_nothing().await;
    }
    let refused = "--field-selector=reason=HeartbeatRefused";
    assert_eq!(stage.kubectl(&["get", "events", "--all-namespaces", refused, "--output=name"]), "");
    let forget = r#"[{"op":"remove","path":"/data/key.previous"}]"#;
    kubectl(&["patch", KEY, "--type=json", "--patch", forget]);
}
