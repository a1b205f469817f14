//! The example of embedding, as a process.

use serde_json::json;
use tests::cluster::Cluster;

use super::process::{Access, Program, command, read};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_serves_its_class_and_ends_well() {
    let cluster = Cluster::start().await;
    let access = Access::to(&cluster.plane);
    let mut example = command("examples/embed");
    example.env("KUBECONFIG", access.kubeconfig());
    let mut program = Program::spawn(example);
    cluster.create_with("web", json!({ "spec": { "loadBalancerClass": "example.com/wildcard" } })).await;
    let name = format!("web.{}.lb.example.com", cluster.namespace);
    assert_eq!(cluster.until_published("web").await, [name]);

    program.signal("INT");

    assert!(program.end().await.success());
}

#[test]
fn the_example_is_short() {
    let source = read("controller/examples/embed.rs");
    let body = source.split_once("struct Wildcard").expect("the provider").1;
    let lines = body.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() < 70);
}
