//! More targets than AWS allows, and targets that it does not take.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, NodeSet, Outcome, ServiceView};
use provider_aws::client::fake::{Fault, Lag, Lags, Quotas};
use provider_aws::client::{Call, Elbv2, InstanceState};

use crate::fixture::{Cluster, PREFIX, a_cluster, a_cluster_with, nodes_of, web};

/// Registered targets by the port of the listener that sends them traffic.
async fn targets_by_port(cluster: &Cluster) -> BTreeMap<u16, usize> {
    let lb = cluster.load_balancer().await;
    let mut found = BTreeMap::new();
    for listener in cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items {
        let group = &listener.forward.target_groups[0].arn;
        let health = cluster.aws.describe_target_health(group, &[]).await.unwrap();
        found.insert(listener.port, health.iter().filter(|t| !t.state.is_leaving()).count());
    }
    found
}

fn across_zones(ports: &[u16]) -> ServiceView {
    web("web")
        .ports(ports.iter().copied())
        .annotation(&format!("{PREFIX}attributes"), "load_balancing.cross_zone.enabled=true")
        .build()
}

async fn ensured(cluster: &Cluster, service: &ServiceView, nodes: &NodeSet) -> Outcome {
    cluster.ensure_on(service, nodes).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_port_has_a_listener_and_its_share_of_the_targets() {
    let cluster = a_cluster(350).await;
    let mut service = across_zones(&[80, 443]);
    cluster.ready(&mut service).await;
    assert_eq!(targets_by_port(&cluster).await, BTreeMap::from([(80, 250), (443, 250)]));
    let plan = cluster.provider.plan(&cluster.request(&service)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn a_new_service_on_more_nodes_than_fit_has_a_load_balancer_and_is_told() {
    let cluster = a_cluster(1700).await;
    let outcome = ensured(&cluster, &web("web").build(), &cluster.nodes()).await;
    let notes = match outcome {
        Outcome::Ready(ready) => ready.notes,
        Outcome::Pending(pending) => pending.notes,
    };
    let note = notes.iter().find(|note| note.reason == "TooManyTargets").expect("a warning");
    assert!(note.message.contains("1000 of 1700 nodes"), "{}", note.message);
    assert_eq!(targets_by_port(&cluster).await, BTreeMap::from([(80, 1000)]));
}

#[tokio::test(start_paused = true)]
async fn an_operator_says_how_many_targets_a_service_may_have() {
    let cluster = a_cluster_with(40, |config| config.targets_per_service = 20).await;
    let mut service = web("web").ports([80, 443]).build();
    cluster.ready(&mut service).await;
    assert_eq!(targets_by_port(&cluster).await, BTreeMap::from([(80, 10), (443, 10)]));
}

#[tokio::test(start_paused = true)]
async fn at_the_quota_old_targets_go_before_new_ones_come() {
    let cluster = a_cluster(1000).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let more = cluster.aws.seed_nodes(&cluster.vpc, 700);
    let replaced: Vec<&String> = cluster.instances[700..].iter().chain(&more).collect();
    let nodes = nodes_of(replaced.iter().copied());
    let replaced = request(&service, &nodes);
    let (result, requests) = cluster.requests(cluster.provider.update_backends(&replaced)).await;
    result.unwrap();
    let count = |call| requests.iter().filter(|made| **made == call).count();
    assert!(count(Call::RegisterTargets) <= 4, "{requests:?}");
    assert!(count(Call::DeregisterTargets) <= 4, "{requests:?}");
    let there = cluster.targets().await;
    assert_eq!(there.len(), 1000);
    assert!(more.iter().all(|id| there.iter().any(|target| target.id == *id)), "all new ones are in");
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_whole_service_makes_room_at_the_quota_as_well() {
    let mut cluster = a_cluster(1000).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let more = cluster.aws.seed_nodes(&cluster.vpc, 700);
    let replaced: Vec<&String> = cluster.instances[700..].iter().chain(&more).collect();
    let nodes = nodes_of(replaced.iter().copied());
    // The next process, which knows of no target.
    cluster.restart(&[]).await;
    let (outcome, requests) = cluster.requests(cluster.ensure_on(&service, &nodes)).await;
    assert!(matches!(outcome, Ok(Outcome::Ready(_))), "{outcome:?}");
    let writes = requests.iter().filter(|call| call.is_write()).count();
    assert!(writes <= 4 + 4 + 2, "in, out, and two notes: {requests:?}");
    let there = cluster.targets().await;
    assert_eq!(there.len(), 1000);
    assert!(more.iter().all(|id| there.iter().any(|target| target.id == *id)), "all new ones are in");
}

/// AWS does not say whether a target that drains still counts. The strict AWS counts it, and then new ones have to wait.
#[tokio::test(start_paused = true)]
async fn where_targets_that_drain_still_count_new_ones_come_when_those_are_gone() {
    let cluster = a_cluster(1000).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let drains = Duration::from_secs(300);
    cluster.aws.set_lags(Lags::with(|lags| lags.draining = Lag::For(drains)));
    let more = cluster.aws.seed_nodes(&cluster.vpc, 700);
    let replaced: Vec<&String> = cluster.instances[700..].iter().chain(&more).collect();
    let nodes = nodes_of(replaced.iter().copied());
    let began = tokio::time::Instant::now();
    let before = cluster.aws.requests().len();
    let update = cluster.provider.update_backends(&request(&service, &nodes)).await;
    let error = update.expect_err("those that drain take the room").to_string();
    assert!(error.contains("no room for 700 targets"), "{error}");
    assert_eq!(cluster.targets().await.len(), 300, "those that stay go on serving");

    // The controller's part: it looks again when the provider says.
    while let Outcome::Pending(pending) = ensured(&cluster, &service, &nodes).await {
        assert_eq!(pending.reason, "TargetsRefused");
        assert!(began.elapsed() < drains * 2, "it comes to an end");
        tokio::time::advance(pending.after.expect("another look")).await;
    }
    assert_eq!(cluster.targets().await.len(), 1000);
    assert!(began.elapsed() <= drains + Duration::from_secs(60), "{:?}", began.elapsed());
    let written = cluster.aws.requests().split_off(before).into_iter().filter(|call| call.is_write());
    let written: Vec<Call> = written.collect();
    // Out in 4 requests and in in 4; and one a minute that shows that there is no room yet.
    let about_targets = |call: &&Call| matches!(call, Call::RegisterTargets | Call::DeregisterTargets);
    assert!(written.iter().filter(about_targets).count() <= 4 + 4 + 5, "{written:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quota_below_aws_own_takes_what_is_old_out_and_is_asked_again_only_after_a_while() {
    let cluster = a_cluster(150).await;
    cluster.aws.set_quotas(Quotas::with(|quotas| quotas.targets_per_group = 120));
    let hundred = nodes_of(&cluster.instances[..100]);
    let mut service = web("web").build();
    cluster.ready_on(&mut service, &hundred).await;
    let others = nodes_of(&cluster.instances[50..]);
    let others = request(&service, &others);
    let update = || cluster.provider.update_backends(&others);
    let (result, requests) = cluster.requests(update()).await;
    let error = result.expect_err("50 new ones do not fit beside 100").to_string();
    assert!(error.contains("no room for 50 targets"), "{error}");
    let registrations = |requests: &[Call]| requests.iter().filter(|c| **c == Call::RegisterTargets).count();
    assert_eq!(registrations(&requests), 1, "it is not halved: {requests:?}");
    assert_eq!(cluster.targets().await.len(), 50, "the old ones are out");
    let (_, requests) = cluster.requests(update()).await;
    assert_eq!(registrations(&requests), 0, "{requests:?}");
    tokio::time::advance(Duration::from_secs(61)).await;
    update().await.unwrap();
    assert_eq!(cluster.targets().await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn targets_that_aws_names_as_invalid_cost_one_request_more_and_are_not_asked_for_again_soon() {
    let cluster = a_cluster(100).await;
    let mut service = web("web").build();
    let fifty = nodes_of(&cluster.instances[..50]);
    cluster.ready_on(&mut service, &fifty).await;
    // They are known from before as running; AWS knows better.
    let all = cluster.request(&service);
    let bad = [&cluster.instances[60], &cluster.instances[77]];
    cluster.provider.plan(&all).await.unwrap();
    for id in bad {
        cluster.aws.change_instance(id, |instance| instance.state = InstanceState::Stopped);
    }
    let (result, requests) = cluster.requests(cluster.provider.update_backends(&all)).await;
    let error = result.expect_err("two are refused").to_string();
    assert!(error.contains("refuses 2 targets") && error.contains(bad[0].as_str()), "{error}");
    let registrations = requests.iter().filter(|call| **call == Call::RegisterTargets).count();
    assert!(registrations <= 3, "one, and one for each that AWS names: {requests:?}");
    assert_eq!(cluster.targets().await.len(), 98);
    let (_, requests) = cluster.requests(cluster.ensure(&service)).await;
    assert!(!requests.contains(&Call::RegisterTargets), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_names_nobody_is_narrowed_down() {
    let cluster = a_cluster(5).await;
    let mut service = web("web").build();
    let four = nodes_of(&cluster.instances[..4]);
    cluster.ready_on(&mut service, &four).await;
    cluster.aws.fail_nth(Call::RegisterTargets, 1, Fault::before("InvalidTarget"));
    let all = cluster.request(&service);
    cluster.provider.update_backends(&all).await.expect_err("the only new one is refused");
    let outcome = cluster.ensure(&service).await.unwrap();
    let Outcome::Pending(pending) = outcome else { panic!("{outcome:?}") };
    assert_eq!(pending.reason, "TargetsRefused");
    tokio::time::advance(pending.after.expect("another look")).await;
    cluster.ready(&mut service).await;
    assert_eq!(cluster.targets().await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_aws_refused_is_not_noted_as_registered_by_a_change_of_something_else() {
    let mut cluster = a_cluster(2).await;
    let mut service = web("web").build();
    let one = nodes_of(&cluster.instances[..1]);
    cluster.ready_on(&mut service, &one).await;
    cluster.aws.fail_nth(Call::RegisterTargets, 1, Fault::before("InvalidTarget"));
    ensured(&cluster, &service, &cluster.nodes()).await;
    let mut changed = web("web").source_ranges(["10.0.0.0/8"]).published(service.published.clone()).build();
    ensured(&cluster, &changed, &cluster.nodes()).await;
    assert_eq!(cluster.targets().await.len(), 1, "it is not asked again yet");
    cluster.restart(&[changed.clone().into()]).await;
    cluster.ready(&mut changed).await;
    assert_eq!(cluster.targets().await.len(), 2);
}
