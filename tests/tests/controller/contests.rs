//! A status that somebody else writes, too, or that may not be written; and how much is told of one Service.

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, MemoryCloud, Method, Point, Settings};
use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;
use std::time::Duration;
use tests::apiserver::{Failure, Matching, Request};
use tests::cluster::{Cluster, addresses, condition, eventually, quick};
use tokio::time::Instant;

/// Writes its own address whenever it sees another one.
async fn another_controller(services: kube::Api<k8s_openapi::api::core::v1::Service>) {
    let theirs = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "198.51.100.7" }] } } });
    let as_another =
        PatchParams { field_manager: Some("another-controller".into()), ..PatchParams::default() };
    let mut seen = std::pin::pin!(watcher::watch_object(services.clone(), "web"));
    while let Some(service) = seen.next().await {
        if let Ok(Some(service)) = service
            && addresses(&service) != ["198.51.100.7"]
        {
            services.patch_status("web", &as_another, &Patch::Merge(&theirs)).await.expect("a status");
        }
    }
}

#[tokio::test]
async fn whoever_keeps_changing_a_status_is_named_and_not_fought_with() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;

    let other =
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(another_controller(cluster.services())));

    let told = cluster.until_event("web", "StatusContested").await;
    assert!(
        told.starts_with("Somebody else (another-controller) keeps changing what is written here"),
        "{told}"
    );
    let is_a_write = |r: &Request| r.verb == "patch" && r.subresource == "status";
    let writes = cluster.asked_by_the_controller().iter().filter(|request| is_a_write(request)).count();
    assert!(writes <= 8, "{writes} writes");
    let contested = "cloud_lb_status_contested_writes_total";
    assert!(running.metric(contested) >= Some(1.0));
    let began = Instant::now();
    eventually("it is put back once more", || running.metric(contested) >= Some(2.0)).await;
    assert!(began.elapsed() > Duration::from_millis(1_500), "after {:?}", began.elapsed());

    // Whoever ends it has our address back within the pause.
    drop(other);
    let ours = cloud.load_balancer_of(&cluster.key("web")).expect("it is served").published.to_string();
    cluster.until("web", "to show our address again", |s| addresses(s) == [ours.clone()]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_status_that_may_not_be_written_is_told_and_not_tried_at_every_event() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = false));
    let an_hour = Duration::from_secs(3_600);
    let mut config = quick();
    config.retry.first = an_hour;
    config.retry.longest = an_hour;
    let running = cluster.run_with(vec![cloud.provider()], config);
    let writes = || Matching::any().verb("patch").resource("services").subresource("status");
    cluster.faults().fail(writes(), Failure::Forbidden, usize::MAX);

    cluster.create("web").await;
    let told = cluster.until_event("web", "SyncLoadBalancerFailed").await;
    assert!(told.contains("the status could not be written") && told.contains("is forbidden"), "{told}");
    for round in 2..=10 {
        let news = json!({ "metadata": { "annotations": { "example.com/round": round.to_string() } } });
        cluster.change("web", news).await;
        eventually("it is ensured", || cloud.count(Method::Ensure) == round).await;
    }
    let is_a_write = |r: &Request| r.verb == "patch" && r.subresource == "status";
    assert_eq!(cluster.requests().count(is_a_write), 1, "the next attempt is an hour away");
    let warnings =
        cluster.events("web").await.into_iter().filter(|event| event.1 == "SyncLoadBalancerFailed");
    assert_eq!(warnings.map(|event| event.3).collect::<Vec<_>>(), [1]);
    running.crash().await;
}

#[tokio::test]
async fn a_refused_change_stays_refused_while_the_nodes_are_told_after_all() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    cloud.fail(Calls::of(Method::Ensure), Point::Before, ErrorClass::Invalid);
    cluster.change("web", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
    let refused = |s: &_| condition(s, "memory").is_some_and(|c| c.0 == "False" && c.1 == "Invalid");
    cluster.until("web", "to be refused", refused).await;
    let ensured = cloud.count(Method::Ensure);

    cloud.fail(Calls::next(Method::UpdateBackends), Point::Before, ErrorClass::Transient);
    cluster.add_node("n2").await;
    cluster.until_event("web", "UpdateLoadBalancerFailed").await;
    cluster.until_event("web", "UpdatedLoadBalancer").await;

    // What follows is seen by the same controller later.
    cluster.until("web", "to say that it is refused", refused).await;
    cluster.create("later").await;
    cluster.until("later", "to be refused", refused).await;
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("web")), ensured, "it was not tried again");
    assert!(refused(&cluster.service("web").await));
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_is_edited_in_a_loop_has_no_more_events_than_client_go_would_post() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("loud").await;
    for round in 0..40 {
        let class = if round % 2 == 0 { ErrorClass::Invalid } else { ErrorClass::Denied };
        cloud.heal();
        cloud.fail(Calls::of(Method::Ensure), Point::Before, class);
        let edit = json!({ "metadata": { "annotations": { "example.com/round": round.to_string() } } });
        cluster.change("loud", edit).await;
        let said = |s: &_| condition(s, "memory").is_some_and(|c| c.1 == class.as_str());
        cluster.until("loud", "to say what is wrong", said).await;
    }

    // An event that comes later is there: so are those from before, or they never will.
    cloud.heal();
    cluster.create("quiet").await;
    cluster.until_event("quiet", "EnsuredLoadBalancer").await;
    let posted: i32 = cluster.events("loud").await.iter().map(|event| event.3).sum();
    assert!((10..=25).contains(&posted), "{posted} events");
    running.stop().await;
}
