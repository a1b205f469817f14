//! Who is in the way of a Service that would have an address.

use std::fmt;

use cloud_provider::{Protocol, ServiceKey};

/// Why a Service cannot have an address: who is in the way, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// It belongs to another Service, and one of the two does not share.
    InUse {
        /// The other.
        by: ServiceKey,
    },
    /// It belongs to another Service with another sharing key. Which, is told to nobody: who knows it may join.
    OtherKey {
        /// The other.
        by: ServiceKey,
    },
    /// The keys are equal, the namespaces are not.
    OtherNamespace {
        /// The other.
        by: ServiceKey,
    },
    /// The keys are equal, but nodes that answer for one do not answer for the other.
    OtherBackend {
        /// The other.
        by: ServiceKey,
    },
    /// Both want the same port.
    Port {
        /// The other.
        by: ServiceKey,
        /// The protocol of the port.
        protocol: Protocol,
        /// Its number.
        port: u16,
    },
    /// Nobody owns it, and a Service's status still shows it.
    StillShown {
        /// The Service.
        by: ServiceKey,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocker::InUse { by } => write!(f, "is in use by {by}, and not shared by both"),
            Blocker::OtherKey { by } => write!(f, "is in use by {by} with another sharing key"),
            Blocker::OtherNamespace { by } => {
                write!(f, "is in use by {by}, and an address is shared within one namespace only")
            }
            Blocker::OtherBackend { by } => write!(
                f,
                "is in use by {by}, and with externalTrafficPolicy Local an address is shared only by Services with \
                 the same policy and the same selector"
            ),
            Blocker::Port { by, protocol, port } => {
                write!(f, "is shared by {by}, which has port {port}/{protocol} already")
            }
            Blocker::StillShown { by } => write!(f, "is still shown in the status of {by}"),
        }
    }
}
