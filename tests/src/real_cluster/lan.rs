//! The LAN: a switch, a cable from each machine to it, addresses of both families, and the routes between Pods.
//!
//! The switch is a namespace of its own. Where kube-proxy ran beside a bridge, the frames that only pass through would
//! be translated, too, and nobody would answer.

use std::path::Path;

use super::error::ClusterError;
use super::machine::{Machine, run};

/// The control plane's address.
pub(super) const PLANE: &str = "10.99.0.1";

/// Addresses of the LAN for a pool of a test: of both families, and no machine has them.
pub const POOL: [&str; 2] = ["10.99.0.200-10.99.0.219", "fd00:10:99::200-fd00:10:99::219"];

/// The last part of each machine's addresses.
fn number(machine: &str) -> u8 {
    match machine {
        "plane" => 1,
        "node-1" => 11,
        "node-2" => 12,
        _ => 50,
    }
}

/// A machine's addresses on the LAN.
pub fn addresses(machine: &str) -> [String; 2] {
    let number = number(machine);
    [format!("10.99.0.{number}"), format!("fd00:10:99::{number}")]
}

/// The ranges of the Pods of a node.
pub(super) fn pods(node: &str) -> [String; 2] {
    let number = number(node);
    [format!("10.244.{number}.0/24"), format!("fd00:10:244:{number}::/64")]
}

/// The ranges of the Pods of all nodes.
pub(super) const PODS: &str = "10.244.0.0/16,fd00:10:244::/48";

/// The bridge that a node's Pods are plugged into.
pub(super) const POD_BRIDGE: &str = "pods";

/// The machines, with their cables plugged in.
#[derive(Debug)]
pub(crate) struct Lan {
    switch: Machine,
    pub(super) plane: Machine,
    pub(crate) nodes: [Machine; 2],
    pub(crate) client: Machine,
    /// Where the host, which is not on the LAN, finds the API server.
    pub(super) server: String,
}

impl Lan {
    /// Makes it. `folder` holds the namespaces, and `tag` is in the name of the one device that the host itself gets.
    pub(crate) fn make(folder: &Path, tag: &str) -> Result<Self, ClusterError> {
        let make = |name| Machine::make(name, folder);
        let switch = make("switch")?;
        let [plane, client] = [make("plane")?, make("client")?];
        let nodes = [make("node-1")?, make("node-2")?];
        switch.ip(&["link add lan type bridge".to_owned(), "link set lan up".to_owned()])?;
        for machine in nodes.iter().chain([&plane, &client]) {
            plug_in(&switch, machine)?;
        }
        for (node, hardware) in nodes.iter().zip(["02:00:00:00:00:01", "02:00:00:00:00:02"]) {
            // Where nobody gives it one, a bridge takes the lowest of its ports' hardware addresses: it would change as
            // Pods come and go, and the others would send to the old one for seconds.
            node.ip(&[format!("link add {POD_BRIDGE} address {hardware} type bridge")])?;
            let forward =
                "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
            node.run("sh", &["-c", forward])?;
        }
        for (machine, through) in
            [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0]), (&plane, &nodes[0]), (&plane, &nodes[1])]
        {
            machine.ip(&routes(through.name()))?;
        }
        let server = uplink(&plane, tag)?;
        Ok(Lan { switch, plane, nodes, client, server })
    }

    /// Pulls the cable of a machine, or plugs it in again.
    pub(crate) fn cable(&self, machine: &str, is_in: bool) -> Result<(), ClusterError> {
        let state = if is_in { "up" } else { "down" };
        self.switch.ip(&[format!("link set {machine} {state}")])
    }

    /// Takes the port of a machine out of the switch, or puts it back: nothing comes through, and the machine's link has a
    /// carrier all the same. To the others it is as if its power were cut.
    pub(crate) fn port(&self, machine: &str, is_in: bool) -> Result<(), ClusterError> {
        let of = if is_in { "master lan" } else { "nomaster" };
        self.switch.ip(&[format!("link set {machine} {of}")])
    }
}

fn plug_in(switch: &Machine, machine: &Machine) -> Result<(), ClusterError> {
    let name = machine.name();
    switch.ip(&[
        format!("link add {name} type veth peer name eth0 netns {}", machine.namespace().display()),
        format!("link set {name} master lan up"),
    ])?;
    let [v4, v6] = addresses(name);
    // kube-apiserver and kube-proxy want a default route, though there is nothing beyond the LAN.
    let [gateway4, gateway6] = addresses(if name == "plane" { "client" } else { "plane" });
    machine.ip(&[
        format!("address add {v4}/24 dev eth0"),
        format!("address add {v6}/64 dev eth0 nodad"),
        "link set eth0 up".to_owned(),
        format!("route add default via {gateway4}"),
        format!("route add default via {gateway6}"),
    ])
}

/// The way to a node's Pods.
fn routes(node: &str) -> [String; 2] {
    let ([v4, v6], [pods4, pods6]) = (addresses(node), pods(node));
    [format!("route add {pods4} via {v4}"), format!("route add {pods6} via {v6}")]
}

/// The name of the host's end of the cable to a cluster.
pub(super) fn uplink_name(tag: &str) -> String {
    format!("clb-{tag}")
}

/// A cable from the host to the control plane, in a range that is for tests of networks (RFC 2544) and is routed nowhere;
/// each cluster has four addresses of it.
fn uplink(plane: &Machine, tag: &str) -> Result<String, ClusterError> {
    let name = uplink_name(tag);
    let number = u32::from_str_radix(tag, 16).unwrap_or_default() % (1 << 15);
    let address = |last: u32| std::net::Ipv4Addr::from(0xc612_0000 + number * 4 + last);
    let ip = |line: String| {
        let mut ip = std::process::Command::new("ip");
        ip.args(line.split(' '));
        run(ip).map(drop)
    };
    ip(format!("link add {name} type veth peer name uplink netns {}", plane.namespace().display()))?;
    ip(format!("address add {}/30 dev {name}", address(1)))?;
    ip(format!("link set {name} up"))?;
    plane.ip(&[format!("address add {}/30 dev uplink", address(2)), "link set uplink up".to_owned()])?;
    Ok(address(2).to_string())
}
