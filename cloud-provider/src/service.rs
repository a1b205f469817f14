//! What a provider may know of a Service.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::Ingress;
use crate::error::Mistake;
use crate::protocol::{IpFamily, Protocol};
use crate::shared_text;
use crate::sorted_map::SortedMap;
use crate::source_range::SourceRanges;

/// Where a Service is: its namespace and name. A name can be used again by another Service after a deletion;
/// for "this very Service" see [`ServiceId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The namespace.
    #[serde(with = "shared_text")]
    pub namespace: Arc<str>,
    /// The name.
    #[serde(with = "shared_text")]
    pub name: Arc<str>,
}

impl ServiceKey {
    /// A key from its two parts.
    pub fn new(namespace: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        ServiceKey { namespace: namespace.as_ref().into(), name: name.as_ref().into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which Service: the key, and the UID that tells it from its namesakes. Ownership outside the cluster is
/// recorded by this, and deletion goes by this alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceId {
    /// Where it is.
    #[serde(flatten)]
    pub key: ServiceKey,
    /// Its UID, unique over all of a cluster's life.
    #[serde(with = "shared_text")]
    pub uid: Arc<str>,
}

impl ServiceId {
    /// An identity from its parts.
    pub fn new(namespace: impl AsRef<str>, name: impl AsRef<str>, uid: impl AsRef<str>) -> Self {
        ServiceId { key: ServiceKey::new(namespace, name), uid: uid.as_ref().into() }
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.uid)
    }
}

/// `spec.ipFamilyPolicy`; an unset one counts as [`FamilyPolicy::SingleStack`], as the API server defaults it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FamilyPolicy {
    /// One family.
    #[default]
    SingleStack,
    /// Both where the cluster has both, else one.
    PreferDualStack,
    /// Both, or nothing.
    RequireDualStack,
}

/// `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrafficPolicy {
    /// Every node takes traffic and passes it on.
    #[default]
    Cluster,
    /// Only nodes with a ready endpoint serve; the health-check node port tells which.
    Local,
}

/// `spec.sessionAffinity` with its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionAffinity {
    /// Connections are independent.
    #[default]
    None,
    /// Connections of one client IP go to one endpoint for this many seconds (1 to 86400).
    ClientIp {
        /// How long.
        timeout_seconds: u32,
    },
}

/// Where a Service port leads inside the pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// A container port's name.
    Name(String),
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServicePort {
    /// The name; empty for the only port of a Service.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port clients connect to, 1 to 65535.
    pub port: u16,
    /// The port on every node; none when the Service asked for none (`allocateLoadBalancerNodePorts: false`).
    pub node_port: Option<u16>,
    /// The port in the pod.
    pub target_port: TargetPort,
    /// The application protocol, if the user gave one.
    pub app_protocol: Option<String>,
}

impl ServicePort {
    /// The only port of a Service, without a node port, that leads to the same port in the pod.
    pub fn new(protocol: Protocol, port: u16) -> Self {
        ServicePort {
            name: String::new(),
            protocol,
            port,
            node_port: None,
            target_port: TargetPort::Number(port),
            app_protocol: None,
        }
    }
}

/// What a provider may know of a Service: parsed once, at the edge.
///
/// A view can always be built, so that a Service with a mistake in it can still be recognised, counted and
/// deleted. What could not be parsed is in [`mistakes`](ServiceView::mistakes), and a view with mistakes becomes a
/// [`Request`](crate::Request) for `ensure` only of a provider that
/// [serves beside mistakes](crate::CloudLoadBalancer::serves_beside_mistakes): no other makes or changes a load balancer by one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceView {
    /// Which Service.
    pub id: ServiceId,
    /// When it was created, in seconds since the Unix epoch; 0 when unknown. "Oldest first" is by this.
    pub created: i64,
    /// Whether `spec.type` is `LoadBalancer` and the Service is not being deleted.
    pub wants_load_balancer: bool,
    /// `spec.loadBalancerClass`; an empty string counts as set.
    pub class: Option<String>,
    /// `metadata.labels`.
    pub labels: SortedMap<String>,
    /// `metadata.annotations`, without kubectl's bookkeeping.
    pub annotations: SortedMap<String>,
    /// `spec.ports`, in order.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`.
    pub selector: SortedMap<String>,
    /// `spec.ipFamilies`, primary first.
    pub families: Vec<IpFamily>,
    /// `spec.ipFamilyPolicy`.
    pub family_policy: FamilyPolicy,
    /// `spec.clusterIPs`, without `None`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.loadBalancerIP` as written: what it may hold is the provider's to say (the field is deprecated
    /// because implementations disagree).
    pub load_balancer_ip: Option<String>,
    /// Who may connect.
    pub source_ranges: SourceRanges,
    /// `spec.externalTrafficPolicy`.
    pub traffic_policy: TrafficPolicy,
    /// `spec.healthCheckNodePort`; only with [`TrafficPolicy::Local`].
    pub health_check_node_port: Option<u16>,
    /// `spec.sessionAffinity`.
    pub session_affinity: SessionAffinity,
    /// `status.loadBalancer.ingress`: what is published now, whoever wrote it.
    pub published: Vec<Ingress>,
    /// What did not parse, and is missing from the rest of the view: source ranges, of which none is there then, and single
    /// ports. Each names its field: `spec.loadBalancerSourceRanges[0]`, `spec.ports[1].protocol`. Empty for most.
    pub mistakes: Vec<Mistake>,
}

impl ServiceView {
    /// A Service of which nothing but its identity is known: it wants no load balancer and has no port.
    pub fn new(id: ServiceId) -> Self {
        ServiceView {
            id,
            created: 0,
            wants_load_balancer: false,
            class: None,
            labels: SortedMap::new(),
            annotations: SortedMap::new(),
            ports: Vec::new(),
            selector: SortedMap::new(),
            families: Vec::new(),
            family_policy: FamilyPolicy::default(),
            cluster_ips: Vec::new(),
            load_balancer_ip: None,
            source_ranges: SourceRanges::Unset,
            traffic_policy: TrafficPolicy::default(),
            health_check_node_port: None,
            session_affinity: SessionAffinity::default(),
            published: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// The published IP addresses, in order.
    pub fn published_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.published.iter().filter_map(|entry| entry.ip)
    }

    /// Whether only traffic to nodes with a ready endpoint is answered, so that a load balancer must ask
    /// `GET /healthz` on [`health_check_node_port`](ServiceView::health_check_node_port) which nodes those are.
    pub fn needs_health_check(&self) -> bool {
        self.traffic_policy == TrafficPolicy::Local
    }

    /// The families the cluster gave this Service, from its cluster IPs; falls back to `spec.ipFamilies`.
    pub fn cluster_families(&self) -> Vec<IpFamily> {
        if self.cluster_ips.is_empty() {
            return self.families.clone();
        }
        let mut families: Vec<IpFamily> = self.cluster_ips.iter().map(|ip| IpFamily::of(*ip)).collect();
        families.dedup();
        families
    }

    /// Order of age: oldest first, then namespace and name, then UID. One order everywhere.
    pub fn age_order(&self) -> (i64, &ServiceId) {
        (self.created, &self.id)
    }
}
