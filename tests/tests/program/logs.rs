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

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_the_day() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut program = Program::start(&access, &["--log-format=text", "--drain-timeout=20s"]);
    program.until_it_says("became leader").await;
    cluster.create("web").await;
    program.until_it_says("Assigned IP [192.0.2.10] from pool office").await;
    cluster.create_with("typo", json!({ "spec": { "loadBalancerIP": "198.51.100.700" } })).await;
    program.until_it_says("not as the Service wants it").await;
    cluster.delete("web").await;
    program.until_it_says("released: the Service is gone").await;
    program.signal("TERM");
    assert!(program.end().await.success());

    let log = program.log();
    let line = |words: &str| {
        let mut saying = log.lines().filter(|line| line.contains(words));
        let line = saying.next().unwrap_or_else(|| panic!("{words} is missing in\n{log}"));
        assert_eq!(saying.next(), None, "{words} is there twice in\n{log}");
        line
    };
    let began = line("cloud-lb-controller begins");
    for said in [
        "version=\"",
        "commit=\"",
        "features=\"",
        "identity=",
        "--cloud-provider=bare",
        "--drain-timeout=20s",
    ] {
        assert!(began.contains(said), "{said}: {began}");
    }
    assert!(!began.contains("--verify-interval"), "that is as by default: {began}");
    let freed = line("released: the Service is gone");
    assert!(freed.contains("freed=192.0.2.10") && freed.contains("office"), "{freed}");
    line("leads no more: the Lease is released");
    for dump in ["Some(", "None", "{ "] {
        let dumped = log.lines().find(|line| line.contains(dump));
        assert_eq!(dumped, None, "no Debug dump");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_is_a_warning_by_metallbs_reason() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &["--log-format=text"]);
    let many = 11;
    for number in 0..many {
        cluster.create(&format!("s{number}")).await;
    }
    program.until_it_says("AllocationFailed").await;
    let log = program.log();
    let line = log.lines().find(|line| line.contains("AllocationFailed")).expect("it was just there");
    assert!(line.contains(" WARN ") && line.contains("no free IPv4 address in office"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_debug_the_program_speaks_and_not_what_it_is_made_of() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &["--log-format=text", "--log-level=debug"]);
    cluster.create("web").await;
    program.until_it_says("reconciled").await;
    let log = program.log();
    let foreign = log.lines().find(|line| {
        line.contains(" DEBUG ")
            && !["service_controller", "cloud_lb_controller", "apiserver_client", "provider_", "metallb"]
                .iter()
                .any(|ours| line.contains(&format!(" {ours}")))
    });
    assert_eq!(foreign, None);
}
