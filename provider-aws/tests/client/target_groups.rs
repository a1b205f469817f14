//! Rules on target groups.

use provider_aws::client::{
    CreateListener, CreateTargetGroup, Elbv2, HealthCheck, HealthCheckProtocol, ModifyTargetGroup, Protocol,
    Select, Tags, TargetType, fake::Quotas,
};

use super::account::{Account, Refused, a_health_check, a_listener, tags};

#[tokio::test]
async fn names_have_1_to_32_letters_digits_and_hyphens_and_may_begin_with_internal() {
    let account = Account::new().await;
    let create = async |name: &str| {
        account.aws.create_target_group(&account.a_target_group(name, Protocol::Tcp)).await
    };
    for bad in ["", "a23456789012345678901234567890123", "-a", "a-", "a_b"] {
        assert_eq!(create(bad).await.code(), "ValidationError", "{bad:?}");
    }
    assert!(create("internal-a").await.is_ok());
}

#[tokio::test]
async fn same_name_and_settings_return_what_exists_other_settings_are_a_duplicate() {
    let account = Account::new().await;
    let first = account.target_group("web", Protocol::Tcp).await;
    let same = CreateTargetGroup {
        tags: tags(&[("owner", "somebody else")]),
        ..account.a_target_group("web", Protocol::Tcp)
    };
    let other = CreateTargetGroup { port: 30081, ..same.clone() };

    assert_eq!(account.aws.create_target_group(&same).await.unwrap(), first);
    assert_eq!(account.aws.create_target_group(&other).await.code(), "DuplicateTargetGroupName");
}

#[tokio::test]
async fn target_groups_of_a_region_are_limited() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.target_groups = 1));
    account.target_group("one", Protocol::Tcp).await;

    let second = account.aws.create_target_group(&account.a_target_group("two", Protocol::Tcp)).await;
    assert_eq!(second.code(), "TooManyTargetGroups");
}

#[tokio::test]
async fn health_checks_have_ranges() {
    let account = Account::new().await;
    let good = a_health_check();
    let http = HealthCheck { protocol: HealthCheckProtocol::Http, ..good.clone() };
    let with_path = |path: &str| HealthCheck { path: Some(path.to_owned()), ..http.clone() };
    let with_codes = |codes: &str| HealthCheck { matcher: Some(codes.to_owned()), ..http.clone() };
    let bad = [
        HealthCheck { interval_seconds: 4, ..good.clone() },
        HealthCheck { interval_seconds: 301, ..good.clone() },
        HealthCheck { timeout_seconds: 1, ..good.clone() },
        HealthCheck { timeout_seconds: 121, interval_seconds: 300, ..good.clone() },
        HealthCheck { timeout_seconds: 11, ..good.clone() },
        HealthCheck { healthy_threshold: 1, ..good.clone() },
        HealthCheck { unhealthy_threshold: 11, ..good.clone() },
        HealthCheck { path: Some("/".to_owned()), ..good.clone() },
        with_path("healthz"),
        with_path(&format!("/{}", "a".repeat(1024))),
        with_codes("199"),
        with_codes("200-600"),
        with_codes("300-200"),
    ];
    let tg = account.target_group("web", Protocol::Tcp).await;
    for health_check in bad {
        let create = CreateTargetGroup {
            health_check: health_check.clone(),
            ..account.a_target_group("x", Protocol::Tcp)
        };
        assert_eq!(account.aws.create_target_group(&create).await.code(), "ValidationError");
        let modify = ModifyTargetGroup { target_group_arn: tg.arn.clone(), health_check };
        assert_eq!(account.aws.modify_target_group(&modify).await.code(), "ValidationError");
    }
    let health_check = HealthCheck { matcher: Some("200,204,300-399".to_owned()), ..with_path("/healthz") };
    let modify = ModifyTargetGroup { target_group_arn: tg.arn.clone(), health_check };
    assert!(account.aws.modify_target_group(&modify).await.is_ok());
}

#[tokio::test]
async fn the_vpc_must_exist_and_quic_needs_addresses_as_targets() {
    let account = Account::new().await;
    let mut elsewhere = account.a_target_group("web", Protocol::Tcp);
    elsewhere.vpc_id = "vpc-absent".to_owned();
    let mut quic = account.a_target_group("web", Protocol::Quic);

    assert_eq!(account.aws.create_target_group(&elsewhere).await.code(), "InvalidConfigurationRequest");
    assert_eq!(account.aws.create_target_group(&quic).await.code(), "InvalidConfigurationRequest");
    quic.target_type = TargetType::Ip;
    assert!(account.aws.create_target_group(&quic).await.is_ok());
}

#[tokio::test]
async fn a_target_group_in_use_is_not_deleted_an_absent_one_is() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let listener = account.listener(&lb, &tg, 80).await;
    assert_eq!(account.aws.delete_target_group(&tg.arn).await.code(), "ResourceInUse");

    account.aws.delete_listener(&listener.arn).await.unwrap();
    account.aws.delete_target_group(&tg.arn).await.unwrap();
    account.aws.delete_target_group(&tg.arn).await.unwrap();
}

#[tokio::test]
async fn one_absent_name_fails_the_whole_description() {
    let account = Account::new().await;
    account.target_group("web", Protocol::Tcp).await;
    let select = Select::Names(vec!["web".to_owned(), "absent".to_owned()]);

    assert_eq!(account.aws.describe_target_groups(&select, None).await.code(), "TargetGroupNotFound");
}

#[tokio::test]
async fn a_target_group_tells_its_load_balancer() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.listener(&lb, &tg, 80).await;

    let told = account.aws.describe_target_groups(&Select::All, None).await.unwrap();
    assert_eq!(told.items[0].load_balancer_arns, [lb.arn]);
}

#[tokio::test]
async fn client_addresses_of_datagrams_are_always_preserved() {
    let account = Account::new().await;
    let off = tags(&[("preserve_client_ip.enabled", "false")]);
    for (name, protocol) in [("udp", Protocol::Udp), ("both", Protocol::TcpUdp)] {
        let tg = account.target_group(name, protocol).await;
        let refused = account.aws.modify_target_group_attributes(&tg.arn, &off).await;
        assert_eq!(refused.code(), "InvalidConfigurationRequest");
    }
    let tg = account.target_group("tcp", Protocol::Tcp).await;
    assert!(account.aws.modify_target_group_attributes(&tg.arn, &off).await.is_ok());
}

#[tokio::test]
async fn attributes_have_defaults_by_protocol_and_target_type() {
    let account = Account::new().await;
    let told = async |name: &str, protocol, target_type| {
        let request = CreateTargetGroup { target_type, ..account.a_target_group(name, protocol) };
        let tg = account.aws.create_target_group(&request).await.unwrap();
        let told = account.aws.describe_target_group_attributes(&tg.arn).await.unwrap();
        [
            told["preserve_client_ip.enabled"].clone(),
            told["deregistration_delay.connection_termination.enabled"].clone(),
        ]
    };

    assert_eq!(told("a", Protocol::Tcp, TargetType::Instance).await, ["true", "false"]);
    assert_eq!(told("b", Protocol::Tcp, TargetType::Ip).await, ["false", "false"]);
    assert_eq!(told("c", Protocol::Udp, TargetType::Ip).await, ["true", "true"]);
}

#[tokio::test]
async fn attributes_have_ranges() {
    let account = Account::new().await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    for bad in [
        tags(&[("deregistration_delay.timeout_seconds", "3601")]),
        tags(&[("stickiness.type", "lb_cookie")]),
        tags(&[("slow_start.duration_seconds", "30")]),
    ] {
        let refused = account.aws.modify_target_group_attributes(&tg.arn, &bad).await;
        assert_eq!(refused.code(), "ValidationError", "{bad:?}");
    }
}

#[tokio::test]
async fn what_becomes_of_connections_to_unhealthy_targets_is_for_connections() {
    let account = Account::new().await;
    let (ends, drains) = (
        "target_health_state.unhealthy.connection_termination.enabled",
        "target_health_state.unhealthy.draining_interval_seconds",
    );
    let tcp = account.target_group("tcp", Protocol::Tcp).await;
    let set = async |arn: &str, pairs: &[(&str, &str)]| {
        account.aws.modify_target_group_attributes(arn, &tags(pairs)).await
    };

    for protocol in [Protocol::Udp, Protocol::TcpUdp] {
        let tg = account.target_group(&protocol.to_string().replace('_', "-"), protocol).await;
        for value in ["true", "false"] {
            assert_eq!(set(&tg.arn, &[(ends, value)]).await.code(), "InvalidConfigurationRequest");
        }
    }
    assert_eq!(set(&tcp.arn, &[(drains, "10")]).await.code(), "InvalidConfigurationRequest");
    set(&tcp.arn, &[(ends, "false"), (drains, "10")]).await.unwrap();
    set(&tcp.arn, &[(drains, "20")]).await.unwrap();
    let both = set(&tcp.arn, &[(ends, "true"), (drains, "0")]).await;
    assert_eq!(both.code(), "InvalidConfigurationRequest");
    set(&tcp.arn, &[(ends, "true")]).await.unwrap();
}

#[tokio::test]
async fn a_health_check_that_becomes_one_of_tcp_goes_on_showing_its_path() {
    let account = Account::new().await;
    let http = HealthCheck {
        protocol: HealthCheckProtocol::Http,
        path: Some("/live".to_owned()),
        matcher: Some("200-399".to_owned()),
        ..a_health_check()
    };
    let request = CreateTargetGroup { health_check: http, ..account.a_target_group("web", Protocol::Tcp) };
    let tg = account.aws.create_target_group(&request).await.unwrap();
    let to_tcp = ModifyTargetGroup { target_group_arn: tg.arn.clone(), health_check: a_health_check() };
    account.aws.modify_target_group(&to_tcp).await.unwrap();

    let shown =
        account.aws.describe_target_groups(&Select::All, None).await.unwrap().items.remove(0).health_check;
    assert_eq!((shown.protocol, shown.path.as_deref()), (HealthCheckProtocol::Tcp, Some("/live")));
}

#[tokio::test]
async fn tags_of_target_groups_and_listeners_are_limited_too() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let many: Tags = (0..51).map(|n| (format!("k{n}"), String::new())).collect();

    let request = CreateTargetGroup { tags: many.clone(), ..account.a_target_group("other", Protocol::Tcp) };
    assert_eq!(account.aws.create_target_group(&request).await.code(), "TooManyTags");
    let request = CreateListener { tags: many.clone(), ..a_listener(&lb, &tg, 80) };
    assert_eq!(account.aws.create_listener(&request).await.code(), "TooManyTags");
    assert_eq!(account.aws.add_tags(&tg.arn, &many).await.code(), "TooManyTags");
}

#[tokio::test]
async fn an_absent_target_group_is_not_changed() {
    let account = Account::new().await;
    let request = ModifyTargetGroup { target_group_arn: "absent".to_owned(), health_check: a_health_check() };

    assert_eq!(account.aws.modify_target_group(&request).await.code(), "TargetGroupNotFound");
    let attributes = tags(&[("proxy_protocol_v2.enabled", "true")]);
    let refused = account.aws.modify_target_group_attributes("absent", &attributes).await;
    assert_eq!(refused.code(), "TargetGroupNotFound");
}
