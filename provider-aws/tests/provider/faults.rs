//! Any request may fail, before or after its effect, at any point of a Service's life.

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, ErrorClass};
use provider_aws::client::Call;
use provider_aws::client::fake::{Fault, Quotas};

use crate::fixture::{PREFIX, a_cluster, nodes_of, web};

/// Fails the nth request of a whole life, for every n, in this way.
async fn survives(fault: impl Fn() -> Fault, restart: bool) {
    for nth in 1.. {
        let mut cluster = a_cluster(3).await;
        let certificate = cluster.aws.seed_certificate();
        let mut service = web("web").build();
        let before = cluster.aws.requests().len();
        cluster.aws.fail_nth_request(nth, fault());
        cluster.ready(&mut service).await;
        if restart {
            cluster.restart(&[]).await;
        }
        let mut changed = web("web")
            .ports([80, 443])
            .annotation(&format!("{PREFIX}ssl-cert"), &certificate)
            .annotation(&format!("{PREFIX}ssl-ports"), "443")
            .source_ranges(["10.0.0.0/8"])
            .build();
        changed.published.clone_from(&service.published);
        cluster.ready(&mut changed).await;
        let two = nodes_of(&cluster.instances[..2]);
        while cluster.provider.update_backends(&request(&changed, &two)).await.is_err() {}
        assert_eq!(cluster.load_balancers().await.len(), 1, "request {nth}: doubled");
        assert_eq!(cluster.targets().await.len(), 4, "request {nth}: targets");
        cluster.deleted(&changed).await;
        assert!(cluster.aws.is_empty(), "request {nth}: {:#?}", cluster.aws.remaining());
        // The fault lay beyond the last request: every request has had its turn.
        if cluster.aws.requests().len() - before < nth as usize {
            assert!(nth > 20, "a life is longer than {nth} requests");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_request_may_fail_without_effect() {
    survives(|| Fault::before("InternalFailure"), false).await;
}

#[tokio::test(start_paused = true)]
async fn any_request_may_lose_its_reply() {
    survives(Fault::reply_lost, false).await;
}

#[tokio::test(start_paused = true)]
async fn any_request_may_fail_before_another_leader_takes_over() {
    survives(Fault::reply_lost, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_at_any_request_is_replaced_by_one_that_converges() {
    for nth in 1..=12 {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let mut cluster = a_cluster(2).await;
            let mut service = web("web").build();
            cluster.aws.fail_nth_request(nth, fault);
            let deadline = std::time::Duration::from_secs(60);
            let _ = tokio::time::timeout(deadline, cluster.ensure(&service)).await;
            cluster.aws.heal();
            cluster.restart(&[]).await;
            cluster.ready(&mut service).await;
            assert_eq!(cluster.load_balancers().await.len(), 1, "request {nth}");
            cluster.deleted(&service).await;
            assert!(cluster.aws.is_empty(), "request {nth}: {:#?}", cluster.aws.remaining());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_named_and_what_was_half_made_goes_with_the_service() {
    let cluster = a_cluster(2).await;
    cluster.aws.set_quotas(Quotas::with(|quotas| quotas.load_balancers = 0));
    let service = web("web").build();
    let error = cluster.ensure(&service).await.expect_err("no load balancer may be made");
    assert_eq!(error.class(), ErrorClass::Quota);
    assert!(error.to_string().contains("TooManyLoadBalancers"), "{error}");
    cluster.deleted(&service).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_denied_request_is_named_and_serves_once_it_is_granted() {
    let cluster = a_cluster(2).await;
    cluster.aws.fail_always(Call::CreateListener, Fault::before("AccessDenied"));
    let mut service = web("web").build();
    let error = cluster.ensure(&service).await.expect_err("it is denied");
    assert_eq!(error.class(), ErrorClass::Denied);
    assert!(error.to_string().contains("CreateListener"), "{error}");
    cluster.aws.heal();
    cluster.ready(&mut service).await;
    cluster.deleted(&service).await;
    assert!(cluster.aws.is_empty());
}

#[tokio::test(start_paused = true)]
async fn throttling_that_lasts_is_named_and_holds_no_other_service_back() {
    let cluster = a_cluster(2).await;
    cluster.aws.fail_nth(Call::CreateTargetGroup, 1, Fault::before("Throttling"));
    let error = cluster.ensure(&web("web").build()).await.expect_err("it is throttled");
    // The controller would hold every call back for what it is told to be throttling; the client has done its part.
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(error.to_string().contains("CreateTargetGroup: Throttling"), "{error}");
}

/// Somebody deleted it, between our look and our request.
#[tokio::test(start_paused = true)]
async fn a_step_that_finds_aws_other_than_it_was_seen_is_not_passed_over_but_looked_at_again() {
    for code in ["LoadBalancerNotFound", "ListenerNotFound", "InvalidGroup.NotFound"] {
        let cluster = a_cluster(2).await;
        let mut service = web("web").ports([80]).build();
        cluster.ready(&mut service).await;
        let mut changed = web("web").ports([80, 443]).build();
        changed.published.clone_from(&service.published);
        let before = cluster.aws.count(Call::CreateListener);
        cluster.aws.fail_nth(Call::CreateListener, 1, Fault::before(code));

        let outcome = cluster.ensure(&changed).await;

        assert!(matches!(outcome, Ok(cloud_provider::Outcome::Ready(_))), "{code}: {outcome:?}");
        assert_eq!(cluster.aws.count(Call::CreateListener), before + 2, "{code}");
    }
}
