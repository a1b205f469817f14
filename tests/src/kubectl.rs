//! The kubectl that the suites drive.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::control_plane::ASSETS;

/// What to say where there is none.
pub const INSTALL: &str = "kubectl does not run; build one with: tests/kubernetes/up kubectl";

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// kubectl: the one beside the real API server where there is one, else the one that `tests/kubernetes/up` has built, or
/// else the machine's. It may be one version older or newer than the server; a distribution's is often older still.
///
/// It has nobody's settings. What it keeps goes into `home`, a folder of the test's own: it remembers what a server
/// has by the server's address, and the address of an earlier test may come again.
pub fn kubectl(home: &Path) -> Command {
    let beside = env::var_os(ASSETS).map(|assets| Path::new(&assets).join("kubectl"));
    let mut places = beside.into_iter().chain([built()]);
    let mut command = Command::new(places.find(|path| path.is_file()).unwrap_or_else(|| "kubectl".into()));
    command.env_clear().env("HOME", home).envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

/// Where `tests/kubernetes/up` puts the kubectl of the version that its module pins.
fn built() -> PathBuf {
    let module = include_str!("../kubernetes/go.mod");
    let version = module.split_once("k8s.io/kubernetes v").map_or("", |(_, rest)| rest);
    let version = version.split_whitespace().next().unwrap_or_default();
    Path::new(WORKSPACE).join("target/kubernetes").join(version).join("kubectl")
}
