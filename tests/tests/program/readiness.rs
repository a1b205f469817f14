//! Knowing when nothing works: what `/readyz` says and who takes the Lease, and an API server that falls silent.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, addresses, eventually};
use tests::process::{Access, Program, with_pool};
use tests::programs::http;
use tokio::time::{Instant, sleep};

async fn readiness(address: &str) -> (u16, String) {
    http(address, "GET", "/readyz", "").await.expect("it answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_list_it_is_not_ready_says_why_once_and_takes_no_lease() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::with(&cluster.plane.kubeconfig_yaml_as("weak"));
    let program = Program::start(&access, &[]);
    let address = program.address().await;
    let requests = cluster.requests();
    eventually("it tries again", || {
        requests.count(|r| r.resource == "services" && r.verb == "list" && r.code == 403) >= 3
    })
    .await;

    let (code, why) = readiness(&address).await;

    assert_eq!(code, 503);
    assert!(why.contains("not listed") && why.contains("forbidden"), "{why}");
    assert_eq!(requests.count(|r| r.resource == "leases"), 0, "a Lease would keep others from leading");
    let log = program.log();
    let of_services = |line: &&str| line.contains("services") && line.contains("forbidden");
    assert_eq!(log.lines().filter(of_services).count(), 1, "{log}");
    assert!(!log.contains("Status {") && !log.contains("InitialListFailed"), "no dumps: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_once_it_has_read_the_lease() {
    let cluster = Cluster::with_faults().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let first = Program::start(&access, &[]);
    first.until_it_says("became leader").await;
    first.until_ready().await;
    let reads = Matching::any().verb("get").resource("leases");
    cluster.faults().fail(reads, Failure::Internal, usize::MAX);

    let second = Program::start(&access, &[]);

    second.until_it_says("cannot take the Lease").await;
    let (code, why) = readiness(&second.address().await).await;
    assert_eq!(code, 503);
    assert!(why.contains("the Lease was not read yet"), "{why}");
    cluster.faults().clear();
    second.until_ready().await;
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "kube-system");
    let lease = leases.get("cloud-lb-controller").await.expect("the Lease").spec.expect("a record");
    assert_eq!(lease.lease_transitions, Some(0), "the first one leads on");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_die_without_a_word_are_noticed_within_45_seconds() {
    let mut cluster = Cluster::with_faults().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &[]);
    for name in ["a", "b", "c", "d"] {
        cluster.create(name).await;
    }
    cluster.until_published("d").await;

    cluster.faults().silence_connections();

    let began = Instant::now();
    cluster.client = cluster.plane.client();
    cluster.create("after").await;
    // The Lease is renewed on connections of its own, within its own deadlines.
    while addresses(&cluster.service("after").await).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(45), "{}", program.log());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_that_costs_the_lease_a_new_service_is_served_within_two_seconds_of_the_servers_return()
 {
    let cluster = Cluster::with_faults().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    // Another process would have to wait for a minute until this one's Lease is over.
    let election = ["--leader-elect-lease-duration=60s", "--leader-elect-renew-deadline=2s"];
    let program = Program::start(&access, &[&election[..], &["--leader-elect-retry-period=1s"]].concat());
    cluster.create("before").await;
    cluster.until_published("before").await;
    cluster.faults().cut_network();
    program.until_it_says("leadership was lost").await;

    cluster.faults().mend_network();

    let back = Instant::now();
    cluster.create("after").await;
    cluster.until_published("after").await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}\n{}", back.elapsed(), program.log());
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "kube-system");
    let lease = leases.get("cloud-lb-controller").await.expect("the Lease").spec.expect("a record");
    assert_eq!(lease.lease_transitions, Some(0), "nobody else led");
    program.until_ready().await;
}
