//! What the program costs beside the least that could do the same: `cargo bench --workspace --bench scale`.
//!
//! The program runs as a process of its own against the tests' API server, which is in this process. Beside it, in the
//! same run and against a server of the same kind, a bare client makes the same writes and does nothing else. Program
//! and server share the machine, so that ratios and counts tell more than seconds.

mod bare_client;
mod process;
mod witness;

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::json;
use tests::cluster::Cluster;
use tests::sandbox::manifests;

use bare_client::BareClient;
use process::Program;
use witness::Witness;

/// Services that are made while the program runs, and how many at once.
const MADE_SERVICES: usize = 500;
const AT_ONCE: usize = 4;
/// Services that wait when the program starts.
const WAITING_SERVICES: usize = 5_000;

#[tokio::main]
async fn main() {
    let size = std::fs::metadata(process::path()).expect("the program").len();
    row("the program", format!("{:.1} MB", size as f64 / 1e6), "15 MB", "");
    first_list().await;
    made_one_by_one().await;
    waiting_at_the_start().await;
}

fn row(what: &str, measured: impl AsRef<str>, budget: &str, beside: &str) {
    println!("{what:<58} {:>14} {budget:>14}   {beside}", measured.as_ref());
}

async fn a_cluster() -> Cluster {
    let cluster = Cluster::with_faults().await;
    let pool = format!(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: pool, namespace: {}}}\n\
         spec: {{addresses: [198.18.0.0/16]}}\n",
        cluster.namespace
    );
    for text in [metallb::crd::manifest().expect("a manifest"), pool] {
        for object in manifests::parse(&text, "the bench").expect("a manifest") {
            manifests::apply(&cluster.client, &object).await.expect("it is applied");
        }
    }
    cluster
}

async fn first_list() {
    let cluster = a_cluster().await;
    cluster.requests().clear();
    let began = Instant::now();
    let _program = Program::start(&cluster.plane);
    let listed = || cluster.requests().count(|r| r.resource == "services" && r.name.is_empty());
    while listed() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    row("first list, after start", format!("{:.0} ms", millis(began.elapsed())), "100 ms", "");
}

/// How long from a Service's making to its address, half of them.
async fn p50(cluster: &Cluster, witness: &Witness) -> Duration {
    let mut took: Vec<Duration> = stream::iter(0..MADE_SERVICES)
        .map(|i| async move {
            let name = format!("made-{i}");
            let began = Instant::now();
            cluster.create(&name).await;
            witness.of_service(&name).await - began
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    took.sort();
    took[MADE_SERVICES / 2]
}

async fn made_one_by_one() {
    let cluster = a_cluster().await;
    let bare = {
        let witness = Witness::of(cluster.services());
        let _client = BareClient::serve(cluster.services());
        p50(&cluster, &witness).await
    };

    let cluster = a_cluster().await;
    let program = Program::start(&cluster.plane);
    let witness = Witness::of(cluster.services());
    cluster.create("first").await;
    witness.of_service("first").await;
    let (cpu, ()) = (program.cpu_seconds(), cluster.requests().clear());
    let ours = p50(&cluster, &witness).await;
    let writes = cluster.requests().count(|r| r.is_write() && r.resource == "services" && r.verb != "create");
    let beside = format!("{:.1} ms, a bare client {:.1} ms", millis(ours), millis(bare));
    row(&format!("{MADE_SERVICES} Services: create to address, median"), ratio(ours, bare), "1.5 x", &beside);
    row(
        &format!("{MADE_SERVICES} Services: CPU"),
        format!("{:.2} s", program.cpu_seconds() - cpu),
        "0.30 s",
        "",
    );
    row(
        &format!("{MADE_SERVICES} Services: memory at most"),
        format!("{:.1} MB", program.peak_megabytes()),
        "16 MB",
        "",
    );
    row("writes to Services, for each", format!("{:.2}", writes as f64 / MADE_SERVICES as f64), "1", "");
}

async fn fill(cluster: &Cluster) {
    let names = (0..WAITING_SERVICES).map(|i| format!("waiting-{i}"));
    // There are fewer node ports than Services here.
    let without = || json!({ "spec": { "allocateLoadBalancerNodePorts": false } });
    stream::iter(names)
        .for_each_concurrent(8, async |name| drop(cluster.create_with(&name, without()).await))
        .await;
}

async fn waiting_at_the_start() {
    let cluster = a_cluster().await;
    fill(&cluster).await;
    let bare = {
        let witness = Witness::of(cluster.services());
        let _client = BareClient::serve(cluster.services());
        witness.until(WAITING_SERVICES).await;
        witness.span()
    };

    let cluster = a_cluster().await;
    fill(&cluster).await;
    let witness = Witness::of(cluster.services());
    let program = Program::start(&cluster.plane);
    witness.until(WAITING_SERVICES).await;
    let ours = witness.span();
    let beside = format!("{:.0} ms, a bare client {:.0} ms", millis(ours), millis(bare));
    row(
        &format!("{WAITING_SERVICES} waiting Services: first address to last"),
        ratio(ours, bare),
        "2.0 x",
        &beside,
    );
    row(
        &format!("{WAITING_SERVICES} waiting Services: memory at most"),
        format!("{:.1} MB", program.peak_megabytes()),
        "60 MB",
        "",
    );
    drop(program);

    cluster.requests().clear();
    let program = Program::start(&cluster.plane);
    // When it is served the program leads, and the others' reconciles are over or come within moments.
    cluster.create_with("last", json!({ "spec": { "allocateLoadBalancerNodePorts": false } })).await;
    witness.of_service("last").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let written = |r: &tests::apiserver::Request| {
        r.is_write() && r.resource == "services" && r.verb != "create" && r.name != "last"
    };
    let writes = cluster.requests().count(written);
    row(
        &format!("restart with {WAITING_SERVICES} Services: writes to Services"),
        writes.to_string(),
        "0",
        "",
    );
    row(
        &format!("restart with {WAITING_SERVICES} Services: memory at most"),
        format!("{:.1} MB", program.peak_megabytes()),
        "60 MB",
        "",
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn ratio(ours: Duration, theirs: Duration) -> String {
    format!("{:.2} x", ours.as_secs_f64() / theirs.as_secs_f64())
}
