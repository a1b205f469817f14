//! Who leaves, stands still or cannot speak gives up.

use announcer::segment::{GivenUp, HeartbeatSettings, SegmentChange, SegmentStatus, Taken};

use crate::wire::{Wire, ip, ms, node, wanted};

#[test]
fn without_a_key_nothing_is_announced_and_the_reason_is_said() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    let now = wire.now;
    wire.at(1).settings(now, HeartbeatSettings::default().keyed(false));
    wire.run(ms(5_000));
    assert_eq!((wire.owners(7), wire.at(1).status()), (vec![], SegmentStatus::NoKey));
    assert!(SegmentStatus::NoKey.to_string().contains("no key"));
    let now = wire.now;
    wire.at(1).settings(now, HeartbeatSettings::default());
    wire.run(ms(350));
    assert_eq!(wire.owners(7), [1]);
    let now = wire.now;
    wire.at(1).settings(now, HeartbeatSettings::default().keyed(false));
    let gone = SegmentChange::GivenUp { ip: ip(7), why: GivenUp::NoKey };
    assert_eq!(wire.happened().pop(), Some((1, gone)));
}

#[test]
fn who_leaves_answers_on_until_another_has_claimed_and_that_takes_no_interval() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 5), (2, 0)]));
    wire.run(ms(1_000));
    wire.happened();
    let now = wire.now;
    wire.at(1).leave(now);
    assert_eq!((wire.owners(7), wire.at(1).has_left()), (vec![1], false));
    wire.run(ms(30));
    assert!(wire.at(1).has_left());
    assert_eq!(
        wire.happened(),
        [
            (2, SegmentChange::Taken { ip: ip(7), why: Taken::Leaving { from: node(1) } }),
            (1, SegmentChange::GivenUp { ip: ip(7), why: GivenUp::HandedOver { to: node(2) } }),
        ]
    );
}

#[test]
fn who_leaves_and_finds_no_heir_answers_for_two_seconds() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(1_000));
    let now = wire.now;
    wire.at(1).leave(now);
    wire.run(ms(1_999));
    assert_eq!(wire.owners(7), [1]);
    wire.run(ms(20));
    assert!(wire.owners(7).is_empty() && wire.at(1).has_left());
    assert_eq!(
        wire.happened().pop(),
        Some((1, SegmentChange::GivenUp { ip: ip(7), why: GivenUp::NobodyTook }))
    );
}

#[test]
fn a_process_that_stood_still_gives_up_before_it_does_anything_else() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(1_000));
    let now = wire.at(1).held_until().expect("a beat was sent");
    assert!(now > wire.now && now <= wire.now + ms(350), "{now:?}");
    wire.now = now;
    assert!(wire.at(1).tick(now).gratuitous.is_empty());
    assert_eq!(wire.owners(7), [0; 0]);
    let gone = SegmentChange::GivenUp { ip: ip(7), why: GivenUp::Paused };
    assert_eq!(wire.happened().pop(), Some((1, gone)));
    wire.run(ms(349));
    assert_eq!(wire.owners(7), [0; 0]);
    wire.run(ms(1));
    assert_eq!(wire.owners(7), [1]);
}

/// What was sent meanwhile waits in the socket: until it was read, nothing is known of the others.
#[test]
fn time_in_which_a_process_did_not_look_is_not_held_against_others() {
    let mut wire = Wire::new(&[1]);
    wire.run(ms(50));
    wire.plug(2);
    wire.want(&wanted(&[7], &[(1, 5), (2, 0)]));
    wire.run(ms(1_000));
    while wire.at(2).held_until() != Some(wire.now + ms(350)) {
        wire.run(ms(1));
    }
    wire.happened();
    let (now, heard) = (wire.now, wire.at(2).peers().next().map(announcer::segment::SegmentPeer::heard));
    assert!(heard.is_some_and(|heard| heard + ms(350) < now + ms(349)), "{heard:?}, {now:?}");
    wire.at(2).tick(now + ms(349));
    assert_eq!((wire.happened(), wire.owners(7)), (vec![], vec![1]));
}

#[test]
fn who_cannot_send_gives_up_as_if_it_had_stood_still() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(1_000));
    for _ in 0..10 {
        wire.now += ms(50);
        let now = wire.now;
        wire.at(1).tick(now);
    }
    assert_eq!(wire.owners(7), [0; 0]);
    wire.now += ms(350);
    let now = wire.now;
    wire.at(1).tick(now);
    assert_eq!((wire.owners(7), wire.at(1).status()), (vec![], SegmentStatus::Mute));
}
