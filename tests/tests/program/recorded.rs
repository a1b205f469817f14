//! What the program prints is kept in `docs/output`, so that the documentation shows what users see.
//!
//! `UPDATE_DOCS=1` writes the files again.

use std::collections::BTreeSet;
use std::path::Path;

use super::process::{Access, WORKSPACE, command, finish, read, with_pool};
use serde_json::json;
use tests::cluster::Cluster;
use tests::recorded::matches_the_docs;

#[tokio::test]
async fn the_help_is_as_documented() {
    let mut help = command("cloud-lb-controller");
    help.arg("--help");
    let said = finish(help).await;
    assert_eq!(said.code, Some(0));
    let lines: Vec<&str> = said.output.lines().map(str::trim_end).collect();
    matches_the_docs("help.txt", &(lines.join("\n") + "\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_as_documented() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    cluster.create("web").await;
    let wrong = json!({ "metadata": { "annotations": { "metallb.io/loadBalancerIPs": "198.51.100.700" } } });
    cluster.create_with("typo", wrong).await;
    let access = Access::to(&cluster.plane);
    for (format, file) in [("text", "plan.txt"), ("json", "plan.json")] {
        let said = access.output(&["plan", "--all", "--cloud-provider=bare", "-o", format]).await;
        assert_eq!(said.code, Some(2));
        matches_the_docs(file, &said.output.replace(&cluster.namespace, "default"));
    }
}

/// The names in the table of metrics of a guide.
fn documented(guide: &str) -> Vec<String> {
    let guide = read(guide);
    let table = guide.split_once("# Metrics\n").expect("a section Metrics").1;
    let table = table.split("\n## ").next().expect("an end");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let names = |row: &str| row.split("`, `").map(str::to_owned).collect::<Vec<_>>();
    cells.flat_map(|(cell, _)| names(cell)).collect()
}

/// The names in the code: a family without a sample is not encoded, so the output alone does not show them all.
pub(crate) fn registered() -> BTreeSet<String> {
    names_in(&metric_sources())
}

/// The names of metrics that are registered in these sources.
fn names_in(sources: &[String]) -> BTreeSet<String> {
    let name = regex_lite::Regex::new(r#"(?:register|register_with_unit|encode_descriptor)\(\s*"([a-z_]+)""#)
        .expect("a pattern");
    let found = sources.iter().flat_map(|source| name.captures_iter(source));
    found.map(|found| found[1].to_owned()).collect()
}

/// The files in which metrics are defined: the controller's, the program's, one of each provider's folder, and the one in
/// which requests are counted.
pub(crate) fn metric_sources() -> Vec<String> {
    let mut found = vec![read("cloud-lb-controller/src/requests.rs")];
    for folder in
        ["controller/src/metrics", "cloud-lb-controller/src/server", "cloud-lb-controller/src/providers"]
    {
        for entry in std::fs::read_dir(Path::new(WORKSPACE).join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let file = if path.is_dir() { path.join("metrics.rs") } else { path };
            found.push(std::fs::read_to_string(file).expect("text"));
        }
    }
    found
}

/// A name as it is registered, to which the encoder adds what it counts.
fn plain(name: &str) -> String {
    let units = ["_total", "_seconds", "_bytes"];
    units.iter().fold(name, |name, unit| name.trim_end_matches(unit)).to_owned()
}

#[test]
fn every_metric_of_the_announcer_is_documented_and_every_documented_one_exists() {
    let named: BTreeSet<String> = documented("docs/bare-metal.md").iter().map(|name| plain(name)).collect();
    assert_eq!(named, names_in(&[read("announcer/src/agent/telemetry.rs")]));
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let named = documented("docs/operate.md");
    assert_eq!(named.iter().map(|name| plain(name)).collect::<BTreeSet<_>>(), registered());

    let metrics = service_controller::Metrics::default();
    metrics.lead(true);
    for line in metrics.encode().lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(named.contains(&name), "{name} is not documented");
    }
}
