//! What is told of a node's announcements: which Services, in which objects.

use std::collections::{BTreeMap, BTreeSet};

use announcer::announcements::Interfaces;
use announcer::status::announced::Announced;
use announcer::status::object::{AnnouncingNode, Pod, StatusKey};
use announcer::status::steps::{ObservedObject, Write, steps};
use cloud_provider::ServiceKey;
use kube::api::DynamicObject;
use metallb::crd::AnnouncementProtocol;
use serde_json::{Value, json};

fn web() -> ServiceKey {
    ServiceKey::new("shop", "web")
}

fn announcer(node: &str) -> AnnouncingNode {
    let pod = Some(Pod { name: "announcer-7".to_owned(), uid: "uid-7".to_owned() });
    AnnouncingNode { node: node.to_owned(), namespace: "metallb-system".to_owned(), pod }
}

fn on_interfaces(names: &[&str]) -> Announced {
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let interfaces = if names.is_empty() { Interfaces::All } else { Interfaces::Named(names) };
    Announced { layer2: [(web(), interfaces)].into(), bgp: BTreeMap::new() }
}

#[test]
fn a_service_that_is_answered_for_has_the_object_that_metallbs_speaker_would_have_written() {
    let objects = announcer("node-1").objects(&on_interfaces(&["eth0", "eth1"]));
    let [(key, wanted)] = objects.as_slice() else { panic!("one object: {objects:?}") };
    assert_eq!(key, &StatusKey::of(AnnouncementProtocol::Layer2, &web(), "node-1"));
    let expected = json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ServiceL2Status",
        "metadata": {
            "name": key.name,
            "labels": {
                "metallb.io/node": "node-1",
                "metallb.io/service-name": "web",
                "metallb.io/service-namespace": "shop",
                "app.kubernetes.io/managed-by": "cloud-lb-announcer",
            },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "announcer-7", "uid": "uid-7" }],
        },
        "spec": {},
    });
    assert_eq!(wanted.object, expected);
    let status = json!({
        "node": "node-1", "serviceName": "web", "serviceNamespace": "shop",
        "interfaces": [{ "name": "eth0" }, { "name": "eth1" }],
    });
    assert_eq!(wanted.status, status);
    let all = announcer("node-1").objects(&on_interfaces(&[]));
    assert_eq!(all[0].1.status.get("interfaces"), None, "none is all of them");
}

#[test]
fn a_service_that_is_advertised_has_an_object_with_its_peers() {
    let peers: BTreeSet<String> = ["tor-1".to_owned(), "tor-2".to_owned()].into();
    let announced = Announced { layer2: BTreeMap::new(), bgp: [(web(), peers)].into() };
    let objects = announcer("node-1").objects(&announced);
    assert_eq!(objects[0].1.object["kind"], "ServiceBGPStatus");
    let status = json!({
        "node": "node-1", "serviceName": "web", "serviceNamespace": "shop", "peers": ["tor-1", "tor-2"],
    });
    assert_eq!(objects[0].1.status, status);
}

#[test]
fn a_node_whose_name_is_longer_than_a_label_may_be_has_a_label_of_its_own_all_the_same() {
    let long = |last: &str| format!("{}.{last}.example", "n".repeat(70));
    let label = |node: &str| {
        let (_, wanted) = announcer(node).objects(&on_interfaces(&[])).remove(0);
        wanted.object["metadata"]["labels"]["metallb.io/node"].as_str().expect("a label").to_owned()
    };
    let (one, other) = (label(&long("a")), label(&long("b")));
    assert!(one.len() <= 63 && other.len() <= 63, "{one} {other}");
    assert_ne!(one, other);
    assert!(announcer(&long("a")).selector().contains(&one), "by which it is found");
}

fn key() -> StatusKey {
    StatusKey::of(AnnouncementProtocol::Layer2, &web(), "node-1")
}

/// The object as the API server would have it after it was applied, with these changes.
fn applied(change: impl FnOnce(&mut Value)) -> BTreeMap<StatusKey, ObservedObject> {
    let (key, wanted) = announcer("node-1").objects(&on_interfaces(&["eth0"])).remove(0);
    let mut object = wanted.object;
    object["status"] = wanted.status;
    change(&mut object);
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    [(key, ObservedObject::of(&object))].into()
}

#[test]
fn what_is_as_it_is_wanted_is_not_written_again_whatever_others_added() {
    let wanted = announcer("node-1").objects(&on_interfaces(&["eth0"])).into_iter().collect();
    assert_eq!(steps(&applied(|_| {}), &wanted), []);
    let added = applied(|object| object["metadata"]["labels"]["team"] = "network".into());
    assert_eq!(steps(&added, &wanted), []);
}

#[test]
fn what_differs_in_a_field_a_label_or_its_owner_is_written() {
    let wanted: BTreeMap<_, _> = announcer("node-1").objects(&on_interfaces(&["eth0"])).into_iter().collect();
    for change in [
        |object: &mut Value| object["status"]["interfaces"] = json!([]),
        |object: &mut Value| object["status"] = Value::Null,
        |object: &mut Value| object["metadata"]["labels"]["metallb.io/service-name"] = "other".into(),
        |object: &mut Value| object["metadata"]["ownerReferences"][0]["uid"] = "uid-6".into(),
    ] {
        let to_do = steps(&applied(change), &wanted);
        assert!(matches!(to_do.as_slice(), [Write::Apply(it, _)] if *it == key()), "{to_do:?}");
    }
}

#[test]
fn what_is_not_announced_any_more_is_deleted() {
    assert_eq!(steps(&applied(|_| {}), &BTreeMap::new()), [Write::Delete(key())]);
}
