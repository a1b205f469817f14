//! Security groups that should exist.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::client::{IngressRule, RuleSource, Tags, Traffic};

/// The security groups of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Groups {
    /// The group we make, which says who may connect.
    pub frontend: Option<FrontendGroup>,
    /// Groups of the user's own, by id.
    pub given: BTreeSet<String>,
    /// What the nodes must let in from the load balancer; none when somebody else sees to it.
    pub nodes: Option<BackendAccess>,
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
    /// Tags.
    pub tags: Tags,
}

/// What the nodes must let in from our load balancers.
///
/// All load balancers of a cluster carry one more group, the backend security group, and the nodes let in its members: a
/// handful of rules for any number of Services, where rules by address would run into AWS's limit of 60.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendAccess {
    /// The name of the backend security group.
    pub source_group: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its tags.
    pub tags: Tags,
    /// What is let in.
    pub traffic: BTreeSet<Traffic>,
}

/// How many rules of the fuller address family there are, which is what AWS's quota limits.
pub(crate) fn rules_weight<'a>(rules: impl IntoIterator<Item = &'a IngressRule> + Clone) -> usize {
    let count = |family: &RuleFamily| rules.clone().into_iter().map(|rule| family.weight(rule)).sum();
    RuleFamily::ALL.iter().map(count).max().unwrap_or_default()
}

/// AWS counts the rules of each address family by themselves; groups and prefix lists count for both.
#[derive(Clone, Copy)]
pub(crate) enum RuleFamily {
    V4,
    V6,
}

impl RuleFamily {
    pub(crate) const ALL: [RuleFamily; 2] = [RuleFamily::V4, RuleFamily::V6];

    /// How many rules of this family a rule counts as.
    pub(crate) fn weight(self, rule: &IngressRule) -> usize {
        match (self, &rule.source) {
            (RuleFamily::V4, RuleSource::Ipv6(_)) | (RuleFamily::V6, RuleSource::Ipv4(_)) => 0,
            _ => 1,
        }
    }

    /// How many of these rules count.
    pub(crate) fn count(self, rules: &[IngressRule]) -> usize {
        rules.iter().map(|rule| self.weight(rule)).sum()
    }
}
