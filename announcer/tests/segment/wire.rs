//! Segments on one wire that loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use announcer::beat::{Beat, Boot};
use announcer::ethernet::Mac;
use announcer::segment::{Due, Eligible, HeartbeatSettings, LinkState, Links, Me, Segment, SegmentChange};

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

pub(crate) fn mac(number: u64) -> Mac {
    Mac::new([2, 0, 0, 0, 0, number as u8])
}

/// A segment by number; node `n1` for 1, and so on.
pub(crate) fn segment(number: u64, now: Duration) -> Segment {
    let me = Me { node: format!("n{number}").into(), link: "eth0".into(), boot: Boot(number) };
    let mut segment = Segment::new(me, HeartbeatSettings::default(), now);
    segment.link(now, LinkState { usable: true, mac: mac(number) });
    segment
}

/// Nodes with their scores, on all of their links.
pub(crate) fn nodes(scores: &[(u64, u32)]) -> Vec<Eligible> {
    scores
        .iter()
        .map(|(node, score)| Eligible { node: format!("n{node}").into(), links: Links::All, score: *score })
        .collect()
}

pub(crate) fn wanted(addresses: &[u8], scores: &[(u64, u32)]) -> BTreeMap<IpAddr, Vec<Eligible>> {
    addresses.iter().map(|last| (ip(*last), nodes(scores))).collect()
}

/// Segments on one wire, on which each hears at once what another says.
pub(crate) struct Wire {
    pub(crate) now: Duration,
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// Who does not hear whom.
    pub(crate) cuts: BTreeSet<(u64, u64)>,
    pub(crate) changes: Vec<(u64, SegmentChange)>,
    pub(crate) announced: Vec<(Duration, u64, IpAddr)>,
}

impl Wire {
    pub(crate) fn new(numbers: &[u64]) -> Self {
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

    pub(crate) fn plug(&mut self, number: u64) {
        self.segments.insert(number, segment(number, self.now));
    }

    pub(crate) fn want(&mut self, wanted: &BTreeMap<IpAddr, Vec<Eligible>>) {
        let now = self.now;
        self.segments.values_mut().for_each(|segment| segment.want(now, wanted));
    }

    pub(crate) fn at(&mut self, number: u64) -> &mut Segment {
        self.segments.get_mut(&number).expect("it is plugged in")
    }

    pub(crate) fn run(&mut self, time: Duration) {
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
    pub(crate) fn owners(&self, last: u8) -> Vec<u64> {
        let holds = |segment: &Segment| segment.held().contains(&ip(last));
        self.segments.iter().filter(|(_, segment)| holds(segment)).map(|(number, _)| *number).collect()
    }

    pub(crate) fn cut(&mut self, one: u64, other: u64) {
        self.cuts.extend([(one, other), (other, one)]);
    }

    /// What happened to an address since this was last asked.
    pub(crate) fn happened(&mut self) -> Vec<(u64, SegmentChange)> {
        self.note();
        let of_addresses = |change: &SegmentChange| {
            !matches!(change, SegmentChange::Heard { .. } | SegmentChange::Silent { .. })
        };
        std::mem::take(&mut self.changes).into_iter().filter(|(_, change)| of_addresses(change)).collect()
    }
}

pub(crate) fn node(number: u64) -> Arc<str> {
    format!("n{number}").into()
}
