//! What is known of another announcing link on the segment.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::beat::{Beat, Boot, Mark, Role};
use crate::ethernet::Mac;

/// How many lives of one link are remembered that another one has replaced, so that recordings of them are passed over.
const MAX_REMEMBERED_LIVES: usize = 16;

/// What was done with a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was new.
    New,
    /// It is one's own, sent back by the network or seen on its way out.
    Own,
    /// It is not newer than another one of the same life: repeated, or overtaken on its way.
    Old,
    /// It is of another life than the one that is heard: of one before, or of one that does not hear us.
    OtherLife,
}

/// Another announcing link on the segment.
#[derive(Clone, Debug)]
pub struct SegmentPeer {
    node: Arc<str>,
    link: Arc<str>,
    mac: Mac,
    boot: Boot,
    /// Lives that another one has replaced, and the newest beat of each.
    retired: Vec<(Boot, u64)>,
    role: Role,
    dead: Duration,
    alive: bool,
    heard: Duration,
    since: Duration,
    sequence: u64,
    lost: u64,
    hears_us: bool,
    unheard_since: Option<Duration>,
    hears_nobody: bool,
    claims: BTreeSet<IpAddr>,
    pages: Pages,
    /// Whether it was there when our own life began.
    pub(super) elder: bool,
}

/// The pages of the newest beat, until all are there.
#[derive(Clone, Debug, Default)]
struct Pages {
    got: BTreeSet<u16>,
    claims: BTreeSet<IpAddr>,
    hears_us: bool,
    hears_anybody: bool,
}

impl SegmentPeer {
    /// Its node.
    pub fn node(&self) -> &Arc<str> {
        &self.node
    }

    /// Its link on that node.
    pub fn link(&self) -> &Arc<str> {
        &self.link
    }

    /// Its hardware address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Whether it was heard within the time that it says itself.
    pub fn alive(&self) -> bool {
        self.alive
    }

    /// When it was last heard.
    pub fn heard(&self) -> Duration {
        self.heard
    }

    /// Since when it has been heard without a break.
    pub fn since(&self) -> Duration {
        self.since
    }

    /// How many of its beats did not arrive, in this life of it.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether it hears us.
    pub fn hears_us(&self) -> bool {
        self.hears_us
    }

    /// What it does about addresses that nobody claims.
    pub fn role(&self) -> Role {
        self.role
    }

    /// For what it answers.
    pub fn claims(&self) -> &BTreeSet<IpAddr> {
        &self.claims
    }

    /// After how long a silence it is dead, as it says itself.
    pub(super) fn dead_after(&self) -> Duration {
        self.dead
    }

    pub(super) fn boot(&self) -> Boot {
        self.boot
    }

    /// Since when it has been heard and has not heard us.
    pub(super) fn unheard_since(&self) -> Option<Duration> {
        self.unheard_since
    }

    pub(super) fn hears_nobody(&self) -> bool {
        self.hears_nobody
    }

    /// When it is dead if nothing is heard of it until then.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.alive.then(|| self.heard + self.dead)
    }

    pub(super) fn new(now: Duration, beat: &Beat, elder: bool) -> Self {
        SegmentPeer {
            node: beat.node.clone(),
            link: beat.link.clone(),
            mac: beat.from,
            boot: beat.boot,
            retired: Vec::new(),
            role: beat.role,
            dead: beat.dead,
            alive: false,
            heard: now,
            since: now,
            sequence: 0,
            lost: 0,
            hears_us: false,
            unheard_since: None,
            hears_nobody: false,
            claims: BTreeSet::new(),
            pages: Pages::default(),
            elder,
        }
    }

    /// Takes a beat in. Also whether anything changed that decides about addresses.
    pub(super) fn hear(&mut self, now: Duration, beat: Beat, us: Mark) -> (Heard, bool) {
        let hears_us = beat.hears.contains(&us);
        let another_life = beat.boot != self.boot;
        if another_life {
            // A recording from before our own life does not name us. So while the one we know is alive, it is believed
            // more than one that does not hear us, and more than one that it has replaced. That one is heard again once the
            // other is silent: a late frame of the life before may have come after the first of the new one.
            let before = self.retired.iter().find(|(boot, _)| *boot == beat.boot);
            let repeated = before.is_some_and(|(_, newest)| self.alive || beat.sequence <= *newest);
            if repeated || (self.alive && !hears_us) {
                return (Heard::OtherLife, false);
            }
            self.retired.retain(|(boot, _)| *boot != beat.boot);
            self.retired.push((self.boot, self.sequence));
            if self.retired.len() > MAX_REMEMBERED_LIVES {
                self.retired.remove(0);
            }
            let retired = std::mem::take(&mut self.retired);
            *self = SegmentPeer { retired, ..SegmentPeer::new(now, &beat, false) };
        }
        let first = another_life || self.pages.got.is_empty();
        if !first && (beat.sequence < self.sequence || self.repeats(&beat)) {
            return (Heard::Old, false);
        }
        if first || beat.sequence > self.sequence {
            self.lost += if first { 0 } else { beat.sequence - self.sequence - 1 };
            self.sequence = beat.sequence;
            self.pages = Pages::default();
        }
        let mut changed = another_life || !self.alive || self.role != beat.role;
        if !self.alive {
            (self.alive, self.since, self.unheard_since) = (true, now, None);
            self.hears_us = false;
        }
        (self.mac, self.role, self.dead, self.heard) = (beat.from, beat.role, beat.dead, now);
        changed |= self.take_page(now, beat, hears_us);
        (Heard::New, changed)
    }

    fn repeats(&self, beat: &Beat) -> bool {
        beat.sequence == self.sequence && self.pages.got.contains(&beat.page)
    }

    /// What a page says is believed at once, what it does not say only when all pages are there.
    fn take_page(&mut self, now: Duration, beat: Beat, hears_us: bool) -> bool {
        let pages = &mut self.pages;
        pages.got.insert(beat.page);
        pages.hears_us |= hears_us;
        pages.hears_anybody |= !beat.hears.is_empty();
        let before = (self.hears_us, self.hears_nobody, self.unheard_since.is_some());
        self.hears_us |= pages.hears_us;
        let complete = pages.got.len() == usize::from(beat.pages);
        let mut changed = false;
        if complete && beat.pages == 1 {
            // Nearly every beat is like the one before: that is seen without building anything.
            changed = !self.claims.iter().eq(beat.claims.iter());
            if changed {
                self.claims = beat.claims.into_iter().collect();
            }
        } else {
            for ip in beat.claims {
                pages.claims.insert(ip);
                changed |= self.claims.insert(ip);
            }
            if complete && self.claims != pages.claims {
                self.claims = std::mem::take(&mut pages.claims);
                changed = true;
            }
        }
        if complete {
            self.hears_us = pages.hears_us;
            let was_deaf = std::mem::replace(&mut self.hears_nobody, !pages.hears_anybody);
            // Whoever begins to hear at all has as much time as anybody to hear us.
            if was_deaf && pages.hears_anybody {
                self.unheard_since = None;
            }
        }
        if self.hears_us {
            self.unheard_since = None;
        } else if complete {
            self.unheard_since.get_or_insert(now);
        }
        changed || before != (self.hears_us, self.hears_nobody, self.unheard_since.is_some())
    }

    /// It was not heard for too long.
    pub(super) fn die(&mut self) {
        self.alive = false;
        self.claims.clear();
    }

    /// We did not listen for so long, which is not its fault.
    pub(super) fn excuse(&mut self, gap: Duration) {
        if self.alive {
            self.heard += gap;
        }
    }
}
