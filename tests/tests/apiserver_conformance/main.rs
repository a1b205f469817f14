//! How an API server answers, case by case, as observed on a real one. Runs against whichever body the
//! [`ControlPlane`](tests::control_plane::ControlPlane) has; the numbers are those of the reference list.

mod apply;
mod create;
mod delete;
mod kinds;
mod list;
mod managed_fields;
mod old_kubectl;
mod patch;
mod serving;
mod status;
mod update;
mod watch;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::control_plane::ControlPlane;
use tests::session;

const CLEANUP: &str = "service.kubernetes.io/load-balancer-cleanup";

fn version_of(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().expect("a version")
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

fn status_with(ingress: Value) -> Value {
    json!({"status": {"loadBalancer": {"ingress": ingress}}})
}

/// The same cases as a script that was written against a real server.
#[tokio::test]
async fn python_conformance() {
    let script = shared_folder().join("tools/apiserver-conformance.py");
    if !script.exists() {
        eprintln!("passed over: there is no {}", script.display());
        return;
    }
    let plane = ControlPlane::start().await;
    let version = plane.client().apiserver_version().await.expect("a version");
    if version.minor.parse::<u32>().is_ok_and(|minor| minor < 37) {
        eprintln!(
            "passed over: the script knows the newest server only, and this is {}",
            version.git_version
        );
        return;
    }
    // One of its cases needs a server that has forgotten something.
    plane.restart().await;
    let output = tokio::process::Command::new("python3")
        .arg(&script)
        .env("BASE", plane.url())
        .output()
        .await
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn shared_folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("SHARED_DIR").map_or_else(beside, PathBuf::from)
}
