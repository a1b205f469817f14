//! What a segment hears, and how long it only listens.

use std::net::IpAddr;
use std::time::Duration;

use super::{Heard, Segment, SegmentChange, SegmentPeer, SegmentStatus};
use crate::beat::Beat;
use crate::ethernet::Mac;

impl Segment {
    /// A beat came in.
    pub fn heard(&mut self, now: Duration, beat: Beat) -> Heard {
        self.excuse(now);
        let itself = beat.node == self.me.node && beat.link == self.me.link;
        if itself && beat.boot == self.me.boot {
            return Heard::Own;
        }
        let (node, link) = (beat.node.clone(), beat.link.clone());
        let before = self.peers.get(&node, &link);
        let was_alive = before.is_some_and(SegmentPeer::alive);
        let is_back = before.is_some_and(|peer| !peer.alive() && peer.boot() == beat.boot);
        let (heard, changed) = self.peers.hear(now, beat, self.me.boot.mark(), !self.began);
        if heard == Heard::New && !was_alive {
            self.changes.push(SegmentChange::Heard { node: node.clone(), link: link.clone() });
        }
        // It lived on where it was not heard, and may have had the same addresses: those to whom it announced them are told
        // better, whether or not its claim is ever heard here.
        if heard == Heard::New && is_back {
            let may_have_had = |ip: &&IpAddr| self.contests[*ip].entry(&node, &link).is_some();
            self.held.iter().filter(may_have_had).for_each(|ip| self.gratuitous.begin(*ip, now));
        }
        self.dirty |= changed;
        self.settle(now);
        heard
    }

    /// A beat of this cluster came in that is signed with another key: [`Refused::OtherKey`](crate::beat::Refused::OtherKey).
    pub fn heard_unvouched(&mut self, now: Duration, beat: &Beat) {
        self.unvouched.hear(now, beat);
    }

    /// A frame said that an address is somewhere else: [`Answered::Claimed`](crate::answer::Answered::Claimed).
    pub fn claimed(&mut self, now: Duration, ip: IpAddr, by: Mac) {
        // Who of us has it is not settled by ARP.
        let ours = by == self.link.mac || self.peers.alive().any(|peer| peer.mac() == by);
        if ours || !self.held.contains(&ip) {
            return;
        }
        let defence = self.defence.claimed(now, ip, by);
        if defence.tell {
            self.changes.push(SegmentChange::Foreign { ip, by, defended: defence.announce });
        }
    }

    /// Whether addresses are taken here, and why not.
    pub fn status(&self) -> SegmentStatus {
        let itself = self.peers.get(&self.me.node, &self.me.link).filter(|peer| peer.alive());
        if !self.link.usable {
            SegmentStatus::LinkDown
        } else if !self.settings.keyed {
            SegmentStatus::NoKey
        } else if itself.is_some_and(|other| !other.elder && other.hears_us()) {
            SegmentStatus::Replaced
        } else if self.leaving.is_some() {
            SegmentStatus::Leaving
        } else if self.listening.is_some() && self.listens_until() > self.looked {
            SegmentStatus::Listening { until: self.listens_until() }
        } else if self.held_until().is_none_or(|until| until <= self.looked) {
            SegmentStatus::Mute
        } else {
            SegmentStatus::Candidate
        }
    }

    /// One dead interval, or that of the slowest who is heard.
    pub(super) fn listens_until(&self) -> Duration {
        let (_, own) = self.pace();
        let slowest = self.peers.alive().map(SegmentPeer::dead_after).max().unwrap_or_default();
        self.listening.unwrap_or(self.looked) + own.max(slowest)
    }

    pub(super) fn listen(&mut self, now: Duration) {
        self.listening = Some(now);
        self.candidate_since = None;
        self.dirty = true;
    }

    /// Time in which nobody looked is held against nobody: what came in meanwhile waits to be heard.
    pub(super) fn excuse(&mut self, now: Duration) {
        let (interval, _) = self.pace();
        let gap = now.saturating_sub(self.looked);
        if gap > interval * 3 / 2 {
            self.peers.excuse(gap.saturating_sub(interval));
        }
        self.looked = self.looked.max(now);
    }
}
