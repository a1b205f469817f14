//! The parts of what should exist at AWS for one Service: plain data without identifiers AWS gives, which prints as
//! JSON. Put together they are a [`Desired`](crate::desired::Desired).

mod listener;
mod load_balancer;
mod security_group;
mod target_group;

pub use self::listener::Listener;
pub use self::load_balancer::{LoadBalancer, LoadBalancerZone};
pub use self::security_group::{BackendAccess, FrontendGroup, Groups};
pub(crate) use self::security_group::{RuleFamily, rules_weight};
pub use self::target_group::TargetGroup;
