//! The snapshot that all Services share, and what it costs.

use std::{collections::BTreeSet, slice, time::Duration};

use futures::future::join_all;
use provider_aws::client::{
    Aws, Call, Elbv2, IpAddressType, Protocol, Select, SetSecurityGroups, SetSubnets, SharingOptions,
    SubnetMapping, TagFilter,
    fake::{Fault, Lag, Lags, Quotas},
};

use super::account::{Account, Refused, tags};

const HOUR: Duration = Duration::from_secs(3600);

/// An account with this many load balancers of ours, each with a target group.
async fn with_services(count: usize) -> (Account, Aws) {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| {
        quotas.load_balancers = 2000;
        quotas.interfaces_per_vpc = 6000;
    }));
    for n in 0..count {
        let name = format!("service-{n}");
        account.load_balancer(&name).await;
        account.target_group(&name, Protocol::Tcp).await;
    }
    account.aws.forget_requests();
    let aws = Aws::new(account.aws.clone(), SharingOptions::default());
    (account, aws)
}

fn owner(name: &str) -> [TagFilter; 1] {
    [TagFilter::equals("owner", name)]
}

#[tokio::test(start_paused = true)]
async fn a_thousand_services_cost_106_requests_and_6_while_tags_are_kept() {
    let (account, aws) = with_services(1000).await;
    let snapshot = aws.snapshot(Duration::ZERO).await.unwrap();
    assert_eq!((snapshot.load_balancers.len(), snapshot.target_groups.len()), (1000, 1000));
    assert_eq!(account.aws.count(Call::DescribeLoadBalancers), 3);
    assert_eq!(account.aws.count(Call::DescribeTargetGroups), 3);
    assert_eq!(account.aws.count(Call::DescribeTags), 100);
    assert_eq!(account.aws.requests().len(), 106);

    account.aws.forget_requests();
    tokio::time::advance(Duration::from_secs(60)).await;
    aws.snapshot(Duration::from_secs(30)).await.unwrap();
    assert_eq!(account.aws.requests().len(), 6);
    tokio::time::advance(HOUR).await;
    aws.snapshot(Duration::from_secs(30)).await.unwrap();
    assert_eq!(account.aws.requests().len(), 6 + 106);
}

#[tokio::test(start_paused = true)]
async fn all_callers_share_one_snapshot() {
    let (account, aws) = with_services(30).await;
    account.aws.set_latency(Duration::from_millis(100));
    let asked = (0..30).map(|n| {
        let aws = aws.clone();
        async move { aws.tagged(&owner(&format!("service-{n}")), HOUR).await.unwrap() }
    });
    for found in join_all(asked).await {
        assert_eq!((found.load_balancers.len(), found.target_groups.len()), (1, 1));
    }
    assert_eq!(account.aws.requests().len(), 2 + 4);
}

#[tokio::test]
async fn what_this_process_makes_costs_one_request_for_its_tags_by_kind() {
    let (account, aws) = with_services(3).await;
    aws.snapshot(HOUR).await.unwrap();
    account.aws.forget_requests();

    let lb = aws.create_load_balancer(&account.a_load_balancer("new")).await.unwrap();
    aws.create_target_group(&account.a_target_group("new", Protocol::Tcp)).await.unwrap();
    let found = aws.tagged(&owner("new"), HOUR).await.unwrap();

    assert_eq!(*found.load_balancers[&lb.arn].resource, lb);
    assert_eq!(found.target_groups.len(), 1);
    assert_eq!(
        account.aws.requests(),
        [Call::CreateLoadBalancer, Call::CreateTargetGroup, Call::DescribeTags, Call::DescribeTags]
    );
}

#[tokio::test]
async fn a_create_that_returns_somebody_elses_load_balancer_does_not_make_it_ours() {
    let (account, aws) = with_services(0).await;
    aws.snapshot(HOUR).await.unwrap();
    let theirs = account.load_balancer("shared-name").await;
    let mut same = account.a_load_balancer("shared-name");
    same.tags = tags(&[("owner", "us")]);

    assert_eq!(aws.create_load_balancer(&same).await.unwrap().arn, theirs.arn);
    assert!(aws.tagged(&owner("us"), HOUR).await.unwrap().load_balancers.is_empty());
    assert_eq!(aws.tagged(&owner("shared-name"), HOUR).await.unwrap().load_balancers.len(), 1);
}

#[tokio::test]
async fn what_this_process_changes_or_deletes_costs_no_request() {
    let (account, aws) = with_services(1).await;
    let before = aws.snapshot(HOUR).await.unwrap();
    let lb = before.load_balancers.values().next().unwrap().resource.clone();
    let tg = before.target_groups.values().next().unwrap().resource.clone();
    let arn = lb.arn.clone();
    aws.set_security_groups(&SetSecurityGroups {
        load_balancer_arn: arn.clone(),
        security_groups: BTreeSet::from([account.vpc.node_group.clone()]),
        enforce_private_link_inbound: Some(false),
    })
    .await
    .unwrap();
    aws.set_ip_address_type(&arn, IpAddressType::DualStack).await.unwrap();
    aws.set_subnets(&SetSubnets {
        load_balancer_arn: arn.clone(),
        subnets: vec![SubnetMapping::subnet(&account.vpc.private[0])],
        ipv6_source_nat: Some(true),
        ip_address_type: None,
    })
    .await
    .unwrap();
    aws.add_tags(slice::from_ref(&arn), &tags(&[("hash", "1")])).await.unwrap();
    aws.remove_tags(slice::from_ref(&arn), &["owner".to_owned()]).await.unwrap();
    aws.delete_target_group(&tg.arn).await.unwrap();
    account.aws.forget_requests();

    let after = aws.snapshot(HOUR).await.unwrap();
    assert!(account.aws.requests().is_empty());
    assert!(after.target_groups.is_empty());
    let known = &after.load_balancers[&arn];
    assert_eq!(*known.tags, tags(&[("hash", "1")]));
    let told = account.aws.describe_load_balancers(&Select::All, None).await.unwrap();
    assert_eq!(*known.resource, told.items[0]);
}

#[tokio::test]
async fn a_create_whose_reply_was_lost_is_found() {
    let (account, aws) = with_services(1).await;
    aws.snapshot(HOUR).await.unwrap();
    account.aws.fail_nth(Call::CreateLoadBalancer, 1, Fault::reply_lost());
    aws.create_load_balancer(&account.a_load_balancer("lost")).await.unwrap_err();

    assert_eq!(aws.tagged(&owner("lost"), HOUR).await.unwrap().load_balancers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_was_given_up_on_is_found() {
    let (account, aws) = with_services(1).await;
    aws.snapshot(HOUR).await.unwrap();
    account.aws.fail_nth(Call::CreateTargetGroup, 1, Fault::HangAfter);
    let request = account.a_target_group("lost", Protocol::Tcp);
    tokio::time::timeout(Duration::from_secs(1), aws.create_target_group(&request)).await.unwrap_err();

    assert_eq!(aws.tagged(&owner("lost"), HOUR).await.unwrap().target_groups.len(), 1);
}

#[tokio::test]
async fn a_create_that_was_refused_makes_nothing_read_again() {
    let (account, aws) = with_services(1).await;
    aws.snapshot(HOUR).await.unwrap();
    account.aws.forget_requests();
    let refused = aws.create_load_balancer(&account.a_load_balancer("-bad-")).await;
    assert_eq!(refused.code(), "ValidationError");

    aws.snapshot(HOUR).await.unwrap();
    assert_eq!(account.aws.requests(), [Call::CreateLoadBalancer]);
}

#[tokio::test]
async fn tags_whose_change_has_no_known_outcome_are_read_again() {
    let (account, aws) = with_services(1).await;
    let arn = aws.snapshot(HOUR).await.unwrap().load_balancers.into_keys().next().unwrap();
    account.aws.fail_nth(Call::AddTags, 1, Fault::reply_lost());
    aws.add_tags(slice::from_ref(&arn), &tags(&[("hash", "1")])).await.unwrap_err();

    let after = aws.snapshot(HOUR).await.unwrap();
    assert_eq!(after.load_balancers[&arn].tags["hash"], "1");
}

#[tokio::test]
async fn a_deleted_load_balancer_that_is_still_listed_is_left_out() {
    let (account, aws) = with_services(2).await;
    account.aws.set_lags(Lags::with(|lags| lags.deleted_listed = Lag::Looks(10)));
    let listed = account.aws.describe_load_balancers(&Select::All, None).await.unwrap();
    account.aws.delete_load_balancer(&listed.items[0].arn).await.unwrap();

    let snapshot = aws.snapshot(HOUR).await.unwrap();
    assert_eq!(snapshot.load_balancers.into_keys().collect::<Vec<_>>(), [listed.items[1].arn.clone()]);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_while_the_lists_are_read_is_not_lost() {
    let (account, aws) = with_services(1).await;
    account.aws.set_latency(Duration::from_millis(100));
    let request = account.a_load_balancer("meanwhile");
    let make = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        aws.create_load_balancer(&request).await.unwrap();
    };
    let (_, ()) = tokio::join!(aws.snapshot(HOUR), make);

    assert_eq!(aws.tagged(&owner("meanwhile"), HOUR).await.unwrap().load_balancers.len(), 1);
    assert_eq!(account.aws.count(Call::DescribeLoadBalancers), 1);
}

#[tokio::test]
async fn a_failed_reading_goes_on_where_it_stopped() {
    let (account, aws) = with_services(30).await;
    account.aws.fail_nth(Call::DescribeTags, 3, Fault::before("Throttling"));
    assert_eq!(aws.snapshot(HOUR).await.unwrap_err().code, "Throttling");
    account.aws.forget_requests();

    assert_eq!(aws.snapshot(HOUR).await.unwrap().load_balancers.len(), 30);
    assert_eq!(account.aws.requests(), [Call::DescribeTags; 2]);
}

#[tokio::test]
async fn a_look_at_one_load_balancer_freshens_the_snapshot() {
    let (account, aws) = with_services(0).await;
    account.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    let state = async || aws.snapshot(HOUR).await.unwrap().load_balancers[&lb.arn].resource.state;
    use provider_aws::client::LoadBalancerState::{Active, Provisioning};

    assert_eq!(state().await, Provisioning);
    aws.load_balancers(&Select::Arns(vec![lb.arn.clone()])).await.unwrap();
    assert_eq!(state().await, Active);
}

#[tokio::test]
async fn resources_of_other_vpcs_cost_no_tag_requests_once_the_vpc_is_known() {
    let (account, aws) = with_services(1).await;
    let elsewhere = account.aws.seed_vpc(1);
    for n in 0..100 {
        let mut theirs = account.a_target_group(&format!("theirs-{n}"), Protocol::Tcp);
        theirs.vpc_id.clone_from(&elsewhere.id);
        account.aws.seed_target_group(&theirs).await.unwrap();
    }
    aws.limit_to_vpc(&account.vpc.id);

    assert_eq!(aws.snapshot(HOUR).await.unwrap().target_groups.len(), 1);
    assert_eq!(account.aws.count(Call::DescribeTags), 2, "one for load balancers, one for target groups");
}
