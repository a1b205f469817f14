//! What is held for a Service that is deleted, in whatever way: it is released, once, and nobody else's is.

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, MemoryCloud, Method, Point, Settings};
use serde_json::json;
use std::time::Duration;
use tests::apiserver::{Failure, Matching, Request};
use tests::cluster::{Cluster, addresses, condition, eventually, has_finalizer, quick};

/// An address pool: nothing outside the cluster is held.
fn pool() -> MemoryCloud {
    MemoryCloud::with(Settings::with(|it| it.holds_resources = false))
}

/// The controller lists the Services anew, and the list says that there are none.
async fn empty_list(cluster: &Cluster) {
    let is_a_list = |r: &Request| r.verb == "list" && r.resource == "services";
    let before = cluster.requests().count(is_a_list);
    let services = || Matching::any().resource("services");
    cluster.faults().empty_lists(services(), 1);
    cluster.faults().fail(services().verb("watch"), Failure::Gone, 1);
    cluster.faults().close_watches();
    eventually("the Services are listed anew", || cluster.requests().count(is_a_list) > before).await;
}

#[tokio::test]
async fn nothing_counts_as_done_once_the_first_delete_was_called() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let an_hour = Duration::from_secs(3_600);
    let mut config = quick();
    config.retry.first = an_hour;
    config.retry.longest = an_hour;
    let running = cluster.run_with(vec![cloud.provider()], config);
    let ports = json!([{ "port": 80, "nodePort": 30_480 }]);
    cluster.create_with("web", json!({ "spec": { "ports": ports } })).await;
    cluster.until_published("web").await;

    // It is deleted, and the reply is lost.
    cloud.fail(Calls::next(Method::Delete), Point::After, ErrorClass::Transient);
    cluster.change("web", json!({ "spec": { "type": "ClusterIP", "ports": [{ "port": 80 }] } })).await;
    cluster.until_event("web", "DeleteLoadBalancerFailed").await;
    assert!(cloud.load_balancer_of(&cluster.key("web")).is_none());
    cluster.change("web", json!({ "spec": { "type": "LoadBalancer", "ports": ports } })).await;

    let ready = |s: &_| condition(s, "memory").is_some_and(|c| c.0 == "True") && !addresses(s).is_empty();
    let service = cluster.until("web", "to be served again", ready).await;
    let balancer = cloud.load_balancer_of(&cluster.key("web")).expect("what the status shows exists");
    assert_eq!(addresses(&service), [balancer.published.to_string()]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_deleted_and_made_again_quickly_leave_nothing_behind() {
    let (cluster, cloud) = (Cluster::start().await, pool());
    let running = cluster.run(cloud.provider());
    let churn = (0..40).map(|i| {
        let (cluster, name) = (&cluster, format!("web-{i}"));
        async move {
            for round in 0..15 {
                cluster.create(&name).await;
                if round % 3 == 0 {
                    cluster.until_published(&name).await;
                }
                cluster.delete(&name).await;
            }
        }
    });
    futures::future::join_all(churn).await;

    eventually("nothing is held any more", || cloud.is_empty()).await;
    assert_eq!(cloud.complaints(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn services_that_a_list_lacks_are_asked_for_by_name_before_anything_is_deleted() {
    for cloud in [MemoryCloud::new(), pool()] {
        let cluster = Cluster::with_faults().await;
        let running = cluster.run(cloud.provider());
        let names: Vec<String> = (0..12).map(|i| format!("web-{i}")).collect();
        for name in &names {
            cluster.create(name).await;
            cluster.until_published(name).await;
        }

        empty_list(&cluster).await;

        cluster.until_event("web-0", "MissingFromList").await;
        let found = "cloud_lb_services_found_by_name_total";
        eventually("each was found", || running.metric(found) == Some(12.0)).await;
        assert_eq!(running.metric("cloud_lb_services_missing_from_list_total"), Some(12.0));
        assert_eq!(cloud.count(Method::Delete), 0);
        // They are served on.
        cluster.change("web-3", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
        let ensured = || cloud.count_about(Method::Ensure, &cluster.key("web-3"));
        eventually("a change is seen", || ensured() == 2).await;
        assert_eq!(cloud.load_balancers().len(), 12);
        running.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_not_deleted() {
    let (cluster, cloud) = (Cluster::with_faults().await, pool());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let asked = |r: &Request| r.verb == "get" && r.resource == "services" && r.name == "web";
    let before = cluster.requests().count(asked);

    cluster.faults().fail(Matching::any().verb("get").resource("services"), Failure::Internal, 3);
    empty_list(&cluster).await;

    eventually("it is asked for until there is an answer", || cluster.requests().count(asked) > before + 3)
        .await;
    cluster.until_event("web", "MissingFromList").await;
    assert_eq!(cloud.count(Method::Delete), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_service_of_another_type_that_nobody_recorded_is_left_alone() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let theirs = json!({
        "metadata": { "finalizers": [service_controller::status::FINALIZER] },
        "spec": { "type": "ClusterIP" },
    });
    cluster.create_with("theirs", theirs).await;
    let running = cluster.run(cloud.provider());

    cluster.create("ours").await;
    cluster.until_published("ours").await;

    assert!(has_finalizer(&cluster.service("theirs").await), "it is not ours to remove");
    assert_eq!(cloud.count_about(Method::Delete, &cluster.key("theirs")), 0);
    running.stop().await;
    cluster.change("theirs", json!({ "metadata": { "finalizers": null } })).await;
}

#[tokio::test]
async fn an_orphan_that_is_there_after_all_is_not_deleted() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    running.crash().await;

    // A process that sees an empty cluster, for as long as it lives.
    cluster.faults().empty_lists(Matching::any().resource("services"), usize::MAX);
    let mut config = quick();
    config.sweep.interval = Duration::from_millis(20);
    config.sweep.delete = true;
    let running = cluster.run_with(vec![cloud.provider()], config);

    let found = "cloud_lb_services_found_by_name_total";
    eventually("it is asked for by name", || running.metric(found) == Some(1.0)).await;
    assert_eq!(cloud.count(Method::Delete), 0);
    assert_eq!(cloud.load_balancers().len(), 1);
    running.stop().await;
}
