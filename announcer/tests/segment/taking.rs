//! What is taken, by whom and when.

use announcer::segment::{GivenUp, SegmentChange, SegmentStatus, Taken};

use crate::wire::{Wire, ip, ms, node, wanted};

#[test]
fn a_node_that_is_alone_listens_for_a_dead_interval_and_then_takes_everything() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7, 8], &[(1, 0)]));
    wire.run(ms(349));
    assert_eq!(wire.owners(7), [0; 0]);
    assert_eq!(wire.at(1).status(), SegmentStatus::Listening { until: ms(1_350) });
    wire.run(ms(1));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![1], vec![1]));
    let taken = |last| (1, SegmentChange::Taken { ip: ip(last), why: Taken::Free });
    assert_eq!(wire.happened(), [taken(7), taken(8)]);
}

#[test]
fn the_address_of_a_node_that_falls_silent_is_taken_after_a_dead_interval() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 5), (2, 0)]));
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [1]);
    wire.happened();
    wire.segments.remove(&1);
    wire.run(ms(350));
    let why = Taken::Silent { from: node(1), since: ms(350) };
    assert_eq!(wire.happened(), [(2, SegmentChange::Taken { ip: ip(7), why })]);
}

#[test]
fn who_joins_moves_nothing_and_who_dies_moves_only_its_own() {
    let all = [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)];
    let addresses: Vec<u8> = (1..=60).collect();
    let mut wire = Wire::new(&[1, 2, 3]);
    wire.want(&wanted(&addresses, &all));
    wire.run(ms(1_000));
    let owners = |wire: &Wire| addresses.iter().map(|last| wire.owners(*last)).collect::<Vec<_>>();
    let before = owners(&wire);
    assert!(before.iter().all(|owners| owners.len() == 1), "{before:?}");
    for number in [4, 5] {
        wire.plug(number);
        let now = wire.now;
        wire.at(number).want(now, &wanted(&addresses, &all));
        wire.run(ms(40_000));
    }
    assert_eq!(owners(&wire), before);
    wire.segments.remove(&2);
    wire.run(ms(500));
    for (before, after) in before.iter().zip(owners(&wire)) {
        assert_eq!(after.len(), 1);
        assert!(*before == [2] || *before == after, "{before:?} {after:?}");
    }
}

#[test]
fn those_that_begin_together_share_the_addresses_by_rank() {
    let mut wire = Wire::new(&[1]);
    wire.run(ms(40));
    wire.plug(2);
    let addresses: Vec<u8> = (1..=40).collect();
    wire.want(&wanted(&addresses, &[(1, 0), (2, 0)]));
    wire.run(ms(1_000));
    for last in addresses {
        let rank = |number: &u64| announcer::rank::rank(&node(*number), ip(last));
        let first = [1, 2].into_iter().min_by_key(rank).expect("one of two");
        assert_eq!(wire.owners(last), [first], "{last}");
    }
}

#[test]
fn who_is_preferred_takes_over_after_thirty_seconds_of_life_and_not_before() {
    let mut wire = Wire::new(&[1]);
    let wanted = wanted(&[7], &[(1, 0), (2, 9)]);
    wire.want(&wanted);
    wire.run(ms(1_000));
    wire.plug(2);
    wire.want(&wanted);
    wire.happened();
    wire.run(ms(30_000));
    assert_eq!(wire.owners(7), [1]);
    wire.run(ms(500));
    assert_eq!(wire.owners(7), [2]);
    assert_eq!(
        wire.happened(),
        [
            (2, SegmentChange::Taken { ip: ip(7), why: Taken::Preferred { to: node(1) } }),
            (1, SegmentChange::GivenUp { ip: ip(7), why: GivenUp::Conflict { to: node(2) } }),
        ]
    );
}

/// Node 1 comes first and was not told of the address: its watch lags, or it has no link for it.
#[test]
fn what_the_first_does_not_take_the_next_takes_in_the_end() {
    let mut wire = Wire::new(&[1, 2, 3]);
    wire.run(ms(1_000));
    let now = wire.now;
    for number in [2, 3] {
        wire.at(number).want(now, &wanted(&[7], &[(1, 9), (2, 5), (3, 0)]));
    }
    wire.run(ms(449));
    assert_eq!(wire.owners(7), [0; 0]);
    wire.run(ms(1));
    assert_eq!(wire.owners(7), [2]);
    wire.want(&wanted(&[7], &[(1, 0), (2, 0), (3, 0)]));
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [2]);
}

#[test]
fn an_address_is_given_up_when_it_is_to_be_announced_elsewhere_or_not_at_all() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7, 8], &[(1, 5), (2, 0)]));
    wire.run(ms(1_000));
    wire.happened();
    wire.want(&wanted(&[7], &[(2, 0)]));
    wire.run(ms(100));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![2], vec![]));
    let given_up = |last| (1, SegmentChange::GivenUp { ip: ip(last), why: GivenUp::NotWanted });
    let taken = (2, SegmentChange::Taken { ip: ip(7), why: Taken::GivenUp { from: node(1) } });
    assert_eq!(wire.happened(), [given_up(8), given_up(7), taken]);
}
