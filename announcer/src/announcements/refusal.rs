//! Why an address is not announced.

use std::fmt;
use std::sync::Arc;

use cloud_provider::{NodeView, ServiceKey};
use metallb::written::ObjectKey;

/// Why an address is not announced, by anybody or by one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The status says that connections go through a proxy: nodes take none at the address itself.
    IpModeProxy,
    /// No pool in force contains it.
    NoPool,
    /// No advertisement takes the pool's addresses.
    NoAdvertisement {
        /// The pool.
        pool: String,
    },
    /// The advertisements that take the pool's addresses ask for other Services.
    ServiceNotSelected {
        /// The pool.
        pool: String,
    },
    /// The Service may share its address, and an advertisement chooses among Services.
    SharedWithServiceSelectors {
        /// The advertisement.
        advertisement: ObjectKey,
    },
    /// The Service has no endpoint that serves.
    NoEndpoints,
    /// The advertisements of the pool ask for other nodes.
    NodeNotSelected,
    /// The node's network is not up (condition `NetworkUnavailable`).
    NetworkUnavailable,
    /// A user took the node out, by its label.
    Excluded,
    /// The policy is Local, and the node has no endpoint that serves.
    NoLocalEndpoints,
    /// The node cannot serve another Service that has the same address.
    NotForAll {
        /// That Service.
        service: ServiceKey,
    },
    /// No peer of the advertisements has a session with the node.
    NoPeer,
    /// The prefix is wider than what the pool has there.
    PrefixTooWide {
        /// The advertisement.
        advertisement: ObjectKey,
        /// How many bits it asks for.
        length: u8,
        /// How many the widest prefix has that the pool has there.
        least: u8,
    },
    /// The node is not known.
    NoSuchNode {
        /// Its name.
        node: Arc<str>,
    },
}

impl Refusal {
    /// The reason as one word: MetalLB's where it has one.
    pub fn as_str(&self) -> &'static str {
        match self {
            Refusal::IpModeProxy => "ipModeProxy",
            Refusal::NoPool => "noPool",
            Refusal::NoAdvertisement { .. }
            | Refusal::ServiceNotSelected { .. }
            | Refusal::NodeNotSelected => "noMatchingAdvertisement",
            Refusal::SharedWithServiceSelectors { .. } => "sharedIPWithServiceSelector",
            Refusal::NoEndpoints => "noEndpoints",
            Refusal::NetworkUnavailable => "nodeNetworkUnavailable",
            Refusal::Excluded => "nodeLabeledExcludeBalancers",
            Refusal::NoLocalEndpoints => "noLocalEndpoints",
            Refusal::NotForAll { .. } => "notForAll",
            Refusal::NoPeer => "noPeer",
            Refusal::PrefixTooWide { .. } => "prefixTooWide",
            Refusal::NoSuchNode { .. } => "noSuchNode",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::IpModeProxy => f.write_str(
                "its status has ipMode Proxy: nodes take no connection at the address itself, so nobody announces it",
            ),
            Refusal::NoPool => f.write_str("no IPAddressPool in force contains it"),
            Refusal::NoAdvertisement { pool } => write!(f, "no advertisement takes addresses of pool {pool:?}"),
            Refusal::ServiceNotSelected { pool } => {
                write!(f, "the advertisements for pool {pool:?} have serviceSelectors that ask for other Services")
            }
            Refusal::SharedWithServiceSelectors { advertisement } => write!(
                f,
                "the Service may share its address, and {advertisement} has serviceSelectors: either goes without the other"
            ),
            Refusal::NoEndpoints => f.write_str("the Service has no endpoint that serves"),
            Refusal::NodeNotSelected => f.write_str("the nodeSelectors of the pool's advertisements ask for other nodes"),
            Refusal::NetworkUnavailable => f.write_str("the node has the condition NetworkUnavailable"),
            Refusal::Excluded => write!(f, "the node has the label {}", NodeView::EXCLUDE_LABEL),
            Refusal::NoLocalEndpoints => {
                f.write_str("externalTrafficPolicy is Local, and the node has no endpoint that serves")
            }
            Refusal::NotForAll { service } => {
                write!(f, "the node cannot serve {service}, which has the same address")
            }
            Refusal::NoPeer => f.write_str("no BGPPeer that the advertisements name has a session with the node"),
            Refusal::PrefixTooWide { advertisement, length, least } => write!(
                f,
                "{advertisement} asks for a prefix of {length} bits, and the pool's widest there has {least}: what is \
                 outside the pool is not ours to advertise"
            ),
            Refusal::NoSuchNode { node } => write!(f, "there is no Node {node:?}"),
        }
    }
}
