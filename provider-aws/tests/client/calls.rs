use std::collections::BTreeSet;

use provider_aws::{
    client::{ACTIONS, Call, RateBucket},
    error::{ApiError, ErrorKind, local_code},
};

#[test]
fn every_call_has_an_iam_action_of_its_own() {
    let actions: BTreeSet<&str> = Call::ALL.iter().map(|call| call.action()).collect();

    assert_eq!(actions.len(), Call::ALL.len());
    assert_eq!(actions, ACTIONS.iter().copied().collect());
    for call in Call::ALL {
        let service = call.action().split(':').next().unwrap();
        let expected = match call.rate_bucket() {
            RateBucket::ElbRead | RateBucket::ElbWrite | RateBucket::ElbTargets => "elasticloadbalancing",
            RateBucket::Ec2Read | RateBucket::Ec2Write => "ec2",
        };
        assert_eq!(service, expected, "{call}");
    }
}

#[test]
fn only_describes_are_reads() {
    for call in Call::ALL {
        assert_eq!(call.is_write(), !call.name().starts_with("Describe"), "{call}");
    }
}

/// The table of calls is what the policy is made of: a trait method without a call of its own would be missing
/// there. Every method of the in-memory AWS names its call, so running each once must count each call once.
#[tokio::test]
async fn every_call_is_made_by_exactly_one_method() {
    use provider_aws::client::{Ec2, Elbv2, Select};

    let aws = provider_aws::client::fake::FakeAws::new();
    let text = String::from("x");
    let texts = [text.clone()];
    let account = super::account::Account::new().await;
    let lb = account.a_load_balancer("x");
    let tg = account.a_target_group("x", provider_aws::client::Protocol::Tcp);
    let made_lb = account.load_balancer("x").await;
    let made_tg = account.target_group("x", tg.protocol).await;
    let set_subnets = provider_aws::client::SetSubnets {
        load_balancer_arn: text.clone(),
        subnets: Vec::new(),
        ipv6_source_nat: None,
        ip_address_type: None,
    };
    let set_groups = provider_aws::client::SetSecurityGroups {
        load_balancer_arn: text.clone(),
        security_groups: BTreeSet::new(),
        enforce_private_link_inbound: None,
    };
    let modify_tg = provider_aws::client::ModifyTargetGroup {
        target_group_arn: text.clone(),
        health_check: tg.health_check.clone(),
    };

    // Whether they succeed does not matter here.
    let _ = aws.describe_load_balancers(&Select::All, None).await;
    let _ = aws.create_load_balancer(&lb).await;
    let _ = aws.delete_load_balancer(&text).await;
    let _ = aws.set_subnets(&set_subnets).await;
    let _ = aws.set_security_groups(&set_groups).await;
    let _ = aws.set_ip_address_type(&text, lb.ip_address_type).await;
    let _ = aws.describe_load_balancer_attributes(&text).await;
    let _ = aws.modify_load_balancer_attributes(&text, &Default::default()).await;
    let _ = aws.describe_capacity_reservation(&text).await;
    let _ = aws.modify_capacity_reservation(&text, provider_aws::client::CapacityChange::Reset).await;
    let _ = aws.describe_target_groups(&Select::All, None).await;
    let _ = aws.create_target_group(&tg).await;
    let _ = aws.modify_target_group(&modify_tg).await;
    let _ = aws.delete_target_group(&text).await;
    let _ = aws.describe_target_group_attributes(&text).await;
    let _ = aws.modify_target_group_attributes(&text, &Default::default()).await;
    let _ = aws.register_targets(&text, &[]).await;
    let _ = aws.deregister_targets(&text, &[]).await;
    let _ = aws.describe_target_health(&text, &[]).await;
    let _ = aws.describe_listeners(&text, None).await;
    let _ = aws.create_listener(&super::account::a_listener(&made_lb, &made_tg, 80)).await;
    let _ = aws.modify_listener(&Default::default()).await;
    let _ = aws.delete_listener(&text).await;
    let _ = aws.describe_listener_certificates(&text, None).await;
    let _ = aws.add_listener_certificates(&text, &text).await;
    let _ = aws.remove_listener_certificates(&text, &text).await;
    let _ = aws.describe_listener_attributes(&text).await;
    let _ = aws.modify_listener_attributes(&text, &Default::default()).await;
    let _ = aws.describe_tags(&texts).await;
    let _ = aws.add_tags(&text, &Default::default()).await;
    let _ = aws.remove_tags(&text, &texts).await;
    let _ = aws.describe_subnets(&Default::default(), None).await;
    let _ = aws.describe_vpcs(&texts, None).await;
    let _ = aws.describe_route_tables(&text, None).await;
    let _ = aws.describe_availability_zones().await;
    let _ = aws.describe_instances(&texts, None).await;
    let _ = aws.describe_security_groups(&Default::default(), None).await;
    let _ = aws.create_security_group(&super::account::a_group(&text, &text)).await;
    let _ = aws.delete_security_group(&text).await;
    let _ = aws.authorize_security_group_ingress(&text, &[]).await;
    let _ = aws.revoke_security_group_ingress(&text, &[]).await;
    let _ = aws.create_tags(&texts, &Default::default()).await;
    let _ = aws.delete_tags(&texts, &texts).await;

    assert_eq!(aws.requests(), Call::ALL);
}

#[test]
fn failures_are_told_apart_by_code() {
    let kind = |code: &str| ApiError::new(Call::CreateListener, code, "").kind;

    assert_eq!(kind("Throttling"), ErrorKind::Throttled);
    assert_eq!(kind("RequestLimitExceeded"), ErrorKind::Throttled);
    assert_eq!(kind("TooManyLoadBalancers"), ErrorKind::Quota);
    assert_eq!(kind("InvalidGroup.NotFound"), ErrorKind::NotFound);
    assert_eq!(kind("DuplicateListener"), ErrorKind::Duplicate);
    assert_eq!(kind("DependencyViolation"), ErrorKind::InUse);
    assert_eq!(kind("OperationNotPermitted"), ErrorKind::NotPermitted);
    assert_eq!(kind("UnauthorizedOperation"), ErrorKind::Denied);
    assert_eq!(kind("InvalidTarget"), ErrorKind::Invalid);
    assert_eq!(kind("ServiceUnavailable"), ErrorKind::Transient);
    assert_eq!(kind(local_code::NO_REPLY), ErrorKind::Transient);
    assert_eq!(kind("SomethingNew"), ErrorKind::Unknown);
}

#[test]
fn an_error_says_call_code_message_and_request() {
    let mut error = ApiError::new(Call::DeleteSecurityGroup, "DependencyViolation", "sg-1 is in use");
    assert_eq!(error.to_string(), "DeleteSecurityGroup: DependencyViolation: sg-1 is in use");

    error.request_id = Some("abc".to_owned());
    assert_eq!(error.to_string(), "DeleteSecurityGroup: DependencyViolation: sg-1 is in use (request abc)");
}

/// Words go to AWS and come back; a new value that is spelled in one direction only would be lost.
#[test]
fn every_word_comes_back_from_its_spelling() {
    use provider_aws::client::*;

    macro_rules! round_trip {
        ($($type:ty),*) => {
            $(for word in <$type>::ALL {
                assert_eq!(word.to_string().parse(), Ok(*word));
            })*
        };
    }
    round_trip!(Scheme, IpAddressType, LoadBalancerKind, LoadBalancerState, Protocol, AlpnPolicy, TargetType);
    round_trip!(TargetFamily, TargetState, HealthCheckProtocol, ZoneKind, InstanceState);
    for port in [HealthCheckPort::TrafficPort, HealthCheckPort::Number(1), HealthCheckPort::Number(65535)] {
        assert_eq!(port.to_string().parse(), Ok(port));
    }
    let prefix = SourceNatPrefix::Prefix("2001:db8::/80".parse().unwrap());
    for prefix in [SourceNatPrefix::AutoAssigned, prefix] {
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
    }
}

#[test]
fn a_word_aws_does_not_know_is_told_with_those_it_knows() {
    use provider_aws::client::{HealthCheckPort, Scheme};

    let error = "public".parse::<Scheme>().unwrap_err();
    assert_eq!(error.to_string(), "\"public\" is not one of internal, internet-facing");
    assert!("0".parse::<HealthCheckPort>().is_err());
}
