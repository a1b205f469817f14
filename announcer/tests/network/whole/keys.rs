//! Announcers with different keys on one network.

use std::net::IpAddr;

use serde_json::json;

use super::cluster::NetworkCluster;
use super::machines::Running;
use crate::frr::scene::play;
use crate::lan::answers::{Client, serve};
use crate::lan::network::{Lan, until};

const ADDRESSES: [&str; 2] = ["10.9.0.200", "fd00:9::200"];
/// Only the second node has an endpoint for it.
const OF_SECOND: &str = "10.9.0.202";

#[test]
fn two_announcers_with_different_keys_are_told_by_name_on_their_nodes_and_no_address_moves() {
    play(
        "whole::keys::two_announcers_with_different_keys_are_told_by_name_on_their_nodes_and_no_address_moves",
        || async {
            let names = ["node-1", "node-2"];
            let cluster = NetworkCluster::start(&names).await;
            cluster.metallb("v1beta1", "L2Advertisement", "all", json!({})).await;
            cluster.publish("web", &ADDRESSES, json!({})).await;
            cluster.serve("web", &names).await;
            let local = json!({ "spec": { "externalTrafficPolicy": "Local" } });
            cluster.publish("of-second", &[OF_SECOND], local).await;
            cluster.serve("of-second", &["node-2"]).await;
            let lan = Lan::new();
            let machines = names.map(|_| lan.machine());
            let addresses = ADDRESSES.map(|ip| ip.parse::<IpAddr>().expect("an address"));
            for (machine, name) in machines.iter().zip(names) {
                addresses.iter().for_each(|ip| serve(machine, *ip, name));
            }
            let client = &cluster.cluster.client;
            let _first = Running::on(&machines[0], cluster.config("node-1", "one"), client);
            let asking = lan.machine();
            let of_second: IpAddr = OF_SECOND.parse().expect("an address");
            serve(&machines[1], of_second, "node-2");
            let of_second = Client::asks(&asking, of_second);
            let clients = addresses.map(|ip| Client::asks(&asking, ip));
            until("it answers", || clients.iter().all(|client| client.is_answered_by("node-1")));

            let _second = Running::on(&machines[1], cluster.config("node-2", "another"), client);
            for (node, other) in [("node-1", "node-2"), ("node-2", "node-1")] {
                let said = cluster.cluster.until_event_in("default", node, "HeartbeatRefused").await;
                assert!(
                    said.contains(&format!("in the name of node {other} is signed with another key")),
                    "{said}"
                );
            }
            // The rest works: it answers for what is its own.
            until("the other answers for what it alone may", || of_second.is_answered_by("node-2"));
            for client in clients {
                assert_eq!(client.ends().by, ["node-1"], "who had it has it");
            }
        },
    );
}
