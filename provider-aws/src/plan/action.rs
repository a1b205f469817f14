//! The steps of a plan, as data.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{Change, Step, Verb};
use serde::Serialize;

use crate::client::{
    Attributes, HealthCheck, IngressRule, IpAddressType, SubnetMapping, Tags, Target, Traffic,
};
use crate::model;
use crate::settings::Setting;

/// One step with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// What is done.
    pub operation: Operation,
    /// Which part of the Service's load balancer it is for.
    pub part: Part,
    /// Why.
    pub reason: String,
    /// What differs.
    pub changes: Vec<Change>,
    /// Whether it takes the place of something that cannot be changed into it.
    pub replaces: bool,
}

/// A part of a Service's load balancer, which fails by itself: [`Part::needs`] says what does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Part {
    /// What everything else stands on.
    Foundation,
    /// Who may connect.
    Access,
    /// A security group of the nodes.
    NodeGroup(String),
    /// Subnets and address families.
    Zones,
    /// Attributes and tags of the load balancer.
    Attributes,
    /// One port: its listener and its target group.
    Port(u16),
    /// The targets that go. New ones may fail to come, and then those that serve stay.
    OldTargets(u16),
    /// A port that the Service has no more: its listener and its target group.
    OldPort(u16),
    /// What else nothing uses any more.
    Remains,
    /// The note that all of it was done.
    Record,
}

impl Part {
    /// Whether a failure of that other part leaves this one undone.
    pub fn needs(&self, other: &Part) -> bool {
        match (self, other) {
            (_, Part::Foundation) | (Part::OldPort(_) | Part::Remains | Part::Record, _) => true,
            (Part::OldTargets(_), Part::NodeGroup(_)) => true,
            (Part::OldTargets(port), Part::Port(other)) => port == other,
            // Each group of the nodes is one to itself.
            (Part::NodeGroup(_), _) => false,
            (one, other) => one == other,
        }
    }
}

/// A security group that a step speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum GroupRef {
    /// The Service's own frontend group.
    Frontend,
    /// The backend security group, which is the source in the rules on the nodes.
    Backend,
    /// Another one, by id.
    Id(String),
}

/// A target group that a step speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TargetGroupRef {
    /// One that should exist, by the name it should have: it exists, perhaps under another name, or an earlier step
    /// makes it.
    Named(String),
    /// One that exists and perhaps should not, by ARN.
    Arn(String),
}

/// One thing to do; one request to AWS as a rule, more where AWS limits how much one request may carry.
///
/// "The load balancer" is the one that is to stay, or that an earlier step makes. Listeners go by their port:
/// [`ResolvedIds`] says what that means at AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "variants and fields are named after AWS's requests and parameters")]
pub enum Operation {
    CreateFrontendGroup(model::FrontendGroup),
    CreateBackendGroup(model::BackendAccess),
    AuthorizeIngress {
        group: GroupRef,
        rules: Vec<IngressRule>,
    },
    /// Lets the members of the backend security group into a security group of the nodes.
    OpenNodes {
        node_group: String,
        traffic: BTreeSet<Traffic>,
    },
    RevokeIngress {
        group: GroupRef,
        rules: Vec<IngressRule>,
    },
    TagGroup {
        group: GroupRef,
        add: Tags,
        remove: Vec<String>,
    },
    DeleteGroup {
        id: String,
    },
    /// Deletes a group that this process made and that no list shows: it may be too new to be shown.
    DeleteUnseenGroup {
        id: String,
    },
    /// Takes down what all Services shared, unless one is left after all.
    DeleteBackendGroup {
        id: String,
        vpc_id: String,
    },
    CreateTargetGroup(model::TargetGroup),
    ModifyTargetGroup {
        target_group: TargetGroupRef,
        health_check: HealthCheck,
    },
    ModifyTargetGroupAttributes {
        target_group: TargetGroupRef,
        attributes: Attributes,
    },
    RegisterTargets {
        target_group: TargetGroupRef,
        targets: Vec<Target>,
    },
    DeregisterTargets {
        target_group: TargetGroupRef,
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
    ChangeSetting(Setting),
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
    /// Takes tags off, then puts others on.
    Tag {
        arn: String,
        add: Tags,
        remove: Vec<String>,
    },
    /// Takes off a load balancer what it says of registered targets, before some of them change.
    ForgetTargets {
        arn: String,
    },
    /// Notes on the load balancer what was applied; none takes the note off before something changes.
    Record {
        applied: Option<String>,
        targets: Option<String>,
    },
}

/// What names and ports of a plan mean at AWS, as far as it exists; steps add to it as they are carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedIds {
    /// ARN of the load balancer.
    pub load_balancer: Option<String>,
    /// ARNs of target groups by the name they should have. An adopted one keeps the name it has.
    pub target_groups: BTreeMap<String, String>,
    /// ARNs of listeners by port.
    pub listeners: BTreeMap<u16, String>,
    /// Id of the frontend group.
    pub frontend: Option<String>,
    /// Id of the backend security group.
    pub backend: Option<String>,
}

impl ResolvedIds {
    /// The id of a group, if it exists.
    pub fn group(&self, group: &GroupRef) -> Option<String> {
        match group {
            GroupRef::Frontend => self.frontend.clone(),
            GroupRef::Backend => self.backend.clone(),
            GroupRef::Id(id) => Some(id.clone()),
        }
    }

    /// The ARN of a target group, if it exists.
    pub fn target_group(&self, target_group: &TargetGroupRef) -> Option<String> {
        match target_group {
            TargetGroupRef::Named(name) => self.target_groups.get(name).cloned(),
            TargetGroupRef::Arn(arn) => Some(arn.clone()),
        }
    }
}

impl Action {
    /// A step of this part.
    pub fn new(part: Part, operation: Operation, reason: impl Into<String>) -> Self {
        let changes = operation.changes();
        Action { operation, part, reason: reason.into(), changes, replaces: false }
    }

    /// With the fields that differ, where the step itself does not say from what.
    pub fn with(mut self, changes: Vec<Change>) -> Self {
        self.changes = changes;
        self
    }

    /// In the place of something that exists, with how the two differ.
    pub fn replacing(mut self, changes: Vec<Change>) -> Self {
        self.replaces = true;
        self.changes = changes;
        self
    }

    /// Whether it registers targets, or takes some out.
    pub(super) fn is_of_targets(&self) -> bool {
        matches!(self.operation, Operation::RegisterTargets { .. } | Operation::DeregisterTargets { .. })
    }

    /// As the contract prints it.
    pub fn step(&self) -> Step {
        let (verb, kind, resource) = self.operation.describe();
        let verb = if self.replaces { Verb::Replace } else { verb };
        let mut step = Step::new(verb, kind, resource, &self.reason);
        step.changes.clone_from(&self.changes);
        step
    }
}
