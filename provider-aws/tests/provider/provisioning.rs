//! What is waited for, and for how long.

use std::time::Duration;

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, NodeSet, Outcome};
use futures::StreamExt;
use provider_aws::client::Call;
use provider_aws::client::fake::{Fault, Lag, Lags};
use tokio::time::Instant;

use crate::fixture::{a_cluster, a_cluster_with, web};

#[tokio::test(start_paused = true)]
async fn services_are_woken_when_their_load_balancers_are_made_by_one_request_for_twenty() {
    let cluster = a_cluster(1).await;
    let mut wakeups = cluster.provider.wakeups();
    cluster.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::For(Duration::from_secs(120))));
    let mut services: Vec<_> = (0..20).map(|i| web(&format!("s{i:02}")).build()).collect();
    for service in &services {
        assert!(matches!(cluster.ensure(service).await.unwrap(), Outcome::Pending(_)));
    }
    let begun = cluster.aws.count(Call::DescribeLoadBalancers);
    let mut woken = Vec::new();
    while woken.len() < services.len() {
        woken.push(wakeups.next().await.expect("the stream does not end"));
    }
    woken.sort();
    let keys: Vec<_> = services.iter().map(|service| service.id.key.clone()).collect();
    assert_eq!(woken, keys);
    let looks = cluster.aws.count(Call::DescribeLoadBalancers) - begun;
    assert!(looks <= 11, "after 2, 4, 8 and each 15 seconds a look for all together, not {looks}");

    let before = cluster.aws.requests().len();
    for service in &mut services {
        let outcome = cluster.ensure(service).await.unwrap();
        assert!(matches!(outcome, Outcome::Ready(_)), "{outcome:?}");
    }
    let after = cluster.aws.requests().split_off(before);
    let asked = after.iter().filter(|call| **call == Call::DescribeLoadBalancers).count();
    assert!(asked <= 1, "the look that woke them is what they know: {after:?}");
}

#[tokio::test(start_paused = true)]
async fn what_aws_makes_within_seconds_is_noticed_within_seconds_whatever_else_is_asked_for_meanwhile() {
    let cluster = a_cluster(1).await;
    let mut wakeups = cluster.provider.wakeups();
    cluster.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::For(Duration::from_secs(1))));
    let begun = Instant::now();
    let first = web("first").build();
    cluster.ensure(&first).await.unwrap();
    // One more a second: each is news, and none may put the look at the others off.
    let others = async {
        for number in 0..30 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.ensure(&web(&format!("s{number}")).build()).await.unwrap();
        }
    };
    let woken = async { (wakeups.next().await, begun.elapsed()) };
    let ((), (woken, after)) = tokio::join!(others, woken);
    assert_eq!(woken, Some(first.id.key));
    assert!(after <= Duration::from_secs(3), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_were_asked_for_one_after_the_other_are_looked_at_together_all_the_same() {
    let cluster = a_cluster(1).await;
    let mut wakeups = cluster.provider.wakeups();
    cluster.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::For(Duration::from_secs(120))));
    let services: Vec<_> = (0..20).map(|i| web(&format!("s{i:02}")).build()).collect();
    let ask = async {
        for service in &services {
            cluster.ensure(service).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let all_are_woken = async {
        for _ in &services {
            wakeups.next().await.expect("the stream does not end");
        }
    };
    tokio::join!(ask, all_are_woken);
    let looks = cluster.aws.count(Call::DescribeLoadBalancers);
    assert!(looks <= 60, "eleven looks at each would be 220, not {looks}");
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_load_balancer_vanished_while_it_was_made_is_woken_with_the_others() {
    use provider_aws::client::Elbv2;
    let cluster = a_cluster(1).await;
    let mut wakeups = cluster.provider.wakeups();
    cluster.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::For(Duration::from_secs(600))));
    let service = web("web").build();
    cluster.ensure(&service).await.unwrap();
    cluster.aws.delete_load_balancer(&cluster.load_balancer().await.arn).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(30), wakeups.next()).await;
    assert_eq!(woken.expect("at the next look"), Some(service.id.key));
}

#[tokio::test(start_paused = true)]
async fn services_that_wait_for_the_vpc_are_woken_by_the_first_that_learns_it() {
    let cluster = a_cluster_with(1, |config| config.vpc_id = None).await;
    let mut wakeups = cluster.provider.wakeups();
    let (first, second) = (web("first").build(), web("second").build());
    for service in [&first, &second] {
        let outcome = cluster.provider.ensure(&request(service, &NodeSet::default())).await.unwrap();
        let Outcome::Pending(pending) = outcome else { panic!("there is no VPC yet") };
        assert_eq!(pending.reason, "NoVpc");
    }
    let (_, requests) =
        cluster.requests(cluster.provider.ensure(&request(&first, &NodeSet::default()))).await;
    assert!(requests.is_empty(), "another look without nodes asks AWS for nothing: {requests:?}");
    cluster.ensure(&first).await.unwrap();
    assert_eq!(wakeups.next().await, Some(second.id.key));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_while_nobody_waits() {
    let cluster = a_cluster(1).await;
    let mut wakeups = cluster.provider.wakeups();
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let before = cluster.aws.requests().len();
    let woken = tokio::time::timeout(Duration::from_secs(3600), wakeups.next()).await;
    assert!(woken.is_err(), "{woken:?}");
    assert_eq!(cluster.aws.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_got_a_load_balancer_is_deleted_at_once() {
    let cluster = a_cluster(1).await;
    let began = Instant::now();
    cluster.provider.delete(&web("new").build().id).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "it is new since this process began");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_served_before_is_deleted_at_once_by_the_next_process() {
    let mut cluster = a_cluster(1).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    cluster.restart(&[service.clone().into()]).await;
    let began = Instant::now();
    cluster.provider.delete(&service.id).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn what_another_process_was_making_is_waited_for_until_ec2_shows_it() {
    let mut cluster = a_cluster(1).await;
    let service = web("web").build();
    cluster.aws.set_lags(Lags::with(|lags| lags.new_security_group = Lag::For(Duration::from_secs(5))));
    cluster.aws.fail_nth(Call::CreateSecurityGroup, 2, Fault::HangAfter);
    let _ = tokio::time::timeout(Duration::from_millis(100), cluster.ensure(&service)).await;
    cluster.restart(&[service.clone().into()]).await;
    cluster.provider.delete(&service.id).await.unwrap();
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_another_process_may_have_begun_is_deleted_soon_after() {
    let mut cluster = a_cluster(1).await;
    let service = web("web").build();
    cluster.restart(&[service.clone().into()]).await;
    let began = Instant::now();
    cluster.provider.delete(&service.id).await.unwrap();
    assert!(!began.elapsed().is_zero(), "EC2 takes a moment to show a group that may have been made");
    let later = Instant::now();
    cluster.provider.delete(&web("other").build().id).await.unwrap();
    assert_eq!(later.elapsed(), Duration::ZERO, "once is enough");
}
