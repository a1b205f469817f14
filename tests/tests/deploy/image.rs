//! What can be told of the image without an engine that builds it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::process::{WORKSPACE, read};
use super::render::{BARE, chart, only};

const DOCKERFILE: &str = "deploy/image/Dockerfile";

/// The instructions, one a line.
fn instructions() -> Vec<String> {
    let text = read(DOCKERFILE).replace("\\\n", "");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// What follows the only instruction of this name.
fn the(name: &str) -> String {
    let all = instructions();
    let found: Vec<_> = all.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0].to_owned()
}

fn workspace(field: &str) -> Value {
    let metadata = cargo(Path::new(WORKSPACE), &["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_slice(&metadata).expect("JSON");
    metadata[field].clone()
}

/// What cargo says in a folder, once it is content; it asks nobody on the network.
#[track_caller]
fn cargo(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(arguments).arg("--offline").current_dir(folder).output().expect("cargo runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn it_is_built_with_the_oldest_compiler_that_the_workspace_supports() {
    let version = workspace("packages")[0]["rust_version"].as_str().expect("a version").to_owned();
    assert_eq!(instructions()[0], format!("FROM --platform=$BUILDPLATFORM rust:{version}-alpine AS build"));
}

#[test]
fn it_holds_the_program_alone_and_runs_it_as_nobody() {
    let all = instructions();
    let last = all.iter().rposition(|line| line.starts_with("FROM ")).expect("a stage");
    assert_eq!(all[last], "FROM scratch");
    assert_eq!(the("ENTRYPOINT"), r#"["/cloud-lb-controller"]"#);
    let pod = only(&chart(BARE), "Deployment")["spec"]["template"]["spec"].clone();
    let user = format!("{}:{}", pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]);
    assert_eq!(the("USER"), user);
    assert_eq!(the("EXPOSE"), pod["containers"][0]["ports"][0]["containerPort"].to_string());
}

#[test]
fn it_is_labelled_and_nothing_but_the_product_is_copied() {
    let labels = the("LABEL");
    let version = workspace("packages")[0]["version"].as_str().expect("a version").to_owned();
    for label in ["title", "description", "source", "licenses", "revision"] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}=")), "{label}: {labels}");
    }
    assert!(labels.contains(&format!("org.opencontainers.image.version=\"{version}\"")), "{labels}");
    let copied: Vec<_> = instructions().into_iter().filter(|line| line.starts_with("COPY ")).collect();
    assert_eq!(copied, ["COPY . .", "COPY --from=build /out/ /"]);
}

#[test]
fn the_sandboxs_leavings_and_what_was_built_here_are_not_sent_to_the_engine() {
    let ignored = read(".dockerignore");
    for left in read(".gitignore").lines().filter(|line| line.starts_with('/')) {
        let left = left.trim_start_matches('/');
        let found = ignored.lines().any(|line| line.trim_start_matches("**/") == left);
        assert!(found, "{left} is not in .dockerignore");
    }
}
