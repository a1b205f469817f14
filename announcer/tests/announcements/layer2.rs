//! Who may answer on the local network. The cases are those of MetalLB's speaker (`speaker/layer2_controller_test.go`),
//! by what it does; which of the candidates answers is decided elsewhere.

use announcer::announcements::{self, Interfaces};
use cloud_provider::testing::a_node;
use serde_json::json;

use crate::cluster::{At, Cluster, GONE, NOT_READY, READY, STILL_SERVING, VIP, key, service};

fn names(names: &[&str]) -> Interfaces {
    Interfaces::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn with_policy_local_only_nodes_with_a_serving_endpoint_may_answer() {
    let table: [(&[At], &[&str]); 12] = [
        (&[], &[]),
        (&[("n1", READY)], &["n1"]),
        (&[("n2", READY)], &["n2"]),
        (&[("n1", READY), ("n2", READY)], &["n1", "n2"]),
        (&[("n1", NOT_READY)], &[]),
        (&[("n1", NOT_READY), ("n2", READY)], &["n2"]),
        (&[("n1", NOT_READY), ("n1", READY)], &["n1"]),
        (&[("n1", NOT_READY), ("n2", NOT_READY)], &[]),
        (&[("n1", STILL_SERVING), ("n2", NOT_READY)], &["n1"]),
        (&[("n1", STILL_SERVING), ("n2", READY)], &["n1", "n2"]),
        (&[("n1", GONE), ("n2", READY)], &["n2"]),
        (&[("elsewhere", READY)], &[]),
    ];
    for (endpoints, may_answer) in table {
        let cluster = Cluster::advertised().service(service("web").local_traffic(), endpoints);
        assert_eq!(cluster.may_answer(), may_answer, "{endpoints:?}");
    }
}

#[test]
fn with_policy_cluster_every_node_may_answer_as_soon_as_one_endpoint_serves_anywhere() {
    let table: [(&[At], bool); 5] = [
        (&[], false),
        (&[("n1", NOT_READY), ("n2", GONE)], false),
        (&[("n1", READY)], true),
        (&[("n1", STILL_SERVING)], true),
        (&[("elsewhere", READY)], true),
    ];
    for (endpoints, answered) in table {
        let cluster = Cluster::advertised().service(service("web"), endpoints);
        let expected: &[&str] = if answered { &["n1", "n2"] } else { &[] };
        assert_eq!(cluster.may_answer(), expected, "{endpoints:?}");
    }
}

#[test]
fn a_node_without_network_and_an_excluded_one_may_not_answer_whatever_the_policy() {
    for local in [false, true] {
        let web = if local { service("web").local_traffic() } else { service("web") };
        let mut cluster = Cluster::advertised()
            .node(a_node("n2").network_unavailable())
            .node(a_node("n3").excluded())
            .service(web, &[("n1", READY), ("n2", READY), ("n3", READY)]);
        let refused = [
            ("n1".to_owned(), Ok(0)),
            ("n2".to_owned(), Err("nodeNetworkUnavailable")),
            ("n3".to_owned(), Err("nodeLabeledExcludeBalancers")),
        ];
        assert_eq!(cluster.layer2_of_vip(), refused.into(), "local: {local}");
        cluster.view.ignore_exclude_label = true;
        assert_eq!(cluster.may_answer(), ["n1", "n3"], "local: {local}");
    }
}

#[test]
fn a_node_that_is_not_ready_cordoned_or_about_to_go_may_answer_as_its_endpoints_say() {
    let cluster = Cluster::advertised()
        .node(a_node("n1").going_away())
        .node(a_node("n2").deleting())
        .service(service("web").local_traffic(), &[("n1", READY), ("n2", READY)]);
    assert_eq!(cluster.may_answer(), ["n1", "n2"]);
}

#[test]
fn node_selectors_choose_the_nodes_and_those_of_several_advertisements_add_up() {
    let on = |zone: &str| json!({ "nodeSelectors": [{ "matchLabels": { "zone": zone } }] });
    let nodes = || {
        Cluster::new()
            .node(a_node("n1").label("zone", "a"))
            .node(a_node("n2").label("zone", "b"))
            .node(a_node("n3").label("zone", "c"))
    };
    let web = || (service("web"), [("n1", READY)]);
    let one = nodes().layer2("a", on("a")).service(web().0, &web().1);
    let not_chosen = Err("noMatchingAdvertisement");
    let only_n1 = [("n1", Ok(0)), ("n2", not_chosen), ("n3", not_chosen)];
    assert_eq!(one.layer2_of_vip(), only_n1.map(|(node, it)| (node.to_owned(), it)).into());
    let two = nodes().layer2("a", on("a")).layer2("b", on("b")).service(web().0, &web().1);
    assert_eq!(two.may_answer(), ["n1", "n2"]);
    let either = json!({ "nodeSelectors": [
        { "matchLabels": { "zone": "a" } }, { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["c"] }] },
    ] });
    assert_eq!(nodes().layer2("either", either).service(web().0, &web().1).may_answer(), ["n1", "n3"]);
}

#[test]
fn pools_are_chosen_by_name_by_label_or_all_at_once() {
    let table = [
        (json!({}), true),
        (json!({ "ipAddressPools": ["lan"] }), true),
        (json!({ "ipAddressPools": ["other"] }), false),
        (json!({ "ipAddressPools": ["no-such-pool"] }), false),
        (json!({ "ipAddressPools": ["no-such-pool", "lan"] }), true),
        (json!({ "ipAddressPoolSelectors": [{ "matchLabels": { "net": "office" } }] }), true),
        (json!({ "ipAddressPoolSelectors": [{ "matchLabels": { "net": "lab" } }] }), false),
        (
            json!({ "ipAddressPools": ["other"], "ipAddressPoolSelectors": [{ "matchLabels": { "net": "office" } }] }),
            true,
        ),
    ];
    for (spec, announced) in table {
        let mut cluster = Cluster::new()
            .pool("other", json!({ "addresses": ["198.51.100.0/24"] }), json!({}))
            .layer2("some", spec.clone())
            .service(service("web"), &[("n1", READY)]);
        let office = json!({ "addresses": ["203.0.113.0/24"] });
        cluster = cluster.pool("labelled", office, json!({ "net": "office" }));
        let labelled = service("labelled").published_ips(["203.0.113.1"]);
        let by_label = spec.get("ipAddressPoolSelectors").is_some();
        let (cluster, ip) = match by_label {
            true => (cluster.service(labelled, &[("n1", READY)]), "203.0.113.1"),
            false => (cluster, VIP),
        };
        let candidates = cluster.candidates(ip);
        assert_eq!(candidates["n1"].is_ok(), announced, "{spec}");
    }
}

#[test]
fn service_selectors_choose_the_services_and_one_that_fits_is_enough() {
    let app = |names: &[&str]| {
        let selectors: Vec<_> = names.iter().map(|name| json!({ "matchLabels": { "app": name } })).collect();
        json!({ "serviceSelectors": selectors })
    };
    for (chosen, announced) in
        [(vec![], true), (vec!["web"], true), (vec!["db"], false), (vec!["db", "web"], true)]
    {
        let cluster = Cluster::new()
            .layer2("some", app(&chosen))
            .service(service("web").label("app", "web"), &[("n1", READY)]);
        assert_eq!(!cluster.may_answer().is_empty(), announced, "{chosen:?}");
    }
}

#[test]
fn a_service_that_may_share_its_address_is_not_announced_where_services_are_chosen() {
    let chooses = json!({ "serviceSelectors": [{ "matchLabels": { "app": "web" } }] });
    let other = json!({ "serviceSelectors": [{ "matchLabels": { "app": "db" } }] });
    let web = || service("web").label("app", "web");
    let table = [
        (web(), true),
        (web().annotation("metallb.io/allow-shared-ip", "k"), false),
        (web().annotation("metallb.universe.tf/allow-shared-ip", "k"), false),
        (web().annotation("metallb.io/allow-shared-ip", ""), true),
    ];
    for (web, announced) in table {
        let cluster = Cluster::new().layer2("web", chooses.clone()).service(web, &[("n1", READY)]);
        assert_eq!(!cluster.may_answer().is_empty(), announced);
        if !announced {
            assert_eq!(cluster.layer2_of_vip()["n1"], Err("sharedIPWithServiceSelector"));
        }
    }
    let shared = web().annotation("metallb.io/allow-shared-ip", "k");
    let cluster = Cluster::advertised().layer2("db", other).service(shared, &[("n1", READY)]);
    assert_eq!(cluster.may_answer(), ["n1", "n2"], "the one that chooses does not choose it");
}

#[test]
fn interfaces_of_several_advertisements_add_up_and_one_that_names_none_has_all() {
    let on = |interfaces: &[&str]| json!({ "interfaces": interfaces });
    let table = [
        (vec![on(&["eth0"])], names(&["eth0"])),
        (vec![on(&["eth0", "eth1"])], names(&["eth0", "eth1"])),
        (vec![on(&["eth0"]), on(&["eth1"])], names(&["eth0", "eth1"])),
        (vec![on(&["eth0"]), json!({})], Interfaces::All),
    ];
    for (specs, interfaces) in table {
        let mut cluster = Cluster::new().service(service("web"), &[("n1", READY)]);
        for (i, spec) in specs.into_iter().enumerate() {
            cluster = cluster.layer2(&format!("ad-{i}"), spec);
        }
        assert_eq!(cluster.interfaces("n1"), interfaces);
    }
}

#[test]
fn interfaces_and_preferences_are_those_of_the_advertisements_that_choose_the_node() {
    let of = |zone: &str, interface: &str, weight: u8| {
        json!({
            "nodeSelectors": [{ "matchLabels": { "zone": zone } }],
            "interfaces": [interface],
            "preferredNodeSelectors": [{ "weight": weight, "preference": {} }],
        })
    };
    let cluster = Cluster::new()
        .node(a_node("n1").label("zone", "a"))
        .node(a_node("n2").label("zone", "b"))
        .layer2("a", of("a", "eth0", 3))
        .layer2("b", of("b", "eth1", 5))
        .service(service("web"), &[("n1", READY)]);
    assert_eq!(cluster.interfaces("n1"), names(&["eth0"]));
    assert_eq!(cluster.interfaces("n2"), names(&["eth1"]));
    assert_eq!(cluster.layer2_of_vip(), [("n1".to_owned(), Ok(3)), ("n2".to_owned(), Ok(5))].into());
}

#[test]
fn weights_of_all_that_fits_are_added_over_preferences_and_advertisements() {
    let prefers = |terms: &[(u8, &str)]| {
        let terms: Vec<_> = terms
            .iter()
            .map(|(weight, disk)| json!({ "weight": weight, "preference": { "matchLabels": { "disk": disk } } }))
            .collect();
        json!({ "preferredNodeSelectors": terms })
    };
    let everybody = json!({ "preferredNodeSelectors": [{ "weight": 1, "preference": {} }] });
    let cluster = Cluster::new()
        .node(a_node("n1").label("disk", "fast"))
        .layer2("one", prefers(&[(50, "fast"), (100, "slow")]))
        .layer2("two", prefers(&[(100, "fast"), (20, "fast")]))
        .layer2("three", everybody)
        .service(service("web"), &[("n1", READY)]);
    assert_eq!(cluster.layer2_of_vip(), [("n1".to_owned(), Ok(171)), ("n2".to_owned(), Ok(1))].into());
}

#[test]
fn policy_local_drops_a_preferred_node_without_endpoint() {
    let prefers_n2 = json!({ "preferredNodeSelectors": [{ "weight": 9, "preference": { "matchLabels": { "disk": "fast" } } }] });
    let cluster = Cluster::new()
        .node(a_node("n2").label("disk", "fast"))
        .layer2("n2", prefers_n2)
        .service(service("web").local_traffic(), &[("n1", READY)]);
    assert_eq!(
        cluster.layer2_of_vip(),
        [("n1".to_owned(), Ok(0)), ("n2".to_owned(), Err("noLocalEndpoints"))].into()
    );
}

#[test]
fn for_a_shared_address_those_nodes_may_answer_that_can_serve_all_who_have_it() {
    let share = |name: &str| service(name).annotation("metallb.io/allow-shared-ip", "k").local_traffic();
    let cluster = Cluster::advertised()
        .node(a_node("n3"))
        .service(share("a"), &[("n1", READY), ("n2", READY)])
        .service(share("b"), &[("n2", READY), ("n3", READY)]);
    let expected = [("n1", Err("notForAll")), ("n2", Ok(0)), ("n3", Err("notForAll"))];
    assert_eq!(cluster.layer2_of_vip(), expected.map(|(node, it)| (node.to_owned(), it)).into());
    let refusal = cluster.candidates(VIP)["n1"].clone().unwrap_err().to_string();
    assert_eq!(refusal, "the node cannot serve default/b, which has the same address");
    let announced = announcements::layer2(&cluster.view);
    let announcement = &announced[&VIP.parse().unwrap()];
    assert_eq!(announcement.services, [key("a"), key("b")].into());
    assert!(!announcement.torn);
}

#[test]
fn where_no_node_can_serve_all_who_share_an_address_those_may_answer_that_can_serve_one_and_it_is_told() {
    let cluster = Cluster::advertised()
        .service(service("a").local_traffic(), &[("n1", READY)])
        .service(service("b").local_traffic(), &[("n2", READY)]);
    assert_eq!(cluster.may_answer(), ["n1", "n2"]);
    assert!(announcements::layer2(&cluster.view)[&VIP.parse().unwrap()].torn);
}

#[test]
fn a_service_that_no_node_can_serve_has_no_say_in_who_answers_for_the_others() {
    let nowhere: [(_, &[At]); 3] = [
        (service("a"), &[]),
        (service("a").local_traffic(), &[]),
        (service("a").local_traffic(), &[("on-a-node-that-is-gone", READY)]),
    ];
    for (broken, endpoints) in nowhere {
        let cluster = Cluster::advertised()
            .service(broken, endpoints)
            .service(service("b").local_traffic(), &[("n2", READY)]);
        assert_eq!(cluster.may_answer(), ["n2"]);
        assert!(!announcements::layer2(&cluster.view)[&VIP.parse().unwrap()].torn);
    }
}

#[test]
fn addresses_of_one_service_are_judged_each_by_its_own_pool() {
    let cluster = Cluster::new()
        .pool("dmz", json!({ "addresses": ["198.51.100.0/24"] }), json!({}))
        .layer2("lan", json!({ "ipAddressPools": ["lan"] }))
        .service(service("web").published_ips([VIP, "2001:db8::7", "198.51.100.7"]), &[("n1", READY)]);
    assert!(cluster.candidates(VIP)["n1"].is_ok());
    assert!(cluster.candidates("2001:db8::7")["n1"].is_ok());
    let refusal = cluster.candidates("198.51.100.7")["n1"].clone().unwrap_err();
    assert_eq!(refusal.to_string(), "no advertisement takes addresses of pool \"dmz\"");
}
