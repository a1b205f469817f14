//! Requests that go wrong on purpose, and throttling.

use std::time::Duration;

use provider_aws::{
    client::{
        Call, Ec2, Elbv2, Rate, RateBucket, Select,
        fake::{Fault, Quotas},
    },
    error::{ErrorKind, local_code},
};

use super::account::{Account, Refused};

#[tokio::test]
async fn a_fault_before_the_effect_has_no_effect() {
    let account = Account::new().await;
    account.aws.fail_nth(Call::CreateLoadBalancer, 2, Fault::before("ServiceUnavailable"));
    account.load_balancer("one").await;

    let second = account.aws.create_load_balancer(&account.a_load_balancer("two")).await;
    assert_eq!(second.unwrap_err().kind, ErrorKind::Transient);
    assert_eq!(account.aws.describe_load_balancers(&Select::All, None).await.unwrap().items.len(), 1);
    account.load_balancer("two").await;
}

#[tokio::test]
async fn a_lost_reply_leaves_the_effect() {
    let account = Account::new().await;
    account.aws.fail_nth(Call::CreateLoadBalancer, 1, Fault::reply_lost());

    let lost = account.aws.create_load_balancer(&account.a_load_balancer("web")).await;
    assert_eq!(lost.code(), local_code::NO_REPLY);
    assert_eq!(account.aws.describe_load_balancers(&Select::All, None).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn the_nth_request_of_any_call_goes_wrong() {
    let account = Account::new().await;
    account.aws.fail_nth_request(2, Fault::before("Throttling"));

    assert!(account.aws.describe_availability_zones().await.is_ok());
    let second = account.aws.describe_load_balancers(&Select::All, None).await;
    assert_eq!(second.code(), "Throttling");
    assert!(account.aws.describe_load_balancers(&Select::All, None).await.is_ok());
}

#[tokio::test]
async fn a_denied_call_fails_until_healed() {
    let account = Account::new().await;
    account.aws.fail_always(Call::DescribeSubnets, Fault::before("UnauthorizedOperation"));
    for _ in 0..2 {
        let denied = account.aws.describe_subnets(&Default::default(), None).await;
        assert_eq!(denied.unwrap_err().kind, ErrorKind::Denied);
    }
    account.aws.heal();
    assert!(account.aws.describe_subnets(&Default::default(), None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_may_have_had_its_effect() {
    let account = Account::new().await;
    let create = async |name: &str, fault| {
        account.aws.fail_nth(Call::CreateLoadBalancer, 1, fault);
        let request = account.a_load_balancer(name);
        tokio::time::timeout(Duration::from_secs(60), account.aws.create_load_balancer(&request)).await
    };

    assert!(create("before", Fault::HangBefore).await.is_err());
    assert!(create("after", Fault::HangAfter).await.is_err());
    let listed = account.aws.describe_load_balancers(&Select::All, None).await.unwrap().items;
    assert_eq!(listed.into_iter().map(|lb| lb.name).collect::<Vec<_>>(), ["after"]);
}

#[tokio::test(start_paused = true)]
async fn throttling_refuses_until_the_bucket_has_filled_again() {
    let account = Account::new().await;
    account.aws.throttle(RateBucket::ElbRead, Rate { burst: 2, per_second: 0.5 });
    account.aws.throttle(RateBucket::Ec2Read, Rate { burst: 1, per_second: 1.0 });
    let list = async || account.aws.describe_load_balancers(&Select::All, None).await;

    assert!(list().await.is_ok() && list().await.is_ok());
    assert_eq!(list().await.code(), "Throttling");
    assert!(account.aws.describe_availability_zones().await.is_ok());
    assert_eq!(account.aws.describe_availability_zones().await.code(), "RequestLimitExceeded");

    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(list().await.is_ok());
}

#[tokio::test]
async fn requests_are_counted_also_those_that_fail() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.load_balancers = 1));
    account.load_balancer("one").await;
    let _ = account.aws.create_load_balancer(&account.a_load_balancer("two")).await;
    let _ = account.aws.describe_load_balancers(&Select::All, None).await;

    assert_eq!(account.aws.count(Call::CreateLoadBalancer), 2);
    assert_eq!(account.aws.requests().len(), 3);
    assert_eq!(account.aws.writes().len(), 2);
    account.aws.forget_requests();
    assert!(account.aws.requests().is_empty());
}

#[tokio::test]
async fn what_was_seeded_does_not_remain_but_rules_added_to_it_do() {
    let account = Account::new().await;
    let mut theirs = account.a_load_balancer("theirs");
    theirs.security_groups = [account.vpc.node_group.clone()].into();
    account.aws.seed_load_balancer(&theirs).await.unwrap();
    account.aws.delete_security_group(&account.group).await.unwrap();
    assert!(account.aws.is_empty(), "{:?}", account.aws.remaining());

    let rule = provider_aws::client::IngressRule {
        traffic: provider_aws::client::Traffic::All,
        source: provider_aws::client::RuleSource::Ipv4("0.0.0.0/0".parse().unwrap()),
        description: None,
    };
    account.aws.authorize_security_group_ingress(&account.vpc.node_group, &[rule]).await.unwrap();
    let expected = format!("rule of security group {}: all traffic from 0.0.0.0/0", account.vpc.node_group);
    assert_eq!(account.aws.remaining(), [expected]);
}

#[tokio::test]
async fn permissions_are_those_of_the_request_and_of_what_aws_calls_in_its_name() {
    let account = Account::new().await;
    for call in [Call::CreateLoadBalancer, Call::CreateTargetGroup] {
        for missing in call.needed_actions() {
            let all = Call::ALL.iter().flat_map(|call| call.needed_actions());
            account.aws.permit_only(all.filter(|action| *action != missing).map(str::to_owned));
            let refused = match call {
                Call::CreateLoadBalancer => {
                    account.aws.create_load_balancer(&account.a_load_balancer("web")).await.map(drop)
                }
                _ => {
                    let request = account.a_target_group("web", provider_aws::client::Protocol::Tcp);
                    account.aws.create_target_group(&request).await.map(drop)
                }
            };
            assert_eq!(refused.code(), "AccessDenied", "{call} without {missing}");
        }
    }
    account.aws.permit_only(["ec2:DescribeVpcs".to_owned()]);
    assert_eq!(account.aws.describe_availability_zones().await.code(), "UnauthorizedOperation");
}
