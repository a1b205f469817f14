//! Two installations, and one with a mistake in its class: what is recorded under a class that is not ours is not touched.

use std::sync::Arc;

use cloud_provider::testing::{Calls, MemoryCloud, Method, Point, Settings};
use cloud_provider::{ClassRule, CloudLoadBalancer, ErrorClass};
use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use tests::cluster::{Cluster, addresses, annotations, condition, eventually, has_finalizer, quick};

/// Of the same provider name as all others.
fn cloud_for(class: &str) -> MemoryCloud {
    let class = if class.is_empty() { ClassRule::Unset } else { ClassRule::Exactly(class.into()) };
    MemoryCloud::with(Settings::with(|it| it.class = class))
}

fn of_class(class: &str) -> serde_json::Value {
    json!({ "spec": { "loadBalancerClass": class } })
}

fn is_ready(service: &Service) -> bool {
    condition(service, "memory").is_some_and(|c| c.0 == "True")
}

#[tokio::test]
async fn two_installations_of_one_provider_leave_each_others_services_alone() {
    let cluster = Cluster::start().await;
    let (red, blue) = (cloud_for("example.com/red"), cloud_for("example.com/blue"));
    let running = [cluster.run(red.provider()), cluster.run(blue.provider())];
    cluster.create_with("red", of_class("example.com/red")).await;
    cluster.create_with("blue", of_class("example.com/blue")).await;
    cluster.until("red", "to be ready", is_ready).await;
    cluster.until("blue", "to be ready", is_ready).await;

    // What follows is seen by both after the above.
    for class in ["red", "blue"] {
        cluster.create_with(&format!("later-{class}"), of_class(&format!("example.com/{class}"))).await;
        cluster.until(&format!("later-{class}"), "to be ready", is_ready).await;
    }

    for (cloud, own, other) in [(&red, "red", "blue"), (&blue, "blue", "red")] {
        assert_eq!(cloud.count_about(Method::Ensure, &cluster.key(own)), 1);
        assert_eq!(cloud.count_about(Method::Delete, &cluster.key(own)), 0);
        assert_eq!(cloud.count_about(Method::Delete, &cluster.key(other)), 0);
    }
    for running in running {
        running.stop().await;
    }
}

#[tokio::test]
async fn the_class_under_which_a_service_is_served_is_recorded_on_it() {
    let (cluster, classed, default) = (Cluster::start().await, cloud_for("example.com/red"), cloud_for(""));
    let recorded = |s: &Service| annotations(s).get("memory.cloud-lb-controller/class").cloned();
    let running = cluster.run(classed.provider());
    cluster.create_with("web", of_class("example.com/red")).await;
    let service = cluster.until("web", "to be ready", is_ready).await;
    assert_eq!(recorded(&service).as_deref(), Some("example.com/red"));
    cluster.change("web", json!({ "metadata": { "annotations": null } })).await;
    cluster.until("web", "to have it back", |s| recorded(s).is_some()).await;
    running.stop().await;

    let running = cluster.run(default.provider());
    cluster.create("plain").await;
    let service = cluster.until("plain", "to be ready", is_ready).await;
    assert_eq!(recorded(&service).as_deref(), Some(""));
    cluster.change("plain", json!({ "spec": { "type": "ClusterIP" } })).await;
    let service = cluster.until("plain", "to lose its finalizer", |s| !has_finalizer(s)).await;
    assert_eq!(recorded(&service), None);
    running.stop().await;
}

#[tokio::test]
async fn a_mistake_in_the_class_takes_no_address_from_anybody() {
    for holds_resources in [true, false] {
        let cluster = Cluster::start().await;
        let cloud = MemoryCloud::with(Settings::with(|it| {
            it.class = ClassRule::Exactly("example.com/lb".into());
            it.holds_resources = holds_resources;
        }));
        let running = cluster.run(cloud.provider());
        cluster.create_with("web", of_class("example.com/lb")).await;
        let before = cluster.until("web", "to be ready", is_ready).await;
        running.stop().await;

        cloud.change(|settings| settings.class = ClassRule::Exactly("example.com/typo".into()));
        let running = cluster.run(cloud.provider());
        cluster.create_with("other", of_class("example.com/typo")).await;
        cluster.until("other", "to be ready", is_ready).await;
        running.stop().await;
        let after = cluster.service("web").await;
        assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "it was written to");
        assert_eq!(cloud.count_about(Method::Delete, &cluster.key("web")), 0);

        cloud.change(|settings| settings.class = ClassRule::Exactly("example.com/lb".into()));
        let running = cluster.run(cloud.provider());
        let ensured = || cloud.count_about(Method::Ensure, &cluster.key("web"));
        eventually("it is served on", || ensured() == 2).await;
        assert_eq!(addresses(&cluster.service("web").await), addresses(&before));
        running.stop().await;
    }
}

/// A Service that was served under our class, and that came back under another while nobody was there.
async fn that_came_back_under(class: &str, cloud: &MemoryCloud) -> Cluster {
    let cluster = Cluster::start().await;
    let running = cluster.run(cloud.provider());
    cluster.create_with("web", of_class("example.com/ours")).await;
    cluster.until("web", "to be ready", is_ready).await;
    running.crash().await;
    cluster.change("web", json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } })).await;
    cluster.change("web", json!({ "spec": { "type": "LoadBalancer", "loadBalancerClass": class } })).await;
    cluster
}

#[tokio::test]
async fn what_we_hold_for_a_service_that_came_back_under_another_class_is_released_and_its_status_is_theirs()
{
    let cloud = cloud_for("example.com/ours");
    let cluster = that_came_back_under("example.com/theirs", &cloud).await;
    let theirs = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "198.51.100.7" }] } } });
    cluster.change_status("web", theirs).await;

    let running = cluster.run(cloud.provider());

    let released = |s: &Service| !has_finalizer(s) && condition(s, "memory").is_none();
    let service = cluster.until("web", "to lose our marks", released).await;
    assert!(cloud.is_empty());
    assert_eq!(addresses(&service), ["198.51.100.7"]);
    running.stop().await;
}

#[tokio::test]
async fn a_record_of_before_without_a_class_is_ours_only_with_a_class_that_we_claim() {
    let cloud = cloud_for("example.com/ours");
    let cluster = that_came_back_under("example.com/theirs", &cloud).await;
    let without = json!({ "metadata": { "annotations": null } });
    let before = cluster.change("web", without.clone()).await;
    let running = cluster.run(cloud.provider());
    cluster.create_with("later", of_class("example.com/ours")).await;
    cluster.until("later", "to be ready", is_ready).await;
    running.crash().await;
    let after = cluster.change("web", without.clone()).await;
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "it was written to");
    assert!(cloud.load_balancer_of(&cluster.key("web")).is_some());

    // Without a class it is the default installation's.
    let default: Arc<dyn CloudLoadBalancer> = {
        cloud.change(|settings| settings.class = ClassRule::Unset);
        cloud.provider()
    };
    cluster.change("web", json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } })).await;
    let running = cluster.run_with(vec![default], quick());
    cluster.until("web", "to lose its finalizer", |s| !has_finalizer(s)).await;
    assert!(cloud.load_balancer_of(&cluster.key("web")).is_none());
    running.stop().await;
}

#[tokio::test]
async fn what_could_not_be_deleted_is_known_by_the_class_it_was_served_under_to_the_next_process() {
    let (cluster, cloud) = (Cluster::start().await, cloud_for("example.com/red"));
    let running = cluster.run(cloud.provider());
    cluster.create_with("web", of_class("example.com/red")).await;
    cluster.until("web", "to be ready", is_ready).await;
    cloud.fail(Calls::of(Method::Delete), Point::Before, ErrorClass::Transient);

    // With its type a Service loses its class.
    cluster.change("web", json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } })).await;
    let failed = |s: &Service| condition(s, "memory").is_some_and(|c| c.1 == "DeleteFailed");
    cluster.until("web", "to say that the deletion failed", failed).await;
    running.crash().await;
    cloud.heal();
    let running = cluster.run(cloud.provider());

    cluster.until("web", "to lose its finalizer", |s| !has_finalizer(s)).await;
    assert!(cloud.is_empty());
    running.stop().await;
}
