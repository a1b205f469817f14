//! What load balancers stand on: VPCs, subnets, zones, instances. Read, never changed.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;

use super::{TagFilter, Tags, words::wire_words};

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Vpc {
    /// Its id, `vpc-...`.
    pub id: String,
    /// Its associated IPv4 ranges.
    pub ipv4_cidrs: Vec<Ipv4Net>,
    /// Its associated IPv6 ranges.
    pub ipv6_cidrs: Vec<Ipv6Net>,
    /// Tags.
    pub tags: Tags,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Subnet {
    /// Its id, `subnet-...`.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its availability zone's name, for example `us-east-1a`.
    pub zone: String,
    /// Its IPv4 range; none on IPv6-only subnets.
    pub ipv4_cidr: Option<Ipv4Net>,
    /// Its associated IPv6 ranges.
    pub ipv6_cidrs: Vec<Ipv6Net>,
    /// IPv4 addresses still free; a Network Load Balancer needs 8.
    pub available_ipv4: u32,
    /// The Outpost it is on, if it is on one.
    pub outpost_arn: Option<String>,
    /// Tags.
    pub tags: Tags,
}

impl Subnet {
    /// A subnet without ranges, free addresses and tags.
    pub fn new(id: impl Into<String>, vpc_id: impl Into<String>, zone: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            vpc_id: vpc_id.into(),
            zone: zone.into(),
            ipv4_cidr: None,
            ipv6_cidrs: Vec::new(),
            available_ipv4: 0,
            outpost_arn: None,
            tags: Tags::new(),
        }
    }
}

/// Which subnets to describe; conditions are joined by "and". What is absent is left out of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubnetQuery {
    /// One of these ids; at most 200, empty means any.
    pub ids: Vec<String>,
    /// In this VPC.
    pub vpc_id: Option<String>,
    /// With all these tags.
    pub tags: Vec<TagFilter>,
}

/// A route table, as far as it tells public subnets from private ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RouteTable {
    /// Its id, `rtb-...`.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Whether it holds for the subnets that have none of their own.
    pub main: bool,
    /// The subnets it was given to.
    pub subnet_ids: Vec<String>,
    /// The gateways its routes lead to: `igw-...` for the internet, `local`, ...
    pub gateway_ids: Vec<String>,
}

impl RouteTable {
    /// Whether it leads to an internet gateway, which makes its subnets public.
    pub fn is_public(&self) -> bool {
        self.gateway_ids.iter().any(|id| id.starts_with("igw-"))
    }
}

/// A zone of the region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Zone {
    /// Its name, for example `us-east-1a`; what it stands for differs between accounts.
    pub name: String,
    /// Its id, for example `use1-az1`; the same in all accounts.
    pub id: String,
    /// Its sort.
    pub kind: ZoneKind,
}

/// The sort of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ZoneKind {
    /// An availability zone.
    AvailabilityZone,
    /// A local zone: no Network Load Balancers.
    LocalZone,
    /// A wavelength zone: no Network Load Balancers.
    WavelengthZone,
}

wire_words!(ZoneKind {
    AvailabilityZone = "availability-zone",
    LocalZone = "local-zone",
    WavelengthZone = "wavelength-zone",
});

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Instance {
    /// Its id, `i-...`.
    pub id: String,
    /// Its state; only running ones can be registered.
    pub state: InstanceState,
    /// Its type, for example `m7g.large`.
    pub instance_type: String,
    /// Its availability zone's name.
    pub zone: String,
    /// Its VPC; none once terminated.
    pub vpc_id: Option<String>,
    /// Its subnet; none once terminated.
    pub subnet_id: Option<String>,
    /// Its primary private address.
    pub private_ipv4: Option<Ipv4Addr>,
    /// The primary IPv6 address of its primary network interface: without one it cannot be a target over IPv6.
    pub primary_ipv6: Option<Ipv6Addr>,
    /// The security groups of its primary network interface (device index 0), sorted.
    pub security_groups: Vec<String>,
    /// Tags.
    pub tags: Tags,
}

impl Instance {
    /// A running instance without addresses, security groups and tags, in no VPC.
    pub fn new(id: impl Into<String>, instance_type: impl Into<String>, zone: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            state: InstanceState::Running,
            instance_type: instance_type.into(),
            zone: zone.into(),
            vpc_id: None,
            subnet_id: None,
            private_ipv4: None,
            primary_ipv6: None,
            security_groups: Vec::new(),
            tags: Tags::new(),
        }
    }
}

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstanceState {
    /// Starting.
    Pending,
    /// Running.
    Running,
    /// Being stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Being terminated.
    ShuttingDown,
    /// Gone; still listed for about an hour.
    Terminated,
}

wire_words!(InstanceState {
    Pending = "pending",
    Running = "running",
    Stopping = "stopping",
    Stopped = "stopped",
    ShuttingDown = "shutting-down",
    Terminated = "terminated",
});
