//! Why nothing is announced, in words.

use announcer::announcements::{self, Hostname};
use cloud_provider::testing::a_service_named;
use cloud_provider::{ClassRule, Ingress, IpMode};
use serde_json::json;

use crate::cluster::{Cluster, READY, VIP, key, service};

fn vip() -> Ingress {
    Ingress::ip(VIP.parse().unwrap())
}

#[test]
fn what_refuses_an_address_as_a_whole_is_said_on_the_local_network_and_to_routers() {
    let chooses = json!({ "serviceSelectors": [{ "matchLabels": { "app": "web" } }] });
    let table = [
        (
            Cluster::new().layer2("a", json!({})).bgp("a", json!({})),
            service("s").published([vip().with_mode(IpMode::Proxy)]),
            "ipModeProxy",
            "its status has ipMode Proxy: nodes take no connection at the address itself, so nobody announces it",
        ),
        (
            Cluster::new(),
            service("s"),
            "noMatchingAdvertisement",
            "no advertisement takes addresses of pool \"lan\"",
        ),
        (
            Cluster::new().layer2("a", chooses.clone()).bgp("a", chooses),
            service("s"),
            "noMatchingAdvertisement",
            "the advertisements for pool \"lan\" have serviceSelectors that ask for other Services",
        ),
    ];
    for (cluster, service, word, sentence) in table {
        let cluster = cluster.service(service, &[("n1", READY)]);
        let on_the_lan = cluster.candidates(VIP)["n1"].clone().unwrap_err();
        assert_eq!((on_the_lan.as_str(), on_the_lan.to_string().as_str()), (word, sentence));
        assert_eq!(cluster.peers_of("s")["n1"], Err(word));
    }
}

#[test]
fn an_address_of_no_pool_is_not_announced() {
    let nobodys = a_service_named("default", "s").published_ips(["203.0.113.9"]);
    let cluster = Cluster::advertised().service(nobodys, &[("n1", READY)]);
    assert_eq!(cluster.candidates("203.0.113.9")["n1"].clone().unwrap_err().as_str(), "noPool");
}

#[test]
fn a_host_name_in_a_status_is_told_and_the_address_beside_it_is_announced() {
    let mixed = service("s").published([Ingress::hostname("lb.example.com"), vip()]);
    let cluster = Cluster::advertised().service(mixed, &[("n1", READY)]);
    let told = announcements::hostnames(&cluster.view);
    assert_eq!(told, [Hostname { service: key("s"), hostname: "lb.example.com".to_owned() }]);
    assert_eq!(cluster.may_answer(), ["n1", "n2"]);
}

#[test]
fn services_of_another_class_and_those_that_want_no_load_balancer_are_none_of_ours() {
    let mut cluster = Cluster::advertised()
        .service(service("ours").class("example.com/ours").published_ips(["192.0.2.1"]), &[("n1", READY)])
        .service(service("theirs").class("example.com/theirs").published_ips(["192.0.2.2"]), &[("n1", READY)])
        .service(service("none").not_wanting().published_ips(["192.0.2.3"]), &[("n1", READY)]);
    let addresses = |cluster: &Cluster| {
        announcements::layer2(&cluster.view).keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(addresses(&cluster), ["192.0.2.1", "192.0.2.2"], "every class, where none is chosen");
    cluster.view.classes = Some(ClassRule::Exactly("example.com/ours".to_owned()));
    assert_eq!(addresses(&cluster), ["192.0.2.1"]);
    assert_eq!(cluster.bgp_of("n1").addresses.len(), 1);
}

#[test]
fn a_node_that_is_not_known_announces_nothing_and_that_is_said() {
    let cluster = Cluster::advertised().bgp("b", json!({})).service(service("s"), &[("n1", READY)]);
    let announced = announcements::layer2(&cluster.view);
    let refusal = announced[&VIP.parse().unwrap()].on("n9").unwrap_err();
    assert_eq!(refusal.to_string(), "there is no Node \"n9\"");
    let advertised = cluster.bgp_of("n9");
    assert!(advertised.wanted.is_empty());
    assert_eq!(advertised.addresses[&VIP.parse().unwrap()].by_service[&key("s")], Err(refusal));
}
