//! Rules on targets.

use provider_aws::client::{
    CreateTargetGroup, Elbv2, InstanceState, Protocol, Target, TargetFamily, TargetGroup, TargetState,
    TargetType,
    fake::{InstanceSeed, Lag, Lags, Quotas},
};

use super::account::{Account, Refused, a_listener, tags};

const PORT: u16 = 30080;

fn targets(ids: &[String]) -> Vec<Target> {
    ids.iter().map(|id| Target::new(id, PORT)).collect()
}

async fn states(account: &Account, tg: &TargetGroup) -> Vec<(TargetState, Option<String>)> {
    let told = account.aws.describe_target_health(&tg.arn, &[]).await.unwrap();
    told.into_iter().map(|health| (health.state, health.reason)).collect()
}

#[tokio::test]
async fn one_bad_instance_fails_the_whole_registration() {
    let account = Account::new().await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let nodes = account.aws.seed_nodes(&account.vpc, 2);
    let register = async |ids: &[String]| account.aws.register_targets(&tg.arn, &targets(ids)).await;

    assert_eq!(register(&[nodes[0].clone(), "i-absent".to_owned()]).await.code(), "InvalidTarget");
    account.aws.change_instance(&nodes[1], |instance| instance.state = InstanceState::Stopped);
    assert_eq!(register(&nodes).await.code(), "InvalidTarget");
    assert!(states(&account, &tg).await.is_empty());
}

#[tokio::test]
async fn instances_are_of_the_vpc_and_not_of_an_old_type() {
    let account = Account::new().await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let elsewhere = account.aws.seed_vpc(1);
    let foreign = account.aws.seed_nodes(&elsewhere, 1);
    let old = account.aws.seed_instance(InstanceSeed {
        subnet_id: account.vpc.private[0].clone(),
        security_groups: Vec::new(),
        instance_type: "m3.large".to_owned(),
        tags: tags(&[]),
    });

    for bad in [foreign, vec![old]] {
        let refused = account.aws.register_targets(&tg.arn, &targets(&bad)).await;
        assert_eq!(refused.code(), "InvalidTarget");
    }
}

#[tokio::test]
async fn the_form_of_an_id_goes_with_the_target_type() {
    let account = Account::new().await;
    let instances = account.target_group("instances", Protocol::Tcp).await;
    let by_address = |family| CreateTargetGroup {
        target_type: TargetType::Ip,
        family,
        ..account.a_target_group(if family == TargetFamily::Ipv4 { "ipv4" } else { "ipv6" }, Protocol::Tcp)
    };
    let ipv4 = account.aws.create_target_group(&by_address(TargetFamily::Ipv4)).await.unwrap();
    let ipv6 = account.aws.create_target_group(&by_address(TargetFamily::Ipv6)).await.unwrap();
    let node = account.aws.seed_nodes(&account.vpc, 1).remove(0);
    let (v4, v6) = ("10.0.100.5".to_owned(), "2001:db8:0:64::5".to_owned());

    for (tg, id) in [(&instances, &v4), (&ipv4, &node), (&ipv4, &v6), (&ipv6, &v4)] {
        let refused = account.aws.register_targets(&tg.arn, &[Target::new(id, PORT)]).await;
        assert_eq!(refused.code(), "ValidationError", "{id} in {}", tg.name);
    }
    for (tg, id) in [(&instances, &node), (&ipv4, &v4), (&ipv6, &v6)] {
        account.aws.register_targets(&tg.arn, &[Target::new(id, PORT)]).await.unwrap();
    }
    let no_port = account.aws.register_targets(&ipv4.arn, &[Target::new(&v4, 0)]).await;
    assert_eq!(no_port.code(), "ValidationError");
}

#[tokio::test]
async fn an_instance_is_an_ipv6_target_by_its_primary_ipv6_address() {
    let account = Account::new().await;
    let request =
        CreateTargetGroup { family: TargetFamily::Ipv6, ..account.a_target_group("ipv6", Protocol::Tcp) };
    let tg = account.aws.create_target_group(&request).await.unwrap();
    let nodes = account.aws.seed_nodes(&account.vpc, 2);
    account.aws.change_instance(&nodes[1], |instance| instance.primary_ipv6 = None);

    account.aws.register_targets(&tg.arn, &targets(&nodes[..1])).await.unwrap();
    let refused = account.aws.register_targets(&tg.arn, &targets(&nodes[1..])).await;
    assert_eq!(refused.code(), "InvalidTarget");
}

#[tokio::test]
async fn a_request_about_targets_names_some() {
    let account = Account::new().await;
    let tg = account.target_group("web", Protocol::Tcp).await;

    assert_eq!(account.aws.register_targets(&tg.arn, &[]).await.code(), "ValidationError");
    assert_eq!(account.aws.deregister_targets(&tg.arn, &[]).await.code(), "ValidationError");
}

#[tokio::test]
async fn an_address_outside_the_vpc_needs_a_zone() {
    let account = Account::new().await;
    let request =
        CreateTargetGroup { target_type: TargetType::Ip, ..account.a_target_group("ip", Protocol::Tcp) };
    let tg = account.aws.create_target_group(&request).await.unwrap();
    let outside = Target::new("192.168.0.1", PORT);

    let refused = account.aws.register_targets(&tg.arn, std::slice::from_ref(&outside)).await;
    assert_eq!(refused.code(), "ValidationError");
    let with_zone = Target { zone: Some("all".to_owned()), ..outside };
    account.aws.register_targets(&tg.arn, &[with_zone]).await.unwrap();
}

#[tokio::test]
async fn registering_and_deregistering_twice_is_no_failure() {
    let account = Account::new().await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let nodes = targets(&account.aws.seed_nodes(&account.vpc, 1));

    for _ in 0..2 {
        account.aws.register_targets(&tg.arn, &nodes).await.unwrap();
        assert_eq!(states(&account, &tg).await.len(), 1);
    }
    for _ in 0..2 {
        account.aws.deregister_targets(&tg.arn, &nodes).await.unwrap();
        assert!(states(&account, &tg).await.is_empty());
    }
}

#[tokio::test]
async fn targets_of_a_group_are_limited() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.targets_per_group = 2));
    let tg = account.target_group("web", Protocol::Tcp).await;
    let nodes = targets(&account.aws.seed_nodes(&account.vpc, 3));

    account.aws.register_targets(&tg.arn, &nodes[..2]).await.unwrap();
    account.aws.register_targets(&tg.arn, &nodes[..2]).await.unwrap();
    assert_eq!(account.aws.register_targets(&tg.arn, &nodes[2..]).await.code(), "TooManyTargets");
}

#[tokio::test]
async fn targets_that_drain_count_until_they_are_gone() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.targets_per_group = 2));
    account.aws.set_lags(Lags::with(|lags| lags.draining = Lag::Looks(1)));
    let tg = account.target_group("web", Protocol::Tcp).await;
    let nodes = targets(&account.aws.seed_nodes(&account.vpc, 3));
    account.aws.register_targets(&tg.arn, &nodes[..2]).await.unwrap();

    account.aws.deregister_targets(&tg.arn, &nodes[..1]).await.unwrap();
    assert_eq!(account.aws.register_targets(&tg.arn, &nodes[2..]).await.code(), "TooManyTargets");
    for _ in 0..2 {
        account.aws.describe_target_health(&tg.arn, &[]).await.unwrap();
    }
    account.aws.register_targets(&tg.arn, &nodes[2..]).await.unwrap();
}

#[tokio::test]
async fn targets_of_a_load_balancer_are_limited_in_all_and_by_zone() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.listener(&lb, &tg, 80).await;
    let nodes = targets(&account.aws.seed_nodes(&account.vpc, 4));
    let register = async |quotas| {
        account.aws.set_quotas(quotas);
        account.aws.register_targets(&tg.arn, &nodes).await
    };

    assert_eq!(register(Quotas::with(|quotas| quotas.targets = 3)).await.code(), "TooManyTargets");
    assert_eq!(register(Quotas::with(|quotas| quotas.targets_per_zone = 1)).await.code(), "TooManyTargets");
    let across = tags(&[("load_balancing.cross_zone.enabled", "true")]);
    account.aws.modify_load_balancer_attributes(&lb.arn, &across).await.unwrap();
    let few_across = Quotas::with(|quotas| quotas.targets_across_zones = 3);
    assert_eq!(register(few_across).await.code(), "TooManyTargets");
    assert!(register(Quotas::default()).await.is_ok());
}

#[tokio::test]
async fn a_listener_brings_the_targets_of_its_group() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.targets = 2));
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let nodes = targets(&account.aws.seed_nodes(&account.vpc, 3));
    account.aws.register_targets(&tg.arn, &nodes).await.unwrap();

    let refused = account.aws.create_listener(&super::account::a_listener(&lb, &tg, 80)).await;
    assert_eq!(refused.code(), "TooManyTargets");
}

#[tokio::test]
async fn a_target_is_unused_until_a_listener_and_its_zone_use_it() {
    let account = Account::new().await;
    let mut one_zone = account.a_load_balancer("web");
    one_zone.subnets.truncate(1);
    let lb = account.aws.create_load_balancer(&one_zone).await.unwrap();
    let tg = account.target_group("web", Protocol::Tcp).await;
    let nodes = account.aws.seed_nodes(&account.vpc, 2);
    account.aws.register_targets(&tg.arn, &targets(&nodes)).await.unwrap();
    let not_in_use = (TargetState::Unused, Some("Target.NotInUse".to_owned()));
    assert_eq!(states(&account, &tg).await, [not_in_use.clone(), not_in_use.clone()]);

    account.listener(&lb, &tg, 80).await;
    assert_eq!(states(&account, &tg).await, [(TargetState::Healthy, None), not_in_use]);
}

#[tokio::test]
async fn health_tells_unwell_stopped_and_unregistered_targets() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let nodes = account.aws.seed_nodes(&account.vpc, 3);
    account.listener(&lb, &tg, 80).await;
    account.aws.register_targets(&tg.arn, &targets(&nodes[..2])).await.unwrap();
    account.aws.set_health(&nodes[0], TargetState::Unhealthy);
    account.aws.change_instance(&nodes[1], |instance| instance.state = InstanceState::Stopped);

    let told = account.aws.describe_target_health(&tg.arn, &targets(&nodes)).await.unwrap();
    let reasons: Vec<_> = told.into_iter().map(|health| health.reason.unwrap()).collect();
    assert_eq!(reasons, ["Target.FailedHealthChecks", "Target.InvalidState", "Target.NotRegistered"]);
}

#[tokio::test]
async fn an_absent_target_group_has_no_targets() {
    let account = Account::new().await;

    assert_eq!(account.aws.register_targets("absent", &[]).await.code(), "TargetGroupNotFound");
    assert_eq!(account.aws.deregister_targets("absent", &[]).await.code(), "TargetGroupNotFound");
    assert_eq!(account.aws.describe_target_health("absent", &[]).await.code(), "TargetGroupNotFound");
}

#[tokio::test]
async fn registrations_of_one_target_behind_a_load_balancer_are_limited() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.registrations_per_target = 2));
    let lb = account.load_balancer("web").await;
    let instance = account.aws.seed_nodes(&account.vpc, 1).remove(0);
    let (one, two) =
        (account.target_group("one", Protocol::Tcp).await, account.target_group("two", Protocol::Tcp).await);
    account.listener(&lb, &one, 80).await;
    let at = |port| [Target::new(&instance, port)];
    account.aws.register_targets(&one.arn, &at(1)).await.unwrap();
    account.aws.register_targets(&one.arn, &at(2)).await.unwrap();
    account.aws.register_targets(&one.arn, &at(2)).await.expect("it is there already");

    let third = account.aws.register_targets(&one.arn, &at(3)).await;
    assert_eq!(third.code(), "TooManyRegistrationsForTargetId");
    account.aws.register_targets(&two.arn, &at(1)).await.expect("no load balancer uses this group yet");
    let brought = account.aws.create_listener(&a_listener(&lb, &two, 81)).await;
    assert_eq!(brought.code(), "TooManyRegistrationsForTargetId");
}
