//! A session with one peer: what happens in, what is to be done out (RFC 4271 §8).
//!
//! We connect, and never listen. So there is one connection at most, and nothing of RFC 4271 §6.8 (which of two connections
//! stays) and of the state Active; a peer that tries to connect to us is refused by the operating system. Whoever configures
//! the router as passive loses nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloud_provider::DoublingPause;

use super::adj_out::AdjOut;
use super::agreement::Agreement;
use super::family::Family;
use super::message::{BgpMessage, keepalive};
use super::notification::{
    ADMINISTRATIVE_SHUTDOWN, BAD_IDENTIFIER, BAD_PEER_AS, BFD_DOWN, HOLD_TIMER, Notification,
    UNEXPECTED_IN_ESTABLISHED, UNEXPECTED_IN_OPEN_CONFIRM, UNEXPECTED_IN_OPEN_SENT, UNSUPPORTED_CAPABILITY,
};
use super::open::Open;
use super::peer::BgpPeer;
use super::reason::DownReason;
use super::route::WantedRoutes;
use crate::jitter::shortened;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take to answer our OPEN. RFC 4271 §8.2.2 suggests four minutes, for routers of another time: whoever
/// says nothing for so long is not going to, and a new connection may lead to one that does.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after the first failure; the longest is the peer's connect time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BgpAction {
    /// Open a connection. [`BgpSession::connected`] or [`BgpSession::failed`] says how that went.
    Connect,
    /// Send these bytes.
    Send(Vec<u8>),
    /// Close the connection, or give the attempt up, when what was to be sent is sent.
    Close,
    /// The session is up.
    Up(Agreement),
    /// The session is not up, or no more.
    Down(DownReason),
}

/// How to leave a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// For good, or for long: the routes are withdrawn, and the peer is told. That ends a graceful restart, too.
    ForGood,
    /// To come back at once. Where graceful restart was agreed on, the connection closes without a word, and the peer keeps
    /// the routes; a Cease would have it drop them (RFC 4724 §4.2). Where it was not, this is the same as for good.
    ToRestart,
}

#[derive(Debug)]
enum SessionPhase {
    /// Nothing is under way until then; never, if there is no such time.
    Idle {
        until: Option<Instant>,
    },
    Connect {
        until: Instant,
    },
    OpenSent {
        until: Instant,
        local: IpAddr,
    },
    OpenConfirm(Agreed),
    Established(Agreed, Instant),
}

/// What two speakers that have agreed with each other go by.
#[derive(Clone, Debug)]
struct Agreed {
    agreement: Agreement,
    /// When the silence has lasted too long, and when the peer has to hear of us.
    hold_until: Option<Instant>,
    keepalive_at: Option<Instant>,
}

/// A session with one peer.
#[derive(Debug)]
pub struct BgpSession {
    peer: BgpPeer,
    phase: SessionPhase,
    /// Before it is begun again.
    pause: DoublingPause,
    /// Whether no session was up since this process began: then the first one that comes up says that we have restarted.
    is_first: bool,
    arrived: Vec<u8>,
    out: AdjOut,
    random: fastrand::Rng,
}

impl BgpSession {
    /// With this peer, not begun. Of `random` come the pauses, which are to differ from node to node.
    pub fn new(peer: BgpPeer, random: fastrand::Rng) -> Self {
        BgpSession {
            pause: DoublingPause::new(FIRST_PAUSE, peer.connect_time),
            peer,
            phase: SessionPhase::Idle { until: None },
            is_first: true,
            arrived: Vec::new(),
            out: AdjOut::default(),
            random,
        }
    }

    /// Begins, if nothing has begun.
    pub fn start(&mut self, now: Instant) -> Vec<BgpAction> {
        match self.phase {
            SessionPhase::Idle { .. } => self.connect(now),
            _ => Vec::new(),
        }
    }

    /// When [`BgpSession::passed`] is to be called next; none is when something else happens.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            SessionPhase::Idle { until } => *until,
            SessionPhase::Connect { until } | SessionPhase::OpenSent { until, .. } => Some(*until),
            SessionPhase::OpenConfirm(agreed) | SessionPhase::Established(agreed, _) => {
                agreed.hold_until.into_iter().chain(agreed.keepalive_at).min()
            }
        }
    }

    /// Time has passed. Called early, it does nothing.
    pub fn passed(&mut self, now: Instant) -> Vec<BgpAction> {
        match &mut self.phase {
            SessionPhase::Idle { until: Some(until) } if *until <= now => self.connect(now),
            SessionPhase::Connect { until } if *until <= now => {
                self.fail(now, DownReason::ConnectTimedOut(CONNECT_TIMEOUT.as_secs()), None)
            }
            SessionPhase::OpenSent { until, .. } if *until <= now => {
                let reason = DownReason::Silent(OPEN_TIMEOUT.as_secs());
                self.fail(now, reason, Some(Notification::new(HOLD_TIMER)))
            }
            SessionPhase::OpenConfirm(agreed) | SessionPhase::Established(agreed, _) => {
                if agreed.hold_until.is_some_and(|until| until <= now) {
                    let reason = DownReason::HoldTimer(agreed.agreement.hold_time.seconds().into());
                    return self.fail(now, reason, Some(Notification::new(HOLD_TIMER)));
                }
                match (agreed.keepalive_at, agreed.agreement.keepalive) {
                    (Some(at), Some(every)) if at <= now => {
                        agreed.keepalive_at = Some(now + shortened(every, &mut self.random));
                        vec![BgpAction::Send(keepalive())]
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    /// The connection is there, from this address of ours.
    pub fn connected(&mut self, now: Instant, local: IpAddr) -> Vec<BgpAction> {
        let SessionPhase::Connect { .. } = self.phase else { return Vec::new() };
        self.phase = SessionPhase::OpenSent { until: now + OPEN_TIMEOUT, local };
        vec![BgpAction::Send(self.peer.open(self.is_first).emit())]
    }

    /// There is no connection, or none any more.
    pub fn failed(&mut self, now: Instant, reason: DownReason) -> Vec<BgpAction> {
        match self.phase {
            SessionPhase::Idle { .. } => Vec::new(),
            _ => self.fail(now, reason, None),
        }
    }

    /// BFD says that the path is gone. The peer is told, should it still be there (RFC 9384).
    pub fn path_lost(&mut self, now: Instant) -> Vec<BgpAction> {
        match self.phase {
            SessionPhase::OpenConfirm(_) | SessionPhase::Established(..) => {
                self.fail(now, DownReason::BfdDown, Some(Notification::new(BFD_DOWN)))
            }
            _ => Vec::new(),
        }
    }

    /// Bytes have arrived on the connection.
    pub fn received(&mut self, now: Instant, bytes: &[u8]) -> Vec<BgpAction> {
        if matches!(self.phase, SessionPhase::Idle { .. } | SessionPhase::Connect { .. }) {
            return Vec::new();
        }
        self.arrived.extend(bytes);
        let (mut read, mut actions) = (0, Vec::new());
        loop {
            match BgpMessage::read(&self.arrived[read..]) {
                Ok(Some((message, length))) => {
                    read += length;
                    actions.extend(self.message(now, message));
                }
                Ok(None) => break,
                Err(notification) => {
                    let reason = DownReason::Invalid(notification.clone());
                    actions.extend(self.fail(now, reason, Some(notification)));
                }
            }
            if matches!(self.phase, SessionPhase::Idle { .. }) {
                return actions;
            }
        }
        self.arrived.drain(..read);
        actions
    }

    /// From now on the peer is to have these routes. What follows is said by [`BgpSession::updates`].
    pub fn want(&mut self, wanted: Arc<WantedRoutes>) {
        self.out.want(wanted);
    }

    /// What is to be told now, if the session is up. To be asked for when all that was to be sent before is sent: what is
    /// wanted and taken back meanwhile is not told at all, and a slow peer fills no memory.
    pub fn updates(&mut self) -> Vec<u8> {
        match &self.phase {
            SessionPhase::Established(agreed, _) => self.out.updates(&agreed.agreement.telling).concat(),
            _ => Vec::new(),
        }
    }

    /// How many routes the peer has been told of on the session that is up.
    pub fn told(&self) -> usize {
        match self.phase {
            SessionPhase::Established(..) => self.out.told(),
            _ => 0,
        }
    }

    /// Leaves the peer. Nothing happens afterwards until [`BgpSession::start`].
    pub fn leave(&mut self, leaving: Leaving) -> Vec<BgpAction> {
        let mut actions = Vec::new();
        match &self.phase {
            SessionPhase::Idle { .. } => {}
            SessionPhase::Established(agreed, _)
                if leaving == Leaving::ToRestart && agreed.agreement.keeps_routes =>
            {
                actions.push(BgpAction::Close);
            }
            SessionPhase::Connect { .. } => actions.push(BgpAction::Close),
            _ => {
                self.out.want(Arc::default());
                let last = self.updates();
                actions.extend((!last.is_empty()).then_some(BgpAction::Send(last)));
                actions.push(BgpAction::Send(Notification::new(ADMINISTRATIVE_SHUTDOWN).emit()));
                actions.push(BgpAction::Close);
            }
        }
        self.phase = SessionPhase::Idle { until: None };
        actions.push(BgpAction::Down(DownReason::Left));
        actions
    }

    fn connect(&mut self, now: Instant) -> Vec<BgpAction> {
        self.phase = SessionPhase::Connect { until: now + CONNECT_TIMEOUT };
        self.arrived.clear();
        vec![BgpAction::Connect]
    }

    /// Ends what is under way, with a last word if there is one, and waits before it begins again.
    fn fail(&mut self, now: Instant, reason: DownReason, last: Option<Notification>) -> Vec<BgpAction> {
        // A session that was up for longer than the longest pause was a good one. One that comes up and is refused at once,
        // because it tells too many routes perhaps, is not tried every second.
        let was_good = match &self.phase {
            SessionPhase::Established(_, since) => {
                now.saturating_duration_since(*since) > self.peer.connect_time
            }
            _ => false,
        };
        if was_good {
            self.pause.reset();
        }
        let pause = shortened(self.pause.advance(), &mut self.random);
        self.phase = SessionPhase::Idle { until: Some(now + pause) };
        let last = last.map(|last| BgpAction::Send(last.emit()));
        last.into_iter().chain([BgpAction::Close, BgpAction::Down(reason)]).collect()
    }

    fn message(&mut self, now: Instant, message: BgpMessage) -> Vec<BgpAction> {
        if let BgpMessage::Notification(said) = message {
            let is_about_our_as = (said.code, said.subcode) == BAD_PEER_AS;
            let reason = match is_about_our_as {
                true => DownReason::OurAs { ours: self.peer.asn, said },
                false => DownReason::Refused(said),
            };
            return self.fail(now, reason, None);
        }
        if let SessionPhase::OpenConfirm(agreed) | SessionPhase::Established(agreed, _) = &mut self.phase {
            agreed.hold_until = agreed.agreement.hold_time.duration().map(|hold| now + hold);
        }
        match (&self.phase, message) {
            (SessionPhase::OpenSent { local, .. }, BgpMessage::Open(open)) => {
                let local = *local;
                self.open(now, &open, local)
            }
            (SessionPhase::OpenConfirm(agreed), BgpMessage::Keepalive) => {
                let agreed = agreed.clone();
                self.is_first = false;
                self.out.begin(agreed.agreement.families.iter().copied());
                let up = BgpAction::Up(agreed.agreement.clone());
                self.phase = SessionPhase::Established(agreed, now);
                vec![up]
            }
            (SessionPhase::Established(..), BgpMessage::Keepalive | BgpMessage::Update) => Vec::new(),
            (SessionPhase::Established(..), BgpMessage::RouteRefresh(family)) => {
                family.into_iter().for_each(|family| self.out.tell_again(family));
                Vec::new()
            }
            (SessionPhase::OpenSent { .. }, _) => self.unexpected(now, UNEXPECTED_IN_OPEN_SENT),
            (SessionPhase::OpenConfirm(_), _) => self.unexpected(now, UNEXPECTED_IN_OPEN_CONFIRM),
            (SessionPhase::Established(..), _) => self.unexpected(now, UNEXPECTED_IN_ESTABLISHED),
            (SessionPhase::Idle { .. } | SessionPhase::Connect { .. }, _) => Vec::new(),
        }
    }

    fn unexpected(&mut self, now: Instant, kind: (u8, u8)) -> Vec<BgpAction> {
        let notification = Notification::new(kind);
        self.fail(now, DownReason::Invalid(notification.clone()), Some(notification))
    }

    /// The peer's OPEN, which is well-formed: whether it is the peer that was meant, and what both agree on.
    fn open(&mut self, now: Instant, open: &Open, local: IpAddr) -> Vec<BgpAction> {
        let (ours, expected) = (self.peer.asn, self.peer.remote_as);
        if !expected.allows(open.asn, ours) {
            let reason = DownReason::WrongAs { expected, told: open.asn };
            return self.fail(now, reason, Some(Notification::new(BAD_PEER_AS)));
        }
        if open.asn == ours && open.identifier == self.peer.router_id {
            // RFC 6286 §2.2: only within an autonomous system have they to differ.
            let reason = DownReason::SameRouterId(open.identifier);
            return self.fail(now, reason, Some(Notification::new(BAD_IDENTIFIER)));
        }
        let agreement = Agreement::of(&self.peer, open, local);
        if agreement.families.is_empty() {
            let families: Vec<Family> = self.peer.families.iter().copied().collect();
            let reason = DownReason::NoCommonFamily(families);
            return self.fail(now, reason, Some(Notification::new(UNSUPPORTED_CAPABILITY)));
        }
        let hold_until = agreement.hold_time.duration().map(|hold| now + hold);
        let keepalive_at = agreement.keepalive.map(|every| now + shortened(every, &mut self.random));
        self.phase = SessionPhase::OpenConfirm(Agreed { agreement, hold_until, keepalive_at });
        vec![BgpAction::Send(keepalive())]
    }
}
