//! From a Service to a Network Load Balancer, through its changes, to nothing.

use serde_json::json;
use tests::aws::LoadBalancer;
use tests::cluster::addresses;

use crate::fixture::Fixture;

const PREFIX: &str = "service.beta.kubernetes.io";

/// The ports of a Service as targets see them.
async fn node_ports(fixture: &Fixture, name: &str) -> Vec<i32> {
    let service = fixture.cluster.service(name).await;
    let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
    ports.iter().filter_map(|port| port.node_port).collect()
}

fn target_ports(balancer: &LoadBalancer) -> Vec<i32> {
    let registered = balancer.target_groups.iter().filter_map(|(_, targets)| targets.first());
    registered.map(|(_, port)| *port).collect()
}

#[tokio::test]
async fn a_service_becomes_a_load_balancer_and_nothing_of_it_stays() {
    let fixture = Fixture::start().await;
    let mut instances = vec![fixture.add_node("n1").await, fixture.add_node("node2").await];
    instances.sort();
    let running = fixture.run();

    let ports = json!([{ "name": "http", "port": 80 }, { "name": "https", "port": 443 }]);
    fixture.create("web", json!({ "spec": { "ports": ports } })).await;
    let balancer = fixture.served("web").await;

    assert_eq!(addresses(&fixture.cluster.service("web").await), [balancer.host_name.as_str()]);
    assert_eq!(balancer.scheme, "internal");
    let mut private: Vec<_> = fixture.network.private.iter().map(|subnet| subnet.id.clone()).collect();
    private.sort();
    assert_eq!(balancer.subnets, private);
    assert_eq!(balancer.ports(), ["TCP:80", "TCP:443"]);
    assert_eq!(balancer.instances(), Some(instances));
    let mut wanted = node_ports(&fixture, "web").await;
    let mut registered = target_ports(&balancer);
    wanted.sort_unstable();
    registered.sort_unstable();
    assert_eq!(registered, wanted);
    assert_eq!(balancer.security_groups.len(), 2, "its own, and the one that the nodes let in");
    for (key, value) in [
        ("elbv2.k8s.aws/cluster", fixture.name.clone()),
        ("service.k8s.aws/stack", format!("{}/web", fixture.cluster.namespace)),
        ("service.k8s.aws/resource", "LoadBalancer".to_owned()),
    ] {
        assert!(balancer.tags.contains(&(key.to_owned(), value)), "{key} among {:?}", balancer.tags);
    }

    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn ports_come_and_go_as_listeners() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();
    let before = fixture.serve("web").await;

    let both = json!([{ "name": "http", "port": 80 }, { "name": "https", "port": 443 }]);
    fixture.cluster.change("web", json!({ "spec": { "ports": both } })).await;
    let grown = fixture.until("two listeners", |b| b.ports() == ["TCP:80", "TCP:443"]).await;
    assert_eq!(grown.arn, before.arn);

    fixture.cluster.change("web", json!({ "spec": { "ports": [{ "name": "https", "port": 443 }] } })).await;
    // Listeners and target groups are read one after the other, and change meanwhile.
    let is_shrunk = |b: &LoadBalancer| b.ports() == ["TCP:443"] && b.target_groups.len() == 1;
    let shrunk = fixture.until("the other port with its target group alone", is_shrunk).await;
    assert_eq!(shrunk.arn, before.arn);

    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn tcp_and_udp_on_one_port_share_a_listener() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();

    let ports = json!([
        { "name": "tcp", "port": 53, "protocol": "TCP" },
        { "name": "udp", "port": 53, "protocol": "UDP" },
    ]);
    fixture.create("dns", json!({ "spec": { "ports": ports } })).await;

    assert_eq!(fixture.served("dns").await.ports(), ["TCP_UDP:53"]);
    fixture.delete_all(["dns"]).await;
    running.stop().await;
}

#[tokio::test]
async fn an_annotation_that_changes_changes_the_load_balancer() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();
    let before = fixture.serve("web").await;
    let cross_zone = "load_balancing.cross_zone.enabled";
    assert_eq!(fixture.network.attribute(&before.arn, cross_zone).await.as_deref(), Some("false"));

    let annotations = json!({
        format!("{PREFIX}/aws-load-balancer-attributes"): format!("{cross_zone}=true"),
        format!("{PREFIX}/aws-load-balancer-additional-resource-tags"): "team=green",
    });
    fixture.cluster.change("web", json!({ "metadata": { "annotations": annotations } })).await;

    let green = ("team".to_owned(), "green".to_owned());
    let after = fixture.until("the new tag", |b| b.tags.contains(&green)).await;
    assert_eq!(after.arn, before.arn);
    fixture.served("web").await;
    assert_eq!(fixture.network.attribute(&after.arn, cross_zone).await.as_deref(), Some("true"));
    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn source_ranges_are_the_rules_of_its_security_group() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();

    fixture.create("web", json!({ "spec": { "loadBalancerSourceRanges": ["192.0.2.0/24"] } })).await;
    let balancer = fixture.served("web").await;
    fixture.until_open_to(&balancer, &["192.0.2.0/24"]).await;

    let ranges = json!(["192.0.2.0/24", "198.51.100.0/24"]);
    fixture.cluster.change("web", json!({ "spec": { "loadBalancerSourceRanges": ranges } })).await;
    fixture.until_open_to(&balancer, &["192.0.2.0/24", "198.51.100.0/24"]).await;

    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn another_scheme_is_another_load_balancer() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();
    let before = fixture.serve("web").await;

    let annotation = json!({ format!("{PREFIX}/aws-load-balancer-scheme"): "internet-facing" });
    fixture.cluster.change("web", json!({ "metadata": { "annotations": annotation } })).await;

    let after = fixture.until("face the internet", |b| b.scheme == "internet-facing").await;
    assert_ne!(after.arn, before.arn);
    let mut public: Vec<_> = fixture.network.public.iter().map(|subnet| subnet.id.clone()).collect();
    public.sort();
    assert_eq!(after.subnets, public);
    let shown =
        fixture.cluster.until("web", "to show the new one", |s| addresses(s) == [after.host_name.clone()]);
    shown.await;
    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_mistake_makes_nothing_and_mending_it_makes_all() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();

    let scheme = format!("{PREFIX}/aws-load-balancer-scheme");
    fixture.create("web", json!({ "metadata": { "annotations": { &scheme: "internet-faced" } } })).await;
    let message = fixture.cluster.until_event("web", "SyncLoadBalancerFailed").await;
    assert!(message.contains(&scheme) && message.contains("internet-faced"), "{message}");
    assert_eq!(fixture.network.leftovers().await, tests::aws::NOTHING);

    fixture.cluster.change("web", json!({ "metadata": { "annotations": { &scheme: "internal" } } })).await;
    assert_eq!(fixture.served("web").await.scheme, "internal");
    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn one_service_going_leaves_the_others_alone() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();
    let keeps = fixture.serve("keeps").await;
    fixture.serve("goes").await;

    fixture.cluster.delete("goes").await;
    fixture.cluster.until_gone("goes").await;

    let left = fixture.network.load_balancers().await;
    assert_eq!(left.iter().map(|b| &b.arn).collect::<Vec<_>>(), [&keeps.arn]);
    assert_eq!((left[0].ports(), left[0].instances()), (keeps.ports(), keeps.instances()));
    fixture.delete_all(["keeps"]).await;
    running.stop().await;
}
