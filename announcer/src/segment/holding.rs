//! What a segment holds: what it takes and what it gives up, once something has changed.

use std::net::IpAddr;
use std::time::Duration;

use super::decide::{ClaimDecision, SegmentView, earlier};
use super::{GivenUp, LEAVE_TIMEOUT, Segment, SegmentChange, SegmentStatus};

impl Segment {
    /// Brings everything to what is true now.
    pub(super) fn settle(&mut self, now: Duration) {
        self.excuse(now);
        for (node, link) in self.peers.bury(now) {
            self.changes.push(SegmentChange::Silent { node, link });
            self.dirty = true;
        }
        self.stand(now);
        if self.leaving.is_some_and(|since| since + LEAVE_TIMEOUT <= now) {
            self.give_up_all(&GivenUp::NobodyTook);
        }
        if self.dirty || self.again.is_some_and(|again| again <= now) {
            self.decide(now);
        }
    }

    /// Whether this node may hold anything at all.
    pub(super) fn stand(&mut self, now: Duration) {
        let fenced = self.held_until().is_some_and(|until| until <= now);
        let lost = match self.status() {
            SegmentStatus::LinkDown => Some(GivenUp::LinkDown),
            SegmentStatus::NoKey => Some(GivenUp::NoKey),
            SegmentStatus::Replaced => Some(GivenUp::Replaced),
            _ if fenced && self.listening.is_none() => Some(GivenUp::Paused),
            _ => None,
        };
        if let Some(why) = lost {
            self.give_up_all(&why);
            self.sent = None;
            self.listen(now);
            return;
        }
        if self.listening.is_some() && self.listens_until() <= now && self.sent.is_some() && !fenced {
            self.listening = None;
            self.began = true;
            self.candidate_since = self.leaving.is_none().then_some(now);
            self.dirty = true;
            self.hurry();
        }
    }

    pub(super) fn decide(&mut self, now: Duration) {
        self.dirty = false;
        self.again = None;
        if self.listening.is_some() {
            return;
        }
        let (interval, dead) = self.pace();
        let view = SegmentView {
            now,
            me: &self.me,
            peers: &self.peers,
            candidate_since: self.candidate_since,
            dead,
            interval,
        };
        let claimants = self.peers.claimants();
        let (mut taken, mut given_up, mut defended) = (Vec::new(), Vec::new(), Vec::new());
        for (ip, contest) in &mut self.contests {
            let claimants = claimants.get(ip).map_or(&[][..], Vec::as_slice);
            let held = self.held.contains(ip);
            match view.decide(contest, claimants, self.unvouched.until(*ip, now), held) {
                ClaimDecision::Take(why) => taken.push((*ip, why)),
                ClaimDecision::GiveUp(why) => given_up.push((*ip, why)),
                ClaimDecision::Stay(again) => {
                    if let Some(again) = again {
                        self.again = earlier(self.again, again);
                    }
                    let disputed_by = claimants.first().map(|peer| peer.node().clone()).filter(|_| held);
                    let before = std::mem::replace(&mut contest.disputed_by, disputed_by);
                    if let Some(against) = before.filter(|_| held && contest.disputed_by.is_none()) {
                        defended.push((*ip, against));
                    }
                }
            }
        }
        for (ip, why) in given_up {
            self.give_up(ip, why);
        }
        for (ip, why) in taken {
            self.held.insert(ip);
            self.gratuitous.begin(ip, now);
            self.changes.push(SegmentChange::Taken { ip, why });
            self.hurry();
        }
        for (ip, against) in defended {
            self.gratuitous.begin(ip, now);
            self.changes.push(SegmentChange::Defended { ip, against });
        }
    }

    pub(super) fn give_up(&mut self, ip: IpAddr, why: GivenUp) {
        if self.held.remove(&ip) {
            self.gratuitous.end(ip);
            self.defence.end(ip);
            if let Some(contest) = self.contests.get_mut(&ip) {
                contest.disputed_by = None;
                contest.vacant_since = None;
            }
            self.changes.push(SegmentChange::GivenUp { ip, why });
            // What was not to be waited for while it was held may be now: that the one who has it turns out to be deaf.
            self.dirty = true;
            self.hurry();
        }
    }

    pub(super) fn give_up_all(&mut self, why: &GivenUp) {
        self.held.clone().into_iter().for_each(|ip| self.give_up(ip, why.clone()));
    }
}
