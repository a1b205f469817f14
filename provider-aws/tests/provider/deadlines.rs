//! The controller gives a call so much time, and drops it then. What was waited for counts all the same: the next call
//! does not begin to wait anew.

use std::time::Duration;

use cloud_provider::{CloudLoadBalancer, ServiceView};
use provider_aws::client::fake::{Fault, Lag, Lags};
use provider_aws::client::{Call, Tags};
use tokio::time::{Instant, sleep, timeout};

use crate::fixture::{Cluster, PREFIX, a_cluster, web};

/// Shorter than whatever a call waits for by itself.
const DEADLINE: Duration = Duration::from_secs(5);

/// Plays a controller with a short deadline until the Service is deleted; how long that took.
async fn deletion_in_short_calls(cluster: &Cluster, service: &ServiceView) -> Duration {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if let Ok(Ok(())) = timeout(DEADLINE, cluster.provider.delete(&service.id)).await {
            return began.elapsed();
        }
        sleep(Duration::from_millis(500)).await;
    }
    panic!("not deleted after a minute of calls; AWS has {:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_failed_after_a_group_had_gone_does_not_wait_for_that_group() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    cluster.aws.fail_nth(Call::DeleteSecurityGroup, 2, Fault::before("InternalFailure"));
    cluster.provider.delete(&service.id).await.expect_err("the group of all Services cannot be deleted");
    assert!(deletion_in_short_calls(&cluster, &service).await < Duration::from_secs(1));
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_deletion_was_not_answered_is_waited_for_only_while_it_may_be_too_new_to_be_seen() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    cluster.aws.fail_nth(Call::DeleteSecurityGroup, 1, Fault::reply_lost());
    cluster.provider.delete(&service.id).await.expect_err("no answer came");
    assert!(deletion_in_short_calls(&cluster, &service).await < Duration::from_secs(15));
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_aws_clearly_refused_to_make_is_not_waited_for() {
    for refusal in ["Throttling", "UnauthorizedOperation", "SecurityGroupLimitExceeded"] {
        for nth in [1, 2] {
            let cluster = a_cluster(2).await;
            let service = web("web").build();
            cluster.aws.fail_nth(Call::CreateSecurityGroup, nth, Fault::before(refusal));
            cluster.ensure(&service).await.expect_err(refusal);
            let took = deletion_in_short_calls(&cluster, &service).await;
            assert!(took < Duration::from_secs(1), "{refusal} of group {nth}: {took:?}");
            assert!(cluster.aws.is_empty(), "{refusal}: {:#?}", cluster.aws.remaining());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_may_have_been_made_is_found_or_given_up_however_short_the_calls_are() {
    for fault in [Fault::before("InternalFailure"), Fault::reply_lost(), Fault::HangBefore, Fault::HangAfter]
    {
        for nth in [1, 2] {
            let cluster = a_cluster(2).await;
            let lag = Lag::For(Duration::from_secs(7));
            cluster.aws.set_lags(Lags::with(|lags| lags.new_security_group = lag));
            let service = web("web").build();
            cluster.aws.fail_nth(Call::CreateSecurityGroup, nth, fault.clone());
            let made = timeout(DEADLINE, cluster.ensure(&service)).await;
            assert!(!matches!(made, Ok(Ok(_))), "{fault:?} of group {nth}");
            let took = deletion_in_short_calls(&cluster, &service).await;
            assert!(took < Duration::from_secs(20), "{fault:?} of group {nth}: {took:?}");
            assert!(cluster.aws.is_empty(), "{fault:?} of group {nth}: {:#?}", cluster.aws.remaining());
        }
    }
}

/// How long a call takes whose requests of this kind fail like this.
async fn refused(cluster: &Cluster, service: &ServiceView, call: Call, code: &str) -> Duration {
    cluster.aws.fail_always(call, Fault::before(code));
    let began = Instant::now();
    cluster.ensure(service).await.expect_err(code);
    cluster.aws.heal();
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_group_that_aws_does_not_know_is_waited_for_only_if_it_was_made_a_moment_ago() {
    let cluster = a_cluster(2).await;
    let (call, code) = (Call::AuthorizeSecurityGroupIngress, "InvalidGroup.NotFound");
    let mut service = web("web").build();
    assert!(refused(&cluster, &service, call, code).await > Duration::from_secs(5), "it is new");
    cluster.ready(&mut service).await;
    sleep(Duration::from_secs(60)).await;
    let mut changed = web("web").source_ranges(["192.0.2.0/24"]).build();
    changed.published = service.published;
    assert!(refused(&cluster, &changed, call, code).await < Duration::from_secs(1), "somebody deleted it");

    let theirs = cluster.aws.seed_security_group(&cluster.vpc.id, "theirs", Tags::new(), Vec::new());
    let with_theirs = web("theirs").annotation(&format!("{PREFIX}security-groups"), &theirs).build();
    let (call, code) = (Call::CreateLoadBalancer, "InvalidSecurityGroup");
    assert!(refused(&cluster, &with_theirs, call, code).await < Duration::from_secs(1), "it is the user's");
}
