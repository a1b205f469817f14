//! What AWS accepts at once and shows later.

use std::{slice, time::Duration};

use provider_aws::client::{
    CreateListener, Ec2, Elbv2, LoadBalancerState, Protocol, SecurityGroupQuery, Select, Target, TargetState,
    fake::{Lag, Lags},
};

use super::account::{Account, Refused, a_group, a_listener, tags};

#[tokio::test]
async fn a_load_balancer_is_provisioning_for_some_looks() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::Looks(2)));
    let lb = account.load_balancer("web").await;
    assert_eq!(lb.state, LoadBalancerState::Provisioning);

    let mut states = Vec::new();
    for _ in 0..3 {
        let told =
            account.aws.describe_load_balancers(&Select::Arns(vec![lb.arn.clone()]), None).await.unwrap();
        states.push(told.items[0].state);
    }
    use LoadBalancerState::{Active, Provisioning};
    assert_eq!(states, [Provisioning, Provisioning, Active]);
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_is_provisioning_for_some_time() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::For(Duration::from_secs(120))));
    account.load_balancer("web").await;
    let state =
        async || account.aws.describe_load_balancers(&Select::All, None).await.unwrap().items[0].state;

    assert_eq!(state().await, LoadBalancerState::Provisioning);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(state().await, LoadBalancerState::Active);
}

#[tokio::test]
async fn a_new_target_is_initial_from_its_first_use_on() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.health_checks = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let node = account.aws.seed_nodes(&account.vpc, 1).remove(0);
    account.aws.register_targets(&tg.arn, &[Target::new(node, 30080)]).await.unwrap();
    let state = async || account.aws.describe_target_health(&tg.arn, &[]).await.unwrap()[0].state;
    assert_eq!(state().await, TargetState::Unused);
    assert_eq!(state().await, TargetState::Unused);

    account.listener(&lb, &tg, 80).await;
    assert_eq!(state().await, TargetState::Initial);
    assert_eq!(state().await, TargetState::Healthy);
}

#[tokio::test]
async fn a_deregistered_target_drains_and_may_be_taken_back() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.draining = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.listener(&lb, &tg, 80).await;
    let node = [Target::new(account.aws.seed_nodes(&account.vpc, 1).remove(0), 30080)];
    let states = async || {
        let told = account.aws.describe_target_health(&tg.arn, &[]).await.unwrap();
        told.into_iter().map(|health| health.state).collect::<Vec<_>>()
    };
    account.aws.register_targets(&tg.arn, &node).await.unwrap();
    account.aws.deregister_targets(&tg.arn, &node).await.unwrap();
    assert_eq!(states().await, [TargetState::Draining]);
    assert_eq!(states().await, []);

    account.aws.register_targets(&tg.arn, &node).await.unwrap();
    account.aws.deregister_targets(&tg.arn, &node).await.unwrap();
    account.aws.register_targets(&tg.arn, &node).await.unwrap();
    assert_eq!(states().await, [TargetState::Healthy]);
}

#[tokio::test]
async fn the_security_group_of_a_deleted_load_balancer_is_in_use_for_a_while() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.network_interfaces = Lag::Looks(2)));
    let lb = account.load_balancer("web").await;
    account.aws.delete_load_balancer(&lb.arn).await.unwrap();

    for _ in 0..2 {
        assert_eq!(account.aws.delete_security_group(&account.group).await.code(), "DependencyViolation");
    }
    account.aws.delete_security_group(&account.group).await.unwrap();
    assert!(account.aws.is_empty());
}

#[tokio::test]
async fn a_deleted_load_balancer_is_still_listed_but_its_tags_are_gone() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.deleted_listed = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    account.aws.delete_load_balancer(&lb.arn).await.unwrap();
    let listed = async || account.aws.describe_load_balancers(&Select::All, None).await.unwrap().items.len();

    assert_eq!(account.aws.describe_tags(slice::from_ref(&lb.arn)).await.code(), "LoadBalancerNotFound");
    assert_eq!(listed().await, 1);
    assert_eq!(listed().await, 0);
}

#[tokio::test]
async fn a_new_listener_is_unknown_to_its_certificates_for_a_while() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.new_listener = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let tls = CreateListener {
        protocol: Protocol::Tls,
        default_certificate: Some(account.aws.seed_certificate()),
        ..a_listener(&lb, &tg, 443)
    };
    let listener = account.aws.create_listener(&tls).await.unwrap();
    let more = account.aws.seed_certificate();

    let early = account.aws.add_listener_certificates(&listener.arn, &more).await;
    assert_eq!(early.code(), "ListenerNotFound");
    account.aws.add_listener_certificates(&listener.arn, &more).await.unwrap();
}

#[tokio::test]
async fn a_released_target_group_is_in_use_for_a_while() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.released_target_group = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.listener(&lb, &tg, 80).await;
    account.aws.delete_load_balancer(&lb.arn).await.unwrap();

    assert_eq!(account.aws.delete_target_group(&tg.arn).await.code(), "ResourceInUse");
    account.aws.delete_target_group(&tg.arn).await.unwrap();
}

#[tokio::test]
async fn a_new_security_group_is_unknown_for_a_while() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.new_security_group = Lag::Looks(2)));
    let id = account.aws.create_security_group(&a_group(&account.vpc.id, "web")).await.unwrap();
    let query = SecurityGroupQuery { ids: vec![id.clone()], ..SecurityGroupQuery::default() };

    assert!(account.aws.describe_security_groups(&query, None).await.unwrap().items.is_empty());
    let tagged = account.aws.create_tags(slice::from_ref(&id), &tags(&[("k", "v")])).await;
    assert_eq!(tagged.code(), "InvalidGroup.NotFound");
    account.aws.create_tags(slice::from_ref(&id), &tags(&[("k", "v")])).await.unwrap();
}

#[tokio::test]
async fn settling_ends_everything_under_way() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::looks(1000));
    let lb = account.load_balancer("web").await;
    account.aws.settle();
    let told = account.aws.describe_load_balancers(&Select::All, None).await.unwrap();
    assert_eq!(told.items[0].state, LoadBalancerState::Active);

    account.aws.delete_load_balancer(&lb.arn).await.unwrap();
    account.aws.settle();
    account.aws.delete_security_group(&account.group).await.unwrap();
    assert!(account.aws.is_empty());
}
