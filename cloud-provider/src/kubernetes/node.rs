//! A Node as Kubernetes has it, to the contract's view of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;

use crate::{NodeAddress, NodeAddressKind, NodeView};

/// The typed view of a Node.
pub fn node_view(node: &Node) -> NodeView {
    let empty = BTreeMap::new();
    let by_key = node.metadata.labels.as_ref().unwrap_or(&empty);
    // A map by key: in order already.
    let labels = by_key.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let spec = node.spec.as_ref();
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_ref());
    let label = |key: &str| by_key.get(key).map(String::as_str);
    NodeView {
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        provider_id: spec.and_then(|s| s.provider_id.clone()).unwrap_or_default(),
        zone: label("topology.kubernetes.io/zone").map(str::to_owned),
        addresses: addresses
            .into_iter()
            .flatten()
            .filter_map(|address| {
                let kind = match address.type_.as_str() {
                    "InternalIP" => NodeAddressKind::Internal,
                    "ExternalIP" => NodeAddressKind::External,
                    _ => return None,
                };
                Some(NodeAddress { kind, ip: address.address.parse().ok()? })
            })
            .collect(),
        deleting: node.metadata.deletion_timestamp.is_some(),
        excluded: NodeView::label_excludes(label(NodeView::EXCLUDE_LABEL)),
        going_away: spec
            .and_then(|s| s.taints.as_ref())
            .into_iter()
            .flatten()
            .any(|taint| taint.key == NodeView::DELETION_TAINT),
        network_unavailable: node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "NetworkUnavailable" && condition.status == "True"),
        labels,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::node_object;

    #[test]
    fn the_predicates_are_kubernetes_own() {
        let label = |value: &str| json!({ "metadata": { "labels": { NodeView::EXCLUDE_LABEL: value } } });
        let ready =
            |status: &str| json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] } });
        let taint = |key: &str| json!({ "spec": { "taints": [{ "key": key, "effect": "NoSchedule" }] } });
        let table = [
            ("a bare node", json!({}), true),
            ("ready", ready("True"), true),
            ("not ready", ready("False"), true),
            ("cordoned", json!({ "spec": { "unschedulable": true } }), true),
            ("without a provider ID", json!({ "spec": { "providerID": "" } }), true),
            (
                "control plane",
                json!({ "metadata": { "labels": { "node-role.kubernetes.io/control-plane": "" } } }),
                true,
            ),
            ("another taint", taint("node.kubernetes.io/not-ready"), true),
            ("about to be removed", taint(NodeView::DELETION_TAINT), false),
            ("excluded, empty", label(""), false),
            ("excluded, true", label("true"), false),
            ("excluded, junk", label("foo"), false),
            ("not excluded", label("false"), true),
            ("being deleted", json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }), false),
        ];
        for (title, changes, eligible) in table {
            assert_eq!(node_view(&node_object("n", changes)).is_eligible(), eligible, "{title}");
        }
    }

    #[test]
    fn a_network_is_up_unless_its_condition_says_otherwise() {
        let condition = |kind: &str, status: &str| {
            node_view(&node_object(
                "n",
                json!({ "status": { "conditions": [{ "type": kind, "status": status }] } }),
            ))
        };
        assert!(condition("NetworkUnavailable", "True").network_unavailable);
        assert!(!condition("NetworkUnavailable", "False").network_unavailable);
        assert!(!condition("NetworkUnavailable", "Unknown").network_unavailable);
        assert!(!condition("Ready", "True").network_unavailable);
        assert!(!node_view(&node_object("n", json!({}))).network_unavailable);
    }
}
