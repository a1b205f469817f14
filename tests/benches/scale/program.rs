//! The program as it is delivered.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::process::Command;

use tests::apiserver::Request;
use tests::control_plane::ControlPlane;
use tests::programs::{http, released};

use crate::process::Process;

/// How many Services it looks at at once, unless told otherwise. Others are measured with as many.
pub(crate) const WORKERS: usize = 32;

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

/// Starts it with the pools of the cluster.
pub(crate) fn start(plane: &ControlPlane) -> Process {
    start_at(plane, free_address())
}

fn start_at(plane: &ControlPlane, address: SocketAddrV4) -> Process {
    Process::start(plane, |kubeconfig| {
        let mut command = Command::new(path());
        command.args(["run", "--cloud-provider=bare", "--log-level=error"]);
        command.arg(format!("--http-address={address}")).arg("--kubeconfig").arg(kubeconfig);
        command
    })
}

/// The program, and where it says whether it is ready.
pub(crate) struct Asked {
    pub(crate) process: Process,
    address: SocketAddrV4,
}

impl Asked {
    /// Starts it as [`start`] does.
    pub(crate) fn start(plane: &ControlPlane) -> Self {
        let address = free_address();
        Asked { process: start_at(plane, address), address }
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = http(&self.address.to_string(), "GET", "/readyz", "").await;
        answer.is_some_and(|(code, _)| code == 200)
    }
}

/// Where nobody listens just now.
pub(crate) fn free_address() -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}
