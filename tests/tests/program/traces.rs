//! Spans leave for an OpenTelemetry collector.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use tests::cluster::{Cluster, eventually};

use super::process::{Access, Program, with_pool};

type Posted = Arc<Mutex<Vec<(String, Bytes)>>>;

/// A collector that keeps what is posted; its address.
async fn collector() -> (String, Posted) {
    let posted = Posted::default();
    let keep = async |State(posted): State<Posted>, uri: Uri, body: Bytes| {
        posted.lock().expect("no panic").push((uri.path().to_owned(), body));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let router = axum::Router::new().fallback(keep).with_state(posted.clone());
    tokio::spawn(async { axum::serve(listener, router).await });
    (address, posted)
}

/// Whether a span went to where spans go, with all of these words in it: Protobuf leaves text as it is.
fn has(posted: &Posted, words: &[&str]) -> bool {
    let within = |body: &Bytes, word: &str| body.windows(word.len()).any(|part| part == word.as_bytes());
    let posted = posted.lock().expect("no panic");
    posted.iter().any(|(path, body)| path == "/v1/traces" && words.iter().all(|word| within(body, word)))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reconcile_is_a_span_with_its_service_and_outcome() {
    let (address, posted) = collector().await;
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut command = access.command(&["run", "--cloud-provider=bare", "--http-address="]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", address).env("OTEL_BSP_SCHEDULE_DELAY", "50");
    let _program = Program::spawn(command);

    cluster.create("web").await;
    cluster.until_published("web").await;

    let service = format!("{}/web", cluster.namespace);
    eventually("the span arrives", || {
        has(&posted, &["cloud-lb-controller", "reconcile", &service, "provider", "bare", "outcome", "Ready"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_sent_before_the_program_ends() {
    let (address, posted) = collector().await;
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut command = access.command(&["run", "--cloud-provider=bare", "--http-address="]);
    let delay = "600000";
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", address).env("OTEL_BSP_SCHEDULE_DELAY", delay);
    command.env("OTEL_SERVICE_NAME", "addresses");
    let mut program = Program::spawn(command);
    cluster.create("web").await;
    cluster.until_published("web").await;

    program.signal("TERM");

    assert!(program.end().await.success(), "{}", program.log());
    assert!(has(&posted, &["addresses", "reconcile"]), "{}", program.log());
    assert!(!has(&posted, &["reconciling object"]), "one span for each reconcile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_does_not_keep_the_program() {
    // Connections wait to be accepted, which nobody does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("an address"));
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut command = access.command(&["run", "--cloud-provider=bare", "--http-address="]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", address);
    let mut program = Program::spawn(command);
    cluster.create("web").await;
    cluster.until_published("web").await;

    program.signal("TERM");

    assert!(program.end().await.success(), "{}", program.log());
    eventually("it says so", || program.log().contains("the last spans were not sent")).await;
}
