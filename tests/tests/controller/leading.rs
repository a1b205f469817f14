//! Working only while this process leads, as an embedder does.

use std::time::Duration;

use cloud_provider::testing::{Calls, MemoryCloud, Method, Point};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use service_controller::leader::{LeaderConfig, Leadership};
use service_controller::{Error, ServiceController};
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, DEADLINE, eventually, quick};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

fn candidate(cluster: &Cluster) -> Leadership {
    let mut config = LeaderConfig::new(&cluster.namespace, "leading");
    config.lease_duration = Duration::from_secs(3);
    config.renew_deadline = Duration::from_secs(2);
    config.retry_period = Duration::from_millis(200);
    Leadership::new(cluster.client.clone(), config).expect("a sound configuration")
}

/// Somebody else writes the Lease, which only a broken candidate or an operator would.
async fn take_the_lease_away(cluster: &Cluster) {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let theirs = Patch::Merge(json!({ "spec": { "holderIdentity": "another" } }));
    leases.patch("leading", &PatchParams::default(), &theirs).await.expect("the Lease is there");
}

#[tokio::test]
async fn a_call_in_flight_is_dropped_when_what_is_left_of_a_lost_lease_is_over_and_the_caller_is_told() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    let leadership = candidate(&cluster);
    let client = leadership.fenced_client(cluster.plane.kube_config()).expect("a client");
    // Far longer than the second that the Lease outlives its renewals by.
    let mut config = quick();
    config.shutdown_grace = 10 * DEADLINE;
    let controller = ServiceController::new(client).config(config).provider(cloud.provider());
    let running =
        tokio::spawn(
            async move { controller.run_while_leading(&leadership, CancellationToken::new()).await },
        );
    cluster.create("web").await;
    cloud.started(Method::Ensure, 1).await;

    take_the_lease_away(&cluster).await;

    let ended = timeout(DEADLINE, running).await.expect("it ends").expect("no panic");
    assert!(matches!(ended, Err(Error::LostLeadership)), "{ended:?}");
    assert_eq!(cloud.calls().last().unwrap().state, cloud_provider::testing::CallState::Dropped);
    gate.release();
}

#[tokio::test]
async fn a_stop_gives_the_lease_back_after_the_work_has_ended() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let leadership = candidate(&cluster);
    let client = leadership.fenced_client(cluster.plane.kube_config()).expect("a client");
    let controller = ServiceController::new(client).config(quick()).provider(cloud.provider());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let running = tokio::spawn(async move { controller.run_while_leading(&leadership, stopped).await });
    cluster.create("web").await;
    cluster.until_published("web").await;

    stop.cancel();

    timeout(DEADLINE, running).await.expect("it ends").expect("no panic").expect("it ends well");
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let holder = leases.get("leading").await.expect("the Lease").spec.and_then(|spec| spec.holder_identity);
    assert_eq!(holder.unwrap_or_default(), "", "it was given back");
}

#[tokio::test]
async fn a_candidates_client_reads_and_does_not_write() {
    let cluster = Cluster::start().await;
    cluster.create("web").await;
    let client = candidate(&cluster).fenced_client(cluster.plane.kube_config()).expect("a client");
    let services = Api::<k8s_openapi::api::core::v1::Service>::namespaced(client, &cluster.namespace);

    services.get("web").await.expect("it reads");

    let written = services.patch("web", &PatchParams::default(), &Patch::Merge(json!({}))).await;
    assert!(written.expect_err("it does not write").to_string().contains("does not lead"));
}

#[tokio::test]
async fn a_request_that_the_client_repeats_by_itself_is_not_sent_after_leadership_has_ended() {
    let cluster = Cluster::with_faults().await;
    cluster.create("web").await;
    let leadership = candidate(&cluster);
    let client = leadership.fenced_client(cluster.plane.kube_config()).expect("a client");
    let services = Api::<k8s_openapi::api::core::v1::Service>::namespaced(client, &cluster.namespace);
    let held = leadership.acquire().await;
    let writes = Matching::any().verb("patch").resource("services");
    cluster.faults().fail(writes, Failure::Unavailable, usize::MAX);
    let write = tokio::spawn(async move {
        services.patch("web", &PatchParams::default(), &Patch::Merge(json!({}))).await
    });
    let requests = cluster.requests();
    let sent = || requests.count(|request| request.verb == "patch" && request.resource == "services");
    eventually("the client repeats it", || sent() >= 2).await;

    drop(held);

    let written = timeout(DEADLINE, write).await.expect("it is given up").expect("no panic");
    let error = written.expect_err("it is not sent").to_string();
    assert!(error.contains("does not lead"), "{error}");
}
