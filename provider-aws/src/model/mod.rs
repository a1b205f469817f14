//! What should exist at AWS for one Service: plain data without identifiers AWS gives, which prints as JSON.

mod listener;
mod load_balancer;
mod security_group;
mod target_group;

use std::collections::BTreeSet;

use serde::Serialize;

pub use self::listener::{Listener, Tls};
pub use self::load_balancer::{LoadBalancer, Zone};
pub use self::security_group::{FrontendGroup, Groups, NodeOpening};
pub use self::target_group::TargetGroup;
use crate::naming;

/// Everything one Service should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// The load balancer.
    pub load_balancer: LoadBalancer,
    /// Its security groups.
    pub groups: Groups,
    /// One target group a listener, sorted by port.
    pub target_groups: Vec<TargetGroup>,
    /// Listeners, sorted by port.
    pub listeners: Vec<Listener>,
    /// Instances that every target group should have; none leaves targets as they are, because not one node
    /// could be understood and taking all away would help nobody.
    pub instances: Option<BTreeSet<String>>,
}

impl Desired {
    /// A digest of all but the instances: equal digests mean the same load balancer.
    pub fn digest(&self) -> String {
        let settings = (&self.load_balancer, &self.groups, &self.target_groups, &self.listeners);
        // These types hold no map with keys that are not text, so that writing them cannot fail.
        let text = serde_json::to_string(&settings).unwrap_or_default();
        naming::hex(&[&text])[..32].to_owned()
    }

    /// A digest of the instances; none when targets are left as they are.
    pub fn instances_digest(&self) -> Option<String> {
        Some(instances_digest(self.instances.as_ref()?))
    }
}

/// A digest of a set of instances.
pub fn instances_digest(instances: &BTreeSet<String>) -> String {
    let ids: Vec<&str> = instances.iter().flat_map(|id| [id.as_str(), ","]).collect();
    naming::hex(&ids)[..32].to_owned()
}
