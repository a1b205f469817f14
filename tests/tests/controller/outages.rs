//! An API server that goes, comes back, does not answer, or says no; and a provider that cannot begin.

use std::time::Duration;

use cloud_provider::testing::{Calls, MemoryCloud, Method, Point, Settings};
use cloud_provider::{ClassRule, ErrorClass};
use serde_json::json;
use service_controller::leader::{LeaderConfig, Leadership};
use service_controller::{Config, Health, ServiceController};
use tests::apiserver::{Failure, Matching};
use tests::cluster::{Cluster, DEADLINE, condition, eventually, quick};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// One that gives up soon.
fn impatient() -> Config {
    let mut config = quick();
    config.bounds.request = Duration::from_millis(500);
    config.bounds.silence = Duration::from_secs(1);
    config
}

#[tokio::test]
async fn a_write_that_is_never_answered_is_given_up_and_made_again() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run_with(vec![cloud.provider()], impatient());
    let writes = Matching::any().verb("patch").resource("services");
    cluster.faults().delay(writes, 100 * DEADLINE);

    cluster.create("web").await;

    let given_up = "cloud_lb_retries_total{provider=\"memory\",class=\"WriteFailed\"}";
    eventually("it is given up", || running.metric(given_up) >= Some(2.0)).await;
    cluster.faults().clear();
    cluster.until_published("web").await;
    running.stop().await;
}

#[tokio::test]
async fn connections_that_die_without_a_word_are_left() {
    let (mut cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run_with(vec![cloud.provider()], impatient());
    cluster.create("before").await;
    cluster.until_published("before").await;

    cluster.faults().silence_connections();

    // The test's own connections died, too.
    cluster.client = cluster.plane.client();
    cluster.create("after").await;
    cluster.until_published("after").await;
    running.stop().await;
}

#[tokio::test]
async fn a_new_service_is_served_within_two_seconds_of_the_servers_return() {
    let (cluster, cloud) = (Cluster::start().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("before").await;
    cluster.until_published("before").await;

    if let Some(double) = cluster.plane.double() {
        double.faults().cut_network();
        // As long as a server takes that is replaced.
        sleep(Duration::from_secs(8)).await;
        double.forget_history();
        double.faults().mend_network();
    } else {
        cluster.plane.restart().await;
    }

    let back = Instant::now();
    cluster.create("after").await;
    cluster.until_published("after").await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    // Not stopped: a server that has just started refuses what it allows a moment later.
    running.crash().await;
}

#[tokio::test]
async fn a_version_that_is_too_old_is_listed_anew_at_once_also_when_it_is_said_in_place_of_a_watch() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("before").await;
    cluster.until_published("before").await;
    let requests = cluster.requests();
    let of_services = |verb: &str| requests.count(|r| r.resource == "services" && r.verb == verb);
    let lists = of_services("list");
    let watches = Matching::any().verb("watch").resource("services");
    cluster.faults().fail(watches, Failure::GoneInPlace, 1);
    let began = Instant::now();

    cluster.faults().close_watches();

    eventually("it is listed anew", || of_services("list") > lists).await;
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_provider_that_cannot_resume_has_its_services_told_and_holds_nobody_up() {
    let cluster = Cluster::start().await;
    let of_class = |name: &str, class: &str| {
        let class = ClassRule::Exactly(class.to_owned());
        MemoryCloud::with(Settings::with(|it| {
            it.name = name.to_owned();
            it.class = class;
        }))
    };
    let (broken, sound) = (of_class("broken", "a.example/broken"), of_class("sound", "a.example/sound"));
    broken.fail(Calls::of(Method::Resume), Point::Before, ErrorClass::Denied);
    let running = cluster.run_with(vec![broken.provider(), sound.provider()], quick());

    cluster.create_with("lost", json!({ "spec": { "loadBalancerClass": "a.example/broken" } })).await;
    cluster.create_with("well", json!({ "spec": { "loadBalancerClass": "a.example/sound" } })).await;

    cluster.until_published("well").await;
    let told = |s: &_| condition(s, "broken").is_some_and(|c| c.0 == "False" && c.1 == "Denied");
    cluster.until("lost", "to be told", told).await;
    let message = cluster.until_event("lost", "SyncLoadBalancerFailed").await;
    assert!(message.contains("provider broken cannot resume"), "{message}");
    assert_eq!(broken.count(Method::Ensure), 0, "it is not asked before it has resumed");

    broken.heal();
    cluster.until_published("lost").await;
    assert_eq!(broken.complaints(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn who_cannot_list_takes_no_lease_and_is_not_ready_and_says_why() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let lists = Matching::any().verb("list").resource("services");
    cluster.faults().fail(lists, Failure::Internal, usize::MAX);
    let leadership = Leadership::new(cluster.client.clone(), LeaderConfig::new(&cluster.namespace, "blind"))
        .expect("a sound configuration");
    let (health, stop) = (Health::default(), CancellationToken::new());
    let controller = ServiceController::new(cluster.client.clone()).config(quick()).health(health.clone());
    let (controller, stopped) = (controller.provider(cloud.provider()), stop.clone());
    let running = tokio::spawn(async move { controller.run_while_leading(&leadership, stopped).await });
    let requests = cluster.requests();

    eventually("it says why it is not ready", || {
        health.ready().is_err_and(|why| {
            why.starts_with("services are not listed: the list failed: ") && why.ends_with("injected")
        })
    })
    .await;
    assert_eq!(requests.count(|r| r.resource == "leases"), 0);

    cluster.faults().clear();
    eventually("it is ready", || health.ready().is_ok()).await;
    assert!(requests.count(|r| r.resource == "leases" && r.verb == "create") > 0);
    stop.cancel();
    timeout(DEADLINE, running).await.expect("it ends").expect("no panic").expect("it ends well");
}
