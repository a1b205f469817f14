//! When to try again: per-Service backoff, and a gate that a provider's throttling closes for all Services.

use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// How long to wait between attempts; Kubernetes' own values by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryConfig {
    /// Before the second attempt. Default 5 s.
    pub first: Duration,
    /// The longest wait, jitter aside. Default 300 s.
    pub longest: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig { first: Duration::from_secs(5), longest: Duration::from_secs(300) }
    }
}

/// The waits of one Service: doubling, each lengthened by up to its own length at random so that Services that
/// failed together do not retry together. Starts anew after a success.
#[derive(Default)]
pub(crate) struct Backoff {
    /// Made with the first failure: most Services have none.
    failures: Option<Box<Failures>>,
}

struct Failures {
    count: u32,
    waits: ExponentialBackoff,
}

impl Backoff {
    /// Counts a failure; the wait before the next attempt. Between the base and twice the longest wait. With the first
    /// failure it is decided by which `config` it waits until the next success.
    pub(crate) fn failed(&mut self, config: RetryConfig) -> Duration {
        let failures =
            self.failures.get_or_insert_with(|| Box::new(Failures { count: 0, waits: waits(config) }));
        failures.count = failures.count.saturating_add(1);
        failures.waits.next().unwrap_or(config.longest)
    }

    /// Starts anew.
    pub(crate) fn succeeded(&mut self) {
        *self = Backoff::default();
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.as_ref().map_or(0, |failures| failures.count)
    }
}

fn waits(config: RetryConfig) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(config.first)
        .with_max_delay(config.longest)
        .with_factor(2.0)
        .with_jitter()
        .with_jitter_seed(fastrand::u64(..))
        .without_max_times()
        .build()
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff").field("failures", &self.failures()).finish_non_exhaustive()
    }
}

/// The throttle gate of one provider: a throttled call closes it for all calls for a while, longer each time in a row.
#[derive(Debug)]
pub(crate) struct ThrottleGate {
    config: RetryConfig,
    state: Mutex<ThrottleState>,
}

#[derive(Debug, Default)]
struct ThrottleState {
    until: Option<Instant>,
    backoff: Backoff,
}

impl ThrottleGate {
    /// Open.
    pub(crate) fn new(config: RetryConfig) -> Self {
        ThrottleGate { config, state: Mutex::default() }
    }

    /// Until when no call may start; none when they may.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.lock().until.filter(|until| *until > now)
    }

    /// A call was throttled: nobody calls until the returned moment. Calls that were in flight together trip
    /// the gate once.
    pub(crate) fn trip(&self, now: Instant, asked: Option<Duration>) -> Instant {
        let mut state = self.lock();
        if let Some(until) = state.until.filter(|until| *until > now) {
            return until;
        }
        let wait = state.backoff.failed(self.config).max(asked.unwrap_or_default());
        let until = after(now, wait);
        state.until = Some(until);
        until
    }

    /// A call went through. One that began before the pause and ended in it does not end the pause.
    pub(crate) fn reset(&self, now: Instant) {
        let mut state = self.lock();
        if state.backoff.failures() > 0 && state.until.is_none_or(|until| until <= now) {
            state.until = None;
            state.backoff.succeeded();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ThrottleState> {
        self.state.lock()
    }
}

/// The longest wait that anybody else may ask of us. Beyond it we look by ourselves: an API that asks for a year has
/// said something else than it meant.
pub(crate) const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The moment after a wait that a provider or an API asked for, however long.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(MAX_REQUESTED_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_5_to_300_seconds_with_jitter_of_at_most_their_own_length() {
        let mut backoff = Backoff::default();
        for base in [5, 10, 20, 40, 80, 160, 300, 300, 300] {
            let wait = backoff.failed(RetryConfig::default());
            let base = Duration::from_secs(base);
            assert!(wait >= base && wait <= 2 * base, "{wait:?} is not within [{base:?}, {:?}]", 2 * base);
        }
        assert_eq!(backoff.failures(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_stops_everybody_and_calls_in_flight_trip_it_once() {
        let gate = ThrottleGate::new(RetryConfig::default());
        let now = Instant::now();
        assert_eq!(gate.until(now), None);
        let until = gate.trip(now, Some(Duration::from_secs(60)));
        assert!(until >= now + Duration::from_secs(60));
        assert_eq!(gate.trip(now, None), until, "a second throttled reply does not lengthen the pause");
        assert_eq!(gate.until(now), Some(until));
        gate.reset(now);
        assert_eq!(gate.until(now), Some(until), "a success from before the pause does not end it");
        assert_eq!(gate.until(until), None);
        gate.reset(until);
        assert_eq!(gate.until(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_end_is_cut_at_a_day() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::from_secs(7)), now + Duration::from_secs(7));
        assert_eq!(after(now, Duration::MAX), now + MAX_REQUESTED_WAIT);
        let gate = ThrottleGate::new(RetryConfig::default());
        assert_eq!(gate.trip(now, Some(Duration::MAX)), now + MAX_REQUESTED_WAIT);
    }
}
