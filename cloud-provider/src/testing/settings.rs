//! How a [`MemoryCloud`](super::MemoryCloud) behaves while nothing goes wrong.

use std::collections::BTreeSet;

use crate::address::IpMode;
use crate::class::ClassRule;
use crate::service::ServiceKey;

/// How a load balancer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressKind {
    /// An address per family of the Service, with this mode.
    Ip(Option<IpMode>),
    /// A DNS name.
    Hostname,
}

/// How long a new load balancer is provisioning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provisioning {
    /// Not at all.
    Instant,
    /// The first so many `ensure`s find it provisioning, the one that creates it included.
    ForLooks(usize),
    /// Until [`activate_all`](super::MemoryCloud::activate_all).
    UntilActivated,
}

/// How a [`MemoryCloud`](super::MemoryCloud) behaves. It may be [changed](super::MemoryCloud::change) at any time;
/// only a process keeps the name and the published annotation that it started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The provider's name.
    pub name: String,
    /// Which Services are claimed.
    pub class: ClassRule,
    /// See [`holds_resources`](crate::CloudLoadBalancer::holds_resources).
    pub holds_resources: bool,
    /// Whether load balancers lead to nodes: those that carry what the annotation
    /// [`NODE_LABELS`](super::NODE_LABELS) asks for.
    pub uses_nodes: bool,
    /// Whether load balancers lead to endpoints.
    pub uses_endpoints: bool,
    /// See [`serves_beside_mistakes`](crate::CloudLoadBalancer::serves_beside_mistakes).
    pub serves_beside_mistakes: bool,
    /// The annotations whose change matters; none for all of them.
    pub reads_annotations: Option<BTreeSet<String>>,
    /// An annotation to publish beside the address, with the load balancer's name as its value.
    pub publishes_annotation: Option<String>,
    /// How load balancers are reached.
    pub address: AddressKind,
    /// How long they take.
    pub provisioning: Provisioning,
    /// How many load balancers there may be.
    pub quota: Option<usize>,
    /// Services that somebody else serves on purpose.
    pub implemented_elsewhere: BTreeSet<ServiceKey>,
    /// The time that creations are stamped with, in seconds since the Unix epoch; none if the platform tells none.
    pub now: Option<i64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: "memory".to_owned(),
            class: ClassRule::Unset,
            holds_resources: true,
            uses_nodes: true,
            uses_endpoints: false,
            serves_beside_mistakes: false,
            reads_annotations: None,
            publishes_annotation: None,
            address: AddressKind::Ip(None),
            provisioning: Provisioning::Instant,
            quota: None,
            implemented_elsewhere: BTreeSet::new(),
            now: Some(1_700_000_000),
        }
    }
}

impl Settings {
    /// The defaults, but for what `change` sets.
    pub fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut settings = Self::default();
        change(&mut settings);
        settings
    }
}
