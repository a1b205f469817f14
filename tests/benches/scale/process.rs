//! The program as a process of its own, and what it uses.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tests::control_plane::ControlPlane;

/// The program as it is delivered: built by itself, with its default features.
pub(crate) fn path() -> PathBuf {
    let bench = std::env::current_exe().expect("a path of this bench");
    let target = bench.ancestors().nth(3).expect("it is in deps/ of a profile's folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--package", "cloud-lb-controller"]);
    build.arg("--target-dir").arg(target);
    let built = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().expect("cargo runs");
    assert!(built.success(), "the program does not build");
    target.join("release/cloud-lb-controller")
}

/// The program at work.
pub(crate) struct Program {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Program {
    /// Starts it with the pools of the cluster.
    pub(crate) fn start(plane: &ControlPlane) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        plane.write_kubeconfig(&kubeconfig).expect("a kubeconfig");
        let mut command = Command::new(path());
        command.env_clear().args(["run", "--cloud-provider=bare", "--http-address=", "--log-level=warn"]);
        command.arg("--kubeconfig").arg(kubeconfig).stdin(Stdio::null());
        Program { child: command.spawn().expect("the program starts"), _folder: folder }
    }

    /// Seconds of CPU so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = self.read("stat");
        // User and system time are the 14th and 15th field; the name, the 2nd, may hold spaces.
        let behind_name = stat.rsplit_once(") ").expect("a name").1;
        let ticks: f64 =
            behind_name.split(' ').skip(11).take(2).map(|n| n.parse::<f64>().expect("ticks")).sum();
        // What every Linux on the platforms we build for uses.
        const TICKS_A_SECOND: f64 = 100.0;
        ticks / TICKS_A_SECOND
    }

    /// The most memory it ever held, in MB.
    pub(crate) fn peak_megabytes(&self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kilobytes = line.trim().trim_end_matches(" kB");
        kilobytes.parse::<f64>().expect("a number") / 1024.0
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
