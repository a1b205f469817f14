//! Rules on listeners.

use std::collections::BTreeSet;

use provider_aws::client::{
    AlpnPolicy, CreateListener, CreateLoadBalancer, CreateTargetGroup, Elbv2, Forward, IpAddressType,
    ModifyListener, Protocol, SubnetMapping, TargetFamily, TargetGroup, TargetType, WeightedTargetGroup,
    fake::Quotas,
};

use super::account::{Account, Refused, a_listener, tags};

#[tokio::test]
async fn a_port_has_one_listener_even_between_tcp_and_udp() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tcp = account.target_group("tcp", Protocol::Tcp).await;
    let udp = account.target_group("udp", Protocol::Udp).await;
    account.listener(&lb, &tcp, 53).await;

    assert_eq!(account.aws.create_listener(&a_listener(&lb, &udp, 53)).await.code(), "DuplicateListener");
}

#[tokio::test]
async fn the_same_listener_again_is_the_one_that_exists() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let first = account.listener(&lb, &tg, 80).await;

    assert_eq!(account.listener(&lb, &tg, 80).await, first);
}

#[tokio::test]
async fn a_listener_forwards_only_to_protocols_that_fit() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let certificate = account.aws.seed_certificate();
    let protocols = [Protocol::Tcp, Protocol::Tls, Protocol::Udp, Protocol::TcpUdp];
    let mut refused = BTreeSet::new();
    for from in protocols {
        for to in protocols {
            let name = format!("{from}-{to}").replace('_', "");
            let tg = account.target_group(&name, to).await;
            let request = CreateListener {
                protocol: from,
                default_certificate: (from == Protocol::Tls).then(|| certificate.clone()),
                ..a_listener(&lb, &tg, 80)
            };
            match account.aws.create_listener(&request).await {
                Ok(listener) => account.aws.delete_listener(&listener.arn).await.unwrap(),
                Err(error) => {
                    assert_eq!(error.code, "IncompatibleProtocols");
                    refused.insert((from, to));
                }
            }
        }
    }
    use Protocol::{Tcp, TcpUdp, Tls, Udp};
    let expected = BTreeSet::from([
        (Tcp, Tls),
        (Tcp, Udp),
        (Tls, Udp),
        (Tls, TcpUdp),
        (Udp, Tcp),
        (Udp, Tls),
        (TcpUdp, Tcp),
        (TcpUdp, Tls),
        (TcpUdp, Udp),
    ]);
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn http_is_for_application_load_balancers() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let request = CreateListener { protocol: Protocol::Http, ..a_listener(&lb, &tg, 80) };

    assert_eq!(account.aws.create_listener(&request).await.code(), "UnsupportedProtocol");
}

#[tokio::test]
async fn tls_needs_a_certificate_that_exists_and_others_may_have_none() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let certificate = Some(account.aws.seed_certificate());
    let tls = CreateListener { protocol: Protocol::Tls, ..a_listener(&lb, &tg, 443) };
    let create = async |request: CreateListener| account.aws.create_listener(&request).await;

    assert_eq!(create(tls.clone()).await.code(), "ValidationError");
    let absent = Some("arn:aws:acm:us-east-1:123456789012:certificate/absent".to_owned());
    let with_absent = CreateListener { default_certificate: absent, ..tls.clone() };
    assert_eq!(create(with_absent).await.code(), "CertificateNotFound");
    let tcp = CreateListener { default_certificate: certificate.clone(), ..a_listener(&lb, &tg, 80) };
    assert_eq!(create(tcp).await.code(), "ValidationError");

    let good = CreateListener { default_certificate: certificate, ..tls };
    let bad_policy = CreateListener { ssl_policy: Some("Strictest".to_owned()), ..good.clone() };
    assert_eq!(create(bad_policy).await.code(), "SSLPolicyNotFound");
    assert_eq!(create(good).await.unwrap().ssl_policy.as_deref(), Some("ELBSecurityPolicy-2016-08"));
}

#[tokio::test]
async fn only_tls_has_policies() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let alpn = CreateListener { alpn_policy: Some(AlpnPolicy::Http2Only), ..a_listener(&lb, &tg, 80) };

    assert_eq!(account.aws.create_listener(&alpn).await.code(), "ValidationError");
}

#[tokio::test]
async fn a_target_group_serves_one_load_balancer_at_most() {
    let account = Account::new().await;
    let (one, two) = (account.load_balancer("one").await, account.load_balancer("two").await);
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.listener(&one, &tg, 80).await;

    let refused = account.aws.create_listener(&a_listener(&two, &tg, 80)).await;
    assert_eq!(refused.code(), "TargetGroupAssociationLimit");
}

#[tokio::test]
async fn target_group_and_load_balancer_share_vpc_and_address_family() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let elsewhere = account.aws.seed_vpc(1);
    let foreign =
        CreateTargetGroup { vpc_id: elsewhere.id, ..account.a_target_group("foreign", Protocol::Tcp) };
    let ipv6 =
        CreateTargetGroup { family: TargetFamily::Ipv6, ..account.a_target_group("ipv6", Protocol::Tcp) };
    for request in [foreign, ipv6] {
        let tg = account.aws.create_target_group(&request).await.unwrap();
        let refused = account.aws.create_listener(&a_listener(&lb, &tg, 80)).await;
        assert_eq!(refused.code(), "InvalidConfigurationRequest");
    }
}

#[tokio::test]
async fn a_load_balancer_with_ipv6_targets_stays_dualstack() {
    let account = Account::new().await;
    let dualstack =
        CreateLoadBalancer { ip_address_type: IpAddressType::DualStack, ..account.a_load_balancer("web") };
    let lb = account.aws.create_load_balancer(&dualstack).await.unwrap();
    let ipv6 =
        CreateTargetGroup { family: TargetFamily::Ipv6, ..account.a_target_group("ipv6", Protocol::Tcp) };
    let tg = account.aws.create_target_group(&ipv6).await.unwrap();
    account.listener(&lb, &tg, 80).await;

    let refused = account.aws.set_ip_address_type(&lb.arn, IpAddressType::Ipv4).await;
    assert_eq!(refused.code(), "InvalidConfigurationRequest");
}

#[tokio::test]
async fn udp_on_dualstack_needs_source_nat_prefixes() {
    let account = Account::new().await;
    let tg = account.target_group("udp", Protocol::Udp).await;
    let with = |source_nat| CreateLoadBalancer {
        ip_address_type: IpAddressType::DualStack,
        ipv6_source_nat: source_nat,
        ..account.a_load_balancer(if source_nat { "with" } else { "without" })
    };
    let without = account.aws.create_load_balancer(&with(false)).await.unwrap();
    let refused = account.aws.create_listener(&a_listener(&without, &tg, 53)).await;
    assert_eq!(refused.code(), "InvalidConfigurationRequest");

    let lb = account.aws.create_load_balancer(&with(true)).await.unwrap();
    account.listener(&lb, &tg, 53).await;
    let off = provider_aws::client::SetSubnets {
        load_balancer_arn: lb.arn,
        subnets: account.vpc.private.iter().map(SubnetMapping::subnet).collect(),
        ipv6_source_nat: Some(false),
        ip_address_type: None,
    };
    assert_eq!(account.aws.set_subnets(&off).await.code(), "InvalidConfigurationRequest");
}

#[tokio::test]
async fn an_ipv4_load_balancer_with_udp_becomes_dualstack_only_with_source_nat() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("udp", Protocol::Udp).await;
    account.listener(&lb, &tg, 53).await;

    let refused = account.aws.set_ip_address_type(&lb.arn, IpAddressType::DualStack).await;
    assert_eq!(refused.code(), "InvalidConfigurationRequest");
}

#[tokio::test]
async fn quic_is_alone_and_without_security_groups() {
    let account = Account::new().await;
    let request =
        CreateTargetGroup { target_type: TargetType::Ip, ..account.a_target_group("quic", Protocol::Quic) };
    let quic = account.aws.create_target_group(&request).await.unwrap();
    let udp = account.target_group("udp", Protocol::Udp).await;
    let guarded = account.load_balancer("guarded").await;
    let refused = account.aws.create_listener(&a_listener(&guarded, &quic, 443)).await;
    assert_eq!(refused.code(), "InvalidConfigurationRequest");

    let open = CreateLoadBalancer { security_groups: BTreeSet::new(), ..account.a_load_balancer("open") };
    let open = account.aws.create_load_balancer(&open).await.unwrap();
    account.listener(&open, &quic, 443).await;
    for beside in [a_listener(&open, &quic, 444), a_listener(&open, &udp, 53)] {
        assert_eq!(account.aws.create_listener(&beside).await.code(), "InvalidConfigurationRequest");
    }
}

#[tokio::test]
async fn listeners_of_a_load_balancer_are_limited() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.listeners = 1));
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.listener(&lb, &tg, 80).await;

    assert_eq!(account.aws.create_listener(&a_listener(&lb, &tg, 81)).await.code(), "TooManyListeners");
}

#[tokio::test]
async fn a_forward_has_target_groups_each_once_with_weights_up_to_999() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let (one, two) =
        (account.target_group("one", Protocol::Tcp).await, account.target_group("two", Protocol::Tcp).await);
    let weighted = |weights: &[(&str, u16)]| {
        let share =
            |(arn, weight): &(&str, u16)| WeightedTargetGroup { arn: (*arn).to_owned(), weight: *weight };
        CreateListener {
            forward: Forward::weighted(weights.iter().map(share).collect()),
            ..a_listener(&lb, &one, 80)
        }
    };
    let create = async |request: CreateListener| account.aws.create_listener(&request).await;

    assert_eq!(create(weighted(&[])).await.code(), "InvalidLoadBalancerAction");
    assert_eq!(create(weighted(&[(&one.arn, 1), (&one.arn, 2)])).await.code(), "ValidationError");
    assert_eq!(create(weighted(&[(&one.arn, 1000)])).await.code(), "ValidationError");
    assert_eq!(create(weighted(&[("absent", 1)])).await.code(), "TargetGroupNotFound");
    assert!(create(weighted(&[(&one.arn, 999), (&two.arn, 0)])).await.is_ok());
}

#[tokio::test]
async fn ports_are_from_1_and_the_load_balancer_must_exist() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    assert_eq!(account.aws.create_listener(&a_listener(&lb, &tg, 0)).await.code(), "ValidationError");

    account.aws.delete_load_balancer(&lb.arn).await.unwrap();
    assert_eq!(account.aws.create_listener(&a_listener(&lb, &tg, 80)).await.code(), "LoadBalancerNotFound");
    assert_eq!(account.aws.describe_listeners(&lb.arn, None).await.code(), "LoadBalancerNotFound");
}

#[tokio::test]
async fn a_listener_changes_in_place_and_drops_what_only_tls_has() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let tls = CreateListener {
        protocol: Protocol::Tls,
        default_certificate: Some(account.aws.seed_certificate()),
        alpn_policy: Some(AlpnPolicy::Http2Preferred),
        ..a_listener(&lb, &tg, 443)
    };
    let listener = account.aws.create_listener(&tls).await.unwrap();
    let change = ModifyListener {
        listener_arn: listener.arn.clone(),
        protocol: Some(Protocol::Tcp),
        ..Default::default()
    };
    let changed = account.aws.modify_listener(&change).await.unwrap();

    assert_eq!((changed.default_certificate, changed.ssl_policy, changed.alpn_policy), (None, None, None));
    let back = ModifyListener { protocol: Some(Protocol::Tls), ..change };
    assert_eq!(account.aws.modify_listener(&back).await.code(), "ValidationError");
}

#[tokio::test]
async fn a_listener_does_not_move_to_a_port_that_is_taken() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let listener = account.listener(&lb, &tg, 80).await;
    account.listener(&lb, &tg, 81).await;
    let moved = ModifyListener { listener_arn: listener.arn, port: Some(81), ..Default::default() };

    assert_eq!(account.aws.modify_listener(&moved).await.code(), "DuplicateListener");
}

#[tokio::test]
async fn an_absent_listener_is_neither_changed_nor_deleted() {
    let account = Account::new().await;
    let change = ModifyListener { listener_arn: "absent".to_owned(), ..Default::default() };

    assert_eq!(account.aws.modify_listener(&change).await.code(), "ListenerNotFound");
    assert_eq!(account.aws.delete_listener("absent").await.code(), "ListenerNotFound");
}

#[tokio::test]
async fn certificates_are_for_tls_exist_and_are_limited_and_the_default_one_stays() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.certificates = 1));
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let certificates: Vec<String> = (0..3).map(|_| account.aws.seed_certificate()).collect();
    let tcp = account.listener(&lb, &tg, 80).await;
    let tls = CreateListener {
        protocol: Protocol::Tls,
        default_certificate: Some(certificates[0].clone()),
        ..a_listener(&lb, &tg, 443)
    };
    let tls = account.aws.create_listener(&tls).await.unwrap();
    let add =
        async |listener: &str, which: &str| account.aws.add_listener_certificates(listener, which).await;

    assert_eq!(add(&tcp.arn, &certificates[1]).await.code(), "InvalidConfigurationRequest");
    assert_eq!(add(&tls.arn, "absent").await.code(), "CertificateNotFound");
    add(&tls.arn, &certificates[1]).await.unwrap();
    assert_eq!(add(&tls.arn, &certificates[2]).await.code(), "TooManyCertificates");
    let default = account.aws.remove_listener_certificates(&tls.arn, &certificates[0]).await;
    assert_eq!(default.code(), "OperationNotPermitted");

    let told = account.aws.describe_listener_certificates(&tls.arn, None).await.unwrap();
    assert_eq!(told.items.iter().map(|c| c.is_default).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn idle_timeouts_are_for_tcp_from_60_to_6000_seconds() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let (tcp, udp) =
        (account.target_group("tcp", Protocol::Tcp).await, account.target_group("udp", Protocol::Udp).await);
    let tcp = account.listener(&lb, &tcp, 80).await;
    let udp = account.listener(&lb, &udp, 53).await;
    let set = async |arn: &str, seconds: &str| {
        account.aws.modify_listener_attributes(arn, &tags(&[("tcp.idle_timeout.seconds", seconds)])).await
    };

    assert_eq!(set(&tcp.arn, "59").await.code(), "ValidationError");
    assert_eq!(set(&tcp.arn, "6001").await.code(), "ValidationError");
    assert_eq!(set(&udp.arn, "60").await.code(), "InvalidConfigurationRequest");
    set(&tcp.arn, "60").await.unwrap();
    let told = account.aws.describe_listener_attributes(&tcp.arn).await.unwrap();
    assert_eq!(told, tags(&[("tcp.idle_timeout.seconds", "60")]));
}

#[tokio::test]
async fn target_groups_of_a_forward_and_of_a_load_balancer_are_limited() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let mut groups = Vec::new();
    for n in 0..6 {
        groups.push(account.target_group(&format!("t{n}"), Protocol::Tcp).await);
    }
    let shares = |count: usize| {
        let share = |tg: &TargetGroup| WeightedTargetGroup { arn: tg.arn.clone(), weight: 1 };
        CreateListener {
            forward: Forward::weighted(groups[..count].iter().map(share).collect()),
            ..a_listener(&lb, &groups[0], 80)
        }
    };
    assert_eq!(account.aws.create_listener(&shares(6)).await.code(), "TooManyActions");
    account.aws.create_listener(&shares(5)).await.unwrap();

    account.aws.set_quotas(Quotas::with(|quotas| quotas.target_groups_per_load_balancer = 5));
    account.aws.create_listener(&a_listener(&lb, &groups[4], 81)).await.expect("it is counted once");
    let sixth = account.aws.create_listener(&a_listener(&lb, &groups[5], 82)).await;
    assert_eq!(sixth.code(), "TooManyUniqueTargetGroupsPerLoadBalancer");
}
