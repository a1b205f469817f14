//! Deletion, and what holds it up.

use serde_json::{Value, json};

use super::{CLEANUP, version_of};
use crate::session::*;

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
