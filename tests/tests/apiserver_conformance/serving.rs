//! Discovery, tables, wrong requests, users.

use http::Method;
use serde_json::json;
use tests::apiserver::{Request, WEAK_TOKEN};

use super::status_with;
use crate::session::*;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

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

#[tokio::test]
async fn case_55_the_log_knows_who_asked_for_what() {
    let mut s = Session::start().await;
    let log = s.plane.requests();
    log.clear();
    s.balancer("a", &json!({})).await;
    s.merge(&format!("{}?fieldManager=m1", status_path("a")), &json!({})).await.is(200);
    s.get(&service_path("absent")).await.refuses(404, "NotFound");
    s.watch("resourceVersion=0", 1).await;
    s.use_token(WEAK_TOKEN);
    s.get(&services()).await.refuses(403, "Forbidden");
    let entry = |user: &str, verb: &str, name: &str, subresource: &str, code: u16| Request {
        user: user.to_owned(),
        agent: "conf/1.0".to_owned(),
        verb: verb.to_owned(),
        group: String::new(),
        resource: "services".to_owned(),
        subresource: subresource.to_owned(),
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        field_manager: if verb == "patch" { "m1".to_owned() } else { String::new() },
        code,
    };
    let known = log.take();
    assert_eq!(
        known,
        [
            entry("admin", "create", "", "", 201),
            entry("admin", "patch", "a", "status", 200),
            entry("admin", "get", "absent", "", 404),
            entry("admin", "watch", "", "", 200),
            entry("weak", "list", "", "", 403),
        ]
    );
    assert_eq!(known.iter().filter(|request| request.is_write()).count(), 2);
    assert_eq!(log.snapshot(), []);
}
