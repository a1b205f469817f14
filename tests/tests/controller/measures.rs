//! What is counted of Services that come and go.

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, MemoryCloud, Method, Point};
use serde_json::json;
use tests::cluster::{Cluster, eventually, quick};

#[tokio::test]
async fn a_service_that_left_does_not_wait_to_be_reconciled_any_more() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let mut config = quick();
    config.workers = 1;
    let running = cluster.run_with(vec![cloud.provider()], config);
    cluster.create("web").await;
    cluster.until_published("web").await;
    let waiting = "workqueue_depth{name=\"service\"}";
    eventually("nobody waits", || running.metric(waiting) == Some(0.0)).await;
    let deletion = cloud.hold(Calls::next(Method::Delete), Point::Before);
    let another = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    cluster.delete("web").await;
    eventually("the reconcile that deletes", || cloud.count(Method::Delete) == 1).await;
    let others: Vec<String> = (0..9).map(|i| format!("other-{i}")).collect();
    for other in &others {
        cluster.create(other).await;
    }
    // Asks for another reconcile, which most likely comes after one of the others, and then too late.
    cluster.change("web", json!({ "metadata": { "labels": { "colour": "blue" } } })).await;
    eventually("all wait", || running.metric(waiting) == Some(10.0)).await;

    deletion.release();
    cluster.until_gone("web").await;
    another.release();

    for other in &others {
        cluster.until_published(other).await;
    }
    eventually("nobody waits", || running.metric(waiting) == Some(0.0)).await;
    running.stop().await;
}

#[tokio::test]
async fn a_service_counts_as_it_stood_after_its_last_reconcile() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    let standing =
        |state| running.metric(&format!("cloud_lb_services{{provider=\"memory\",state=\"{state}\"}}"));
    eventually("there is none", || standing("ready") == Some(0.0)).await;
    cluster.create("web").await;
    cluster.until_published("web").await;
    eventually("it is ready", || standing("ready") == Some(1.0)).await;

    let next = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    cluster.change("web", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
    eventually("its next reconcile", || cloud.count(Method::Ensure) == 2).await;
    assert_eq!(standing("ready"), Some(1.0), "also while it lasts");
    next.release();

    cloud.fail(Calls::of(Method::Ensure), Point::Before, ErrorClass::Denied);
    cluster.change("web", json!({ "spec": { "ports": [{ "port": 82 }] } })).await;
    eventually("it fails", || standing("failing") == Some(1.0)).await;
    assert_eq!(standing("ready"), Some(0.0));
    assert!(running.metric("cloud_lb_retries_total{provider=\"memory\",class=\"Denied\"}") >= Some(1.0));

    cluster.delete("web").await;
    cluster.until_gone("web").await;
    eventually("it does not count any more", || standing("failing") == Some(0.0)).await;
    let reconciles =
        |outcome| format!("cloud_lb_reconciles_total{{provider=\"memory\",outcome=\"{outcome}\"}}");
    eventually("its last reconcile counts", || running.metric(&reconciles("CleanedUp")) == Some(1.0)).await;
    running.stop().await;
}
