//! The programs of other packages, built for a suite that runs them: `cargo test` builds those of the package under
//! test only.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use crate::control_plane::ASSETS;

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

/// kubectl: the one beside the real API server where there is one, or the one on the `PATH`. It may be one version older
/// or newer than the server; a distribution's is often older still.
pub fn kubectl() -> PathBuf {
    let beside = env::var_os(ASSETS).map(|assets| Path::new(&assets).join("kubectl"));
    beside.filter(|kubectl| kubectl.is_file()).unwrap_or_else(|| "kubectl".into())
}

/// One request to what a program serves, off the test's own thread: status and body. None: nobody listens any more.
///
/// # Panics
/// When the runtime ends meanwhile.
pub async fn http(
    address: &str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
) -> Option<(u16, String)> {
    let address = address.to_owned();
    let ask = move || {
        let mut connection = TcpStream::connect(&address).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let length = body.len();
        write!(connection, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    };
    tokio::task::spawn_blocking(ask).await.expect("the runtime lives")
}
