//! How often one Service's status is written.
//!
//! Somebody else may write the same fields: another controller, a script, a second installation. What we write is put
//! back at once when it was changed, since that is mostly a mistake of a moment. Whoever insists is met ever more slowly:
//! after a second, then twice as long each time, up to a minute. Nobody wins such a fight by writing faster, and the API
//! server and everybody who watches Services pay for each round.

use std::time::Duration;

use cloud_provider::DoublingPause;
use tokio::time::Instant;

use crate::retry::{Backoff, RetryConfig};
use crate::token_bucket::{FillRate, TokenBucket};

/// Of all writes, whatever they say: a Service that is new or changes needs a few in a row.
const WRITE_RATE: FillRate = FillRate { burst: 10, interval: Duration::from_secs(1) };
/// The first pause before the same is put back once more.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The pauses before it is put back again and again, up to the longest.
const PAUSE: DoublingPause = DoublingPause::new(FIRST_PAUSE, Duration::from_secs(60));
/// What stood for so long is not fought over: the next to change it is met as the first.
const UNDISPUTED_AFTER: Duration = Duration::from_secs(60);

/// When one Service's status may be written next, and whether somebody else keeps changing it.
#[derive(Debug)]
pub(crate) struct StatusPace {
    writes: TokenBucket,
    /// What the last write said, as a fingerprint, and when it was.
    last: Option<(u64, Instant)>,
    /// Of few Services somebody else changes what was written.
    contest: Option<Box<Contest>>,
    /// Of few the API server does not allow the write.
    refusal: Option<Box<Refusal>>,
}

#[derive(Debug)]
struct Contest {
    /// Since when something else than the last write stands there.
    changed_at: Option<Instant>,
    /// How long after the last write the same may be written again.
    wait: Duration,
    /// How long once it was.
    pause: DoublingPause,
}

#[derive(Debug)]
struct Refusal {
    /// When to ask again.
    until: Instant,
    /// How long after that once more.
    waits: Backoff,
}

impl Default for Contest {
    fn default() -> Self {
        Contest { changed_at: None, wait: Duration::ZERO, pause: PAUSE }
    }
}

impl StatusPace {
    /// Of a Service that was not written yet.
    pub(crate) fn new(now: Instant) -> Self {
        StatusPace { writes: TokenBucket::new(now), last: None, contest: None, refusal: None }
    }

    /// When a write that says this may be sent: `now`, or later.
    pub(crate) fn next(&mut self, says: u64, now: Instant) -> Instant {
        let mut at = self.writes.next(WRITE_RATE, now);
        if let Some(refusal) = &self.refusal {
            at = at.max(refusal.until);
        }
        if let Some((said, written)) = self.last
            && said == says
        {
            let contest = self.contest.get_or_insert_default();
            let changed = *contest.changed_at.get_or_insert(now);
            if changed.saturating_duration_since(written) >= UNDISPUTED_AFTER {
                // The next to change what stands there is met as the first.
                contest.wait = Duration::ZERO;
                contest.pause.reset();
            }
            at = at.max(written + contest.wait);
        }
        at
    }

    /// A write that says this was sent and taken.
    pub(crate) fn written(&mut self, says: u64, now: Instant) {
        self.writes.take(WRITE_RATE, now);
        self.refusal = None;
        if self.last.is_some_and(|(said, _)| said == says) {
            let contest = self.contest.get_or_insert_default();
            contest.wait = contest.pause.advance();
            contest.changed_at = None;
        } else {
            self.contest = None;
        }
        self.last = Some((says, now));
    }

    /// The API server does not allow the write, and will not until somebody changes that: when to ask again.
    pub(crate) fn refused(&mut self, now: Instant, retry: RetryConfig) -> Instant {
        let refusal =
            self.refusal.get_or_insert_with(|| Box::new(Refusal { until: now, waits: Backoff::default() }));
        refusal.until = now + refusal.waits.failed(retry);
        refusal.until
    }

    /// Whether somebody else insists: the same was put back more than once, and did not stand.
    pub(crate) fn is_contested(&self) -> bool {
        self.contest.as_ref().is_some_and(|contest| contest.wait > FIRST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the same whenever it may, and somebody changes it at once, for so long: when it was written.
    fn fight(pace: &mut StatusPace, began: Instant, lasts: Duration) -> Vec<u64> {
        let (mut now, mut written) = (began, Vec::new());
        while now < began + lasts {
            let at = pace.next(7, now);
            if at <= now {
                pace.written(7, now);
                written.push((now - began).as_secs());
            }
            now += Duration::from_millis(100);
        }
        written
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_insists_is_met_ever_more_slowly() {
        let (now, mut pace) = (Instant::now(), StatusPace::new(Instant::now()));
        let written = fight(&mut pace, now, Duration::from_secs(400));
        assert_eq!(written, [0, 0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
        assert!(pace.is_contested());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_changed_once_is_put_back_at_once_also_after_a_fight_that_is_over() {
        let (now, mut pace) = (Instant::now(), StatusPace::new(Instant::now()));
        fight(&mut pace, now, Duration::from_secs(100));
        let last = pace.next(7, now + Duration::from_secs(100));
        pace.written(7, last);
        assert!(pace.is_contested());
        let later = last + UNDISPUTED_AFTER;
        assert_eq!(pace.next(7, later), later);
        pace.written(7, later);
        assert!(!pace.is_contested());
    }

    #[tokio::test(start_paused = true)]
    async fn news_are_written_at_once_but_not_endlessly() {
        let (now, mut pace) = (Instant::now(), StatusPace::new(Instant::now()));
        fight(&mut pace, now, Duration::from_secs(100));
        let later = now + Duration::from_secs(100);
        assert_eq!(pace.next(8, later), later, "the fight was about something else");
        pace.written(8, later);
        assert!(!pace.is_contested(), "of this nobody changed anything yet");
        for says in 1..u64::from(WRITE_RATE.burst) {
            assert_eq!(pace.next(says, later), later);
            pace.written(says, later);
        }
        assert_eq!(pace.next(99, later), later + WRITE_RATE.interval);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_not_allowed_is_tried_again_after_growing_waits() {
        let (now, mut pace) = (Instant::now(), StatusPace::new(Instant::now()));
        let first = pace.refused(now, RetryConfig::default());
        assert!(first >= now + Duration::from_secs(5));
        assert_eq!(pace.next(1, now), first, "whatever is to be said");
        let second = pace.refused(first, RetryConfig::default());
        assert!(second >= first + Duration::from_secs(10));
        pace.written(1, second);
        assert_eq!(pace.next(2, second), second);
        let refused_anew = pace.refused(second, RetryConfig::default());
        assert!(refused_anew <= second + Duration::from_secs(10), "a write that was taken ends the waits");
    }
}
