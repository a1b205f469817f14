//! Who may connect, near the number of rules that AWS lets a security group have.

use cloud_provider::ServiceView;
use provider_aws::client::fake::Quotas;
use provider_aws::client::{Call, Ec2, IngressRule, RuleSource, SecurityGroupQuery};

use crate::fixture::{Cluster, a_cluster, a_cluster_with, web};

fn ranges(seconds: std::ops::Range<usize>) -> Vec<String> {
    seconds.map(|second| format!("10.{second}.0.0/16")).collect()
}

fn letting_in(ranges: &[String]) -> ServiceView {
    web("web").source_ranges(ranges.iter().map(String::as_str)).build()
}

/// The networks that the frontend group lets in.
async fn let_in(cluster: &Cluster) -> Vec<String> {
    let all = cluster.aws.describe_security_groups(&SecurityGroupQuery::default(), None).await.unwrap().items;
    let frontend = all.into_iter().find(|group| group.name.starts_with("k8s-default-web-")).expect("a group");
    let network = |rule: IngressRule| match rule.source {
        RuleSource::Ipv4(net) => net.to_string(),
        other => panic!("not a network: {other:?}"),
    };
    let mut networks: Vec<String> = frontend.ingress.into_iter().map(network).collect();
    networks.sort();
    networks
}

fn sorted(mut networks: Vec<String>) -> Vec<String> {
    networks.sort();
    networks
}

#[tokio::test(start_paused = true)]
async fn all_sixty_rules_are_exchanged_for_sixty_others() {
    let cluster = a_cluster(2).await;
    let mut service = letting_in(&ranges(0..60));
    cluster.ready(&mut service).await;
    let mut others = letting_in(&ranges(30..90));
    others.published.clone_from(&service.published);
    let (_, requests) = cluster.requests(cluster.ready(&mut others)).await;
    assert_eq!(let_in(&cluster).await, sorted(ranges(30..90)));
    let count = |call| requests.iter().filter(|made| **made == call).count();
    assert_eq!(count(Call::AuthorizeSecurityGroupIngress), 1, "{requests:?}");
    assert_eq!(count(Call::RevokeSecurityGroupIngress), 1, "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn near_the_limit_what_stays_is_let_in_at_every_moment() {
    let cluster = a_cluster(2).await;
    let mut service = letting_in(&ranges(0..55));
    cluster.ready(&mut service).await;
    let mut others = letting_in(&ranges(50..110));
    others.published.clone_from(&service.published);
    for nth in 1.. {
        let before = cluster.aws.writes().len();
        cluster.aws.fail_nth(
            Call::AuthorizeSecurityGroupIngress,
            nth,
            provider_aws::client::fake::Fault::before("InternalFailure"),
        );
        let result = cluster.ensure(&others).await;
        cluster.aws.heal();
        let open = let_in(&cluster).await;
        assert!(ranges(50..55).iter().all(|stays| open.contains(stays)), "{open:?}");
        if result.is_ok() {
            assert!(nth > 1, "the fault was hit: {:?}", &cluster.aws.writes()[before..]);
            break;
        }
    }
    assert_eq!(let_in(&cluster).await, sorted(ranges(50..110)));
}

#[tokio::test(start_paused = true)]
async fn more_rules_than_the_quota_are_refused_before_anything_is_written() {
    let cluster = a_cluster(2).await;
    let mut service = letting_in(&ranges(0..10));
    cluster.ready(&mut service).await;
    let mut wider = letting_in(&ranges(0..61));
    wider.published.clone_from(&service.published);
    let (mistakes, requests) = cluster.requests(cluster.mistakes(&wider)).await;
    let text = mistakes.clone();
    for expected in ["loadBalancerSourceRanges", "61 rules", "takes 60", "prefix list", "stays as it is"] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    assert_eq!(let_in(&cluster).await, sorted(ranges(0..10)));
}

#[tokio::test(start_paused = true)]
async fn an_account_with_a_higher_quota_has_more_rules() {
    let cluster = a_cluster_with(2, |config| config.rules_per_group = 100).await;
    cluster.aws.set_quotas(Quotas::with(|quotas| quotas.rules_per_group = 100));
    let mut service = letting_in(&ranges(0..100));
    cluster.ready(&mut service).await;
    assert_eq!(let_in(&cluster).await.len(), 100);
}
