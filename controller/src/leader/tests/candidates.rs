//! Who leads, and since when.

use super::*;

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
async fn after_an_outage_whoever_led_leads_again_the_moment_the_server_is_back() {
    let store = Arc::default();
    let (leadership, line) = candidate(&store, "a");
    let held = leadership.acquire().await;
    line.always(Fault::Refused);
    held.lost().cancelled().await;
    let fence_of_before = held.fence();
    drop(held);
    let again = leadership.again();
    let waiting = again.acquire();
    tokio::pin!(waiting);
    assert!(timeout(60 * SECOND, &mut waiting).await.is_err(), "nobody answers");

    line.always(Fault::None);
    line.back.notify_waiters();

    let back = Instant::now();
    let held = waiting.await;
    assert_eq!(back.elapsed(), Duration::ZERO, "it need not wait until its own Lease is over");
    assert!(held.is_leader() && again.gate().is_leader());
    assert!(!fence_of_before.is_leader() && !leadership.gate().is_leader(), "what is lost stays lost");
    assert_eq!((store.holder().as_str(), store.transitions()), ("a", 0));
}

#[tokio::test(start_paused = true)]
async fn another_candidate_waits_a_whole_lease_for_who_may_have_renewed_unseen_and_takes_it_then() {
    let store = Arc::default();
    let (first, first_line) = candidate(&store, "a");
    let (second, line) = candidate(&store, "b");
    let held = first.acquire().await;
    let waiting = second.acquire();
    tokio::pin!(waiting);
    assert!(timeout(5 * SECOND, &mut waiting).await.is_err(), "a renews");
    line.always(Fault::Refused);
    assert!(timeout(60 * SECOND, &mut waiting).await.is_err(), "b sees nothing");
    first_line.always(Fault::Refused);
    line.always(Fault::None);
    line.back.notify_waiters();
    let back = Instant::now();
    let taken = waiting.await;
    assert_eq!(back.elapsed(), 15 * SECOND);
    assert!(taken.is_leader() && !held.is_leader());
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

#[tokio::test]
async fn a_bad_configuration_is_refused_before_any_call() {
    let config = LeaderConfig {
        retry_period: Duration::ZERO,
        ..LeaderConfig::new("kube-system", "ccm").identified_by("a")
    };
    let client = Client::try_from(kube::Config::new("http://localhost:1".parse().unwrap())).unwrap();
    let refused = Leadership::new(client, config).err().unwrap().to_string();
    assert!(refused.contains("retry_period"), "{refused}");
}
