//! The dashboard and the alerts in `deploy/observability` speak of metrics that there are, and alerts of pages that there
//! are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use regex_lite::Regex;
use serde_json::Value;
use tests::cluster::Cluster;
use tests::programs::http;

use super::process::{Access, Program, read, with_pool};
use super::recorded::{metric_sources, registered};

/// PromQL's words that are written like a metric's name or stand where one could.
const WORDS: [&str; 23] = [
    "absent",
    "by",
    "count",
    "histogram_quantile",
    "increase",
    "job",
    "label_replace",
    "label_values",
    "le",
    "max",
    "and",
    "min",
    "min_over_time",
    "waiting",
    "name",
    "or",
    "rate",
    "sum",
    "state",
    "time",
    "used",
    "version",
    "pod",
];

/// What Prometheus adds to every series by itself.
const ADDED: [&str; 3] = ["instance", "job", "le"];

fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read("deploy/observability/alerts.yaml")).expect("YAML");
    let groups = file["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/observability/dashboard.json")).expect("JSON")
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().expect("panels").clone()
}

/// Every expression of both files, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let alerts = alerts();
    let of_alerts = alerts.iter().map(|alert| (text(&alert["alert"]), text(&alert["expr"])));
    let of_panels = panels().into_iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (text(&panel["title"]), text(&target["expr"])))
    });
    of_alerts.chain(of_panels).collect()
}

/// Names of metrics, as they are in an exposition, and what a histogram adds to them.
fn exposed(name: &str) -> Vec<String> {
    let units = ["", "_seconds", "_bytes"];
    let ends = ["", "_total", "_bucket"];
    units.iter().flat_map(|unit| ends.map(|end| format!("{name}{unit}{end}"))).collect()
}

/// The fields of all label sets in the code.
fn labels() -> BTreeSet<String> {
    let set = Regex::new(r"EncodeLabelSet\)\]\s*(?:pub\(\w+\) )?struct \w+ \{([^}]*)\}").expect("a pattern");
    let field = Regex::new(r"(\w+):").expect("a pattern");
    let sources = metric_sources();
    let sets: Vec<String> = sources
        .iter()
        .flat_map(|source| set.captures_iter(source).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect();
    sets.iter()
        .flat_map(|fields| field.captures_iter(fields).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let known: BTreeSet<String> = registered().iter().flat_map(|name| exposed(name)).collect();
    let quoted = Regex::new(r#""[^"]*"|\$\w+"#).expect("a pattern");
    let braces = Regex::new(r"\{[^}]*\}|by \([^)]*\)").expect("a pattern");
    let word = Regex::new(r"[a-z][a-z_]+").expect("a pattern");
    let mut used = BTreeSet::new();
    for (place, expression) in expressions() {
        let plain = braces.replace_all(&quoted.replace_all(&expression, ""), "").into_owned();
        for name in word.find_iter(&plain).map(|found| found.as_str().to_owned()) {
            if WORDS.contains(&name.as_str()) {
                continue;
            }
            assert!(known.contains(&name), "{place}: there is no metric {name}");
            used.insert(name);
        }
    }
    let shown = |name: &String| exposed(name).iter().any(|name| used.contains(name));
    let unseen: Vec<String> = registered().into_iter().filter(|name| !shown(name)).collect();
    assert_eq!(unseen, Vec::<String>::new(), "metrics that neither the dashboard nor an alert shows");
}

#[test]
fn dashboard_and_alerts_use_labels_that_there_are() {
    let mut known = labels();
    known.extend(ADDED.map(str::to_owned));
    let matched = Regex::new(r#"(\w+)(?:=~|!=|!~|=)""#).expect("a pattern");
    let grouped = Regex::new(r"by \(([^)]*)\)").expect("a pattern");
    for (place, expression) in expressions() {
        let mut named: Vec<String> =
            matched.captures_iter(&expression).map(|found| found[1].to_owned()).collect();
        for list in grouped.captures_iter(&expression) {
            named.extend(list[1].split(',').map(|label| label.trim().to_owned()));
        }
        for label in named {
            assert!(known.contains(&label), "{place}: there is no label {label}");
        }
    }
}

#[test]
fn words_of_outcomes_and_states_are_those_of_the_code() {
    let outcomes: Vec<&str> = cloud_provider::ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
    let list = Regex::new(r#"outcome(?:=~|!=)"([^"]*)""#).expect("a pattern");
    let states = Regex::new(r#"state="([^"]*)""#).expect("a pattern");
    for (place, expression) in expressions() {
        for found in list.captures_iter(&expression) {
            for word in found[1].split('|') {
                assert!(word == "Done" || outcomes.contains(&word), "{place}: there is no outcome {word}");
            }
        }
        for found in states.captures_iter(&expression) {
            let word = format!("\"{}\"", &found[1]);
            let sources = metric_sources();
            let known = sources.iter().any(|source| source.contains(&word));
            assert!(known, "{place}: there is no state {word}");
        }
    }
}

#[test]
fn every_alert_has_its_page_in_the_runbook_and_every_page_its_alert() {
    let guide = read("docs/operate.md");
    let runbook = guide.split_once("\n## Runbook").expect("a runbook").1;
    let pages: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = alerts();
    let mut names = BTreeMap::new();
    for alert in &alerts {
        let name = alert["alert"].as_str().expect("a name");
        names.insert(name, alert);
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().expect("a severity")));
        for annotation in ["summary", "description"] {
            assert!(!alert["annotations"][annotation].as_str().expect("words").is_empty(), "{name}");
        }
        let page =
            format!("{}/blob/main/docs/operate.md#{}", env!("CARGO_PKG_REPOSITORY"), name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], page.as_str(), "{name}");
    }
    assert_eq!(names.keys().copied().collect::<BTreeSet<_>>(), pages);
}

#[test]
fn every_alert_is_put_to_the_test_by_promtool() {
    let tests = read("deploy/observability/alerts-test.yaml");
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name");
        let fires =
            Regex::new(&format!(r"alertname: {name}\n\s+eval_time: \w+\n\s+exp_alerts:\n\s+- exp_labels"));
        assert!(fires.expect("a pattern").is_match(&tests), "{name} is never seen to fire");
    }
}

#[test]
fn the_dashboard_loads() {
    let dashboard = dashboard();
    for field in ["title", "uid", "schemaVersion", "templating", "time"] {
        assert!(!dashboard[field].is_null(), "{field}");
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let variables: Vec<&Value> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
    // "All" is all that the variable lists, which are ours; a pattern would match what anybody else runs.
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        assert!(variable["allValue"].is_null(), "{variable}");
    }
    let mut ids = BTreeSet::new();
    let mut rows: Vec<(i64, i64, i64, i64)> = Vec::new();
    for panel in panels() {
        assert!(ids.insert(panel["id"].as_i64().expect("an id")), "{panel}");
        let at = |field: &str| panel["gridPos"][field].as_i64().expect("a place");
        let place = (at("x"), at("y"), at("x") + at("w"), at("y") + at("h"));
        assert!(place.2 <= 24, "{}", panel["title"]);
        let apart = |other: &(i64, i64, i64, i64)| {
            other.2 <= place.0 || place.2 <= other.0 || other.3 <= place.1 || place.3 <= other.1
        };
        assert!(rows.iter().all(apart), "{} lies on another panel", panel["title"]);
        rows.push(place);
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{}", panel["title"]);
            for expression in targets.iter().map(|target| target["expr"].as_str().expect("an expression")) {
                // The variables choose for every panel.
                assert!(expression.contains(r#"{job=~"$job",instance=~"$instance""#), "{expression}");
            }
        }
    }
}

#[test]
fn the_chart_brings_the_same_alerts_and_the_same_dashboard() {
    for name in ["alerts.yaml", "dashboard.json"] {
        let copy = "deploy/helm/cloud-lb-controller/files/".to_owned() + name;
        let original = read(format!("deploy/observability/{name}"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(std::path::Path::new(super::process::WORKSPACE).join(&copy), &original)
                .expect("a file");
        }
        let advice = "UPDATE_DOCS=1 cargo test --workspace --test program writes it again";
        assert!(read(&copy) == original, "{copy} is another than deploy/observability has; {advice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_against_the_metrics() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &[]);
    let address = program.address().await;
    cluster.create("web").await;
    cluster.until_published("web").await;
    let (_, metrics) = http(&address, "GET", "/metrics", "").await.expect("an answer");
    assert!(metrics.contains("\nrest_client_requests_total{code=\"200\",method=\"GET\""), "{metrics}");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("apt-get install --yes --no-install-recommends prometheus");
    promtool.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("it reads");
    let judged = promtool.wait_with_output().expect("it ends");
    let said =
        [judged.stdout, judged.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(judged.status.success() && said.is_empty(), "{said}");
}
