//! When a watch that failed is tried again, as a plain state machine.

use std::time::Duration;

use cloud_provider::DoublingPause;
use tokio::time::Instant;

/// The first wait, before its jitter.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The waits, before their jitter.
const PAUSE: DoublingPause = DoublingPause::new(FIRST_WAIT, MAX_WAIT);

/// What became of a watch, as far as it matters for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The version is too old: a fresh list mends it.
    Expired,
    /// The server is not there, or not ready.
    Absent,
    /// The server is there and does not do what was asked: it lacks the kind, or we the right.
    Refused,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryTime {
    pub(crate) until: Instant,
    /// Whether it ends when the server comes back.
    pub(crate) ends_with_a_comeback: bool,
}

/// The waits of one watch. They double up to 30 s, each shortened by up to its half at random, so that many replicas do
/// not ask in step, and start over once the watch has held for longer than it was waited for: a list that succeeds proves
/// nothing if the watch behind it fails every time.
#[derive(Clone, Debug)]
pub(crate) struct WatchBackoff {
    pause: DoublingPause,
    /// Whether a version was too old since the watch last held.
    expired: bool,
    /// When the last attempt began, and the wait before it.
    attempt: Option<(Instant, Duration)>,
}

impl Default for WatchBackoff {
    /// It has not failed yet.
    fn default() -> Self {
        WatchBackoff { pause: PAUSE, expired: false, attempt: None }
    }
}

impl WatchBackoff {
    /// Counts a failure; `random` is of [0, 1).
    pub(crate) fn failed(&mut self, now: Instant, failure: FailureKind, random: f64) -> RetryTime {
        if self.attempt.is_none_or(|(began, waited)| now.duration_since(began) > waited.max(FIRST_WAIT)) {
            *self = WatchBackoff::default();
        }
        let wait = if failure == FailureKind::Expired && !self.expired {
            // After a restart of the server this is the rule and nobody's failure: at once, but not twice in a row.
            self.expired = true;
            self.attempt = Some((now, Duration::ZERO));
            Duration::ZERO
        } else {
            let longest = self.pause.advance();
            self.attempt = Some((now + longest, longest));
            longest.mul_f64(1.0 - 0.5 * random)
        };
        RetryTime { until: now + wait, ends_with_a_comeback: failure == FailureKind::Absent }
    }

    /// Notes that an attempt begins, which may be before its time.
    pub(crate) fn begins(&mut self, now: Instant) {
        if let Some((began, _)) = &mut self.attempt {
            *began = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure() -> impl Strategy<Value = FailureKind> {
        prop_oneof![Just(FailureKind::Expired), Just(FailureKind::Absent), Just(FailureKind::Refused)]
    }

    #[test]
    fn waits_double_from_half_a_second_to_half_a_minute() {
        let (mut backoff, mut now) = (WatchBackoff::default(), Instant::now());
        for milliseconds in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let wait = backoff.failed(now, FailureKind::Absent, 0.0);
            assert_eq!(wait.until - now, Duration::from_millis(milliseconds));
            now = wait.until;
            backoff.begins(now);
        }
    }

    #[test]
    fn an_expired_version_is_listed_again_at_once_also_after_an_outage_but_not_twice_in_a_row() {
        let (mut backoff, now) = (WatchBackoff::default(), Instant::now());
        for _ in 0..6 {
            let wait = backoff.failed(now, FailureKind::Absent, 0.5);
            backoff.begins(now);
            assert!(wait.until > now && wait.ends_with_a_comeback);
        }
        assert_eq!(backoff.failed(now, FailureKind::Expired, 0.5).until, now);
        backoff.begins(now);
        assert!(backoff.failed(now, FailureKind::Expired, 0.5).until > now);
    }

    #[test]
    fn a_watch_that_held_starts_over() {
        let (mut backoff, mut now) = (WatchBackoff::default(), Instant::now());
        for _ in 0..5 {
            now = backoff.failed(now, FailureKind::Refused, 0.0).until;
            backoff.begins(now);
        }
        now += Duration::from_secs(9);
        assert_eq!(backoff.failed(now, FailureKind::Refused, 0.0).until - now, FIRST_WAIT);
    }

    proptest! {
        /// Whatever happens, however often, and whenever an attempt is begun early.
        #[test]
        fn no_wait_is_longer_than_half_a_minute_and_a_watch_that_fails_at_once_is_asked_ever_more_rarely(
            history in prop::collection::vec((failure(), 0.0..1.0f64, any::<bool>()), 1..200)
        ) {
            let (mut backoff, mut now) = (WatchBackoff::default(), Instant::now());
            let mut least = Duration::ZERO;
            let mut zeros = 0;
            for (failure, random, early) in history {
                let wait = backoff.failed(now, failure, random);
                let long = wait.until - now;
                prop_assert!(long <= MAX_WAIT);
                prop_assert_eq!(wait.ends_with_a_comeback, failure == FailureKind::Absent);
                if long.is_zero() {
                    zeros += 1;
                } else {
                    // Jitter takes half at most.
                    prop_assert!(long >= least / 2, "{:?} after {:?}", long, least);
                    least = least.max(long);
                }
                now = if early { now } else { wait.until };
                backoff.begins(now);
            }
            prop_assert!(zeros <= 1, "{} times at once", zeros);
        }
    }
}
