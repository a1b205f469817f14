//! What a new process makes of what the old one left, and what it costs.

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, MemoryCloud, Method, Point, Settings};
use tests::cluster::{Cluster, eventually, has_finalizer};

#[tokio::test]
async fn a_restart_writes_nothing_and_keeps_every_address() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    let names = ["a", "b", "c"];
    for name in names {
        cluster.create(name).await;
        cluster.until_published(name).await;
    }
    running.stop().await;
    let mut before = Vec::new();
    for name in names {
        before.push(cluster.service(name).await.metadata.resource_version);
    }
    let ensured = cloud.count(Method::Ensure);

    let running = cluster.run(cloud.provider());
    eventually("every Service was looked at", || cloud.count(Method::Ensure) == ensured + 3).await;
    running.stop().await;

    let mut after = Vec::new();
    for name in names {
        after.push(cluster.service(name).await.metadata.resource_version);
    }
    assert_eq!(before, after);
    let ensured: Vec<_> =
        cluster.events("a").await.into_iter().filter(|e| e.1 == "EnsuredLoadBalancer").collect();
    assert!(ensured.len() <= 1, "a restart is no news: {ensured:?}");
}

#[tokio::test]
async fn resume_comes_before_anything_else() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cluster.create("web").await;
    cloud.fail(Calls::next(Method::Resume), Point::Before, ErrorClass::Transient);

    let running = cluster.run(cloud.provider());

    cluster.until_published("web").await;
    let methods: Vec<Method> = cloud.calls().iter().map(|call| call.method).collect();
    assert_eq!(methods[..3], [Method::Resume, Method::Resume, Method::Ensure]);
    assert_eq!(cloud.complaints(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_create_ends_in_one_load_balancer() {
    for point in [Point::Before, Point::Midway, Point::After] {
        let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
        let gate = cloud.hold(Calls::next(Method::Ensure), point);
        let running = cluster.run(cloud.provider());
        cluster.create("web").await;
        eventually("the create is under way", || cloud.count(Method::Ensure) == 1).await;
        running.crash().await;
        drop(gate);
        assert!(has_finalizer(&cluster.service("web").await), "the finalizer came first");

        let running = cluster.run(cloud.provider());
        cluster.until_published("web").await;

        assert_eq!(cloud.load_balancers().len(), 1, "after a crash at {point:?}");
        cluster.delete("web").await;
        cluster.until_gone("web").await;
        assert!(cloud.is_empty(), "after a crash at {point:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_deletion_ends_in_nothing() {
    for point in [Point::Before, Point::Midway, Point::After] {
        let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
        let running = cluster.run(cloud.provider());
        cluster.create("web").await;
        cluster.until_published("web").await;
        let gate = cloud.hold(Calls::next(Method::Delete), point);
        cluster.delete("web").await;
        eventually("the deletion is under way", || cloud.count(Method::Delete) == 1).await;
        running.crash().await;
        drop(gate);

        let running = cluster.run(cloud.provider());
        cluster.until_gone("web").await;

        assert!(cloud.is_empty(), "after a crash at {point:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn two_processes_at_once_make_one_load_balancer() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let (one, two) = (cluster.run(cloud.provider()), cluster.run(cloud.provider()));
    for name in ["a", "b", "c", "d"] {
        cluster.create(name).await;
    }
    for name in ["a", "b", "c", "d"] {
        cluster.until_published(name).await;
    }
    assert_eq!(cloud.load_balancers().len(), 4);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_stop_lets_calls_in_flight_finish() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::After);
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    eventually("the create is under way", || cloud.count(Method::Ensure) == 1).await;

    let stopping = tokio::spawn(running.stop());
    gate.release();
    stopping.await.unwrap();

    assert_eq!(tests::cluster::addresses(&cluster.service("web").await).len(), 1);
}

#[tokio::test]
async fn a_service_costs_two_writes_where_the_provider_holds_resources_and_one_where_not() {
    // What is claimed first is made for a while, which an event says as well.
    for (holds_resources, writes, told) in [(true, 2, 2), (false, 1, 1)] {
        let cluster = Cluster::start().await;
        let cloud = MemoryCloud::with(Settings::with(|it| {
            it.holds_resources = holds_resources;
            it.uses_nodes = false;
        }));
        let running = cluster.run(cloud.provider());
        cluster.requests().clear();

        cluster.create("web").await;
        cluster.until_published("web").await;
        cluster.until_event("web", "EnsuredLoadBalancer").await;
        running.stop().await;

        let log = cluster.requests().snapshot();
        let patches = log.iter().filter(|r| r.verb == "patch" && r.resource == "services").count();
        let events = log.iter().filter(|r| r.verb == "create" && r.resource == "events").count();
        assert_eq!((patches, events), (writes, told), "holds_resources: {holds_resources}");
    }
}

#[tokio::test]
async fn weakness_21_a_deletion_costs_one_write() {
    let cluster = Cluster::start().await;
    let cloud = MemoryCloud::new();
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    cluster.requests().clear();

    cluster.delete("web").await;
    cluster.until_gone("web").await;
    running.stop().await;

    let log = cluster.requests().snapshot();
    let patches = log.iter().filter(|r| r.verb == "patch" && r.resource == "services").count();
    assert_eq!(patches, 1);
}
