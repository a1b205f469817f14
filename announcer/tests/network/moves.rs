//! How long an address is silent while it moves from one node to another, and how long two nodes answer for it once a network
//! that was cut in two is whole again:
//!
//! ```sh
//! cargo bench --package announcer --bench moves
//! ```
//!
//! A client asks every 10 ms, and what is printed is the longest time between two answers. `cargo bench --package tests
//! --bench silence` has MetalLB's speaker beside it, in a cluster.

// Parts of the suite `network`, of which this needs but a few.
#[allow(dead_code)]
mod lan {
    pub(crate) mod answers;
    pub(crate) mod network;
    pub(crate) mod node;
}
#[allow(dead_code)]
mod namespaces;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lan::answers::{Client, resolve, serve};
use lan::network::{Lan, Machine, scene, until};
use lan::node::Node;

/// How often each is measured, in each family.
const TIMES: usize = 20;

const ADDRESSES: [&str; 2] = ["10.9.0.200", "fd00:9::200"];

/// What happens to the node that answers.
type Happens = fn(&Lan, &Node);

const MOVES: [(&str, Happens); 4] = [
    ("the power is cut", |lan, node| {
        lan.cut(node.machine());
        node.kill();
    }),
    ("the cable is pulled", |lan, node| lan.pull(node.machine())),
    ("the process is killed", |_, node| node.kill()),
    ("it is told to end", |_, node| node.leave()),
];

fn main() {
    scene("moves", |_| {
        for address in ADDRESSES {
            let ip: IpAddr = address.parse().expect("an address");
            for (what, happens) in MOVES {
                told(&format!("{address}: {what}: silent"), || silence(&Lan::new(), ip, happens));
            }
            let what = format!("{address}: a network cut in two is whole again: two nodes answer");
            told(&what, || two_owners(&Lan::new(), ip));
        }
        // As the test harness says it, by which whoever started this program knows that it came to its end.
        println!("1 passed");
    });
}

/// Measures often, and tells what came of it.
fn told(what: &str, measure: impl Fn() -> Duration) {
    let mut took: Vec<Duration> = std::iter::repeat_with(measure).take(TIMES).collect();
    took.sort_unstable();
    let (median, most) = (took[took.len() / 2].as_millis(), took[took.len() - 1].as_millis());
    println!("measured: {what} for {median} ms (median of {TIMES}), {most} ms at most");
}

/// Two nodes that may both announce an address; the one that does comes first.
fn two_nodes(lan: &Lan, ip: IpAddr) -> [Node; 2] {
    let nodes = [Node::start(lan, "a"), Node::start(lan, "b")];
    for node in &nodes {
        serve(node.machine(), ip, node.name());
        node.want(ip, &["a", "b"]);
    }
    until("one of them answers for it", || nodes.iter().any(|node| node.holds(ip)));
    until("they hear each other", || nodes.iter().all(|node| node.reports()[0].peers.len() == 1));
    let [a, b] = nodes;
    if a.holds(ip) { [a, b] } else { [b, a] }
}

/// A machine's own address of the same family.
fn own_address(machine: &Machine, ip: IpAddr) -> IpAddr {
    let number = machine.number;
    let text = if ip.is_ipv4() { format!("10.9.0.{number}") } else { format!("fd00:9::{number}") };
    text.parse().expect("an address")
}

fn silence(lan: &Lan, ip: IpAddr, happens: Happens) -> Duration {
    let [owner, other] = two_nodes(lan, ip);
    let machine = lan.machine();
    // Every node knows who its clients are reached through. Or it had to ask for that first, and of a switch that minds who
    // is in which group the first question by IPv6 comes to nothing.
    for node in [&owner, &other] {
        resolve(node.machine(), own_address(&machine, ip));
    }
    let client = Client::asks(&machine, ip);
    until("the client is answered", || client.is_answered_by(owner.name()));
    happens(lan, &owner);
    until("the other answers", || client.is_answered_by(other.name()));
    client.ends().silence
}

/// How long both nodes hold an address, from the moment when their halves of the network are one again.
fn two_owners(lan: &Lan, ip: IpAddr) -> Duration {
    let nodes = two_nodes(lan, ip);
    lan.cut(nodes[1].machine());
    until("each half is served", || nodes.iter().all(|node| node.holds(ip)));
    lan.mend(nodes[1].machine());
    let whole = Instant::now();
    until("there is one owner", || nodes.iter().filter(|node| node.holds(ip)).count() == 1);
    whole.elapsed()
}
