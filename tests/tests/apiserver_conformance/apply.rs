//! Server-side apply.

use serde_json::{Value, json};

use super::{status_with, version_of};
use crate::session::*;

async fn apply(s: &Session, path: &str, manager: &str, name: &str, config: Value) -> Reply {
    let mut whole = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}});
    for (key, value) in config.as_object().expect("a map") {
        match key.as_str() {
            "metadata" => whole["metadata"]["labels"] = value["labels"].clone(),
            _ => whole[key] = value.clone(),
        }
    }
    s.patch(&format!("{path}?fieldManager={manager}"), APPLY, &whole).await
}

#[tokio::test]
async fn case_28_an_applier_owns_what_it_names() {
    let s = Session::start().await;
    let path = service_path("a");
    let bare = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}});
    let refused = s.patch(&path, APPLY, &bare).await;
    refused.refuses(422, "Invalid");
    refused.says("fieldManager");
    let config = json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP"}]}});
    let first = apply(&s, &path, "m1", "a", config.clone()).await.is(201);
    let second = apply(&s, &path, "m1", "a", config).await.is(200);
    assert_eq!(version_of(&first), version_of(&second));
    let managed = first["metadata"]["managedFields"].as_array().expect("entries");
    assert_eq!(managed.len(), 1);
    assert_eq!((&managed[0]["manager"], &managed[0]["operation"]), (&json!("m1"), &json!("Apply")));
    let fields = managed[0]["fieldsV1"].to_string();
    assert!(!fields.contains("f:nodePort") && !fields.contains("f:clusterIP\""), "{fields}");
}

#[tokio::test]
async fn case_29_another_applier_conflicts_unless_it_insists() {
    let s = Session::start().await;
    let path = service_path("a");
    let label = |value: &str| json!({"metadata": {"labels": {"a": value}}});
    let mut config = label("1");
    config["spec"] = json!({"ports": [{"port": 80, "protocol": "TCP"}]});
    apply(&s, &path, "m1", "a", config).await.is(201);
    let status = apply(&s, &path, "m2", "a", label("2")).await.refuses(409, "Conflict");
    assert!(status["message"].as_str().is_some_and(|m| m.starts_with("Apply failed with 1 conflict")));
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"m1\"", "field": ".metadata.labels.a"});
    assert_eq!(status["details"]["causes"][0], cause);
    let forced = apply(&s, &path, "m2&force=true", "a", label("2")).await.is(200);
    assert_eq!(forced["metadata"]["labels"], json!({"a": "2"}));
    let dropped = apply(&s, &path, "m2", "a", json!({})).await.is(200);
    assert!(dropped["metadata"].get("labels").is_none());
}

#[tokio::test]
async fn case_30_an_apply_to_the_status_drops_what_it_does_not_repeat() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let path = status_path("a");
    apply(&s, &path, "ctl&force=true", "a", status_with(json!([{"ip": "1.1.1.1"}]))).await.is(200);
    let managed = s.get(&service_path("a")).await.is(200)["metadata"]["managedFields"].clone();
    let entries = managed.as_array().expect("entries");
    assert!(entries.iter().any(|e| e["subresource"] == "status" && e["manager"] == "ctl"), "{managed}");
    let condition = json!({
        "type": "a.b/C", "status": "True", "reason": "R", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let second = apply(&s, &path, "ctl", "a", json!({"status": {"conditions": [condition]}})).await.is(200);
    assert_eq!(second["status"]["loadBalancer"], json!({}));
    assert_eq!(second["status"]["conditions"].as_array().map(Vec::len), Some(1));
}

/// Not in the reference list: kinds with required fields, and what admission adds to a new object.
#[tokio::test]
async fn what_was_not_sent_is_not_owned() {
    let s = Session::start().await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    });
    let all = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    s.post(all, &binding).await.is(201);
    let mut label = binding.clone();
    label.as_object_mut().expect("a map").remove("roleRef");
    label["metadata"]["labels"] = json!({"a": "b"});
    let labelled = s.patch(&format!("{all}/b?fieldManager=m"), APPLY, &label).await.is(200);
    assert_eq!(labelled["roleRef"]["name"], "view");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    let managed = s.post("/api/v1/nodes", &node).await.is(201)["metadata"]["managedFields"].to_string();
    assert!(!managed.contains("f:taints"), "{managed}");
}
