//! `run`, and what it serves over HTTP.

use tests::cluster::Cluster;

use super::process::{Access, Program, http, with_pool};

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
    assert_eq!(http(&address, "GET", "/readyz", "").await, Some((200, "ok\n".into())));
    assert_eq!(http(&address, "GET", "/nowhere", "").await.unwrap().0, 404);

    assert_eq!(http(&address, "PUT", "/loglevel", "debug").await, Some((200, "debug\n".into())));
    assert_eq!(http(&address, "PUT", "/loglevel", "controller=shout").await.unwrap().0, 400);
    assert_eq!(http(&address, "GET", "/loglevel", "").await, Some((200, "debug\n".into())));

    cluster.create("web").await;
    cluster.until_published("web").await;
    let (code, metrics) = http(&address, "GET", "/metrics", "").await.unwrap();
    assert_eq!(code, 200);
    let line = "leader_election_master_status{name=\"cloud-lb-controller\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
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
        "--kube-api-qps=20",
        "--configure-cloud-routes=false",
        "-v=2",
        "--leader-elect-resource-lock=leases",
    ];
    let program = Program::start(&access, &foreign);
    program.until_it_says("became leader").await;
    let log = program.log();
    assert_eq!(log.matches("flags without a meaning here are ignored").count(), 1, "{log}");
    assert!(log.contains("--kube-api-qps --configure-cloud-routes -v"), "{log}");
}
