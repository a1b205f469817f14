//! The kubectl that the suites drive.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::control_plane::ASSETS;

/// What to say where there is none.
pub const INSTALL: &str =
    "kubectl does not run; build it with tests/kubernetes/up, or: apt-get install --yes kubernetes-client";

/// kubectl: the one beside the real API server where there is one, or else the machine's. It may be one version older or
/// newer than the server; a distribution's is often older still.
///
/// It has nobody's settings. What it keeps goes into `home`, a folder of the test's own: it remembers what a server
/// has by the server's address, and the address of an earlier test may come again.
pub fn kubectl(home: &Path) -> Command {
    let beside = env::var_os(ASSETS).map(|assets| Path::new(&assets).join("kubectl"));
    let mut command = match beside.filter(|path| path.is_file()) {
        Some(path) => Command::new(path),
        None => Command::new("kubectl"),
    };
    command.env_clear().env("HOME", home).envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command
}
