//! What clients of an address meet while nodes come, go and break. In each scene an address may be silent for 2 s, which a
//! busy machine needs; on a quiet one it is a fraction of that.

use std::net::IpAddr;
use std::time::Duration;

use announcer::arp::ArpFrame;
use announcer::ethernet::Mac;
use announcer::ndp::NdpFrame;
use announcer::net::{FrameKind, FrameRoom, PacketSocket, links};
use announcer::segment::{SegmentChange, SegmentStatus};

use super::answers::{Client, serve};
use super::network::{Lan, Machine, scene, until};
use super::node::Node;

const ADDRESSES: [&str; 2] = ["10.9.0.200", "fd00:9::200"];

/// How long an address may be silent where something broke.
const MAX_SILENCE: Duration = Duration::from_secs(2);

/// Plays a scene for an address of each family, in a network of its own.
macro_rules! scenes {
    ($(fn $name:ident())+) => { $(
        #[test]
        fn $name() {
            scene(concat!("lan::scenes::", stringify!($name)), |lan| {
                for address in ADDRESSES {
                    play::$name(lan, address.parse().expect("an address"));
                }
            });
        }
    )+ };
}

scenes! {
    fn one_node_answers()
    fn where_the_power_is_cut_another_takes_over()
    fn where_the_cable_is_pulled_another_takes_over()
    fn where_the_process_is_killed_clients_lose_nothing_and_another_takes_over()
    fn who_leaves_hands_over_and_no_answer_is_late()
    fn after_the_link_was_down_its_only_node_answers_again()
    fn a_changed_hardware_address_is_told_at_once()
    fn a_network_that_was_cut_in_two_has_one_owner_again_once_it_is_whole()
    fn somebody_else_who_claims_the_address_is_told_and_answered_once()
    fn of_two_links_on_one_network_one_answers()
    fn where_the_only_pod_moves_the_address_follows_at_once()
    fn a_node_that_comes_moves_nothing()
    fn a_node_with_another_key_is_told_takes_nothing_that_is_answered_for_and_takes_over_once_it_is_not()
}

/// Two nodes that may both announce an address, one of which does; that one comes first.
fn two_nodes(lan: &Lan, ip: IpAddr) -> [Node; 2] {
    let nodes = [Node::start(lan, "a"), Node::start(lan, "b")];
    for node in &nodes {
        serve(node.machine(), ip, node.name());
        node.want(ip, &["a", "b"]);
    }
    until("one of them answers for it", || nodes.iter().any(|node| node.holds(ip)));
    let [a, b] = nodes;
    if a.holds(ip) { [a, b] } else { [b, a] }
}

/// A client that one node answers already.
fn client_of(lan: &Lan, ip: IpAddr, node: &Node) -> Client {
    let client = Client::asks(&lan.machine(), ip);
    until("the client is answered", || client.is_answered_by(node.name()));
    client
}

/// Waits until the address has gone to another node, and sees that it took no longer than it may.
#[track_caller]
fn moved(client: Client, from: &Node, to: &Node) {
    until("the other answers", || client.is_answered_by(to.name()));
    let heard = client.ends();
    assert!(heard.silence < MAX_SILENCE, "{heard:?}");
    assert_eq!(heard.by, [from.name(), to.name()], "back and forth");
}

/// Sends a frame from a machine, and hears what comes back.
fn socket_of(machine: &Machine, ip: IpAddr) -> (PacketSocket, Mac) {
    let traffic = if ip.is_ipv4() { FrameKind::Arp } else { FrameKind::NeighbourDiscovery };
    machine.inside(|| {
        let link = links().expect("links").remove(0);
        (PacketSocket::open(link.index, traffic).expect("a socket"), link.mac)
    })
}

/// The frame by which an address is announced at a hardware address.
fn claim(mac: Mac, ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ArpFrame::announcement(mac, ip).emit(),
        IpAddr::V6(ip) => NdpFrame::announcement(mac, ip).emit(),
    }
}

fn owners(nodes: &[Node], ip: IpAddr) -> usize {
    nodes.iter().flat_map(Node::reports).filter(|report| report.held.contains(&ip)).count()
}

mod play {
    use super::*;

    pub(super) fn one_node_answers(lan: &Lan, ip: IpAddr) {
        let [a, b] = two_nodes(lan, ip);
        let heard = client_of(lan, ip, &a).ends();
        assert_eq!(heard.by, [a.name()]);
        assert_eq!(owners(&[a, b], ip), 1);
    }

    pub(super) fn where_the_power_is_cut_another_takes_over(lan: &Lan, ip: IpAddr) {
        let [a, b] = two_nodes(lan, ip);
        let client = client_of(lan, ip, &a);
        lan.cut(a.machine());
        a.kill();
        moved(client, &a, &b);
    }

    pub(super) fn where_the_cable_is_pulled_another_takes_over(lan: &Lan, ip: IpAddr) {
        let [a, b] = two_nodes(lan, ip);
        let client = client_of(lan, ip, &a);
        lan.pull(a.machine());
        moved(client, &a, &b);
        until("the first has given it up", || !a.holds(ip));
    }

    /// The node still forwards what comes to it, and clients know where it is; only who asks anew waits.
    pub(super) fn where_the_process_is_killed_clients_lose_nothing_and_another_takes_over(
        lan: &Lan,
        ip: IpAddr,
    ) {
        let [a, b] = two_nodes(lan, ip);
        let client = client_of(lan, ip, &a);
        a.kill();
        moved(client, &a, &b);
    }

    pub(super) fn who_leaves_hands_over_and_no_answer_is_late(lan: &Lan, ip: IpAddr) {
        let [a, b] = two_nodes(lan, ip);
        let client = client_of(lan, ip, &a);
        a.leave();
        moved(client, &a, &b);
        until("it has left", || a.reports().iter().all(|report| report.has_left));
    }

    pub(super) fn after_the_link_was_down_its_only_node_answers_again(lan: &Lan, ip: IpAddr) {
        let node = Node::start(lan, "a");
        serve(node.machine(), ip, "a");
        node.want(ip, &["a"]);
        until("it answers for it", || node.holds(ip));
        lan.pull(node.machine());
        until("it has given it up", || !node.holds(ip));
        lan.plug(node.machine());
        // A client that knows nothing, so that it has to ask.
        client_of(lan, ip, &node).ends();
    }

    pub(super) fn a_changed_hardware_address_is_told_at_once(lan: &Lan, ip: IpAddr) {
        let node = Node::start(lan, "a");
        serve(node.machine(), ip, "a");
        node.want(ip, &["a"]);
        until("it answers for it", || node.holds(ip));
        let client = client_of(lan, ip, &node);
        let (socket, _) = socket_of(&lan.machine(), ip);
        node.machine().ip("link set eth0 address 02:00:00:00:00:42");
        let new = Mac::new([2, 0, 0, 0, 0, 0x42]);
        let mut room = FrameRoom::default();
        until("the new one is announced", || {
            std::iter::from_fn(|| socket.receive(&mut room).expect("the link").map(<[u8]>::to_vec))
                .any(|frame| frame == claim(new, ip))
        });
        let heard = client.ends();
        assert!(heard.silence < MAX_SILENCE, "{heard:?}");
        client_of(lan, ip, &node).ends();
    }

    pub(super) fn a_network_that_was_cut_in_two_has_one_owner_again_once_it_is_whole(lan: &Lan, ip: IpAddr) {
        let [a, b] = two_nodes(lan, ip);
        let client = client_of(lan, ip, &a);
        lan.cut(b.machine());
        until("each half is served", || a.holds(ip) && b.holds(ip));
        lan.mend(b.machine());
        let nodes = [a, b];
        until("there is one owner", || owners(&nodes, ip) == 1);
        let heard = client.ends();
        assert!(heard.silence < MAX_SILENCE, "{heard:?}");
    }

    pub(super) fn somebody_else_who_claims_the_address_is_told_and_answered_once(lan: &Lan, ip: IpAddr) {
        let node = Node::start(lan, "a");
        serve(node.machine(), ip, "a");
        node.want(ip, &["a"]);
        until("it answers for it", || node.holds(ip));
        let intruder = lan.machine();
        let (socket, theirs) = socket_of(&intruder, ip);
        for _ in 0..3 {
            assert!(socket.send(&claim(theirs, ip)).expect("the link"));
        }
        let told = || node.reports()[0].foreign.contains_key(&(ip, theirs));
        until("it is told", told);
        let foreign = |change: &SegmentChange| matches!(change, SegmentChange::Foreign { .. });
        let told: Vec<SegmentChange> = node.changes().into_iter().filter(foreign).collect();
        assert_eq!(told, [SegmentChange::Foreign { ip, by: theirs, defended: true }]);
        client_of(lan, ip, &node).ends();
    }

    pub(super) fn of_two_links_on_one_network_one_answers(lan: &Lan, ip: IpAddr) {
        let node = Node::start(lan, "a");
        lan.cable(node.machine(), "eth1");
        node.announce_on("eth1");
        serve(node.machine(), ip, "a");
        node.want(ip, &["a"]);
        let both_hear = || node.reports().iter().all(|report| report.peers.len() == 1);
        until("each link hears the other", both_hear);
        until("one answers", || node.holds(ip));
        client_of(lan, ip, &node).ends();
        assert_eq!(owners(&[node], ip), 1);
    }

    pub(super) fn where_the_only_pod_moves_the_address_follows_at_once(lan: &Lan, ip: IpAddr) {
        let [a, b] = two_nodes(lan, ip);
        for node in [&a, &b] {
            node.want(ip, &[a.name()]);
        }
        let client = client_of(lan, ip, &a);
        // Policy Local: the other node has the Pod now, and this one has none.
        for node in [&b, &a] {
            node.want(ip, &[b.name()]);
        }
        moved(client, &a, &b);
    }

    pub(super) fn a_node_that_comes_moves_nothing(lan: &Lan, ip: IpAddr) {
        let [a, b] = two_nodes(lan, ip);
        let client = client_of(lan, ip, &a);
        let newcomers = ["c", "d", "e"].map(|name| Node::start(lan, name));
        let all = [&a, &b].into_iter().chain(&newcomers);
        all.for_each(|node| node.want(ip, &["a", "b", "c", "d", "e"]));
        let hear_all = |node: &Node| node.reports().iter().all(|report| report.peers.len() == 4);
        until("all hear each other", || newcomers.iter().all(hear_all));
        until("they know who has it", || {
            newcomers
                .iter()
                .all(|node| node.reports()[0].owners.get(&ip).is_some_and(|owner| **owner == *a.name()))
        });
        assert_eq!(client.ends().by, [a.name()]);
    }

    pub(super) fn a_node_with_another_key_is_told_takes_nothing_that_is_answered_for_and_takes_over_once_it_is_not(
        lan: &Lan,
        ip: IpAddr,
    ) {
        let a = Node::start(lan, "a");
        serve(a.machine(), ip, a.name());
        a.want(ip, &["a", "b"]);
        until("it answers for it", || a.holds(ip));
        let client = client_of(lan, ip, &a);
        let b = Node::with_key(lan, "b", b"a key that nobody else has");
        serve(b.machine(), ip, b.name());
        b.want(ip, &["a", "b"]);
        let names = |node: &Node, other: &str| {
            node.reports()[0].refused.keys().any(|why| why.contains(&format!("node {other} is signed")))
        };
        until("each names the other", || names(&a, "b") && names(&b, "a"));
        until("it would take addresses", || b.reports()[0].status == SegmentStatus::Candidate);
        // One that nobody has is taken by both in the end; by then it has decided about the first as well.
        let free = if ip.is_ipv4() { "10.9.0.201" } else { "fd00:9::201" }.parse().expect("an address");
        b.want_all(&[ip, free], &["a", "b"]);
        until("it takes what is free", || b.holds(free));
        assert!(a.holds(ip) && !b.holds(ip));
        a.kill();
        moved(client, &a, &b);
    }
}
