//! The programs of other packages, built for a suite that runs them: `cargo test` builds those of the package under
//! test only.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

static BUILT: LazyLock<PathBuf> = LazyLock::new(build);

/// The folder of `cloud-lb-controller`, and of the examples in `examples/`; built in the profile of the test.
///
/// # Panics
/// When they do not build.
pub fn folder() -> &'static Path {
    &BUILT
}

fn build() -> PathBuf {
    let test = env::current_exe().expect("this test is a file");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("it is in deps/ of a profile's folder");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, or its dependencies would be built once more with fewer features.
    cargo.args(["build", "--quiet", "--workspace", "--bin", "cloud-lb-controller", "--example", "embed"]);
    cargo.arg("--target-dir").arg(folder.parent().expect("it is in the target folder"));
    // What cargo tells this test about its own package would be taken for a change by build scripts that read it.
    for (name, _) in env::vars_os() {
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if name.to_str().is_some_and(|name| ours.iter().any(|start| name.starts_with(start))) {
            cargo.env_remove(name);
        }
    }
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(WORKSPACE).status().expect("cargo runs");
    assert!(built.success(), "the programs do not build");
    folder.to_owned()
}
