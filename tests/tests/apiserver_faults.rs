//! The faults of the double, its log of requests, and its users: what tests of the controller build on.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use http::{Method, Request};
use k8s_openapi::api::core::v1::Service;
use kube::client::Body;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use tests::apiserver::{Access, AccessRule, ApiServer, Failure, Faults, Matching};
use tests::control_plane::Options;
use tests::session::*;
use tokio::time::{Instant, timeout};

const DEADLINE: Duration = Duration::from_secs(10);

async fn start() -> Session {
    Session::start_with(Options { double_only: true, ..Options::default() }).await
}

fn double(session: &Session) -> &ApiServer {
    session.plane.double().expect("the double")
}

fn faults(session: &Session) -> &Faults {
    double(session).faults()
}

fn request(method: Method, path: &str, body: String) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(Body::from(body.into_bytes())).expect("a request")
}

/// The lines of a watch, as they come.
async fn open_watch(session: &Session, query: &str) -> impl futures::AsyncBufRead + Unpin + use<> {
    let path = format!("{}?watch=true&{query}", services());
    let request = Request::get(path).body(Vec::new()).expect("a request");
    session.client.request_stream(request).await.expect("a watch")
}

/// Reads a watch to its end, which must come soon.
async fn read_to_end(watch: impl futures::AsyncBufRead + Unpin) -> usize {
    let lines = futures::AsyncBufReadExt::lines(watch).try_collect::<Vec<_>>();
    timeout(DEADLINE, lines).await.expect("the watch ends").expect("whole lines").len()
}

#[tokio::test]
async fn a_delay_is_for_the_requests_it_matches() {
    let s = start().await;
    let by = Duration::from_millis(300);
    faults(&s).delay(Matching::any().verb("get").resource("services").name("a"), by);
    let start = Instant::now();
    s.get(&service_path("b")).await.refuses(404, "NotFound");
    assert!(start.elapsed() < by);
    s.get(&service_path("a")).await.refuses(404, "NotFound");
    assert!(start.elapsed() >= by);
}

#[tokio::test]
async fn a_failure_comes_as_often_as_asked_and_has_no_effect() {
    let s = start().await;
    s.balancer("a", &json!({})).await;
    let patches =
        Matching::any().verb("patch").resource("services").subresource("status").namespace(NAMESPACE);
    let cases = [
        (Failure::Conflict, 409),
        (Failure::Gone, 410),
        (Failure::TooManyRequests, 429),
        (Failure::Internal, 500),
        (Failure::Unavailable, 503),
    ];
    for (failure, code) in cases {
        faults(&s).fail(patches.clone(), failure, 2);
        let label = json!({"metadata": {"labels": {"a": code.to_string()}}});
        for _ in 0..2 {
            let refused = s.merge(&status_path("a"), &label).await;
            assert_eq!(refused.code, code);
            assert_eq!(refused.header("retry-after").is_some(), code == 429);
        }
        let labels = s.get(&service_path("a")).await.is(200)["metadata"]["labels"].clone();
        assert_ne!(labels["a"].as_str(), Some(code.to_string().as_str()));
        s.merge(&status_path("a"), &label).await.is(200);
    }
}

#[tokio::test]
async fn a_lost_reply_is_the_reply_to_something_done() {
    let s = start().await;
    faults(&s).lose_replies(Matching::any().verb("create").resource("services"), 1);
    let new = service("a", &json!({})).to_string();
    let lost = s.try_send(request(Method::POST, &services(), new)).await;
    assert!(lost.is_err());
    s.get(&service_path("a")).await.is(200);
    assert_eq!(
        double(&s).requests().count(|r| r.verb == "create" && r.resource == "services" && r.code == 0),
        1
    );
}

#[tokio::test]
async fn open_watches_can_be_closed() {
    let s = start().await;
    s.balancer("a", &json!({})).await;
    let watch = open_watch(&s, "resourceVersion=0").await;
    faults(&s).close_watches();
    assert!(read_to_end(watch).await <= 1);
    // The next one lives.
    let mut next = futures::AsyncBufReadExt::lines(open_watch(&s, "resourceVersion=0").await);
    assert!(timeout(DEADLINE, next.next()).await.expect("an event").is_some());
}

#[tokio::test]
async fn a_watch_can_end_after_some_events() {
    let s = start().await;
    for name in ["a", "b", "c"] {
        s.balancer(name, &json!({})).await;
    }
    faults(&s).end_watches_after(Matching::any().resource("services"), 2, 1);
    assert_eq!(read_to_end(open_watch(&s, "resourceVersion=0").await).await, 2);
}

#[tokio::test]
async fn an_expired_watch_says_so_in_its_stream() {
    let s = start().await;
    faults(&s).fail(Matching::any().verb("watch").resource("services"), Failure::Gone, 1);
    let version = s.version().await;
    let events = s.watch(&format!("resourceVersion={version}"), 5).await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["type"], &events[0]["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

type Events = futures::stream::BoxStream<'static, watcher::Result<watcher::Event<Service>>>;

async fn wait_for(events: &mut Events, wanted: &str) {
    let seen = async {
        loop {
            let event = events.next().await.expect("a watcher never ends");
            // On errors it tries again by itself.
            if let Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found)) = event
                && found.name_any() == wanted
            {
                return;
            }
        }
    };
    timeout(DEADLINE, seen).await.unwrap_or_else(|_| panic!("{wanted} is seen"));
}

#[tokio::test]
async fn a_kube_watcher_recovers_from_forgotten_history() {
    let s = start().await;
    let api: Api<Service> = Api::namespaced(s.plane.client(), NAMESPACE);
    s.balancer("a", &json!({})).await;
    let mut events = watcher(api, watcher::Config::default()).boxed();
    wait_for(&mut events, "a").await;
    double(&s).faults().close_watches();
    s.balancer("b", &json!({})).await;
    double(&s).forget_history();
    wait_for(&mut events, "b").await;
}

#[tokio::test]
async fn a_forgotten_list_gives_a_token_to_go_on_with() {
    let s = start().await;
    for name in ["a", "b", "c"] {
        s.balancer(name, &json!({})).await;
    }
    let page = s.get(&format!("{}?limit=1", services())).await.is(200);
    let token = page["metadata"]["continue"].as_str().expect("more");
    s.balancer("d", &json!({})).await;
    double(&s).forget_history();
    let expired = s.get(&format!("{}?limit=1&continue={token}", services())).await.refuses(410, "Expired");
    let token = expired["metadata"]["continue"].as_str().expect("a token");
    let rest = s.get(&format!("{}?continue={token}", services())).await.is(200);
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_cut_network_lets_nothing_through_until_it_is_mended() {
    let s = start().await;
    let watch = open_watch(&s, "").await;
    faults(&s).cut_network();
    // The end of a connection that is cut is an error, or nothing at all.
    drop(
        timeout(DEADLINE, futures::AsyncBufReadExt::lines(watch).collect::<Vec<_>>())
            .await
            .expect("the watch ends"),
    );
    assert!(s.try_send(request(Method::GET, &services(), String::new())).await.is_err());
    faults(&s).mend_network();
    s.get(&services()).await.is(200);
}

#[tokio::test]
async fn a_user_may_do_what_the_rules_say() {
    let mut s = start().await;
    s.balancer("a", &json!({})).await;
    let rule = AccessRule::new(&["get", "patch"], &[""], &["services", "services/status"]);
    double(&s).tokens().add("few-rights", "controller", Access::Rules(vec![rule]));
    s.use_token("few-rights");
    s.get(&service_path("a")).await.is(200);
    s.merge(&status_path("a"), &json!({})).await.is(200);
    s.get(&services()).await.refuses(403, "Forbidden");
    let review = |verb: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "resource": "services", "namespace": NAMESPACE}},
        })
    };
    // Everybody may ask.
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(s.post(path, &review("patch")).await.is(201)["status"]["allowed"], true);
    assert_eq!(s.post(path, &review("delete")).await.is(201)["status"]["allowed"], false);
}

#[tokio::test]
async fn a_namespace_is_emptied_where_somebody_does_it() {
    let options = Options { double_only: true, controller_manager: true, ..Options::default() };
    let s = Session::start_with(options).await;
    let mut held = service("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["a.b/c"]);
    s.post(&services(), &held).await.is(201);
    s.balancer("free", &json!({})).await;
    let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
    s.delete(&namespace).await.is(200);
    eventually("the free Service is gone", async || s.get(&service_path("free")).await.code == 404).await;
    s.get(&namespace).await.is(200);
    s.merge(&service_path("held"), &json!({"metadata": {"finalizers": null}})).await.is(200);
    eventually("the namespace is gone", async || s.get(&namespace).await.code == 404).await;
}

#[tokio::test]
async fn a_dual_stack_service_gets_an_address_of_each_family() {
    let s = Session::start_with(Options { dual_stack: true, ..Options::default() }).await;
    let both = s.balancer("a", &json!({"ipFamilyPolicy": "PreferDualStack"})).await;
    assert_eq!(both["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    let ips = both["spec"]["clusterIPs"].as_array().expect("addresses");
    assert!(ips.len() == 2 && ips[1].as_str().is_some_and(|ip| ip.starts_with("fd00:10:96::")), "{ips:?}");
    let one = s.balancer("b", &json!({})).await;
    assert_eq!(one["spec"]["ipFamilyPolicy"], "SingleStack");
    let more =
        s.merge(&service_path("b"), &json!({"spec": {"ipFamilyPolicy": "RequireDualStack"}})).await.is(200);
    assert_eq!(more["spec"]["clusterIPs"].as_array().map(Vec::len), Some(2));
    assert_eq!(more["spec"]["clusterIPs"][0], one["spec"]["clusterIP"]);
    let less = s.merge(&service_path("b"), &json!({"spec": {"ipFamilyPolicy": "SingleStack"}})).await.is(200);
    assert_eq!(less["spec"]["clusterIPs"], json!([one["spec"]["clusterIP"]]));
}

#[tokio::test]
async fn a_dropped_plane_leaves_its_port_to_the_next() {
    let s = start().await;
    let address = double(&s).address();
    drop(s);
    eventually("nobody listens", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    let options = Options { double_only: true, port: Some(address.port()), ..Options::default() };
    let next = Session::start_with(options).await;
    assert_eq!(double(&next).address(), address);
}

/// Asks until it is so, or fails in time.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}
