//! What becomes of a link, and of two on one segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use announcer::beat::Boot;
use announcer::segment::{
    Eligible, GivenUp, HeartbeatSettings, LinkState, Links, Me, Segment, SegmentChange, SegmentStatus,
};

use crate::wire::{Wire, ip, mac, ms, node, wanted};

#[test]
fn a_link_that_goes_down_gives_up_and_listens_again_when_it_comes_up() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(1_000));
    let now = wire.now;
    wire.at(1).link(now, LinkState { usable: false, mac: mac(1) });
    assert_eq!((wire.owners(7), wire.at(1).status()), (vec![], SegmentStatus::LinkDown));
    let gone = SegmentChange::GivenUp { ip: ip(7), why: GivenUp::LinkDown };
    assert_eq!(wire.happened().pop(), Some((1, gone)));
    wire.run(ms(12_000));
    let now = wire.now;
    wire.at(1).link(now, LinkState { usable: true, mac: mac(1) });
    wire.run(ms(349));
    assert_eq!(wire.owners(7), [0; 0]);
    wire.run(ms(1));
    assert_eq!(wire.owners(7), [1]);
}

#[test]
fn another_hardware_address_is_announced_at_once_and_seven_times() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(10_000));
    wire.announced.clear();
    let (now, other) = (wire.now, mac(77));
    wire.at(1).link(now, LinkState { usable: true, mac: other });
    wire.run(ms(5_000));
    let times: Vec<_> = wire.announced.iter().map(|(at, ..)| at.saturating_sub(now).as_millis()).collect();
    assert_eq!(times, [0, 50, 200, 450, 1_000, 2_000, 4_000]);
    let now = wire.now;
    let beats = wire.at(1).tick(now + ms(100)).beats;
    assert_eq!(beats.first().map(|beat| beat.from), Some(other));
}

#[test]
fn of_two_links_of_one_node_on_one_segment_one_answers() {
    let mut wire = Wire::new(&[2]);
    let eligible = |links: &[&str]| {
        let links = links.iter().map(|link| Arc::from(*link)).collect();
        vec![Eligible { node: "n1".into(), links: Links::Named(links), score: 0 }]
    };
    for (number, link) in [(11, "eth1"), (10, "eth0")] {
        let me = Me { node: "n1".into(), link: link.into(), boot: Boot(number) };
        let mut segment = Segment::new(me, HeartbeatSettings::default(), wire.now);
        segment.link(wire.now, LinkState { usable: true, mac: mac(number) });
        wire.segments.insert(number, segment);
    }
    wire.want(&BTreeMap::from([(ip(7), eligible(&["eth0", "eth1"])), (ip(8), eligible(&["eth1"]))]));
    wire.run(ms(1_000));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![10], vec![11]));
    let now = wire.now;
    wire.at(10).link(now, LinkState { usable: false, mac: mac(10) });
    wire.run(ms(500));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![11], vec![11]));
    wire.at(10).link(now + ms(500), LinkState { usable: true, mac: mac(10) });
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [11], "a claim stays where it is");
}

#[test]
fn a_process_that_finds_another_of_its_node_and_link_started_after_it_gives_way() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(1_000));
    let me = Me { node: node(1), link: "eth0".into(), boot: Boot(99) };
    let mut again = Segment::new(me, HeartbeatSettings::default(), wire.now);
    again.link(wire.now, LinkState { usable: true, mac: mac(1) });
    again.want(wire.now, &wanted(&[7], &[(1, 0)]));
    wire.segments.insert(99, again);
    wire.run(ms(1_000));
    assert_eq!((wire.owners(7), wire.at(1).status()), (vec![99], SegmentStatus::Replaced));
    wire.segments.remove(&99);
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [1]);
}
