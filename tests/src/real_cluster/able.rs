//! Whether a cluster can run here, in one line that says what to do if not.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::cleanup::parent;
use super::error::ClusterError;
use super::machine::run;
use super::node::{CNI, HIDDEN};
use crate::control_plane::ASSETS;

/// How the programs are had.
const UP: &str = "tests/kubernetes/up all";

/// What the folder of [`ASSETS`] has to hold: all that is built, so that no test finds out late.
const PROGRAMS: [&str; 16] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "pause",
    "web",
    "probe",
    "metallb-controller",
    "metallb-speaker",
    "metallb-native.yaml",
];

/// What else is run, and the Debian package that has it.
const TOOLS: [(&str, &str); 8] = [
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("kill", "procps"),
];

/// The folder of the programs, if a cluster can run here.
pub(super) fn check() -> Result<PathBuf, ClusterError> {
    let assets = std::env::var_os(ASSETS).filter(|path| !path.is_empty());
    let Some(assets) = assets.map(PathBuf::from) else {
        return Err(unable(format!("{ASSETS} is not set; {UP} builds the programs and prints their folder")));
    };
    has_programs(&assets)?;
    has_tools()?;
    is_not_hidden(&parent())?;
    may_make_namespaces()?;
    // Their paths are given to programs that run elsewhere.
    assets.canonicalize().map_err(ClusterError::file(&assets))
}

fn unable(why: String) -> ClusterError {
    ClusterError::Unable(why)
}

fn has_programs(assets: &Path) -> Result<(), ClusterError> {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| !assets.join(name).is_file()).collect();
    match missing[..] {
        [] => Ok(()),
        _ => Err(unable(format!(
            "{ASSETS}={} has no {}; {UP} builds what is missing",
            assets.display(),
            missing.join(", ")
        ))),
    }
}

fn has_tools() -> Result<(), ClusterError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let mut missing: Vec<_> = TOOLS.into_iter().filter(|(tool, _)| !is_there(tool)).map(|(_, p)| p).collect();
    if !["bridge", "host-local", "loopback"].iter().all(|plugin| Path::new(CNI).join(plugin).is_file()) {
        missing.push("containernetworking-plugins");
    }
    missing.dedup();
    match missing[..] {
        [] => Ok(()),
        _ => Err(unable(format!("apt-get install --yes {} brings what is missing", missing.join(" ")))),
    }
}

/// A folder that nodes cannot see is no place for their things.
fn is_not_hidden(parent: &Path) -> Result<(), ClusterError> {
    match HIDDEN.iter().find(|hidden| parent.starts_with(hidden)) {
        None => Ok(()),
        Some(hidden) => Err(unable(format!(
            "{} is under {hidden}, over which nodes have one of their own; set TMPDIR to another folder",
            parent.display()
        ))),
    }
}

fn may_make_namespaces() -> Result<(), ClusterError> {
    let mut attempt = Command::new("unshare");
    attempt.args(["--net", "--mount", "true"]);
    match run(attempt) {
        Ok(_) => Ok(()),
        Err(error) => Err(unable(format!("run it as root, where namespaces may be made ({error})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_half_the_programs_is_told_apart_and_the_rest_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        for program in PROGRAMS.iter().filter(|name| **name != "kubelet" && **name != "ctr") {
            std::fs::write(folder.path().join(program), "").expect("a file");
        }
        let said = has_programs(folder.path()).expect_err("two are missing").to_string();
        let expected = format!(
            "no cluster can run here: KUBEBUILDER_ASSETS={} has no kubelet, ctr; tests/kubernetes/up all builds what is missing",
            folder.path().display()
        );
        assert_eq!(said, expected);
        for program in ["kubelet", "ctr"] {
            std::fs::write(folder.path().join(program), "").expect("a file");
        }
        has_programs(folder.path()).expect("all are there");
    }

    #[test]
    fn a_folder_that_nodes_cannot_see_is_refused() {
        is_not_hidden(Path::new("/tmp/clusters")).expect("it is seen");
        is_not_hidden(Path::new("/runs/clusters")).expect("it is seen");
        let said = is_not_hidden(Path::new("/run/user/0/clusters")).expect_err("it is hidden").to_string();
        assert!(said.contains("/run/user/0/clusters is under /run,") && said.contains("TMPDIR"), "{said}");
    }
}
