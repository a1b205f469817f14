//! What announcers say, as a condition of a Service.

use std::collections::BTreeMap;

use cloud_provider::ServiceKey;
use kube::api::DynamicObject;
use metallb::crd::AnnouncementProtocol;
use provider_bare::announced::{Look, Place, Statement, Statements};
use serde_json::{Value, json};

fn web() -> ServiceKey {
    ServiceKey::new("shop", "web")
}

fn place(name: &str) -> Place {
    ("metallb-system".to_owned(), name.to_owned())
}

fn says(service: &str, node: &str, to: &[&str]) -> Option<Statement> {
    let to = to.iter().map(|it| (*it).to_owned()).collect();
    Some(Statement { service: ServiceKey::new("shop", service), node: node.to_owned(), to })
}

/// Both lists are complete, and empty.
fn listed() -> Statements {
    let mut statements = Statements::default();
    for protocol in [AnnouncementProtocol::Layer2, AnnouncementProtocol::Bgp] {
        assert_eq!(statements.list(protocol, BTreeMap::new()), None, "all are to be looked at");
    }
    statements
}

fn told(statements: &mut Statements) -> (Option<bool>, String, String) {
    let condition = statements.condition(&web()).expect("a condition");
    (condition.holds, condition.reason.to_string(), condition.message.to_string())
}

#[test]
fn an_object_of_either_kind_is_read_whoever_wrote_it_and_one_without_a_status_says_nothing() {
    let read = |protocol, status: Value| {
        let object = json!({ "metadata": { "name": "l2-x" }, "spec": {}, "status": status });
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        Statement::read(protocol, &object)
    };
    let layer2 = json!({
        "node": "node-1", "serviceName": "web", "serviceNamespace": "shop", "interfaces": [{ "name": "eth0" }],
    });
    assert_eq!(read(AnnouncementProtocol::Layer2, layer2), says("web", "node-1", &["eth0"]));
    let bgp =
        json!({ "node": "node-1", "serviceName": "web", "serviceNamespace": "shop", "peers": ["tor-1"] });
    assert_eq!(read(AnnouncementProtocol::Bgp, bgp), says("web", "node-1", &["tor-1"]));
    for nothing in [
        Value::Null,
        json!({}),
        json!({ "node": "node-1", "serviceName": "web" }),
        json!({ "node": "", "serviceName": "web", "serviceNamespace": "shop" }),
        json!({ "node": 7, "serviceName": ["web"], "serviceNamespace": "shop" }),
    ] {
        assert_eq!(read(AnnouncementProtocol::Layer2, nothing.clone()), None, "{nothing}");
    }
}

#[test]
fn the_condition_says_by_whom_and_how() {
    let mut statements = listed();
    statements.set(AnnouncementProtocol::Layer2, place("a"), says("web", "node-1", &[]));
    assert_eq!(
        told(&mut statements),
        (Some(true), "Announced".into(), "answered for on the local network by node node-1".into())
    );
    statements.set(AnnouncementProtocol::Layer2, place("b"), says("web", "node-2", &["eth0", "eth1"]));
    statements.set(AnnouncementProtocol::Bgp, place("c"), says("web", "node-3", &["tor-1"]));
    let (_, _, message) = told(&mut statements);
    assert_eq!(
        message,
        "answered for on the local network by nodes node-1, node-2 on interfaces eth0, eth1; advertised by node node-3 to \
         peer tor-1"
    );
    for node in 0..6 {
        statements.set(
            AnnouncementProtocol::Bgp,
            place(&format!("n{node}")),
            says("web", &format!("n{node}"), &["tor-1"]),
        );
    }
    let (_, _, message) = told(&mut statements);
    assert!(message.ends_with("advertised by 7 nodes to peer tor-1"), "{message}");
}

#[test]
fn that_nobody_announces_it_is_only_said_where_somebody_would_say_so() {
    let mut statements = Statements::default();
    assert_eq!(statements.condition(&web()), None, "the kinds are not there");
    let mut statements = listed();
    let (holds, reason, message) = told(&mut statements);
    assert_eq!((holds, &*reason), (None, "NobodyTells"));
    assert!(message.contains("ServiceL2Status") && message.contains("doctor"), "{message}");
    statements.set(AnnouncementProtocol::Layer2, place("a"), says("api", "node-1", &[]));
    let (holds, reason, message) = told(&mut statements);
    assert_eq!((holds, &*reason), (Some(false), "NotAnnounced"));
    assert!(message.contains("advertisement for its pool"), "{message}");

    let mut one_kind = Statements::default();
    one_kind.list(AnnouncementProtocol::Layer2, [(place("a"), says("api", "node-1", &[]))].into());
    assert_eq!(told(&mut one_kind).0, None, "it may be announced in the way that nothing can be said of");
}

#[test]
fn who_begins_or_ends_to_be_announced_is_looked_at_now_and_who_is_announced_by_others_soon_and_once() {
    let mut statements = listed();
    let mut set = |name, said| statements.set(AnnouncementProtocol::Bgp, place(name), said);
    assert_eq!(set("a", says("web", "node-1", &["tor-1"])), [Look::Now(web())]);
    assert_eq!(set("a", says("web", "node-1", &["tor-1"])), [], "nothing new");
    assert_eq!(set("b", says("web", "node-2", &["tor-1"])), [Look::Soon(web())]);
    assert_eq!(set("c", says("web", "node-3", &["tor-1"])), [], "it is looked at soon anyway");
    statements.condition(&web());
    let mut set = |name, said| statements.set(AnnouncementProtocol::Bgp, place(name), said);
    assert_eq!(set("c", None), [Look::Soon(web())]);
    assert_eq!(set("b", None), []);
    assert_eq!(set("a", None), [Look::Now(web())]);
    assert_eq!(set("a", None), []);
}

#[test]
fn what_a_new_list_lacks_is_said_no_more() {
    let mut statements = listed();
    statements.set(AnnouncementProtocol::Layer2, place("a"), says("web", "node-1", &[]));
    statements.set(AnnouncementProtocol::Layer2, place("b"), says("api", "node-1", &[]));
    statements.set(AnnouncementProtocol::Bgp, place("a"), says("web", "node-1", &["tor-1"]));
    statements.condition(&web());
    let looks =
        statements.list(AnnouncementProtocol::Layer2, [(place("b"), says("api", "node-1", &[]))].into());
    assert_eq!(looks, Some(vec![Look::Soon(web())]));
    assert_eq!(told(&mut statements).2, "advertised by node node-1 to peer tor-1");
}
