//! JSON, merge and strategic patches.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::status_with;
use crate::session::*;

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
