//! A process that dies and one that follows it end where one that lives would.

use serde_json::json;
use tests::aws::LoadBalancer;

use crate::world::World;

/// What would be different if something had been made twice.
fn identity(balancer: &LoadBalancer) -> (String, Vec<String>, Vec<String>, Vec<String>) {
    let listeners = balancer.listeners.iter().filter_map(|listener| listener.listener_arn.clone());
    let groups = balancer.target_groups.iter().filter_map(|(group, _)| group.target_group_arn.clone());
    (balancer.arn.clone(), balancer.security_groups.clone(), listeners.collect(), groups.collect())
}

#[tokio::test]
async fn a_restart_makes_nothing_anew() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();
    let before = world.serve("web").await;
    running.stop().await;

    let running = world.run();
    // Served after "web" was looked at: Services that exist at the start are first in the queue.
    world.serve("later").await;

    let after = world.served("web").await;
    assert_eq!(identity(&after), identity(&before));
    world.delete_all(["web", "later"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_process_that_dies_half_way_is_finished_by_the_next() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();
    let ports =
        json!([{ "name": "a", "port": 80 }, { "name": "b", "port": 81 }, { "name": "c", "port": 82 }]);
    world.create("web", json!({ "spec": { "ports": ports } })).await;
    world.until("begin", |_| true).await;
    running.crash().await;

    let running = world.run();

    let balancer = world.served("web").await;
    assert_eq!(balancer.ports(), ["TCP:80", "TCP:81", "TCP:82"]);
    assert_eq!(balancer.target_groups.len(), 3);
    assert_eq!(world.network.load_balancers().await.len(), 1);
    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_was_deleted_while_nobody_watched_is_cleaned_up() {
    let world = World::with_nodes(["n1"]).await;
    let running = world.run();
    world.serve("web").await;
    running.stop().await;
    world.cluster.delete("web").await;

    let running = world.run();

    world.cluster.until_gone("web").await;
    assert_eq!(world.network.leftovers().await, tests::aws::NOTHING);
    running.stop().await;
}
