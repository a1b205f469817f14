//! The program itself, on two nodes, and FRR as their router.

use std::collections::BTreeSet;
use std::process::Command;

use announcer::status::object::StatusKey;
use cloud_provider::ServiceKey;
use kube::api::Api;
use metallb::crd::{AnnouncementProtocol, ServiceBGPStatus};
use serde_json::json;
use tests::process::{Access, Program, command};
use tests::programs;

use super::cluster::NetworkCluster;
use crate::frr::router::{Node, OUR_AS, ROUTER_AS, Router};
use crate::frr::scene::{play, until};

const IP: &str = "198.51.100.7";
const NODES: [(&str, Node); 2] = [("node-1", Node(1)), ("node-2", Node(2))];

/// A cluster of two nodes with policy Local, a router, and a peer for each node, whose sessions outlive a restart.
struct Scene {
    network: NetworkCluster,
    router: Router,
    access: Access,
}

impl Scene {
    async fn start() -> Self {
        let network = NetworkCluster::start(&NODES.map(|(name, _)| name)).await;
        let lines = format!("neighbor NODE remote-as {OUR_AS}");
        let router = Router::start(&Router::peers_over_v4(&lines, &NODES.map(|(_, node)| node))).await;
        network.metallb("v1beta1", "BGPAdvertisement", "all", json!({})).await;
        for (name, node) in NODES {
            let peer = json!({
                "myASN": OUR_AS, "peerASN": ROUTER_AS,
                "peerAddress": node.router_v4(), "sourceAddress": node.v4(), "routerID": node.v4(),
                "connectTime": "1s", "enableGracefulRestart": true,
                "nodeSelectors": [{ "matchLabels": { "kubernetes.io/hostname": name } }],
            });
            network.metallb("v1beta2", "BGPPeer", &format!("router-of-{name}"), peer).await;
        }
        let local = json!({ "spec": { "externalTrafficPolicy": "Local" } });
        network.publish("web", &[IP], local).await;
        network.serve("web", &["node-1", "node-2"]).await;
        let access = Access::with(&network.cluster.plane.kubeconfig_yaml());
        Scene { network, router, access }
    }

    /// The program on a node, in a Pod of this name. All nodes are where the scene runs, and tell routers alone.
    fn program(&self, node: &str, pod: &str) -> Program {
        let mut program: Command = command("cloud-lb-announcer");
        let key = self.access.file("key", "the key of a scene with a router");
        program.env("KUBECONFIG", self.access.kubeconfig());
        for (variable, value) in [
            ("NODE_NAME", node),
            ("POD_NAMESPACE", &self.network.cluster.namespace),
            ("POD_NAME", pod),
            ("POD_UID", pod),
        ] {
            program.env(variable, value);
        }
        program.args(["--http-address", "127.0.0.1:0", "--excluded-links", ".*", "--key-file"]).arg(key);
        Program::spawn(program)
    }

    /// Waits until the router's kernel leads there by these nodes and no other.
    #[track_caller]
    fn leads_by(&self, nodes: &[Node]) -> impl Future<Output = std::time::Duration> {
        let ways: BTreeSet<String> = nodes.iter().map(|node| node.v4().to_string()).collect();
        until("the ways in the router's kernel", ways, || self.router.ways(IP))
    }

    async fn assigned(&self, service: &str) -> usize {
        let events = self.network.cluster.events(service).await;
        events.iter().filter(|(_, reason, ..)| reason == "nodeAssigned").count()
    }
}

#[test]
fn a_service_reaches_the_routers_kernel_by_the_nodes_with_an_endpoint_and_leaves_it_with_the_last() {
    programs::folder();
    play(
        "whole::router::a_service_reaches_the_routers_kernel_by_the_nodes_with_an_endpoint_and_leaves_it_with_the_last",
        || async {
            let scene = Scene::start().await;
            let _programs = NODES.map(|(name, _)| scene.program(name, &format!("announcer-of-{name}")));
            let [(_, first), (_, second)] = NODES;
            scene.leads_by(&[first, second]).await;

            scene.network.serve("web", &["node-2"]).await;
            let took = scene.leads_by(&[second]).await;
            println!(
                "measured: from an endpoint that went to the router's kernel without that node: {took:?}"
            );
            scene.network.serve("web", &[]).await;
            scene.leads_by(&[]).await;
            scene.network.serve("web", &["node-1"]).await;
            scene.leads_by(&[first]).await;
        },
    );
}

#[test]
fn a_program_that_is_killed_and_starts_again_changes_no_route_and_tells_no_assignment_again() {
    programs::folder();
    play(
        "whole::router::a_program_that_is_killed_and_starts_again_changes_no_route_and_tells_no_assignment_again",
        || async {
            let scene = Scene::start().await;
            let [(name, node), (_, second)] = NODES;
            let first_life = scene.program(name, "first-life");
            let _other = scene.program("node-2", "other");
            scene.leads_by(&[node, second]).await;
            scene.network.cluster.until_event("web", "nodeAssigned").await;
            until("both nodes have told it", true, || {
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(scene.assigned("web")) == 2
                })
            })
            .await;
            let watch = scene.router.watch_routes().await;
            // Killed, not told to end.
            drop(first_life);
            until("the router notices", false, || {
                let state = scene.router.shows(&format!("bgp neighbors {}", node.v4()));
                state[node.v4().to_string()]["bgpState"] == "Established"
            })
            .await;

            let _second_life = scene.program(name, "second-life");
            let key = ServiceKey::new(&scene.network.cluster.namespace, "web");
            let object = StatusKey::of(AnnouncementProtocol::Bgp, &key, name).name;
            let statuses: Api<ServiceBGPStatus> =
                Api::namespaced(scene.network.cluster.client.clone(), &scene.network.cluster.namespace);
            let is_of_the_second = |it: Option<&ServiceBGPStatus>| {
                let owners = it.and_then(|it| it.metadata.owner_references.clone()).unwrap_or_default();
                owners.iter().any(|owner| owner.uid == "second-life")
            };
            tests::cluster::until(statuses, &object, "to be of the second life", is_of_the_second).await;
            // What is new is told, after what was written before it.
            scene.network.publish("new", &["198.51.100.8"], json!({})).await;
            scene.network.serve("new", &[name]).await;
            scene.network.cluster.until_event("new", "nodeAssigned").await;
            assert_eq!(scene.assigned("web").await, 2, "once by each node");
            scene.leads_by(&[node, second]).await;
            let changes = watch.changes(IP);
            assert!(changes.is_empty(), "the route was there all the time: {changes:?}");
        },
    );
}
