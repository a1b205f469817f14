//! Noticing that the API server is back, by one look for all watches that wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::connect::AskedAgain;

/// Where a server says whether it is ready. Everybody may ask it (the ClusterRole `system:public-info-viewer`), and the
/// server holds nobody up there: `/readyz` is exempt from its priorities.
pub(crate) const READINESS: &str = "/readyz";

/// How long an answer may take: one that takes longer is none of a server that is ready.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest pause between two looks, before its jitter.
const MIN_PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Looks for the server while somebody waits for it, and wakes all who do when it has come back.
///
/// A comeback is what is *seen* to be one: the server did not answer a look, and then did. So a watch that fails at a
/// server which is well is woken by nothing, and keeps to its own waits.
pub(crate) struct Comeback {
    client: Client,
    /// How many comebacks were seen.
    seen: watch::Sender<u64>,
    /// Since when the server is known to be away.
    away_since: Mutex<Option<Instant>>,
    /// Whether somebody looks.
    looking: AtomicBool,
}

impl Comeback {
    pub(crate) fn new(client: Client) -> Arc<Self> {
        let (seen, away_since, looking) = (watch::Sender::new(0), Mutex::new(None), AtomicBool::new(false));
        Arc::new(Comeback { client, seen, away_since, looking })
    }

    /// Comebacks from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    /// Waits until then, or until a comeback that `seen` has not heard of.
    pub(crate) async fn wait(self: &Arc<Self>, seen: &mut watch::Receiver<u64>, until: Instant) {
        if !self.looking.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.clone().look());
        }
        tokio::select! {
            () = sleep_until(until) => {}
            // The sender lives as long as this.
            _ = seen.changed() => {}
        }
    }

    /// The server has answered somebody: if it was away, it has come back.
    pub(crate) fn answered(&self) {
        if self.away_since().take().is_some() {
            self.seen.send_modify(|seen| *seen += 1);
        }
    }

    /// Looks until the server answers.
    async fn look(self: Arc<Self>) {
        while !self.ready().await {
            let since = *self.away_since().get_or_insert_with(Instant::now);
            sleep(pause(since.elapsed(), fastrand::f64())).await;
            if self.away_since().is_none() {
                // Somebody else was answered, also where nobody may ask for the server's readiness.
                break;
            }
        }
        // Before they are woken: who fails again right then is to be looked for again.
        self.looking.store(false, Ordering::Release);
        self.answered();
    }

    /// Whether the server is ready. One that has just started refuses everybody until it has read who may do what.
    async fn ready(&self) -> bool {
        let request = Request::get(READINESS).extension(AskedAgain).body(Body::empty());
        let Ok(request) = request else { return true };
        match timeout(ANSWER_TIMEOUT, self.client.send(request)).await {
            Ok(Ok(response)) => response.status().is_success(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn away_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away_since.lock()
    }
}

/// The comebacks of a server, for one who asks it again and again by itself, as a candidate for a Lease does.
/// [`Watches`](crate::Watches) need none: they have their own.
pub struct Comebacks {
    comeback: Arc<Comeback>,
    seen: watch::Receiver<u64>,
}

impl Comebacks {
    /// Those of the server that `client` leads to. Nothing is asked before somebody [waits](Comebacks::wait).
    pub fn new(client: Client) -> Self {
        let comeback = Comeback::new(client);
        Comebacks { seen: comeback.subscribe(), comeback }
    }

    /// Notes that the server has answered: it is not looked for any longer.
    pub fn answered(&self) {
        self.comeback.answered();
    }

    /// After an attempt that failed: waits until then, or until the server is back if that is earlier. A comeback during
    /// that attempt ends the wait at once.
    pub async fn wait(&mut self, until: Instant) {
        self.comeback.wait(&mut self.seen, until).await;
        self.seen.mark_unchanged();
    }
}

/// Between two looks at a server that has been away for so long: a sixtieth of that, so that a server is found to be back
/// within a sixtieth of its absence, and many replicas do not hammer at one that is long in coming. Of 500 replicas a
/// minute after it went a server hears 700 looks a second, which it refuses in the kernel.
fn pause(away: Duration, random: f64) -> Duration {
    (away / 60).clamp(MIN_PAUSE, MAX_PAUSE).mul_f64(1.0 - 0.5 * random)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Response, StatusCode};
    use proptest::prelude::*;
    use tower::service_fn;

    use super::*;

    /// A server that answers with this, and how often it was asked.
    fn server() -> (watch::Sender<StatusCode>, Arc<Mutex<u32>>, Arc<Comeback>) {
        let (answer, answers) = watch::channel(StatusCode::SERVICE_UNAVAILABLE);
        let asked = Arc::new(Mutex::new(0));
        let count = asked.clone();
        let service = service_fn(move |_: Request<Body>| {
            *count.lock() += 1;
            let mut response = Response::new(Body::empty());
            *response.status_mut() = *answers.borrow();
            async { Ok::<_, Infallible>(response) }
        });
        (answer, asked, Comeback::new(Client::new(service, "default")))
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_are_woken_by_one_look_within_a_second_after_a_minute() {
        let (answer, asked, comeback) = server();
        let began = Instant::now();
        let waiting = (0..5).map(|_| {
            let (comeback, mut seen) = (comeback.clone(), comeback.subscribe());
            tokio::spawn(async move {
                comeback.wait(&mut seen, began + Duration::from_secs(600)).await;
                began.elapsed()
            })
        });
        let waiting: Vec<_> = waiting.collect();
        sleep(Duration::from_secs(60)).await;
        let looks = *asked.lock();
        assert!((100..=260).contains(&looks), "{looks} looks for five who wait");
        answer.send_replace(StatusCode::OK);
        for woken in waiting {
            let after = woken.await.unwrap();
            assert!(after <= Duration::from_millis(61_100), "{after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_server_that_is_well_nobody_is_woken_before_their_time() {
        let (answer, asked, comeback) = server();
        answer.send_replace(StatusCode::OK);
        let until = Instant::now() + Duration::from_secs(7);
        comeback.wait(&mut comeback.subscribe(), until).await;
        assert_eq!((Instant::now(), *asked.lock()), (until, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_still_refuses_everybody_is_not_back_and_one_that_answers_a_watch_is() {
        let (answer, asked, comeback) = server();
        answer.send_replace(StatusCode::FORBIDDEN);
        let mut seen = comeback.subscribe();
        let until = Instant::now() + Duration::from_secs(5);
        comeback.wait(&mut seen, until).await;
        assert_eq!(Instant::now(), until);
        comeback.answered();
        comeback.wait(&mut seen, until + Duration::from_secs(30)).await;
        assert_eq!(Instant::now(), until);
        sleep(Duration::from_secs(2)).await;
        let looks = *asked.lock();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(*asked.lock(), looks, "nobody looks any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_comeback_that_came_during_an_attempt_ends_the_next_wait_at_once() {
        let (answer, _, comeback) = server();
        let mut seen = comeback.subscribe();
        let short = Instant::now() + Duration::from_millis(100);
        comeback.wait(&mut seen, short).await;
        answer.send_replace(StatusCode::OK);
        sleep(Duration::from_secs(2)).await;
        let now = Instant::now();
        comeback.wait(&mut seen, now + Duration::from_secs(30)).await;
        assert_eq!(Instant::now(), now);
    }

    proptest! {
        #[test]
        fn a_server_is_found_to_be_back_within_a_sixtieth_of_its_absence_and_never_later_than_half_a_minute(
            away in 0u64..1_000_000, random in 0.0..1.0f64
        ) {
            let away = Duration::from_millis(away);
            let pause = pause(away, random);
            prop_assert!(pause <= MAX_PAUSE && pause >= MIN_PAUSE / 2);
            prop_assert!(pause <= (away / 60).max(MIN_PAUSE));
        }
    }
}
