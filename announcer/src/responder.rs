//! What one link says: answers to questions, heartbeats, and announcements of what was taken. Frames and time come in, and
//! frames go out; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answered, HeldAddresses, answer};
use crate::arp::ArpFrame;
use crate::beat::{Cluster, Keyring, Refused, unvouched};
use crate::ethernet::Mac;
use crate::ndp::NdpFrame;
use crate::segment::{Eligible, HeartbeatSettings, LinkState, Me, Segment, SegmentChange, SegmentStatus};

/// How many kinds of heartbeats that are not listened to are told apart: anybody on the segment can make up more.
const MAX_REFUSED_FRAMES: usize = 32;

/// What a link is told.
#[derive(Clone, Debug)]
pub enum Command {
    /// Which addresses somebody is to announce on this link, and who may; instead of what was said before.
    Want(BTreeMap<IpAddr, Vec<Eligible>>),
    /// The link is like this now.
    Link(LinkState),
    /// Which keys the heartbeat has from now on.
    Keys(Keyring),
    /// The process ends: hand over.
    Leave,
}

/// What is to be sent now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The pages of a heartbeat, with its number.
    pub beat: Option<(u64, Vec<Vec<u8>>)>,
    /// Announcements.
    pub announcements: Vec<Vec<u8>>,
}

/// How things stand on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// Whether addresses are taken, and why not.
    pub status: SegmentStatus,
    /// For which addresses it answers.
    pub held: BTreeSet<IpAddr>,
    /// Who announces the other addresses that are wanted here.
    pub owners: BTreeMap<IpAddr, Arc<str>>,
    /// Which other links are heard, by node and link, and how many of their beats were lost.
    pub peers: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// What was counted by address.
    pub counts: BTreeMap<IpAddr, Counts>,
    /// How often others claimed an address that is held here.
    pub foreign: BTreeMap<(IpAddr, Mac), u64>,
    /// Heartbeats that are not listened to, in words, and how many.
    pub refused: BTreeMap<String, u64>,
    /// Whether all was handed over after [`Command::Leave`].
    pub has_left: bool,
}

/// What was counted for one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions that were answered.
    pub answers: u64,
    /// Announcements that nobody asked for.
    pub gratuitous: u64,
}

/// One link, with a heart.
#[derive(Debug)]
pub struct Responder {
    segment: Segment,
    keys: Keyring,
    cluster: Cluster,
    mac: Mac,
    wanted: BTreeSet<IpAddr>,
    /// What [`answer`] needs, made of what the segment holds.
    answers_for: HeldAddresses,
    counts: BTreeMap<IpAddr, Counts>,
    foreign: BTreeMap<(IpAddr, Mac), u64>,
    refused: BTreeMap<String, u64>,
    changes: Vec<SegmentChange>,
}

impl Responder {
    /// One that begins to listen as soon as it is told that its link is usable.
    pub fn new(
        me: Me,
        settings: HeartbeatSettings,
        keys: impl Into<Keyring>,
        cluster: Cluster,
        now: Duration,
    ) -> Self {
        Responder {
            segment: Segment::new(me, settings, now),
            keys: keys.into(),
            cluster,
            mac: Mac::ZERO,
            wanted: BTreeSet::new(),
            answers_for: HeldAddresses::new(Mac::ZERO, []),
            counts: BTreeMap::new(),
            foreign: BTreeMap::new(),
            refused: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// Does as it is told.
    pub fn obey(&mut self, now: Duration, command: Command) {
        match command {
            Command::Want(wanted) => {
                self.wanted = wanted.keys().copied().collect();
                self.counts.retain(|ip, _| wanted.contains_key(ip));
                self.segment.want(now, &wanted);
            }
            Command::Link(link) => {
                self.mac = link.mac;
                self.segment.link(now, link);
            }
            Command::Keys(keys) => {
                self.keys = keys;
                // Who had another key may have this one; who has not is told of anew.
                self.refused.clear();
            }
            Command::Leave => self.segment.leave(now),
        }
        self.follow();
    }

    /// A frame came in; what is to be sent at once, on the same link.
    pub fn frame(&mut self, now: Duration, frame: &[u8]) -> Option<Vec<u8>> {
        match self.keys.open(frame, self.cluster) {
            Ok(beat) => {
                self.segment.heard(now, beat);
                self.follow();
                None
            }
            Err(Refused::NotABeat) => self.question(now, frame),
            Err(refused) => {
                if let Some(beat) = unvouched(frame).filter(|_| matches!(refused, Refused::OtherKey { .. })) {
                    self.segment.heard_unvouched(now, &beat);
                }
                self.refuse(refused);
                None
            }
        }
    }

    fn question(&mut self, now: Duration, frame: &[u8]) -> Option<Vec<u8>> {
        match answer(frame, &self.answers_for) {
            Answered::Nothing => None,
            // A process that stood still finds questions from meanwhile, when others had taken over.
            Answered::Reply { .. } if self.segment.held_until().is_none_or(|until| until <= now) => None,
            Answered::Reply { ip, frame } => {
                self.counts.entry(ip).or_default().answers += 1;
                Some(frame)
            }
            Answered::Claimed { ip, by } => {
                self.segment.claimed(now, ip, by);
                self.follow();
                None
            }
        }
    }

    fn refuse(&mut self, refused: Refused) {
        let words = refused.to_string();
        if let Some(count) = self.refused.get_mut(&words) {
            *count += 1;
        } else if self.refused.len() < MAX_REFUSED_FRAMES {
            self.refused.insert(words, 1);
            self.changes.push(SegmentChange::Refused { why: refused });
        }
    }

    /// What is due. Of a beat that went out, [`Responder::sent`] is to be told.
    pub fn tick(&mut self, now: Duration) -> Outgoing {
        let due = self.segment.tick(now);
        self.follow();
        let beat = due.beats.first().map(|first| {
            let sequence = first.sequence;
            (sequence, due.beats.iter().map(|page| self.keys.seal(page, self.cluster)).collect())
        });
        let mut announcements = Vec::new();
        for ip in due.gratuitous {
            self.counts.entry(ip).or_default().gratuitous += 1;
            announcements.extend(announcement(self.mac, ip));
        }
        Outgoing { beat, announcements }
    }

    /// All pages of this beat went out.
    pub fn sent(&mut self, sequence: u64) {
        self.segment.sent(sequence);
    }

    /// When something is due, if nothing comes in before.
    pub fn next(&self) -> Option<Duration> {
        self.segment.next()
    }

    /// Which addresses may come to be held here, and are to be listened for.
    pub fn wanted(&self) -> &BTreeSet<IpAddr> {
        &self.wanted
    }

    /// What has happened since this was last asked.
    pub fn changes(&mut self) -> Vec<SegmentChange> {
        std::mem::take(&mut self.changes)
    }

    /// How things stand.
    pub fn report(&self) -> LinkReport {
        let held = self.segment.held().clone();
        let owner = |ip: &IpAddr| Some((*ip, self.segment.owner(*ip)?.clone()));
        LinkReport {
            status: self.segment.status(),
            owners: self.wanted.difference(&held).filter_map(owner).collect(),
            held,
            peers: self
                .segment
                .peers()
                .filter(|peer| peer.alive())
                .map(|peer| ((peer.node().clone(), peer.link().clone()), peer.lost()))
                .collect(),
            counts: self.counts.clone(),
            foreign: self.foreign.clone(),
            refused: self.refused.clone(),
            has_left: self.segment.has_left(),
        }
    }

    /// Takes in what the segment has decided.
    fn follow(&mut self) {
        let changes = self.segment.changes();
        for change in &changes {
            if let SegmentChange::Foreign { ip, by, .. } = change {
                *self.foreign.entry((*ip, *by)).or_default() += 1;
            }
        }
        self.changes.extend(changes);
        if !self.answers_for.is(self.mac, self.segment.held()) {
            self.answers_for = HeldAddresses::new(self.mac, self.segment.held().iter().copied());
        }
    }
}

/// The frames that announce an address: one of neighbour discovery, or two of ARP, since there are devices that listen to
/// one of its forms only.
fn announcement(mac: Mac, ip: IpAddr) -> Vec<Vec<u8>> {
    match ip {
        IpAddr::V4(ip) => {
            vec![ArpFrame::announcement(mac, ip).emit(), ArpFrame::announcing_reply(mac, ip).emit()]
        }
        IpAddr::V6(ip) => vec![NdpFrame::announcement(mac, ip).emit()],
    }
}
