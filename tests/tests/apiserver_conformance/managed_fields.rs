//! Who owns which fields after plain writes.

use serde_json::{Value, json};

use crate::session::*;

/// The owners of an object's fields, but for the maker of the Service: manager, subresource, fields.
fn owners(object: &Value) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().expect("managed fields").iter();
    let mut owners: Vec<_> = entries
        .map(|entry| (text(&entry["manager"]), text(&entry["subresource"]), entry["fieldsV1"].clone()))
        .filter(|(manager, _, _)| manager != "maker")
        .collect();
    owners.sort_by(|a, b| a.0.cmp(&b.0));
    owners
}

fn owner(manager: &str, subresource: &str, fields: Value) -> (String, String, Value) {
    (manager.to_owned(), subresource.to_owned(), fields)
}

#[tokio::test]
async fn case_60_an_update_owns_what_it_changed() {
    let s = Session::start().await;
    let made = s.post(&format!("{}?fieldManager=maker", services()), &service("a", &json!({}))).await.is(201);
    let port = r#"k:{"port":80,"protocol":"TCP"}"#;
    assert_eq!(
        made["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {
            "f:allocateLoadBalancerNodePorts": {}, "f:externalTrafficPolicy": {}, "f:internalTrafficPolicy": {},
            "f:ports": {".": {}, port: {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}},
            "f:sessionAffinity": {}, "f:type": {},
        }})
    );
    let main = async |manager: &str, change: Value| {
        s.merge(&format!("{}?fieldManager={manager}", service_path("a")), &change).await.is(200)
    };
    main("annotator", json!({"metadata": {"annotations": {"a": "1"}, "finalizers": ["example.com/hold"]}}))
        .await;
    let now = main("again", json!({"metadata": {"annotations": {"b": "1"}}})).await;
    assert_eq!(
        owners(&now),
        [
            owner("again", "", json!({"f:metadata": {"f:annotations": {"f:b": {}}}})),
            owner(
                "annotator",
                "",
                json!({"f:metadata": {
                    "f:annotations": {".": {}, "f:a": {}},
                    "f:finalizers": {".": {}, "v:\"example.com/hold\"": {}},
                }})
            ),
        ]
    );
    let now = main("again", json!({"metadata": {"annotations": null, "finalizers": null}})).await;
    assert_eq!(owners(&now), []);
    let now = main("affinity", json!({"spec": {"sessionAffinity": "ClientIP"}})).await;
    let timeout = json!({".": {}, "f:clientIP": {".": {}, "f:timeoutSeconds": {}}});
    assert_eq!(
        owners(&now),
        [owner(
            "affinity",
            "",
            json!({"f:spec": {"f:sessionAffinity": {}, "f:sessionAffinityConfig": timeout}})
        )]
    );
}

#[tokio::test]
async fn case_61_a_status_is_owned_condition_by_condition() {
    let s = Session::start().await;
    s.post(&format!("{}?fieldManager=maker", services()), &service("a", &json!({}))).await.is(201);
    let status = async |manager: &str, change: Value| {
        let path = format!("{}?fieldManager={manager}", status_path("a"));
        s.merge(&path, &json!({"status": change})).await.is(200)
    };
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "R", "message": status,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    status("addresses", json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})).await;
    status("first", json!({"conditions": [condition("T", "True")]})).await;
    let now =
        status("second", json!({"conditions": [condition("T", "False"), condition("U", "True")]})).await;
    let t = r#"k:{"type":"T"}"#;
    let u = r#"k:{"type":"U"}"#;
    let whole = json!({".": {}, "f:lastTransitionTime": {}, "f:message": {}, "f:reason": {}, "f:status": {}, "f:type": {}});
    let rest = json!({".": {}, "f:lastTransitionTime": {}, "f:reason": {}, "f:type": {}});
    assert_eq!(
        owners(&now),
        [
            owner("addresses", "status", json!({"f:status": {"f:loadBalancer": {"f:ingress": {}}}})),
            owner("first", "status", json!({"f:status": {"f:conditions": {".": {}, t: rest}}})),
            owner(
                "second",
                "status",
                json!({"f:status": {"f:conditions": {t: {"f:message": {}, "f:status": {}}, u: whole}}})
            ),
        ]
    );
}
