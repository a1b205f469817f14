//! Which heartbeats are believed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use announcer::beat::{Beat, Boot};
use announcer::segment::Heard;

use crate::wire::{Wire, ip, ms, nodes, segment, wanted};

/// What was recorded before a node was heard here the first time cannot name this life of ours.
#[test]
fn a_recording_of_an_earlier_life_is_not_believed_beside_the_one_that_is_heard() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 0), (2, 0)]));
    let now = wire.now;
    let old = segment(1, now).tick(now).beats.remove(0);
    wire.run(ms(1_000));
    let now = wire.now;
    let recorded = Beat { boot: Boot(55), sequence: 1_000_000, claims: vec![ip(7)], ..old };
    assert_eq!(wire.at(2).heard(now, recorded.clone()), Heard::OtherLife);
    let now_of_it = Beat { boot: Boot(55), hears: vec![Boot(2).mark()], ..recorded };
    assert_eq!(wire.at(2).heard(now, now_of_it.clone()), Heard::New);
    assert_eq!(wire.at(2).heard(now, now_of_it.clone()), Heard::Old);
    let replaced = Beat { boot: Boot(1), sequence: 1_000_000, ..now_of_it };
    assert_eq!(wire.at(2).heard(now, replaced), Heard::OtherLife);
}

/// A frame of the life before may be overtaken by the first of the next one.
#[test]
fn a_late_frame_of_an_earlier_life_does_not_hide_the_new_one_for_longer_than_a_dead_interval() {
    let mut wire = Wire::new(&[1, 2]);
    let now = wire.now;
    let beat = segment(1, now).tick(now).beats.remove(0);
    let of =
        |boot, sequence| Beat { boot: Boot(boot), sequence, hears: vec![Boot(2).mark()], ..beat.clone() };
    let node = wire.at(2);
    assert_eq!(node.heard(now, of(51, 1)), Heard::New);
    assert_eq!(node.heard(now + ms(1), of(50, 900)), Heard::New, "nobody knows which life is the newer");
    let heard = [100, 200, 300, 400].map(|later| {
        node.tick(now + ms(later));
        node.heard(now + ms(later), of(51, later))
    });
    assert_eq!(heard, [Heard::OtherLife, Heard::OtherLife, Heard::OtherLife, Heard::New]);
    assert_eq!(node.heard(now + ms(800), of(50, 900)), Heard::OtherLife, "it was heard before");
}

/// 1,000 addresses of IPv6 take a dozen pages; the last is heard as well as the first.
#[test]
fn a_beat_of_many_pages_is_believed_as_a_whole() {
    let many: Vec<IpAddr> =
        (0..1_000_u128).map(|n| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into())).collect();
    let mut wire = Wire::new(&[1, 2]);
    let all: BTreeMap<_, _> = many.iter().map(|ip| (*ip, nodes(&[(1, 5), (2, 0)]))).collect();
    wire.want(&all);
    wire.run(ms(1_000));
    assert_eq!((wire.at(1).held().len(), wire.at(2).held().len()), (1_000, 0));
    let heard = wire.at(2).peers().next().map(|peer| (peer.claims().len(), peer.lost()));
    assert_eq!(heard, Some((1_000, 0)));
    wire.want(&many.iter().take(500).map(|ip| (*ip, nodes(&[(1, 5), (2, 0)]))).collect());
    wire.run(ms(200));
    assert_eq!(wire.at(2).peers().next().map(|peer| peer.claims().len()), Some(500));
}
