//! Reads that callers share.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use provider_aws::client::{
    Aws, Call, Ec2, IngressRule, Protocol, RuleSource, SecurityGroupQuery, SharingOptions, SubnetQuery,
    TagFilter, Traffic, fake::Fault,
};

use super::account::{Account, Refused, a_group, tags};

/// An account whose requests take a while, so that callers meet.
async fn shared() -> (Account, Aws) {
    let account = Account::new().await;
    account.aws.set_latency(Duration::from_millis(100));
    let aws = Aws::new(account.aws.clone(), SharingOptions::default());
    (account, aws)
}

fn any_subnet() -> SubnetQuery {
    SubnetQuery::default()
}

#[tokio::test(start_paused = true)]
async fn equal_questions_at_the_same_time_are_one_request() {
    let (account, aws) = shared().await;
    let answers = join_all((0..100).map(|_| async { aws.subnets(&any_subnet()).await.unwrap() })).await;

    assert!(answers.iter().all(|subnets| subnets.len() == 6));
    assert_eq!(account.aws.requests(), [Call::DescribeSubnets]);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_again_while_others_are_still_given_the_answer_is_given_it_too() {
    let (account, aws) = shared().await;
    let twice = || async {
        for _ in 0..2 {
            aws.subnets(&any_subnet()).await.unwrap();
        }
    };
    join_all((0..20).map(|_| twice())).await;
    assert_eq!(account.aws.requests(), [Call::DescribeSubnets]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_for_a_while() {
    let (account, aws) = shared().await;
    for _ in 0..2 {
        aws.subnets(&any_subnet()).await.unwrap();
        aws.vpc(&account.vpc.id).await.unwrap().unwrap();
        aws.route_tables(&account.vpc.id).await.unwrap();
        aws.zones().await.unwrap();
    }
    assert_eq!(account.aws.requests().len(), 4);

    tokio::time::advance(SharingOptions::default().keep_network).await;
    aws.subnets(&any_subnet()).await.unwrap();
    assert_eq!(account.aws.count(Call::DescribeSubnets), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_by_those_who_waited_and_not_kept() {
    let (account, aws) = shared().await;
    account.aws.fail_nth(Call::DescribeSubnets, 1, Fault::before("RequestLimitExceeded"));
    let query = any_subnet();
    let (one, two) = tokio::join!(aws.subnets(&query), aws.subnets(&query));
    assert_eq!(
        (one.code(), two.code()),
        ("RequestLimitExceeded".to_owned(), "RequestLimitExceeded".to_owned())
    );

    assert!(aws.subnets(&query).await.is_ok());
    assert_eq!(account.aws.count(Call::DescribeSubnets), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_take_the_answer_with_it() {
    let (account, aws) = shared().await;
    let query = any_subnet();
    let hasty = tokio::time::timeout(Duration::from_millis(50), aws.subnets(&query));
    let (hasty, patient) = tokio::join!(hasty, aws.subnets(&query));

    assert!(hasty.is_err());
    assert_eq!(patient.unwrap().len(), 6);
    assert_eq!(account.aws.count(Call::DescribeSubnets), 2);
}

fn a_rule(port: u16) -> IngressRule {
    IngressRule {
        traffic: Traffic::Tcp { from: port, to: port },
        source: RuleSource::Ipv4("0.0.0.0/0".parse().unwrap()),
        description: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_ours_to_a_security_group_is_known_and_read_again_where_it_is_not_known_how_it_ended() {
    let (account, aws) = shared().await;
    let query = SecurityGroupQuery { ids: vec![account.group.clone()], ..Default::default() };
    let rules = async || aws.security_groups(&query).await.unwrap()[0].ingress.len();
    assert_eq!(rules().await, 0);

    aws.authorize_security_group_ingress(&account.group, &[a_rule(80)]).await.unwrap();
    assert_eq!(rules().await, 1);
    account.aws.fail_nth(Call::AuthorizeSecurityGroupIngress, 1, Fault::reply_lost());
    aws.authorize_security_group_ingress(&account.group, &[a_rule(81)]).await.unwrap_err();
    assert_eq!(rules().await, 2);
    account.aws.fail_nth(Call::RevokeSecurityGroupIngress, 1, Fault::HangAfter);
    let revoke = [a_rule(80)];
    let revoke = aws.revoke_security_group_ingress(&account.group, &revoke);
    tokio::time::timeout(Duration::from_secs(1), revoke).await.unwrap_err();
    assert_eq!(rules().await, 1);

    assert_eq!(rules().await, 1);
    assert_eq!(account.aws.count(Call::DescribeSecurityGroups), 3, "the first change was known");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_security_groups_after_changes_of_ours_is_what_aws_says() {
    let (account, aws) = shared().await;
    let query = SecurityGroupQuery { tags: vec![TagFilter::equals("owner", "us")], ..Default::default() };
    aws.security_groups(&query).await.unwrap();
    account.aws.forget_requests();
    let mut made = Vec::new();
    for name in ["one", "two"] {
        let mut request = a_group(&account.vpc.id, name);
        request.tags = tags(&[("owner", "us")]);
        made.push(aws.create_security_group(&request).await.unwrap());
    }
    aws.create_security_group(&a_group(&account.vpc.id, "nobodys")).await.unwrap();
    aws.authorize_security_group_ingress(&made[0], &[a_rule(82), a_rule(81), a_rule(80)]).await.unwrap();
    aws.revoke_security_group_ingress(&made[0], &[a_rule(81)]).await.unwrap();
    aws.delete_security_group(&made[1]).await.unwrap();

    let known = aws.security_groups(&query).await.unwrap();
    assert_eq!(account.aws.count(Call::DescribeSecurityGroups), 0, "nothing was asked");
    let told = account.aws.describe_security_groups(&query, None).await.unwrap().items;
    assert_eq!(*known, told);
    assert_eq!(known.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_of_other_security_groups_do_not_make_it_read_again() {
    let (account, aws) = shared().await;
    let query = SecurityGroupQuery { ids: vec![account.vpc.node_group.clone()], ..Default::default() };
    aws.security_groups(&query).await.unwrap();

    let other = aws.create_security_group(&a_group(&account.vpc.id, "other")).await.unwrap();
    aws.authorize_security_group_ingress(&other, &[a_rule(80)]).await.unwrap();
    aws.delete_security_group(&other).await.unwrap();
    aws.security_groups(&query).await.unwrap();
    assert_eq!(account.aws.count(Call::DescribeSecurityGroups), 1);
}

#[tokio::test(start_paused = true)]
async fn a_query_finds_a_security_group_that_was_made_since() {
    let (account, aws) = shared().await;
    let query = SecurityGroupQuery { tags: vec![TagFilter::equals("owner", "us")], ..Default::default() };
    let found = async || aws.security_groups(&query).await.unwrap().len();
    assert_eq!(found().await, 0);

    let mut made = a_group(&account.vpc.id, "ours");
    made.tags = tags(&[("owner", "us")]);
    aws.create_security_group(&made).await.unwrap();
    assert_eq!(found().await, 1);
    aws.create_tags(std::slice::from_ref(&account.group), &tags(&[("owner", "us")])).await.unwrap();
    assert_eq!(found().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_begun_before_a_write_is_not_shared_after_it() {
    let (account, aws) = shared().await;
    let query = SecurityGroupQuery { ids: vec![account.group.clone()], ..Default::default() };
    let rule = [a_rule(80)];
    // The write takes effect while the slow read, which may or may not see it, is under way.
    let slow_read = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        aws.security_groups(&query).await.unwrap();
    };
    let write_then_read = async {
        aws.authorize_security_group_ingress(&account.group, &rule).await.unwrap();
        aws.security_groups(&query).await.unwrap()[0].ingress.len()
    };
    let ((), seen) = tokio::join!(slow_read, write_then_read);

    assert_eq!(seen, 1);
    assert_eq!(account.aws.count(Call::DescribeSecurityGroups), 2);
}

#[tokio::test(start_paused = true)]
async fn tags_are_asked_for_twenty_resources_at_a_time() {
    let (account, aws) = shared().await;
    let mut arns = Vec::new();
    for n in 0..45 {
        arns.push(account.load_balancer(&format!("lb-{n}")).await.arn);
    }
    account.aws.forget_requests();
    let asked = arns.iter().map(|arn| async { aws.tags(std::slice::from_ref(arn)).await.unwrap().len() });

    assert!(join_all(asked).await.into_iter().all(|found| found == 1));
    assert_eq!(account.aws.requests(), [Call::DescribeTags; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_absent_resource_does_not_hide_the_tags_of_others() {
    let (account, aws) = shared().await;
    let lb = account.load_balancer("web").await;
    let absent = format!("{}0", lb.arn);
    let told = aws.tags(&[absent.clone(), lb.arn.clone()]).await.unwrap();

    assert_eq!(told.keys().collect::<Vec<_>>(), [&lb.arn]);
    assert!(aws.tags(&[absent]).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn instances_are_asked_for_together_and_kept() {
    let (account, aws) = shared().await;
    let nodes = account.aws.seed_nodes(&account.vpc, 3);
    let ask = async |ids: &[String]| {
        aws.instances(&ids.iter().cloned().collect::<BTreeSet<_>>()).await.unwrap().len()
    };
    let (one, two) = tokio::join!(ask(&nodes[..2]), ask(&nodes[1..]));
    assert_eq!((one, two), (2, 2));
    assert_eq!(ask(&nodes).await, 3);
    assert_eq!(account.aws.count(Call::DescribeInstances), 1);

    aws.forget_instances([nodes[0].as_str()]);
    assert_eq!(ask(&nodes).await, 3);
    assert_eq!(account.aws.count(Call::DescribeInstances), 2);
}

#[tokio::test(start_paused = true)]
async fn an_absent_instance_is_asked_for_again() {
    let (account, aws) = shared().await;
    let absent = BTreeSet::from(["i-absent".to_owned()]);
    for _ in 0..2 {
        assert!(aws.instances(&absent).await.unwrap().is_empty());
    }
    assert_eq!(account.aws.count(Call::DescribeInstances), 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_of_a_batch_may_give_up() {
    let (account, aws) = shared().await;
    let nodes = account.aws.seed_nodes(&account.vpc, 2);
    let ids: Vec<BTreeSet<String>> = nodes.iter().map(|id| BTreeSet::from([id.clone()])).collect();
    let hasty = tokio::time::timeout(Duration::from_millis(1), aws.instances(&ids[0]));
    let (hasty, patient) = tokio::join!(hasty, aws.instances(&ids[1]));

    assert!(hasty.is_err());
    assert_eq!(patient.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_of_single_resources_are_always_asked_anew() {
    let (account, aws) = shared().await;
    let lb = account.load_balancer("web").await;
    for _ in 0..2 {
        aws.elbv2().describe_load_balancer_attributes(&lb.arn).await.unwrap();
        aws.listeners(&lb.arn).await.unwrap();
    }
    assert_eq!(account.aws.count(Call::DescribeLoadBalancerAttributes), 2);
    assert_eq!(account.aws.count(Call::DescribeListeners), 2);
}

#[tokio::test(start_paused = true)]
async fn tags_of_several_kinds_are_asked_for_by_kind() {
    let (account, aws) = shared().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.aws.forget_requests();

    let found = aws.tags(&[lb.arn.clone(), tg.arn.clone()]).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&lb.arn, &tg.arn]);
    assert_eq!(account.aws.requests(), [Call::DescribeTags, Call::DescribeTags]);
}

#[tokio::test(start_paused = true)]
async fn tags_are_written_one_resource_a_request_and_none_for_no_resource() {
    let (account, aws) = shared().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.aws.forget_requests();

    aws.add_tags(&[], &tags(&[("k", "v")])).await.unwrap();
    assert_eq!(account.aws.requests(), []);
    aws.add_tags(&[lb.arn.clone(), tg.arn.clone()], &tags(&[("k", "v")])).await.unwrap();
    aws.remove_tags(&[lb.arn, tg.arn], &["k".to_owned()]).await.unwrap();
    assert_eq!(account.aws.count(Call::AddTags), 2);
    assert_eq!(account.aws.count(Call::RemoveTags), 2);
}
