//! When a watch that failed is tried again, as a plain state machine.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait, before its jitter.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What became of a watch, as far as it matters for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The version is too old: a fresh list mends it.
    Expired,
    /// The server is not there, or not ready.
    Absent,
    /// The server is there and does not do what was asked: it lacks the kind, or we the right.
    Refused,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: Instant,
    /// Whether it ends when the server comes back.
    pub(crate) ends_with_a_comeback: bool,
}

/// The waits of one watch. They double up to 30 s, each shortened by up to its half at random, so that many replicas do
/// not ask in step, and start over once the watch has held for longer than it was waited for: a list that succeeds proves
/// nothing if the watch behind it fails every time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    /// Whether a version was too old since the watch last held.
    expired: bool,
    /// When the last attempt began, and the wait before it.
    attempt: Option<(Instant, Duration)>,
}

impl Backoff {
    /// Counts a failure; `random` is of [0, 1).
    pub(crate) fn failed(&mut self, now: Instant, failure: Failure, random: f64) -> Wait {
        if self.attempt.is_none_or(|(began, waited)| now.duration_since(began) > waited.max(FIRST_WAIT)) {
            *self = Backoff::default();
        }
        let wait = if failure == Failure::Expired && !self.expired {
            // After a restart of the server this is the rule and nobody's failure: at once, but not twice in a row.
            self.expired = true;
            self.attempt = Some((now, Duration::ZERO));
            Duration::ZERO
        } else {
            let longest = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(MAX_WAIT);
            self.failures = self.failures.saturating_add(1);
            self.attempt = Some((now + longest, longest));
            longest.mul_f64(1.0 - 0.5 * random)
        };
        Wait { until: now + wait, ends_with_a_comeback: failure == Failure::Absent }
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

    fn failure() -> impl Strategy<Value = Failure> {
        prop_oneof![Just(Failure::Expired), Just(Failure::Absent), Just(Failure::Refused)]
    }

    #[test]
    fn waits_double_from_half_a_second_to_half_a_minute() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        for milliseconds in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let wait = backoff.failed(now, Failure::Absent, 0.0);
            assert_eq!(wait.until - now, Duration::from_millis(milliseconds));
            now = wait.until;
            backoff.begins(now);
        }
    }

    #[test]
    fn an_expired_version_is_listed_again_at_once_also_after_an_outage_but_not_twice_in_a_row() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..6 {
            let wait = backoff.failed(now, Failure::Absent, 0.5);
            backoff.begins(now);
            assert!(wait.until > now && wait.ends_with_a_comeback);
        }
        assert_eq!(backoff.failed(now, Failure::Expired, 0.5).until, now);
        backoff.begins(now);
        assert!(backoff.failed(now, Failure::Expired, 0.5).until > now);
    }

    #[test]
    fn a_watch_that_held_starts_over() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        for _ in 0..5 {
            now = backoff.failed(now, Failure::Refused, 0.0).until;
            backoff.begins(now);
        }
        now += Duration::from_secs(9);
        assert_eq!(backoff.failed(now, Failure::Refused, 0.0).until - now, FIRST_WAIT);
    }

    proptest! {
        /// Whatever happens, however often, and whenever an attempt is begun early.
        #[test]
        fn no_wait_is_longer_than_half_a_minute_and_a_watch_that_fails_at_once_is_asked_ever_more_rarely(
            history in prop::collection::vec((failure(), 0.0..1.0f64, any::<bool>()), 1..200)
        ) {
            let (mut backoff, mut now) = (Backoff::default(), Instant::now());
            let mut least = Duration::ZERO;
            let mut zeros = 0;
            for (failure, random, early) in history {
                let wait = backoff.failed(now, failure, random);
                let long = wait.until - now;
                prop_assert!(long <= MAX_WAIT);
                prop_assert_eq!(wait.ends_with_a_comeback, failure == Failure::Absent);
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
