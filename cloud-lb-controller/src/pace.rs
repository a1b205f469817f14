//! The rate that requests to the API server keep to.

use std::time::Duration;

use apiserver_client::is_watch;
use http::Request;
use parking_lot::Mutex;
use tokio::time::Instant;

/// So many requests a second, and some at once after a quiet time; they go in the order in which they came.
///
/// A bucket of tokens, as events have, says no to whoever comes too early; here everybody gets a place, since a request is
/// made in any case and those that wait are not to overtake each other.
///
/// Watches go at once and do not count, as client-go has it: there are few, and one that waits would leave the
/// controller blind.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Between two requests, in the long run.
    interval: Duration,
    /// How far ahead of that a request may go.
    ahead: Duration,
    /// When the next request would go if none went ahead.
    due: Mutex<Instant>,
}

impl Pace {
    /// `burst` requests may be made at once, at least one.
    ///
    /// # Panics
    /// When `qps` is not positive, or so small that nobody would live to see a request.
    pub(crate) fn new(qps: f64, burst: u32) -> Self {
        let interval = Duration::from_secs_f64(1.0 / qps);
        Pace { interval, ahead: interval * burst.saturating_sub(1), due: Mutex::new(Instant::now()) }
    }

    /// How long this request must wait, which takes its place now. One that is given up meanwhile keeps it.
    pub(crate) fn wait<B>(&self, request: &Request<B>) -> Duration {
        if is_watch(request) { Duration::ZERO } else { self.place(Instant::now()) }
    }

    /// Takes the next place; how long it is until then.
    fn place(&self, now: Instant) -> Duration {
        let mut due = self.due.lock();
        let place = (*due).max(now);
        *due = place + self.interval;
        place.duration_since(now).saturating_sub(self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    const LIST: &str = "/api/v1/services?limit=500";
    const WATCH: &str = "/api/v1/services?&watch=true&timeoutSeconds=290";

    fn request(method: Method, uri: &str) -> Request<()> {
        Request::builder().method(method).uri(uri).body(()).unwrap()
    }

    /// How long a request waits that comes now.
    async fn waits(pace: &Pace, method: Method, uri: &str) -> Duration {
        let wait = pace.wait(&request(method, uri));
        tokio::time::sleep(wait).await;
        wait
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_then_one_after_the_other() {
        let pace = Pace::new(4.0, 3);
        for milliseconds in [0, 0, 0, 250, 250] {
            assert_eq!(waits(&pace, Method::GET, LIST).await, Duration::from_millis(milliseconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_time_allows_a_burst_again_and_no_more() {
        let pace = Pace::new(4.0, 2);
        for _ in 0..2 {
            waits(&pace, Method::GET, LIST).await;
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for milliseconds in [0, 0, 250] {
            assert_eq!(waits(&pace, Method::PATCH, LIST).await, Duration::from_millis(milliseconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_come_together_go_apart() {
        let pace = Pace::new(10.0, 1);
        let waits = [(); 4].map(|()| pace.wait(&request(Method::GET, LIST)));
        assert_eq!(waits, [0, 100, 200, 300].map(Duration::from_millis));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_never_waits_and_takes_nobodys_place() {
        let pace = Pace::new(0.01, 1);
        for _ in 0..3 {
            assert_eq!(waits(&pace, Method::GET, WATCH).await, Duration::ZERO);
        }
        assert_eq!(waits(&pace, Method::GET, LIST).await, Duration::ZERO);
        assert_eq!(waits(&pace, Method::GET, WATCH).await, Duration::ZERO);
        assert_eq!(waits(&pace, Method::GET, LIST).await, Duration::from_secs(100));
    }
}
