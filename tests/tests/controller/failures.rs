//! What the controller does with each class of failure.

use std::time::Duration;

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, Fault, MemoryCloud, Method, Point, Provisioning, Settings};
use serde_json::json;
use tests::apiserver::{Failure, Matching};
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
async fn weakness_12_a_failure_is_told_once_and_the_condition_shows_it_until_it_has_passed() {
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
    assert_eq!(warnings.len(), 1, "repeats of the same failure are no news: {warnings:?}");
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
    let cloud = MemoryCloud::with(Settings::with(|it| it.provisioning = Provisioning::UntilActivated));
    cluster.add_node("n1").await;
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
async fn a_throttled_call_stops_the_provider_as_a_whole_and_no_other() {
    let (cluster, throttled) = (Cluster::start().await, MemoryCloud::new());
    let class = cloud_provider::ClassRule::Exactly("a.b/c".into());
    let other = MemoryCloud::with(Settings::with(|it| {
        it.name = "other".into();
        it.class = class;
    }));
    let an_hour = Fault::throttled_for(Duration::from_secs(3_600));
    throttled.fail(Calls::next(Method::Ensure), Point::Before, an_hour);
    let providers: Vec<std::sync::Arc<dyn cloud_provider::CloudLoadBalancer>> =
        vec![throttled.provider(), other.provider()];
    let running = cluster.run_with(providers, tests::cluster::quick());
    cluster.create("first").await;
    cluster
        .until("first", "to be throttled", |s| condition(s, "memory").is_some_and(|c| c.1 == "Throttled"))
        .await;

    cluster.create("second").await;
    cluster.create_with("elsewhere", json!({ "spec": { "loadBalancerClass": "a.b/c" } })).await;
    cluster.until_published("elsewhere").await;

    assert_eq!(throttled.count(Method::Ensure), 1, "somebody called into the pause");
    running.stop().await;
}

#[tokio::test]
async fn a_wait_without_end_that_an_api_asks_for_neither_panics_nor_stops_others() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cloud.fail(Calls::next(Method::Ensure), Point::Before, Fault::throttled_for(Duration::MAX));
    let class = cloud_provider::ClassRule::Exactly("a.b/c".into());
    let other = MemoryCloud::with(Settings::with(|it| {
        it.name = "other".into();
        it.class = class;
    }));
    let providers: Vec<std::sync::Arc<dyn cloud_provider::CloudLoadBalancer>> =
        vec![cloud.provider(), other.provider()];
    let running = cluster.run_with(providers, tests::cluster::quick());

    cluster.create("web").await;
    cluster
        .until("web", "to be throttled", |s| condition(s, "memory").is_some_and(|c| c.1 == "Throttled"))
        .await;
    cluster.create_with("elsewhere", json!({ "spec": { "loadBalancerClass": "a.b/c" } })).await;

    cluster.until_published("elsewhere").await;
    running.stop().await;
}

#[tokio::test]
async fn a_panic_inside_a_provider_is_a_failure_of_that_service_alone() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let bad = cluster.key("bad");
    cloud.fail(Calls::of(Method::Ensure).about(&bad), Point::Before, Fault::panic());
    let running = cluster.run(cloud.provider());

    cluster.create("bad").await;
    let told = cluster.until_event("bad", "SyncLoadBalancerFailed").await;
    cluster.create("good").await;
    cluster.until_published("good").await;
    cloud.heal();

    assert!(told.contains("panicked") && told.contains("as the test ordered"), "{told}");
    cluster.until_published("bad").await;
    running.stop().await;
}

#[tokio::test]
async fn a_throttled_service_is_served_after_the_pause() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cloud.fail(Calls::next(Method::Ensure), Point::Before, ErrorClass::Throttled);
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    running.stop().await;
}

#[tokio::test]
async fn a_quota_is_said_plainly_and_retried() {
    let cluster = Cluster::start().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.quota = Some(1)));
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
    let mut config = tests::cluster::quick();
    config.provider_timeout = Duration::from_millis(100);
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
    for failure in [Failure::Internal, Failure::TooManyRequests, Failure::Unavailable, Failure::Conflict] {
        let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
        let writes = Matching::any().verb("patch").resource("services").subresource("status");
        cluster.faults().fail(writes, failure, 3);
        let running = cluster.run(cloud.provider());

        cluster.create("web").await;

        cluster.until_published("web").await;
        assert_eq!(cloud.load_balancers().len(), 1, "after {failure:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_no_trouble() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let writes = Matching::any().verb("patch").resource("services").subresource("status");
    cluster.faults().lose_replies(writes, 2);
    let running = cluster.run(cloud.provider());

    cluster.create("web").await;

    cluster.until_published("web").await;
    cluster.until("web", "to be well", |s| condition(s, "memory").is_some_and(|c| c.0 == "True")).await;
    assert_eq!(cloud.load_balancers().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn watches_that_end_at_any_time_lose_nothing() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.faults().end_watches_after(Matching::any().verb("watch").resource("services"), 2, usize::MAX);
    let running = cluster.run(cloud.provider());
    let names: Vec<String> = (0..10).map(|i| format!("web-{i}")).collect();
    for name in &names {
        cluster.create(name).await;
    }
    for name in &names {
        cluster.until_published(name).await;
        cluster.delete(name).await;
    }
    for name in &names {
        cluster.until_gone(name).await;
    }
    assert!(cloud.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn weakness_16_other_changes_do_not_hurry_a_clean_up_that_waits() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let an_hour = Duration::from_secs(3_600);
    let mut config = tests::cluster::quick();
    config.retry.first = an_hour;
    config.retry.longest = an_hour;
    let running = cluster.run_with(vec![cloud.provider()], config);
    cluster.create("web").await;
    cluster.until_published("web").await;
    cloud.fail(Calls::next(Method::Delete), Point::Before, ErrorClass::Transient);
    cluster.delete("web").await;
    cluster.until_event("web", "DeleteLoadBalancerFailed").await;

    for i in 0..5 {
        cluster.change("web", json!({ "metadata": { "labels": { "touched": i.to_string() } } })).await;
    }
    cluster.create("later").await;
    cluster.until_published("later").await;

    assert_eq!(cloud.count(Method::Delete), 1, "the next attempt is an hour away");
    running.crash().await;
    cluster.change("web", json!({ "metadata": { "finalizers": null } })).await;
}

#[tokio::test]
async fn weakness_20_a_stop_does_not_wait_for_a_call_that_never_ends() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    let mut config = tests::cluster::quick();
    config.shutdown_grace = Duration::from_millis(50);
    let running = cluster.run_with(vec![cloud.provider()], config);
    cluster.create("web").await;
    cloud.started(Method::Ensure, 1).await;

    running.stop().await;

    assert_eq!(cloud.calls().last().unwrap().state, cloud_provider::testing::CallState::Dropped);
    gate.release();
}

#[tokio::test]
async fn weakness_22_a_change_during_a_call_reaches_the_provider_after_it() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let gate = cloud.hold(Calls::next(Method::Ensure), Point::Before);
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cloud.started(Method::Ensure, 1).await;
    cluster.change("web", json!({ "spec": { "ports": [{ "port": 8080 }] } })).await;
    gate.release();

    eventually("the newest port is served", || {
        let balancer = cloud.load_balancer_of(&cluster.key("web"));
        balancer.is_some_and(|it| it.forwarding.ports[0].1 == 8080)
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn weakness_23_every_provider_call_is_counted_with_its_outcome() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    cloud.fail(Calls::next(Method::Ensure), Point::Before, ErrorClass::Transient);
    let metrics = std::sync::Arc::new(service_controller::Metrics::default());
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(
        service_controller::ServiceController::new(cluster.plane.client())
            .config(tests::cluster::quick())
            .provider(cloud.provider())
            .metrics(metrics.clone())
            .run(stop.clone()),
    );
    cluster.create("web").await;
    cluster.until_published("web").await;
    cluster.delete("web").await;
    cluster.until_gone("web").await;
    stop.cancel();
    running.await.unwrap().unwrap();

    let shown = metrics.encode();
    for (operation, outcome) in
        [("ensure", "ProviderFailed"), ("ensure", "Done"), ("delete", "Done"), ("resume", "Done")]
    {
        let line = format!(
            "cloud_lb_provider_calls_total{{provider=\"memory\",operation=\"{operation}\",outcome=\"{outcome}\"}} 1"
        );
        assert!(shown.contains(&line), "{line} is missing in\n{shown}");
    }
}
