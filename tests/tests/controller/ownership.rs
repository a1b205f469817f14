//! Which Services are ours, and what happens when that changes.

use cloud_provider::ClassRule;
use cloud_provider::testing::{MemoryCloud, Method, Settings};
use serde_json::json;
use tests::cluster::{Cluster, condition, eventually, has_finalizer, quick};

fn cloud(name: &str, class: ClassRule) -> MemoryCloud {
    MemoryCloud::with(Settings::with(|it| {
        it.name = name.into();
        it.class = class;
    }))
}

#[tokio::test]
async fn several_providers_each_serve_their_class() {
    let cluster = Cluster::start().await;
    let (default, special) =
        (cloud("one", ClassRule::Unset), cloud("two", ClassRule::Exactly("a.b/c".into())));
    let running = cluster.run_with(vec![default.provider(), special.provider()], quick());

    cluster.create("plain").await;
    cluster.create_with("classed", json!({ "spec": { "loadBalancerClass": "a.b/c" } })).await;
    cluster.until_published("plain").await;
    cluster.until_published("classed").await;

    assert!(default.load_balancer_of(&cluster.key("plain")).is_some());
    assert!(special.load_balancer_of(&cluster.key("classed")).is_some());
    assert_eq!((default.load_balancers().len(), special.load_balancers().len()), (1, 1));
    running.stop().await;
}

#[tokio::test]
async fn a_service_nobody_claims_is_left_alone() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    let class = json!({ "spec": { "loadBalancerClass": "somebody.else/lb" } });
    let before = cluster.create_with("theirs", class).await;

    cluster.create("ours").await;
    cluster.until_published("ours").await;

    let after = cluster.service("theirs").await;
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "it was written to");
    running.stop().await;
}

#[tokio::test]
async fn weakness_05_a_foreign_classs_finalizer_of_the_same_name_is_left_alone() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    let theirs = json!({
        "metadata": { "finalizers": [service_controller::status::FINALIZER] },
        "spec": { "loadBalancerClass": "somebody.else/lb" },
    });
    cluster.create_with("theirs", theirs).await;
    cluster.delete("theirs").await;

    cluster.create("ours").await;
    cluster.until_published("ours").await;

    assert!(has_finalizer(&cluster.service("theirs").await), "their finalizer is theirs to remove");
    assert_eq!(cloud.count_about(Method::Delete, &cluster.key("theirs")), 0);
    cluster.change("theirs", json!({ "metadata": { "finalizers": null } })).await;
    running.stop().await;
}

#[tokio::test]
async fn a_service_of_a_controller_before_us_is_cleaned_up_if_it_would_be_ours() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let finalizer = json!({ "metadata": { "finalizers": [service_controller::status::FINALIZER] } });
    cluster.create_with("old", finalizer).await;
    cluster.delete("old").await;

    let running = cluster.run(cloud.provider());

    cluster.until_gone("old").await;
    assert_eq!(cloud.count_about(Method::Delete, &cluster.key("old")), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_changes_hands_is_given_up_by_one_and_served_by_the_other() {
    let cluster = Cluster::start().await;
    let (old, new) = (cloud("old", ClassRule::Unset), cloud("new", ClassRule::Exactly("a.b/c".into())));
    let running = cluster.run_with(vec![old.provider(), new.provider()], quick());
    cluster.create("web").await;
    cluster.until_published("web").await;

    cluster.change("web", json!({ "spec": { "type": "ClusterIP" } })).await;
    let back = json!({ "spec": { "type": "LoadBalancer", "loadBalancerClass": "a.b/c" } });
    cluster.change("web", back).await;

    cluster
        .until("web", "to be served by the new one", |s| {
            condition(s, "new").is_some_and(|c| c.0 == "True") && condition(s, "old").is_none()
        })
        .await;
    assert!(old.is_empty());
    assert!(has_finalizer(&cluster.service("web").await));
    running.stop().await;
}

#[tokio::test]
async fn an_empty_class_is_a_class() {
    let rule = ClassRule::Unset;
    assert!(!rule.matches(Some("")));
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    eventually("only ours is served", || cloud.load_balancers().len() == 1).await;
    running.stop().await;
}
