//! Paces requests, so that this process stays inside AWS's rate limits whatever it has to do, and asks again where AWS
//! or the way to it failed for a moment.
//!
//! AWS limits requests by token buckets that all clients of an account and region share. A client that runs
//! into them loses more time to refusals than it wins, and takes tokens from everyone else. So each
//! [`RateBucket`] of AWS's has one here:
//!
//! - A token goes to the request that belongs to whoever has waited longest (see [`in_turn`]), not to the one that
//!   happens to come first: twenty Services at once are served one after the other, rather than all of them last.
//! - How much of the [`Rates`] is used follows AWS's answers: it halves when AWS throttles, and grows while it does not
//!   (`bucket`). What was learned holds for a while.
//! - A request that AWS throttled is sent again from here, in its old place, after a second or two. This is the only
//!   place where requests are repeated: the SDK's own retries are off, since two that wait for each other's tokens wait
//!   for many times as long.
//! - Buckets do not wait for each other: throttled writes hold no reads back.

mod bucket;
mod turn;

use std::{collections::BTreeMap, future::Future, time::Duration};

use cloud_provider::{DoublingPause, Ordered};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use self::bucket::{Admission, Bucket, LinePosition};
pub use self::turn::{Ticket, in_turn};
use super::{Around, Call, Layered, RateBucket, Rates, Result};
use crate::client::error::{ApiError, ErrorKind, local_code};

/// [`Elbv2`](super::Elbv2) and [`Ec2`](super::Ec2) with requests held back until it is their turn, and repeated.
pub type RateLimited<I> = Layered<Pacing, I>;

/// How long a request that AWS throttles is repeated. Whoever waits for it can do little else, but is told in the end.
const MAX_THROTTLED_TIME: Duration = Duration::from_secs(120);

/// How often a request is repeated that got no answer, or AWS's word that it has trouble.
const MAX_REPEATS: u32 = 2;
/// The pauses before them.
const REPEAT_PAUSE: DoublingPause = DoublingPause::new(Duration::from_millis(500), Duration::from_secs(5));

/// Holds each request back until its bucket has a token for it, and repeats what is worth repeating.
#[derive(Debug)]
pub struct Pacing {
    buckets: BTreeMap<RateBucket, PacedBucket>,
}

/// A bucket, and those who wait for its tokens.
#[derive(Debug)]
struct PacedBucket {
    bucket: Mutex<Bucket>,
    /// Somebody else may be first now, or the time of the next token another one.
    changed: Notify,
}

impl<I> RateLimited<I> {
    /// Paces the requests of `inner`, which stay below `most`.
    pub fn rate_limited(inner: I, most: &Rates) -> Self {
        let now = Instant::now();
        let paced = |name: RateBucket| {
            let bucket = Bucket::full(most.of(name), name.is_published(), now);
            (name, PacedBucket { bucket: Mutex::new(bucket), changed: Notify::new() })
        };
        Self::new(Pacing { buckets: RateBucket::ALL.into_iter().map(paced).ordered() }, inner)
    }
}

impl Around for Pacing {
    async fn around<T: Send, F: Future<Output = Result<T>> + Send>(
        &self,
        call: Call,
        request: impl Fn() -> F + Send + Sync,
    ) -> Result<T> {
        let paced = &self.buckets[&call.rate_bucket()];
        let position = LinePosition::new(turn::current());
        let mut throttled_since = None;
        let mut repeats = 0;
        let mut pause = REPEAT_PAUSE;
        loop {
            paced.wait_for_turn(position).await;
            let sent = Instant::now();
            let error = match request().await {
                Ok(value) => {
                    paced.change(|bucket| bucket.answered(Instant::now()));
                    return Ok(value);
                }
                Err(error) => error,
            };
            if error.kind == ErrorKind::Throttled {
                paced.change(|bucket| bucket.throttled(&error, sent, Instant::now()));
                if throttled_since.get_or_insert(sent).elapsed() >= MAX_THROTTLED_TIME {
                    return Err(error);
                }
            } else if may_pass_at_once(&error) && repeats < MAX_REPEATS {
                sleep(pause.advance()).await;
                repeats += 1;
            } else {
                return Err(error);
            }
        }
    }
}

/// Whether the failure is one of the moment: no answer came, or AWS had trouble of its own. That a write may have had its
/// effect is nothing new to those who write (see [`ApiError`]).
fn may_pass_at_once(error: &ApiError) -> bool {
    const CODES: [&str; 10] = [
        local_code::NO_REPLY,
        local_code::NO_CREDENTIALS_YET,
        "InternalError",
        "InternalFailure",
        "InternalServiceError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerInternal",
        "ServiceUnavailable",
        "Unavailable",
    ];
    CODES.contains(&error.code.as_str())
}

impl PacedBucket {
    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock()
    }

    /// Changes the bucket, and lets those who wait look at it again.
    fn change(&self, change: impl FnOnce(&mut Bucket)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    /// Waits until the token is this place's. Who is given up on leaves the line.
    async fn wait_for_turn(&self, position: LinePosition) {
        struct InLine<'a>(&'a PacedBucket, LinePosition);
        impl Drop for InLine<'_> {
            fn drop(&mut self) {
                self.0.change(|bucket| bucket.leave(self.1));
            }
        }

        self.change(|bucket| bucket.line_up(position));
        let _in_line = InLine(self, position);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let admission = self.lock().take(position, Instant::now());
            match admission {
                Admission::Now => return,
                Admission::NotBefore(time) => {
                    tokio::select! {
                        () = sleep_until(time) => {}
                        () = changed => {}
                    }
                }
                Admission::BehindOthers => changed.await,
            }
        }
    }
}
