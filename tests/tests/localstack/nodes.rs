//! Nodes that come and go are targets that come and go.

use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_node_that_joins_takes_traffic_and_one_that_leaves_does_not() {
    let fixture = Fixture::start().await;
    let first = fixture.add_node("n1").await;
    let running = fixture.run();
    assert_eq!(fixture.serve("web").await.instances(), Some(vec![first.clone()]));

    let second = fixture.add_node("node2").await;
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    fixture.until("two targets", |b| b.instances().as_ref() == Some(&both)).await;

    fixture.network.terminate(&first).await;
    fixture.remove_node("n1").await;
    fixture.until("one target", |b| b.instances().as_deref() == Some(std::slice::from_ref(&second))).await;

    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_node_that_is_no_instance_is_named_and_costs_the_others_nothing() {
    let fixture = Fixture::start().await;
    let instance = fixture.add_node("n1").await;
    fixture.cluster.add_node_with("odd", json!({ "spec": { "providerID": "elsewhere://machine" } })).await;
    let running = fixture.run();

    assert_eq!(fixture.serve("web").await.instances(), Some(vec![instance]));
    let message = fixture.cluster.until_event("web", "UnusableNodes").await;
    assert!(message.contains("odd"), "{message}");
    fixture.delete_all(["web"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_load_balancer_that_is_there_before_the_nodes_takes_the_first() {
    let fixture = Fixture::start().await;
    let vpc_id = Some(fixture.network.vpc.clone());
    let mut config = fixture.config();
    config.vpc_id = vpc_id;
    let running = fixture.run_with(config);
    assert_eq!(fixture.serve("web").await.instances(), Some(Vec::new()));

    let instance = fixture.add_node("n1").await;

    fixture.until("one target", |b| b.instances().as_deref() == Some(std::slice::from_ref(&instance))).await;
    fixture.delete_all(["web"]).await;
    running.stop().await;
}
