//! How long an address is silent when the node that answers for it breaks, with our announcers and with MetalLB's speakers,
//! in the same cluster:
//!
//! ```sh
//! KUBEBUILDER_ASSETS=$(tests/kubernetes/up all | tail -1) cargo bench --workspace --bench silence
//! ```
//!
//! A client on the LAN asks every 10 ms, each time by a new connection. What is printed is the longest time between two
//! requests that were answered. The Service has policy Local, so that nothing but the announcement is missed. Where no
//! cluster can run one line says why.

// Parts of the suite `scenes`, of which this needs but a few.
#[allow(dead_code)]
mod client;
#[allow(dead_code)]
mod install;
#[allow(dead_code)]
mod metallb;
#[allow(dead_code)]
mod stage;
#[allow(dead_code)]
mod traffic;

use std::time::Duration;

use tests::real_cluster::{Machine, ProxyMode, RealCluster};

use client::{Asking, Heard, owner_and_other, send_by_arp, until_it_answers, until_it_sends_to};
use install::with_announcers;
use metallb::{METALLB, install_metallb};
use stage::{SCENE_TIMEOUT, Stage, until};
use traffic::served;

/// How often each break happens.
const ROUNDS: usize = 6;

/// What a node is to clients.
#[derive(Clone, Copy)]
enum Break {
    Power,
    Cable,
    Told,
}

impl Break {
    const ALL: [(Break, &str); 3] = [
        (Break::Power, "the power is cut"),
        (Break::Cable, "the cable is pulled"),
        (Break::Told, "the Pod that answers is deleted"),
    ];

    fn happens(self, stage: &Stage, answering: &Answering, node: &Machine) {
        let done = match self {
            Break::Power => stage.cluster.silence(node.name()),
            Break::Cable => stage.cluster.cut_off(node.name()),
            Break::Told => {
                answering.delete_pod_on(stage, node);
                Ok(())
            }
        };
        done.unwrap_or_else(|error| panic!("{error}"));
    }

    fn ends(self, stage: &Stage, node: &Machine) {
        let done = match self {
            Break::Power => stage.cluster.hear(node.name()),
            Break::Cable => stage.cluster.reconnect(node.name()),
            Break::Told => Ok(()),
        };
        done.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Whose Pods answer on the LAN.
struct Answering {
    who: &'static str,
    namespace: &'static [&'static str],
    selector: &'static str,
    /// The port of its metrics.
    port: u16,
    /// How lines of its metrics begin that name an address which its node answers for.
    announced: &'static str,
    /// A line of the metrics of a node that hears the other one; empty if there is none.
    hears_another: &'static str,
}

const OURS: Answering = Answering {
    who: "ours",
    namespace: &["--namespace", tests::rights::INSTALLED_AS],
    selector: "app.kubernetes.io/name=cloud-lb-announcer",
    port: 7479,
    announced: "cloud_lb_announcer_announced{",
    hears_another: "cloud_lb_announcer_peers{link=\"eth0\"} 1",
};

const METALLBS: Answering = Answering {
    who: "MetalLB's",
    namespace: &METALLB,
    selector: "component=speaker",
    port: 7472,
    announced: "metallb_speaker_announced{",
    hears_another: "",
};

impl Answering {
    fn delete_pod_on(&self, stage: &Stage, node: &Machine) {
        let on = format!("--field-selector=spec.nodeName={}", node.name());
        let delete = ["delete", "pod", "--selector", self.selector, &on, "--wait=false"];
        stage.kubectl(&[self.namespace, &delete].concat());
    }

    /// Waits until both nodes have one that is ready and hears the other, and one of them answers.
    async fn until_whole(&self, stage: &Stage, address: &str) {
        let pods = "jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type==\"Ready\")].status} {end}";
        let get = ["get", "pods", "--selector", self.selector, "--output", pods];
        let address = format!("ip=\"{address}\"");
        let is_announced = |line: &str| line.starts_with(self.announced) && line.contains(&address);
        until("both are there and one answers", SCENE_TIMEOUT * 3, async || {
            let seen = stage.try_kubectl(&[self.namespace, &get].concat())?;
            let ready: Vec<&str> = seen.split(' ').filter_map(|pod| pod.strip_suffix("=True")).collect();
            if ready.len() != 2 {
                return Err(format!("ready: {seen}"));
            }
            let mut answer = 0;
            for pod in ready {
                let (namespace, port) = (self.namespace[1], self.port);
                let metrics = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics");
                let said = stage.try_kubectl(&["get", "--raw", &metrics])?;
                if !said.contains(self.hears_another) {
                    return Err(format!("{pod} does not hear the other"));
                }
                answer += usize::from(said.lines().any(is_announced));
            }
            if answer == 1 { Ok(()) } else { Err(format!("{answer} answer")) }
        })
        .await;
    }

    /// Has each break happen, and tells what a client heard each time.
    async fn measure(&self, stage: &Stage, namespace: &str) -> Vec<Vec<Heard>> {
        let published = served(stage, namespace, "externalTrafficPolicy: Local").await;
        let mut all = Vec::new();
        for (broken, what) in Break::ALL {
            let mut heard = Vec::new();
            for address in published.iter().cycle().take(ROUNDS) {
                self.until_whole(stage, address).await;
                // Whom the client sends to may still be who answered before.
                send_by_arp(stage, std::slice::from_ref(address));
                until_it_answers(stage, stage.cluster.client_machine(), address).await;
                let [owner, other] = owner_and_other(stage, address).await;
                let asking = Asking::closely(stage, address).await;
                asking.until_it_asked_more().await;
                broken.happens(stage, self, owner);
                if !matches!(broken, Break::Told) {
                    until_it_sends_to(stage, address, other).await;
                }
                let now = asking.heard().await;
                println!(
                    "{}: {address}: {what}: {} ms silent, {} lost",
                    self.who,
                    now.silence.as_millis(),
                    now.lost
                );
                broken.ends(stage, owner);
                heard.push(now);
            }
            all.push(heard);
        }
        stage.clear().await;
        all
    }
}

/// The time in the middle, and the longest.
fn times(heard: &[Heard]) -> String {
    let mut silences: Vec<Duration> = heard.iter().map(|heard| heard.silence).collect();
    silences.sort_unstable();
    let seconds = |at: usize| silences[at].as_secs_f64();
    let lost: usize = heard.iter().map(|heard| heard.lost).sum();
    format!("{:.2} s ({:.2} s), {lost} lost", seconds(silences.len() / 2), seconds(silences.len() - 1))
}

#[tokio::main]
async fn main() {
    if let Err(error) = RealCluster::possible() {
        return println!("not run: silence: {error}");
    }
    let stage = Stage::open(ProxyMode::Nftables).await;
    with_announcers(&stage);
    let ours = OURS.measure(&stage, "ours").await;
    install_metallb(&stage).await;
    let metallbs = METALLBS.measure(&stage, "theirs").await;
    println!("silent in the middle of {ROUNDS} (at most), requests lost in all");
    println!("{:<34} {:<30} MetalLB's speaker", "", "ours");
    for ((_, what), (ours, metallbs)) in Break::ALL.iter().zip(ours.iter().zip(&metallbs)) {
        println!("{what:<34} {:<30} {}", times(ours), times(metallbs));
    }
    stage.close();
}
