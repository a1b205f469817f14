//! Sockets and links, before anybody answers.

use announcer::arp::{ArpFrame, ArpOperation};
use announcer::ndp::NdpFrame;
use announcer::net::{FrameKind, FrameRoom, LinkChanges, PacketSocket, links};

use super::answers::resolve;
use super::network::{scene, until};

#[test]
fn links_are_read_with_what_matters_of_them() {
    scene("lan::sockets::links_are_read_with_what_matters_of_them", |lan| {
        let machine = lan.machine();
        machine.ip("link add bridge0 type bridge");
        machine.ip("link add inner type veth peer name outer");
        machine.ip("link set inner master bridge0");
        let read = || machine.inside(|| links().expect("links"));
        let by_name = |name: &str| read().into_iter().find(|link| link.name == name).expect("the link");
        let eth0 = by_name("eth0");
        assert!(eth0.running);
        assert!(eth0.reaches("10.9.0.200".parse().unwrap()) && eth0.reaches("fd00:9::200".parse().unwrap()));
        assert!(!eth0.reaches("10.8.0.200".parse().unwrap()));
        assert!(machine.ip("link show eth0").contains(&eth0.mac.to_string()));
        assert!(!by_name("bridge0").running);
        assert!(read().iter().all(|link| link.name != "lo"));
        lan.pull(&machine);
        until("the carrier is lost", || !by_name("eth0").running);
    });
}

/// Until then the kernel sends nothing from it, and finds no neighbour for an address that the link does not have.
#[test]
fn a_link_local_address_counts_once_it_is_known_to_be_nobody_elses_and_that_is_told() {
    scene(
        "lan::sockets::a_link_local_address_counts_once_it_is_known_to_be_nobody_elses_and_that_is_told",
        |lan| {
            let machine = lan.machine();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let is_good = || {
                let links = machine.inside(|| links().expect("links"));
                links.iter().any(|link| link.name == "eth0" && link.link_local)
            };
            until("it has one", is_good);
            let mut changes = machine.inside(|| LinkChanges::new().expect("word of changes"));
            machine.ip("link set eth0 down");
            machine.ip("link set eth0 up");
            until("it is asked whether anybody else has it", || {
                machine.ip("address show eth0").contains("tentative")
            });
            assert!(!is_good());
            while !is_good() {
                runtime.block_on(changes.changed()).expect("a change");
            }
            machine.ip("-6 address flush dev eth0 scope link");
            until("it is gone", || !is_good());
        },
    );
}

#[test]
fn a_change_of_a_link_is_told_at_once() {
    scene("lan::sockets::a_change_of_a_link_is_told_at_once", |lan| {
        let machine = lan.machine();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut changes = machine.inside(|| LinkChanges::new().expect("word of changes"));
        lan.pull(&machine);
        runtime.block_on(changes.changed()).expect("a change");
    });
}

#[test]
fn a_frame_is_heard_on_its_own_link_and_by_the_socket_of_its_kind() {
    scene("lan::sockets::a_frame_is_heard_on_its_own_link_and_by_the_socket_of_its_kind", |lan| {
        let (asking, machine) = (lan.machine(), lan.machine());
        let links = machine.inside(|| links().expect("links"));
        let open =
            |traffic| machine.inside(|| PacketSocket::open(links[0].index, traffic).expect("a socket"));
        let (arp, ndp) = (open(FrameKind::Arp), open(FrameKind::NeighbourDiscovery));
        let mut room = FrameRoom::default();
        while arp.receive(&mut room).expect("the link").is_some() {}
        while ndp.receive(&mut room).expect("the link").is_some() {}
        assert_eq!(machine.number, 2);
        for ip in ["10.9.0.2", "fd00:9::2"] {
            resolve(&asking, ip.parse().unwrap());
        }
        let mut questions = Vec::new();
        while let Some(frame) = arp.receive(&mut room).expect("the link") {
            let frame = ArpFrame::parse(frame).expect("nothing but ARP is heard here");
            questions.push((frame.operation, frame.target_ip.to_string()));
        }
        assert!(questions.contains(&(ArpOperation::Request, "10.9.0.2".to_owned())), "{questions:?}");
        let mut targets = Vec::new();
        while let Some(frame) = ndp.receive(&mut room).expect("the link") {
            targets
                .push(NdpFrame::parse(frame).expect("nothing but neighbour discovery is heard here").target);
        }
        assert!(targets.contains(&"fd00:9::2".parse().unwrap()), "{targets:?}");
    });
}
