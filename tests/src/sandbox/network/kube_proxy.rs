//! The real kube-proxy on the nodes of the network, where there is one.

use std::fs::File;
use std::io::{self, copy};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::machine::on;
use crate::control_plane::ControlPlane;
use crate::real_cluster::{Machine, ProxyMode, addresses, kube_proxy};
use crate::sandbox::SandboxError;

/// kube-proxy on one node. Dropped, it ends.
pub(super) struct NodeProxy(Child);

impl NodeProxy {
    /// Starts this program on a node; its log is in `folder`.
    pub(super) async fn start(
        node: &Machine,
        program: &Path,
        plane: &ControlPlane,
        folder: &Path,
    ) -> Result<Self, SandboxError> {
        tell_addresses(node, &plane.client()).await?;
        let port = plane.double().map(|double| double.address().port());
        let port = port.ok_or_else(|| SandboxError::Unexpected("the API server is a real one".to_owned()))?;
        lead_to_the_api_server(node, port).map_err(SandboxError::Network)?;
        let kubeconfig = folder.join("kubeconfig");
        let file = |path: &Path, source| SandboxError::File { path: path.to_owned(), source };
        plane.write_kubeconfig(&kubeconfig).map_err(|error| file(&kubeconfig, error))?;
        let path = folder.join(format!("{}-kube-proxy.log", node.name()));
        let log =
            || File::options().create(true).append(true).open(&path).map_err(|error| file(&path, error));
        let mut command = kube_proxy::command(node, program, ProxyMode::Nftables, &kubeconfig);
        // The API server in this process speaks JSON alone.
        command.arg("--kube-api-content-type=application/json");
        command.stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        command.spawn().map(NodeProxy).map_err(SandboxError::Network)
    }
}

impl Drop for NodeProxy {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// kube-proxy asks the Node for its addresses, and waits a minute for them.
async fn tell_addresses(node: &Machine, client: &kube::Client) -> Result<(), SandboxError> {
    let addresses = addresses(node.name()).map(|ip| json!({ "type": "InternalIP", "address": ip }));
    let status = json!({ "status": { "addresses": addresses } });
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.patch_status(node.name(), &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// The API server is on the loopback of this network; from now on it is on the node's as well.
fn lead_to_the_api_server(node: &Machine, port: u16) -> io::Result<()> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listening = on(node, move || TcpListener::bind(at))?;
    let listener = listening.join().map_err(|_| io::Error::other("a thread has panicked"))???;
    thread::spawn(move || {
        while let Ok((connection, _)) = listener.accept() {
            // Who cannot be led there tries again.
            let _refused = TcpStream::connect(at).and_then(|server| join(connection, server));
        }
    });
    Ok(())
}

/// What either says, the other hears, until one of them has ended.
fn join(client: TcpStream, server: TcpStream) -> io::Result<()> {
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || {
            // However it ends, the other side is to know.
            let _ended = copy(&mut from, &mut to);
            let _closed = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
