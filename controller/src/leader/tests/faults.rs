//! Lost replies, conflicts, and everything at once.

use super::*;

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
