//! Paces requests, so that this process stays inside AWS's rate limits whatever it has to do.
//!
//! AWS limits requests by token buckets that all clients of an account and region share. A client that runs
//! into them loses more time to refusals than it wins, and takes tokens from everyone else. So each
//! [`Family`] of calls has a bucket here, somewhat smaller than AWS's, and callers take their turn in order
//! of arrival. When AWS refuses nevertheless, the whole family pauses: one refusal slows all callers.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    ops::RangeInclusive,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Around, Call, Family, Layered, Result};
use crate::client::error::{ApiError, ErrorKind};

/// [`Elbv2`](super::Elbv2) and [`Ec2`](super::Ec2) with requests held back until it is their turn.
pub type RateLimited<I> = Layered<Pacing, I>;

/// A token bucket's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests that may go at once after a quiet time; at least 1.
    pub burst: u32,
    /// Requests a second in the long run; above 0.
    pub per_second: f64,
}

impl Rate {
    /// What a bucket may be filled by, in requests a second: the longest wait for one token is a minute and a half,
    /// and the most is far above what AWS takes.
    const PER_SECOND: RangeInclusive<f64> = 0.01..=1000.0;
}

/// Requests a second, a colon, requests at once: `8:30`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.per_second, self.burst)
    }
}

/// Text that is not a [`Rate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rate; write requests a second (0.01 to 1000), a colon and requests at once (1 or more), as in 8:30"
)]
pub struct NotARate(String);

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let read = || {
            let (per_second, burst) = text.split_once(':')?;
            let rate = Self { per_second: per_second.parse().ok()?, burst: burst.parse().ok()? };
            (Self::PER_SECOND.contains(&rate.per_second) && rate.burst > 0).then_some(rate)
        };
        read().ok_or_else(|| NotARate(text.to_owned()))
    }
}

/// The bucket of each family.
///
/// The defaults lie inside the buckets AWS publishes or is known to have, and leave room for other clients of
/// the account: ELBv2 reads 40 at once and 10/s; EC2 reads 100 and 20/s, EC2 writes 50 and 5/s (*Request
/// throttling for the Amazon EC2 API*). For ELBv2 writes and target registration AWS names no numbers; the
/// defaults are those that are known to work in large clusters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// ELBv2 reads; 30 at once, 8/s.
    pub elb_read: Rate,
    /// ELBv2 writes; 10 at once, 3/s.
    pub elb_write: Rate,
    /// Target registration; 20 at once, 4/s.
    pub elb_targets: Rate,
    /// EC2 reads; 40 at once, 10/s.
    pub ec2_read: Rate,
    /// EC2 writes; 20 at once, 3/s.
    pub ec2_write: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            elb_read: Rate { burst: 30, per_second: 8.0 },
            elb_write: Rate { burst: 10, per_second: 3.0 },
            elb_targets: Rate { burst: 20, per_second: 4.0 },
            ec2_read: Rate { burst: 40, per_second: 10.0 },
            ec2_write: Rate { burst: 20, per_second: 3.0 },
        }
    }
}

impl Rates {
    /// The bucket of a family.
    pub const fn of(&self, family: Family) -> Rate {
        match family {
            Family::ElbRead => self.elb_read,
            Family::ElbWrite => self.elb_write,
            Family::ElbTargets => self.elb_targets,
            Family::Ec2Read => self.ec2_read,
            Family::Ec2Write => self.ec2_write,
        }
    }
}

/// The first pause after a refusal; it doubles with each further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause that AWS may ask for.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Holds each request back until its family has a token for it.
#[derive(Debug)]
pub struct Pacing {
    buckets: BTreeMap<Family, Mutex<Bucket>>,
}

impl<I> RateLimited<I> {
    /// Paces the requests of `inner`.
    pub fn rate_limited(inner: I, rates: &Rates) -> Self {
        let now = Instant::now();
        let bucket = |family| (family, Mutex::new(Bucket::full(rates.of(family), now)));
        Self::new(Pacing { buckets: Family::ALL.into_iter().map(bucket).collect() }, inner)
    }
}

impl Around for Pacing {
    async fn around<T: Send>(
        &self,
        call: Call,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let bucket = &self.buckets[&call.family()];
        wait_for_turn(bucket).await;
        let result = request.await;
        let now = Instant::now();
        let mut bucket = lock(bucket);
        match &result {
            Err(error) if error.kind == ErrorKind::Throttled => bucket.refused(error, now),
            Ok(_) => bucket.next_pause = FIRST_PAUSE,
            Err(_) => {}
        }
        drop(bucket);
        result
    }
}

/// Takes a token, which may be one still to come; one that is given up on while waiting goes back.
async fn wait_for_turn(bucket: &Mutex<Bucket>) {
    struct Reserved<'a> {
        bucket: &'a Mutex<Bucket>,
        used: bool,
        /// Reservations from before a pause are void.
        pauses: u64,
    }
    impl Drop for Reserved<'_> {
        fn drop(&mut self) {
            let mut bucket = lock(self.bucket);
            if !self.used && bucket.pauses == self.pauses {
                bucket.tokens += 1.0;
            }
        }
    }

    let (mut turn, pauses) = {
        let mut bucket = lock(bucket);
        (bucket.take(Instant::now()), bucket.pauses)
    };
    let mut reserved = Reserved { bucket, used: false, pauses };
    while turn > Instant::now() {
        sleep_until(turn).await;
        let mut bucket = lock(bucket);
        if bucket.pauses != reserved.pauses {
            // Everyone who waited lines up again, or all would go together when the pause ends.
            turn = bucket.take(Instant::now());
            reserved.pauses = bucket.pauses;
        }
    }
    reserved.used = true;
}

fn lock(bucket: &Mutex<Bucket>) -> std::sync::MutexGuard<'_, Bucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A token bucket that may be overdrawn: a negative balance is the number of callers waiting.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    counted_at: Instant,
    paused_until: Instant,
    next_pause: Duration,
    /// How many pauses there have been.
    pauses: u64,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            counted_at: now,
            paused_until: now,
            next_pause: FIRST_PAUSE,
            pauses: 0,
        }
    }

    /// Takes a token and says from when on it may be used.
    fn take(&mut self, now: Instant) -> Instant {
        self.refill(now);
        self.tokens -= 1.0;
        let owed = (-self.tokens).max(0.0);
        self.counted_at.max(now) + Duration::from_secs_f64(owed / self.rate.per_second)
    }

    fn refill(&mut self, now: Instant) {
        // `counted_at` lies in the future during a pause: nothing flows in until then.
        let passed = now.saturating_duration_since(self.counted_at);
        if !passed.is_zero() {
            let most = f64::from(self.rate.burst);
            self.tokens = (self.tokens + passed.as_secs_f64() * self.rate.per_second).min(most);
            self.counted_at = now;
        }
    }

    /// AWS refused: nobody asks for a while, then callers go one by one, not in a burst.
    fn refused(&mut self, error: &ApiError, now: Instant) {
        if self.paused_until > now {
            // Requests sent together are refused together: that is one refusal, not many.
            return;
        }
        // However long it asks for: beyond the longest pause, the next request finds out.
        self.paused_until = now + error.retry_after.unwrap_or(self.next_pause).min(LONGEST_ASKED_PAUSE);
        self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        self.counted_at = self.paused_until;
        self.tokens = 0.0;
        self.pauses += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_as_it_is_read() {
        for text in ["8:30", "0.01:1", "2.5:10", "1000:4000"] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("8:30".parse(), Ok(Rates::default().elb_read));
    }

    #[test]
    fn what_would_stop_or_flood_is_not_a_rate() {
        for text in [
            "", "8", "8:", ":30", "8/30", "0:30", "8:0", "-1:30", "8:-1", "NaN:1", "inf:1", "1001:1",
            "1e-9:1",
        ] {
            let error = text.parse::<Rate>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("{text:?} is not a rate; write ")), "{error}");
        }
    }
}
