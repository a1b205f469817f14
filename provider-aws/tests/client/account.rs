//! An account with one VPC, and requests that AWS would take.

use std::{collections::BTreeSet, fmt::Debug};

use provider_aws::{
    client::{
        CreateListener, CreateLoadBalancer, CreateSecurityGroup, CreateTargetGroup, Ec2, Elbv2, Forward,
        HealthCheck, HealthCheckPort, HealthCheckProtocol, IpAddressType, Listener, LoadBalancer, Protocol,
        Result, Scheme, SecurityGroupQuery, SubnetMapping, Tags, TargetFamily, TargetGroup, TargetType,
        fake::{FakeAws, SeededVpc},
    },
    error::ApiError,
};

pub(crate) struct Account {
    pub(crate) aws: FakeAws,
    pub(crate) vpc: SeededVpc,
    /// A security group of ours.
    pub(crate) group: String,
}

impl Account {
    pub(crate) async fn new() -> Self {
        let aws = FakeAws::new();
        let vpc = aws.seed_vpc(3);
        let group = aws.create_security_group(&a_group(&vpc.id, "frontend")).await.unwrap();
        aws.forget_requests();
        Self { aws, vpc, group }
    }

    /// An internal load balancer with a security group.
    pub(crate) fn a_load_balancer(&self, name: &str) -> CreateLoadBalancer {
        CreateLoadBalancer {
            name: name.to_owned(),
            scheme: Scheme::Internal,
            ip_address_type: IpAddressType::Ipv4,
            subnets: self.vpc.private.iter().map(SubnetMapping::subnet).collect(),
            security_groups: BTreeSet::from([self.group.clone()]),
            ipv6_source_nat: false,
            tags: tags(&[("owner", name)]),
        }
    }

    pub(crate) fn a_target_group(&self, name: &str, protocol: Protocol) -> CreateTargetGroup {
        CreateTargetGroup {
            name: name.to_owned(),
            protocol,
            port: 30080,
            vpc_id: self.vpc.id.clone(),
            target_type: TargetType::Instance,
            family: TargetFamily::Ipv4,
            health_check: a_health_check(),
            tags: tags(&[("owner", name)]),
        }
    }

    pub(crate) async fn load_balancer(&self, name: &str) -> LoadBalancer {
        self.aws.create_load_balancer(&self.a_load_balancer(name)).await.unwrap()
    }

    pub(crate) async fn target_group(&self, name: &str, protocol: Protocol) -> TargetGroup {
        self.aws.create_target_group(&self.a_target_group(name, protocol)).await.unwrap()
    }

    pub(crate) async fn listener(&self, lb: &LoadBalancer, tg: &TargetGroup, port: u16) -> Listener {
        self.aws.create_listener(&a_listener(lb, tg, port)).await.unwrap()
    }
}

/// The tags of the account's security group.
pub(crate) async fn group_tags(account: &Account) -> Tags {
    let query = SecurityGroupQuery { ids: vec![account.group.clone()], ..SecurityGroupQuery::default() };
    account.aws.describe_security_groups(&query, None).await.unwrap().items.remove(0).tags
}

pub(crate) fn a_group(vpc_id: &str, name: &str) -> CreateSecurityGroup {
    CreateSecurityGroup {
        name: name.to_owned(),
        description: "for a test".to_owned(),
        vpc_id: vpc_id.to_owned(),
        tags: Tags::new(),
    }
}

pub(crate) fn a_health_check() -> HealthCheck {
    HealthCheck {
        protocol: HealthCheckProtocol::Tcp,
        port: HealthCheckPort::TrafficPort,
        path: None,
        matcher: None,
        interval_seconds: 10,
        timeout_seconds: 10,
        healthy_threshold: 3,
        unhealthy_threshold: 3,
    }
}

/// A listener of the target group's protocol.
pub(crate) fn a_listener(lb: &LoadBalancer, tg: &TargetGroup, port: u16) -> CreateListener {
    CreateListener {
        load_balancer_arn: lb.arn.clone(),
        port,
        protocol: tg.protocol,
        default_certificate: None,
        ssl_policy: None,
        alpn_policy: None,
        forward: Forward::to(&tg.arn),
        tags: Tags::new(),
    }
}

pub(crate) fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The code with which AWS refuses.
pub(crate) trait Refused {
    fn code(self) -> String;
}

impl<T: Debug> Refused for Result<T> {
    fn code(self) -> String {
        let error: ApiError = self.expect_err("AWS would have refused this");
        error.code
    }
}
