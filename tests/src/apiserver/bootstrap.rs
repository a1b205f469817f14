//! Roles that every cluster has from the start: of a real server's seventy, those that people name in bindings, and those
//! that let everybody look around.

use serde_json::{Value, json};

/// The objects, each with the plural of its kind.
pub(crate) fn roles() -> Vec<(&'static str, Value)> {
    let everything = json!([
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]);
    let looking =
        json!([{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version"]}]);
    let asking = json!([{
        "verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews"],
    }]);
    let mut all = Vec::new();
    for (name, rules, group) in [
        ("cluster-admin", everything, "system:masters"),
        ("system:discovery", looking, "system:authenticated"),
        ("system:basic-user", asking, "system:authenticated"),
    ] {
        all.push(("clusterroles", json!({"metadata": metadata(name), "rules": rules})));
        let binding = json!({
            "metadata": metadata(name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        });
        all.push(("clusterrolebindings", binding));
    }
    // Their rules are collected from other roles, by a controller.
    for name in ["admin", "edit", "view"] {
        let selector =
            json!({"matchLabels": {format!("rbac.authorization.k8s.io/aggregate-to-{name}"): "true"}});
        let collected = json!({"clusterRoleSelectors": [selector]});
        all.push((
            "clusterroles",
            json!({"metadata": metadata(name), "rules": null, "aggregationRule": collected}),
        ));
    }
    all
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}
