//! The order of steps, and what is left alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::client::{
    HealthCheck, HealthCheckPort, HealthCheckProtocol, IpAddressType, LoadBalancer as Lb, LoadBalancerKind,
    Protocol, Scheme, SubnetMapping, TargetFamily, ZoneMapping,
};
use crate::model::{FrontendGroup, Groups, Listener, LoadBalancer, LoadBalancerZone, TargetGroup};
use crate::naming::UID_TAG;
use crate::observe::{LoadBalancerDetails, ObservedGroups};
use crate::settings::LoadBalancerSettings;
use crate::targets::{TargetLimits, TargetNode, TargetNodes, TargetSets};

fn desired() -> Desired {
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
    let node = TargetNode { node: "n1".to_owned(), zone: "a".to_owned() };
    let nodes = TargetNodes::from([("i-1".to_owned(), node)]);
    Desired {
        load_balancer: LoadBalancer {
            name: "lb".to_owned(),
            name_is_chosen: false,
            scheme: Scheme::Internal,
            ip_address_type: IpAddressType::Ipv4,
            zones: vec![LoadBalancerZone {
                name: "a".to_owned(),
                mapping: SubnetMapping::subnet("subnet-1"),
            }],
            ipv6_source_nat: None,
            settings: LoadBalancerSettings::default(),
            attributes: BTreeMap::new(),
            tags: Tags::from([(UID_TAG.to_owned(), "uid".to_owned())]),
        },
        groups: Groups {
            frontend: Some(FrontendGroup {
                name: "frontend".to_owned(),
                vpc_id: "vpc-1".to_owned(),
                rules: BTreeSet::new(),
                tags: Tags::new(),
            }),
            given: BTreeSet::new(),
            nodes: None,
            private_link_rules: None,
        },
        target_groups: vec![TargetGroup {
            name: "tg".to_owned(),
            port: 80,
            protocol: Protocol::Tcp,
            family: TargetFamily::Ipv4,
            vpc_id: "vpc-1".to_owned(),
            node_port: 30080,
            health_check,
            attributes: BTreeMap::new(),
            tags: Tags::new(),
        }],
        listeners: vec![Listener {
            port: 80,
            protocol: Protocol::Tcp,
            tls: None,
            target_group: "tg".to_owned(),
            weighted: None,
            attributes: BTreeMap::new(),
            tags: Tags::new(),
        }],
        targets: Some(TargetSets::share(
            &BTreeMap::from([("tg".to_owned(), 30080)]),
            &nodes,
            limits().targets,
        )),
        nodes,
    }
}

fn limits() -> Limits {
    Limits { rules_per_group: 60, targets: TargetLimits::new(0, false) }
}

fn planned(observed: &Observed) -> Planned {
    plan(&desired(), observed, &limits())
}

fn found(name: &str, scheme: Scheme, state: LoadBalancerState) -> ObservedLoadBalancer {
    ObservedLoadBalancer {
        resource: Arc::new(Lb {
            arn: format!("arn:{name}"),
            name: name.to_owned(),
            dns_name: format!("{name}.example"),
            hosted_zone_id: None,
            created: None,
            vpc_id: "vpc-1".to_owned(),
            kind: LoadBalancerKind::Network,
            scheme,
            state,
            state_reason: None,
            ip_address_type: IpAddressType::Ipv4,
            zones: vec![ZoneMapping {
                zone: "a".to_owned(),
                subnet_id: "subnet-1".to_owned(),
                ..Default::default()
            }],
            security_groups: BTreeSet::new(),
            enforce_private_link_inbound: None,
            ipv6_source_nat: false,
        }),
        tags: Arc::new(Tags::from([(UID_TAG.to_owned(), "uid".to_owned())])),
        details: Some(LoadBalancerDetails::default()),
    }
}

/// What was read in full.
fn observed(load_balancers: Vec<ObservedLoadBalancer>) -> Observed {
    Observed { load_balancers, groups: Some(ObservedGroups::default()), ..Observed::default() }
}

fn verbs(planned: &Planned) -> Vec<String> {
    planned
        .actions
        .iter()
        .map(super::action::Action::step)
        .map(|s| format!("{} {}", s.verb.sign(), s.kind))
        .collect()
}

#[test]
fn from_nothing_groups_come_first_then_the_load_balancer_and_its_listeners_once_there_are_targets() {
    let planned = planned(&observed(Vec::new()));
    let expected = [
        "+ security group",
        "+ load balancer",
        "+ target group",
        "~ target group",
        "+ listener",
        "~ load balancer",
    ];
    assert_eq!(verbs(&planned), expected);
    assert!(planned.waits.is_empty());
}

#[test]
fn an_old_load_balancer_goes_only_when_the_new_one_is_active_and_published() {
    let old = found("old", Scheme::InternetFacing, LoadBalancerState::Active);
    let deletes = |state, published: &[&str]| {
        let seen = Observed {
            load_balancers: vec![old.clone(), found("lb", Scheme::Internal, state)],
            published: published.iter().map(|name| (*name).to_owned()).collect(),
            ..Observed::default()
        };
        let planned = plan(&desired(), &seen, &limits());
        let delete = Operation::DeleteLoadBalancer { arn: "arn:old".to_owned() };
        let goes = planned.actions.iter().any(|action| action.operation == delete);
        assert_eq!(goes, !planned.waits.contains(&Wait::Replacement));
        goes
    };
    assert!(!deletes(LoadBalancerState::Provisioning, &["lb.example"]));
    assert!(!deletes(LoadBalancerState::Active, &["old.example"]));
    assert!(deletes(LoadBalancerState::Active, &["lb.example"]));
}

#[test]
fn one_that_aws_failed_to_make_is_deleted_before_it_is_made_anew() {
    let failed = found("lb", Scheme::Internal, LoadBalancerState::Failed);
    let seen = observed(vec![failed]);
    let planned = plan(&desired(), &seen, &limits());
    assert_eq!(verbs(&planned)[0], "- load balancer");
    assert!(verbs(&planned).contains(&"± load balancer".to_owned()));
}

#[test]
fn half_a_change_does_not_look_like_a_whole_one() {
    let mut retained = found("lb", Scheme::Internal, LoadBalancerState::Active);
    Arc::make_mut(&mut retained.tags).insert(APPLIED_TAG.to_owned(), "before".to_owned());
    let seen = observed(vec![retained]);
    let planned = plan(&desired(), &seen, &limits());
    let first = &planned.actions.first().expect("steps").operation;
    assert_eq!(*first, Operation::Record { applied: None, targets: None });
    let last = &planned.actions.last().expect("steps").operation;
    assert!(matches!(last, Operation::Record { applied: Some(_), .. }));
}

#[test]
fn what_nobody_of_ours_made_is_not_deleted() {
    let mut theirs = found("lb", Scheme::Internal, LoadBalancerState::Active);
    theirs.tags = Arc::default();
    let seen = observed(vec![theirs]);
    let planned = plan(&desired(), &seen, &limits());
    assert!(planned.actions.iter().all(|action| !matches!(
        action.operation,
        Operation::DeleteLoadBalancer { .. }
            | Operation::DeleteTargetGroup { .. }
            | Operation::DeleteGroup { .. }
    )));
}
