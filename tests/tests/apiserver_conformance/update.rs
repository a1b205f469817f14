//! Updates, and what they may not change.

use serde_json::{Value, json};

use super::{status_with, version_of};
use crate::session::*;

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
