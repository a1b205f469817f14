//! One announcing link: which addresses are answered for on it.
//!
//! A [`Segment`] is a plain value. It is told what was heard, what is wanted and what time it is, and says what is to be
//! sent and what is held. Times are from any clock that only grows, of which it does not matter when it began.
//!
//! # The rules
//!
//! 1. *Alive* is who was heard within the time that it says itself, three and a half of its intervals. *Candidates* are those
//!    alive that may announce the address, and neither listen nor leave.
//! 2. A claim stays where it is. Of two, the higher score stays, then the lower [`rank`](crate::rank::rank); the other stops
//!    as soon as it hears of it, and who stays announces again once the other has stopped.
//! 3. What nobody claims is taken by the first candidate by score and rank. If it does not take it, it does not know what
//!    the others know, and after a dead interval and one beat more the next takes it.
//! 4. Who is preferred takes over from who is not, after 30 seconds of uninterrupted life. Without preferences nothing
//!    moves back.
//! 5. Whose own last beat is older than what it tells others to wait gives everything up, and listens for as long before
//!    it takes anything. So does every start, and every link that comes up.
//! 6. A claim beside one's own by somebody who does not hear this node for a dead interval wins: that one would never
//!    give way. Unless it hears nobody at all where others hear this node: then it is deaf, and counts as dead.
//! 7. Who leaves answers on until another claims, for 2 seconds at most.
//! 8. What an announcer of this cluster claims under another key is not taken while it claims it, and what is held is not
//!    given up for it.
//!
//! # What can go wrong all the same
//!
//! A segment that is cut in two has two halves, and each is served. Where two nodes do not hear each other and both hear a
//! third, an address can be claimed twice for as long as that lasts. And two nodes that know different things from the API
//! may both claim until they know the same.
//!
//! # How it is driven
//!
//! ```
//! use std::time::Duration;
//! use announcer::beat::{Boot, Cluster, Key};
//! use announcer::ethernet::Mac;
//! use announcer::segment::{Eligible, LinkState, Links, Me, Segment, HeartbeatSettings};
//!
//! let at = Duration::from_millis;
//! let (key, cluster) = (Key::new(b"sixteen bytes or more").unwrap(), Cluster::of("a UID"));
//! let me = Me { node: "worker-1".into(), link: "eth0".into(), boot: Boot(1) };
//! let mut segment = Segment::new(me, HeartbeatSettings::default(), at(0));
//! segment.link(at(0), LinkState { usable: true, mac: Mac::new([2, 0, 0, 0, 0, 1]) });
//! let nodes = vec![Eligible { node: "worker-1".into(), links: Links::All, score: 0 }];
//! segment.want(at(0), &[("192.0.2.7".parse().unwrap(), nodes)].into());
//! while segment.held().is_empty() {
//!     // Wait until then, or until a frame comes in; what comes in goes to `segment.heard(now, key.open(frame, cluster)?)`.
//!     let now = segment.next().unwrap();
//!     for beat in segment.tick(now).beats {
//!         let frame = key.seal(&beat, cluster);
//!         // Only what was really sent counts.
//!         segment.sent(beat.sequence);
//!     }
//! }
//! ```

mod change;
mod contest;
mod decide;
mod holding;
mod listening;
mod peer;
mod peers;
mod settings;
mod speaking;
mod unvouched;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::beat::{Beat, Boot};
use crate::defence::Defence;
use crate::ethernet::Mac;
use crate::gratuitous::Gratuitous;
pub use change::{GivenUp, SegmentChange, SegmentStatus, Taken};
use contest::Contest;
pub use contest::{Eligible, Links};
use decide::earlier;
pub use peer::{Heard, SegmentPeer};
use peers::Peers;
pub use settings::{HeartbeatSettings, WrongSettings};
use speaking::Made;
use unvouched::Unvouched;

/// For how long a preferred node is to have been well before it takes over from another.
pub const PREFERRED_AFTER: Duration = Duration::from_secs(30);
/// For how long a node that leaves answers on, at most, for what nobody takes.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whose segment it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// The node's name.
    pub node: Arc<str>,
    /// The link's name.
    pub link: Arc<str>,
    /// This life of it: drawn at random for each [`Segment`].
    pub boot: Boot,
}

/// The state of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Whether frames can be sent and heard: it is up and has a carrier.
    pub usable: bool,
    /// Its hardware address.
    pub mac: Mac,
}

/// What is to be sent now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Pages of one beat, or nothing. When they are sent, [`Segment::sent`] is to be told.
    pub beats: Vec<Beat>,
    /// Addresses that are to be announced without being asked for.
    pub gratuitous: Vec<IpAddr>,
}

/// One announcing link.
#[derive(Clone, Debug)]
pub struct Segment {
    me: Me,
    settings: HeartbeatSettings,
    link: LinkState,
    peers: Peers,
    unvouched: Unvouched,
    contests: BTreeMap<IpAddr, Contest>,
    held: BTreeSet<IpAddr>,
    gratuitous: Gratuitous,
    defence: Defence,
    changes: Vec<SegmentChange>,
    /// Since when it only listens.
    listening: Option<Duration>,
    candidate_since: Option<Duration>,
    leaving: Option<Duration>,
    made: Option<Made>,
    sent: Option<Made>,
    next_beat: Duration,
    /// When anything was last asked or told.
    looked: Duration,
    /// Whether something changed that decides about addresses.
    dirty: bool,
    /// When to decide anew though nothing changes.
    again: Option<Duration>,
    /// Whether this life has begun to take part: who is heard before is its elder.
    began: bool,
    /// Whether a beat was made that leaves and claims nothing.
    said_farewell: bool,
}

impl Segment {
    /// A segment that begins to listen as soon as its link is usable, which [`Segment::link`] is to say.
    pub fn new(me: Me, settings: HeartbeatSettings, now: Duration) -> Self {
        Segment {
            me,
            settings,
            link: LinkState { usable: false, mac: Mac::ZERO },
            peers: Peers::default(),
            unvouched: Unvouched::default(),
            contests: BTreeMap::new(),
            held: BTreeSet::new(),
            gratuitous: Gratuitous::default(),
            defence: Defence::default(),
            changes: Vec::new(),
            listening: Some(now),
            candidate_since: None,
            leaving: None,
            made: None,
            sent: None,
            next_beat: now,
            looked: now,
            dirty: false,
            again: None,
            began: false,
            said_farewell: false,
        }
    }

    /// Other settings from now on.
    pub fn settings(&mut self, now: Duration, settings: HeartbeatSettings) {
        if !self.settings.keyed && settings.keyed {
            self.listen(now);
        }
        self.settings = settings;
        self.hurry();
        self.settle(now);
    }

    /// The link went up or down, or has another hardware address. Saying again what is known changes nothing.
    pub fn link(&mut self, now: Duration, link: LinkState) {
        let before = std::mem::replace(&mut self.link, link);
        if link.usable && !before.usable {
            self.listen(now);
            self.next_beat = now;
        }
        if link.usable && before.mac != link.mac {
            self.gratuitous.begin_all(now);
            self.hurry();
        }
        self.settle(now);
    }

    /// Which addresses are to be announced on this link by somebody, and who may. An address that is not among them any
    /// more is given up; the others stay where they are.
    pub fn want(&mut self, now: Duration, wanted: &BTreeMap<IpAddr, Vec<Eligible>>) {
        self.contests.retain(|ip, _| wanted.contains_key(ip));
        for (ip, eligible) in wanted {
            match self.contests.get_mut(ip) {
                Some(contest) if contest.wanted == *eligible => {}
                Some(contest) => contest.become_for(*ip, eligible),
                None => {
                    self.contests.insert(*ip, Contest::new(*ip, eligible));
                }
            }
        }
        let unwanted: Vec<IpAddr> =
            self.held.iter().filter(|ip| !self.contests.contains_key(ip)).copied().collect();
        unwanted.into_iter().for_each(|ip| self.give_up(ip, GivenUp::NotWanted));
        self.dirty = true;
        self.settle(now);
    }

    /// What is to be sent now. To be asked when [`Segment::next`] says so, and may be asked more often.
    pub fn tick(&mut self, now: Duration) -> Due {
        self.settle(now);
        let beats = if self.may_speak() && self.next_beat <= now { self.make(now) } else { Vec::new() };
        let mut gratuitous = self.gratuitous.due(now);
        let defended = self.defence.due(now).into_iter().filter(|ip| self.held.contains(ip));
        gratuitous.extend(defended);
        gratuitous.sort_unstable();
        gratuitous.dedup();
        Due { beats, gratuitous }
    }

    /// The process ends: others are to take over. What is held is answered for until [`Segment::has_left`].
    pub fn leave(&mut self, now: Duration) {
        if self.leaving.is_none() {
            self.leaving = Some(now);
            self.candidate_since = None;
            self.dirty = true;
            self.hurry();
        }
        self.settle(now);
    }

    /// Whether nothing is held any more after [`Segment::leave`], and others were told so.
    pub fn has_left(&self) -> bool {
        self.leaving.is_some() && self.held.is_empty() && (self.said_farewell || !self.may_speak())
    }

    /// For which addresses to answer.
    pub fn held(&self) -> &BTreeSet<IpAddr> {
        &self.held
    }

    /// What happened since this was last asked.
    pub fn changes(&mut self) -> Vec<SegmentChange> {
        std::mem::take(&mut self.changes)
    }

    /// When [`Segment::tick`] has something to do, if nothing is told until then.
    pub fn next(&self) -> Option<Duration> {
        let mut next = self.gratuitous.next();
        let deadlines = self.peers.alive().filter_map(SegmentPeer::deadline);
        let listening = self.listening.filter(|_| self.can_announce()).map(|_| self.listens_until());
        let leaving = self.leaving.filter(|_| !self.held.is_empty()).map(|since| since + LEAVE_TIMEOUT);
        let speaking = self.may_speak().then_some(self.next_beat);
        let times = [listening, leaving, speaking, self.again, self.defence.next()];
        for time in times.into_iter().flatten().chain(deadlines) {
            next = earlier(next, time);
        }
        next
    }

    /// All announcing links that were heard on this segment.
    pub fn peers(&self) -> impl Iterator<Item = &SegmentPeer> {
        self.peers.all()
    }

    /// Who announces an address on this segment, as far as is known here.
    pub fn owner(&self, ip: IpAddr) -> Option<&Arc<str>> {
        if self.held.contains(&ip) {
            return Some(&self.me.node);
        }
        self.peers.alive().find(|peer| peer.claims().contains(&ip)).map(SegmentPeer::node)
    }
}
