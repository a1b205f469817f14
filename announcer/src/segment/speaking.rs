//! What a segment says: its beats, when they are due, and until when others rely on them.

use std::time::Duration;

use super::{Segment, SegmentStatus};
use crate::beat::{Beat, Role};

/// A beat that was made: when, and how long others were told to wait for the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) sequence: u64,
    pub(super) at: Duration,
    pub(super) dead: Duration,
}

impl Segment {
    /// The beat of this sequence went out. What is not said to have been sent counts as not sent.
    pub fn sent(&mut self, sequence: u64) {
        if let Some(made) = self.made.filter(|made| made.sequence == sequence) {
            self.sent = Some(made);
        }
    }

    /// Until when to answer for them if nothing else is heard of this segment: then others take this node for dead. Whoever
    /// answers compares it with the clock, so that a process that stood still does not answer before it has looked.
    pub fn held_until(&self) -> Option<Duration> {
        self.sent.map(|sent| sent.at + sent.dead)
    }

    pub(super) fn can_announce(&self) -> bool {
        self.link.usable && self.settings.keyed
    }

    pub(super) fn may_speak(&self) -> bool {
        self.can_announce() && self.status() != SegmentStatus::Replaced
    }

    /// The interval of the next beat, and how long others are to wait for the one after it.
    pub(super) fn pace(&self) -> (Duration, Duration) {
        self.settings.pace(self.peers.alive().count() + 1)
    }

    /// The next beat comes as soon as it may: a tenth of an interval after the last.
    pub(super) fn hurry(&mut self) {
        let soonest = self.made.map_or(Duration::ZERO, |made| made.at + self.pace().0 / 10);
        self.next_beat = self.next_beat.min(soonest);
    }

    /// The pages of the next beat.
    pub(super) fn make(&mut self, now: Duration) -> Vec<Beat> {
        let (interval, dead) = self.pace();
        let sequence = self.made.map_or(0, |made| made.sequence) + 1;
        self.made = Some(Made { sequence, at: now, dead });
        self.next_beat = now + interval;
        self.said_farewell = self.leaving.is_some() && self.held.is_empty();
        let role = match (self.leaving, self.listening) {
            (Some(_), _) => Role::Leaver,
            (None, Some(_)) => Role::Listener,
            (None, None) => Role::Candidate,
        };
        let beat = Beat {
            from: self.link.mac,
            node: self.me.node.clone(),
            link: self.me.link.clone(),
            boot: self.me.boot,
            sequence,
            interval,
            dead,
            role,
            page: 0,
            pages: 1,
            hears: self.peers.alive().map(|peer| peer.boot().mark()).collect(),
            claims: self.held.iter().copied().collect(),
        };
        beat.paged()
    }
}
