//! What is logged of a Service.

use serde_json::{Value, json};
use tests::cluster::Cluster;

use super::process::{Access, Program, with_pool};

/// A program that has failed at a Service named `typo`, and what it said.
async fn with_a_typo(format: &str) -> (Cluster, String) {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &[format, "--log-level=info,service_controller=debug"]);
    cluster.create_with("typo", json!({ "spec": { "loadBalancerIP": "198.51.100.700" } })).await;
    program.until_it_says("not as the Service wants it").await;
    program.until_it_says("reconciled").await;
    let log = program.log();
    (cluster, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_json_says_of_which_service_it_is_whose_and_what_came_of_it() {
    let (cluster, log) = with_a_typo("--log-format=json").await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let saying = |words: &str| {
        let line = lines.iter().find(|line| line["fields"]["message"] == words);
        line.unwrap_or_else(|| panic!("{words} is missing in\n{log}"))
    };
    let service = format!("{}/typo", cluster.namespace);

    let warning = saying("not as the Service wants it");
    assert_eq!(warning["level"], "WARN");
    let span = &warning["span"];
    assert_eq!((&span["name"], &span["service"]), (&json!("reconcile"), &json!(service)));
    assert_eq!(span["provider"], "bare");
    assert!(span["version"].is_string(), "{warning}");
    let over = saying("reconciled");
    assert_eq!(over["span"]["outcome"], "Failed");
    assert_eq!(over["spans"].as_array().map(Vec::len), Some(1), "one span for each reconcile: {over}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_text_says_the_same_in_plain_words() {
    let (cluster, log) = with_a_typo("--log-format=text").await;
    let line = |words: &str| log.lines().find(|line| line.contains(words)).expect("a line");
    let span = format!("reconcile{{service={}/typo", cluster.namespace);

    let warning = line("not as the Service wants it");
    assert!(warning.contains(" WARN ") && warning.contains(&span), "{warning}");
    assert!(warning.contains("provider=bare"), "{warning}");
    assert!(line("reconciled").contains("outcome=Failed"), "{log}");
    assert!(!log.contains('\x1b'), "colours are for terminals: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_for_a_service_is_a_line_at_the_level_info() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &["--log-format=text", "--log-level=info"]);

    cluster.create("web").await;

    program.until_it_says("Assigned IP").await;
    let log = program.log();
    let line = log.lines().find(|line| line.contains("Assigned IP")).expect("it was just there");
    assert!(line.contains(" INFO ") && line.contains("IPAllocated"), "{line}");
    assert!(line.contains(&format!("service={}/web", cluster.namespace)), "{line}");
}
