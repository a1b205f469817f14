//! What a provider may know of a Node, and which nodes may take traffic.

use std::net::IpAddr;
use std::sync::Arc;

/// The kind of a Node's address, from `status.addresses[].type`; names are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeAddressKind {
    /// Reachable inside the cluster's network.
    Internal,
    /// Reachable from outside.
    External,
}

/// One IP address of a Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// Which kind.
    pub kind: NodeAddressKind,
    /// The address.
    pub ip: IpAddr,
}

/// What a provider may know of a Node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NodeView {
    /// The name.
    pub name: String,
    /// `metadata.uid`, by which one Node is told from another that had its name before.
    pub uid: String,
    /// `spec.providerID`, empty until the cloud's node controller has set it.
    pub provider_id: String,
    /// The label `topology.kubernetes.io/zone`, if set.
    pub zone: Option<String>,
    /// IP addresses, in order.
    pub addresses: Vec<NodeAddress>,
    /// `metadata.labels`, sorted by key: providers let users choose nodes by label.
    pub labels: Vec<(String, String)>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether a user took it out by the label [`EXCLUDE_LABEL`](NodeView::EXCLUDE_LABEL).
    pub excluded: bool,
    /// Whether the cluster autoscaler is about to remove it (taint [`DELETION_TAINT`](NodeView::DELETION_TAINT)).
    pub going_away: bool,
    /// Whether its network is not set up yet (condition `NetworkUnavailable`). [Eligible](NodeView::is_eligible) it is all
    /// the same: a load balancer asks the node itself. Who announces addresses from the node must go by it.
    pub network_unavailable: bool,
}

impl NodeView {
    /// Takes a node out of external load balancers
    /// ([KEP-1143](https://github.com/kubernetes/enhancements/issues/1143)): present with a value that is not a
    /// Go `false` (`0 f F false False FALSE`).
    pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
    /// Set by the cluster autoscaler on a node it will delete.
    pub const DELETION_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

    /// An eligible node of which nothing but its name is known.
    pub fn new(name: impl Into<String>) -> Self {
        NodeView {
            name: name.into(),
            uid: String::new(),
            provider_id: String::new(),
            zone: None,
            addresses: Vec::new(),
            labels: Vec::new(),
            deleting: false,
            excluded: false,
            going_away: false,
            network_unavailable: false,
        }
    }

    /// Whether the label's value takes a node out: Kubernetes reads it as a Go boolean, and anything but a
    /// clear `false` excludes.
    pub fn label_excludes(value: Option<&str>) -> bool {
        !matches!(value, None | Some("0" | "f" | "F" | "false" | "False" | "FALSE"))
    }

    /// Whether load balancers may send traffic here: not being deleted, not excluded, not about to be removed.
    ///
    /// Readiness, cordoning and role do not matter: the load balancer's own health check notices sooner than
    /// the API server ([KEP-3458](https://github.com/kubernetes/enhancements/issues/3458)).
    pub fn is_eligible(&self) -> bool {
        !self.deleting && !self.excluded && !self.going_away
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|i| self.labels[i].1.as_str())
    }
}

/// The eligible nodes, sorted by name; shared by every request made with the same set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSet(Arc<[NodeView]>);

impl NodeSet {
    /// The eligible ones among these nodes.
    pub fn of(nodes: impl IntoIterator<Item = NodeView>) -> Self {
        let mut eligible: Vec<NodeView> = nodes.into_iter().filter(NodeView::is_eligible).collect();
        eligible.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        NodeSet(eligible.into())
    }

    /// The nodes, sorted by name.
    pub fn iter(&self) -> std::slice::Iter<'_, NodeView> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no node may take traffic.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a NodeSet {
    type Item = &'a NodeView;
    type IntoIter = std::slice::Iter<'a, NodeView>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_false_on_the_exclude_label_keeps_a_node() {
        for keeps in [None, Some("0"), Some("f"), Some("F"), Some("false"), Some("False"), Some("FALSE")] {
            assert!(!NodeView::label_excludes(keeps), "{keeps:?}");
        }
        for excludes in ["", "true", "TRUE", "1", "foo", "fAlse"] {
            assert!(NodeView::label_excludes(Some(excludes)), "{excludes:?}");
        }
    }
}
