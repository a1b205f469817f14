//! Lists, pages, selectors, versions.

use serde_json::json;

use super::{names, version_of};
use crate::session::*;

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
