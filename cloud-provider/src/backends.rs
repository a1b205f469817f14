//! What a Service's traffic goes to: nodes, or the endpoints behind the Service itself.

use std::collections::BTreeSet;

use crate::endpoint::EndpointSet;
use crate::node::NodeSet;

/// What of the backends matters to a provider, for one Service. What does not matter causes no call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BackendInterest {
    /// None: nodes do not matter at all. Otherwise it matters which nodes may take traffic, their names, provider IDs,
    /// zones and addresses, and those of their labels that have these keys. A change of any other label, on a node that
    /// stays eligible, causes no call.
    pub nodes: Option<BTreeSet<String>>,
    /// Whether the Service's own endpoints matter.
    pub endpoints: bool,
}

impl BackendInterest {
    /// Neither nodes nor endpoints.
    pub fn none() -> Self {
        BackendInterest::default()
    }

    /// Nodes, whatever their labels.
    pub fn nodes() -> Self {
        BackendInterest { nodes: Some(BTreeSet::new()), endpoints: false }
    }

    /// Endpoints, and no nodes.
    pub fn endpoints() -> Self {
        BackendInterest { nodes: None, endpoints: true }
    }

    /// Nodes, and of their labels these keys besides.
    pub fn and_node_labels(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.nodes.get_or_insert_default().extend(keys.into_iter().map(Into::into));
        self
    }

    /// Endpoints besides.
    pub fn and_endpoints(mut self) -> Self {
        self.endpoints = true;
        self
    }
}

/// What may take a Service's traffic now.
///
/// Endpoints that are not known completely are *unknown*, never empty: a first list that is not in yet, a watch that
/// was lost. A provider then adds no endpoint and removes none. A set that is known and empty has no endpoint.
///
/// The generic controller does not follow endpoints yet: in every request it makes they are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends {
    nodes: NodeSet,
    endpoints: Option<EndpointSet>,
}

impl Backends {
    /// These nodes, and endpoints of which nothing is known.
    pub fn of_nodes(nodes: NodeSet) -> Self {
        Backends { nodes, endpoints: None }
    }

    /// With these endpoints, and no others.
    pub fn with_endpoints(mut self, endpoints: EndpointSet) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// The eligible nodes.
    pub fn nodes(&self) -> &NodeSet {
        &self.nodes
    }

    /// The endpoints; none while they are unknown.
    pub fn endpoints(&self) -> Option<&EndpointSet> {
        self.endpoints.as_ref()
    }
}

impl From<NodeSet> for Backends {
    fn from(nodes: NodeSet) -> Self {
        Backends::of_nodes(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_endpoints_are_not_an_empty_set() {
        let unknown = Backends::of_nodes(NodeSet::default());
        let none = unknown.clone().with_endpoints(EndpointSet::default());
        assert_eq!(unknown.endpoints(), None);
        assert!(none.endpoints().is_some_and(EndpointSet::is_empty));
        assert_ne!(unknown, none);
    }

    #[test]
    fn an_interest_says_neither_one_or_both() {
        let both = BackendInterest::endpoints().and_node_labels(["gpu"]);
        assert_eq!(both.nodes, Some(BTreeSet::from(["gpu".to_owned()])));
        assert!(both.endpoints);
        assert_eq!(BackendInterest::nodes().and_endpoints().nodes, Some(BTreeSet::new()));
        assert_eq!(BackendInterest::none(), BackendInterest::default());
    }
}
