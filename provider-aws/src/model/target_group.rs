//! A target group that should exist.

use serde::Serialize;

use crate::client::{Attributes, HealthCheck, Protocol, Tags, TargetFamily};

/// A target group that should exist. Its targets are the same for all ports and stand in
/// [`Desired`](crate::desired::Desired).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetGroup {
    /// Its name, a function of all that never changes.
    pub name: String,
    /// The Service port it is for.
    pub port: u16,
    /// Protocol to the targets; never changes.
    pub protocol: Protocol,
    /// Address family to the targets; never changes.
    pub family: TargetFamily,
    /// The VPC of the targets; never changes.
    pub vpc_id: String,
    /// The port on the targets. AWS keeps one for the group, too, but sends no traffic by it, so that another
    /// node port only means other targets.
    pub node_port: u16,
    /// How targets are checked.
    pub health_check: HealthCheck,
    /// Attributes that should hold; the others are not looked at.
    pub attributes: Attributes,
    /// Tags that should be there; others are not looked at.
    pub tags: Tags,
}
