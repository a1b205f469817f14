//! Can nodes take traffic?

use std::sync::Arc;

use apiserver_client::Lean;
use cloud_provider::kubernetes::node_view;
use cloud_provider::{NodeView, some_of};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;

use crate::finding::Finding;
use crate::providers::Provider;

const SUBJECT: &str = "nodes";

/// How many names a line shows.
const MAX_SHOWN: usize = 3;

/// Whether the chosen providers find machines by provider ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProviderIds {
    /// They send traffic to machines of a cloud.
    Needed,
    /// They hand out addresses, and the cluster does the rest.
    Ignored,
}

/// What the chosen providers need.
pub(super) fn needed_by(providers: &[Arc<dyn Provider>]) -> ProviderIds {
    match providers.iter().any(|provider| provider.needs_provider_ids()) {
        true => ProviderIds::Needed,
        false => ProviderIds::Ignored,
    }
}

/// What is wrong with the nodes.
pub(super) async fn look(client: &kube::Client, ids: ProviderIds) -> Vec<Finding> {
    match Api::<Lean<Node>>::all(client.clone()).list(&ListParams::default()).await {
        Ok(nodes) => judge(&nodes.items.iter().map(|node| node_view(&node.0)).collect::<Vec<_>>(), ids),
        Err(error) => vec![Finding::unseen(SUBJECT, &error)],
    }
}

fn judge(nodes: &[NodeView], ids: ProviderIds) -> Vec<Finding> {
    let eligible: Vec<&NodeView> = nodes.iter().filter(|node| node.is_eligible()).collect();
    let mut findings = vec![if eligible.is_empty() {
        Finding::warn(
            SUBJECT,
            format!("none of {} may take traffic from load balancers", nodes.len()),
            format!("look for the label {} and for nodes on their way out", NodeView::EXCLUDE_LABEL),
        )
    } else {
        Finding::ok(SUBJECT, format!("{} of {} may take traffic", eligible.len(), nodes.len()))
    }];
    let nameless: Vec<&str> =
        eligible.iter().filter(|n| n.provider_id.is_empty()).map(|n| n.name.as_str()).collect();
    if ids == ProviderIds::Needed && !nameless.is_empty() {
        findings.push(Finding::fail(
            SUBJECT,
            format!("no spec.providerID on {}", some_of(nameless, MAX_SHOWN, ", ")),
            "run the cloud's node controller, or start kubelet with --provider-id",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, id: &str, excluded: bool) -> NodeView {
        let labels = if excluded { json!({ NodeView::EXCLUDE_LABEL: "" }) } else { json!({}) };
        let node = json!({ "metadata": { "name": name, "labels": labels }, "spec": { "providerID": id } });
        node_view(&serde_json::from_value(node).unwrap())
    }

    #[test]
    fn what_is_said_of_nodes() {
        use ProviderIds::{Ignored, Needed};
        let ids = ["a", "b", "c", "d", "e"];
        let nameless: Vec<NodeView> = ids.iter().map(|name| node(name, "", false)).collect();
        for (nodes, ids, said) in [
            (vec![node("a", "x", false)], Needed, vec!["ok    nodes          1 of 1 may take traffic"]),
            (vec![node("a", "", false)], Ignored, vec!["ok    nodes          1 of 1 may take traffic"]),
            (
                nameless,
                Needed,
                vec![
                    "ok    nodes          5 of 5 may take traffic",
                    "fail  nodes          no spec.providerID on a, b, c and 2 more; run the cloud's node \
                     controller, or start kubelet with --provider-id",
                ],
            ),
            (
                vec![node("a", "", true)],
                Needed,
                vec![
                    "warn  nodes          none of 1 may take traffic from load balancers; look for the label \
                     node.kubernetes.io/exclude-from-external-load-balancers and for nodes on their way out",
                ],
            ),
        ] {
            let found: Vec<String> = judge(&nodes, ids).iter().map(ToString::to_string).collect();
            assert_eq!(found, said);
        }
    }
}
