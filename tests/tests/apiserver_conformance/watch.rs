//! Watches.

use serde_json::{Value, json};

use super::{names, types, version_of};
use crate::session::*;

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
    // A real server forgets nothing in its first 75 seconds, but what was before them.
    s.plane.restart().await;
    let s = s.again();
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
    if !s.is_at_least(34).await {
        eprintln!("passed over: 1.33 has it switched off");
        return;
    }
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

#[tokio::test]
async fn case_62_after_a_restart_every_watch_from_before_is_too_old() {
    let s = Session::start().await;
    s.balancer("a", &json!({})).await;
    let before = s.version().await;
    s.balancer("b", &json!({})).await;
    s.plane.restart().await;
    // The connection of before is gone, and its client may try it once more.
    let s = s.again();
    let events = s.watch(&format!("resourceVersion={before}"), 2).await;
    assert_eq!(types(&events), ["ERROR"]);
    assert_eq!(
        (&events[0]["object"]["code"], &events[0]["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    let kept = s.get(&services()).await.is(200);
    assert_eq!(names(&kept), ["a", "b"]);
    assert_eq!(s.watch(&format!("resourceVersion={}", version_of(&kept)), 1).await, Vec::<Value>::new());
}
