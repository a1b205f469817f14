//! MetalLB's peers for our own speaker.

use std::time::Duration;

use announcer::bgp::family::Family;
use announcer::bgp::peer::RemoteAs;
use announcer::distance::Distance;
use announcer::engine::native::native;
use ipnet::IpNet;
use serde_json::json;

use crate::peer;

fn node() -> Vec<IpNet> {
    ["192.0.2.1/24", "2001:db8::1/64"].map(|net| net.parse().expect("a net")).to_vec()
}

#[test]
fn a_peer_with_nothing_but_what_it_must_have_is_one_of_its_own_family_on_the_link() {
    let made = native(&peer("a", json!({})), &node()).expect("it is had");
    assert_eq!(made.dial.to, "192.0.2.254:179".parse().unwrap());
    assert_eq!((made.dial.from, made.dial.distance), (None, Distance::Link));
    let bgp = made.peer;
    assert_eq!((bgp.asn, bgp.remote_as), (64_512, RemoteAs::Number(64_600)));
    assert_eq!(bgp.router_id, "192.0.2.1".parse::<std::net::Ipv4Addr>().unwrap());
    assert_eq!((bgp.hold_time.seconds(), bgp.connect_time), (90, Duration::from_secs(120)));
    assert_eq!((bgp.families, bgp.graceful_restart), ([Family::V4].into(), None));
    assert_eq!(made.path, None);
}

#[test]
fn whatever_a_peer_says_reaches_our_own_speaker() {
    let spec = json!({
        "dynamicASN": "internal", "peerASN": null, "localASN": 64513, "sourceAddress": "192.0.2.9", "peerPort": 1179,
        "holdTime": "30s", "keepaliveTime": "5s", "connectTime": "7s", "routerID": "10.0.0.1", "bfdProfile": "fast",
        "enableGracefulRestart": true, "dualStackAddressFamily": true,
    });
    let made = native(&peer("a", spec), &node()).expect("it is had");
    assert_eq!(made.dial.to, "192.0.2.254:1179".parse().unwrap());
    assert_eq!((made.dial.from, made.dial.distance), ("192.0.2.9".parse().ok(), Distance::Hops));
    let bgp = made.peer;
    assert_eq!((bgp.asn, bgp.remote_as), (64_513, RemoteAs::Internal));
    assert_eq!(bgp.router_id, "10.0.0.1".parse::<std::net::Ipv4Addr>().unwrap());
    assert_eq!((bgp.hold_time.seconds(), bgp.keepalive), (30, Some(Duration::from_secs(5))));
    assert_eq!((bgp.connect_time, bgp.graceful_restart), (Duration::from_secs(7), Some(120)));
    assert_eq!(bgp.families, Family::ALL.into());
    assert_eq!(
        bgp.next_hops.of(Family::V4),
        "192.0.2.9".parse().ok(),
        "the address that the peer knows us by"
    );
    assert_eq!(bgp.next_hops.of(Family::V6), "2001:db8::1".parse().ok());
    let (key, profile) = made.path.expect("it is watched");
    assert_eq!((key.from, key.distance), (made.dial.from, Distance::Link), "it is on a link of the node");
    assert_eq!((profile.receive, profile.transmit), (Duration::from_millis(100), Duration::from_millis(300)));
    assert_eq!(profile.multiplier, 5);
}

#[test]
fn a_peer_that_may_be_far_away_is_watched_over_several_hops() {
    for (spec, dialled, watched) in [
        (json!({ "ebgpMultiHop": true }), Distance::Hops, Distance::Hops),
        (json!({ "peerASN": 64512, "peerAddress": "198.51.100.1" }), Distance::Hops, Distance::Hops),
        (json!({ "peerASN": 64512 }), Distance::Hops, Distance::Link),
        (json!({}), Distance::Link, Distance::Link),
    ] {
        let mut spec = spec;
        spec["bfdProfile"] = "fast".into();
        let made = native(&peer("a", spec.clone()), &node()).expect("it is had");
        let (key, _) = made.path.expect("it is watched");
        assert_eq!((made.dial.distance, key.distance), (dialled, watched), "{spec}");
    }
}

#[test]
fn what_our_own_speaker_lacks_is_named_by_field_and_no_password_is_told() {
    for (fields, field) in [
        (json!({ "interface": "eth1", "peerAddress": null }), "spec.interface"),
        (json!({ "vrf": "red" }), "spec.vrf"),
        (json!({ "password": "hush" }), "spec.password"),
        (json!({ "passwordSecret": { "name": "bgp" } }), "spec.passwordSecret.name"),
        (json!({ "bfdProfile": "echo" }), "spec.bfdProfile"),
    ] {
        let lacks = native(&peer("a", fields), &node()).expect_err("it is not had");
        assert_eq!(lacks.iter().map(|mistake| mistake.field.as_str()).collect::<Vec<_>>(), [field]);
        let said = lacks[0].to_string();
        assert!(said.contains("or --bgp=frr-k8s; until then this peer has no session from here"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
    let lacks = native(&peer("a", json!({})), &node()[1..]).expect_err("there is no router ID");
    assert_eq!(lacks[0].field, "spec.routerID");
}
