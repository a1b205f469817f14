//! Rules on the zones of a load balancer that exists: *SetSubnets* in the ELBv2 API reference, and *Update the
//! Availability Zones* in the Network Load Balancer user guide.

use provider_aws::client::{
    Elbv2, IpAddressType, SetSubnets, SubnetMapping,
    fake::{Lag, Lags, Quotas, SubnetSeed},
};

use super::account::{Account, Refused, tags};

#[tokio::test]
async fn zones_are_added_and_removed_but_a_subnet_is_not_swapped_inside_its_zone() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let set = async |ids: &[&String]| {
        let subnets = ids.iter().copied().map(SubnetMapping::subnet).collect();
        let request = SetSubnets {
            load_balancer_arn: lb.arn.clone(),
            subnets,
            ipv6_source_nat: None,
            ip_address_type: None,
        };
        account.aws.set_subnets(&request).await
    };
    let (private, public) = (&account.vpc.private, &account.vpc.public);

    let swapped = set(&[&public[0], &private[1]]).await;
    assert_eq!(swapped.code(), "InvalidConfigurationRequest");
    assert_eq!(set(&[&private[1]]).await.unwrap().len(), 1);
    assert_eq!(set(&[&public[0], &private[1]]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn subnets_of_another_vpc_are_refused() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let elsewhere = account.aws.seed_vpc(1);
    let request = SetSubnets {
        load_balancer_arn: lb.arn,
        subnets: vec![SubnetMapping::subnet(&elsewhere.private[0])],
        ipv6_source_nat: None,
        ip_address_type: None,
    };

    assert_eq!(account.aws.set_subnets(&request).await.code(), "InvalidConfigurationRequest");
}

#[tokio::test]
async fn a_zone_that_an_endpoint_service_uses_stays_and_so_does_the_load_balancer() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    account.aws.set_endpoint_service(&lb.arn, true);
    let request = SetSubnets {
        load_balancer_arn: lb.arn.clone(),
        subnets: vec![SubnetMapping::subnet(&account.vpc.private[0])],
        ipv6_source_nat: None,
        ip_address_type: None,
    };

    assert_eq!(account.aws.set_subnets(&request).await.code(), "ResourceInUse");
    assert_eq!(account.aws.delete_load_balancer(&lb.arn).await.code(), "ResourceInUse");
}

#[tokio::test]
async fn a_subnet_that_ran_low_after_it_was_taken_is_kept() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    account.aws.change_subnet(&account.vpc.private[0], |subnet| subnet.available_ipv4 = 0);
    let fourth = account.aws.seed_subnet(SubnetSeed {
        vpc_id: account.vpc.id.clone(),
        zone: 'd',
        ipv4: "10.0.200.0/24".parse().unwrap(),
        ipv6: None,
        public: false,
        available: 8,
        tags: tags(&[]),
    });
    let mut subnets = account.a_load_balancer("web").subnets;
    subnets.push(SubnetMapping::subnet(fourth));
    let request =
        SetSubnets { load_balancer_arn: lb.arn, subnets, ipv6_source_nat: None, ip_address_type: None };

    assert_eq!(account.aws.set_subnets(&request).await.unwrap().len(), 4);
}

#[tokio::test]
async fn network_interfaces_in_a_vpc_are_limited() {
    let account = Account::new().await;
    account.aws.set_quotas(Quotas::with(|quotas| quotas.interfaces_per_vpc = 5));
    account.load_balancer("one").await;
    let mut second = account.a_load_balancer("two");
    assert_eq!(account.aws.create_load_balancer(&second).await.code(), "TooManyLoadBalancers");

    second.subnets.pop();
    let second = account.aws.create_load_balancer(&second).await.unwrap();
    let wider = SetSubnets {
        load_balancer_arn: second.arn,
        subnets: account.a_load_balancer("two").subnets,
        ipv6_source_nat: None,
        ip_address_type: None,
    };
    assert_eq!(account.aws.set_subnets(&wider).await.code(), "TooManyLoadBalancers");
}

#[tokio::test]
async fn a_subnet_that_stays_keeps_its_existing_configuration() {
    let account = Account::new().await;
    let at = |last: u8| {
        let mapping = |(i, id): (usize, &String)| SubnetMapping {
            private_ipv4: Some(format!("10.0.{}.{last}", 100 + i).parse().unwrap()),
            ..SubnetMapping::subnet(id)
        };
        account.vpc.private.iter().enumerate().map(mapping).collect::<Vec<_>>()
    };
    let request =
        provider_aws::client::CreateLoadBalancer { subnets: at(9), ..account.a_load_balancer("web") };
    let lb = account.aws.create_load_balancer(&request).await.unwrap();
    let set = async |subnets: Vec<SubnetMapping>| {
        let request = SetSubnets {
            load_balancer_arn: lb.arn.clone(),
            subnets,
            ipv6_source_nat: None,
            ip_address_type: None,
        };
        account.aws.set_subnets(&request).await
    };

    assert_eq!(set(at(10)).await.code(), "InvalidConfigurationRequest");
    let unnamed = account.vpc.private.iter().map(SubnetMapping::subnet).collect();
    assert_eq!(set(unnamed).await.code(), "InvalidConfigurationRequest");
    set(at(9)).await.unwrap();
}

#[tokio::test]
async fn a_zone_that_was_taken_out_comes_back_only_after_a_while() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    account.aws.set_lags(Lags::with(|lags| lags.removed_zone = Lag::Looks(1)));
    let all = account.a_load_balancer("web").subnets;
    let set = async |subnets: &[SubnetMapping]| {
        let request = SetSubnets {
            load_balancer_arn: lb.arn.clone(),
            subnets: subnets.to_vec(),
            ipv6_source_nat: None,
            ip_address_type: None,
        };
        account.aws.set_subnets(&request).await
    };
    set(&all[1..]).await.unwrap();

    assert_eq!(set(&all).await.code(), "InvalidConfigurationRequest");
    assert_eq!(set(&all).await.unwrap().len(), 3);
}

#[tokio::test]
async fn ipv6_addresses_are_set_with_the_subnets_when_a_load_balancer_becomes_dualstack() {
    let account = Account::new().await;
    let lb = account.load_balancer("web").await;
    let mut subnets = account.a_load_balancer("web").subnets;
    subnets[0].ipv6 = Some("2001:db8:0:64::9".parse().unwrap());
    let with = |ip_address_type| SetSubnets {
        load_balancer_arn: lb.arn.clone(),
        subnets: subnets.clone(),
        ipv6_source_nat: None,
        ip_address_type,
    };

    let ipv4 = account.aws.set_subnets(&with(None)).await;
    assert_eq!(ipv4.code(), "InvalidConfigurationRequest");
    let zones = account.aws.set_subnets(&with(Some(IpAddressType::DualStack))).await.unwrap();
    assert!(zones.iter().any(|zone| zone.addresses.iter().any(|address| address.ipv6.is_some())));
}
