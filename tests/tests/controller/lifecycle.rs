//! What triggers what, from a Service's birth to its changes.

use cloud_provider::ErrorClass;
use cloud_provider::testing::{AddressKind, Calls, MemoryCloud, Method, Point, Settings};
use serde_json::json;
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, addresses, condition, eventually, has_finalizer};

#[tokio::test]
async fn a_service_of_type_load_balancer_gets_an_address() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;

    let shown = cluster.until_published("web").await;
    let balancer = cloud.load_balancer_of(&cluster.key("web")).expect("it exists in the cloud");
    assert_eq!(shown, [balancer.published.to_string()]);
    let service = cluster.service("web").await;
    let (status, reason, message) =
        condition(&service, "memory").expect("a condition tells how things stand");
    assert_eq!((status.as_str(), reason.as_str(), message.as_str()), ("True", "Ensured", shown[0].as_str()));
    assert!(has_finalizer(&service), "what exists in the cloud keeps the Service");
    running.stop().await;
}

#[tokio::test]
async fn while_a_load_balancer_is_being_made_an_event_says_so_once() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cloud.fail(Calls::next(Method::Ensure), Point::Before, ErrorClass::Transient);
    let slow = cloud.hold(Calls::of(Method::Ensure), Point::Midway);

    cluster.create("web").await;

    assert_eq!(cluster.until_event("web", "EnsuringLoadBalancer").await, "Ensuring load balancer");
    assert!(addresses(&cluster.service("web").await).is_empty(), "it is told at once");
    slow.release();
    cluster.until_event("web", "EnsuredLoadBalancer").await;
    let told = cluster.events("web").await.into_iter().filter(|event| event.1 == "EnsuringLoadBalancer");
    assert_eq!(told.map(|event| event.3).sum::<i32>(), 1, "another try is nothing new");
    running.stop().await;
}

/// In the order of their answers: the writes of a Service's status that the API server took, and the events about it.
fn writes_and_events(cluster: &Cluster) -> Vec<&'static str> {
    let kind = |r: tests::apiserver::Request| match (r.resource.as_str(), r.subresource.as_str(), r.code) {
        ("services", "status", 200) => Some("status"),
        ("events", _, 201) => Some("event"),
        _ => None,
    };
    cluster.requests().snapshot().into_iter().filter_map(kind).collect()
}

#[tokio::test]
async fn no_event_is_posted_before_the_status_says_what_it_tells_of() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = false));
    cloud.fail(Calls::of(Method::Ensure), Point::Before, ErrorClass::Invalid);
    let status = Matching::any().verb("patch").resource("services").subresource("status");
    cluster.faults().fail(status, Failure::Internal, 3);
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;

    cluster.until_event("web", "SyncLoadBalancerFailed").await;
    assert_eq!(writes_and_events(&cluster), ["status", "event"]);
    running.stop().await;
}

#[tokio::test]
async fn a_success_is_told_also_when_the_status_could_not_be_written_at_once() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = false));
    let status = Matching::any().verb("patch").resource("services").subresource("status");
    cluster.faults().fail(status, Failure::Internal, 3);
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;

    cluster.until_event("web", "EnsuredLoadBalancer").await;
    assert_eq!(writes_and_events(&cluster), ["status", "event"]);
    running.stop().await;
}

#[tokio::test]
async fn a_host_name_is_published_as_a_host_name() {
    let cluster = Cluster::start().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.address = AddressKind::Hostname));
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;
    cluster.until_published("web").await;

    let service = cluster.service("web").await;
    let entry = &service.status.unwrap().load_balancer.unwrap().ingress.unwrap()[0];
    assert!(entry.hostname.is_some() && entry.ip.is_none() && entry.ip_mode.is_none());
    running.stop().await;
}

#[tokio::test]
async fn every_protocol_is_passed_on() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    for protocol in ["TCP", "UDP", "SCTP"] {
        let name = protocol.to_lowercase();
        cluster
            .create_with(&name, json!({ "spec": { "ports": [{ "port": 80, "protocol": protocol }] } }))
            .await;
        cluster.until_published(&name).await;
    }
    assert_eq!(cloud.load_balancers().len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_service_of_another_type_is_left_alone() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());

    cluster.create_with("inside", json!({ "spec": { "type": "ClusterIP" } })).await;
    cluster.create("web").await;
    cluster.until_published("web").await;

    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("inside")), 0);
    assert!(!has_finalizer(&cluster.service("inside").await));
    running.stop().await;
}

#[tokio::test]
async fn what_the_provider_reads_triggers_an_ensure() {
    let changes = [
        ("ports", json!({ "spec": { "ports": [{ "port": 81 }] } })),
        ("port-protocol", json!({ "spec": { "ports": [{ "port": 80, "protocol": "UDP" }] } })),
        ("target-port", json!({ "spec": { "ports": [{ "port": 80, "targetPort": 8080 }] } })),
        ("target-port-name", json!({ "spec": { "ports": [{ "port": 80, "targetPort": "http" }] } })),
        ("app-protocol", json!({ "spec": { "ports": [{ "port": 80, "appProtocol": "https" }] } })),
        ("source-ranges", json!({ "spec": { "loadBalancerSourceRanges": ["10.0.0.0/8"] } })),
        ("affinity", json!({ "spec": { "sessionAffinity": "ClientIP" } })),
        ("load-balancer-ip", json!({ "spec": { "loadBalancerIP": "192.0.2.9" } })),
        ("traffic-policy", json!({ "spec": { "externalTrafficPolicy": "Local" } })),
        ("annotation", json!({ "metadata": { "annotations": { "example.com/size": "large" } } })),
        ("selector", json!({ "spec": { "selector": { "app": "other" } } })),
    ];
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    for (name, change) in changes {
        cluster.create(name).await;
        cluster.until_published(name).await;
        let key = cluster.key(name);
        let before = cloud.count_about(Method::Ensure, &key);
        cluster.change(name, change).await;
        eventually(&format!("{name} is ensured again"), || cloud.count_about(Method::Ensure, &key) > before)
            .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn weakness_10_bookkeeping_and_unread_annotations_trigger_nothing() {
    let cluster = Cluster::start().await;
    let reads = Some(["example.com/size".to_owned()].into());
    let cloud = MemoryCloud::with(Settings::with(|it| it.reads_annotations = reads));
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let before = cloud.count_about(Method::Ensure, &cluster.key("web"));

    let noise = json!({ "metadata": { "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "example.com/unread": "x",
    } } });
    cluster.change("web", noise).await;
    // What follows is seen by the same watch, later: when its effect is there, the noise was looked at too.
    cluster.change("web", json!({ "metadata": { "annotations": { "example.com/size": "large" } } })).await;
    eventually("the size is ensured", || cloud.count_about(Method::Ensure, &cluster.key("web")) > before)
        .await;

    cluster.create("later").await;
    cluster.until_published("later").await;
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("web")), before + 1);
    running.stop().await;
}

#[tokio::test]
async fn weakness_11_the_family_policy_is_an_input() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let before = cloud.count_about(Method::Ensure, &cluster.key("web"));
    cluster.change("web", json!({ "spec": { "ipFamilyPolicy": "PreferDualStack" } })).await;
    eventually("it is ensured again", || cloud.count_about(Method::Ensure, &cluster.key("web")) > before)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_07_an_address_somebody_wiped_comes_back() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    let shown = cluster.until_published("web").await;

    cluster.change_status("web", json!({ "status": { "loadBalancer": { "ingress": null } } })).await;

    assert_eq!(cluster.until_published("web").await, shown);
    running.stop().await;
}

#[tokio::test]
async fn weakness_07_a_condition_somebody_wiped_comes_back() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;

    cluster.change_status("web", json!({ "status": { "conditions": null } })).await;

    cluster.until("web", "to have its condition back", |s| condition(s, "memory").is_some()).await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_08_drift_in_the_cloud_is_repaired_without_an_event() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let resync_interval = std::time::Duration::from_millis(200);
    let mut config = tests::cluster::quick();
    config.resync_interval = resync_interval;
    let running = cluster.run_with(vec![cloud.provider()], config);
    cluster.create("web").await;
    cluster.until_published("web").await;

    cloud.vandalise(&cluster.key("web"));

    eventually("it exists again", || cloud.load_balancer_of(&cluster.key("web")).is_some()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_wake_up_makes_the_controller_look_again() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    let before = cloud.count_about(Method::Ensure, &cluster.key("web"));
    cloud.wake(&cluster.key("web"));
    eventually("it is ensured again", || cloud.count_about(Method::Ensure, &cluster.key("web")) > before)
        .await;
    assert_eq!(addresses(&cluster.service("web").await).len(), 1);
    running.stop().await;
}
