//! A process that dies and one that follows it end where one that lives would.

use serde_json::json;
use tests::aws::LoadBalancer;

use crate::fixture::Fixture;

/// What would be different if something had been made twice.
fn identity(balancer: &LoadBalancer) -> (String, Vec<String>, Vec<String>, Vec<String>) {
    let listeners = balancer.listeners.iter().filter_map(|listener| listener.listener_arn.clone());
    let groups = balancer.target_groups.iter().filter_map(|(group, _)| group.target_group_arn.clone());
    (balancer.arn.clone(), balancer.security_groups.clone(), listeners.collect(), groups.collect())
}

#[tokio::test]
async fn a_restart_makes_nothing_anew() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();
    let before = fixture.serve("web").await;
    running.stop().await;

    let running = fixture.run();
    // Served after "web" was looked at: Services that exist at the start are first in the queue.
    fixture.serve("later").await;

    let after = fixture.served("web").await;
    assert_eq!(identity(&after), identity(&before));
    fixture.delete_all(["web", "later"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_process_that_dies_half_way_is_finished_by_the_next() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();
    let ports =
        json!([{ "name": "a", "port": 80 }, { "name": "b", "port": 81 }, { "name": "c", "port": 82 }]);
    fixture.create("web", json!({ "spec": { "ports": ports } })).await;
    fixture.until("begin", |_| true).await;
    running.crash().await;

    let running = fixture.run();

    let balancer = fixture.served("web").await;
    assert_eq!(balancer.ports(), ["TCP:80", "TCP:81", "TCP:82"]);
    assert_eq!(balancer.target_groups.len(), 3);
    assert_eq!(fixture.network.load_balancers().await.len(), 1);
    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_was_deleted_while_nobody_watched_is_cleaned_up() {
    let fixture = Fixture::with_nodes(["n1"]).await;
    let running = fixture.run();
    fixture.serve("web").await;
    running.stop().await;
    fixture.cluster.delete("web").await;

    let running = fixture.run();

    fixture.cluster.until_gone("web").await;
    assert_eq!(fixture.network.leftovers().await, tests::aws::NOTHING);
    running.stop().await;
}
