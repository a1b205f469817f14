//! Load balancers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
    time::SystemTime,
};

use ipnet::Ipv6Net;
use serde::Serialize;

use super::{Tags, UnknownWord, words::wire_words};

/// Where a load balancer can be reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// From inside the VPC and what is connected to it.
    Internal,
    /// From the internet.
    InternetFacing,
}

/// Which address families a load balancer's clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IpAddressType {
    /// IPv4 only.
    Ipv4,
    /// IPv4 and IPv6.
    DualStack,
}

/// The sort of a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LoadBalancerKind {
    /// Network Load Balancer: the only sort this crate makes.
    Network,
    /// Application Load Balancer: seen in lists only.
    Application,
}

/// What AWS says about a load balancer's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LoadBalancerState {
    /// Being made; takes minutes.
    Provisioning,
    /// Serving.
    Active,
    /// Serving, but AWS lacks the resources to scale it.
    ActiveImpaired,
    /// Could not be made; it has to be deleted and made anew.
    Failed,
}

/// A load balancer as AWS describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LoadBalancer {
    /// Its ARN, which never changes.
    pub arn: String,
    /// Its name, unique among the load balancers of the account and region; never changes.
    pub name: String,
    /// The host name that clients use; never changes. May carry upper-case letters.
    pub dns_name: String,
    /// The Route 53 zone of the host name.
    pub hosted_zone_id: Option<String>,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// The VPC it stands in.
    pub vpc_id: String,
    /// Network or application.
    pub kind: LoadBalancerKind,
    /// Internal or internet-facing; never changes.
    pub scheme: Scheme,
    /// Readiness.
    pub state: LoadBalancerState,
    /// AWS's explanation of the state, if it has one.
    pub state_reason: Option<String>,
    /// Address families of its clients.
    pub ip_address_type: IpAddressType,
    /// Its subnets, sorted by subnet id.
    pub zones: Vec<ZoneMapping>,
    /// Its security groups. A Network Load Balancer made with none can never have any.
    pub security_groups: BTreeSet<String>,
    /// Whether inbound rules apply to traffic over PrivateLink; none when AWS does not say.
    pub enforce_private_link_inbound: Option<bool>,
    /// Whether each subnet has an IPv6 prefix for source NAT (needed for UDP on dualstack).
    pub ipv6_source_nat: bool,
}

/// One subnet of a load balancer, with its addresses there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ZoneMapping {
    /// Availability zone name, for example `us-east-1a`.
    pub zone: String,
    /// The subnet.
    pub subnet_id: String,
    /// Addresses, if AWS shows them: always for Elastic IPs, else only where they were chosen.
    pub addresses: Vec<ZoneAddress>,
    /// IPv6 prefixes for source NAT.
    pub source_nat_ipv6_prefixes: Vec<Ipv6Net>,
}

/// The addresses of a load balancer in one subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ZoneAddress {
    /// The public address.
    pub public_ipv4: Option<Ipv4Addr>,
    /// The Elastic IP allocation behind the public address.
    pub allocation_id: Option<String>,
    /// The private address, on internal load balancers.
    pub private_ipv4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// A subnet a load balancer is to use, with the addresses chosen for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct SubnetMapping {
    /// The subnet.
    pub subnet_id: String,
    /// Elastic IP; internet-facing only.
    pub allocation_id: Option<String>,
    /// Private address out of the subnet's IPv4 range; internal only.
    pub private_ipv4: Option<Ipv4Addr>,
    /// Address out of the subnet's IPv6 range; dualstack only.
    pub ipv6: Option<Ipv6Addr>,
    /// Prefix for source NAT; dualstack with source NAT on only.
    pub source_nat_ipv6_prefix: Option<SourceNatPrefix>,
}

impl SubnetMapping {
    /// The subnet with addresses of AWS's choice.
    pub fn subnet(id: impl Into<String>) -> Self {
        Self { subnet_id: id.into(), ..Self::default() }
    }
}

/// The IPv6 prefix a load balancer uses as source in one subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum SourceNatPrefix {
    /// One of AWS's choice.
    AutoAssigned,
    /// This /80 out of the subnet's range.
    Prefix(Ipv6Net),
}

/// A load balancer to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreateLoadBalancer {
    /// 1 to 32 of `A-Z a-z 0-9 -`, no hyphen at either end, not beginning with `internal-`.
    pub name: String,
    /// Internal or internet-facing.
    pub scheme: Scheme,
    /// Address families of its clients.
    pub ip_address_type: IpAddressType,
    /// At least one; at most one per availability zone.
    pub subnets: Vec<SubnetMapping>,
    /// If empty, the load balancer can never have security groups.
    pub security_groups: BTreeSet<String>,
    /// Whether each subnet gets an IPv6 prefix for source NAT; dualstack only.
    pub ipv6_source_nat: bool,
    /// Tags, set in the same request.
    pub tags: Tags,
}

/// The complete set of subnets a load balancer is to have: what is not listed is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetSubnets {
    /// The load balancer.
    pub load_balancer_arn: String,
    /// All subnets it is to have, those that stay with the addresses they have. A different subnet of a zone it
    /// already has, or a different address, is refused: remove the zone first.
    pub subnets: Vec<SubnetMapping>,
    /// Turns IPv6 prefixes for source NAT on or off; none leaves it as it is.
    pub ipv6_source_nat: Option<bool>,
    /// Changes the address families with the subnets; none leaves them as they are.
    pub ip_address_type: Option<IpAddressType>,
}

/// The complete set of security groups a load balancer is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetSecurityGroups {
    /// The load balancer.
    pub load_balancer_arn: String,
    /// All groups it is to have; not empty.
    pub security_groups: BTreeSet<String>,
    /// Whether inbound rules apply to traffic over PrivateLink; none leaves it as it is.
    pub enforce_private_link_inbound: Option<bool>,
}

/// A change of a load balancer's reserved minimum capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum CapacityChange {
    /// Reserve this many capacity units (LCU).
    Units(u32),
    /// Give the reservation up.
    Reset,
}

/// A load balancer's reserved minimum capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CapacityReservation {
    /// Capacity units (LCU) asked for; none if nothing is reserved.
    pub minimum_units: Option<u32>,
    /// How many more times it may be lowered today.
    pub decreases_remaining: Option<u32>,
    /// Per availability zone, what came of it.
    pub zones: BTreeMap<String, ZoneCapacity>,
}

/// What came of a capacity reservation in one availability zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ZoneCapacity {
    /// AWS's word: `provisioned`, `pending`, `rebalancing` or `failed`.
    pub state: String,
    /// AWS's explanation, if it has one.
    pub reason: Option<String>,
    /// Capacity units in force.
    pub effective_units: Option<u32>,
}

wire_words!(Scheme { Internal = "internal", InternetFacing = "internet-facing" });
wire_words!(IpAddressType { Ipv4 = "ipv4", DualStack = "dualstack" });
wire_words!(LoadBalancerKind { Network = "network", Application = "application" });
wire_words!(LoadBalancerState {
    Provisioning = "provisioning",
    Active = "active",
    ActiveImpaired = "active_impaired",
    Failed = "failed",
});

impl fmt::Display for SourceNatPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AutoAssigned => f.write_str("auto_assigned"),
            Self::Prefix(prefix) => prefix.fmt(f),
        }
    }
}

impl FromStr for SourceNatPrefix {
    type Err = UnknownWord;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            "auto_assigned" => Ok(Self::AutoAssigned),
            _ => value.parse().map(Self::Prefix).map_err(|_| UnknownWord {
                value: value.to_owned(),
                allowed: "auto_assigned, an IPv6 prefix of length 80",
            }),
        }
    }
}
