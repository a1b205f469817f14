//! What the controller does with each class of failure.

use std::time::Duration;

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, Fault, MemoryCloud, Method, Point, Provisioning, Settings};
use serde_json::json;
use tests::cluster::{Cluster, addresses, condition, eventually};

#[tokio::test]
async fn a_passing_failure_is_retried_until_it_works() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    for n in 1..=3 {
        cloud.fail(Calls::of(Method::Ensure).nth(n), Point::Before, ErrorClass::Transient);
    }
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;

    cluster.until_published("web").await;
    assert_eq!(cloud.count(Method::Ensure), 4);
    running.stop().await;
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_load_balancer() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cloud.fail(Calls::next(Method::Ensure), Point::After, ErrorClass::Transient);
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;

    cluster.until_published("web").await;
    assert_eq!(cloud.load_balancers().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_failure_is_told_once_and_the_condition_shows_it_until_it_has_passed() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cloud.fail(Calls::of(Method::Ensure), Point::Before, ErrorClass::Transient);
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;
    let told = cluster.until_event("web", "SyncLoadBalancerFailed").await;
    assert_eq!(told, "Error syncing load balancer: as the test ordered");
    let failed = |s: &_| condition(s, "memory").is_some_and(|c| c.0 == "False" && c.1 == "ProviderFailed");
    cluster.until("web", "to say what failed", failed).await;
    eventually("it was retried", || cloud.count(Method::Ensure) >= 4).await;
    cloud.heal();

    cluster
        .until("web", "to say that it is well", |s| condition(s, "memory").is_some_and(|c| c.0 == "True"))
        .await;
    cluster.until_event("web", "EnsuredLoadBalancer").await;
    let warnings: Vec<_> =
        cluster.events("web").await.into_iter().filter(|e| e.1 == "SyncLoadBalancerFailed").collect();
    assert_eq!(warnings.len(), 1, "weakness_12: repeats of the same failure are no news: {warnings:?}");
    assert_eq!(warnings[0].3, 1);
    running.stop().await;
}

#[tokio::test]
async fn what_the_user_must_mend_is_not_retried_until_it_changes() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let key = cluster.key("web");
    cloud.fail(Calls::of(Method::Ensure).about(&key), Point::Before, ErrorClass::Invalid);
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid")).await;

    // Time passes in the form of other Services that fail and are retried.
    cloud.fail(Calls::of(Method::Ensure).about(&cluster.key("other")), Point::Before, ErrorClass::Transient);
    cluster.create("other").await;
    eventually("others are retried", || cloud.count_about(Method::Ensure, &cluster.key("other")) >= 5).await;
    assert_eq!(cloud.count_about(Method::Ensure, &key), 1);

    cloud.heal();
    cluster.change("web", json!({ "metadata": { "annotations": { "example.com/mended": "yes" } } })).await;
    cluster.until_published("web").await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_15_waiting_is_no_failure() {
    let cluster = Cluster::start().await;
    let cloud =
        MemoryCloud::with(Settings { provisioning: Provisioning::UntilActivated, ..Settings::default() });
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;
    let waiting = |s: &_| condition(s, "memory").is_some_and(|c| c.0 == "False" && c.1 == "Provisioning");
    cluster.until("web", "to wait", waiting).await;
    assert_eq!(addresses(&cluster.service("web").await), Vec::<String>::new());
    cloud.activate_all();

    cluster.until_published("web").await;
    cluster.until_event("web", "EnsuredLoadBalancer").await;
    assert!(cluster.events("web").await.iter().all(|event| event.0 == "Normal"));
    running.stop().await;
}

#[tokio::test]
async fn a_throttled_call_slows_the_provider_down_as_a_whole() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let pause = Duration::from_millis(400);
    cloud.fail(Calls::next(Method::Ensure), Point::Before, Fault::throttled_for(pause));
    let running = cluster.run(cloud.provider());
    cluster.create("first").await;
    cluster
        .until("first", "to be throttled", |s| condition(s, "memory").is_some_and(|c| c.1 == "Throttled"))
        .await;
    let throttled = cloud.calls().into_iter().find(|c| c.method == Method::Ensure).unwrap();

    cluster.create("second").await;
    cluster.until_published("second").await;
    cluster.until_published("first").await;

    let calls: Vec<_> = cloud.calls().into_iter().filter(|c| c.method == Method::Ensure).collect();
    assert_eq!(calls.len(), 3, "nobody called into the pause");
    for call in &calls[1..] {
        assert!(call.started - throttled.started >= pause, "a call came during the pause");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_quota_is_said_plainly_and_retried() {
    let cluster = Cluster::start().await;
    let cloud = MemoryCloud::with(Settings { quota: Some(1), ..Settings::default() });
    let running = cluster.run(cloud.provider());
    cluster.create("first").await;
    cluster.until_published("first").await;

    cluster.create("second").await;
    cluster
        .until("second", "to hit the quota", |s| {
            condition(s, "memory").is_some_and(|c| c.1 == "QuotaReached")
        })
        .await;
    cloud.change(|settings| settings.quota = None);

    cluster.until_published("second").await;
    running.stop().await;
}

#[tokio::test]
async fn implemented_elsewhere_is_success_without_an_address() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let key = cluster.key("web");
    cloud.change(|settings| {
        settings.implemented_elsewhere.insert(key.clone());
    });
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    eventually("the provider was asked", || cloud.count_about(Method::Ensure, &key) == 1).await;

    cluster.create("other").await;
    cluster.until_published("other").await;

    assert_eq!(cloud.count_about(Method::Ensure, &key), 1, "success is not retried");
    assert_eq!(addresses(&cluster.service("web").await), Vec::<String>::new());
    cluster.delete("web").await;
    cluster.until_gone("web").await;
    running.stop().await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_given_up_at_the_deadline_and_asked_again() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    let config = controller::Config { deadline: Duration::from_millis(100), ..tests::cluster::quick() };
    let running = cluster.run_with(vec![cloud.provider()], config);

    cluster.create("web").await;

    cluster.until_published("web").await;
    assert!(cloud.count(Method::Ensure) >= 2);
    gate.release();
    running.stop().await;
}

#[tokio::test]
async fn weakness_14_one_slow_service_delays_nobody() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let gate = cloud.hold(Calls::of(Method::Ensure).about(&cluster.key("slow")), Point::Before);
    let running = cluster.run(cloud.provider());
    cluster.create("slow").await;
    eventually("the slow one is under way", || cloud.count_about(Method::Ensure, &cluster.key("slow")) == 1)
        .await;

    for name in ["a", "b", "c"] {
        cluster.create(name).await;
        cluster.until_published(name).await;
    }

    gate.release();
    cluster.until_published("slow").await;
    running.stop().await;
}

#[tokio::test]
async fn a_status_that_cannot_be_written_is_written_later() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let Some(double) = cluster.plane.double() else { return };
    double.faults().refuse_next(3, 500, tests::cluster::writes_of_status);
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;

    cluster.until_published("web").await;
    assert_eq!(cloud.load_balancers().len(), 1);
    running.stop().await;
}
