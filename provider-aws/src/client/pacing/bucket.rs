//! One token bucket, and the line before it. Pure: the time is told.
//!
//! # How it follows AWS
//! AWS does not say how large most of its buckets are, nor who else takes from them. So only a share of the most that is
//! allowed is used, and the share follows AWS's answers: it halves when AWS throttles, and grows by a little with each
//! answer to requests that came close together. Several clients that do so share an account fairly, as TCP connections
//! share a line. What AWS published is begun with whole, the rest with half. What was learned holds for [`LESSON_TTL`].

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cloud_provider::DoublingPause;
use tokio::time::Instant;

use super::{super::Rate, Ticket};
use crate::client::error::ApiError;

/// After AWS throttled, until an answer comes.
const PAUSE: DoublingPause = DoublingPause::new(Duration::from_secs(1), Duration::from_secs(8));
/// The longest pause that AWS may ask for: beyond it, the next request finds out.
const MAX_REQUESTED_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The least share: with the defaults a request in three seconds.
const MIN_SHARE: f64 = 1.0 / 64.0;
/// What an answer adds to the share: from half to whole takes fifty.
const SHARE_GROWTH: f64 = 0.01;
/// How long what AWS's throttling taught is believed, while nothing contradicts it.
const LESSON_TTL: Duration = Duration::from_secs(10 * 60);

/// Tokens are counted in fractions, which do not always add up.
const NEARLY_ONE: f64 = 1.0 - 1e-6;

/// A place in the line: by ticket, and among requests of one ticket in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinePosition(Ticket, u64);

impl LinePosition {
    /// Behind all that have this ticket, or an earlier one.
    pub(super) fn new(ticket: Ticket) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        LinePosition(ticket, NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whether a place has the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It has it, and is out of the line.
    Now,
    /// It is first, and the next token comes then.
    NotBefore(Instant),
    /// Others are first.
    BehindOthers,
}

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    most: Rate,
    /// The share of the most that is begun with.
    first_share: f64,
    share: f64,
    tokens: f64,
    /// Until when tokens were counted; in the future during a pause, when none comes.
    counted_at: Instant,
    pause: DoublingPause,
    throttled_at: Option<Instant>,
    line: BTreeSet<LinePosition>,
}

impl Bucket {
    /// A bucket that nobody has taken from for a while; `published`: AWS says how large its own is.
    pub(super) fn full(most: Rate, published: bool, now: Instant) -> Self {
        let first_share = if published { 1.0 } else { 0.5 };
        let mut bucket = Self {
            most,
            first_share,
            share: first_share,
            tokens: 0.0,
            counted_at: now,
            pause: PAUSE,
            throttled_at: None,
            line: BTreeSet::new(),
        };
        bucket.tokens = bucket.burst();
        bucket
    }

    /// Takes a place in the line.
    pub(super) fn line_up(&mut self, position: LinePosition) {
        self.line.insert(position);
    }

    /// Leaves the line, if still in it.
    pub(super) fn leave(&mut self, position: LinePosition) {
        self.line.remove(&position);
    }

    /// Takes a token, if one is there and the place is first.
    pub(super) fn take(&mut self, position: LinePosition, now: Instant) -> Admission {
        if self.line.first() != Some(&position) {
            return Admission::BehindOthers;
        }
        if self.counted_at > now {
            return Admission::NotBefore(self.counted_at);
        }
        self.refill(now);
        if self.tokens < NEARLY_ONE {
            let missing = (1.0 - self.tokens) / self.per_second();
            return Admission::NotBefore(now + Duration::from_secs_f64(missing));
        }
        self.tokens -= 1.0;
        self.line.remove(&position);
        Admission::Now
    }

    /// AWS answered.
    pub(super) fn answered(&mut self, now: Instant) {
        self.pause.reset();
        self.refill(now);
        // An answer after a quiet time says nothing of how much AWS would take.
        if self.tokens < self.burst() / 2.0 {
            self.share = (self.share + SHARE_GROWTH).min(1.0);
        }
    }

    /// AWS refused a request that was sent at `sent`: nobody asks for a while, then one goes, then one for each token.
    pub(super) fn throttled(&mut self, error: &ApiError, sent: Instant, now: Instant) {
        if self.throttled_at.is_some_and(|last| sent < last) {
            // Requests sent together are refused together: that is one lesson, not many.
            return;
        }
        self.throttled_at = Some(now);
        self.share = (self.share / 2.0).max(MIN_SHARE);
        let ours = self.pause.advance();
        let pause = error.retry_after.unwrap_or(ours).min(MAX_REQUESTED_PAUSE);
        self.counted_at = now + pause;
        self.tokens = 1.0;
    }

    fn refill(&mut self, now: Instant) {
        if self.throttled_at.is_some_and(|last| now.saturating_duration_since(last) >= LESSON_TTL) {
            self.throttled_at = None;
            self.share = self.share.max(self.first_share);
        }
        let passed = now.saturating_duration_since(self.counted_at);
        if !passed.is_zero() {
            self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second()).min(self.burst());
            self.counted_at = now;
        }
    }

    fn per_second(&self) -> f64 {
        self.most.per_second * self.share
    }

    fn burst(&self) -> f64 {
        (f64::from(self.most.burst) * self.share).max(1.0)
    }
}
