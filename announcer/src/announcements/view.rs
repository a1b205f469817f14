//! What the decision is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_provider::{ClassRule, Endpoint, EndpointState, NodeView, ServiceKey, ServiceView};
use metallb::announcing::Announcing;
use metallb::pools::Pools;

/// What is known of the cluster: plain data, and complete. While a first list is not in, there is no view; when the API
/// server is away, the last one stands.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Whose Services are announced; none: those of every class.
    pub classes: Option<ClassRule>,
    /// The Services.
    pub services: BTreeMap<ServiceKey, Arc<ServiceView>>,
    /// Where each Service's endpoints serve. One that is not in it has none.
    pub serving: BTreeMap<ServiceKey, ServingNodes>,
    /// The nodes, by name.
    pub nodes: BTreeMap<Arc<str>, Arc<NodeView>>,
    /// The pools in force.
    pub pools: Pools,
    /// The advertisements and peers in force.
    pub announcing: Announcing,
    /// Whether nodes that are [excluded](NodeView::EXCLUDE_LABEL) from load balancers announce all the same.
    pub ignore_exclude_label: bool,
}

/// Where a Service's endpoints serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServingNodes {
    /// The nodes that have one.
    pub nodes: BTreeSet<Arc<str>>,
    /// Whether there is one of which no node is known.
    pub elsewhere: bool,
}

impl ServingNodes {
    /// Whether there is any.
    pub fn anywhere(&self) -> bool {
        self.elsewhere || !self.nodes.is_empty()
    }

    /// With what another EndpointSlice of the Service has.
    pub fn and(mut self, other: ServingNodes) -> Self {
        self.nodes.extend(other.nodes);
        self.elsewhere |= other.elsewhere;
        self
    }
}

/// An endpoint serves while it is ready, and while it still answers though it is being deleted.
impl<'a> FromIterator<&'a Endpoint> for ServingNodes {
    fn from_iter<I: IntoIterator<Item = &'a Endpoint>>(endpoints: I) -> Self {
        let mut serving = ServingNodes::default();
        for endpoint in endpoints {
            match (endpoint.state, &endpoint.node) {
                (EndpointState::Ready | EndpointState::Terminating { serving: true }, Some(node)) => {
                    serving.nodes.insert(node.clone());
                }
                (EndpointState::Ready | EndpointState::Terminating { serving: true }, None) => {
                    serving.elsewhere = true;
                }
                (
                    EndpointState::GatedByUs
                    | EndpointState::Starting
                    | EndpointState::Unready
                    | EndpointState::Terminating { serving: false },
                    _,
                ) => {}
            }
        }
        serving
    }
}
