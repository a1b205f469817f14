//! Which node answers for an address, rule by rule, on a segment that loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use announcer::beat::{Beat, Boot};
use announcer::ethernet::Mac;
use announcer::segment::{
    Change, Due, Eligible, GivenUp, Heard, Link, Links, Me, Segment, Settings, Standing, Taken,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn mac(number: u64) -> Mac {
    Mac::new([2, 0, 0, 0, 0, number as u8])
}

/// A segment by number; node `n1` for 1, and so on.
fn segment(number: u64, now: Duration) -> Segment {
    let me = Me { node: format!("n{number}").into(), link: "eth0".into(), boot: Boot(number) };
    let mut segment = Segment::new(me, Settings::default(), now);
    segment.link(now, Link { usable: true, mac: mac(number) });
    segment
}

/// Nodes with their scores, on all of their links.
fn nodes(scores: &[(u64, u32)]) -> Vec<Eligible> {
    scores
        .iter()
        .map(|(node, score)| Eligible { node: format!("n{node}").into(), links: Links::All, score: *score })
        .collect()
}

fn wanted(addresses: &[u8], scores: &[(u64, u32)]) -> BTreeMap<IpAddr, Vec<Eligible>> {
    addresses.iter().map(|last| (ip(*last), nodes(scores))).collect()
}

/// Segments on one wire, on which each hears at once what another says.
struct Wire {
    now: Duration,
    segments: BTreeMap<u64, Segment>,
    /// Who does not hear whom.
    cuts: BTreeSet<(u64, u64)>,
    changes: Vec<(u64, Change)>,
    announced: Vec<(Duration, u64, IpAddr)>,
}

impl Wire {
    fn new(numbers: &[u64]) -> Self {
        let mut wire = Wire {
            now: ms(1_000),
            segments: BTreeMap::new(),
            cuts: BTreeSet::new(),
            changes: Vec::new(),
            announced: Vec::new(),
        };
        numbers.iter().for_each(|number| wire.plug(*number));
        wire
    }

    fn plug(&mut self, number: u64) {
        self.segments.insert(number, segment(number, self.now));
    }

    fn want(&mut self, wanted: &BTreeMap<IpAddr, Vec<Eligible>>) {
        let now = self.now;
        self.segments.values_mut().for_each(|segment| segment.want(now, wanted));
    }

    fn at(&mut self, number: u64) -> &mut Segment {
        self.segments.get_mut(&number).expect("it is plugged in")
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let next = self.segments.iter().filter_map(|(number, segment)| Some((segment.next()?, *number)));
            let Some((at, number)) = next.min().filter(|(at, _)| *at <= until) else { break };
            self.now = self.now.max(at);
            let now = self.now;
            let segment = self.at(number);
            let Due { beats, gratuitous } = segment.tick(now);
            beats.iter().for_each(|beat| segment.sent(beat.sequence));
            self.announced.extend(gratuitous.into_iter().map(|ip| (now, number, ip)));
            for beat in beats {
                self.say(number, &beat);
            }
            self.note();
        }
        self.now = until;
    }

    fn say(&mut self, from: u64, beat: &Beat) {
        let (now, cuts) = (self.now, self.cuts.clone());
        for (number, segment) in
            self.segments.iter_mut().filter(|(number, _)| !cuts.contains(&(from, **number)))
        {
            let _ = number;
            segment.heard(now, beat.clone());
        }
    }

    fn note(&mut self) {
        for (number, segment) in &mut self.segments {
            self.changes.extend(segment.changes().into_iter().map(|change| (*number, change)));
        }
    }

    /// Who holds an address.
    fn owners(&self, last: u8) -> Vec<u64> {
        let holds = |segment: &Segment| segment.held().contains(&ip(last));
        self.segments.iter().filter(|(_, segment)| holds(segment)).map(|(number, _)| *number).collect()
    }

    fn cut(&mut self, one: u64, other: u64) {
        self.cuts.extend([(one, other), (other, one)]);
    }

    /// What happened to an address since this was last asked.
    fn happened(&mut self) -> Vec<(u64, Change)> {
        self.note();
        let of_addresses = |change: &Change| !matches!(change, Change::Heard { .. } | Change::Silent { .. });
        std::mem::take(&mut self.changes).into_iter().filter(|(_, change)| of_addresses(change)).collect()
    }
}

fn node(number: u64) -> Arc<str> {
    format!("n{number}").into()
}

#[test]
fn a_node_that_is_alone_listens_for_a_dead_interval_and_then_takes_everything() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7, 8], &[(1, 0)]));
    wire.run(ms(349));
    assert_eq!(wire.owners(7), [0; 0]);
    assert_eq!(wire.at(1).standing(), Standing::Listening { until: ms(1_350) });
    wire.run(ms(1));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![1], vec![1]));
    let taken = |last| (1, Change::Taken { ip: ip(last), why: Taken::Free });
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
    assert_eq!(wire.happened(), [(2, Change::Taken { ip: ip(7), why })]);
}

#[test]
fn without_a_key_nothing_is_announced_and_the_reason_is_said() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    let now = wire.now;
    wire.at(1).settings(now, Settings::default().keyed(false));
    wire.run(ms(5_000));
    assert_eq!((wire.owners(7), wire.at(1).standing()), (vec![], Standing::NoKey));
    assert!(Standing::NoKey.to_string().contains("no key"));
    let now = wire.now;
    wire.at(1).settings(now, Settings::default());
    wire.run(ms(350));
    assert_eq!(wire.owners(7), [1]);
    let now = wire.now;
    wire.at(1).settings(now, Settings::default().keyed(false));
    let gone = Change::GivenUp { ip: ip(7), why: GivenUp::NoKey };
    assert_eq!(wire.happened().pop(), Some((1, gone)));
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
            (2, Change::Taken { ip: ip(7), why: Taken::Leaving { from: node(1) } }),
            (1, Change::GivenUp { ip: ip(7), why: GivenUp::HandedOver { to: node(2) } }),
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
    assert_eq!(wire.happened().pop(), Some((1, Change::GivenUp { ip: ip(7), why: GivenUp::NobodyTook })));
}

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
        let lost = Change::GivenUp { ip: ip(last), why: GivenUp::Conflict { to: node(winner[0]) } };
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
    assert!(happened.contains(&(1, Change::GivenUp { ip: ip(7), why: GivenUp::Conflict { to: node(2) } })));
    assert!(happened.contains(&(2, Change::Defended { ip: ip(7), against: node(1) })));
    assert!(wire.announced.iter().any(|(_, number, _)| *number == 2));
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
            (2, Change::Taken { ip: ip(7), why: Taken::Preferred { to: node(1) } }),
            (1, Change::GivenUp { ip: ip(7), why: GivenUp::Conflict { to: node(2) } }),
        ]
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
    let gone = Change::GivenUp { ip: ip(7), why: GivenUp::Paused };
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
    let (now, heard) = (wire.now, wire.at(2).peers().next().map(announcer::segment::Peer::heard));
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
    assert_eq!((wire.owners(7), wire.at(1).standing()), (vec![], Standing::Mute));
}

#[test]
fn a_link_that_goes_down_gives_up_and_listens_again_when_it_comes_up() {
    let mut wire = Wire::new(&[1]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(1_000));
    let now = wire.now;
    wire.at(1).link(now, Link { usable: false, mac: mac(1) });
    assert_eq!((wire.owners(7), wire.at(1).standing()), (vec![], Standing::LinkDown));
    let gone = Change::GivenUp { ip: ip(7), why: GivenUp::LinkDown };
    assert_eq!(wire.happened().pop(), Some((1, gone)));
    wire.run(ms(12_000));
    let now = wire.now;
    wire.at(1).link(now, Link { usable: true, mac: mac(1) });
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
    wire.at(1).link(now, Link { usable: true, mac: other });
    wire.run(ms(5_000));
    let times: Vec<_> = wire.announced.iter().map(|(at, ..)| at.saturating_sub(now).as_millis()).collect();
    assert_eq!(times, [0, 50, 200, 450, 1_000, 2_000, 4_000]);
    let now = wire.now;
    let beats = wire.at(1).tick(now + ms(100)).beats;
    assert_eq!(beats.first().map(|beat| beat.from), Some(other));
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
fn an_address_is_given_up_when_it_is_to_be_announced_elsewhere_or_not_at_all() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7, 8], &[(1, 5), (2, 0)]));
    wire.run(ms(1_000));
    wire.happened();
    wire.want(&wanted(&[7], &[(2, 0)]));
    wire.run(ms(100));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![2], vec![]));
    let given_up = |last| (1, Change::GivenUp { ip: ip(last), why: GivenUp::NotWanted });
    let taken = (2, Change::Taken { ip: ip(7), why: Taken::GivenUp { from: node(1) } });
    assert_eq!(wire.happened(), [given_up(8), given_up(7), taken]);
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
fn of_two_links_of_one_node_on_one_segment_one_answers() {
    let mut wire = Wire::new(&[2]);
    let eligible = |links: &[&str]| {
        let links = links.iter().map(|link| Arc::from(*link)).collect();
        vec![Eligible { node: "n1".into(), links: Links::Named(links), score: 0 }]
    };
    for (number, link) in [(11, "eth1"), (10, "eth0")] {
        let me = Me { node: "n1".into(), link: link.into(), boot: Boot(number) };
        let mut segment = Segment::new(me, Settings::default(), wire.now);
        segment.link(wire.now, Link { usable: true, mac: mac(number) });
        wire.segments.insert(number, segment);
    }
    wire.want(&BTreeMap::from([(ip(7), eligible(&["eth0", "eth1"])), (ip(8), eligible(&["eth1"]))]));
    wire.run(ms(1_000));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![10], vec![11]));
    let now = wire.now;
    wire.at(10).link(now, Link { usable: false, mac: mac(10) });
    wire.run(ms(500));
    assert_eq!((wire.owners(7), wire.owners(8)), (vec![11], vec![11]));
    wire.at(10).link(now + ms(500), Link { usable: true, mac: mac(10) });
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [11], "a claim stays where it is");
}

#[test]
fn a_process_that_finds_another_of_its_node_and_link_started_after_it_gives_way() {
    let mut wire = Wire::new(&[1, 2]);
    wire.want(&wanted(&[7], &[(1, 0)]));
    wire.run(ms(1_000));
    let me = Me { node: node(1), link: "eth0".into(), boot: Boot(99) };
    let mut again = Segment::new(me, Settings::default(), wire.now);
    again.link(wire.now, Link { usable: true, mac: mac(1) });
    again.want(wire.now, &wanted(&[7], &[(1, 0)]));
    wire.segments.insert(99, again);
    wire.run(ms(1_000));
    assert_eq!((wire.owners(7), wire.at(1).standing()), (vec![99], Standing::Replaced));
    wire.segments.remove(&99);
    wire.run(ms(1_000));
    assert_eq!(wire.owners(7), [1]);
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
    assert_eq!(wire.happened(), [(1, Change::Foreign { ip: ip(7), by: mac(77), defended: true })]);
    let times: Vec<_> = wire.announced.iter().map(|(at, ..)| at.saturating_sub(began).as_secs()).collect();
    assert_eq!(times, [0, 10]);
}

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
