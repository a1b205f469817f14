use super::*;

#[test]
fn the_names_are_kubernetes_own_where_it_has_them() {
    let metrics = Metrics::default();
    metrics.called(
        "bare",
        ProviderOperation::update_backends,
        Some(ErrorClass::Transient),
        Duration::from_secs(2),
    );
    metrics.called("bare", ProviderOperation::ensure, None, Duration::from_millis(10));
    metrics.queued(&ServiceKey::new("d", "s"));
    metrics.queued(&ServiceKey::new("d", "s"));
    metrics.lead(true);
    let text = metrics.encode();
    for line in [
        "service_controller_loadbalancer_sync_total 1",
        "service_controller_nodesync_error_total 1",
        "service_controller_update_loadbalancer_host_latency_seconds_count 1",
        "workqueue_depth{name=\"service\"} 1",
        "workqueue_adds_total{name=\"service\"} 1",
        "cloud_lb_queue_oldest_seconds{name=\"service\"} 0.",
        "leader_election_master_status{name=\"cloud-lb-controller\"} 1",
        "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"ensure\",outcome=\"Done\"} 1",
        "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"update_backends\",outcome=\"ProviderFailed\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_service_leaves_the_queue_when_its_reconcile_begins() {
    let (metrics, key) = (Metrics::default(), ServiceKey::new("d", "s"));
    metrics.queued(&key);
    metrics.reconcile_begins(&key);
    metrics.reconcile_ends(&key, "bare", ReconcileOutcome::Ready, Duration::from_secs(1));
    let text = metrics.encode();
    for line in [
        "workqueue_depth{name=\"service\"} 0",
        "workqueue_queue_duration_seconds_count{name=\"service\"} 1",
        "workqueue_work_duration_seconds_sum{name=\"service\"} 1.0",
        "cloud_lb_reconciles_total{provider=\"bare\",outcome=\"Ready\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_and_the_longest_reconcile_are_shown_while_they_last() {
    let metrics = Metrics::default();
    let (a, b) = (ServiceKey::new("d", "a"), ServiceKey::new("d", "b"));
    let told = || {
        let text = metrics.encode();
        ["cloud_lb_queue_oldest_seconds", "workqueue_longest_running_processor_seconds"].map(|name| {
            let sample = format!("{name}{{name=\"service\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&sample)).expect("a sample");
            value.parse::<f64>().expect("a number")
        })
    };
    metrics.queued(&a);
    tokio::time::advance(Duration::from_secs(3)).await;
    metrics.queued(&b);
    assert_eq!(told(), [3.0, 0.0]);
    metrics.reconcile_begins(&a);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(told(), [5.0, 5.0]);
    metrics.left(&b);
    metrics.reconcile_ends(&a, "bare", ReconcileOutcome::Ready, Duration::from_secs(5));
    assert_eq!(told(), [0.0, 0.0]);
}

#[test]
fn a_settled_node_set_is_timed_until_it_is_with_every_service() {
    let (metrics, key) = (Metrics::default(), ServiceKey::new("d", "s"));
    metrics.node_set_settled([key.clone()]);
    metrics.reconcile_ends(&key, "aws", ReconcileOutcome::NodesUpdated, Duration::ZERO);
    assert!(metrics.encode().contains("service_controller_nodesync_latency_seconds_count 1"));
}

#[test]
fn services_are_counted_when_somebody_asks() {
    let metrics = Metrics::default();
    metrics.count_services_by(|| [(("bare".to_owned(), ServiceState::Ready), 3)].into());
    let text = metrics.encode();
    assert!(text.contains("cloud_lb_services{provider=\"bare\",state=\"ready\"} 3"), "{text}");
    assert!(text.contains("cloud_lb_services{provider=\"bare\",state=\"failing\"} 0"), "{text}");
}

#[test]
fn a_throttled_call_counts_as_throttled() {
    let metrics = Metrics::default();
    metrics.called("aws", ProviderOperation::ensure, Some(ErrorClass::Throttled), Duration::ZERO);
    assert!(metrics.encode().contains("cloud_lb_throttles_total{provider=\"aws\"} 1"));
}
