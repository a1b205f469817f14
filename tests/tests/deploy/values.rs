//! The values: documented, checked by the schema, and the flags among them are those that the program has.
//!
//! `UPDATE_DOCS=1` writes the table of the chart's README and the flags in the schema again.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::process::{WORKSPACE, command, finish, read};
use super::render::{AWS, BARE, template};

const CHART: &str = "deploy/helm/cloud-lb-controller";
const ADVICE: &str = "is out of date; UPDATE_DOCS=1 cargo test --workspace --test deploy writes it again";

/// Flags that the chart itself gives the program, from other values.
const OF_THE_CHART: [&str; 6] = ["cloud-provider", "cluster-name", "config", "help", "kubeconfig", "version"];

fn file(name: &str) -> String {
    read(Path::new(CHART).join(name))
}

fn record(name: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(WORKSPACE).join(CHART).join(name), text).expect("the file is written");
    }
}

/// A value with a comment above it.
struct Documented {
    path: Vec<String>,
    about: String,
}

impl Documented {
    fn name(&self) -> String {
        self.path.join(".")
    }
}

/// The values of `values.yaml` that have a comment directly above.
fn documented() -> Vec<Documented> {
    let mut found = Vec::new();
    let (mut path, mut about): (Vec<String>, Vec<&str>) = Default::default();
    for line in file("values.yaml").leak().lines() {
        let text = line.trim_start();
        if let Some(comment) = text.strip_prefix("# ") {
            about.push(comment);
            continue;
        }
        let key = text.split_once(':').map(|(key, _)| key).filter(|key| !key.starts_with('-'));
        if let Some(key) = key {
            path.truncate((line.len() - text.len()) / 2);
            path.push(key.to_owned());
            if !about.is_empty() {
                found.push(Documented { path: path.clone(), about: about.join(" ") });
            }
        }
        about.clear();
    }
    found
}

fn defaults() -> Value {
    serde_saphyr::from_str(&file("values.yaml")).expect("values.yaml is YAML")
}

#[test]
fn the_readme_has_every_value_with_its_default() {
    let defaults = defaults();
    let mut table = String::from("| value | default | |\n|---|---|---|\n");
    for value in documented() {
        let default = value.path.iter().fold(&defaults, |here, key| &here[key]);
        table += &format!("| `{}` | `{default}` | {} |\n", value.name(), value.about);
    }
    let readme = file("README.md");
    let (before, _) = readme.split_once("\n## Values\n").expect("a section Values");
    let expected = format!("{before}\n## Values\n\n{table}");
    record("README.md", &expected);
    assert_eq!(file("README.md"), expected, "{CHART}/README.md {ADVICE}");
}

#[test]
fn every_value_is_documented_and_in_the_schema() {
    let documented: BTreeSet<String> = documented().iter().map(Documented::name).collect();
    let known = |path: &str| {
        path.match_indices('.').map(|(end, _)| &path[..end]).chain([path]).any(|p| documented.contains(p))
    };
    let mut left = leaves(&defaults(), &|value| value.as_object());
    left.retain(|path| !known(path));
    assert_eq!(left, BTreeSet::new(), "values without a comment");

    let schema: Value = serde_json::from_str(&file("values.schema.json")).expect("JSON");
    // Where Helm puts values that are for all charts.
    let mut left = leaves(&schema, &|value| value["properties"].as_object());
    left.retain(|path| !known(path) && path != "global");
    assert_eq!(left, BTreeSet::new(), "in the schema, and no documented value");
    for path in &documented {
        let found = path.split('.').fold(&schema, |here, key| &here["properties"][key]);
        assert!(found.is_object(), "{path} is not in the schema");
    }
}

/// The paths of all that has nothing inside.
fn leaves(value: &Value, inside: &dyn Fn(&Value) -> Option<&Map<String, Value>>) -> BTreeSet<String> {
    let Some(map) = inside(value).filter(|map| !map.is_empty()) else { return BTreeSet::new() };
    let paths = map.iter().flat_map(|(key, value)| {
        let below = leaves(value, inside);
        match below.is_empty() {
            true => vec![key.clone()],
            false => below.iter().map(|path| format!("{key}.{path}")).collect(),
        }
    });
    paths.collect()
}

/// What the schema says of the program's flags, from its help.
fn flags_of(help: &str) -> Value {
    let flag = regex_lite::Regex::new(r"^      --([a-z0-9-]+)(\[=<.+>\]| <.+>)?$").expect("a pattern");
    let choice = regex_lite::Regex::new(r"^          - ([a-z-]+): ").expect("a pattern");
    let mut flags = Map::new();
    let mut lines = help.lines().map(str::trim_end).peekable();
    while let Some(line) = lines.next() {
        let Some(found) = flag.captures(line) else { continue };
        let name = &found[1];
        let mut about = Vec::new();
        let mut choices = Vec::new();
        let mut in_first_paragraph = true;
        while let Some(more) = lines.next_if(|line| line.is_empty() || line.starts_with("          ")) {
            in_first_paragraph &= !more.is_empty();
            if in_first_paragraph {
                about.push(more.trim());
            } else if let Some(found) = choice.captures(more) {
                choices.push(found[1].to_owned());
            }
        }
        let takes_a_value = found.get(2).is_some_and(|value| value.as_str().starts_with(' '));
        let mut schema = match (takes_a_value, choices.is_empty()) {
            (false, _) => json!({ "type": "boolean" }),
            (true, false) => json!({ "enum": choices }),
            (true, true) => json!({ "type": ["string", "number", "array"], "items": { "type": "string" } }),
        };
        if name == "http-address" {
            // Probes need a port, and the chart reads it from here.
            schema = json!({ "type": "string", "pattern": ":[0-9]+$" });
        }
        schema["description"] = about.join(" ").into();
        if !OF_THE_CHART.contains(&name) {
            flags.insert(name.to_owned(), schema);
        }
    }
    flags.into()
}

#[tokio::test]
async fn the_schema_has_every_flag_of_the_program_and_no_other() {
    let mut help = command("cloud-lb-controller");
    help.arg("--help");
    let flags = flags_of(&finish(help).await.output);
    assert!(flags.get("log-level").is_some(), "{flags}");
    let mut schema: Value = serde_json::from_str(&file("values.schema.json")).expect("JSON");
    let recorded = schema["properties"]["config"]["properties"].take();
    let names = [&flags, &recorded].map(|map| map.as_object().expect("a map").keys().cloned());
    let names: BTreeSet<String> = names.into_iter().flatten().collect();
    let differ: Vec<_> = names.iter().filter(|name| flags.get(name) != recorded.get(name)).collect();
    schema["properties"]["config"]["properties"] = flags;
    let expected = format!("{schema:#}\n");
    record("values.schema.json", &expected);
    assert!(
        file("values.schema.json") == expected,
        "{CHART}/values.schema.json {ADVICE}; of the flags, {differ:?}"
    );
}

#[test]
fn wrong_values_are_refused_by_name() {
    let table = [
        ("provider=gcp", "at '/provider': 'gcp' does not match pattern '^((bare|aws)(,(bare|aws))*)?$'"),
        ("provider={bare,gcp}", "at '/provider/1': value must be one of 'bare', 'aws'"),
        ("colour=red", "additional properties 'colour' not allowed"),
        ("image.tga=1", "at '/image': additional properties 'tga' not allowed"),
        ("image.digest=latest", "at '/image/digest'"),
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of"),
        ("replicaCount=3", "replicaCount is a value of another chart; here it is replicas"),
        (
            "speaker.enabled=true",
            "speaker is a value of another chart; here it is a value of MetalLB's own chart",
        ),
        ("config.http-address=127.0.0.1:1", "config.http-address is on loopback, where no probe reaches it"),
        ("replicas=two", "at '/replicas': got string, want integer"),
        ("replicas=-1", "at '/replicas': minimum: got -1, want 0"),
        ("config.leader-elekt=true", "at '/config': additional properties 'leader-elekt' not allowed"),
        ("config.cloud-provider=aws", "at '/config': additional properties 'cloud-provider' not allowed"),
        ("config.delete-orphans=yes", "at '/config/delete-orphans': got string, want boolean"),
        (
            "config.bare-reuse=newest",
            "at '/config/bare-reuse': value must be one of 'lowest', 'longest-free'",
        ),
        ("config.log-format=xml", "at '/config/log-format': value must be one of 'text', 'json'"),
        ("config.http-address=localhost", "at '/config/http-address'"),
        ("aws.roleArn=admin", "at '/aws/roleArn'"),
        ("networkPolicy.apiServerPorts={https}", "at '/networkPolicy/apiServerPorts/0'"),
    ];
    for (wrong, plain) in table {
        for values in [BARE, AWS] {
            let said = template(&[values, &[wrong]].concat(), &[]);
            assert_eq!(said.code, Some(1), "{wrong}: {}", said.output);
            assert!(said.errors.contains(plain), "{wrong}: {}", said.errors);
        }
    }
}

#[test]
fn versions_are_the_workspaces() {
    let workspace = read("Cargo.toml");
    let version = workspace.lines().find_map(|line| line.strip_prefix("version = ")).expect("a version");
    let version = version.trim_matches('"');
    let chart: Value = serde_saphyr::from_str(&file("Chart.yaml")).expect("YAML");
    assert_eq!([&chart["version"], &chart["appVersion"]], [version, version]);
    let base: Value =
        serde_saphyr::from_str(&read("deploy/kustomize/base/kustomization.yaml")).expect("YAML");
    assert_eq!(base["images"][0]["newTag"], version);
}
