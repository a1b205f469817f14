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

/// The same, with a listener on each load balancer that uses its target group.
async fn in_use(count: usize) -> (Account, Aws) {
    let (account, aws) = with_services(0).await;
    for n in 0..count {
        let name = format!("service-{n:04}");
        let lb = account.load_balancer(&name).await;
        account.listener(&lb, &account.target_group(&name, Protocol::Tcp).await, 80).await;
    }
    account.aws.forget_requests();
    (account, aws)
}

#[tokio::test(start_paused = true)]
async fn tags_of_target_groups_in_use_are_read_when_somebody_needs_them_and_twenty_in_one_request() {
    let (account, aws) = in_use(1000).await;
    let of = |n: usize| owner(&format!("service-{n:04}"));
    for n in 0..1000 {
        let seen = aws.glance(&of(n), HOUR).await.unwrap();
        assert_eq!((seen.load_balancers.len(), seen.target_groups.len()), (1, 0));
        let unread: Vec<&str> = seen.unread_target_groups.values().map(|tg| tg.name.as_str()).collect();
        assert_eq!(unread, [format!("service-{n:04}")], "its load balancer tells which it is");
    }
    assert_eq!(account.aws.requests().len(), 3 + 3 + 50);

    account.aws.forget_requests();
    for n in 0..1000 {
        let found = aws.tagged(&of(n), HOUR).await.unwrap();
        assert_eq!((found.target_groups.len(), found.unread_target_groups.len()), (1, 0));
    }
    assert_eq!(account.aws.requests(), [Call::DescribeTags; 50]);
}

#[tokio::test(start_paused = true)]
async fn tags_that_are_too_old_are_read_again_of_load_balancers_and_else_when_they_are_needed() {
    let (account, aws) = in_use(20).await;
    let found = aws.tagged(&owner("service-0007"), Duration::ZERO).await.unwrap();
    let group = found.target_groups.into_keys().next().unwrap();
    account.aws.add_tags(&group, &tags(&[("stage", "live")])).await.unwrap();
    account.aws.forget_requests();
    tokio::time::advance(HOUR + Duration::from_secs(1)).await;

    let seen = aws.glance(&owner("service-0007"), Duration::from_secs(60)).await.unwrap();
    assert_eq!((seen.target_groups.len(), seen.unread_target_groups.len()), (0, 1));
    assert_eq!(account.aws.count(Call::DescribeTags), 1, "those of load balancers");
    let found = aws.tagged(&owner("service-0007"), Duration::from_secs(60)).await.unwrap();
    assert_eq!(found.target_groups[&group].tags["stage"], "live", "what somebody else has changed is seen");
    assert_eq!(account.aws.count(Call::DescribeTags), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_group_that_is_used_no_more_is_told_apart_by_its_own_tags() {
    let (account, aws) = in_use(1).await;
    let seen = aws.glance(&owner("service-0000"), Duration::ZERO).await.unwrap();
    let (lb, _) = seen.load_balancers.into_iter().next().unwrap();
    account.aws.delete_load_balancer(&lb).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;

    let seen = aws.glance(&owner("service-0000"), Duration::ZERO).await.unwrap();
    assert_eq!((seen.load_balancers.len(), seen.target_groups.len()), (0, 1));
}

#[tokio::test]
async fn a_target_group_whose_load_balancer_this_process_has_deleted_is_told_apart_by_its_own_tags() {
    let (_account, aws) = in_use(1).await;
    let seen = aws.glance(&owner("service-0000"), HOUR).await.unwrap();
    let (lb, _) = seen.load_balancers.into_iter().next().unwrap();
    aws.delete_load_balancer(&lb).await.unwrap();

    let seen = aws.glance(&owner("service-0000"), HOUR).await.unwrap();
    assert_eq!((seen.load_balancers.len(), seen.target_groups.len()), (0, 1));
}

#[tokio::test]
async fn what_is_found_by_a_tag_follows_its_changes() {
    use provider_aws::naming::UID_TAG;
    let (account, aws) = with_services(2).await;
    let all = aws.snapshot(HOUR).await.unwrap();
    let [one, other] = [0, 1].map(|n| all.load_balancers.keys().nth(n).unwrap().clone());
    let of = async |uid: &str| -> Vec<String> {
        let found = aws.tagged(&[TagFilter::equals(UID_TAG, uid)], HOUR).await.unwrap();
        found.load_balancers.into_keys().collect()
    };
    assert_eq!(of("uid-1").await, Vec::<String>::new());
    aws.add_tags(slice::from_ref(&one), &tags(&[(UID_TAG, "uid-1")])).await.unwrap();
    aws.add_tags(slice::from_ref(&other), &tags(&[(UID_TAG, "uid-1")])).await.unwrap();
    assert_eq!(of("uid-1").await.len(), 2);
    aws.add_tags(slice::from_ref(&other), &tags(&[(UID_TAG, "uid-2")])).await.unwrap();
    assert_eq!((of("uid-1").await, of("uid-2").await), (vec![one.clone()], vec![other.clone()]));
    aws.remove_tags(slice::from_ref(&other), &[UID_TAG.to_owned()]).await.unwrap();
    assert_eq!(of("uid-2").await, Vec::<String>::new());
    account.aws.delete_load_balancer(&one).await.unwrap();
    aws.snapshot(Duration::ZERO).await.unwrap();
    assert_eq!(of("uid-1").await, Vec::<String>::new());
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
