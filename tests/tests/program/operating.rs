//! `run`, and what it serves over HTTP.

use tests::apiserver::Request;
use tests::cluster::{Cluster, eventually};
use tests::programs::http;

use super::process::{Access, Program, with_pool};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_an_address_from_the_cluster_pools() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let _program = Program::start(&access, &[]);
    cluster.create("web").await;
    assert_eq!(cluster.until_published("web").await, ["192.0.2.10"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_metrics_and_the_log_level_are_served() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &[]);
    let address = program.address().await;
    assert_eq!(http(&address, "GET", "/healthz", "").await, Some((200, "ok\n".into())));
    program.until_ready().await;
    assert_eq!(http(&address, "GET", "/nowhere", "").await.unwrap().0, 404);

    assert_eq!(http(&address, "PUT", "/loglevel", "debug").await, Some((200, "debug\n".into())));
    for no_level in ["controller=shout", "warning", "inof", ""] {
        assert_eq!(http(&address, "PUT", "/loglevel", no_level).await.unwrap().0, 400, "{no_level:?}");
    }
    assert_eq!(http(&address, "GET", "/loglevel", "").await, Some((200, "debug\n".into())));

    cluster.create("web").await;
    cluster.until_published("web").await;
    // Not before: whoever begins to lead is not ready again until its providers have resumed.
    assert_eq!(http(&address, "GET", "/readyz", "").await, Some((200, "ok\n".into())));
    let (code, metrics) = http(&address, "GET", "/metrics", "").await.unwrap();
    assert_eq!(code, 200);
    for sample in [
        "cloud_lb_build_info{version=",
        "cloud_lb_pool_addresses{pool=\"office\",family=\"IPv4\",state=\"used\"} 1\n",
        "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"ensure\",outcome=\"Done\"} 1\n",
        "process_start_time_seconds ",
    ] {
        assert!(metrics.contains(sample), "{sample} is missing in\n{metrics}");
    }
    // Nobody asked for OpenMetrics: counters are described by the name that they are shown by.
    assert!(metrics.contains("# TYPE cloud_lb_provider_calls_total counter\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_keep_to_the_rate_of_the_flags_and_the_lease_is_not_held_up() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    cluster.requests().clear();
    let access = Access::to(&cluster.plane);
    // One request in a hundred seconds, after the lists without which nobody contends for the Lease.
    let program = Program::start(&access, &["--kube-api-qps=0.01", "--kube-api-burst=2"]);
    let of_the_program = |r: &Request| r.agent.starts_with("cloud-lb-controller/");
    // Who leads is also told by an event.
    let of_leases = |r: &Request| ["leases", "events"].contains(&r.resource.as_str());
    eventually("the Lease is taken and renewed", || {
        cluster.requests().count(|r| r.resource == "leases" && r.verb == "update" && of_the_program(r)) > 0
    })
    .await;
    let others = cluster.requests().count(|r| of_the_program(r) && !of_leases(r) && r.verb != "watch");
    assert!(others <= 2, "{others} requests, {}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_acts_and_the_other_follows_it() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut first = Program::start(&access, &[]);
    first.until_it_says("became leader").await;
    let second = Program::start(&access, &[]);
    second.until_it_says("waiting for leadership").await;
    assert_eq!(leads(&first).await, "1");
    assert_eq!(leads(&second).await, "0");
    cluster.create("web").await;
    cluster.until_published("web").await;
    assert!(!second.log().contains("became leader"));

    first.signal("TERM");

    assert!(first.end().await.success());
    second.until_it_says("became leader").await;
    cluster.create("mail").await;
    assert_eq!(cluster.until_published("mail").await, ["192.0.2.11"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_of_cloud_controller_manager_are_accepted_and_named_once_in_the_log() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let foreign = [
        "--node-sync-period=20s",
        "--configure-cloud-routes=false",
        "-v=2",
        "--leader-elect-resource-lock=leases",
    ];
    let program = Program::start(&access, &foreign);
    program.until_it_says("became leader").await;
    let log = program.log();
    assert_eq!(log.matches("flags without a meaning here are ignored").count(), 1, "{log}");
    assert!(log.contains("--node-sync-period --configure-cloud-routes -v"), "{log}");
}

/// Whether a replica says that it leads, as its metrics have it.
async fn leads(program: &Program) -> String {
    let (_, metrics) = http(&program.address().await, "GET", "/metrics", "").await.expect("metrics");
    let sample = "leader_election_master_status{name=\"cloud-lb-controller\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(sample));
    value.expect("it says so from the start").to_owned()
}
