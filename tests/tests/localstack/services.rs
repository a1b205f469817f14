//! From a Service to a Network Load Balancer, through its changes, to nothing.

use serde_json::json;
use tests::aws::LoadBalancer;
use tests::cluster::addresses;

use crate::world::World;

const PREFIX: &str = "service.beta.kubernetes.io";

/// The ports of a Service as targets see them.
async fn node_ports(world: &World, name: &str) -> Vec<i32> {
    let service = world.cluster.service(name).await;
    let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
    ports.iter().filter_map(|port| port.node_port).collect()
}

fn target_ports(balancer: &LoadBalancer) -> Vec<i32> {
    let registered = balancer.target_groups.iter().filter_map(|(_, targets)| targets.first());
    registered.map(|(_, port)| *port).collect()
}

#[tokio::test]
async fn a_service_becomes_a_load_balancer_and_nothing_of_it_stays() {
    let world = World::start().await;
    let mut instances = vec![world.add_node("n1").await, world.add_node("node2").await];
    instances.sort();
    let running = world.run();

    let ports = json!([{ "name": "http", "port": 80 }, { "name": "https", "port": 443 }]);
    world.create("web", json!({ "spec": { "ports": ports } })).await;
    let balancer = world.served("web").await;

    assert_eq!(addresses(&world.cluster.service("web").await), [balancer.host_name.as_str()]);
    assert_eq!(balancer.scheme, "internal");
    let mut private: Vec<_> = world.network.private.iter().map(|subnet| subnet.id.clone()).collect();
    private.sort();
    assert_eq!(balancer.subnets, private);
    assert_eq!(balancer.ports(), ["TCP:80", "TCP:443"]);
    assert_eq!(balancer.instances(), Some(instances));
    let mut wanted = node_ports(&world, "web").await;
    let mut registered = target_ports(&balancer);
    wanted.sort_unstable();
    registered.sort_unstable();
    assert_eq!(registered, wanted);
    assert_eq!(balancer.security_groups.len(), 2, "its own, and the one that the nodes let in");
    for (key, value) in [
        ("elbv2.k8s.aws/cluster", world.name.clone()),
        ("service.k8s.aws/stack", format!("{}/web", world.cluster.namespace)),
        ("service.k8s.aws/resource", "LoadBalancer".to_owned()),
    ] {
        assert!(balancer.tags.contains(&(key.to_owned(), value)), "{key} among {:?}", balancer.tags);
    }

    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn ports_come_and_go_as_listeners() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();
    let before = world.serve("web").await;

    let both = json!([{ "name": "http", "port": 80 }, { "name": "https", "port": 443 }]);
    world.cluster.change("web", json!({ "spec": { "ports": both } })).await;
    let grown = world.until("two listeners", |b| b.ports() == ["TCP:80", "TCP:443"]).await;
    assert_eq!(grown.arn, before.arn);

    world.cluster.change("web", json!({ "spec": { "ports": [{ "name": "https", "port": 443 }] } })).await;
    let shrunk = world.until("one target group", |b| b.target_groups.len() == 1).await;
    assert_eq!(shrunk.arn, before.arn);
    assert_eq!(shrunk.ports(), ["TCP:443"]);

    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn tcp_and_udp_on_one_port_share_a_listener() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();

    let ports = json!([
        { "name": "tcp", "port": 53, "protocol": "TCP" },
        { "name": "udp", "port": 53, "protocol": "UDP" },
    ]);
    world.create("dns", json!({ "spec": { "ports": ports } })).await;

    assert_eq!(world.served("dns").await.ports(), ["TCP_UDP:53"]);
    world.delete_all(["dns"]).await;
    running.stop().await;
}

#[tokio::test]
async fn an_annotation_that_changes_changes_the_load_balancer() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();
    let before = world.serve("web").await;
    let cross_zone = "load_balancing.cross_zone.enabled";
    assert_eq!(world.network.attribute(&before.arn, cross_zone).await.as_deref(), Some("false"));

    let annotations = json!({
        format!("{PREFIX}/aws-load-balancer-attributes"): format!("{cross_zone}=true"),
        format!("{PREFIX}/aws-load-balancer-additional-resource-tags"): "team=green",
    });
    world.cluster.change("web", json!({ "metadata": { "annotations": annotations } })).await;

    let green = ("team".to_owned(), "green".to_owned());
    let after = world.until("the new tag", |b| b.tags.contains(&green)).await;
    assert_eq!(after.arn, before.arn);
    world.served("web").await;
    assert_eq!(world.network.attribute(&after.arn, cross_zone).await.as_deref(), Some("true"));
    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn source_ranges_are_the_rules_of_its_security_group() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();

    world.create("web", json!({ "spec": { "loadBalancerSourceRanges": ["192.0.2.0/24"] } })).await;
    let balancer = world.served("web").await;
    world.until_open_to(&balancer, &["192.0.2.0/24"]).await;

    let ranges = json!(["192.0.2.0/24", "198.51.100.0/24"]);
    world.cluster.change("web", json!({ "spec": { "loadBalancerSourceRanges": ranges } })).await;
    world.until_open_to(&balancer, &["192.0.2.0/24", "198.51.100.0/24"]).await;

    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn another_scheme_is_another_load_balancer() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();
    let before = world.serve("web").await;

    let annotation = json!({ format!("{PREFIX}/aws-load-balancer-scheme"): "internet-facing" });
    world.cluster.change("web", json!({ "metadata": { "annotations": annotation } })).await;

    let after = world.until("face the internet", |b| b.scheme == "internet-facing").await;
    assert_ne!(after.arn, before.arn);
    let mut public: Vec<_> = world.network.public.iter().map(|subnet| subnet.id.clone()).collect();
    public.sort();
    assert_eq!(after.subnets, public);
    let shown =
        world.cluster.until("web", "to show the new one", |s| addresses(s) == [after.host_name.clone()]);
    shown.await;
    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_mistake_makes_nothing_and_mending_it_makes_all() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();

    let scheme = format!("{PREFIX}/aws-load-balancer-scheme");
    world.create("web", json!({ "metadata": { "annotations": { &scheme: "internet-faced" } } })).await;
    let message = world.cluster.until_event("web", "SyncLoadBalancerFailed").await;
    assert!(message.contains(&scheme) && message.contains("internet-faced"), "{message}");
    assert_eq!(world.network.leftovers().await, tests::aws::NOTHING);

    world.cluster.change("web", json!({ "metadata": { "annotations": { &scheme: "internal" } } })).await;
    assert_eq!(world.served("web").await.scheme, "internal");
    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn one_service_going_leaves_the_others_alone() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();
    let keeps = world.serve("keeps").await;
    world.serve("goes").await;

    world.cluster.delete("goes").await;
    world.cluster.until_gone("goes").await;

    let left = world.network.load_balancers().await;
    assert_eq!(left.iter().map(|b| &b.arn).collect::<Vec<_>>(), [&keeps.arn]);
    assert_eq!((left[0].ports(), left[0].instances()), (keeps.ports(), keeps.instances()));
    world.delete_all(["keeps"]).await;
    running.stop().await;
}
