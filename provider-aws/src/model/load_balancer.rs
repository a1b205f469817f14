//! The load balancer that should exist.

use serde::Serialize;

use crate::client::{Attributes, IpAddressType, Scheme, SubnetMapping, Tags};
use crate::settings::LoadBalancerSettings;

/// A load balancer that should exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// Its name, which never changes.
    pub name: String,
    /// Whether the user chose the name, so that somebody else may have it already.
    pub name_is_chosen: bool,
    /// Where it is reachable from; a change makes a new load balancer.
    pub scheme: Scheme,
    /// Address families of clients.
    pub ip_address_type: IpAddressType,
    /// Its subnets, one a zone.
    pub zones: Vec<LoadBalancerZone>,
    /// Whether each subnet has an IPv6 prefix for source NAT; none leaves it to AWS.
    pub ipv6_source_nat: Option<bool>,
    /// What is told and changed by requests of its own.
    #[serde(flatten)]
    pub settings: LoadBalancerSettings,
    /// Attributes that should hold; the others are not looked at.
    pub attributes: Attributes,
    /// Tags that should be there; others are not looked at.
    pub tags: Tags,
}

/// A subnet of the load balancer with its zone, which is what AWS compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancerZone {
    /// Availability zone.
    pub name: String,
    /// The subnet and the addresses chosen in it.
    pub mapping: SubnetMapping,
}
