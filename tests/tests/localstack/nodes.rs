//! Nodes that come and go are targets that come and go.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_node_that_joins_takes_traffic_and_one_that_leaves_does_not() {
    let world = World::start().await;
    let first = world.add_node("n1").await;
    let running = world.run();
    assert_eq!(world.serve("web").await.instances(), Some(vec![first.clone()]));

    let second = world.add_node("node2").await;
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    world.until("two targets", |b| b.instances().as_ref() == Some(&both)).await;

    world.network.terminate(&first).await;
    world.remove_node("n1").await;
    world.until("one target", |b| b.instances().as_deref() == Some(std::slice::from_ref(&second))).await;

    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_node_that_is_no_instance_is_named_and_costs_the_others_nothing() {
    let world = World::start().await;
    let instance = world.add_node("n1").await;
    world.cluster.add_node_with("odd", json!({ "spec": { "providerID": "elsewhere://machine" } })).await;
    let running = world.run();

    assert_eq!(world.serve("web").await.instances(), Some(vec![instance]));
    let message = world.cluster.until_event("web", "UnusableNodes").await;
    assert!(message.contains("odd"), "{message}");
    world.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_load_balancer_that_is_there_before_the_nodes_takes_the_first() {
    let world = World::start().await;
    let vpc_id = Some(world.network.vpc.clone());
    let mut config = world.config();
    config.vpc_id = vpc_id;
    let running = world.run_with(config);
    assert_eq!(world.serve("web").await.instances(), Some(Vec::new()));

    let instance = world.add_node("n1").await;

    world.until("one target", |b| b.instances().as_deref() == Some(std::slice::from_ref(&instance))).await;
    world.delete_all(["web"]).await;
    running.stop().await;
}
