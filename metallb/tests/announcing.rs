//! What is said about announcing: what is in force, and what is told of the rest.

mod metallbs;

use std::collections::BTreeSet;
use std::time::Duration;

use cloud_provider::NodeView;
use metallb::announcing::{Announcing, Definitions};
use metallb::community::CommunityValue;
use metallb::crd::IPAddressPoolSpec;
use metallb::peer::{Password, Peer, Reach, RemoteAsn};
use metallb::pools::Pools;
use metallb::written::{ObjectMistakes, ResourceSpec, Written};
use serde_json::{Value, json};

fn object<S: ResourceSpec>(name: &str, spec: Value) -> Written<S> {
    Written::from_json(&json!({ "metadata": { "namespace": "metallb-system", "name": name }, "spec": spec }))
}

fn peer(more: &Value) -> Value {
    let mut spec = json!({ "myASN": 64_512, "peerASN": 64_513, "peerAddress": "192.0.2.254" });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn peers(spec: Value) -> Definitions {
    Definitions { peers: vec![object("r", spec)], ..Definitions::default() }
}

fn layer2(spec: Value) -> Definitions {
    Definitions { layer2: vec![object("ad", spec)], ..Definitions::default() }
}

fn bgp(spec: Value) -> Definitions {
    Definitions { bgp: vec![object("ad", spec)], ..Definitions::default() }
}

fn bfd(spec: Value) -> Definitions {
    Definitions { bfd_profiles: vec![object("p", spec)], ..Definitions::default() }
}

fn communities(spec: Value) -> Definitions {
    Definitions { communities: vec![object("c", spec)], ..Definitions::default() }
}

fn the_peer(announcing: &Announcing) -> &Peer {
    announcing.peers().next().expect("it is in force")
}

/// Every mistake as a sentence.
fn sentences(mistakes: &[ObjectMistakes]) -> Vec<String> {
    mistakes.iter().flat_map(|it| it.mistakes.iter()).map(ToString::to_string).collect()
}

#[test]
fn each_mistake_names_field_value_what_is_allowed_and_what_happens_now() {
    let too_many: Vec<String> = (0..64).map(|i| format!("1:{i}")).collect();
    let table = [
        (layer2(json!([])), "spec: \"[]\" has no fields"),
        (layer2(json!({ "interfaces": ["eth0", "eth0"] })), "spec.interfaces[1]: \"eth0\" is listed twice"),
        (layer2(json!({ "ipAddressPools": [""] })), "spec.ipAddressPools[0]: \"\" is empty"),
        (
            layer2(json!({ "nodeSelectors": [{ "matchExpressions": [{ "key": "a", "operator": "Is" }] }] })),
            "spec.nodeSelectors[0]: ",
        ),
        (
            layer2(json!({ "preferredNodeSelectors": [{ "weight": 0, "preference": {} }] })),
            "spec.preferredNodeSelectors[0].weight: \"0\" is out of range; allowed: a whole number from 1 to 100",
        ),
        (
            layer2(
                json!({ "preferredNodeSelectors": [{ "weight": 1, "preference": { "matchExpressions": [{ "key": "a", "operator": "In" }] } }] }),
            ),
            "spec.preferredNodeSelectors[0].preference: ",
        ),
        (
            bgp(json!({ "aggregationLength": 0 })),
            "spec.aggregationLength: \"0\" is out of range; allowed: a whole number from 1 to 32",
        ),
        (bgp(json!({ "aggregationLength": 33 })), "spec.aggregationLength: \"33\" is out of range"),
        (
            bgp(json!({ "aggregationLengthV6": 129 })),
            "spec.aggregationLengthV6: \"129\" is out of range; allowed: a whole number from 1 to 128",
        ),
        (bgp(json!({ "localPref": -1 })), "spec.localPref: \"-1\" is out of range"),
        (bgp(json!({ "localPref": 4_294_967_296_u64 })), "spec.localPref: \"4294967296\" is out of range"),
        (
            bgp(json!({ "communities": ["1:65536"] })),
            "spec.communities: \"1:65536\" is no community, and no Community has it as a name",
        ),
        (
            bgp(json!({ "communities": ["NO_ADVERTISE"] })),
            "spec.communities: \"NO_ADVERTISE\" is no community",
        ),
        (
            bgp(json!({ "communities": too_many })),
            "spec.communities: \"64 communities\" are too many; allowed: at most 63",
        ),
        (bgp(json!({ "peers": ["r", "r"] })), "spec.peers[1]: \"r\" is listed twice"),
        (
            bgp(json!({ "aggregationLength": 24, "serviceSelectors": [{ "matchLabels": { "a": "b" } }] })),
            "spec.aggregationLength, spec.aggregationLengthV6: \"24, 128\" cannot be chosen together with serviceSelectors",
        ),
        (
            bfd(json!({ "receiveInterval": 9 })),
            "spec.receiveInterval: \"9\" is out of range; allowed: a whole number from 10 to 60000",
        ),
        (bfd(json!({ "transmitInterval": 60_001 })), "spec.transmitInterval: \"60001\" is out of range"),
        (
            bfd(json!({ "detectMultiplier": 1 })),
            "spec.detectMultiplier: \"1\" is out of range; allowed: a whole number from 2 to 255",
        ),
        (
            bfd(json!({ "minimumTtl": 255 })),
            "spec.minimumTtl: \"255\" is out of range; allowed: a whole number from 1 to 254",
        ),
        (
            communities(json!({ "communities": [{ "name": "a", "value": "1" }] })),
            "spec.communities[0].value: \"1\" is no community",
        ),
        (
            communities(json!({ "communities": [{ "value": "1:1" }] })),
            "spec.communities[0].name: \"\" is empty",
        ),
        (
            communities(
                json!({ "communities": [{ "name": "a", "value": "1:1" }, { "name": "a", "value": "1:2" }] }),
            ),
            "spec.communities[1].name: \"a\" is there twice",
        ),
    ];
    for (definitions, says) in table {
        let (announcing, mistakes) = Announcing::parse(&definitions);
        let said = sentences(&mistakes);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(says), "{says}\n{said:?}");
        assert!(said[0].contains("; allowed: ") && said[0].contains("; until then "), "{said:?}");
        assert_eq!(announcing, Announcing::default(), "nothing of it is in force");
    }
}

#[test]
fn each_mistake_of_a_peer_is_told_by_its_field() {
    let table = [
        (
            json!({ "myASN": 0 }),
            "spec.myASN: \"0\" is out of range; allowed: a whole number from 1 to 4294967295",
        ),
        (json!({ "myASN": 4_294_967_296_u64 }), "spec.myASN: \"4294967296\" is out of range"),
        (json!({ "peerASN": -1 }), "spec.peerASN: \"-1\" is out of range"),
        (
            json!({ "peerASN": 0 }),
            "spec.peerASN, spec.dynamicASN: \"\" is not set, nor is the other; allowed: exactly one of the two",
        ),
        (
            json!({ "dynamicASN": "internal" }),
            "spec.peerASN, spec.dynamicASN: \"64513, internal\" is set, and so is the other",
        ),
        (
            json!({ "peerASN": null, "dynamicASN": "any" }),
            "spec.dynamicASN: \"any\" is not understood; allowed: internal or external",
        ),
        (json!({ "localASN": 0 }), "spec.localASN: \"0\" is out of range"),
        (
            json!({ "peerAddress": "router.example.com" }),
            "spec.peerAddress: \"router.example.com\" is no IP address",
        ),
        (json!({ "peerAddress": "" }), "spec.peerAddress, spec.interface: \"\" is not set, nor is the other"),
        (
            json!({ "interface": "eth0" }),
            "spec.peerAddress, spec.interface: \"192.0.2.254, eth0\" is set, and so is the other",
        ),
        (json!({ "sourceAddress": "here" }), "spec.sourceAddress: \"here\" is no IP address"),
        (
            json!({ "sourceAddress": "2001:db8::1" }),
            "spec.sourceAddress: \"2001:db8::1\" is of another family than 192.0.2.254, the peer",
        ),
        (
            json!({ "peerPort": 0 }),
            "spec.peerPort: \"0\" is out of range; allowed: a whole number from 1 to 16384",
        ),
        (json!({ "peerPort": 16_385 }), "spec.peerPort: \"16385\" is out of range"),
        (json!({ "holdTime": "2s" }), "spec.holdTime: \"2s\" is out of range"),
        (json!({ "holdTime": "65536s" }), "spec.holdTime: \"65536s\" is out of range"),
        (json!({ "holdTime": "3500ms" }), "spec.holdTime: \"3500ms\" is out of range"),
        (
            json!({ "holdTime": "90" }),
            "spec.holdTime: \"90\" is no length of time; allowed: a number with a unit",
        ),
        (json!({ "keepaliveTime": "500ms" }), "spec.holdTime: \"1.5s\" is out of range"),
        (
            json!({ "holdTime": "9s", "keepaliveTime": "10s" }),
            "spec.keepaliveTime: \"10s\" is longer than the hold time; allowed: at most 9s",
        ),
        (
            json!({ "connectTime": "0s" }),
            "spec.connectTime: \"0s\" is out of range; allowed: whole seconds from 1s to 65535s",
        ),
        (json!({ "connectTime": "1.5s" }), "spec.connectTime: \"1.5s\" is out of range"),
        (json!({ "routerID": "10" }), "spec.routerID: \"10\" is no router ID"),
        (json!({ "routerID": "0.0.0.0" }), "spec.routerID: \"0.0.0.0\" is no router ID"),
        (json!({ "bfdProfile": "fast" }), "spec.bfdProfile: \"fast\" is the name of no BFDProfile in force"),
        (
            json!({ "peerASN": 64_512, "ebgpMultiHop": true }),
            "spec.ebgpMultiHop: \"true\" is for peers of another AS",
        ),
        (
            json!({ "password": "s3cret", "passwordSecret": { "name": "bgp" } }),
            "spec.password, spec.passwordSecret: \"…, bgp\" is set, and so is the other",
        ),
        (
            json!({ "passwordSecret": { "name": "bgp", "namespace": "elsewhere" } }),
            "spec.passwordSecret.namespace: \"elsewhere\" is another namespace than the peer's",
        ),
        (json!({ "password": 12_345 }), "spec.password: \"…\" is not a text; allowed: a text, in quotes"),
        (json!({ "password": "s3cret", "myASN": "x" }), "spec: "),
    ];
    for (more, says) in table {
        let (announcing, mistakes) = Announcing::parse(&peers(peer(&more)));
        let said = sentences(&mistakes);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(says), "{says}\n{said:?}");
        assert!(said[0].ends_with("; until then there is no session with it"), "{said:?}");
        assert!(
            !said[0].contains("s3cret") && !said[0].contains("12345"),
            "a password is told to nobody: {said:?}"
        );
        assert_eq!(announcing, Announcing::default());
    }
}

#[test]
fn a_peer_of_which_little_is_said_has_what_the_rfc_suggests() {
    let (announcing, mistakes) = Announcing::parse(&peers(peer(&json!({}))));
    assert_eq!(mistakes, []);
    let peer = the_peer(&announcing);
    assert_eq!((peer.my_asn, peer.remote_asn, peer.port), (64_512, RemoteAsn::Exactly(64_513), 179));
    assert_eq!(peer.reach, Reach::Address("192.0.2.254".parse().unwrap()));
    assert_eq!((peer.hold_time, peer.keepalive_time), (Duration::from_secs(90), Duration::from_secs(30)));
    assert_eq!((peer.connect_time, peer.router_id, peer.local_asn), (None, None, None));
    assert!(!peer.multi_hop && !peer.graceful_restart && !peer.dual_stack);
    assert!(peer.nodes.is_empty() && peer.password.is_none() && peer.bfd.is_none() && peer.vrf.is_none());
}

#[test]
fn of_hold_and_keepalive_time_one_follows_the_other() {
    let table = [
        (json!({ "holdTime": "9s" }), (9, 3)),
        (json!({ "keepaliveTime": "10s" }), (30, 10)),
        (json!({ "holdTime": "30s", "keepaliveTime": "30s" }), (30, 30)),
        (json!({ "holdTime": "9m0s", "keepaliveTime": "0s" }), (540, 0)),
        (json!({ "holdTime": "0s" }), (0, 0)),
    ];
    for (more, (hold, keepalive)) in table {
        let (announcing, mistakes) = Announcing::parse(&peers(peer(&more)));
        assert_eq!(mistakes, [], "{more}");
        let times = (the_peer(&announcing).hold_time, the_peer(&announcing).keepalive_time);
        assert_eq!(times, (Duration::from_secs(hold), Duration::from_secs(keepalive)), "{more}");
    }
}

#[test]
fn a_peer_of_our_own_as_may_be_any_number_of_hops_away() {
    let table = [
        (json!({ "peerASN": 64_512 }), true),
        (json!({ "peerASN": null, "dynamicASN": "internal" }), true),
        (json!({ "peerASN": null, "dynamicASN": "external" }), false),
        (json!({ "peerASN": 64_513 }), false),
        (json!({ "peerASN": 64_513, "ebgpMultiHop": true }), true),
    ];
    for (more, multi_hop) in table {
        let (announcing, mistakes) = Announcing::parse(&peers(peer(&more)));
        assert_eq!(mistakes, [], "{more}");
        assert_eq!(the_peer(&announcing).multi_hop, multi_hop, "{more}");
    }
}

#[test]
fn where_a_password_stands_is_known_and_it_is_not_printed() {
    let of = |more| the_peer(&Announcing::parse(&peers(peer(&more))).0).password.clone();
    assert_eq!(of(json!({ "passwordSecret": { "name": "bgp" } })), Some(Password::Secret("bgp".into())));
    assert_eq!(of(json!({ "passwordSecret": {} })), None);
    let written = of(json!({ "password": "s3cret" }));
    assert_eq!(written, Some(Password::Written("s3cret".into())));
    assert_eq!(format!("{written:?}"), "Some(Written(…))");
}

#[test]
fn what_was_in_force_stays_in_force_when_it_gets_a_mistake() {
    let good = Definitions {
        layer2: vec![object("l2", json!({ "interfaces": ["eth0"] }))],
        bgp: vec![object("b", json!({ "communities": ["no-advertise"] }))],
        peers: vec![object("r", peer(&json!({ "bfdProfile": "fast" })))],
        bfd_profiles: vec![object("fast", json!({}))],
        communities: vec![object(
            "names",
            json!({ "communities": [{ "name": "no-advertise", "value": "65535:65282" }] }),
        )],
    };
    let (announcing, mistakes) = Announcing::parse(&good);
    assert_eq!(mistakes, []);
    let bad = Definitions {
        layer2: vec![object("l2", json!({ "interfaces": ["eth0", "eth0"] }))],
        bgp: vec![object("b", json!({ "localPref": -1 }))],
        peers: vec![object("r", peer(&json!({ "holdTime": "1s" })))],
        bfd_profiles: vec![object("fast", json!({ "detectMultiplier": 0 }))],
        communities: vec![object(
            "names",
            json!({ "communities": [{ "name": "no-advertise", "value": "?" }] }),
        )],
    };
    let (after, mistakes) = announcing.update(&bad);
    assert_eq!(after, announcing);
    assert_eq!(mistakes.len(), 5);
    for said in sentences(&mistakes) {
        assert!(said.ends_with("; until then its last good version stays in force"), "{said}");
    }
    let (gone, mistakes) = announcing.update(&Definitions::default());
    assert_eq!((gone, mistakes.len()), (Announcing::default(), 0));
}

#[test]
fn what_something_in_force_refers_to_can_go_without_taking_it_along() {
    let with = Definitions {
        bgp: vec![object("b", json!({ "communities": ["no-advertise"] }))],
        peers: vec![object("r", peer(&json!({ "bfdProfile": "fast" })))],
        bfd_profiles: vec![object("fast", json!({ "transmitInterval": 50 }))],
        communities: vec![object(
            "names",
            json!({ "communities": [{ "name": "no-advertise", "value": "65535:65282" }] }),
        )],
        ..Definitions::default()
    };
    let (announcing, _) = Announcing::parse(&with);
    let without = Definitions { bfd_profiles: Vec::new(), communities: Vec::new(), ..with };
    let (after, mistakes) = announcing.update(&without);
    assert_eq!(mistakes.len(), 2);
    let bfd = the_peer(&after).bfd.as_ref().expect("the profile that it had");
    assert_eq!(bfd.transmit_interval, Duration::from_millis(50));
    let no_advertise = BTreeSet::from([CommunityValue::Plain(65_535, 65_282)]);
    assert_eq!(after.bgp()[0].communities, no_advertise);
}

#[test]
fn one_object_with_a_mistake_is_no_concern_of_the_others() {
    let definitions = Definitions {
        layer2: vec![object("bad", json!({ "interfaces": [""] })), object("good", json!({}))],
        ..Definitions::default()
    };
    let (announcing, mistakes) = Announcing::parse(&definitions);
    assert_eq!(announcing.layer2().iter().map(|it| it.key.name.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].to_string().starts_with("L2Advertisement metallb-system/bad: spec.interfaces[0]"),
        "{}",
        mistakes[0]
    );
}

#[test]
fn of_two_objects_with_one_name_the_older_one_counts() {
    let mut older: Written<_> = object("r", peer(&json!({})));
    let mut younger: Written<_> = object("r", peer(&json!({ "peerPort": 1_790 })));
    (older.created, older.namespace, younger.created) = (Some(1), "z".into(), Some(2));
    let definitions = Definitions { peers: vec![younger, older], ..Definitions::default() };
    let (announcing, mistakes) = Announcing::parse(&definitions);
    assert_eq!((announcing.peers().count(), the_peer(&announcing).port), (1, 179));
    assert!(
        sentences(&mistakes)[0].contains("is the name of a BGPPeer in namespace \"z\" already"),
        "{mistakes:?}"
    );
}

#[test]
fn of_two_values_for_one_name_of_a_community_the_older_one_counts() {
    let names = |created, value: &str| {
        let spec = json!({ "communities": [{ "name": "blue", "value": value }] });
        Written { created: Some(created), ..object(value, spec) }
    };
    let definitions = Definitions {
        communities: vec![names(2, "1:2"), names(1, "1:1")],
        bgp: vec![object("b", json!({ "communities": ["blue"] }))],
        ..Definitions::default()
    };
    let (announcing, mistakes) = Announcing::parse(&definitions);
    assert_eq!(announcing.bgp()[0].communities, [CommunityValue::Plain(1, 1)].into());
    assert_eq!(sentences(&mistakes).len(), 1);
    assert!(mistakes[0].to_string().starts_with("Community metallb-system/1:2: "), "{}", mistakes[0]);
}

/// What is told of these where there is one pool, `lan` with the label `net=lan`, and one node, `n1` of rack `r1`.
fn loose_ends(definitions: &Definitions) -> Vec<String> {
    let (announcing, mistakes) = Announcing::parse(definitions);
    assert_eq!(mistakes, []);
    let mut pool = object::<IPAddressPoolSpec>("lan", json!({ "addresses": ["192.0.2.0/24"] }));
    pool.labels.insert("net".to_owned(), "lan".to_owned());
    let mut node = NodeView::new("n1");
    node.labels = vec![("rack".to_owned(), "r1".to_owned())];
    let told = announcing.loose_ends(&Pools::parse(&[pool]).0, &[&node]);
    told.iter().map(ToString::to_string).collect()
}

#[test]
fn names_that_mean_nothing_are_told_and_the_rest_works() {
    let definitions = Definitions {
        layer2: vec![object("l2", json!({ "ipAddressPools": ["lan", "lann"] }))],
        bgp: vec![object("b", json!({ "ipAddressPools": ["wan"], "peers": ["r", "q"] }))],
        ..peers(peer(&json!({})))
    };
    assert_eq!(
        loose_ends(&definitions),
        [
            "L2Advertisement metallb-system/l2: spec.ipAddressPools: \"lann\" is the name of no IPAddressPool in force; \
             allowed: names of IPAddressPools; until then it stands for no address",
            "BGPAdvertisement metallb-system/b: spec.ipAddressPools: \"wan\" is the name of no IPAddressPool in force; \
             allowed: names of IPAddressPools; until then it stands for no address | spec.peers: \"q\" is the name of no \
             BGPPeer in force; allowed: names of BGPPeers; until then it stands for no peer",
        ]
    );
}

#[test]
fn selectors_that_fit_no_pool_or_no_node_are_told_by_their_place_and_those_that_fit_are_not() {
    let of = |key: &str, values: [&str; 2]| values.map(|value| json!({ "matchLabels": { key: value } }));
    let racks = of("rack", ["r1", "r9"]);
    let definitions = Definitions {
        layer2: vec![object(
            "l2",
            json!({ "ipAddressPoolSelectors": of("net", ["lan", "gone"]), "nodeSelectors": racks }),
        )],
        bgp: vec![object("b", json!({ "nodeSelectors": racks }))],
        ..peers(peer(&json!({ "nodeSelectors": racks })))
    };
    let node = "spec.nodeSelectors[1]: \"rack=r9\" fits no Node; allowed: labels of Nodes; until then it stands for no node";
    assert_eq!(
        loose_ends(&definitions),
        [
            format!(
                "L2Advertisement metallb-system/l2: spec.ipAddressPoolSelectors[1]: \"net=gone\" fits no IPAddressPool in \
                 force; allowed: labels of IPAddressPools; until then it stands for no address | {node}"
            ),
            format!("BGPAdvertisement metallb-system/b: {node}"),
            format!("BGPPeer metallb-system/r: {node}"),
        ]
    );
}

#[test]
fn where_no_node_is_known_nothing_is_said_of_nodes() {
    let rack = json!({ "nodeSelectors": [{ "matchLabels": { "rack": "r9" } }] });
    let definitions = Definitions { layer2: vec![object("l2", rack)], ..Definitions::default() };
    let announcing = Announcing::parse(&definitions).0;
    assert_eq!(announcing.loose_ends(&Pools::default(), &[]), []);
}

#[test]
fn a_spec_that_is_not_there_is_an_empty_one_and_so_is_a_field_that_is_null() {
    for spec in [json!(null), json!({}), json!({ "interfaces": null, "nodeSelectors": null })] {
        let (announcing, mistakes) = Announcing::parse(&layer2(spec.clone()));
        assert_eq!((announcing.layer2().len(), mistakes.len()), (1, 0), "{spec}");
    }
}

#[test]
fn metallbs_sample_manifests_load_as_they_are() {
    let Some(folder) = metallbs::file("samples") else { return };
    let mut loaded = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut definitions = Definitions::default();
        for document in text.split("\n---").filter(|it| it.contains("kind:")) {
            let object: Value = serde_saphyr::from_str(document.trim_start_matches('-')).unwrap();
            match object["kind"].as_str().unwrap() {
                "L2Advertisement" => definitions.layer2.push(Written::from_json(&object)),
                "BGPAdvertisement" => definitions.bgp.push(Written::from_json(&object)),
                "BGPPeer" => definitions.peers.push(Written::from_json(&object)),
                "BFDProfile" => definitions.bfd_profiles.push(Written::from_json(&object)),
                "Community" => definitions.communities.push(Written::from_json(&object)),
                _ => continue,
            }
            loaded += 1;
        }
        let (_, mistakes) = Announcing::parse(&definitions);
        assert_eq!(mistakes, [], "{}", path.display());
    }
    assert!(loaded >= 18, "{loaded} objects");
}
