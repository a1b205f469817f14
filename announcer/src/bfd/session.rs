//! A session with one peer: packets and time in, packets and changes out (RFC 5880 §6).

use std::time::{Duration, Instant};

use super::packet::{BfdState, ControlPacket, Diagnostic};

/// While a session is not up, nobody hears of us more often (RFC 5880 §6.8.3): a peer that is not there is not bothered.
const MIN_INTERVAL_WHILE_DOWN: Duration = Duration::from_secs(1);
/// The shortest time that is taken from a peer between its packets or ours: a packet may ask for none at all.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// What the two ends ask of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// How often we can receive. The peer sends no more often.
    pub receive: Duration,
    /// How often we would send.
    pub transmit: Duration,
    /// After how many packets of ours that do not come the peer says that we are gone; not zero.
    pub multiplier: u8,
    /// Whether we say nothing before the peer does.
    pub is_passive: bool,
    /// The lowest TTL that is taken over several hops; over one hop it is always 255 (RFC 5881 §5).
    pub minimum_ttl: u8,
}

impl Default for Profile {
    /// What FRR has where nothing is configured.
    fn default() -> Self {
        Profile {
            receive: Duration::from_millis(300),
            transmit: Duration::from_millis(300),
            multiplier: 3,
            is_passive: false,
            minimum_ttl: 254,
        }
    }
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BfdAction {
    /// Send this packet.
    Send(ControlPacket),
    /// The path is there.
    Up,
    /// The path is gone, or the peer says that it is.
    Down(Diagnostic),
    /// The peer has switched the session off. That says nothing about the path (RFC 5882 §3.2), and ends nothing.
    Off,
}

/// A session with one peer.
#[derive(Debug)]
pub struct BfdSession {
    profile: Profile,
    /// Our number for it; not zero.
    mine: u32,
    state: BfdState,
    diagnostic: Diagnostic,
    /// What the peer said last; none while it is not heard.
    heard: Option<ControlPacket>,
    /// Whether we may send: at once, or when the peer has been heard once.
    may_speak: bool,
    /// Whether we wait for the answer to what we have changed.
    polls: bool,
    send_at: Option<Instant>,
    gone_at: Option<Instant>,
    random: fastrand::Rng,
}

impl BfdSession {
    /// Begins. Of `random` come our number for the session and the unevenness of what is sent.
    pub fn new(profile: Profile, now: Instant, mut random: fastrand::Rng) -> Self {
        BfdSession {
            profile,
            mine: random.u32(1..),
            state: BfdState::Down,
            diagnostic: Diagnostic::None,
            heard: None,
            may_speak: !profile.is_passive,
            polls: false,
            send_at: (!profile.is_passive).then_some(now),
            gone_at: None,
            random,
        }
    }

    /// How we see the session.
    pub fn state(&self) -> BfdState {
        self.state
    }

    /// When [`BfdSession::passed`] is to be called next; none is when a packet comes.
    pub fn deadline(&self) -> Option<Instant> {
        self.send_at.into_iter().chain(self.gone_at).min()
    }

    /// Time has passed. Called early, it does nothing.
    pub fn passed(&mut self, now: Instant) -> Vec<BfdAction> {
        let mut actions = Vec::new();
        if self.gone_at.is_some_and(|at| at <= now) {
            // Whoever comes back may be another (RFC 5880 §6.8.1, bfd.RemoteDiscr).
            (self.gone_at, self.heard) = (None, None);
            if matches!(self.state, BfdState::Init | BfdState::Up) {
                actions.extend(self.go_down(Diagnostic::Expired));
                self.send_at = Some(now);
            }
        }
        if self.send_at.is_some_and(|at| at <= now) {
            actions.push(BfdAction::Send(self.packet(false)));
            self.send_at = None;
            self.plan(now);
        }
        actions
    }

    /// A packet of the peer has come.
    pub fn received(&mut self, now: Instant, packet: ControlPacket) -> Vec<BfdAction> {
        // Meant for another session, or for one of before (RFC 5880 §6.8.6).
        if packet.yours != 0 && packet.yours != self.mine {
            return Vec::new();
        }
        let (state, before) = (self.state, self.heard.replace(packet));
        self.may_speak = true;
        if packet.is_final {
            self.polls = false;
        }
        let mut actions = Vec::new();
        match (state, packet.state) {
            (BfdState::AdminDown, _) => {}
            (BfdState::Down, BfdState::AdminDown) => {}
            (_, BfdState::AdminDown) => {
                actions.extend(self.go_down(Diagnostic::NeighborDown).map(|_| BfdAction::Off));
            }
            (BfdState::Down, BfdState::Down) => self.state = BfdState::Init,
            (BfdState::Down, BfdState::Init) | (BfdState::Init, BfdState::Init | BfdState::Up) => {
                actions.extend(self.go_up());
            }
            (BfdState::Up, BfdState::Down) => actions.extend(self.go_down(Diagnostic::NeighborDown)),
            (BfdState::Down, BfdState::Up)
            | (BfdState::Init, BfdState::Down)
            | (BfdState::Up, BfdState::Init | BfdState::Up) => {}
        }
        if self.state != BfdState::AdminDown {
            // Three packets by the peer's count, at the pace that both agree on (§6.8.4).
            let pace = packet.transmit.max(self.profile.receive);
            self.gone_at = Some(now + pace * packet.multiplier.into());
        }
        if packet.poll {
            actions.push(BfdAction::Send(self.packet(true)));
        }
        // What has changed is told at once, or two ends that come up would need seconds for it.
        let pace_changed =
            before.is_none_or(|before| (before.receive, before.demand) != (packet.receive, packet.demand));
        if self.state != state {
            self.send_at = Some(now);
            actions.extend(self.passed(now));
        } else if pace_changed {
            self.plan_anew(now);
        }
        actions
    }

    /// Switches the session off, so that the peer lets nothing depend on it any more. To be told for one more detection
    /// time (RFC 5880 §6.8.16), which is what this returns: the session goes on until then.
    pub fn switch_off(&mut self, now: Instant) -> Duration {
        let pace = self.interval().unwrap_or_default();
        (self.state, self.diagnostic) = (BfdState::AdminDown, Diagnostic::AdminDown);
        (self.gone_at, self.polls) = (None, false);
        self.send_at = Some(now);
        pace * self.profile.multiplier.into()
    }

    fn go_down(&mut self, diagnostic: Diagnostic) -> Option<BfdAction> {
        let was_up = self.state == BfdState::Up;
        (self.state, self.diagnostic, self.polls) = (BfdState::Down, diagnostic, false);
        was_up.then_some(BfdAction::Down(diagnostic))
    }

    fn go_up(&mut self) -> Option<BfdAction> {
        (self.state, self.diagnostic) = (BfdState::Up, Diagnostic::None);
        // From now on we send more often, which is to be confirmed (§6.8.3).
        self.polls = true;
        Some(BfdAction::Up)
    }

    /// How often we would send.
    fn transmit(&self) -> Duration {
        match self.state {
            BfdState::Up => self.profile.transmit,
            _ => self.profile.transmit.max(MIN_INTERVAL_WHILE_DOWN),
        }
    }

    /// How much time lies between two packets of ours; none is that none are sent (§6.8.7).
    fn interval(&self) -> Option<Duration> {
        let Some(heard) = self.heard else { return self.may_speak.then(|| self.transmit()) };
        let is_on_demand =
            heard.demand && heard.state == BfdState::Up && self.state == BfdState::Up && !self.polls;
        if heard.receive.is_zero() || is_on_demand {
            return None;
        }
        Some(self.transmit().max(heard.receive).max(MIN_INTERVAL))
    }

    /// Plans the next packet, if none is planned.
    fn plan(&mut self, now: Instant) {
        match self.interval() {
            None => self.send_at = None,
            Some(interval) => {
                let next = now + self.uneven(interval);
                self.send_at.get_or_insert(next);
            }
        }
    }

    /// Plans the next packet at the pace of now, no later than it was planned before (§6.8.3).
    fn plan_anew(&mut self, now: Instant) {
        let before = self.send_at.take();
        self.plan(now);
        if let (Some(at), Some(before)) = (&mut self.send_at, before) {
            *at = (*at).min(before);
        }
    }

    /// A time shortened by up to a quarter, so that nobody sends at one beat; where one missing packet is enough, by a tenth
    /// at least (§6.8.7).
    fn uneven(&mut self, interval: Duration) -> Duration {
        let longest = if self.profile.multiplier == 1 { 0.9 } else { 1.0 };
        interval.mul_f64(0.75 + self.random.f64() * (longest - 0.75))
    }

    fn packet(&self, is_final: bool) -> ControlPacket {
        ControlPacket {
            diagnostic: self.diagnostic,
            state: self.state,
            // Not both in one packet (§6.5).
            poll: self.polls && !is_final,
            is_final,
            demand: false,
            multiplier: self.profile.multiplier,
            mine: self.mine,
            yours: self.heard.map_or(0, |heard| heard.mine),
            transmit: self.transmit(),
            receive: self.profile.receive,
            echo: Duration::ZERO,
        }
    }
}
