//! A user's mistake: told plainly, and nothing that serves is touched.

use cloud_provider::SourceRanges;
use cloud_provider::testing::{MemoryCloud, Method};
use serde_json::json;
use tests::cluster::{Cluster, addresses, condition, eventually};

const RANGES: &str = cloud_provider::SOURCE_RANGES_ANNOTATION;

#[tokio::test]
async fn source_ranges_that_do_not_parse_open_nothing() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());

    cluster
        .create_with("web", json!({ "metadata": { "annotations": { RANGES: "10.0.0.0/8, office" } } }))
        .await;

    let told = cluster.until_event("web", "SyncLoadBalancerFailed").await;
    for part in [RANGES, "office", "allowed: ", "10.0.0.0/8", "nothing is opened"] {
        assert!(told.contains(part), "{part:?} is missing in {told:?}");
    }
    let service = cluster
        .until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid"))
        .await;
    assert_eq!(addresses(&service), Vec::<String>::new());
    assert!(cloud.is_empty(), "nothing was made");
    running.stop().await;
}

#[tokio::test]
async fn a_mistake_in_a_service_that_serves_changes_nothing_but_the_condition() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create_with("web", json!({ "metadata": { "annotations": { RANGES: "10.0.0.0/8" } } })).await;
    let shown = cluster.until_published("web").await;
    let before = cloud.load_balancer_of(&cluster.key("web")).unwrap();

    cluster.change("web", json!({ "metadata": { "annotations": { RANGES: "everybody" } } })).await;
    let service = cluster
        .until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid"))
        .await;

    assert_eq!(addresses(&service), shown);
    assert_eq!(cloud.load_balancer_of(&cluster.key("web")), Some(before));
    let firewall = cloud.firewalls().into_values().next().expect("it is still guarded");
    assert!(matches!(firewall.lets_through, SourceRanges::Only(_)), "it was opened wider");

    // It still follows the nodes, as it was when it had no mistake.
    cluster.add_node("n2").await;
    eventually("the new node is a target", || {
        cloud.load_balancer_of(&cluster.key("web")).is_some_and(|it| it.forwarding.nodes.len() == 2)
    })
    .await;

    cluster.change("web", json!({ "metadata": { "annotations": { RANGES: "11.0.0.0/8" } } })).await;
    cluster.until("web", "to be well again", |s| condition(s, "memory").is_some_and(|c| c.0 == "True")).await;
    running.stop().await;
}

#[tokio::test]
async fn one_services_mistake_is_nobody_elses() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create_with("wrong", json!({ "metadata": { "annotations": { RANGES: "*" } } })).await;
    cluster.until("wrong", "to be refused", |s| condition(s, "memory").is_some()).await;
    cluster.create("right").await;
    cluster.until_published("right").await;
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("wrong")), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_service_with_a_mistake_can_be_deleted() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    cluster.change("web", json!({ "metadata": { "annotations": { RANGES: "*" } } })).await;
    cluster.until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid")).await;

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    assert!(cloud.is_empty());
    running.stop().await;
}
