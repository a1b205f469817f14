//! The programs of other packages, built for a suite that runs them: `cargo test` builds those of the package under
//! test only.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

static BUILT: LazyLock<PathBuf> = LazyLock::new(build);

/// The folder of `cloud-lb-controller` and `cloud-lb-announcer`, and of the examples in `examples/`; built in the profile of the test.
///
/// # Panics
/// When they do not build.
pub fn folder() -> &'static Path {
    &BUILT
}

/// The variable that names the controller's program to put into images, with the announcer's beside it, where they are not
/// to be built.
pub const RELEASED: &str = "CLOUD_LB_CONTROLLER";

/// The programs as they are delivered, the controller's and the announcer's: the file that [`RELEASED`] names and its
/// neighbour, or else those that are built, which takes minutes once.
///
/// # Panics
/// When they do not build, or are not there.
pub fn released() -> &'static [PathBuf; 2] {
    static FOUND: LazyLock<[PathBuf; 2]> = LazyLock::new(|| match env::var_os(RELEASED) {
        Some(path) if !path.is_empty() => {
            let controller = PathBuf::from(path);
            let announcer = controller.with_file_name("cloud-lb-announcer");
            for path in [&controller, &announcer] {
                assert!(path.is_file(), "{} is no file: build it, or unset {RELEASED}", path.display());
            }
            [controller, announcer]
        }
        _ => build_release(),
    });
    &FOUND
}

fn build_release() -> [PathBuf; 2] {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let programs = ["cloud-lb-controller", "cloud-lb-announcer"];
    // The packages alone: in the whole workspace they would have the features that the tests ask for.
    cargo.args(["build", "--release"]).args(programs.iter().flat_map(|name| ["--package", name]));
    without_own_package(&mut cargo);
    let built = cargo.current_dir(WORKSPACE).status().expect("cargo runs");
    assert!(built.success(), "the programs do not build");
    programs.map(|name| Path::new(WORKSPACE).join("target/release").join(name))
}

/// The Helm that `deploy/tools/up` installs, or that `HELM` names.
///
/// # Panics
/// When there is none.
pub fn helm() -> &'static Path {
    static FOUND: LazyLock<PathBuf> = LazyLock::new(|| {
        let script = Path::new(WORKSPACE).join("deploy/tools/up");
        let Output { status, stdout, .. } = Command::new(&script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        assert!(status.success(), "{} failed; what it said is above", script.display());
        String::from_utf8(stdout).expect("a path").trim().into()
    });
    &FOUND
}

fn build() -> PathBuf {
    let test = env::current_exe().expect("this test is a file");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("it is in deps/ of a profile's folder");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, or its dependencies would be built once more with fewer features.
    cargo.args(["build", "--quiet", "--workspace", "--example", "embed"]);
    cargo.args(["--bin", "cloud-lb-controller", "--bin", "cloud-lb-announcer"]);
    cargo.arg("--target-dir").arg(folder.parent().expect("it is in the target folder"));
    without_own_package(&mut cargo);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(WORKSPACE).status().expect("cargo runs");
    assert!(built.success(), "the programs do not build");
    folder.to_owned()
}

/// What cargo tells this test about its own package would be taken for a change by build scripts that read it.
pub fn without_own_package(cargo: &mut Command) {
    for (name, _) in env::vars_os() {
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if name.to_str().is_some_and(|name| ours.iter().any(|start| name.starts_with(start))) {
            cargo.env_remove(name);
        }
    }
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
