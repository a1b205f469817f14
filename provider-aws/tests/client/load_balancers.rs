//! Rules on load balancers. The numbers are those of *CreateLoadBalancer*, *SetSubnets*, ... in the ELBv2 API
//! reference and of the Network Load Balancer user guide.

use std::collections::BTreeSet;

use provider_aws::client::{
    CapacityChange, Elbv2, IpAddressType, LoadBalancerState, Protocol, Scheme, Select, SetSecurityGroups,
    SetSubnets, SourceNatPrefix, SubnetMapping, ZoneKind,
    fake::{Lag, Lags, Quotas},
};

use super::account::{Account, Refused, a_group, tags};
use provider_aws::client::Ec2;

#[tokio::test]
async fn names_have_1_to_32_letters_digits_and_hyphens() {
    let account = Account::new().await;
    for bad in ["", "a23456789012345678901234567890123", "-a", "a-", "a.b", "internal-a"] {
        let refused = account.aws.create_load_balancer(&account.a_load_balancer(bad)).await;
        assert_eq!(refused.code(), "ValidationError", "{bad:?}");
    }
}

#[tokio::test]
async fn a_create_with_same_name_and_settings_returns_what_exists_whoever_made_it() {
    let account = Account::new().await;
    let first = account.load_balancer("web").await;
    let mut again = account.a_load_balancer("web");
    again.tags = tags(&[("owner", "somebody else")]);

    assert_eq!(account.aws.create_load_balancer(&again).await.unwrap().arn, first.arn);
    let told = account.aws.describe_tags(std::slice::from_ref(&first.arn)).await.unwrap();
    assert_eq!(told[&first.arn], tags(&[("owner", "web")]));
}

#[tokio::test]
async fn a_create_with_same_name_and_other_settings_is_a_duplicate() {
    let account = Account::new().await;
    account.load_balancer("web").await;
    let mut other = account.a_load_balancer("web");
    other.subnets.pop();

    assert_eq!(account.aws.create_load_balancer(&other).await.code(), "DuplicateLoadBalancerName");
}

#[tokio::test]
async fn load_balancers_of_a_region_are_limited() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.load_balancers = 1));
    account.load_balancer("one").await;

    let second = account.aws.create_load_balancer(&account.a_load_balancer("two")).await;
    assert_eq!(second.code(), "TooManyLoadBalancers");
}

#[tokio::test]
async fn tags_are_limited_in_number_and_length_and_aws_keys_are_reserved() {
    let account = Account::new().await;
    let long_key = "k".repeat(129);
    let long_value = "v".repeat(257);
    for bad in [[("aws:x", "1")], [(long_key.as_str(), "1")], [("k", long_value.as_str())], [("", "1")]] {
        let request =
            provider_aws::client::CreateLoadBalancer { tags: tags(&bad), ..account.a_load_balancer("web") };
        assert_eq!(account.aws.create_load_balancer(&request).await.code(), "ValidationError");
    }
    for bad in [("cost*", "1"), ("k", "a,b"), ("k", "50%"), ("k", "a\tb")] {
        let request =
            provider_aws::client::CreateLoadBalancer { tags: tags(&[bad]), ..account.a_load_balancer("web") };
        assert_eq!(account.aws.create_load_balancer(&request).await.code(), "ValidationError", "{bad:?}");
    }
    let mut many = account.a_load_balancer("web");
    many.tags = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
    assert_eq!(account.aws.create_load_balancer(&many).await.code(), "TooManyTags");
}

#[tokio::test]
async fn tags_are_letters_digits_spaces_and_a_few_signs() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let fine = tags(&[("Straße 7_.:/=+-@", "été 東京")]);
    account.aws.add_tags(&lb.arn, &fine).await.unwrap();
    let told = account.aws.describe_tags(std::slice::from_ref(&lb.arn)).await.unwrap();
    assert_eq!(told[&lb.arn]["Straße 7_.:/=+-@"], "été 東京");
    for odd in ["a*", "a,b", "a;b", "a#b", "a&b", "a\tb", "a\"b", "a😀"] {
        let (as_key, as_value) = (tags(&[(odd, "v")]), tags(&[("k", odd)]));
        assert_eq!(account.aws.add_tags(&lb.arn, &as_key).await.code(), "ValidationError", "{odd}");
        assert_eq!(account.aws.add_tags(&lb.arn, &as_value).await.code(), "ValidationError", "{odd}");
        let group = [account.vpc.node_group.clone()];
        let code = account.aws.create_tags(&group, &as_value).await.code();
        assert_eq!(code, "InvalidParameterValue", "{odd}");
    }
}

#[tokio::test]
async fn a_request_about_tags_names_resources_of_one_kind_and_tags() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", provider_aws::client::Protocol::Tcp).await;

    assert_eq!(account.aws.describe_tags(&[]).await.code(), "ValidationError");
    let both = account.aws.describe_tags(&[lb.arn.clone(), tg.arn]).await;
    assert_eq!(both.code(), "ValidationError");
    assert_eq!(account.aws.add_tags(&lb.arn, &tags(&[])).await.code(), "ValidationError");
    assert_eq!(account.aws.remove_tags(&lb.arn, &[]).await.code(), "ValidationError");
}

#[tokio::test]
async fn a_list_of_names_or_arns_has_something_in_it() {
    let account = Account::new().await;
    for select in [Select::Arns(Vec::new()), Select::Names(Vec::new())] {
        assert_eq!(account.aws.describe_load_balancers(&select, None).await.code(), "ValidationError");
        assert_eq!(account.aws.describe_target_groups(&select, None).await.code(), "ValidationError");
    }
}

#[tokio::test]
async fn the_bucket_of_access_logs_is_not_taken_back() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let set = async |pairs: &[(&str, &str)]| {
        account.aws.modify_load_balancer_attributes(&lb.arn, &tags(pairs)).await
    };
    set(&[("access_logs.s3.enabled", "true"), ("access_logs.s3.bucket", "logs")]).await.unwrap();
    let taken_back = set(&[("access_logs.s3.enabled", "false"), ("access_logs.s3.bucket", "")]).await;
    assert_eq!(taken_back.code(), "ValidationError");
    set(&[("access_logs.s3.enabled", "false")]).await.unwrap();
}

#[tokio::test]
async fn subnets_must_exist_and_lie_in_different_zones_of_one_vpc() {
    let account = Account::new().await;
    let with = |ids: &[&String]| {
        let mut request = account.a_load_balancer("web");
        request.subnets = ids.iter().copied().map(SubnetMapping::subnet).collect();
        request
    };
    let elsewhere = account.aws.seed_vpc(2);
    let absent = "subnet-absent".to_owned();
    let (here, same_zone) = (&account.vpc.private[0], &account.vpc.public[0]);

    let refused = async |ids: &[&String]| account.aws.create_load_balancer(&with(ids)).await.code();
    assert_eq!(refused(&[]).await, "ValidationError");
    assert_eq!(refused(&[&absent]).await, "SubnetNotFound");
    assert_eq!(refused(&[here, same_zone]).await, "InvalidConfigurationRequest");
    assert_eq!(refused(&[here, &elsewhere.private[1]]).await, "InvalidConfigurationRequest");
}

#[tokio::test]
async fn a_subnet_needs_eight_free_addresses() {
    let account = Account::new().await;
    account.aws.change_subnet(&account.vpc.private[0], |subnet| subnet.available_ipv4 = 7);

    let refused = account.aws.create_load_balancer(&account.a_load_balancer("web")).await;
    assert_eq!(refused.code(), "InvalidSubnet");
}

#[tokio::test]
async fn local_zones_have_no_network_load_balancers() {
    let account = Account::new().await;
    account.aws.change_zone("us-east-1a", ZoneKind::LocalZone);

    let refused = account.aws.create_load_balancer(&account.a_load_balancer("web")).await;
    assert_eq!(refused.code(), "AvailabilityZoneNotSupported");
}

#[tokio::test]
async fn an_internet_facing_load_balancer_needs_an_internet_gateway() {
    let account = Account::new().await;
    account.aws.remove_internet_gateway(&account.vpc.id);
    let mut request = account.a_load_balancer("web");
    request.scheme = Scheme::InternetFacing;

    assert_eq!(account.aws.create_load_balancer(&request).await.code(), "InvalidSubnet");
}

#[tokio::test]
async fn dualstack_needs_ipv6_in_every_subnet() {
    let account = Account::new().await;
    account.aws.change_subnet(&account.vpc.private[1], |subnet| subnet.ipv6_cidrs.clear());
    let mut request = account.a_load_balancer("web");
    request.ip_address_type = IpAddressType::DualStack;
    assert_eq!(account.aws.create_load_balancer(&request).await.code(), "InvalidSubnet");

    let lb = account.load_balancer("web").await;
    let refused = account.aws.set_ip_address_type(&lb.arn, IpAddressType::DualStack).await;
    assert_eq!(refused.code(), "InvalidSubnet");
}

#[tokio::test]
async fn an_elastic_ip_is_for_one_internet_facing_load_balancer() {
    let account = Account::new().await;
    let elastic_ip = account.aws.seed_elastic_ip();
    let with = |name: &str, scheme, allocation: &str| {
        let mut request = account.a_load_balancer(name);
        request.scheme = scheme;
        request.subnets = vec![SubnetMapping {
            allocation_id: Some(allocation.to_owned()),
            ..SubnetMapping::subnet(&account.vpc.public[0])
        }];
        request
    };
    let create = async |request| account.aws.create_load_balancer(&request).await;

    let internal = create(with("a", Scheme::Internal, &elastic_ip)).await;
    assert_eq!(internal.code(), "InvalidConfigurationRequest");
    let absent = create(with("a", Scheme::InternetFacing, "eipalloc-absent")).await;
    assert_eq!(absent.code(), "AllocationIdNotFound");

    let first = create(with("a", Scheme::InternetFacing, &elastic_ip)).await.unwrap();
    assert!(first.zones[0].addresses[0].public_ipv4.is_some());
    let second = create(with("b", Scheme::InternetFacing, &elastic_ip)).await;
    assert_eq!(second.code(), "ResourceInUse");

    account.aws.delete_load_balancer(&first.arn).await.unwrap();
    assert!(create(with("b", Scheme::InternetFacing, &elastic_ip)).await.is_ok());
}

#[tokio::test]
async fn private_addresses_are_for_internal_load_balancers_and_from_the_subnet() {
    let account = Account::new().await;
    let with = |scheme, address: &str| {
        let mut request = account.a_load_balancer("web");
        request.scheme = scheme;
        request.subnets = vec![SubnetMapping {
            private_ipv4: Some(address.parse().unwrap()),
            ..SubnetMapping::subnet(&account.vpc.private[0])
        }];
        request
    };
    for bad in [with(Scheme::InternetFacing, "10.0.100.9"), with(Scheme::Internal, "10.0.101.9")] {
        assert_eq!(account.aws.create_load_balancer(&bad).await.code(), "InvalidConfigurationRequest");
    }
    assert!(account.aws.create_load_balancer(&with(Scheme::Internal, "10.0.100.9")).await.is_ok());
}

#[tokio::test]
async fn ipv6_addresses_need_dualstack_and_are_from_the_subnet() {
    let account = Account::new().await;
    let with = |ip_address_type, address: &str| {
        let mut request = account.a_load_balancer("web");
        request.ip_address_type = ip_address_type;
        request.subnets = vec![SubnetMapping {
            ipv6: Some(address.parse().unwrap()),
            ..SubnetMapping::subnet(&account.vpc.private[0])
        }];
        request
    };
    let (inside, outside) = ("2001:db8:0:64::9", "2001:db8:0:65::9");
    for bad in [with(IpAddressType::Ipv4, inside), with(IpAddressType::DualStack, outside)] {
        assert_eq!(account.aws.create_load_balancer(&bad).await.code(), "InvalidConfigurationRequest");
    }
    assert!(account.aws.create_load_balancer(&with(IpAddressType::DualStack, inside)).await.is_ok());
}

#[tokio::test]
async fn a_source_nat_prefix_is_a_slash_80_of_a_dualstack_subnet() {
    let account = Account::new().await;
    let with = |on: bool, prefix: &str| {
        let mut request = account.a_load_balancer("web");
        request.ip_address_type = IpAddressType::DualStack;
        request.ipv6_source_nat = on;
        request.subnets = vec![SubnetMapping {
            source_nat_ipv6_prefix: Some(SourceNatPrefix::Prefix(prefix.parse().unwrap())),
            ..SubnetMapping::subnet(&account.vpc.private[0])
        }];
        request
    };
    let good = "2001:db8:0:64:1::/80";
    for bad in [with(false, good), with(true, "2001:db8:0:64::/64"), with(true, "2001:db8:0:65:1::/80")] {
        assert_eq!(account.aws.create_load_balancer(&bad).await.code(), "InvalidConfigurationRequest");
    }
    let mut ipv4 = with(true, good);
    ipv4.ip_address_type = IpAddressType::Ipv4;
    assert_eq!(account.aws.create_load_balancer(&ipv4).await.code(), "InvalidConfigurationRequest");
    assert!(account.aws.create_load_balancer(&with(true, good)).await.is_ok());
}

#[tokio::test]
async fn security_groups_must_exist_in_the_vpc_and_be_five_at_most() {
    let account = Account::new().await;
    let elsewhere = account.aws.seed_vpc(1);
    for bad in ["sg-absent".to_owned(), elsewhere.node_group] {
        let mut request = account.a_load_balancer("web");
        request.security_groups = BTreeSet::from([bad]);
        assert_eq!(account.aws.create_load_balancer(&request).await.code(), "InvalidSecurityGroup");
    }
    let mut request = account.a_load_balancer("web");
    for n in 0..5 {
        let made = account.aws.create_security_group(&a_group(&account.vpc.id, &format!("g{n}"))).await;
        request.security_groups.insert(made.unwrap());
    }
    assert_eq!(account.aws.create_load_balancer(&request).await.code(), "InvalidConfigurationRequest");
}

#[tokio::test]
async fn a_load_balancer_made_without_security_groups_never_gets_any() {
    let account = Account::new().await;
    let mut request = account.a_load_balancer("web");
    request.security_groups.clear();
    let lb = account.aws.create_load_balancer(&request).await.unwrap();
    let set = SetSecurityGroups {
        load_balancer_arn: lb.arn,
        security_groups: BTreeSet::from([account.group.clone()]),
        enforce_private_link_inbound: None,
    };

    assert_eq!(account.aws.set_security_groups(&set).await.code(), "InvalidConfigurationRequest");
}

#[tokio::test]
async fn a_load_balancer_with_security_groups_keeps_at_least_one() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let set = SetSecurityGroups {
        load_balancer_arn: lb.arn,
        security_groups: BTreeSet::new(),
        enforce_private_link_inbound: None,
    };

    assert_eq!(account.aws.set_security_groups(&set).await.code(), "InvalidConfigurationRequest");
}

#[tokio::test]
async fn a_protected_load_balancer_is_not_deleted() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let protect = |on: &str| tags(&[("deletion_protection.enabled", on)]);
    account.aws.modify_load_balancer_attributes(&lb.arn, &protect("true")).await.unwrap();
    assert_eq!(account.aws.delete_load_balancer(&lb.arn).await.code(), "OperationNotPermitted");

    account.aws.modify_load_balancer_attributes(&lb.arn, &protect("false")).await.unwrap();
    account.aws.delete_load_balancer(&lb.arn).await.unwrap();
}

#[tokio::test]
async fn deleting_takes_the_listeners_along_leaves_target_groups_and_succeeds_twice() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    account.listener(&lb, &tg, 80).await;

    account.aws.delete_load_balancer(&lb.arn).await.unwrap();
    account.aws.delete_load_balancer(&lb.arn).await.unwrap();

    let left = account.aws.remaining();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("target group"), "{left:?}");
    assert!(left[1].starts_with("security group"), "{left:?}");
}

#[tokio::test]
async fn one_absent_name_or_arn_fails_the_whole_description() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let by_arn = Select::Arns(vec![lb.arn.clone(), format!("{}0", lb.arn)]);
    let by_name = Select::Names(vec!["web".to_owned(), "absent".to_owned()]);

    assert_eq!(account.aws.describe_load_balancers(&by_arn, None).await.code(), "LoadBalancerNotFound");
    assert_eq!(account.aws.describe_load_balancers(&by_name, None).await.code(), "LoadBalancerNotFound");
}

#[tokio::test]
async fn at_most_twenty_are_named_in_a_request() {
    let account = Account::new().await;
    let names: Vec<String> = (0..21).map(|n| format!("lb-{n}")).collect();

    let described = account.aws.describe_load_balancers(&Select::Names(names.clone()), None).await;
    assert_eq!(described.code(), "ValidationError");
    assert_eq!(account.aws.describe_tags(&names).await.code(), "ValidationError");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.page_size = 2));
    for name in ["a", "b", "c"] {
        account.load_balancer(name).await;
    }
    let first = account.aws.describe_load_balancers(&Select::All, None).await.unwrap();
    let second = account.aws.describe_load_balancers(&Select::All, first.next.as_deref()).await.unwrap();

    assert_eq!((first.items.len(), second.items.len()), (2, 1));
    assert_eq!(second.next, None);
    assert_eq!(first.items[0].state, LoadBalancerState::Active);
}

#[tokio::test]
async fn attributes_are_known_have_ranges_and_come_twenty_at_a_time() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let many = (0..21).map(|n| (format!("k{n}"), String::new())).collect();
    for bad in [
        many,
        tags(&[]),
        tags(&[("no.such.attribute", "1")]),
        tags(&[("load_balancing.cross_zone.enabled", "yes")]),
        tags(&[("dns_record.client_routing_policy", "nearest")]),
        tags(&[("secondary_ips.auto_assigned.per_subnet", "8")]),
    ] {
        let refused = account.aws.modify_load_balancer_attributes(&lb.arn, &bad).await;
        assert_eq!(refused.code(), "ValidationError", "{bad:?}");
    }
}

#[tokio::test]
async fn secondary_addresses_do_not_become_fewer_and_access_logs_need_a_bucket() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let set = async |pairs: &[(&str, &str)]| {
        account.aws.modify_load_balancer_attributes(&lb.arn, &tags(pairs)).await
    };
    set(&[("secondary_ips.auto_assigned.per_subnet", "2")]).await.unwrap();

    let fewer = set(&[("secondary_ips.auto_assigned.per_subnet", "1")]).await;
    assert_eq!(fewer.code(), "InvalidConfigurationRequest");
    let no_bucket = set(&[("access_logs.s3.enabled", "true")]).await;
    assert_eq!(no_bucket.code(), "InvalidConfigurationRequest");
    set(&[("access_logs.s3.enabled", "true"), ("access_logs.s3.bucket", "logs")]).await.unwrap();
}

#[tokio::test]
async fn reserved_capacity_is_limited_and_lowered_twice_a_day() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let reserve =
        async |units| account.aws.modify_capacity_reservation(&lb.arn, CapacityChange::Units(units)).await;

    assert_eq!(reserve(8251).await.code(), "CapacityUnitsLimitExceeded");
    for units in [8000, 7000, 6000] {
        reserve(units).await.unwrap();
    }
    assert_eq!(reserve(5000).await.code(), "CapacityDecreaseRequestLimitExceeded");
    let told = account.aws.describe_capacity_reservation(&lb.arn).await.unwrap();
    assert_eq!((told.minimum_units, told.decreases_remaining), (Some(6000), Some(0)));
}

#[tokio::test]
async fn one_absent_arn_fails_the_tags_of_all() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let tg = account.target_group("web", Protocol::Tcp).await;
    let listener = account.listener(&lb, &tg, 80).await;

    for (there, code) in [
        (lb.arn, "LoadBalancerNotFound"),
        (tg.arn, "TargetGroupNotFound"),
        (listener.arn, "ListenerNotFound"),
    ] {
        let gone = there.replace("/web/", "/gone/");
        assert_eq!(account.aws.describe_tags(&[there, gone]).await.code(), code);
    }
}

#[tokio::test]
async fn while_capacity_is_being_reserved_neither_it_nor_the_zones_change() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    account.aws.set_lags(Lags::with(|lags| lags.capacity = Lag::Looks(2)));
    let reserve = CapacityChange::Units(3000);
    account.aws.modify_capacity_reservation(&lb.arn, reserve).await.unwrap();

    let again = account.aws.modify_capacity_reservation(&lb.arn, reserve).await;
    assert_eq!(again.code(), "CapacityReservationPending");
    let request = SetSubnets {
        load_balancer_arn: lb.arn.clone(),
        subnets: account.a_load_balancer("web").subnets,
        ipv6_source_nat: None,
        ip_address_type: None,
    };
    assert_eq!(account.aws.set_subnets(&request).await.code(), "CapacityReservationPending");
    account.aws.set_subnets(&request).await.unwrap();
}

#[tokio::test]
async fn capacity_is_not_reserved_before_a_load_balancer_is_active() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    let refused = account.aws.modify_capacity_reservation(&lb.arn, CapacityChange::Units(3000)).await;

    assert_eq!(refused.code(), "PriorRequestNotComplete");
}

#[tokio::test]
async fn what_changes_must_exist() {
    let account = Account::new().await;
    let (lb, absent) = (account.load_balancer("web").await.arn, "absent".to_owned());
    let subnets = |arn: &str, subnet: &str| SetSubnets {
        load_balancer_arn: arn.to_owned(),
        subnets: vec![SubnetMapping::subnet(subnet)],
        ipv6_source_nat: None,
        ip_address_type: None,
    };
    let here = &account.vpc.private[0];
    assert_eq!(account.aws.set_subnets(&subnets(&absent, here)).await.code(), "LoadBalancerNotFound");
    assert_eq!(account.aws.set_subnets(&subnets(&lb, "subnet-absent")).await.code(), "SubnetNotFound");
    let groups = |arn: &str, group: &str| SetSecurityGroups {
        load_balancer_arn: arn.to_owned(),
        security_groups: BTreeSet::from([group.to_owned()]),
        enforce_private_link_inbound: None,
    };
    let refused = account.aws.set_security_groups(&groups(&absent, &account.group)).await;
    assert_eq!(refused.code(), "LoadBalancerNotFound");
    let refused = account.aws.set_security_groups(&groups(&lb, "sg-absent")).await;
    assert_eq!(refused.code(), "InvalidSecurityGroup");
    let refused = account.aws.set_ip_address_type(&absent, IpAddressType::Ipv4).await;
    assert_eq!(refused.code(), "LoadBalancerNotFound");
    let protect = tags(&[("deletion_protection.enabled", "true")]);
    let refused = account.aws.modify_load_balancer_attributes(&absent, &protect).await;
    assert_eq!(refused.code(), "LoadBalancerNotFound");
    let refused = account.aws.modify_capacity_reservation(&absent, CapacityChange::Reset).await;
    assert_eq!(refused.code(), "LoadBalancerNotFound");
}

#[tokio::test]
async fn aws_may_fail_to_make_a_load_balancer() {
    let account = Account::new().await;
    account.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::Looks(1)));
    let lb = account.load_balancer("web").await;
    account.aws.set_outcome(&lb.arn, LoadBalancerState::Failed);
    let state =
        async || account.aws.describe_load_balancers(&Select::All, None).await.unwrap().items[0].state;

    assert_eq!(state().await, LoadBalancerState::Provisioning);
    assert_eq!(state().await, LoadBalancerState::Failed);
}
