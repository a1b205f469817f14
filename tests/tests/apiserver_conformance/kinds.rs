//! Kinds other than Services.

use serde_json::{Value, json};

use super::{names, version_of};
use crate::session::*;

#[tokio::test]
async fn case_48_leases_are_updated_from_a_known_version_only() {
    let s = Session::start().await;
    let all = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    let time = "2026-01-01T00:00:00.000000Z";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "z"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": time},
    });
    let made = s.post(&all, &lease).await.is(201);
    assert_eq!(made["spec"]["renewTime"], time);
    let one = format!("{all}/z");
    let mut next = made.clone();
    next["spec"]["holderIdentity"] = "b".into();
    s.put(&one, &next).await.is(200);
    let stale = s.put(&one, &made).await;
    stale.refuses(409, "Conflict");
    stale.says("leases.coordination.k8s.io \\\"z\\\"");
    let unversioned = s.put(&one, &lease).await;
    unversioned.refuses(422, "Invalid");
    unversioned.says("must be specified for an update");
    let mut short = lease;
    short["metadata"]["name"] = "y".into();
    short["spec"]["renewTime"] = "2026-01-01T00:00:00Z".into();
    s.post(&all, &short).await.refuses(400, "BadRequest");
    let gone = s.delete(&one).await.is(200);
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(gone["details"]["kind"], "leases");
}

#[tokio::test]
async fn case_49_events_have_two_views_and_two_sets_of_rules() {
    let s = Session::start().await;
    let all = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
    let core = format!("/api/v1/namespaces/{NAMESPACE}/events");
    let about =
        json!({"kind": "Service", "apiVersion": "v1", "name": "a", "namespace": NAMESPACE, "uid": "u1"});
    let event = |name: &str| {
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name}, "regarding": about,
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "example.com/c",
            "reportingInstance": "i", "action": "A", "reason": "R", "note": "n", "type": "Normal",
        })
    };
    s.post(&all, &event("a.1")).await.is(201);
    for field in ["eventTime", "reportingController", "reportingInstance", "action", "reason"] {
        let mut without = event("a.2");
        without.as_object_mut().expect("a map").remove(field);
        s.post(&all, &without).await.refuses_field(field);
    }
    let mut long = event("a.3");
    long["note"] = "x".repeat(1025).into();
    s.post(&all, &long).await.refuses_field("message");
    let one = format!("{all}/a.1");
    let series =
        |count: u32| json!({"series": {"count": count, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
    s.merge(&one, &series(2)).await.is(200);
    s.merge(&one, &series(1)).await.refuses(422, "Invalid");
    s.merge(&one, &json!({"note": "other"})).await.refuses_field("message");
    let seen = s.get(&format!("{core}/a.1")).await.is(200);
    assert_eq!((&seen["apiVersion"], &seen["message"]), (&json!("v1"), &json!("n")));
    assert_eq!(
        (&seen["involvedObject"]["name"], &seen["reportingComponent"]),
        (&json!("a"), &json!("example.com/c"))
    );
    let selector = "involvedObject.name%3Da,involvedObject.kind%3DService,involvedObject.uid%3Du1";
    assert_eq!(names(&s.get(&format!("{core}?fieldSelector={selector}")).await.is(200)), ["a.1"]);
    let old = |name: &str, namespace: &str| {
        let mut about = about.clone();
        about["namespace"] = namespace.into();
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": about,
            "reason": "R", "message": "m", "count": 1, "type": "Normal"})
    };
    s.post(&core, &old("a.c", NAMESPACE)).await.is(201);
    let counted =
        s.patch(&format!("{core}/a.c"), STRATEGIC, &json!({"count": 2, "message": "m2"})).await.is(200);
    assert_eq!(counted["count"], 2);
    s.post(&core, &old("a.d", "other")).await.refuses_field("involvedObject.namespace");
}

#[tokio::test]
async fn case_50_nodes_keep_the_status_they_come_with() {
    let s = Session::start().await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"providerID": "x://1"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    let made = s.post("/api/v1/nodes", &node).await.is(201);
    assert_eq!(made["status"]["conditions"][0]["status"], "True");
    assert_eq!(made["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
    let one = "/api/v1/nodes/n";
    s.merge(one, &json!({"spec": {"providerID": "x://2"}})).await.refuses_field("spec.providerID");
    let running = json!({"status": {"phase": "Running"}});
    assert!(s.merge(one, &running).await.is(200)["status"].get("phase").is_none());
    let patched = s.merge(&format!("{one}/status"), &running).await.is(200);
    assert_eq!(patched["status"]["phase"], "Running");
    assert_eq!(s.delete(one).await.is(200)["status"], "Success");
}

#[tokio::test]
async fn case_51_a_namespace_goes_when_it_is_finalized() {
    let s = Session::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let made = s.post("/api/v1/namespaces", &namespace).await.is(201);
    assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(made["status"]["phase"], "Active");
    let inside = "/api/v1/namespaces/n/services";
    s.post(inside, &service("a", &json!({}))).await.is(201);
    let going = s.delete("/api/v1/namespaces/n").await.is(200);
    assert_eq!(going["status"]["phase"], "Terminating");
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    let refused = s.post(inside, &service("b", &json!({}))).await.refuses(403, "Forbidden");
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating");
    s.merge(&format!("{inside}/a"), &json!({"metadata": {"labels": {"a": "b"}}})).await.is(200);
    s.delete(&format!("{inside}/a")).await.is(200);
    let mut last = namespace;
    last["spec"] = json!({"finalizers": []});
    s.put("/api/v1/namespaces/n/finalize", &last).await.is(200);
    s.get("/api/v1/namespaces/n").await.refuses(404, "NotFound");
    s.delete("/api/v1/namespaces/default").await.refuses(403, "Forbidden");
}

#[tokio::test]
async fn case_52_a_definition_brings_a_kind_with_a_schema() {
    let s = Session::start().await;
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer", "minimum": 1}, "mode": {"type": "string", "default": "a"},
        }},
        "status": {"type": "object", "properties": {"ok": {"type": "boolean"}}},
    }});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "pools.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "pools", "singular": "pool", "kind": "Pool"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema}}],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    s.post(definitions, &definition).await.is(201);
    let all = format!("/apis/example.com/v1/namespaces/{NAMESPACE}/pools");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while s.get(&all).await.code != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the kind is served in time");
        tokio::task::yield_now().await;
    }
    let pool = json!({
        "apiVersion": "example.com/v1", "kind": "Pool", "metadata": {"name": "a"},
        "spec": {"size": 5, "bogus": 1}, "status": {"ok": true},
    });
    let made = s.post(&all, &pool).await.is(201);
    assert_eq!(made["spec"], json!({"size": 5, "mode": "a"}));
    assert!(made.get("status").is_none());
    assert_eq!(made["metadata"]["generation"], 1);
    let mut small = pool.clone();
    small["metadata"]["name"] = "b".into();
    small["spec"]["size"] = 0.into();
    s.post(&all, &small).await.refuses_field("spec.size");
    let one = format!("{all}/a");
    let labelled = s.merge(&one, &json!({"metadata": {"labels": {"a": "1"}}})).await.is(200);
    assert_eq!(labelled["metadata"]["generation"], 1);
    assert_eq!(s.merge(&one, &json!({"spec": {"size": 6}})).await.is(200)["metadata"]["generation"], 2);
    let everything = json!({"metadata": {"labels": {"z": "1"}}, "spec": {"size": 9}, "status": {"ok": true}});
    let status = s.merge(&format!("{one}/status"), &everything).await.is(200);
    assert_eq!((&status["status"], &status["spec"]["size"]), (&json!({"ok": true}), &json!(6)));
    assert_eq!(status["metadata"]["labels"], json!({"a": "1"}));
    assert_eq!(status["metadata"]["generation"], 2);
    s.patch(&one, STRATEGIC, &json!({"spec": {}})).await.refuses(415, "UnsupportedMediaType");
    let unversioned = s.put(&one, &pool).await;
    unversioned.refuses(422, "Invalid");
    unversioned.says("must be specified for an update");
    s.delete(&format!("{definitions}/pools.example.com")).await.is(200);
}

#[tokio::test]
async fn case_58_a_definition_is_in_force_a_moment_after_it_is_there() {
    let s = Session::start().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "ponds.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "ponds", "kind": "Pond"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let made = s.post(definitions, &definition).await.is(201);
    let fresh =
        json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]});
    assert_eq!(made["status"], fresh);
    let query = "watch=true&fieldSelector=metadata.name%3Dponds.example.com&timeoutSeconds=2";
    let from = version_of(&made);
    let changes = s.get(&format!("{definitions}?{query}&resourceVersion={from}")).await;
    let last: Value =
        serde_json::from_str(changes.text.lines().last().expect("it changes")).expect("an event");
    let conditions = last["object"]["status"]["conditions"].as_array().expect("conditions");
    let states: Vec<_> = conditions.iter().map(|c| (&c["type"], &c["status"])).collect();
    assert_eq!(states, [(&json!("NamesAccepted"), &json!("True")), (&json!("Established"), &json!("True"))]);
    assert_eq!(last["object"]["status"]["acceptedNames"]["listKind"], "PondList");
    let writer = &last["object"]["metadata"]["managedFields"];
    let writes_status =
        |entry: &Value| entry["manager"] == "kube-apiserver" && entry["subresource"] == "status";
    assert!(writer.as_array().expect("entries").iter().any(writes_status), "{writer}");
    // A real server answers 404, or 429 with the advice to come again, until it has made room for the new kind.
    let all = format!("/apis/example.com/v1/namespaces/{NAMESPACE}/ponds");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while s.get(&all).await.code != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the kind is served in time");
        tokio::task::yield_now().await;
    }
    s.delete(&format!("{definitions}/ponds.example.com")).await.is(200);
}

#[tokio::test]
async fn case_59_every_cluster_has_roles_from_the_start() {
    let s = Session::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for kind in ["clusterroles", "clusterrolebindings"] {
        let all = names(&s.get(&format!("{rbac}/{kind}")).await.is(200));
        for name in ["cluster-admin", "system:basic-user", "system:discovery"] {
            assert!(all.iter().any(|found| found == name), "{name} is not among {all:?}");
        }
        let others =
            s.get(&format!("{rbac}/{kind}?labelSelector=kubernetes.io/bootstrapping!%3Drbac-defaults")).await;
        assert_eq!(names(&others.is(200)), Vec::<String>::new());
    }
    for name in ["admin", "edit", "view"] {
        let role = s.get(&format!("{rbac}/clusterroles/{name}")).await.is(200);
        let wanted =
            json!([{"matchLabels": {format!("rbac.authorization.k8s.io/aggregate-to-{name}"): "true"}}]);
        assert_eq!(role["aggregationRule"]["clusterRoleSelectors"], wanted);
    }
}
