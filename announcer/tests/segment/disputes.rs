//! Of two claims one stays.

use announcer::beat::{Beat, Role};
use announcer::segment::{GivenUp, SegmentChange, Taken};

use crate::wire::{Wire, ip, mac, ms, node, segment, wanted};

#[test]
fn after_a_partition_who_comes_first_stays_and_announces_again_within_two_intervals() {
    let mut wire = Wire::new(&[1, 2]);
    let addresses = [7, 8, 9, 10];
    wire.want(&wanted(&addresses, &[(1, 0), (2, 0)]));
    wire.run(ms(1_000));
    let before = addresses.map(|last| wire.owners(last));
    wire.cut(1, 2);
    wire.run(ms(2_000));
    assert_eq!(addresses.map(|last| wire.owners(last)), [[1, 2]; 4]);
    wire.happened();
    wire.announced.clear();
    wire.cuts.clear();
    wire.run(ms(200));
    assert_eq!(addresses.map(|last| wire.owners(last)), before);
    for (last, winner) in addresses.into_iter().zip(before) {
        let lost = SegmentChange::GivenUp { ip: ip(last), why: GivenUp::Conflict { to: node(winner[0]) } };
        assert!(wire.changes.contains(&(3 - winner[0], lost)));
        let again = |(_, number, address): &&(_, u64, _)| (*number, *address) == (winner[0], ip(last));
        assert!(wire.announced.iter().filter(again).count() >= 2, "at 0 and 50 ms");
    }
}

/// Node 1 is heard all the time, and does not hear node 2 for a while.
#[test]
fn whose_claim_is_disputed_announces_again_once_the_other_has_stopped() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 0), (2, 9)]));
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [2]);
    wire.happened();
    wire.cuts.insert((2, 1));
    wire.run(ms(400));
    assert_eq!(wire.owners(7), [1, 2]);
    wire.cuts.clear();
    wire.announced.clear();
    wire.run(ms(200));
    assert_eq!(wire.owners(7), [2]);
    let happened = wire.happened();
    assert!(
        happened.contains(&(1, SegmentChange::GivenUp { ip: ip(7), why: GivenUp::Conflict { to: node(2) } }))
    );
    assert!(happened.contains(&(2, SegmentChange::Defended { ip: ip(7), against: node(1) })));
    assert!(wire.announced.iter().any(|(_, number, _)| *number == 2));
}

/// One that claims and does not hear us would never give way.
#[test]
fn a_claim_by_one_that_does_not_hear_this_node_wins_after_a_dead_interval_whoever_comes_first() {
    for score in [0, 9] {
        let mut wire = Wire::new(&[1, 2]);
        wire.want(&wanted(&[7], &[(1, score), (2, 4)]));
        wire.cuts.insert((1, 2));
        wire.run(ms(3_000));
        assert_eq!(wire.owners(7), [2], "{score}");
        wire.cuts.clear();
        wire.run(ms(1_000));
        assert_eq!(wire.owners(7), [2], "{score}: a claim stays where it is");
    }
}

#[test]
fn a_node_that_hears_nobody_does_not_have_all_others_give_up() {
    let mut wire = Wire::new(&[1, 2, 3, 4]);
    wire.want(&wanted(&[7], &[(1, 0), (2, 9), (3, 4), (4, 1)]));
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [2]);
    // Node 1 goes on to say what it says, and hears nothing any more.
    wire.cuts.extend([(2, 1), (3, 1), (4, 1)]);
    wire.run(ms(5_000));
    assert_eq!(wire.owners(7), [1, 2]);
    wire.segments.remove(&2);
    wire.run(ms(800));
    assert_eq!(wire.owners(7), [1, 3]);
    wire.cuts.clear();
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [3]);
}

#[test]
fn a_foreign_claim_is_told_once_and_answered_by_one_announcement_in_ten_seconds() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 5), (2, 0)]));
    wire.run(ms(10_000));
    wire.happened();
    wire.announced.clear();
    let began = wire.now;
    for _ in 0..15 {
        let now = wire.now;
        wire.at(1).claimed(now, ip(7), mac(77));
        wire.at(1).claimed(now, ip(7), mac(2));
        wire.at(2).claimed(now, ip(7), mac(77));
        wire.run(ms(1_000));
    }
    assert_eq!(wire.happened(), [(1, SegmentChange::Foreign { ip: ip(7), by: mac(77), defended: true })]);
    let times: Vec<_> = wire.announced.iter().map(|(at, ..)| at.saturating_sub(began).as_secs()).collect();
    assert_eq!(times, [0, 10]);
}

/// What another announcer of the cluster says under another key: it claims an address.
fn under_another_key(wire: &Wire, last: u8) -> Beat {
    let mut other = segment(77, wire.now);
    Beat { role: Role::Candidate, claims: vec![ip(last)], ..other.tick(wire.now).beats.remove(0) }
}

#[test]
fn what_is_claimed_under_another_key_is_not_taken_while_it_is_and_is_once_it_is_not() {
    let mut wire = Wire::new(&[1, 2]);
    let beat = under_another_key(&wire, 7);
    let say = |wire: &mut Wire| {
        let now = wire.now;
        [1, 2].into_iter().for_each(|number| wire.at(number).heard_unvouched(now, &beat));
        wire.run(ms(100));
    };
    say(&mut wire);
    // Also where it becomes known only later that somebody is to have it.
    wire.want(&wanted(&[7, 8], &[(1, 9), (2, 0)]));
    for _ in 0..30 {
        say(&mut wire);
    }
    assert_eq!((wire.owners(7), wire.owners(8)), (Vec::new(), vec![1]));
    // It is silent from here on, and was to be dead after 350 ms.
    wire.run(ms(240));
    assert!(wire.owners(7).is_empty());
    wire.run(ms(100));
    assert_eq!(wire.owners(7), [1]);
}

#[test]
fn what_is_held_is_not_given_up_for_a_claim_under_another_key_and_who_leaves_hands_over_as_ever() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 9), (2, 0)]));
    wire.run(ms(1_000));
    wire.happened();
    let beat = under_another_key(&wire, 7);
    let leaving = Beat { role: Role::Leaver, claims: vec![ip(8)], ..beat.clone() };
    for _ in 0..30 {
        let now = wire.now;
        for number in [1, 2] {
            wire.at(number).heard_unvouched(now, &beat);
            wire.at(number).heard_unvouched(now, &leaving);
        }
        wire.run(ms(100));
    }
    assert_eq!(wire.owners(7), [1]);
    assert_eq!(wire.happened(), []);
    wire.want(&wanted(&[7, 8], &[(1, 9), (2, 0)]));
    wire.run(ms(100));
    // Who has the other key and leaves wants to be rid of it.
    assert_eq!(wire.happened(), [(1, SegmentChange::Taken { ip: ip(8), why: Taken::Free })]);
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![1], vec![1]));
}
