//! A node whose link has no link-local address.

use std::net::IpAddr;

use serde_json::json;

use super::cluster::NetworkCluster;
use super::machines::{Running, by_rank};
use crate::frr::scene::play;
use crate::lan::answers::{Client, serve};
use crate::lan::network::{Lan, until};

const V4: &str = "10.9.0.200";
const V6: &str = "fd00:9::200";

/// It would come first for both addresses. Its kernel could not look for a client of the one of IPv6, so nobody would ever be
/// answered.
#[test]
fn a_node_without_a_link_local_address_says_so_and_leaves_addresses_of_ipv6_to_others() {
    play(
        "whole::link_local::a_node_without_a_link_local_address_says_so_and_leaves_addresses_of_ipv6_to_others",
        || async {
            let addresses = [V4, V6].map(|ip| ip.parse::<IpAddr>().expect("an address"));
            let names = by_rank(&addresses);
            let [without, with] = names;
            let cluster = NetworkCluster::start(&names).await;
            cluster.metallb("v1beta1", "L2Advertisement", "all", json!({})).await;
            cluster.publish("web", &[V4, V6], json!({})).await;
            cluster.serve("web", &names).await;
            let lan = Lan::new();
            let machines = names.map(|_| lan.machine());
            machines[0].ip("-6 address flush dev eth0 scope link");
            let mut running = Vec::new();
            for (machine, name) in machines.iter().zip(names) {
                addresses.iter().for_each(|ip| serve(machine, *ip, name));
                running.push(Running::on(machine, cluster.config(name, "key"), &cluster.cluster.client));
            }

            let asking = lan.machine();
            let [v4, v6] = addresses.map(|ip| Client::asks(&asking, ip));
            until("the address of IPv6 is answered for by the other", || v6.is_answered_by(with));
            until("that of IPv4 by whoever comes first", || v4.is_answered_by(without));
            let said = cluster.cluster.until_event_in("default", without, "NoLinkLocalAddress").await;
            assert!(said.contains("link eth0 has no link-local address"), "{said}");

            // It comes into its own again once it has one: where it is alone.
            machines[0].ip("address add fe80::42/64 dev eth0 nodad");
            running.pop();
            until("it answers for both", || v6.is_answered_by(without) && v4.is_answered_by(without));
        },
    );
}
