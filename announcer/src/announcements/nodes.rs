//! Which nodes may announce at all, whatever the Service.

use std::sync::Arc;

use cloud_provider::NodeView;

use super::refusal::Refusal;
use super::view::View;

/// Why a node announces nothing, if it does not.
pub(super) fn refused(view: &View, node: &NodeView) -> Option<Refusal> {
    if node.network_unavailable {
        return Some(Refusal::NetworkUnavailable);
    }
    (node.excluded && !view.ignore_exclude_label).then_some(Refusal::Excluded)
}

/// The nodes in order, each with why it announces nothing.
pub(super) fn all(view: &View) -> Vec<(&Arc<str>, &NodeView, Option<Refusal>)> {
    view.nodes.iter().map(|(name, node)| (name, &**node, refused(view, node))).collect()
}
