//! The steps of a plan, as data.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{Change, Step, Verb};
use serde::Serialize;

use crate::client::{
    Attributes, CapacityChange, HealthCheck, IngressRule, IpAddressType, SubnetMapping, Tags, Target,
};
use crate::model;

/// One step with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// What is done.
    pub what: What,
    /// Why.
    pub reason: String,
    /// What differs; empty where the step says it all.
    pub changes: Vec<Change>,
}

/// A security group that a step speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum GroupRef {
    /// The Service's own frontend group.
    Frontend,
    /// The source in the rules on the nodes.
    NodesSource,
    /// Another one, by id.
    Id(String),
}

/// One thing to do; one request to AWS as a rule, more where AWS limits how much one request may carry.
///
/// "The load balancer" is the one that is to stay, or that an earlier step makes. Target groups go by the name
/// they should have, listeners by port: [`Known`] says what that means at AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "variants and fields are named after AWS's requests and parameters")]
pub enum What {
    CreateFrontendGroup(model::FrontendGroup),
    CreateNodesSource(model::NodeOpening),
    AuthorizeIngress {
        group: GroupRef,
        rules: Vec<IngressRule>,
    },
    /// Lets the members of the nodes' source group into a security group of the nodes.
    OpenNodes {
        node_group: String,
        traffic: BTreeSet<crate::client::Traffic>,
    },
    RevokeIngress {
        group: GroupRef,
        rules: Vec<IngressRule>,
    },
    TagGroup {
        group: GroupRef,
        add: Tags,
    },
    DeleteGroup {
        id: String,
    },
    CreateTargetGroup(model::TargetGroup),
    ModifyTargetGroup {
        target_group: String,
        health_check: HealthCheck,
    },
    ModifyTargetGroupAttributes {
        target_group: String,
        attributes: Attributes,
    },
    RegisterTargets {
        target_group: String,
        targets: Vec<Target>,
    },
    DeregisterTargets {
        target_group: String,
        targets: Vec<Target>,
    },
    DeleteTargetGroup {
        arn: String,
    },
    CreateLoadBalancer {
        load_balancer: model::LoadBalancer,
        groups: BTreeSet<GroupRef>,
    },
    SetSubnets {
        subnets: Vec<SubnetMapping>,
        ipv6_source_nat: Option<bool>,
        ip_address_type: Option<IpAddressType>,
        takes_zones_out: bool,
    },
    SetSecurityGroups {
        groups: BTreeSet<GroupRef>,
        enforce_private_link_inbound: Option<bool>,
    },
    SetIpAddressType(IpAddressType),
    ModifyLoadBalancerAttributes(Attributes),
    ModifyCapacityReservation(CapacityChange),
    DeleteLoadBalancer {
        arn: String,
    },
    CreateListener(model::Listener),
    ModifyListener(model::Listener),
    ModifyListenerAttributes {
        port: u16,
        attributes: Attributes,
    },
    AddListenerCertificates {
        port: u16,
        certificates: Vec<String>,
    },
    RemoveListenerCertificates {
        port: u16,
        certificates: Vec<String>,
    },
    DeleteListener {
        arn: String,
        port: u16,
    },
    Tag {
        arns: Vec<String>,
        add: Tags,
        remove: Vec<String>,
    },
    /// Notes on the load balancer what was applied; none takes the note off before something changes.
    Record {
        applied: Option<String>,
        instances: Option<String>,
    },
}

/// What names and ports of a plan mean at AWS, as far as it exists; steps add to it as they are carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// ARN of the load balancer.
    pub load_balancer: Option<String>,
    /// ARNs of target groups by the name they should have. An adopted one keeps the name it has.
    pub target_groups: BTreeMap<String, String>,
    /// ARNs of listeners by port.
    pub listeners: BTreeMap<u16, String>,
    /// Id of the frontend group.
    pub frontend: Option<String>,
    /// Id of the nodes' source group.
    pub nodes_source: Option<String>,
}

impl Action {
    /// A step whose name says it all.
    pub fn new(what: What, reason: impl Into<String>) -> Self {
        Action { what, reason: reason.into(), changes: Vec::new() }
    }

    /// With the fields that differ.
    pub fn with(mut self, changes: Vec<Change>) -> Self {
        self.changes = changes;
        self
    }

    /// As the contract prints it.
    pub fn step(&self) -> Step {
        let (verb, kind, resource) = self.what.describe();
        let mut step = Step::new(verb, kind, resource, &self.reason);
        step.changes.clone_from(&self.changes);
        step
    }
}

impl What {
    /// Verb, kind of resource, and which one.
    fn describe(&self) -> (Verb, &'static str, String) {
        const GROUP: &str = "security group";
        const TARGETS: &str = "target group";
        const BALANCER: &str = "load balancer";
        const LISTENER: &str = "listener";
        let the_one = || "of the Service".to_owned();
        match self {
            What::CreateFrontendGroup(group) => (Verb::Create, GROUP, group.name.clone()),
            What::CreateNodesSource(nodes) => (Verb::Create, GROUP, nodes.source_group.clone()),
            What::AuthorizeIngress { group, .. }
            | What::RevokeIngress { group, .. }
            | What::TagGroup { group, .. } => (Verb::Change, GROUP, group.to_string()),
            What::OpenNodes { node_group, .. } => (Verb::Change, GROUP, node_group.clone()),
            What::DeleteGroup { id } => (Verb::Delete, GROUP, id.clone()),
            What::CreateTargetGroup(group) => (Verb::Create, TARGETS, group.name.clone()),
            What::ModifyTargetGroup { target_group, .. }
            | What::ModifyTargetGroupAttributes { target_group, .. }
            | What::RegisterTargets { target_group, .. }
            | What::DeregisterTargets { target_group, .. } => (Verb::Change, TARGETS, target_group.clone()),
            What::DeleteTargetGroup { arn } => (Verb::Delete, TARGETS, arn.clone()),
            What::CreateLoadBalancer { load_balancer, .. } => {
                (Verb::Create, BALANCER, load_balancer.name.clone())
            }
            What::SetSubnets { .. }
            | What::SetSecurityGroups { .. }
            | What::SetIpAddressType(_)
            | What::ModifyLoadBalancerAttributes(_)
            | What::ModifyCapacityReservation(_)
            | What::Record { .. } => (Verb::Change, BALANCER, the_one()),
            What::DeleteLoadBalancer { arn } => (Verb::Delete, BALANCER, arn.clone()),
            What::CreateListener(listener) => {
                (Verb::Create, LISTENER, format!("{}-{}", listener.protocol, listener.port))
            }
            What::ModifyListener(listener) => {
                (Verb::Change, LISTENER, format!("{}-{}", listener.protocol, listener.port))
            }
            What::ModifyListenerAttributes { port, .. }
            | What::AddListenerCertificates { port, .. }
            | What::RemoveListenerCertificates { port, .. } => (Verb::Change, LISTENER, port.to_string()),
            What::DeleteListener { port, .. } => (Verb::Delete, LISTENER, port.to_string()),
            What::Tag { arns, .. } => (Verb::Change, "tags", arns.join(", ")),
        }
    }
}

impl std::fmt::Display for GroupRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GroupRef::Frontend => f.write_str("of the Service"),
            GroupRef::NodesSource => f.write_str("of the nodes' source"),
            GroupRef::Id(id) => f.write_str(id),
        }
    }
}
