//! `localstack/up` and `down` on machines that lack something.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What both scripts run, besides what this test takes away.
const TOOLS: [&str; 12] =
    ["bash", "env", "dirname", "cat", "mkdir", "rm", "cmp", "tail", "sleep", "flock", "curl", "ps"];

fn find(tool: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").expect("a PATH");
    let places: Vec<PathBuf> = std::env::split_paths(&folders).map(|folder| folder.join(tool)).collect();
    places.into_iter().find(|place| place.is_file()).unwrap_or_else(|| panic!("{tool} is not installed"))
}

#[test]
fn what_is_missing_is_said_at_once_with_what_installs_it() {
    for (missing, package) in [("curl", "curl"), ("ps", "procps")] {
        let folder = tempfile::tempdir().unwrap();
        for tool in TOOLS.iter().filter(|tool| **tool != missing) {
            symlink(find(tool), folder.path().join(tool)).unwrap();
        }
        for script in ["up", "down"] {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack").join(script);
            let output = Command::new(script).env_clear().env("PATH", folder.path()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(
                said.contains(&format!(
                    "{missing} is missing; install it with: apt-get install --yes {package}"
                )),
                "{said}"
            );
        }
    }
}
