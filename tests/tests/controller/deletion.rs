//! How a Service goes, and that nothing stays behind.

use std::time::Duration;

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, MemoryCloud, Method, Point, Settings};
use serde_json::json;
use service_controller::Config;
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, addresses, condition, eventually, has_finalizer, quick};

#[tokio::test]
async fn a_deleted_service_leaves_nothing_behind() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    assert!(cloud.is_empty(), "the finalizer went before the load balancer did");
    assert_eq!(cloud.complaints(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn a_service_deleted_while_nobody_was_there_is_cleaned_up_later() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    running.stop().await;

    cluster.delete("web").await;
    let running = cluster.run(cloud.provider());

    cluster.until_gone("web").await;
    assert!(cloud.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_type_change_cleans_up_and_a_change_back_serves_again() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;

    cluster.change("web", json!({ "spec": { "type": "ClusterIP" } })).await;
    let service = cluster.until("web", "to lose its finalizer", |s| !has_finalizer(s)).await;
    assert!(cloud.is_empty());
    assert_eq!(addresses(&service), Vec::<String>::new());
    assert_eq!(condition(&service, "memory"), None);

    cluster.change("web", json!({ "spec": { "type": "LoadBalancer" } })).await;
    cluster.until_published("web").await;
    assert_eq!(cloud.load_balancers().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_type_change_while_nobody_was_there_is_cleaned_up_later() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    running.crash().await;

    cluster.change("web", json!({ "spec": { "type": "NodePort" } })).await;
    let running = cluster.run(cloud.provider());

    cluster.until("web", "to lose its finalizer", |s| !has_finalizer(s)).await;
    assert!(cloud.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn weakness_01_a_half_made_load_balancer_is_deleted_though_it_does_not_exist() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    // The firewall is made, then every attempt dies before the load balancer.
    cloud.fail(Calls::of(Method::Ensure), Point::Midway, ErrorClass::Transient);
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    eventually("half of it exists", || !cloud.firewalls().is_empty()).await;

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    assert!(cloud.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_failed_deletion_keeps_the_finalizer_and_is_retried() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    cloud.fail(Calls::of(Method::Delete), Point::Before, ErrorClass::Transient);

    cluster.delete("web").await;

    let told = cluster.until_event("web", "DeleteLoadBalancerFailed").await;
    assert!(told.starts_with("Error deleting load balancer: "), "{told}");
    eventually("it is retried", || cloud.count(Method::Delete) >= 3).await;
    assert!(has_finalizer(&cluster.service("web").await));
    cloud.heal();
    cluster.until_gone("web").await;
    assert!(cloud.is_empty());
    running.stop().await;
}

/// A controller that gives a provider longer than any test waits.
fn patient() -> Config {
    let mut config = quick();
    config.provider_timeout = Duration::from_secs(3_600);
    config
}

#[tokio::test]
async fn a_deletion_ends_what_is_under_way_for_that_service_alone() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run_with(vec![cloud.provider()], patient());
    let hopeless = cloud.hold(Calls::of(Method::Ensure).about(&cluster.key("web")), Point::Midway);
    let slow = cloud.hold(Calls::of(Method::Ensure).about(&cluster.key("other")), Point::Midway);
    for name in ["web", "other"] {
        cluster.create(name).await;
        eventually("it is being made", || cloud.count_about(Method::Ensure, &cluster.key(name)) == 1).await;
    }

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    assert_eq!(cloud.firewalls().len(), 1, "what was half made is gone, and nobody else's");
    slow.release();
    cluster.until_published("other").await;
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("other")), 1, "it went on as it had begun");
    drop(hopeless);
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_is_no_load_balancer_any_more_ends_what_is_under_way_and_may_become_one_again() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run_with(vec![cloud.provider()], patient());
    let hopeless = cloud.hold(Calls::next(Method::Ensure), Point::Midway);
    cluster.create("web").await;
    eventually("it is being made", || cloud.count(Method::Ensure) == 1).await;

    cluster.change("web", json!({ "spec": { "type": "ClusterIP" } })).await;

    cluster.until("web", "to lose its finalizer", |s| !has_finalizer(s)).await;
    assert!(cloud.is_empty());
    cluster.change("web", json!({ "spec": { "type": "LoadBalancer" } })).await;
    cluster.until_published("web").await;
    drop(hopeless);
    running.stop().await;
}

#[tokio::test]
async fn a_deletion_ends_an_update_of_the_nodes_that_is_under_way() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run_with(vec![cloud.provider()], patient());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let hopeless = cloud.hold(Calls::of(Method::UpdateBackends), Point::Before);
    cluster.add_node("n2").await;
    eventually("the nodes are told", || cloud.count(Method::UpdateBackends) == 1).await;

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    assert!(cloud.is_empty());
    drop(hopeless);
    running.stop().await;
}

#[tokio::test]
async fn weakness_06_a_finalizer_somebody_removed_comes_back() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;

    cluster.change("web", json!({ "metadata": { "finalizers": null } })).await;

    cluster.until("web", "to have its finalizer back", has_finalizer).await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_06_a_service_that_lost_its_finalizer_and_was_deleted_leaves_nothing_behind() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    // While the ensure waits, nothing else is done about the Service: nobody puts the finalizer back.
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    cluster.change("web", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
    eventually("the ensure is under way", || cloud.count(Method::Ensure) == 2).await;
    cluster.change("web", json!({ "metadata": { "finalizers": null } })).await;
    cluster.delete("web").await;
    cluster.until_gone("web").await;

    eventually("nothing is left in the cloud", || cloud.is_empty()).await;
    drop(gate);
    running.stop().await;
}

#[tokio::test]
async fn a_namesake_is_another_service() {
    let cluster = Cluster::start().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = false));
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let first = cloud.load_balancer_of(&cluster.key("web")).unwrap().owner;

    cluster.delete("web").await;
    cluster.create("web").await;

    cluster.until_published("web").await;
    eventually("the first one's is gone", || {
        let owners: Vec<_> = cloud.load_balancers().into_values().map(|it| it.owner).collect();
        owners.len() == 1 && owners[0] != first
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_provider_that_holds_nothing_needs_no_finalizer_and_is_told_of_the_deletion() {
    let cluster = Cluster::start().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = false));
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    assert!(!has_finalizer(&cluster.service("web").await));

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    eventually("the provider has let go", || cloud.is_empty()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_deletion_that_a_broken_watch_hid_is_found() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = false));
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;

    // No watch gets through until the deletion is history, and then history is forgotten.
    let watches = Matching::any().verb("watch").resource("services");
    cluster.faults().fail(watches, Failure::Unavailable, usize::MAX);
    cluster.faults().close_watches();
    cluster.delete("web").await;
    cluster.double().forget_history();
    cluster.faults().clear();

    eventually("the provider has let go", || cloud.is_empty()).await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_04_another_controllers_finalizer_survives_ours() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let gate = cloud.hold(Calls::next(Method::Delete), Point::Before);
    cluster.change("web", json!({ "spec": { "type": "ClusterIP" } })).await;
    eventually("the deletion is under way", || cloud.count(Method::Delete) > 0).await;

    // Somebody adds theirs while ours is on its way out.
    let both = json!({ "metadata": { "finalizers": [service_controller::status::FINALIZER, "example.com/theirs"] } });
    cluster.change("web", both).await;
    gate.release();

    let service = cluster.until("web", "to lose our finalizer", |s| !has_finalizer(s)).await;
    assert_eq!(service.metadata.finalizers, Some(vec!["example.com/theirs".to_owned()]));
    running.stop().await;
}

#[tokio::test]
async fn weakness_09_an_orphan_is_deleted_when_the_operator_asked_for_it() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    running.crash().await;
    // Deleted by force while nobody was there: nothing in the cluster speaks of it any more.
    cluster.change("web", json!({ "metadata": { "finalizers": null } })).await;
    cluster.delete("web").await;
    cluster.until_gone("web").await;
    assert!(!cloud.is_empty());

    let mut config = tests::cluster::quick();
    config.sweep.interval = std::time::Duration::from_millis(50);
    config.sweep.delete = true;
    let running = cluster.run_with(vec![cloud.provider()], config);

    eventually("the orphan is gone", || cloud.is_empty()).await;
    running.stop().await;
}

#[tokio::test]
async fn an_orphan_is_only_reported_by_default_and_live_services_are_never_swept() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let mut config = tests::cluster::quick();
    config.sweep.interval = std::time::Duration::from_millis(20);
    let running = cluster.run_with(vec![cloud.provider()], config.clone());
    cluster.create("orphan").await;
    cluster.until_published("orphan").await;
    running.crash().await;
    cluster.change("orphan", json!({ "metadata": { "finalizers": null } })).await;
    cluster.delete("orphan").await;
    cluster.until_gone("orphan").await;

    let running = cluster.run_with(vec![cloud.provider()], config);
    cluster.create("live").await;
    cluster.until_published("live").await;
    let swept = cloud.count(Method::List);
    eventually("it was swept a few times", || cloud.count(Method::List) > swept + 3).await;

    assert_eq!(cloud.load_balancers().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn the_release_of_a_departed_service_is_retried_even_when_every_watch_starts_over() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = false));
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    cloud.fail(Calls::of(Method::Delete), Point::Before, ErrorClass::Transient);
    cluster.delete("web").await;
    eventually("the release has failed", || cloud.count(Method::Delete) >= 1).await;

    let lists =
        |cluster: &Cluster| cluster.requests().count(|r| r.verb == "list" && r.resource == "services");
    let before = lists(&cluster);
    let watches = Matching::any().verb("watch").resource("services");
    cluster.faults().fail(watches, Failure::Unavailable, usize::MAX);
    cluster.faults().close_watches();
    cluster.create("other").await;
    cluster.double().forget_history();
    cluster.faults().clear();
    eventually("the Services are listed anew", || lists(&cluster) > before).await;
    cloud.heal();

    eventually("it is released", || cloud.load_balancer_of(&cluster.key("web")).is_none()).await;
    running.stop().await;
}
