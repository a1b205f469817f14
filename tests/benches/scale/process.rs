//! Who is measured, as a process of its own, and what it uses.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tests::control_plane::ControlPlane;

/// A program at work. It ends with this.
pub(crate) struct Process {
    child: Child,
    began: Instant,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts what is made of a kubeconfig that leads to the control plane with all rights.
    pub(crate) fn start(plane: &ControlPlane, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        plane.write_kubeconfig(&kubeconfig).expect("a kubeconfig");
        let mut command = command(&kubeconfig);
        let began = Instant::now();
        let child = command.env_clear().stdin(Stdio::null()).spawn().expect("the program starts");
        Process { child, began, _folder: folder }
    }

    /// When it was started.
    pub(crate) fn began(&self) -> Instant {
        self.began
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
        kilobytes.parse::<f64>().expect("a number") * 1024.0 / 1e6
    }

    /// Ends it in the way that lets the next one lead at once.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").arg(id).status().expect("kill runs");
        assert!(sent.success(), "the program had ended before");
        self.child.wait().expect("it ends");
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
