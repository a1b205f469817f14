//! Steps that mean nothing at AWS.

use std::collections::BTreeSet;
use std::time::Duration;

use cloud_provider::{ServiceId, ServiceKey};

use super::*;
use crate::client::fake::FakeAws;
use crate::client::{
    CapacityChange, HealthCheck, HealthCheckPort, HealthCheckProtocol, IngressRule, IpAddressType, Protocol,
    RuleSource, SharingOptions, Target, Traffic,
};
use crate::model::Listener;
use crate::plan::{GroupRef, TargetGroupRef};
use crate::settings::Setting;

/// One of each operation that speaks of something by a name which an earlier step, or a look, has to give a meaning.
fn operations() -> Vec<Operation> {
    let rules = || {
        vec![IngressRule {
            traffic: Traffic::Icmp { kind: 3, code: 4 },
            source: RuleSource::Ipv4("10.0.0.0/8".parse().unwrap()),
            description: None,
        }]
    };
    let target_group = || TargetGroupRef::Named("tg".to_owned());
    let attributes = || Attributes::from([("key".to_owned(), "value".to_owned())]);
    let tags = || Tags::from([("key".to_owned(), "value".to_owned())]);
    let targets = || vec![Target::new("i-1", 30_080)];
    let listener = || Listener {
        port: 80,
        protocol: Protocol::Tcp,
        tls: None,
        target_group: "tg".to_owned(),
        weighted: None,
        attributes: Attributes::new(),
        tags: Tags::new(),
    };
    let health_check = HealthCheck {
        protocol: HealthCheckProtocol::Tcp,
        port: HealthCheckPort::TrafficPort,
        path: None,
        matcher: None,
        interval_seconds: 10,
        timeout_seconds: 10,
        healthy_threshold: 3,
        unhealthy_threshold: 3,
    };
    vec![
        Operation::AuthorizeIngress { group: GroupRef::Frontend, rules: rules() },
        Operation::RevokeIngress { group: GroupRef::Backend, rules: rules() },
        Operation::OpenNodes {
            node_group: "sg-1".to_owned(),
            traffic: BTreeSet::from([Traffic::Icmp { kind: 3, code: 4 }]),
        },
        Operation::TagGroup { group: GroupRef::Frontend, add: tags(), remove: Vec::new() },
        Operation::ModifyTargetGroup { target_group: target_group(), health_check },
        Operation::ModifyTargetGroupAttributes { target_group: target_group(), attributes: attributes() },
        Operation::RegisterTargets { target_group: target_group(), targets: targets() },
        Operation::DeregisterTargets { target_group: target_group(), targets: targets() },
        Operation::SetSubnets {
            subnets: Vec::new(),
            ipv6_source_nat: None,
            ip_address_type: None,
            takes_zones_out: false,
        },
        Operation::SetSecurityGroups {
            groups: BTreeSet::from([GroupRef::Frontend]),
            enforce_private_link_inbound: None,
        },
        Operation::SetIpAddressType(IpAddressType::DualStack),
        Operation::ModifyLoadBalancerAttributes(attributes()),
        Operation::ChangeSetting(Setting::Capacity(CapacityChange::Reset)),
        Operation::CreateListener(listener()),
        Operation::ModifyListener(listener()),
        Operation::ModifyListenerAttributes { port: 80, attributes: attributes() },
        Operation::AddListenerCertificates { port: 80, certificates: vec!["arn".to_owned()] },
        Operation::RemoveListenerCertificates { port: 80, certificates: vec!["arn".to_owned()] },
        Operation::Record { applied: Some("digest".to_owned()), targets: None },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_name_means_nothing_is_stale_and_asks_aws_for_nothing() {
    let (fake, config) = (FakeAws::new(), AwsConfig::new("prod"));
    let aws = Aws::new(fake.clone(), SharingOptions::default());
    let (memory, shared_group) = (Memory::new(Duration::from_secs(600)), tokio::sync::Mutex::new(()));
    let service = ServiceId { key: ServiceKey::new("shop", "web"), uid: "u1".into() };
    for operation in operations() {
        let mut applier = Applier {
            observer: Observer { aws: &aws, config: &config, vpc_id: None },
            aws: &aws,
            config: &config,
            memory: &memory,
            shared_group: &shared_group,
            service: &service,
            ids: ResolvedIds::default(),
            new_frontend: None,
            notes: Vec::new(),
            refused_targets: false,
            tells_the_name_first: false,
        };
        let name = format!("{operation:?}");
        let run = applier.run(&[Action::new(Part::Foundation, operation, "it differs")]).await;
        assert!(run.is_stale && run.failures.is_empty(), "{name}: {run:?}");
    }
    assert_eq!(fake.requests(), []);
}
