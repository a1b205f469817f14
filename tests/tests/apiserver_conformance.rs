//! How an API server answers, case by case, as observed on a real one. Runs against whichever body the
//! [`ControlPlane`](tests::control_plane::ControlPlane) has; the numbers are those of the reference list.

mod session;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};
use session::*;
use tests::apiserver::WEAK_TOKEN;
use tests::control_plane::{ControlPlane, Options};

const CLEANUP: &str = "service.kubernetes.io/load-balancer-cleanup";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

fn version_of(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().expect("a version")
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

fn status_with(ingress: Value) -> Value {
    json!({"status": {"loadBalancer": {"ingress": ingress}}})
}

// Create and defaults.

#[tokio::test]
async fn case_01_a_new_balancer_gets_all_defaults() {
    let s = Session::start().await;
    let made = s.balancer("a", &json!({})).await;
    let spec = &made["spec"];
    let port = &spec["ports"][0];
    assert_eq!((&port["protocol"], &port["targetPort"]), (&json!("TCP"), &json!(80)));
    assert!((30_000..=32_767).contains(&port["nodePort"].as_u64().expect("a node port")));
    assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
    let defaults = json!({
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
        "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
        "allocateLoadBalancerNodePorts": true,
    });
    for (field, value) in defaults.as_object().expect("a map") {
        assert_eq!(&spec[field], value, "{field}");
    }
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
    assert!(made["metadata"].get("generation").is_none());
}

#[tokio::test]
async fn case_02_local_traffic_gets_a_health_check_port_for_as_long_as_it_is_local() {
    let s = Session::start().await;
    let spec = json!({"externalTrafficPolicy": "Local", "sessionAffinity": "ClientIP"});
    let made = s.balancer("a", &spec).await;
    assert!(made["spec"]["healthCheckNodePort"].is_u64());
    assert_eq!(made["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
    let patched =
        s.merge(&service_path("a"), &json!({"spec": {"externalTrafficPolicy": "Cluster"}})).await.is(200);
    assert!(patched["spec"].get("healthCheckNodePort").is_none());
}

#[tokio::test]
async fn case_03_node_ports_can_be_declined_and_are_shared_between_protocols() {
    let s = Session::start().await;
    let without = s.balancer("a", &json!({"allocateLoadBalancerNodePorts": false})).await;
    assert!(without["spec"]["ports"][0].get("nodePort").is_none());
    let dns = json!({"ports": [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]});
    let ports = &s.balancer("b", &dns).await["spec"]["ports"];
    assert_eq!(ports[0]["nodePort"], ports[1]["nodePort"]);
}

#[tokio::test]
async fn case_04_a_new_object_has_neither_status_nor_version() {
    let s = Session::start().await;
    let mut new = service("a", &json!({}));
    new["status"] = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}});
    assert_eq!(s.post(&services(), &new).await.is(201)["status"], json!({"loadBalancer": {}}));
    let mut new = service("b", &json!({}));
    new["metadata"]["resourceVersion"] = "1".into();
    let refused = s.post(&services(), &new).await;
    refused.is(500);
    refused.says("resourceVersion should not be set");
}

#[tokio::test]
async fn case_05_a_name_is_taken_once() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let status = s.post(&services(), &service("a", &json!({}))).await.refuses(409, "AlreadyExists");
    assert_eq!(status["message"], "services \"a\" already exists");
    assert_eq!(status["details"], json!({"name": "a", "kind": "services"}));
}

#[tokio::test]
async fn case_06_a_namespace_must_exist_and_agree() {
    let s = Session::start().await;
    let new = service("a", &json!({}));
    let absent = s.post("/api/v1/namespaces/absent/services", &new).await;
    assert_eq!(absent.refuses(404, "NotFound")["message"], "namespaces \"absent\" not found");
    let mut elsewhere = new;
    elsewhere["metadata"]["namespace"] = "other".into();
    s.post(&services(), &elsewhere).await.refuses(400, "BadRequest");
}

#[tokio::test]
async fn case_07_a_name_is_made_up_on_request() {
    let s = Session::start().await;
    let mut new = service("a", &json!({}));
    new["metadata"] = json!({"generateName": "g-"});
    let made = s.post(&services(), &new).await.is(201);
    let name = made["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("g-") && name.len() == 7, "{name}");
}

#[tokio::test]
async fn case_08_all_mistakes_are_reported_at_once() {
    let s = Session::start().await;
    let ports = json!([{"port": 0}, {"port": 70_000, "protocol": "FOO", "name": "UP"}]);
    let reply = s.post(&services(), &service("a", &json!({"ports": ports, "sessionAffinity": "x"}))).await;
    for field in [
        "spec.ports[0].port",
        "spec.ports[0].name",
        "spec.ports[1].port",
        "spec.ports[1].protocol",
        "spec.sessionAffinity",
    ] {
        assert_eq!(reply.refuses_field(field)["details"]["kind"], "Service");
    }
}

#[tokio::test]
async fn case_09_a_node_port_must_be_free_and_in_range() {
    let s = Session::start().await;
    let port = s.balancer("a", &json!({})).await["spec"]["ports"][0]["nodePort"].clone();
    let asking = |port: Value| service("b", &json!({"ports": [{"port": 80, "nodePort": port}]}));
    let taken = s.post(&services(), &asking(port)).await;
    taken.refuses_field("spec.ports[0].nodePort");
    taken.says("already allocated");
    let outside = s.post(&services(), &asking(json!(80))).await;
    outside.refuses_field("spec.ports[0].nodePort");
    outside.says("30000-32767");
}

#[tokio::test]
async fn case_10_unknown_fields_are_warned_of_refused_or_ignored() {
    let s = Session::start().await;
    let warned = s.post(&services(), &service("a", &json!({"bogus": 1}))).await;
    warned.is(201);
    assert_eq!(warned.header("warning"), Some(r#"299 - "unknown field \"spec.bogus\"""#));
    let strict = format!("{}?fieldValidation=Strict", services());
    let refused = s.post(&strict, &service("b", &json!({"bogus": 1}))).await.refuses(400, "BadRequest");
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("strict decoding error: unknown field \"spec.bogus\""), "{message}");
    let ignore = format!("{}?fieldValidation=Ignore", services());
    assert_eq!(s.post(&ignore, &service("c", &json!({"bogus": 1}))).await.header("warning"), None);
}

#[tokio::test]
async fn case_11_class_and_source_ranges_are_for_balancers() {
    let s = Session::start().await;
    let post = async |spec: Value| s.post(&services(), &service("a", &spec)).await;
    post(json!({"type": "ClusterIP", "loadBalancerClass": "a/b"}))
        .await
        .refuses_field("spec.loadBalancerClass");
    post(json!({"type": "ClusterIP", "loadBalancerSourceRanges": ["10.0.0.0/8"]}))
        .await
        .refuses_field("spec.LoadBalancerSourceRanges");
    post(json!({"loadBalancerSourceRanges": ["1.2.3.4/33"]}))
        .await
        .refuses_field("spec.LoadBalancerSourceRanges[0]");
}

// Update.

#[tokio::test]
async fn case_12_the_class_is_fixed_while_the_service_is_a_balancer() {
    let s = Session::start().await;
    let class = |value: Value| json!({"spec": {"loadBalancerClass": value}});
    s.balancer("a", &json!({})).await;
    s.merge(&service_path("a"), &class(json!("a.b/c"))).await.refuses_field("spec.loadBalancerClass");
    s.balancer("b", &json!({"loadBalancerClass": "a.b/c"})).await;
    s.merge(&service_path("b"), &class(Value::Null)).await.refuses_field("spec.loadBalancerClass");
    s.balancer("c", &json!({"type": "ClusterIP"})).await;
    let both = json!({"spec": {"type": "LoadBalancer", "loadBalancerClass": "a.b/c"}});
    s.merge(&service_path("c"), &both).await.is(200);
    let other = s.merge(&service_path("c"), &json!({"spec": {"type": "NodePort"}})).await.is(200);
    assert!(other["spec"].get("loadBalancerClass").is_none());
}

#[tokio::test]
async fn case_13_allocated_values_stay() {
    let s = Session::start().await;
    let made = s.balancer("a", &json!({})).await;
    let changed = s.merge(&service_path("a"), &json!({"spec": {"clusterIP": "10.96.9.9"}})).await;
    changed.refuses_field("spec.clusterIPs[0]");
    let put = s.put(&service_path("a"), &service("a", &json!({}))).await.is(200);
    assert_eq!(put["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    assert_eq!(put["spec"]["ports"], made["spec"]["ports"]);
}

#[tokio::test]
async fn case_14_an_update_from_a_stale_version_is_a_conflict() {
    let s = Session::start().await;
    let mut stale = s.balancer("a", &json!({})).await;
    s.merge(&service_path("a"), &json!({"metadata": {"labels": {"a": "1"}}})).await.is(200);
    let status = s.put(&service_path("a"), &stale).await.refuses(409, "Conflict");
    assert_eq!(status["details"], json!({"name": "a", "kind": "services"}));
    stale["metadata"].as_object_mut().expect("a map").remove("resourceVersion");
    let mut current = s.put(&service_path("a"), &stale).await.is(200);
    current["metadata"]["uid"] = "6b2b7d0a-0000-4000-8000-000000000000".into();
    s.put(&service_path("a"), &current).await.refuses(409, "Conflict");
}

#[tokio::test]
async fn case_15_an_update_of_an_absent_service_creates_it() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    s.put(&service_path("a"), &service("z", &json!({}))).await.refuses(400, "BadRequest");
    s.put(&service_path("b"), &service("b", &json!({}))).await.is(201);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "absent"}});
    s.put("/api/v1/nodes/absent", &node).await.refuses(404, "NotFound");
}

#[tokio::test]
async fn case_16_writes_that_change_nothing_leave_no_trace() {
    let s = Session::start().await;
    let made = s.balancer("a", &json!({})).await;
    s.put(&service_path("a"), &made).await.is(200);
    s.merge(&service_path("a"), &json!({})).await.is(200);
    s.merge(&service_path("a"), &json!({"spec": {"type": "LoadBalancer"}})).await.is(200);
    assert_eq!(version_of(&s.get(&service_path("a")).await.is(200)), version_of(&made));
    let query = format!("resourceVersion={}&fieldSelector=metadata.name%3Da", version_of(&made));
    assert!(s.watch(&query, 1).await.is_empty());
}

#[tokio::test]
async fn case_17_a_change_of_type_drops_what_only_balancers_have() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    s.merge(&status_path("a"), &status_with(json!([{"ip": "9.9.9.9"}]))).await.is(200);
    let plain = s.merge(&service_path("a"), &json!({"spec": {"type": "ClusterIP"}})).await.is(200);
    assert_eq!(plain["status"], json!({"loadBalancer": {}}));
    assert!(plain["spec"]["ports"][0].get("nodePort").is_none());
    assert!(plain["spec"].get("externalTrafficPolicy").is_none());
    assert!(plain["spec"].get("allocateLoadBalancerNodePorts").is_none());
    let again = s.merge(&service_path("a"), &json!({"spec": {"type": "LoadBalancer"}})).await.is(200);
    assert!(again["spec"]["ports"][0]["nodePort"].is_u64());
    assert_eq!(again["spec"]["externalTrafficPolicy"], "Cluster");
}

// The status subresource.

#[tokio::test]
async fn case_18_the_status_endpoint_writes_status_and_metadata() {
    let s = Session::start().await;
    let mut all = s.balancer("a", &json!({})).await;
    all["spec"]["ports"][0]["port"] = 99.into();
    all["metadata"]["labels"] = json!({"v": "1"});
    all["metadata"]["finalizers"] = json!(["a.b/c"]);
    all["status"] = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}});
    let written = s.put(&status_path("a"), &all).await.is(200);
    assert_eq!(written["spec"]["ports"][0]["port"], 80);
    assert_eq!(written["metadata"]["labels"], json!({"v": "1"}));
    assert_eq!(written["metadata"]["finalizers"], json!(["a.b/c"]));
    assert_eq!(written["status"]["loadBalancer"]["ingress"], json!([{"ip": "1.2.3.4", "ipMode": "VIP"}]));
}

#[tokio::test]
async fn case_19_the_main_endpoint_ignores_the_status() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let before = s.merge(&status_path("a"), &status_with(json!([{"hostname": "h.e"}]))).await.is(200);
    let after = s.merge(&service_path("a"), &status_with(json!([{"hostname": "x.y"}]))).await.is(200);
    assert_eq!(after["status"], before["status"]);
    assert_eq!(version_of(&after), version_of(&before));
}

#[tokio::test]
async fn case_20_an_ingress_is_checked() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let set = async |ingress: Value| s.merge(&status_path("a"), &status_with(json!([ingress]))).await;
    let field = |name: &str| format!("status.loadBalancer.ingress[0].{name}");
    set(json!({"ip": "bad"})).await.refuses_field(&field("ip"));
    set(json!({"ip": "01.2.3.4"})).await.refuses_field(&field("ip"));
    set(json!({"ip": "1.2.3.4", "ipMode": "Foo"})).await.refuses_field(&field("ipMode"));
    set(json!({"hostname": "a.b", "ipMode": "VIP"})).await.refuses_field(&field("ipMode"));
    set(json!({"hostname": "1.2.3.4"})).await.refuses_field(&field("hostname"));
    for good in [json!({"hostname": "a.b"}), json!({"ip": "1.2.3.4", "ipMode": "Proxy"})] {
        assert_eq!(set(good.clone()).await.is(200)["status"]["loadBalancer"]["ingress"], json!([good]));
    }
}

#[tokio::test]
async fn case_21_only_balancers_have_an_ingress() {
    let s = Session::start().await;
    s.balancer("a", &json!({"type": "ClusterIP"})).await;
    let refused = s.merge(&status_path("a"), &status_with(json!([{"ip": "1.1.1.1"}]))).await;
    refused.refuses_field("status.loadBalancer.ingress");
    refused.says("may only be used when `spec.type` is 'LoadBalancer'");
}

#[tokio::test]
async fn case_22_a_stale_version_in_a_status_write_is_a_conflict() {
    let s = Session::start().await;
    let stale = s.balancer("a", &json!({})).await;
    s.merge(&service_path("a"), &json!({"metadata": {"labels": {"a": "1"}}})).await.is(200);
    let patch = json!({"metadata": {"resourceVersion": version_of(&stale)}, "status": {"loadBalancer": {}}});
    for media in [MERGE, STRATEGIC] {
        s.patch(&status_path("a"), media, &patch).await.refuses(409, "Conflict");
    }
    s.put(&status_path("a"), &stale).await.refuses(409, "Conflict");
}

// Patches.

#[tokio::test]
async fn case_23_a_patch_needs_a_known_type_and_an_object() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    s.patch(&service_path("a"), "application/json", &json!({})).await.refuses(415, "UnsupportedMediaType");
    s.merge(&service_path("absent"), &json!({})).await.refuses(404, "NotFound");
    s.merge(&status_path("absent"), &json!({})).await.refuses(404, "NotFound");
}

#[tokio::test]
async fn case_24_json_patch_is_lenient() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let patch = async |patch: Value| s.patch(&service_path("a"), JSON_PATCH, &patch).await;
    let claim = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["a.b/c"]},
    ]);
    assert_eq!(patch(claim.clone()).await.is(200)["metadata"]["finalizers"], json!(["a.b/c"]));
    let again = patch(claim).await;
    again.refuses(422, "Invalid");
    again.says("the server rejected our request");
    let release = json!([
        {"op": "test", "path": "/metadata/finalizers/0", "value": "a.b/c"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
    ]);
    assert!(patch(release).await.is(200)["metadata"].get("finalizers").is_none());
    patch(json!([{"op": "remove", "path": "/metadata/annotations"}])).await.refuses(422, "Invalid");
    patch(json!([{"op": "add", "path": "/metadata/annotations/x", "value": "1"}]))
        .await
        .refuses(422, "Invalid");
    let replaced =
        patch(json!([{"op": "replace", "path": "/metadata/annotations", "value": {"x": "1"}}])).await;
    assert_eq!(replaced.is(200)["metadata"]["annotations"], json!({"x": "1"}));
    patch(json!({"a": 1})).await.refuses(400, "BadRequest");
}

#[tokio::test]
async fn case_25_finalizers_are_a_list_to_merge_patches_and_a_set_to_strategic_ones() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    let found = |reply: Reply| reply.is(200)["metadata"].get("finalizers").cloned();
    s.merge(&service_path("a"), &finalizers(json!(["a.b/1"]))).await.is(200);
    let both =
        found(s.patch(&status_path("a"), STRATEGIC, &finalizers(json!(["a.b/2"]))).await).expect("a list");
    let both: HashSet<&str> = both.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(both, HashSet::from(["a.b/1", "a.b/2"]));
    let one_less = json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["a.b/1"], "$setElementOrder/finalizers": ["a.b/2"],
    }});
    assert_eq!(found(s.patch(&status_path("a"), STRATEGIC, &one_less).await), Some(json!(["a.b/2"])));
    assert_eq!(
        found(s.merge(&service_path("a"), &finalizers(json!(["q.r/s"]))).await),
        Some(json!(["q.r/s"]))
    );
    assert_eq!(found(s.patch(&status_path("a"), STRATEGIC, &finalizers(Value::Null)).await), None);
}

#[tokio::test]
async fn case_26_ports_merge_by_number_and_ingress_is_replaced() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let ports = async |list: Value| {
        let patched = s.patch(&service_path("a"), STRATEGIC, &json!({"spec": {"ports": list}})).await.is(200);
        let ports = patched["spec"]["ports"].as_array().cloned().expect("ports");
        ports.iter().map(|port| port["port"].as_u64().expect("a port")).collect::<Vec<_>>()
    };
    assert_eq!(ports(json!([{"port": 80, "name": "n"}, {"port": 90, "name": "m"}])).await, [80, 90]);
    assert_eq!(ports(json!([{"port": 90, "$patch": "delete"}])).await, [80]);
    let ingress = async |list: Value| {
        let patched = s.patch(&status_path("a"), STRATEGIC, &status_with(list)).await.is(200);
        patched["status"]["loadBalancer"].get("ingress").cloned()
    };
    ingress(json!([{"ip": "1.1.1.1"}, {"ip": "2.2.2.2"}])).await;
    assert_eq!(ingress(json!([{"hostname": "h.e"}])).await, Some(json!([{"hostname": "h.e"}])));
    assert_eq!(ingress(Value::Null).await, None);
}

#[tokio::test]
async fn case_27_patches_without_a_version_do_not_conflict() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let path = service_path("a");
    let patches =
        (0..12).map(|i| json!({"metadata": {"labels": {format!("k{i}"): "v"}}})).collect::<Vec<_>>();
    let all = futures::future::join_all(patches.iter().map(|patch| s.merge(&path, patch))).await;
    assert!(all.iter().all(|reply| reply.code == 200));
    let labels = s.get(&path).await.is(200)["metadata"]["labels"].clone();
    assert_eq!(labels.as_object().map(serde_json::Map::len), Some(12));
}

// Server-side apply.

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

// Deletion.

#[tokio::test]
async fn case_31_a_service_without_finalizers_is_gone_at_once() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let last = s.delete(&service_path("a")).await.is(200);
    assert_eq!(last["kind"], "Service");
    assert!(last["metadata"].get("deletionTimestamp").is_none());
    let status = s.get(&service_path("a")).await.refuses(404, "NotFound");
    assert_eq!(status["message"], "services \"a\" not found");
}

#[tokio::test]
async fn case_32_a_finalizer_holds_the_object() {
    let s = Session::start().await;
    let mut new = service("a", &json!({}));
    new["metadata"]["finalizers"] = json!([CLEANUP]);
    s.post(&services(), &new).await.is(201);
    let path = service_path("a");
    let going = s.delete(&path).await.is(200);
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(version_of(&s.delete(&path).await.is(200)), version_of(&going));
    let again = s.post(&services(), &new).await;
    again.refuses(409, "AlreadyExists");
    again.says("object is being deleted");
    let more = json!({"metadata": {"finalizers": [CLEANUP, "x.y/z"]}});
    s.merge(&path, &more).await.refuses_field("metadata.finalizers");
    let labelled = s.merge(&path, &json!({"metadata": {"labels": {"a": "b"}}})).await.is(200);
    let freed =
        s.patch(&status_path("a"), STRATEGIC, &json!({"metadata": {"finalizers": null}})).await.is(200);
    assert_eq!(version_of(&freed), version_of(&labelled));
    s.get(&path).await.refuses(404, "NotFound");
}

#[tokio::test]
async fn case_33_a_deletion_has_preconditions() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let path = service_path("a");
    let delete = async |options: Value| s.delete_with(&path, &options).await;
    delete(json!({"preconditions": {"uid": "x"}})).await.refuses(409, "Conflict");
    delete(json!({"preconditions": {"resourceVersion": "1"}})).await.refuses(409, "Conflict");
    delete(json!({"propagationPolicy": "Nope"})).await.refuses(422, "Invalid");
    let mut new = service("b", &json!({}));
    new["metadata"]["finalizers"] = json!(["nodomain"]);
    s.post(&services(), &new).await.refuses_field("metadata.finalizers[0]");
}

#[tokio::test]
async fn case_34_a_node_port_is_free_when_its_service_is_really_gone() {
    let s = Session::start().await;
    let mut new = service("a", &json!({}));
    new["metadata"]["finalizers"] = json!([CLEANUP]);
    let port = s.post(&services(), &new).await.is(201)["spec"]["ports"][0]["nodePort"].clone();
    s.delete(&service_path("a")).await.is(200);
    let heir = service("b", &json!({"ports": [{"port": 80, "nodePort": port}]}));
    s.post(&services(), &heir).await.refuses(422, "Invalid");
    s.merge(&service_path("a"), &json!({"metadata": {"finalizers": null}})).await.is(200);
    s.post(&services(), &heir).await.is(201);
}

#[tokio::test]
async fn case_35_a_dry_run_shows_the_result_and_keeps_nothing() {
    let s = Session::start().await;
    let dry = format!("{}?dryRun=All", services());
    s.post(&dry, &service("a", &json!({}))).await.is(201);
    s.get(&service_path("a")).await.refuses(404, "NotFound");
    s.balancer("a", &json!({})).await;
    let path = format!("{}?dryRun=All", service_path("a"));
    let labelled = s.merge(&path, &json!({"metadata": {"labels": {"a": "1"}}})).await.is(200);
    assert_eq!(labelled["metadata"]["labels"], json!({"a": "1"}));
    assert!(s.get(&service_path("a")).await.is(200)["metadata"].get("labels").is_none());
    s.delete(&path).await.is(200);
    s.get(&service_path("a")).await.is(200);
    s.post(&format!("{}?dryRun=Foo", services()), &service("b", &json!({}))).await.refuses(422, "Invalid");
}

// Lists and selectors.

#[tokio::test]
async fn case_36_pages_come_from_one_snapshot() {
    let s = Session::start().await;
    for i in 0..5 {
        s.balancer(&format!("l-{i}"), &json!({"type": "ClusterIP"})).await;
    }
    let first = s.get(&format!("{}?limit=2", services())).await.is(200);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    s.balancer("z-late", &json!({})).await;
    let mut seen = names(&first);
    let first_token = first["metadata"]["continue"].as_str().expect("more").to_owned();
    let mut token = Some(first_token.clone());
    while let Some(at) = token {
        let page = s.get(&format!("{}?limit=2&continue={at}", services())).await.is(200);
        assert_eq!(version_of(&page), version_of(&first));
        seen.extend(names(&page));
        token = page["metadata"]["continue"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ["l-0", "l-1", "l-2", "l-3", "l-4"]);
    let both = format!("{}?continue={first_token}&resourceVersion=5", services());
    s.get(&both).await.refuses(400, "BadRequest");
    s.get(&format!("{}?limit=2&continue=garbage", services())).await.refuses(400, "BadRequest");
    let selected = s.get(&format!("{}?limit=2&labelSelector=!x", services())).await.is(200);
    assert!(selected["metadata"].get("remainingItemCount").is_none());
    assert!(selected["items"][0].get("kind").is_none());
}

#[tokio::test]
async fn case_37_selectors_select() {
    let s = Session::start().await;
    let mut new = service("a", &json!({"type": "ClusterIP"}));
    new["metadata"]["labels"] = json!({"q": "z"});
    s.post(&services(), &new).await.is(201);
    let selects =
        async |query: &str| !names(&s.get(&format!("{}?{query}", services())).await.is(200)).is_empty();
    for yes in [
        "labelSelector=q%3Dz",
        "labelSelector=q%20in%20(z,y)",
        "labelSelector=q",
        "fieldSelector=metadata.name%3Da",
        "fieldSelector=spec.type!%3DLoadBalancer",
    ] {
        assert!(selects(yes).await, "{yes}");
    }
    for no in ["labelSelector=!q", "labelSelector=q!%3Dz", "fieldSelector=spec.type%3DLoadBalancer"] {
        assert!(!selects(no).await, "{no}");
    }
    let unknown = s.get(&format!("{}?fieldSelector=spec.foo%3Dx", services())).await;
    unknown.refuses(400, "BadRequest");
    unknown.says("field label not supported: spec.foo");
    s.get(&format!("{}?labelSelector=a%3D%3D%3D", services())).await.refuses(400, "BadRequest");
}

#[tokio::test]
async fn case_38_a_list_can_ask_for_a_version() {
    let s = Session::start().await;
    let list = async |query: &str| s.get(&format!("{}?{query}", services())).await;
    list("resourceVersion=0").await.is(200);
    let future = list("resourceVersion=999999999").await.refuses(504, "Timeout");
    assert_eq!(future["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(future["details"]["retryAfterSeconds"], 1);
    list("resourceVersion=abc").await.refuses(400, "BadRequest");
    list("resourceVersionMatch=Exact").await.refuses(422, "Invalid");
}

// Watches.

#[tokio::test]
async fn case_39_a_watch_replays_from_the_start_or_goes_on_from_a_version() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    assert_eq!(types(&s.watch("fieldSelector=metadata.name%3Da", 1).await), ["ADDED"]);
    let version = s.version().await;
    assert!(s.watch(&format!("resourceVersion={version}"), 1).await.is_empty());
}

#[tokio::test]
async fn case_40_changes_come_in_order() {
    let s = Session::start().await;
    let version = s.version().await;
    let mut new = service("a", &json!({}));
    new["metadata"]["finalizers"] = json!(["a.b/c"]);
    s.post(&services(), &new).await.is(201);
    s.merge(&service_path("a"), &json!({"metadata": {"labels": {"k": "1"}}})).await.is(200);
    s.delete(&service_path("a")).await.is(200);
    s.merge(&service_path("a"), &json!({"metadata": {"finalizers": null}})).await.is(200);
    let events = s.watch(&format!("resourceVersion={version}"), 1).await;
    assert_eq!(types(&events), ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]);
    let versions: Vec<u64> =
        events.iter().map(|e| version_of(&e["object"]).parse().expect("a number")).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    assert!(events[2]["object"]["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(events[0]["object"]["kind"], "Service");
}

#[tokio::test]
async fn case_41_entering_and_leaving_a_selector_are_events() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let version = s.version().await;
    for labels in [json!({"w": "1"}), json!({"x": "1"}), json!({"w": "2"})] {
        s.merge(&service_path("a"), &json!({"metadata": {"labels": labels}})).await.is(200);
    }
    let events = s.watch(&format!("resourceVersion={version}&labelSelector=w%3D1"), 1).await;
    assert_eq!(types(&events), ["ADDED", "MODIFIED", "DELETED"]);
}

#[tokio::test]
async fn case_42_a_version_that_is_too_old_is_told_in_the_stream() {
    let s = Session::start().await;
    // A real server only forgets when it has been up for more than 75 seconds: until then its cache grows.
    if s.plane.is_real() {
        eprintln!("passed over: a server that has just started has not forgotten anything yet");
        return;
    }
    let events = s.watch("resourceVersion=1", 3).await;
    assert_eq!(types(&events), ["ERROR"]);
    let status = &events[0]["object"];
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(410)));
    assert_eq!(status["reason"], "Expired");
}

/// On a real server this needs etcd 3.5.8 or newer.
#[tokio::test]
async fn case_43_a_watch_can_begin_with_a_list() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let events = s.watch(query, 1).await;
    assert_eq!(types(&events), ["ADDED", "BOOKMARK"]);
    assert_eq!(events[1]["object"]["metadata"]["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    version_of(&events[1]["object"]);
    s.get(&format!("{}?watch=true&sendInitialEvents=true", services())).await.refuses(422, "Invalid");
    let list = format!("{}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan", services());
    s.get(&list).await.refuses(422, "Invalid");
}

// Discovery, tables, wrong requests, users.

#[tokio::test]
async fn case_44_discovery_tells_what_is_served() {
    let s = Session::start().await;
    assert_eq!(s.get("/version").await.is(200)["major"], "1");
    assert_eq!(s.get("/api").await.is(200)["kind"], "APIVersions");
    assert_eq!(s.get("/apis").await.is(200)["kind"], "APIGroupList");
    let core = s.get("/api/v1").await.is(200);
    let find = |name: &str| {
        let all = core["resources"].as_array().expect("resources");
        all.iter().find(|r| r["name"] == name).cloned().unwrap_or_else(|| panic!("no {name}"))
    };
    let balancers = find("services");
    assert_eq!((&balancers["shortNames"], &balancers["categories"]), (&json!(["svc"]), &json!(["all"])));
    assert_eq!(find("services/status")["verbs"], json!(["get", "patch", "update"]));
    assert_eq!(s.get("/apis/coordination.k8s.io/v1").await.is(200)["resources"][0]["name"], "leases");
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let reply = s.get_as("/api", &format!("{aggregated},application/json")).await;
    assert_eq!(reply.header("content-type"), Some(aggregated));
    assert_eq!(reply.is(200)["items"][0]["versions"][0]["version"], "v1");
}

#[tokio::test]
async fn case_45_a_table_shows_what_kubectl_prints() {
    let s = Session::start().await;
    let ports = json!([{"port": 80, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}]);
    s.balancer("a", &json!({"ports": ports})).await;
    let table = s.get_as(&service_path("a"), TABLE).await.is(200);
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .expect("columns")
        .iter()
        .filter_map(|c| c["name"].as_str())
        .collect();
    assert_eq!(columns, ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"]);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[3], &cells[6]), (&json!("<pending>"), &json!("<none>")));
    let shown = cells[4].as_str().expect("ports");
    assert!(shown.starts_with("80:") && shown.contains("53:") && shown.ends_with("/UDP"), "{shown}");
    let both = json!([{"ip": "1.2.3.4"}, {"hostname": "a.b.c"}]);
    s.merge(&status_path("a"), &status_with(both)).await.is(200);
    assert_eq!(s.get_as(&service_path("a"), TABLE).await.is(200)["rows"][0]["cells"][3], "1.2.3.4,a.b.c");
    s.get_as(&service_path("absent"), TABLE).await.refuses(404, "NotFound");
}

#[tokio::test]
async fn case_46_wrong_requests_are_told_apart() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    s.post(&service_path("a"), &json!({})).await.refuses(405, "MethodNotAllowed");
    s.put(&services(), &json!({})).await.refuses(405, "MethodNotAllowed");
    s.delete(&status_path("a")).await.refuses(405, "MethodNotAllowed");
    let foos = s.get(&format!("/api/v1/namespaces/{NAMESPACE}/foos")).await;
    foos.refuses(404, "NotFound");
    foos.says("could not find the requested resource");
    let group = s.get("/apis/nope.io/v1/foos").await;
    assert_eq!(group.code, 404);
    assert!(group.header("content-type").is_some_and(|media| media.starts_with("text/plain")));
    assert_eq!(s.get_as(&services(), "text/html").await.code, 406);
    let text =
        s.send(Method::POST, &services(), &[("content-type", "text/plain")], Some("x".to_owned())).await;
    text.refuses(415, "UnsupportedMediaType");
}

#[tokio::test]
async fn case_47_tokens_are_known_and_have_rights() {
    let mut s = Session::start().await;
    s.use_token("nobody");
    s.get(&services()).await.refuses(401, "Unauthorized");
    s.use_token(WEAK_TOKEN);
    let refused = s.get(&services()).await;
    refused.refuses(403, "Forbidden");
    refused.says("cannot list resource \\\"services\\\"");
}

// Other kinds.

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

/// The same cases as a script that was written against a real server.
#[tokio::test]
async fn python_conformance() {
    let script = shared_folder().join("tools/apiserver-conformance.py");
    if !script.exists() {
        eprintln!("passed over: there is no {}", script.display());
        return;
    }
    let plane = ControlPlane::start_with(Options { double_only: true, ..Options::default() }).await;
    let output = tokio::process::Command::new("python3")
        .arg(&script)
        .env("BASE", plane.url())
        .output()
        .await
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn shared_folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("SHARED_DIR").map_or_else(beside, PathBuf::from)
}
