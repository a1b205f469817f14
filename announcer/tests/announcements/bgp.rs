//! What nodes advertise to routers. The cases are those of MetalLB's speaker (`speaker/bgp_controller_test.go`), by what it
//! does.

use cloud_provider::testing::a_node;
use serde_json::json;

use crate::cluster::{At, Cluster, GONE, NOT_READY, READY, STILL_SERVING, VIP, service};

/// A cluster with the router `r`, to which everything is advertised.
fn advertised() -> Cluster {
    Cluster::new().peer("r", json!({})).bgp("all", json!({}))
}

fn of_all(verdict: [Result<&[&str], &'static str>; 2]) -> Vec<(String, Result<Vec<String>, &'static str>)> {
    let verdicts = verdict.map(|it| it.map(|peers| peers.iter().map(|peer| (*peer).to_owned()).collect()));
    ["n1", "n2"].into_iter().map(str::to_owned).zip(verdicts).collect()
}

#[test]
fn every_node_advertises_while_an_endpoint_serves_and_with_policy_local_those_that_have_one() {
    let r: Result<&[&str], _> = Ok(&["r"]);
    let (none, not_here) = (Err("noEndpoints"), Err("noLocalEndpoints"));
    let table: [(bool, &[At], _); 12] = [
        (false, &[], [none, none]),
        (false, &[("n1", READY)], [r, r]),
        (false, &[("n1", NOT_READY)], [none, none]),
        (false, &[("n1", NOT_READY), ("n2", READY)], [r, r]),
        (false, &[("n1", STILL_SERVING)], [r, r]),
        (false, &[("n1", GONE)], [none, none]),
        (true, &[], [none, none]),
        (true, &[("n1", READY)], [r, not_here]),
        (true, &[("n2", READY)], [not_here, r]),
        (true, &[("n1", NOT_READY), ("n2", READY)], [not_here, r]),
        (true, &[("n1", STILL_SERVING), ("n2", GONE)], [r, not_here]),
        (true, &[("n1", READY), ("n2", READY)], [r, r]),
    ];
    for (local, endpoints, expected) in table {
        let web = if local { service("web").local_traffic() } else { service("web") };
        let cluster = advertised().service(web, endpoints);
        assert_eq!(cluster.peers_of("web"), of_all(expected).into_iter().collect(), "{local} {endpoints:?}");
    }
}

#[test]
fn a_route_is_the_whole_address_where_nothing_else_is_asked_for() {
    let web = service("web").published_ips([VIP, "2001:db8::7"]);
    let cluster = advertised().service(web, &[("n1", READY)]);
    let expected = [("192.0.2.7/32".to_owned(), None, vec![]), ("2001:db8::7/128".to_owned(), None, vec![])];
    assert_eq!(cluster.routes("n1", "r"), expected);
}

#[test]
fn a_shorter_length_advertises_the_prefix_once_for_all_its_addresses() {
    let spec = json!({ "aggregationLength": 26, "aggregationLengthV6": 124 });
    let cluster = Cluster::new()
        .peer("r", json!({}))
        .bgp("wide", spec)
        .service(service("a").published_ips(["192.0.2.7", "2001:db8::7"]), &[("n1", READY)])
        .service(service("b").published_ips(["192.0.2.9", "192.0.2.70"]), &[("n1", READY)]);
    let prefixes: Vec<String> = cluster.routes("n1", "r").into_iter().map(|(prefix, ..)| prefix).collect();
    assert_eq!(prefixes, ["192.0.2.0/26", "192.0.2.64/26", "2001:db8::/124"]);
}

#[test]
fn a_prefix_that_is_wider_than_the_pool_is_not_advertised_and_others_are() {
    let cluster = Cluster::new()
        .peer("r", json!({}))
        .pool("small", json!({ "addresses": ["198.51.100.1-198.51.100.9"] }), json!({}))
        .bgp("wide", json!({ "aggregationLength": 24 }))
        .service(service("fits"), &[("n1", READY)])
        .service(service("too-wide").published_ips(["198.51.100.7"]), &[("n1", READY)]);
    assert_eq!(cluster.routes("n1", "r"), [("192.0.2.0/24".to_owned(), None, vec![])]);
    let advertised = cluster.bgp_of("n1").addresses.remove(&"198.51.100.7".parse().unwrap()).unwrap();
    let refusal = advertised.by_service.into_values().next().unwrap().unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "metallb-system/wide asks for a prefix of 24 bits, and the pool's widest there has 30: what is outside the pool is \
         not ours to advertise"
    );
}

#[test]
fn peers_are_all_or_those_that_are_named_and_those_that_are_not_there_are_passed_over() {
    let peers = |names: &[&str]| json!({ "peers": names });
    let table: [(&[&str], Result<&[&str], _>); 5] = [
        (&[], Ok(&["r", "s"])),
        (&["r"], Ok(&["r"])),
        (&["r", "s"], Ok(&["r", "s"])),
        (&["s", "gone"], Ok(&["s"])),
        (&["gone"], Err("noPeer")),
    ];
    for (named, expected) in table {
        let cluster = Cluster::new()
            .peer("r", json!({}))
            .peer("s", json!({}))
            .bgp("some", peers(named))
            .service(service("web"), &[("n1", READY)]);
        assert_eq!(cluster.peers_of("web"), of_all([expected, expected]).into_iter().collect(), "{named:?}");
        let has = |peer: &str| !cluster.routes("n1", peer).is_empty();
        let expected = expected.unwrap_or_default();
        assert_eq!((has("r"), has("s")), (expected.contains(&"r"), expected.contains(&"s")), "{named:?}");
    }
}

#[test]
fn a_node_without_a_session_advertises_nothing() {
    let only_n1 = json!({ "nodeSelectors": [{ "matchLabels": { "rack": "1" } }] });
    let cluster = Cluster::new()
        .node(a_node("n1").label("rack", "1"))
        .peer("r", only_n1)
        .bgp("all", json!({}))
        .service(service("web"), &[("n1", READY)]);
    assert_eq!(cluster.peers_of("web"), of_all([Ok(&["r"]), Err("noPeer")]).into_iter().collect());
    assert!(cluster.bgp_of("n2").wanted.is_empty());
}

#[test]
fn node_selectors_exclusion_and_network_keep_a_node_from_advertising() {
    let rack = json!({ "nodeSelectors": [{ "matchLabels": { "rack": "1" } }] });
    let cluster = Cluster::new()
        .node(a_node("n1").label("rack", "1"))
        .peer("r", json!({}))
        .bgp("rack", rack)
        .service(service("web"), &[("n1", READY)]);
    let expected = of_all([Ok(&["r"]), Err("noMatchingAdvertisement")]);
    assert_eq!(cluster.peers_of("web"), expected.into_iter().collect());

    let mut cluster = advertised()
        .node(a_node("n1").network_unavailable())
        .node(a_node("n2").excluded())
        .service(service("web"), &[("n1", READY)]);
    let expected = of_all([Err("nodeNetworkUnavailable"), Err("nodeLabeledExcludeBalancers")]);
    assert_eq!(cluster.peers_of("web"), expected.into_iter().collect());
    cluster.view.ignore_exclude_label = true;
    assert_eq!(cluster.peers_of("web")["n2"], Ok(vec!["r".to_owned()]));
}

#[test]
fn service_selectors_choose_the_services() {
    let chooses = |app: &str| json!({ "serviceSelectors": [{ "matchLabels": { "app": app } }] });
    let cluster = Cluster::new()
        .peer("r", json!({}))
        .bgp("web", chooses("web"))
        .service(service("web").label("app", "web"), &[("n1", READY)])
        .service(service("db").label("app", "db").published_ips(["192.0.2.8"]), &[("n1", READY)]);
    assert_eq!(cluster.routes("n1", "r"), [("192.0.2.7/32".to_owned(), None, vec![])]);
}

#[test]
fn communities_of_all_advertisements_of_a_prefix_are_united() {
    let cluster = Cluster::new()
        .peer("r", json!({}))
        .bgp("one", json!({ "communities": ["1:2"], "localPref": 150 }))
        .bgp("two", json!({ "communities": ["1:3", "1:2"], "localPref": 150 }))
        .service(service("web"), &[("n1", READY)]);
    assert_eq!(cluster.routes("n1", "r"), [("192.0.2.7/32".to_owned(), Some(150), vec![0x1_0002, 0x1_0003])]);
    assert_eq!(cluster.bgp_of("n1").conflicts, []);
}

#[test]
fn of_two_local_preferences_for_a_prefix_at_a_peer_the_older_advertisements_counts_and_it_is_told() {
    let table = [
        (json!({ "localPref": 100 }), json!({ "localPref": 200, "communities": ["1:2"] }), true),
        (json!({ "localPref": 200 }), json!({}), true),
        (json!({ "localPref": 200 }), json!({ "localPref": 200 }), false),
        (json!({ "localPref": 100, "peers": ["r"] }), json!({ "localPref": 200, "peers": ["s"] }), false),
        (json!({ "localPref": 100 }), json!({ "localPref": 200, "aggregationLength": 28 }), false),
        (
            json!({ "localPref": 100, "nodeSelectors": [{ "matchLabels": { "rack": "1" } }] }),
            json!({ "localPref": 200, "nodeSelectors": [{ "matchLabels": { "rack": "2" } }] }),
            false,
        ),
        (
            json!({ "localPref": 100, "serviceSelectors": [{ "matchLabels": { "app": "web" } }] }),
            json!({ "localPref": 200, "serviceSelectors": [{ "matchLabels": { "app": "db" } }] }),
            false,
        ),
        (
            json!({ "localPref": 100, "serviceSelectors": [{ "matchLabels": { "app": "web" } }] }),
            json!({ "localPref": 200, "serviceSelectors": [{ "matchExpressions": [{ "key": "app", "operator": "Exists" }] }] }),
            true,
        ),
    ];
    for (older, newer, conflict) in table {
        let cluster = Cluster::new()
            .node(a_node("n1").label("rack", "1"))
            .peer("r", json!({}))
            .peer("s", json!({}))
            .bgp("older", older.clone())
            .bgp("newer", newer.clone())
            .service(service("web").label("app", "web"), &[("n1", READY)]);
        let conflicts = cluster.bgp_of("n1").conflicts;
        assert_eq!(!conflicts.is_empty(), conflict, "{older} {newer}");
        if conflict {
            let (_, local_pref, communities) = cluster.routes("n1", "r").remove(0);
            assert_eq!(local_pref, older["localPref"].as_u64().map(|it| it as u32), "{older} {newer}");
            assert_eq!(communities, [0; 0], "the newer one has no say");
            let said = conflicts[0].to_string();
            assert!(said.contains("metallb-system/newer does not go with metallb-system/older"), "{said}");
        }
    }
}

#[test]
fn an_address_that_is_shared_is_advertised_while_one_of_its_services_can_be_served() {
    let local = |name: &str| service(name).local_traffic();
    let cluster = advertised().service(local("a"), &[("n1", READY)]).service(local("b"), &[("n2", READY)]);
    for node in ["n1", "n2"] {
        assert_eq!(cluster.routes(node, "r").len(), 1, "{node}");
    }
    let neither = advertised().service(local("a"), &[]).service(local("b"), &[]);
    assert_eq!(neither.routes("n1", "r"), []);
}
