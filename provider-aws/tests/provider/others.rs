//! Load balancers as other controllers make them.

use std::collections::BTreeSet;

use cloud_provider::ServiceView;
use provider_aws::client::{
    CreateListener, CreateLoadBalancer, CreateSecurityGroup, CreateTargetGroup, Ec2, Elbv2, Forward,
    HealthCheck, HealthCheckPort, HealthCheckProtocol, IngressRule, IpAddressType, LoadBalancer, Protocol,
    RuleSource, Scheme, SubnetMapping, Tags, Target, TargetFamily, TargetType, Traffic,
};
use provider_aws::naming::Names;

use crate::fixture::{Cluster, group};

pub(crate) fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn a_health_check(interval_seconds: u32) -> HealthCheck {
    HealthCheck {
        protocol: HealthCheckProtocol::Tcp,
        port: HealthCheckPort::TrafficPort,
        path: None,
        matcher: None,
        interval_seconds,
        timeout_seconds: 10,
        healthy_threshold: 3,
        unhealthy_threshold: 3,
    }
}

pub(crate) fn tcp(from: u16, to: u16, source: RuleSource) -> IngressRule {
    IngressRule { traffic: Traffic::Tcp { from, to }, source, description: None }
}

pub(crate) fn anybody() -> RuleSource {
    RuleSource::Ipv4("0.0.0.0/0".parse().unwrap())
}

/// The group that the AWS Load Balancer Controller keeps for all its Services, with its rule on the nodes. It stays
/// that controller's, whatever becomes of one Service, and is seeded like anything else that is not ours.
pub(crate) fn backend_group(cluster: &Cluster) -> String {
    let tags = tags(&[("elbv2.k8s.aws/cluster", "prod"), ("elbv2.k8s.aws/resource", "backend-sg")]);
    cluster.aws.seed_security_group(&cluster.vpc.id, "k8s-traffic-prod-0123456789", tags, Vec::new())
}

/// What the AWS Load Balancer Controller made for a Service.
pub(crate) struct Theirs {
    pub(crate) load_balancer: LoadBalancer,
    /// Its managed security group, which says who may connect.
    pub(crate) managed_group: String,
    /// The group that all its Services share.
    pub(crate) backend_group: String,
    pub(crate) target_groups: Vec<String>,
    pub(crate) listeners: Vec<String>,
}

/// A load balancer as the AWS Load Balancer Controller leaves it (its names and tags): a managed group,
/// the shared backend group, a target group of node ports and a listener for each port.
pub(crate) async fn by_aws_lbc(cluster: &Cluster, service: &ServiceView, ports: &[u16]) -> Theirs {
    let backend_group = backend_group(cluster);
    by_aws_lbc_in(cluster, service, ports, &backend_group, Scheme::Internal).await
}

pub(crate) async fn by_aws_lbc_in(
    cluster: &Cluster,
    service: &ServiceView,
    ports: &[u16],
    backend_group: &str,
    scheme: Scheme,
) -> Theirs {
    let aws = &cluster.aws;
    let names = Names::new("prod", &service.id);
    let stack = service.id.key.to_string();
    let of = |resource: &str| {
        tags(&[
            ("elbv2.k8s.aws/cluster", "prod"),
            ("service.k8s.aws/stack", &stack),
            ("service.k8s.aws/resource", resource),
        ])
    };
    let from_backend = tcp(30000, 32767, RuleSource::Group(backend_group.to_owned()));
    let there = &group(aws, &cluster.vpc.node_group).await.ingress;
    if !there.iter().any(|rule| rule.same_rule(&from_backend)) {
        aws.authorize_security_group_ingress(&cluster.vpc.node_group, &[from_backend]).await.unwrap();
    }
    let managed = CreateSecurityGroup {
        name: names.frontend_group(),
        description: "[k8s] Managed SecurityGroup for LoadBalancer".to_owned(),
        vpc_id: cluster.vpc.id.clone(),
        tags: of("ManagedLBSecurityGroup"),
    };
    let managed_group = aws.create_security_group(&managed).await.unwrap();
    let rules: Vec<IngressRule> = ports.iter().map(|port| tcp(*port, *port, anybody())).collect();
    aws.authorize_security_group_ingress(&managed_group, &rules).await.unwrap();
    let subnets = if scheme == Scheme::Internal { &cluster.vpc.private } else { &cluster.vpc.public };
    let load_balancer = CreateLoadBalancer {
        name: names.load_balancer(scheme),
        scheme,
        ip_address_type: IpAddressType::Ipv4,
        subnets: subnets.iter().map(SubnetMapping::subnet).collect(),
        security_groups: BTreeSet::from([managed_group.clone(), backend_group.to_owned()]),
        ipv6_source_nat: false,
        tags: of("LoadBalancer"),
    };
    let load_balancer = aws.create_load_balancer(&load_balancer).await.unwrap();
    let (mut target_groups, mut listeners) = (Vec::new(), Vec::new());
    for (i, port) in ports.iter().enumerate() {
        let node_port = 30000 + port;
        let request = CreateTargetGroup {
            name: format!("k8s-default-{}-{i:010x}", service.id.key.name),
            protocol: Protocol::Tcp,
            port: node_port,
            vpc_id: cluster.vpc.id.clone(),
            target_type: TargetType::Instance,
            family: TargetFamily::Ipv4,
            health_check: a_health_check(10),
            tags: of(&format!("{stack}:{port}")),
        };
        let made = aws.create_target_group(&request).await.unwrap();
        let targets: Vec<Target> = cluster.instances.iter().map(|id| Target::new(id, node_port)).collect();
        aws.register_targets(&made.arn, &targets).await.unwrap();
        let request = CreateListener {
            load_balancer_arn: load_balancer.arn.clone(),
            port: *port,
            protocol: Protocol::Tcp,
            default_certificate: None,
            ssl_policy: None,
            alpn_policy: None,
            forward: Forward::to(&made.arn),
            tags: of(&port.to_string()),
        };
        listeners.push(aws.create_listener(&request).await.unwrap().arn);
        target_groups.push(made.arn);
    }
    let backend_group = backend_group.to_owned();
    Theirs { load_balancer, managed_group, backend_group, target_groups, listeners }
}

/// A load balancer as cloud-provider-aws makes it: no security groups, its own names and tags.
pub(crate) async fn by_cloud_provider(cluster: &Cluster, service: &ServiceView) -> String {
    let tags = |extra: &str| {
        Tags::from([
            ("kubernetes.io/service-name".to_owned(), service.id.key.to_string()),
            ("kubernetes.io/cluster/prod".to_owned(), extra.to_owned()),
        ])
    };
    let lb = CreateLoadBalancer {
        name: cloud_provider::name::load_balancer_name(&service.id),
        scheme: Scheme::InternetFacing,
        ip_address_type: IpAddressType::Ipv4,
        subnets: cluster.vpc.public.iter().map(SubnetMapping::subnet).collect(),
        security_groups: Default::default(),
        ipv6_source_nat: false,
        tags: tags("owned"),
    };
    let lb = cluster.aws.create_load_balancer(&lb).await.unwrap();
    let health_check = HealthCheck {
        protocol: HealthCheckProtocol::Tcp,
        port: HealthCheckPort::TrafficPort,
        path: None,
        matcher: None,
        interval_seconds: 30,
        timeout_seconds: 10,
        healthy_threshold: 3,
        unhealthy_threshold: 3,
    };
    let group = CreateTargetGroup {
        name: "k8s-by-somebody-else".to_owned(),
        protocol: Protocol::Tcp,
        port: 30080,
        vpc_id: cluster.vpc.id.clone(),
        target_type: TargetType::Instance,
        family: TargetFamily::Ipv4,
        health_check,
        tags: tags("owned"),
    };
    let group = cluster.aws.create_target_group(&group).await.unwrap();
    let listener = CreateListener {
        load_balancer_arn: lb.arn.clone(),
        port: 80,
        protocol: Protocol::Tcp,
        default_certificate: None,
        ssl_policy: None,
        alpn_policy: None,
        forward: Forward::to(&group.arn),
        tags: tags("owned"),
    };
    cluster.aws.create_listener(&listener).await.unwrap();
    lb.dns_name
}
