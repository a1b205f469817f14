//! Pauses, releases, and ends.

use super::*;

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
    let config =
        LeaderConfig { release_on_exit: false, ..LeaderConfig::new("kube-system", "ccm").identified_by("a") };
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
