//! The status of a Service, and who writes it.

use serde_json::{Value, json};

use super::{status_with, version_of};
use crate::session::*;

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
    if s.is_at_least(37).await {
        set(json!({"ip": "01.2.3.4"})).await.refuses_field(&field("ip"));
    }
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

#[tokio::test]
async fn case_56_an_address_is_written_in_one_form_only() {
    let s = Session::start().await;
    if !s.is_at_least(37).await {
        eprintln!("passed over: older servers took IPv4-mapped addresses");
        return;
    }
    s.balancer("a", &json!({})).await;
    for (address, mistake) in [
        ("::ffff:192.0.2.1", "must not be an IPv4-mapped IPv6 address"),
        ("::ffff:c000:201", "must not be an IPv4-mapped IPv6 address"),
        ("192.0.2.1 ", "must be a valid IP address"),
    ] {
        let refused = s.merge(&status_path("a"), &status_with(json!([{"ip": address}]))).await;
        refused.refuses_field("status.loadBalancer.ingress[0].ip");
        refused.says(mistake);
    }
    let other = s.merge(&status_path("a"), &status_with(json!([{"ip": "2001:db8::0"}]))).await.is(200);
    assert_eq!(other["status"]["loadBalancer"]["ingress"][0]["ip"], "2001:db8::0");
}
