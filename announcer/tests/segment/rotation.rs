//! One key takes the place of another, in bytes as they go over the wire.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use announcer::beat::rotation::{ADOPTION, Rotation, WrittenKeys};
use announcer::beat::{Beat, Boot, Cluster, Key, Refused};
use announcer::responder::{Command, Responder};
use announcer::segment::{HeartbeatSettings, LinkState, Me, SegmentChange};

use crate::wire::{mac, ms, node, segment, wanted};

const NODES: u64 = 3;
const STEP: Duration = ms(100);
/// Fewer than nodes, so that one of them has none.
const ADDRESSES: [u8; 2] = [7, 8];

fn key(name: &str) -> Key {
    Key::new(format!("the {name} key of the tests").as_bytes()).expect("it is long enough")
}

fn cluster() -> Cluster {
    Cluster::of("the cluster of the tests")
}

fn written(name: &str, previous: Option<&str>) -> WrittenKeys {
    WrittenKeys { key: key(name), previous: previous.map(key) }
}

/// A node that follows its keys.
struct Node {
    responder: Responder,
    rotation: Rotation,
    changes: Vec<SegmentChange>,
}

impl Node {
    fn start(number: u64, life: u64, now: Duration, keys: WrittenKeys) -> Self {
        let me = Me { node: node(number), link: "eth0".into(), boot: Boot(life) };
        let settings = HeartbeatSettings::new(ms(1_000), 3.5).expect("settings");
        let mut rotation = Rotation::new(now, keys);
        let mut responder = Responder::new(me, settings, rotation.keyring(now), cluster(), now);
        responder.obey(now, Command::Link(LinkState { usable: true, mac: mac(number) }));
        responder.obey(now, Command::Want(wanted(&ADDRESSES, &[(1, 0), (2, 0), (3, 0)])));
        Node { responder, rotation, changes: Vec::new() }
    }

    fn holds(&self) -> Vec<IpAddr> {
        self.responder.report().held.into_iter().collect()
    }
}

/// Nodes on one wire.
struct Network {
    now: Duration,
    nodes: BTreeMap<u64, Node>,
    lives: u64,
}

impl Network {
    /// All are up, and every address has an owner.
    fn settled() -> Self {
        let mut network = Network { now: ms(1_000), nodes: BTreeMap::new(), lives: 0 };
        (1..=NODES).for_each(|number| network.start(number, written("first", None)));
        network.run(Duration::from_secs(30));
        let held: usize = network.nodes.values().map(|node| node.holds().len()).sum();
        assert_eq!(held, ADDRESSES.len());
        network.nodes.values_mut().for_each(|node| node.changes.clear());
        network
    }

    fn start(&mut self, number: u64, keys: WrittenKeys) {
        self.lives += 1;
        self.nodes.insert(number, Node::start(number, self.lives, self.now, keys));
    }

    fn read(&mut self, number: u64, keys: WrittenKeys) {
        let now = self.now;
        self.nodes.get_mut(&number).expect("it is there").rotation.read(now, keys);
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += STEP;
            let (now, mut frames) = (self.now, Vec::new());
            for (number, node) in &mut self.nodes {
                node.responder.obey(now, Command::Keys(node.rotation.keyring(now)));
                if let Some((sequence, pages)) = node.responder.tick(now).beat {
                    node.responder.sent(sequence);
                    frames.extend(pages.into_iter().map(|page| (*number, page)));
                }
            }
            for (from, frame) in frames {
                for (_, node) in self.nodes.iter_mut().filter(|(number, _)| **number != from) {
                    node.responder.frame(now, &frame);
                }
            }
            self.nodes.values_mut().for_each(|node| node.changes.extend(node.responder.changes()));
        }
    }

    /// A node that has no address.
    fn idle(&self) -> u64 {
        let idle = self.nodes.iter().find(|(_, node)| node.holds().is_empty());
        idle.map(|(number, _)| *number).expect("there are fewer addresses than nodes")
    }

    #[track_caller]
    fn nothing_happened_but_to(&self, other: Option<u64>, story: &str) {
        for (number, node) in self.nodes.iter().filter(|(number, _)| Some(**number) != other) {
            let of_others = |change: &&SegmentChange| match change {
                SegmentChange::Heard { node, .. } | SegmentChange::Silent { node, .. } => {
                    other.is_none_or(|other| **node != *crate::wire::node(other))
                }
                _ => true,
            };
            let changes: Vec<_> = node.changes.iter().filter(of_others).collect();
            assert!(changes.is_empty(), "{story}: n{number}: {changes:?}");
        }
    }
}

/// Within [`ADOPTION`], and now and then at its very ends.
fn some_time(random: &mut fastrand::Rng) -> Duration {
    match random.u8(0..4) {
        0 => Duration::ZERO,
        1 => Duration::from_secs(290),
        _ => Duration::from_secs(random.u64(0..290)),
    }
}

#[test]
fn while_a_key_is_changed_nobody_is_lost_and_no_address_moves_whenever_nodes_read_it() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut network = Network::settled();
        let began = network.now;
        let mut reads: Vec<_> = (1..=NODES).map(|number| (began + some_time(&mut random), number)).collect();
        reads.sort_unstable();
        for (at, number) in &reads {
            network.run(at.saturating_sub(network.now));
            network.read(*number, written("second", None));
        }
        network.run(ADOPTION * 3);
        network.nothing_happened_but_to(None, &format!("seed {seed}: {reads:?}"));
    }
}

#[test]
fn a_process_that_starts_while_a_key_is_changed_is_heard_by_all_if_the_key_before_stands_beside() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut network = Network::settled();
        let idle = network.idle();
        let began = network.now;
        let (here, there) = (some_time(&mut random), some_time(&mut random));
        let restarted = began + some_time(&mut random);
        let others: Vec<u64> = (1..=NODES).filter(|number| *number != idle).collect();
        let mut steps = vec![
            (began + here, others[0], false),
            (began + there, others[1], false),
            (restarted, idle, true),
        ];
        steps.sort_unstable();
        for (at, number, is_restart) in &steps {
            network.run(at.saturating_sub(network.now));
            match is_restart {
                true => network.start(*number, written("second", Some("first"))),
                false => network.read(*number, written("second", Some("first"))),
            }
        }
        network.run(ADOPTION * 3);
        let story = format!("seed {seed}: {steps:?}");
        network.nothing_happened_but_to(Some(idle), &story);
        let refused = network.nodes[&idle].responder.report().refused;
        assert!(refused.is_empty() && network.nodes[&idle].holds().is_empty(), "{story}: {refused:?}");
    }
}

#[test]
fn what_was_signed_with_before_is_believed_until_the_rotation_is_over_and_while_it_stands_beside() {
    let beat = || -> Beat { segment(9, ms(0)).tick(ms(0)).beats.remove(0) };
    let frame = |name: &str| key(name).seal(&beat(), cluster());
    let mut rotation = Rotation::new(ms(0), written("first", None));
    let believes = |rotation: &mut Rotation, now: Duration, name: &str| match rotation
        .keyring(now)
        .open(&frame(name), cluster())
    {
        Ok(_) => true,
        Err(Refused::OtherKey { .. }) => false,
        Err(other) => panic!("{other}"),
    };
    assert!(believes(&mut rotation, ms(0), "first") && !believes(&mut rotation, ms(0), "second"));
    rotation.read(ms(0), written("second", None));
    assert_eq!(rotation.switch(), Some(ADOPTION));
    assert!(believes(&mut rotation, ms(0), "first") && believes(&mut rotation, ms(0), "second"));
    let over = ADOPTION * 2;
    assert!(believes(&mut rotation, over.saturating_sub(ms(1)), "first"));
    assert!(!believes(&mut rotation, over, "first") && believes(&mut rotation, over, "second"));
    // What was meant to come and is taken back is believed for as long as others may sign with it.
    rotation.read(over, written("third", None));
    rotation.read(over + ms(1), written("second", Some("fourth")));
    assert_eq!(rotation.switch(), None);
    assert!(believes(&mut rotation, over + ms(2), "third"));
    assert!(!believes(&mut rotation, over + over + ms(2), "third"));
    assert!(believes(&mut rotation, over + over + ms(2), "fourth"), "for as long as it stands there");
    rotation.read(over + over + ms(2), written("second", None));
    assert!(!believes(&mut rotation, over + over + ms(2), "fourth"));
}
