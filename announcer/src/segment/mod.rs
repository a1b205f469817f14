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
//! use announcer::segment::{Eligible, Link, Links, Me, Segment, Settings};
//!
//! let at = Duration::from_millis;
//! let (key, cluster) = (Key::new(b"sixteen bytes or more").unwrap(), Cluster::of("a UID"));
//! let me = Me { node: "worker-1".into(), link: "eth0".into(), boot: Boot(1) };
//! let mut segment = Segment::new(me, Settings::default(), at(0));
//! segment.link(at(0), Link { usable: true, mac: Mac::new([2, 0, 0, 0, 0, 1]) });
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
mod peer;
mod peers;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::beat::{Beat, Boot, Role};
use crate::defence::Defence;
use crate::ethernet::Mac;
use crate::gratuitous::Gratuitous;
pub use change::{Change, GivenUp, Standing, Taken};
use contest::Contest;
pub use contest::{Eligible, Links};
use decide::{Decision, View, earlier};
pub use peer::{Heard, Peer};
use peers::Peers;
pub use settings::{Settings, WrongSettings};

/// For how long a preferred node is to have been well before it takes over from another.
pub const PREFERRED_AFTER: Duration = Duration::from_secs(30);
/// For how long a node that leaves answers on, at most, for what nobody takes.
pub const LEAVING: Duration = Duration::from_secs(2);

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
pub struct Link {
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

/// A beat that was made: when, and how long others were told to wait for the next.
#[derive(Clone, Copy, Debug)]
struct Made {
    sequence: u64,
    at: Duration,
    dead: Duration,
}

/// One announcing link.
#[derive(Clone, Debug)]
pub struct Segment {
    me: Me,
    settings: Settings,
    link: Link,
    peers: Peers,
    contests: BTreeMap<IpAddr, Contest>,
    held: BTreeSet<IpAddr>,
    gratuitous: Gratuitous,
    defence: Defence,
    changes: Vec<Change>,
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
    pub fn new(me: Me, settings: Settings, now: Duration) -> Self {
        Segment {
            me,
            settings,
            link: Link { usable: false, mac: Mac::ZERO },
            peers: Peers::default(),
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
    pub fn settings(&mut self, now: Duration, settings: Settings) {
        if !self.settings.keyed && settings.keyed {
            self.listen(now);
        }
        self.settings = settings;
        self.hurry();
        self.settle(now);
    }

    /// The link went up or down, or has another hardware address. Saying again what is known changes nothing.
    pub fn link(&mut self, now: Duration, link: Link) {
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

    /// A beat came in.
    pub fn heard(&mut self, now: Duration, beat: Beat) -> Heard {
        self.excuse(now);
        let itself = beat.node == self.me.node && beat.link == self.me.link;
        if itself && beat.boot == self.me.boot {
            return Heard::Own;
        }
        let (node, link) = (beat.node.clone(), beat.link.clone());
        let before = self.peers.get(&node, &link);
        let was_alive = before.is_some_and(Peer::alive);
        let is_back = before.is_some_and(|peer| !peer.alive() && peer.boot() == beat.boot);
        let (heard, changed) = self.peers.hear(now, beat, self.me.boot.mark(), !self.began);
        if heard == Heard::New && !was_alive {
            self.changes.push(Change::Heard { node: node.clone(), link: link.clone() });
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

    /// A frame said that an address is somewhere else: [`Answered::Claimed`](crate::answer::Answered::Claimed).
    pub fn claimed(&mut self, now: Duration, ip: IpAddr, by: Mac) {
        // Who of us has it is not settled by ARP.
        let ours = by == self.link.mac || self.peers.alive().any(|peer| peer.mac() == by);
        if ours || !self.held.contains(&ip) {
            return;
        }
        let defence = self.defence.claimed(now, ip, by);
        if defence.tell {
            self.changes.push(Change::Foreign { ip, by, defended: defence.announce });
        }
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

    /// The beat of this sequence went out. What is not said to have been sent counts as not sent.
    pub fn sent(&mut self, sequence: u64) {
        if let Some(made) = self.made.filter(|made| made.sequence == sequence) {
            self.sent = Some(made);
        }
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

    /// Until when to answer for them if nothing else is heard of this segment: then others take this node for dead. Whoever
    /// answers compares it with the clock, so that a process that stood still does not answer before it has looked.
    pub fn held_until(&self) -> Option<Duration> {
        self.sent.map(|sent| sent.at + sent.dead)
    }

    /// What happened since this was last asked.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// When [`Segment::tick`] has something to do, if nothing is told until then.
    pub fn next(&self) -> Option<Duration> {
        let mut next = self.gratuitous.next();
        let deadlines = self.peers.alive().filter_map(Peer::deadline);
        let listening = self.listening.filter(|_| self.can_announce()).map(|_| self.listens_until());
        let leaving = self.leaving.filter(|_| !self.held.is_empty()).map(|since| since + LEAVING);
        let speaking = self.may_speak().then_some(self.next_beat);
        let times = [listening, leaving, speaking, self.again, self.defence.next()];
        for time in times.into_iter().flatten().chain(deadlines) {
            next = earlier(next, time);
        }
        next
    }

    /// All announcing links that were heard on this segment.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.all()
    }

    /// Who announces an address on this segment, as far as is known here.
    pub fn owner(&self, ip: IpAddr) -> Option<&Arc<str>> {
        if self.held.contains(&ip) {
            return Some(&self.me.node);
        }
        self.peers.alive().find(|peer| peer.claims().contains(&ip)).map(Peer::node)
    }

    /// Whether addresses are taken here, and why not.
    pub fn standing(&self) -> Standing {
        let itself = self.peers.get(&self.me.node, &self.me.link).filter(|peer| peer.alive());
        if !self.link.usable {
            Standing::LinkDown
        } else if !self.settings.keyed {
            Standing::NoKey
        } else if itself.is_some_and(|other| !other.elder && other.hears_us()) {
            Standing::Replaced
        } else if self.leaving.is_some() {
            Standing::Leaving
        } else if self.listening.is_some() && self.listens_until() > self.looked {
            Standing::Listening { until: self.listens_until() }
        } else if self.held_until().is_none_or(|until| until <= self.looked) {
            Standing::Mute
        } else {
            Standing::Candidate
        }
    }

    fn can_announce(&self) -> bool {
        self.link.usable && self.settings.keyed
    }

    fn may_speak(&self) -> bool {
        self.can_announce() && self.standing() != Standing::Replaced
    }

    /// One dead interval, or that of the slowest who is heard.
    fn listens_until(&self) -> Duration {
        let (_, own) = self.pace();
        let slowest = self.peers.alive().map(Peer::dead_after).max().unwrap_or_default();
        self.listening.unwrap_or(self.looked) + own.max(slowest)
    }

    /// The interval of the next beat, and how long others are to wait for the one after it.
    fn pace(&self) -> (Duration, Duration) {
        self.settings.pace(self.peers.alive().count() + 1)
    }

    fn listen(&mut self, now: Duration) {
        self.listening = Some(now);
        self.candidate_since = None;
        self.dirty = true;
    }

    /// The next beat comes as soon as it may: a tenth of an interval after the last.
    fn hurry(&mut self) {
        let soonest = self.made.map_or(Duration::ZERO, |made| made.at + self.pace().0 / 10);
        self.next_beat = self.next_beat.min(soonest);
    }

    /// Time in which nobody looked is held against nobody: what came in meanwhile waits to be heard.
    fn excuse(&mut self, now: Duration) {
        let (interval, _) = self.pace();
        let gap = now.saturating_sub(self.looked);
        if gap > interval * 3 / 2 {
            self.peers.excuse(gap.saturating_sub(interval));
        }
        self.looked = self.looked.max(now);
    }

    /// Brings everything to what is true now.
    fn settle(&mut self, now: Duration) {
        self.excuse(now);
        for (node, link) in self.peers.bury(now) {
            self.changes.push(Change::Silent { node, link });
            self.dirty = true;
        }
        self.stand(now);
        if self.leaving.is_some_and(|since| since + LEAVING <= now) {
            self.give_up_all(&GivenUp::NobodyTook);
        }
        if self.dirty || self.again.is_some_and(|again| again <= now) {
            self.decide(now);
        }
    }

    /// Whether this node may hold anything at all.
    fn stand(&mut self, now: Duration) {
        let fenced = self.held_until().is_some_and(|until| until <= now);
        let lost = match self.standing() {
            Standing::LinkDown => Some(GivenUp::LinkDown),
            Standing::NoKey => Some(GivenUp::NoKey),
            Standing::Replaced => Some(GivenUp::Replaced),
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

    fn decide(&mut self, now: Duration) {
        self.dirty = false;
        self.again = None;
        if self.listening.is_some() {
            return;
        }
        let (interval, dead) = self.pace();
        let view = View {
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
            match view.decide(contest, claimants, held) {
                Decision::Take(why) => taken.push((*ip, why)),
                Decision::GiveUp(why) => given_up.push((*ip, why)),
                Decision::Stay(again) => {
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
            self.changes.push(Change::Taken { ip, why });
            self.hurry();
        }
        for (ip, against) in defended {
            self.gratuitous.begin(ip, now);
            self.changes.push(Change::Defended { ip, against });
        }
    }

    fn give_up(&mut self, ip: IpAddr, why: GivenUp) {
        if self.held.remove(&ip) {
            self.gratuitous.end(ip);
            self.defence.end(ip);
            if let Some(contest) = self.contests.get_mut(&ip) {
                contest.disputed_by = None;
                contest.vacant_since = None;
            }
            self.changes.push(Change::GivenUp { ip, why });
            // What was not to be waited for while it was held may be now: that the one who has it turns out to be deaf.
            self.dirty = true;
            self.hurry();
        }
    }

    fn give_up_all(&mut self, why: &GivenUp) {
        self.held.clone().into_iter().for_each(|ip| self.give_up(ip, why.clone()));
    }

    /// The pages of the next beat.
    fn make(&mut self, now: Duration) -> Vec<Beat> {
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
