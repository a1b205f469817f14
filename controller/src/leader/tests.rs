//! The election against a scripted API server, in paused time.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::{advance, sleep, timeout};

use super::*;

/// One Lease, with resourceVersions that conflict as a real server's do.
#[derive(Default)]
struct Store(StdMutex<Stored>);

#[derive(Default)]
struct Stored {
    lease: Option<Lease>,
    version: u64,
    events: Vec<String>,
}

impl Store {
    fn spec(&self) -> LeaseSpec {
        self.0.lock().unwrap().lease.clone().expect("a Lease").spec.unwrap()
    }

    fn holder(&self) -> String {
        self.spec().holder_identity.unwrap()
    }

    fn transitions(&self) -> i32 {
        self.spec().lease_transitions.unwrap()
    }

    fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }

    /// Writes as somebody who does not ask.
    fn edit(&self, edit: impl FnOnce(&mut Option<Lease>)) {
        let mut stored = self.0.lock().unwrap();
        edit(&mut stored.lease);
        stored.version += 1;
        let version = stored.version.to_string();
        if let Some(lease) = &mut stored.lease {
            lease.metadata.resource_version = Some(version);
        }
    }

    fn write(
        &self,
        lease: &Lease,
        expects: impl FnOnce(&Option<Lease>) -> bool,
    ) -> Result<Lease, LeaseError> {
        let mut stored = self.0.lock().unwrap();
        if !expects(&stored.lease) {
            return Err(LeaseError::Conflict);
        }
        stored.version += 1;
        let mut lease = lease.clone();
        lease.metadata.resource_version = Some(stored.version.to_string());
        stored.lease = Some(lease.clone());
        Ok(lease)
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The answer takes this long; the effect comes at the end.
    Slow(Duration),
    /// Never gets there.
    Refused,
    /// Takes effect, but no answer comes back.
    ReplyLost,
    /// Takes effect this much later, when nobody waits for the answer any more.
    Late(Duration),
}

/// One process's way to the store.
struct Line {
    store: Arc<Store>,
    identity: &'static str,
    /// For the next calls, one each.
    script: StdMutex<VecDeque<Fault>>,
    /// For all calls that the script does not cover.
    otherwise: StdMutex<Fault>,
    calls: StdMutex<Vec<(&'static str, Instant)>>,
}

impl Line {
    fn to(store: &Arc<Store>, identity: &'static str) -> Arc<Line> {
        Arc::new(Line {
            store: Arc::clone(store),
            identity,
            script: StdMutex::default(),
            otherwise: StdMutex::new(Fault::None),
            calls: StdMutex::default(),
        })
    }

    fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().unwrap().extend(faults);
    }

    fn always(&self, fault: Fault) {
        *self.otherwise.lock().unwrap() = fault;
    }

    /// The calls since this was last asked.
    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().drain(..).map(|(verb, _)| verb).collect()
    }

    async fn carry<T>(
        &self,
        verb: &'static str,
        effect: impl FnOnce() -> Result<T, LeaseError> + Send + 'static,
    ) -> Result<T, LeaseError> {
        self.calls.lock().unwrap().push((verb, Instant::now()));
        let otherwise = *self.otherwise.lock().unwrap();
        let fault = self.script.lock().unwrap().pop_front().unwrap_or(otherwise);
        match fault {
            Fault::None => effect(),
            Fault::Slow(latency) => {
                sleep(latency).await;
                effect()
            }
            Fault::Refused => Err(LeaseError::Api(kube::Error::Service("connection refused".into()))),
            Fault::ReplyLost => {
                let _unanswered = effect();
                std::future::pending().await
            }
            Fault::Late(delay) => {
                tokio::spawn(async move {
                    sleep(delay).await;
                    let _unanswered = effect();
                });
                std::future::pending().await
            }
        }
    }
}

impl LeaseApi for Line {
    fn get(&self) -> BoxFuture<'_, Result<Option<Lease>, LeaseError>> {
        let store = Arc::clone(&self.store);
        self.carry("GET", move || Ok(store.0.lock().unwrap().lease.clone())).boxed()
    }

    fn create<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        let (store, lease) = (Arc::clone(&self.store), lease.clone());
        self.carry("POST", move || store.write(&lease, Option::is_none)).boxed()
    }

    fn replace<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        let (store, lease) = (Arc::clone(&self.store), lease.clone());
        let version = |lease: &Lease| lease.metadata.resource_version.clone().expect("a resourceVersion");
        self.carry("PUT", move || {
            store.write(&lease, |stored| stored.as_ref().map(version) == Some(version(&lease)))
        })
        .boxed()
    }

    fn announce<'a>(&'a self, _: &'a Lease, turn: Turn) -> BoxFuture<'a, Result<(), LeaseError>> {
        async move {
            self.store.0.lock().unwrap().events.push(format!("{} {turn:?}", self.identity));
            Ok(())
        }
        .boxed()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A candidate with the default times: lease 15 s, deadline 10 s, retry 2 s, request timeout 5 s.
fn candidate(store: &Arc<Store>, identity: &'static str) -> (Leadership, Arc<Line>) {
    let line = Line::to(store, identity);
    (Leadership::over(line.clone(), LeaderConfig::new("kube-system", "ccm", identity)), line)
}

/// Runs everything that is due by `duration` from now.
async fn pass(duration: Duration) {
    sleep(duration).await;
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_candidate_creates_the_lease_and_renews_it_from_memory() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    assert_eq!(line.calls(), ["GET", "POST"]);
    assert_eq!((store.holder().as_str(), store.transitions()), ("a", 0));

    pass(Duration::from_millis(6_100)).await;
    assert_eq!(line.calls(), ["PUT"; 3]);
    assert!(held.is_leader());
    assert_eq!(store.events(), ["a Began"]);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_waits_for_a_living_leader_and_takes_over_as_soon_as_a_dead_ones_lease_expires() {
    let store = Arc::default();
    let (first, first_line) = candidate(&store, "a");
    let (second, _) = candidate(&store, "b");
    let held = first.acquire().await;
    let waiting = second.acquire();
    tokio::pin!(waiting);
    assert!(timeout(100 * SECOND, &mut waiting).await.is_err(), "a renews all along");

    first_line.always(Fault::Refused);
    let cut = Instant::now();
    let taken = waiting.await;
    let expiry = cut.elapsed();
    // The last renewal was at most one period before the cut, and was seen at most 2.2 periods after it.
    assert!(expiry >= 13 * SECOND && expiry <= 20 * SECOND, "{expiry:?}");
    assert!(taken.is_leader() && !held.is_leader());
    assert_eq!((store.holder().as_str(), store.transitions()), ("b", 1));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_at_the_deadline_before_anyone_can_take_over() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    pass(Duration::from_millis(4_100)).await;
    let renewed = line.calls.lock().unwrap().last().unwrap().1;
    line.always(Fault::Refused);
    line.calls();

    let fence = held.fence();
    let lost = held.lost().clone();
    lost.cancelled().await;
    assert_eq!(renewed.elapsed(), 10 * SECOND);
    assert!(!fence.is_leader());
    // Each period a write from memory, then a look.
    assert_eq!(line.calls(), ["PUT", "GET"].repeat(4));

    line.always(Fault::None);
    pass(60 * SECOND).await;
    assert_eq!(line.calls(), [""; 0], "what is lost stays lost");
    assert!(!held.is_leader());
    assert_eq!(store.events(), ["a Began", "a Ended"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_deadline_is_survived() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    for outage in 1..=3 {
        line.next(vec![Fault::Refused; 2 * outage]);
        pass(20 * SECOND).await;
        assert!(held.is_leader(), "after {outage} failed periods");
    }
    assert_eq!((store.holder().as_str(), store.transitions()), ("a", 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_api_server_is_no_reason_to_lose_leadership() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    line.always(Fault::Slow(4 * SECOND));
    let held = leadership.acquire().await;
    assert_eq!(line.calls(), ["GET", "POST"]);
    let watch = timeout(120 * SECOND, held.lost().cancelled()).await;
    assert!(watch.is_err() && held.is_leader());
    assert_eq!(line.calls(), ["PUT"; 30]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up_after_the_request_timeout() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    line.calls();
    line.next([Fault::Slow(3_600 * SECOND)]);
    pass(8 * SECOND).await;
    // At 2 s the call that hangs, until 7 s; then a look and a write.
    assert_eq!(line.calls(), ["PUT", "GET", "PUT"]);
    assert!(held.is_leader());
}

#[tokio::test(start_paused = true)]
async fn leadership_counts_from_the_start_of_the_renewal_not_from_its_answer() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    line.next([Fault::None, Fault::Slow(4 * SECOND)]);
    line.always(Fault::Refused);
    let held = leadership.acquire().await;
    pass(Duration::from_millis(5_900)).await;
    assert!(held.is_leader());
    pass(Duration::from_millis(100)).await;
    assert!(!held.is_leader() && held.lost().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_the_first_write_is_recognised_by_the_next_look() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    line.next([Fault::None, Fault::ReplyLost]);
    let held = leadership.acquire().await;
    assert_eq!(line.calls(), ["GET", "POST", "GET", "PUT"]);
    assert!(held.is_leader());
    assert_eq!((store.holder().as_str(), store.transitions()), ("a", 0));
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_a_takeover_counts_one_transition() {
    let store = Arc::default();
    let (first, _) = candidate(&store, "a");
    first.acquire().await.release().await.unwrap();
    let (second, line) = candidate(&store, "b");
    line.next([Fault::None, Fault::ReplyLost]);
    let held = second.acquire().await;
    assert_eq!(line.calls(), ["GET", "PUT", "GET", "PUT"]);
    assert!(held.is_leader());
    assert_eq!((store.holder().as_str(), store.transitions()), ("b", 1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_a_renewal_is_healed_by_a_look() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    let acquired = store.spec().acquire_time;
    line.calls();
    line.next([Fault::ReplyLost]);
    pass(8 * SECOND).await;
    assert_eq!(line.calls(), ["PUT", "GET", "PUT"]);
    assert!(held.is_leader());
    assert_eq!((store.transitions(), store.spec().acquire_time), (0, acquired));
}

#[tokio::test(start_paused = true)]
async fn an_edit_by_somebody_else_conflicts_once_and_does_not_end_the_term() {
    let store: Arc<Store> = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    line.calls();
    let labels = Some([("team".to_owned(), "network".to_owned())].into());
    store.edit(|lease| lease.as_mut().unwrap().metadata.labels = labels.clone());
    pass(Duration::from_millis(4_100)).await;
    assert_eq!(line.calls(), ["PUT", "GET", "PUT", "PUT"]);
    assert!(held.is_leader());
    assert_eq!(store.0.lock().unwrap().lease.as_ref().unwrap().metadata.labels, labels);
}

#[tokio::test(start_paused = true)]
async fn a_lease_deleted_under_a_leader_is_written_anew() {
    let store: Arc<Store> = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    line.calls();
    store.edit(|lease| *lease = None);
    pass(Duration::from_millis(2_100)).await;
    assert_eq!(line.calls(), ["PUT", "GET", "POST"]);
    assert!(held.is_leader());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_sees_another_holder_stops_at_once() {
    let store: Arc<Store> = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    line.calls();
    store.edit(|lease| {
        let spec = lease.as_mut().unwrap().spec.as_mut().unwrap();
        spec.holder_identity = Some("b".into());
    });
    let start = Instant::now();
    held.lost().cancelled().await;
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(line.calls(), ["PUT", "GET"]);
    assert!(!held.is_leader());
    held.release().await.unwrap();
    assert_eq!(line.calls(), [""; 0], "what is lost is not given back");
    assert_eq!(store.holder(), "b");
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_past_the_lease_no_call_is_made() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    pass(SECOND).await;
    line.calls();
    // The clock jumps while no task runs, as it does for a stopped process.
    advance(60 * SECOND).await;
    assert!(!held.is_leader(), "even before any task has run");
    pass(60 * SECOND).await;
    assert!(held.lost().is_cancelled());
    assert_eq!(line.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_in_the_middle_of_a_renewal_its_late_answer_counts_for_nothing() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    line.calls();
    line.next([Fault::Slow(SECOND), Fault::None]);
    pass(2 * SECOND).await;
    assert_eq!(line.calls(), ["PUT"], "under way");
    advance(60 * SECOND).await;
    assert!(!held.is_leader());
    pass(SECOND).await;
    assert!(held.lost().is_cancelled());
    assert_eq!(line.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_the_next_look() {
    let store = Arc::default();
    let (first, _) = candidate(&store, "a");
    let (second, _) = candidate(&store, "b");
    let held = first.acquire().await;
    let (fence, lost) = (held.fence(), held.lost().clone());
    let waiting = second.acquire();
    tokio::pin!(waiting);
    assert!(timeout(30 * SECOND, &mut waiting).await.is_err());

    let start = Instant::now();
    held.release().await.unwrap();
    assert!(!fence.is_leader() && lost.is_cancelled());
    assert_eq!((store.holder().as_str(), store.transitions()), ("", 0));
    let taken = waiting.await;
    assert!(start.elapsed() <= Duration::from_millis(4_400), "{:?}", start.elapsed());
    assert!(taken.is_leader());
    assert_eq!(store.transitions(), 1);
    pass(Duration::ZERO).await;
    assert_eq!(store.events(), ["a Began", "a Ended", "b Began"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_during_a_renewal_whose_effect_is_unknown_still_gives_the_lease_back() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    line.next([Fault::ReplyLost]);
    pass(2 * SECOND).await;
    line.calls();
    held.release().await.unwrap();
    assert_eq!(line.calls(), ["PUT", "GET", "PUT"]);
    assert_eq!(store.holder(), "");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_written_ends_in_time_and_says_so() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    let fence = held.fence();
    line.always(Fault::Slow(3_600 * SECOND));
    let start = Instant::now();
    assert!(matches!(held.release().await, Err(LeaseError::Timeout(_))));
    assert!(start.elapsed() <= 10 * SECOND);
    assert!(!fence.is_leader());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_on_exit_where_so_configured() {
    let store = Arc::default();
    let line = Line::to(&store, "a");
    let config = LeaderConfig { release_on_exit: false, ..LeaderConfig::new("kube-system", "ccm", "a") };
    Leadership::over(line.clone(), config).acquire().await.release().await.unwrap();
    assert_eq!(line.calls(), ["GET", "POST"]);
    assert_eq!(store.holder(), "a");
}

#[tokio::test(start_paused = true)]
async fn dropping_leadership_ends_it_here_and_leaves_the_lease_to_expire() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    let (fence, lost) = (held.fence(), held.lost().clone());
    line.calls();
    drop(held);
    assert!(!fence.is_leader() && lost.is_cancelled());
    pass(60 * SECOND).await;
    assert_eq!(line.calls(), [""; 0]);
    assert_eq!(store.holder(), "a");
    assert!(leadership.healthy());

    let again = leadership.acquire().await;
    assert!(again.is_leader() && !fence.is_leader(), "the new term does not revive the old one");
}

#[tokio::test(start_paused = true)]
async fn one_candidate_holds_one_term_at_a_time() {
    let store = Arc::default();
    let (leadership, _) = candidate(&store, "a");
    let held = leadership.acquire().await;
    assert!(timeout(60 * SECOND, leadership.acquire()).await.is_err());
    held.release().await.unwrap();
    assert!(leadership.acquire().await.is_leader());
}

#[tokio::test(start_paused = true)]
async fn losing_the_race_for_an_expired_lease_means_to_wait_again() {
    let store = Arc::default();
    let (dead, _) = candidate(&store, "dead");
    drop(dead.acquire().await);
    let (winner, _) = candidate(&store, "winner");
    let (loser, line) = candidate(&store, "loser");
    // Both find it expired; the loser's write arrives later.
    line.always(Fault::Slow(SECOND));
    let (winning, losing) = (winner.acquire(), loser.acquire());
    tokio::pin!(losing);
    let held = winning.await;
    assert!(timeout(60 * SECOND, &mut losing).await.is_err());
    assert!(held.is_leader());
    assert_eq!((store.holder().as_str(), store.transitions()), ("winner", 1));
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_unhealthy_when_it_outlives_its_lease_by_20_seconds() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    assert!(leadership.healthy(), "a candidate");
    let held = leadership.acquire().await;
    line.always(Fault::Refused);
    pass(34 * SECOND).await;
    assert!(leadership.healthy());
    pass(2 * SECOND).await;
    assert!(!leadership.healthy());
    held.release().await.unwrap();
    assert!(leadership.healthy(), "no longer pretends");
}

/// A mix in which most calls succeed, and outages longer than a lease happen.
fn any_fault() -> Fault {
    let millis = |most| Duration::from_millis(fastrand::u64(1..most));
    match fastrand::u8(0..20) {
        0..=2 => Fault::Refused,
        3..=4 => Fault::ReplyLost,
        5..=6 => Fault::Late(millis(30_000)),
        7..=12 => Fault::Slow(millis(7_000)),
        _ => Fault::None,
    }
}

/// Contends for ever, and ends each term by releasing, by dropping it as a crash does, or by losing it.
async fn serve(leadership: Leadership, fences: Arc<StdMutex<Vec<(String, Fence)>>>) {
    loop {
        let held = leadership.acquire().await;
        let identity = leadership.calls.config.identity.clone();
        fences.lock().unwrap().push((identity, held.fence()));
        let lost = held.lost().clone();
        match timeout(fastrand::u32(1..60) * SECOND, lost.cancelled()).await {
            Err(_) if fastrand::bool() => drop(held.release().await),
            _ => drop(held),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn under_any_faults_whoever_believes_to_lead_is_the_one_holder_in_the_record() {
    let (mut led, mut transitions) = (0, 0);
    for seed in 0..30 {
        fastrand::seed(seed);
        let store: Arc<Store> = Arc::default();
        let fences = Arc::default();
        let mut lines = Vec::new();
        let mut replicas = tokio::task::JoinSet::new();
        for identity in ["a", "b", "c"] {
            let (leadership, line) = candidate(&store, identity);
            replicas.spawn(serve(leadership, Arc::clone(&fences)));
            lines.push(line);
        }
        for tick in 0..6_000 {
            if tick % 60 == 0 {
                let line = fastrand::choice(&lines).unwrap();
                line.always(any_fault());
            }
            sleep(Duration::from_millis(50)).await;
            let mut fences = fences.lock().unwrap();
            fences.retain(|(_, fence): &(String, Fence)| fence.is_leader());
            let leaders: Vec<&str> = fences.iter().map(|(identity, _)| identity.as_str()).collect();
            if !leaders.is_empty() {
                led += 1;
                assert_eq!(leaders, [store.holder()], "seed {seed}, tick {tick}");
            }
        }
        transitions += store.transitions();
    }
    // Else the above says little.
    assert!(led > 90_000, "led in {led} of 180000 ticks only");
    assert!(transitions > 90, "{transitions} transitions only");
}

#[tokio::test]
async fn a_bad_configuration_is_refused_before_any_call() {
    let config =
        LeaderConfig { retry_period: Duration::ZERO, ..LeaderConfig::new("kube-system", "ccm", "a") };
    let client = Client::try_from(kube::Config::new("http://localhost:1".parse().unwrap())).unwrap();
    let refused = Leadership::new(client, config).err().unwrap().to_string();
    assert!(refused.contains("--leader-elect-retry-period"), "{refused}");
}
