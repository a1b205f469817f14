//! The program as a process of its own, and what it uses.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tests::apiserver::Request;
use tests::control_plane::ControlPlane;
use tests::programs::{http, released};

/// The program as it is delivered.
fn path() -> &'static Path {
    &released()[0]
}

/// How many bytes it is.
pub(crate) fn size() -> u64 {
    std::fs::metadata(path()).expect("the program").len()
}

/// Whether it is the program that asks.
pub(crate) fn is_ours(request: &Request) -> bool {
    request.agent.starts_with("cloud-lb-controller/")
}

/// The program at work.
pub(crate) struct Program {
    child: Child,
    began: Instant,
    /// Where it says whether it is ready.
    address: SocketAddrV4,
    _folder: tempfile::TempDir,
}

impl Program {
    /// Starts it with the pools of the cluster.
    pub(crate) fn start(plane: &ControlPlane) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        plane.write_kubeconfig(&kubeconfig).expect("a kubeconfig");
        let address = free_address();
        let mut command = Command::new(path());
        command.env_clear().args(["run", "--cloud-provider=bare", "--log-level=error"]);
        command.arg(format!("--http-address={address}")).arg("--kubeconfig").arg(kubeconfig);
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).spawn().expect("the program starts");
        Program { child, began, address, _folder: folder }
    }

    /// When it was started.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = http(&self.address.to_string(), "GET", "/readyz", "").await;
        answer.is_some_and(|(code, _)| code == 200)
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

/// Where nobody listens just now.
fn free_address() -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
