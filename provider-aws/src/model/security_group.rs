//! Security groups that should exist.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::client::{IngressRule, Tags, Traffic};

/// The security groups of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Groups {
    /// The group we make, which says who may connect.
    pub frontend: Option<FrontendGroup>,
    /// Groups of the user's own, by id.
    pub given: BTreeSet<String>,
    /// What the nodes must let in from the load balancer; none when somebody else sees to it.
    pub nodes: Option<NodeOpening>,
    /// Whether inbound rules hold for traffic over PrivateLink; none leaves it to AWS.
    pub private_link_rules: Option<bool>,
}

impl Groups {
    /// Whether the load balancer has no group at all, which holds for its whole life.
    pub fn is_empty(&self) -> bool {
        self.frontend.is_none() && self.given.is_empty() && self.nodes.is_none()
    }
}

/// The group that says who may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrontendGroup {
    /// Its name, unique in the VPC.
    pub name: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its inbound rules: these and no others.
    pub rules: BTreeSet<IngressRule>,
    /// How many rules AWS lets it have for each address family. Says nothing of what should exist.
    #[serde(skip)]
    pub rules_at_most: usize,
    /// Tags.
    pub tags: Tags,
}

/// What the nodes must let in from our load balancers.
///
/// All load balancers of a cluster carry one more group, the nodes' source, and the nodes let in its members: a
/// handful of rules for any number of Services, where rules by address would run into AWS's limit of 60.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeOpening {
    /// The name of the nodes' source group.
    pub source_group: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its tags.
    pub tags: Tags,
    /// What is let in.
    pub traffic: BTreeSet<Traffic>,
}
