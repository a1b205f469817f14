//! Which node changes reach a load balancer, and how often.

use std::collections::BTreeSet;

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, MemoryCloud, Method, NODE_LABELS, Point, Settings};
use serde_json::json;
use tests::cluster::{Cluster, Running, eventually};

async fn served_with_nodes(names: &[&str]) -> (Cluster, MemoryCloud, Running) {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    for name in names {
        cluster.add_node(name).await;
    }
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    (cluster, cloud, running)
}

fn nodes_of(cloud: &MemoryCloud, cluster: &Cluster, service: &str) -> BTreeSet<String> {
    let balancer = cloud.load_balancer_of(&cluster.key(service)).expect("it exists");
    balancer.forwarding.nodes.iter().cloned().collect()
}

async fn until_nodes(cloud: &MemoryCloud, cluster: &Cluster, expected: &[&str]) {
    until_nodes_of("web", cloud, cluster, expected).await;
}

async fn until_nodes_of(service: &str, cloud: &MemoryCloud, cluster: &Cluster, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    let what = format!("the nodes of {service} are {expected:?}");
    eventually(&what, || nodes_of(cloud, cluster, service) == expected).await;
}

#[tokio::test]
async fn a_node_that_joins_or_leaves_changes_the_targets() {
    let (cluster, cloud, running) = served_with_nodes(&["n1"]).await;
    cluster.add_node("n2").await;
    until_nodes(&cloud, &cluster, &["n1", "n2"]).await;
    cluster.nodes().delete("n1", &Default::default()).await.unwrap();
    until_nodes(&cloud, &cluster, &["n2"]).await;
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("web")), 1, "node changes are the narrow call");
    cluster.until_event("web", "UpdatedLoadBalancer").await;
    running.stop().await;
}

#[tokio::test]
async fn the_exclude_label_takes_a_node_out_and_lets_it_back() {
    let (cluster, cloud, running) = served_with_nodes(&["n1", "n2"]).await;
    let label =
        |value| json!({ "metadata": { "labels": { cloud_provider::NodeView::EXCLUDE_LABEL: value } } });
    for (value, stays) in [(Some("true"), false), (Some("false"), true), (Some(""), false), (None, true)] {
        cluster.change_node("n2", label(value)).await;
        until_nodes(&cloud, &cluster, if stays { &["n1", "n2"] } else { &["n1"] }).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn weakness_18_a_node_the_autoscaler_removes_leaves_at_once() {
    let (cluster, cloud, running) = served_with_nodes(&["n1", "n2"]).await;
    let taint = json!({ "key": cloud_provider::NodeView::DELETION_TAINT, "effect": "NoSchedule" });
    cluster.change_node("n2", json!({ "spec": { "taints": [taint] } })).await;
    until_nodes(&cloud, &cluster, &["n1"]).await;
    running.stop().await;
}

#[tokio::test]
async fn readiness_cordoning_other_taints_and_other_labels_change_nothing() {
    let (cluster, cloud, running) = served_with_nodes(&["n1", "n2"]).await;
    let before = cloud.count(Method::UpdateBackends);
    cluster.change_node("n2", json!({ "spec": { "unschedulable": true } })).await;
    cluster
        .change_node("n2", json!({ "spec": { "taints": [{ "key": "other", "effect": "NoSchedule" }] } }))
        .await;
    cluster.change_node("n2", json!({ "metadata": { "labels": { "other": "x" } } })).await;
    let not_ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    let patch = kube::api::Patch::Merge(not_ready);
    cluster.nodes().patch_status("n2", &Default::default(), &patch).await.unwrap();

    // A change that counts, seen by the same watch later: what came before it was looked at too.
    cluster.add_node("n3").await;
    until_nodes(&cloud, &cluster, &["n1", "n2", "n3"]).await;
    assert_eq!(cloud.count(Method::UpdateBackends), before + 1);
    running.stop().await;
}

#[tokio::test]
async fn a_provider_id_that_appears_is_a_change() {
    let (cluster, cloud, running) = served_with_nodes(&["n1"]).await;
    cluster.add_node_with("n2", json!({ "spec": { "providerID": null } })).await;
    until_nodes(&cloud, &cluster, &["n1", "n2"]).await;
    let before = cloud.count(Method::UpdateBackends);
    cluster.change_node("n2", json!({ "spec": { "providerID": "test:///n2" } })).await;
    eventually("the change is passed on", || cloud.count(Method::UpdateBackends) == before + 1).await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_17_a_burst_of_node_changes_is_one_update_for_each_service() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cluster.add_node("n0").await;
    let mut config = tests::cluster::quick();
    config.debounce.quiet_period = std::time::Duration::from_millis(500);
    config.debounce.max_delay = std::time::Duration::from_secs(10);
    let running = cluster.run_with(vec![cloud.provider()], config);
    let services = ["web", "db", "mail"];
    for name in services {
        cluster.create(name).await;
        cluster.until_published(name).await;
    }

    let joined: Vec<String> = (1..=20).map(|i| format!("n{i}")).collect();
    for name in &joined {
        cluster.add_node(name).await;
    }

    let mut all: Vec<&str> = joined.iter().map(String::as_str).collect();
    all.push("n0");
    for name in services {
        until_nodes_of(name, &cloud, &cluster, &all).await;
    }
    // A node that joins after the burst has settled is one more update for each. Whatever the burst had left to do was
    // done before, and would be counted.
    cluster.add_node("late").await;
    all.push("late");
    for name in services {
        until_nodes_of(name, &cloud, &cluster, &all).await;
        assert_eq!(cloud.count_about(Method::UpdateBackends, &cluster.key(name)), 2, "of {name}");
    }
    running.stop().await;
}

#[tokio::test]
async fn weakness_03_a_failed_node_update_is_retried_as_the_same_narrow_call() {
    let (cluster, cloud, running) = served_with_nodes(&["n1"]).await;
    cloud.fail(Calls::next(Method::UpdateBackends), Point::Before, ErrorClass::Transient);
    cluster.add_node("n2").await;
    until_nodes(&cloud, &cluster, &["n1", "n2"]).await;
    assert_eq!(cloud.count(Method::UpdateBackends), 2);
    assert_eq!(cloud.count(Method::Ensure), 1);
    let told = cluster.until_event("web", "UpdateLoadBalancerFailed").await;
    assert_eq!(told, "Error updating load balancer with new hosts: as the test ordered");
    cluster
        .until("web", "to be well again", |s| {
            tests::cluster::condition(s, "memory").is_some_and(|c| c.0 == "True")
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_02_a_node_update_never_runs_beside_an_ensure_of_the_same_service() {
    let (cluster, cloud, running) = served_with_nodes(&["n1"]).await;
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    cluster.change("web", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
    eventually("the ensure is under way", || cloud.count(Method::Ensure) == 2).await;
    cluster.add_node("n2").await;
    // Another Service's update shows that the nodes have settled while the ensure still runs.
    cluster.create("other").await;
    cluster.until_published("other").await;
    gate.release();
    until_nodes(&cloud, &cluster, &["n1", "n2"]).await;
    assert_eq!(cloud.complaints(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn a_node_that_gains_or_loses_the_labels_a_service_asks_for_joins_or_leaves() {
    let (cluster, cloud, running) = served_with_nodes(&["n1", "n2"]).await;
    cluster.create_with("plain", json!({})).await;
    cluster.until_published("plain").await;
    let label = |value| json!({ "metadata": { "labels": { "gpu": value } } });

    // Before anybody asks for it, and so without a call.
    cluster.change_node("n1", label(Some("yes"))).await;
    cluster.change("web", json!({ "metadata": { "annotations": { NODE_LABELS: "gpu=yes" } } })).await;
    until_nodes(&cloud, &cluster, &["n1"]).await;

    for (value, joined) in [(Some("yes"), true), (Some("no"), false), (Some("yes"), true), (None, false)] {
        cluster.change_node("n2", label(value)).await;
        until_nodes(&cloud, &cluster, if joined { &["n1", "n2"] } else { &["n1"] }).await;
    }
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("web")), 2, "node changes are the narrow call");
    assert_eq!(cloud.count_about(Method::UpdateBackends, &cluster.key("plain")), 0, "nobody else is told");
    running.stop().await;
}

#[tokio::test]
async fn a_cluster_without_nodes_is_told_and_served_all_the_same() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let told = cluster.until_event("web", "UnAvailableLoadBalancer").await;
    assert_eq!(told, "There are no available nodes for LoadBalancer");
    running.stop().await;
}

#[tokio::test]
async fn a_provider_that_reads_no_nodes_hears_of_none() {
    let cluster = Cluster::start().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.uses_nodes = false));
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    cluster.add_node("n1").await;
    cluster.create("later").await;
    cluster.until_published("later").await;
    assert_eq!(cloud.count(Method::UpdateBackends), 0);
    running.stop().await;
}
