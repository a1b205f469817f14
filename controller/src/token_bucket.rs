//! A token bucket: so many at once, and one more every so often.

use std::time::Duration;

use tokio::time::Instant;

/// How a bucket is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FillRate {
    /// How many tokens a full bucket has.
    pub burst: u32,
    /// How long it takes until there is one more.
    pub interval: Duration,
}

/// A bucket, full at first. Kept as the moment at which it is full again: spending moves that on, time catches up. At which
/// rate it fills is told by whoever asks, always the same: each Service has a bucket, and all of a kind have one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenBucket {
    full_at: Instant,
}

impl TokenBucket {
    /// A full one.
    pub(crate) fn new(now: Instant) -> Self {
        TokenBucket { full_at: now }
    }

    /// When there is a token: `now`, or later.
    pub(crate) fn next(&self, rate: FillRate, now: Instant) -> Instant {
        let full_less_one = rate.interval * rate.burst.saturating_sub(1);
        self.full_at.checked_sub(full_less_one).map_or(now, |at| at.max(now))
    }

    /// Takes a token, also one that is still to come.
    pub(crate) fn take(&mut self, rate: FillRate, now: Instant) {
        self.full_at = self.full_at.max(now) + rate.interval;
    }

    /// Takes a token if there is one now.
    pub(crate) fn try_take(&mut self, rate: FillRate, now: Instant) -> bool {
        let is_there = self.next(rate, now) <= now;
        if is_there {
            self.take(rate, now);
        }
        is_there
    }

    /// Whether nothing was taken that has not come back: a bucket that need not be remembered.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_followed_by_one_each_interval_and_a_rest_fills_it_again() {
        let rate = FillRate { burst: 3, interval: Duration::from_secs(10) };
        let now = Instant::now();
        let mut bucket = TokenBucket::new(now);
        assert_eq!([(); 4].map(|()| bucket.try_take(rate, now)), [true, true, true, false]);
        assert_eq!(bucket.next(rate, now), now + rate.interval);
        assert!(bucket.try_take(rate, now + rate.interval) && !bucket.try_take(rate, now + rate.interval));
        let rested = now + 10 * rate.interval;
        assert!(bucket.is_full(rested));
        assert_eq!([(); 4].map(|()| bucket.try_take(rate, rested)), [true, true, true, false]);
    }
}
