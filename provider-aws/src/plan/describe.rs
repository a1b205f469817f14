//! Steps in words: which resource, and from what to what.

use std::collections::BTreeSet;
use std::fmt;

use cloud_provider::{Change, Verb};

use super::action::{GroupRef, Operation, TargetGroupRef};
use crate::client::{Attributes, HealthCheck, Tags, Target};
use crate::drift;
use crate::model;
use crate::naming::{APPLIED_TAG, TARGETS_TAG};
use crate::subnet_moves;

const GROUP: &str = "security group";
const TARGET_GROUP: &str = "target group";
const LOAD_BALANCER: &str = "load balancer";
const LISTENER: &str = "listener";
const THE_ONE: &str = "of the Service";

/// A field that was not there before.
pub(super) fn added(field: &str, to: impl ToString) -> Change {
    Change::new(field, "", to.to_string())
}

/// A field that will not be there any more.
pub(super) fn removed(field: &str, from: impl ToString) -> Change {
    Change::new(field, from.to_string(), "")
}

/// How attributes change, from what was found.
pub(super) fn attributes(to: &Attributes, found: &Attributes) -> Vec<Change> {
    let from = |key: &String| found.get(key).cloned().unwrap_or_default();
    to.iter().filter_map(|(key, value)| drift::change(key, from(key), value)).collect()
}

/// How tags change, from what was found.
pub(super) fn tags(add: &Tags, remove: &[String], found: &Tags) -> Vec<Change> {
    let from = |key: &String| found.get(key).cloned().unwrap_or_default();
    let removed = remove.iter().map(|key| removed(key, from(key)));
    removed.chain(add.iter().filter_map(|(key, value)| drift::change(key, from(key), value))).collect()
}

/// Items with commas between them.
pub(super) fn join(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

impl Operation {
    /// Verb, kind of resource, and which one.
    pub(super) fn describe(&self) -> (Verb, &'static str, String) {
        match self {
            Operation::CreateFrontendGroup(group) => (Verb::Create, GROUP, group.name.clone()),
            Operation::CreateBackendGroup(nodes) => (Verb::Create, GROUP, nodes.source_group.clone()),
            Operation::AuthorizeIngress { group, .. }
            | Operation::RevokeIngress { group, .. }
            | Operation::TagGroup { group, .. } => (Verb::Change, GROUP, group.to_string()),
            Operation::OpenNodes { node_group, .. } => (Verb::Change, GROUP, node_group.clone()),
            Operation::DeleteGroup { id }
            | Operation::DeleteUnseenGroup { id }
            | Operation::DeleteBackendGroup { id, .. } => (Verb::Delete, GROUP, id.clone()),
            Operation::CreateTargetGroup(group) => (Verb::Create, TARGET_GROUP, group.name.clone()),
            Operation::ModifyTargetGroup { target_group, .. }
            | Operation::ModifyTargetGroupAttributes { target_group, .. }
            | Operation::RegisterTargets { target_group, .. }
            | Operation::DeregisterTargets { target_group, .. } => {
                (Verb::Change, TARGET_GROUP, target_group.to_string())
            }
            Operation::DeleteTargetGroup { arn } => (Verb::Delete, TARGET_GROUP, arn.clone()),
            Operation::CreateLoadBalancer { load_balancer, .. } => {
                (Verb::Create, LOAD_BALANCER, load_balancer.name.clone())
            }
            Operation::SetSubnets { .. }
            | Operation::SetSecurityGroups { .. }
            | Operation::SetIpAddressType(_)
            | Operation::ModifyLoadBalancerAttributes(_)
            | Operation::ChangeSetting(_)
            | Operation::Record { .. } => (Verb::Change, LOAD_BALANCER, THE_ONE.to_owned()),
            Operation::ForgetTargets { arn } => (Verb::Change, LOAD_BALANCER, arn.clone()),
            Operation::DeleteLoadBalancer { arn } => (Verb::Delete, LOAD_BALANCER, arn.clone()),
            Operation::CreateListener(listener) => (Verb::Create, LISTENER, name(listener)),
            Operation::ModifyListener(listener) => (Verb::Change, LISTENER, name(listener)),
            Operation::ModifyListenerAttributes { port, .. }
            | Operation::AddListenerCertificates { port, .. }
            | Operation::RemoveListenerCertificates { port, .. } => {
                (Verb::Change, LISTENER, port.to_string())
            }
            Operation::DeleteListener { port, .. } => (Verb::Delete, LISTENER, port.to_string()),
            Operation::Tag { arn, .. } => (Verb::Change, "tags", arn.clone()),
        }
    }

    /// What comes and goes by a step, as far as the step itself tells. Where it matters what was there before, who
    /// plans the step says so.
    pub(super) fn changes(&self) -> Vec<Change> {
        match self {
            Operation::CreateFrontendGroup(_)
            | Operation::CreateBackendGroup(_)
            | Operation::DeleteGroup { .. }
            | Operation::DeleteUnseenGroup { .. }
            | Operation::DeleteBackendGroup { .. }
            | Operation::DeleteTargetGroup { .. }
            | Operation::DeleteLoadBalancer { .. }
            | Operation::DeleteListener { .. }
            | Operation::SetSubnets { .. }
            | Operation::SetSecurityGroups { .. }
            | Operation::ModifyTargetGroup { .. }
            | Operation::ForgetTargets { .. }
            | Operation::ModifyListener(_) => Vec::new(),
            Operation::AuthorizeIngress { rules, .. } => rules.iter().map(|r| added(INGRESS, r)).collect(),
            Operation::RevokeIngress { rules, .. } => rules.iter().map(|r| removed(INGRESS, r)).collect(),
            Operation::OpenNodes { traffic, .. } => {
                let rule = |traffic| added(INGRESS, format!("{traffic} from the backend security group"));
                traffic.iter().map(rule).collect()
            }
            Operation::TagGroup { add, remove, .. } | Operation::Tag { add, remove, .. } => {
                tags(add, remove, &Tags::new())
            }
            Operation::CreateTargetGroup(group) => target_group(group),
            Operation::ModifyTargetGroupAttributes { attributes: to, .. }
            | Operation::ModifyLoadBalancerAttributes(to)
            | Operation::ModifyListenerAttributes { attributes: to, .. } => {
                attributes(to, &Attributes::new())
            }
            Operation::RegisterTargets { targets, .. } => {
                targets.iter().map(|target| added(TARGET, show(target))).collect()
            }
            Operation::DeregisterTargets { targets, .. } => {
                targets.iter().map(|target| removed(TARGET, show(target))).collect()
            }
            Operation::CreateLoadBalancer { load_balancer: lb, groups } => load_balancer(lb, groups),
            Operation::SetIpAddressType(to) => vec![added("IpAddressType", to)],
            Operation::ChangeSetting(to) => vec![added(to.field(), to.value())],
            Operation::CreateListener(wanted) => listener(wanted),
            Operation::AddListenerCertificates { certificates, .. } => {
                certificates.iter().map(|arn| added(CERTIFICATE, arn)).collect()
            }
            Operation::RemoveListenerCertificates { certificates, .. } => {
                certificates.iter().map(|arn| removed(CERTIFICATE, arn)).collect()
            }
            Operation::Record { applied, targets } => {
                let record = |tag, value: &Option<String>| value.as_ref().map(|value| added(tag, value));
                record(APPLIED_TAG, applied).into_iter().chain(record(TARGETS_TAG, targets)).collect()
            }
        }
    }
}

const INGRESS: &str = "Ingress";
const CERTIFICATE: &str = "Certificate";
/// The field of a step that registers targets or takes them out.
pub(super) const TARGET: &str = "Target";

fn show(target: &Target) -> String {
    format!("{}:{}", target.id, target.port)
}

fn name(listener: &model::Listener) -> String {
    format!("{}-{}", listener.protocol, listener.port)
}

fn load_balancer(lb: &model::LoadBalancer, groups: &BTreeSet<GroupRef>) -> Vec<Change> {
    let mut changes = vec![
        added("Scheme", lb.scheme),
        added("IpAddressType", lb.ip_address_type),
        added("Subnets", subnet_moves::told(&lb.zones)),
    ];
    if !groups.is_empty() {
        changes.push(added("SecurityGroups", join(groups)));
    }
    changes
}

fn target_group(group: &model::TargetGroup) -> Vec<Change> {
    vec![
        added("Protocol", group.protocol),
        added("Port", group.node_port),
        added("HealthCheck", health_check(&group.health_check)),
    ]
}

fn health_check(check: &HealthCheck) -> String {
    let path = check.path.as_deref().unwrap_or_default();
    format!("{} {}{path} every {} s", check.protocol, check.port, check.interval_seconds)
}

fn listener(listener: &model::Listener) -> Vec<Change> {
    let mut changes = vec![added("TargetGroup", &listener.target_group)];
    if let Some(tls) = &listener.tls {
        changes.push(added(CERTIFICATE, &tls.default_certificate));
        changes.push(added("SslPolicy", &tls.policy));
    }
    changes
}

impl fmt::Display for GroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupRef::Frontend => f.write_str("of the Service"),
            GroupRef::Backend => f.write_str("shared by the cluster's load balancers"),
            GroupRef::Id(id) => f.write_str(id),
        }
    }
}

impl fmt::Display for TargetGroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetGroupRef::Named(name) | TargetGroupRef::Arn(name) => f.write_str(name),
        }
    }
}
