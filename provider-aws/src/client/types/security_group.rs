//! Security groups.

use std::fmt;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;

use super::Tags;

/// A security group as AWS describes it, with its inbound rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SecurityGroup {
    /// Its id, `sg-...`.
    pub id: String,
    /// Its name, unique in its VPC.
    pub name: String,
    /// Its description; never changes.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Inbound rules, one source each, sorted.
    pub ingress: Vec<IngressRule>,
    /// Tags.
    pub tags: Tags,
}

/// One inbound rule: one sort of traffic from one source.
///
/// AWS tells rules apart by traffic and source; the description is a remark (at most 255 characters) by
/// which an owner may be recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct IngressRule {
    /// What is let in.
    pub traffic: Traffic,
    /// From where.
    pub source: RuleSource,
    /// A remark.
    pub description: Option<String>,
}

impl IngressRule {
    /// Whether AWS takes both for the same rule, whatever their descriptions.
    pub fn same_rule(&self, other: &Self) -> bool {
        self.traffic == other.traffic && self.source == other.source
    }
}

/// What a rule lets in. Port ranges include both ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Traffic {
    /// TCP to a range of ports.
    Tcp {
        /// First port.
        from: u16,
        /// Last port.
        to: u16,
    },
    /// UDP to a range of ports.
    Udp {
        /// First port.
        from: u16,
        /// Last port.
        to: u16,
    },
    /// ICMP messages; -1 means any.
    Icmp {
        /// Type.
        kind: i16,
        /// Code.
        code: i16,
    },
    /// ICMPv6 messages; -1 means any.
    Icmpv6 {
        /// Type.
        kind: i16,
        /// Code.
        code: i16,
    },
    /// Everything.
    All,
    /// A protocol by its number or name, without ports.
    Other(String),
}

/// Where a rule lets traffic in from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum RuleSource {
    /// An IPv4 range.
    Ipv4(Ipv4Net),
    /// An IPv6 range.
    Ipv6(Ipv6Net),
    /// A prefix list, `pl-...`.
    PrefixList(String),
    /// Members of a security group, `sg-...`.
    Group(String),
}

/// Which security groups to describe; conditions are joined by "and". What is absent is left out of the
/// answer (ids are sent as a filter, not as ids, of which one absent would fail the request).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecurityGroupQuery {
    /// One of these ids; at most 200, empty means any.
    pub ids: Vec<String>,
    /// One of these group names; at most 200, empty means any.
    pub names: Vec<String>,
    /// In this VPC.
    pub vpc_id: Option<String>,
    /// With all these tags.
    pub tags: Vec<TagFilter>,
}

/// A condition on tags.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagFilter {
    /// The key that must be there.
    pub key: String,
    /// One of these values; empty means any.
    pub values: Vec<String>,
}

impl TagFilter {
    /// The tag with exactly this value.
    pub fn equals(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), values: vec![value.into()] }
    }

    /// The tag with any value.
    pub fn present(key: impl Into<String>) -> Self {
        Self { key: key.into(), values: Vec::new() }
    }

    /// Whether the tags meet the condition.
    pub fn matches(&self, tags: &Tags) -> bool {
        tags.get(&self.key).is_some_and(|value| self.values.is_empty() || self.values.contains(value))
    }
}

/// A security group to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreateSecurityGroup {
    /// At most 255 characters, not beginning with `sg-`.
    pub name: String,
    /// 1 to 255 characters.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Tags, set in the same request.
    pub tags: Tags,
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { from, to } => write!(f, "tcp {from}-{to}"),
            Self::Udp { from, to } => write!(f, "udp {from}-{to}"),
            Self::Icmp { kind, code } => write!(f, "icmp {kind}/{code}"),
            Self::Icmpv6 { kind, code } => write!(f, "icmpv6 {kind}/{code}"),
            Self::All => f.write_str("all traffic"),
            Self::Other(protocol) => write!(f, "protocol {protocol}"),
        }
    }
}

impl fmt::Display for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(range) => range.fmt(f),
            Self::Ipv6(range) => range.fmt(f),
            Self::PrefixList(id) | Self::Group(id) => f.write_str(id),
        }
    }
}

impl fmt::Display for IngressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.traffic, self.source)
    }
}
