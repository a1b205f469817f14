//! A user's mistake: told plainly, and nothing that serves is touched.

use cloud_provider::SourceRanges;
use cloud_provider::testing::{MemoryCloud, Method};
use serde_json::json;
use tests::cluster::{Cluster, addresses, condition, eventually};

const RANGES: &str = cloud_provider::SOURCE_RANGES_ANNOTATION;

/// Puts source ranges on a Service that today's servers refuse and older ones stored.
fn store_ranges(cluster: &Cluster, name: &str, ranges: &str) {
    cluster.double().store_unchecked(&cluster.namespace, name, |service| {
        service["metadata"]["annotations"][RANGES] = ranges.into();
    });
}

#[tokio::test]
async fn todays_servers_refuse_such_ranges_at_the_door() {
    let cluster = Cluster::start().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "annotations": { RANGES: "office" } },
        "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] },
    });
    let service = serde_json::from_value(service).unwrap();
    match cluster.services().create(&Default::default(), &service).await {
        Err(kube::Error::Api(refusal)) => assert!(refusal.message.contains(RANGES), "{}", refusal.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn source_ranges_that_do_not_parse_open_nothing() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.create("web").await;
    store_ranges(&cluster, "web", "10.0.0.0/8, office");

    let running = cluster.run(cloud.provider());

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
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create_with("web", json!({ "metadata": { "annotations": { RANGES: "10.0.0.0/8" } } })).await;
    let shown = cluster.until_published("web").await;
    let before = cloud.load_balancer_of(&cluster.key("web")).unwrap();

    store_ranges(&cluster, "web", "everybody");
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
async fn a_mistake_that_is_taken_back_is_forgotten() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    store_ranges(&cluster, "web", "*");
    cluster.until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid")).await;

    cluster.change("web", json!({ "metadata": { "annotations": { RANGES: null } } })).await;

    cluster.until("web", "to be well again", |s| condition(s, "memory").is_some_and(|c| c.0 == "True")).await;
    running.stop().await;
}

#[tokio::test]
async fn one_services_mistake_is_nobody_elses() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.create("wrong").await;
    store_ranges(&cluster, "wrong", "*");
    let running = cluster.run(cloud.provider());
    cluster.until("wrong", "to be refused", |s| condition(s, "memory").is_some()).await;
    cluster.create("right").await;
    cluster.until_published("right").await;
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("wrong")), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_service_with_a_mistake_can_be_deleted() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    store_ranges(&cluster, "web", "*");
    cluster.until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid")).await;

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    assert!(cloud.is_empty());
    running.stop().await;
}
