//! The provider's requests are ones that an implementation of AWS other than our own understands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use provider_aws::client::{
    Aws, CreateListener, CreateLoadBalancer, CreateSecurityGroup, CreateTargetGroup, Forward, HealthCheck,
    HealthCheckPort, HealthCheckProtocol, IngressRule, IpAddressType, Protocol, RuleSource, Scheme, Select,
    SharingOptions, SubnetMapping, SubnetQuery, TagFilter, Tags, Target, TargetFamily, TargetType, Traffic,
};
use provider_aws::error::ErrorKind;
use tests::aws::{Endpoint, NOTHING, Network, instance_id};

#[tokio::test]
async fn the_network_is_read_as_it_was_made() {
    let network = Network::seed(&Endpoint::start().await, "blue").await;
    let node = network.launch(1).await;
    let aws = Aws::new(network.endpoint.sdk(), SharingOptions::default());

    let private = TagFilter::equals("kubernetes.io/role/internal-elb", "1");
    let query = SubnetQuery { vpc_id: Some(network.vpc.clone()), tags: vec![private], ..Default::default() };
    let found: BTreeSet<String> = aws.subnets(&query).await.unwrap().iter().map(|s| s.id.clone()).collect();
    assert_eq!(found, network.private.iter().map(|s| s.id.clone()).collect());

    let tables = aws.route_tables(&network.vpc).await.unwrap();
    let public = tables.iter().filter(|table| table.is_public()).flat_map(|table| table.subnet_ids.clone());
    assert_eq!(public.collect::<BTreeSet<_>>(), network.public.iter().map(|s| s.id.clone()).collect());

    let id = instance_id(&node).to_owned();
    let absent = "i-0123456789abcdef0".to_owned();
    let found = aws.instances(&BTreeSet::from([id.clone(), absent])).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&id], "an absent instance costs the others nothing");
    assert_eq!(found[&id].security_groups, [network.node_group.as_str()]);
}

#[tokio::test]
async fn a_load_balancer_is_made_read_back_and_removed() {
    let network = Network::seed(&Endpoint::start().await, "blue").await;
    let node = network.launch(0).await;
    let aws = Aws::new(network.endpoint.sdk(), SharingOptions::default());
    let tags = Tags::from([("team".to_owned(), "green".to_owned())]);

    let group = CreateSecurityGroup {
        name: "front".into(),
        description: "of a load balancer".into(),
        vpc_id: network.vpc.clone(),
        tags: tags.clone(),
    };
    let group = aws.create_security_group(&group).await.unwrap();
    let rule = IngressRule {
        traffic: Traffic::Tcp { from: 80, to: 80 },
        source: RuleSource::Ipv4("10.0.0.0/8".parse().unwrap()),
        description: None,
    };
    aws.authorize_security_group_ingress(&group, &[rule]).await.unwrap();
    let balancer = CreateLoadBalancer {
        name: "front".into(),
        scheme: Scheme::Internal,
        ip_address_type: IpAddressType::Ipv4,
        subnets: network.private.iter().map(|subnet| SubnetMapping::subnet(&subnet.id)).collect(),
        security_groups: BTreeSet::from([group.clone()]),
        ipv6_source_nat: false,
        tags: tags.clone(),
    };
    let balancer = aws.create_load_balancer(&balancer).await.unwrap();
    let targets = CreateTargetGroup {
        name: "back".into(),
        protocol: Protocol::Tcp,
        port: 30080,
        vpc_id: network.vpc.clone(),
        target_type: TargetType::Instance,
        family: TargetFamily::Ipv4,
        health_check: HealthCheck {
            protocol: HealthCheckProtocol::Tcp,
            port: HealthCheckPort::TrafficPort,
            path: None,
            matcher: None,
            interval_seconds: 10,
            timeout_seconds: 10,
            healthy_threshold: 3,
            unhealthy_threshold: 3,
        },
        tags: tags.clone(),
    };
    let targets = aws.create_target_group(&targets).await.unwrap();
    aws.elbv2().register_targets(&targets.arn, &[Target::new(instance_id(&node), 30080)]).await.unwrap();
    let listener = CreateListener {
        load_balancer_arn: balancer.arn.clone(),
        port: 80,
        protocol: Protocol::Tcp,
        default_certificate: None,
        ssl_policy: None,
        alpn_policy: None,
        forward: Forward::to(&targets.arn),
        tags: tags.clone(),
    };
    let listener = aws.elbv2().create_listener(&listener).await.unwrap();

    let shown = &network.load_balancers().await[0];
    assert_eq!(shown.ports(), ["TCP:80"]);
    assert_eq!(shown.instances(), Some(vec![instance_id(&node).to_owned()]));
    assert_eq!(shown.security_groups, [group.as_str()]);
    let read = aws.tagged(&[TagFilter::equals("team", "green")], Duration::ZERO).await.unwrap();
    let read: BTreeMap<&str, &str> = read
        .load_balancers
        .iter()
        .map(|(arn, tagged)| (arn.as_str(), tagged.resource.name.as_str()))
        .collect();
    assert_eq!(read, BTreeMap::from([(balancer.arn.as_str(), "front")]));

    aws.elbv2().delete_listener(&listener.arn).await.unwrap();
    aws.delete_load_balancer(&balancer.arn).await.unwrap();
    aws.delete_target_group(&targets.arn).await.unwrap();
    aws.delete_security_group(&group).await.unwrap();
    assert!(
        aws.load_balancers(&Select::Arns(vec![balancer.arn]))
            .await
            .is_err_and(|error| error.kind == ErrorKind::NotFound)
    );
    assert_eq!(network.leftovers().await, NOTHING);
}
