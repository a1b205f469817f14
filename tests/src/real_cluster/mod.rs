//! A real cluster on one host, without a container engine and without a hypervisor: a control plane, two nodes and a
//! client, each in a network namespace of its own, on a LAN of both address families.
//!
//! ```text
//!   host ──(uplink)── plane            node-1             node-2            client
//!                     etcd             containerd         containerd        whatever
//!                     kube-apiserver   kubelet            kubelet           asks for
//!                     -controller-…    kube-proxy         kube-proxy        addresses
//!                     -scheduler         └ Pods             └ Pods
//!                     kube-proxy
//!                       │ .1             │ .11              │ .12              │ .50
//!   switch ─────────────┴────────────────┴──────────────────┴──────────────────┘   10.99.0.0/24, fd00:10:99::/64
//! ```
//!
//! The API server judges as any does: RBAC, the nodes' authorizer, admission. Components come as themselves. Nothing
//! answers for a load balancer's address on the LAN but what a test puts there.
//!
//! It needs root, and the programs that `tests/kubernetes/up all` builds; [`RealCluster::start`] says what is missing.
//! It ends with the process that started it, however that ends (see [`cleanup`]).

mod able;
pub mod cleanup;
mod credentials;
mod error;
pub mod image;
pub(crate) mod kube_proxy;
mod lan;
mod machine;
mod node;
mod plane;
mod processes;
mod record;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{Api, Client};

pub use self::error::ClusterError;
pub use self::kube_proxy::ProxyMode;
pub(crate) use self::lan::Lan;
pub use self::lan::{POOL, addresses};
pub use self::machine::Machine;
pub use self::record::{Found, Process};

use self::credentials::Credentials;
use self::node::Node;
use self::processes::Processes;
use self::record::Record;

/// A running cluster. It ends when this is dropped, and with this process.
pub struct RealCluster {
    folder: PathBuf,
    assets: PathBuf,
    lan: Lan,
    processes: Mutex<Processes>,
    nodes: Vec<Node>,
    client: Client,
    /// Ends the cluster when the pipe to it ends.
    supervisor: Supervisor,
}

/// The process that ends what is in a folder when this is dropped, or this process ends.
#[derive(Debug)]
struct Supervisor(Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Whatever goes wrong it has said, and the next start tries again.
        let _ = self.0.wait();
    }
}

impl RealCluster {
    /// Whether one can run here.
    ///
    /// # Errors
    /// [`ClusterError::Unable`], which says in one line what to do.
    pub fn possible() -> Result<(), ClusterError> {
        able::check().map(drop)
    }

    /// Starts one whose nodes' kube-proxies are in this mode, and waits until both nodes are ready. What clusters left
    /// behind that were killed is removed before.
    ///
    /// `program` is the program `cluster` of this package: it supervises.
    ///
    /// # Errors
    /// When none can run here; when a server ends or is not ready in time, with its last words.
    pub async fn start(mode: ProxyMode, program: &Path) -> Result<Self, ClusterError> {
        let assets = able::check()?;
        cleanup::clean_up_the_dead()?;
        let (tag, folder) = new_folder()?;
        let supervisor = Supervisor(cleanup::start_supervisor(program, &folder)?);

        let lan = Lan::make(&folder, &tag)?;
        let credentials = Credentials::make(&folder)?;
        let mut processes = Processes::in_folder(&folder);
        let client = plane::start(&mut processes, &lan, &assets, &folder, &credentials).await?;
        let mut nodes = Vec::new();
        for machine in &lan.nodes {
            let node = Node::start(&mut processes, machine, &assets, &folder, &credentials).await?;
            node.start_proxy(&mut processes, mode, &credentials)?;
            nodes.push(node);
        }
        processes.until("both nodes are ready", || unready(&client)).await?;
        let processes = Mutex::new(processes);
        Ok(RealCluster { folder, assets, lan, processes, nodes, client, supervisor })
    }

    /// An administrator's client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// An administrator's kubeconfig, which leads to the API server from this host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// kubectl, as an administrator.
    pub fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(self.assets.join("kubectl"));
        kubectl.arg("--kubeconfig").arg(self.kubeconfig());
        // It remembers what a server has by the server's address, and that may come again.
        kubectl.env("KUBECACHEDIR", self.folder.join("kubectl"));
        kubectl
    }

    /// One of the programs that `tests/kubernetes/up` builds.
    pub fn program(&self, name: &str) -> PathBuf {
        self.assets.join(name)
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The client on the LAN.
    pub fn client_machine(&self) -> &Machine {
        &self.lan.client
    }

    /// The nodes' machines: `node-1`, `node-2`.
    pub fn nodes(&self) -> &[Machine; 2] {
        &self.lan.nodes
    }

    /// Puts an image that [`image::archive`] made into both nodes.
    ///
    /// # Errors
    /// When containerd does not take it.
    pub fn load(&self, archive: &[u8]) -> Result<(), ClusterError> {
        self.nodes.iter().try_for_each(|node| node.load(archive))
    }

    /// Kills the first process of a container on a node, as `kill -9` does.
    ///
    /// # Errors
    /// When the node has no such container.
    pub fn kill(&self, node: &str, container: &str) -> Result<(), ClusterError> {
        self.nodes.iter().filter(|one| one.name() == node).try_for_each(|one| one.kill(container))
    }

    /// Pulls the cable of a node out of the switch.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn cut_off(&self, node: &str) -> Result<(), ClusterError> {
        self.lan.cable(node, false)
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// As [`cut_off`](RealCluster::cut_off).
    pub fn reconnect(&self, node: &str) -> Result<(), ClusterError> {
        self.lan.cable(node, true)
    }

    /// Cuts a node off without its link noticing, as where the switch behind the next one breaks: to the others it is as if
    /// its power were cut. Only the machine's own clients and servers go on, where nobody hears them.
    ///
    /// # Errors
    /// As [`cut_off`](RealCluster::cut_off).
    pub fn silence(&self, node: &str) -> Result<(), ClusterError> {
        self.lan.port(node, false)
    }

    /// Lets it be heard again.
    ///
    /// # Errors
    /// As [`cut_off`](RealCluster::cut_off).
    pub fn hear(&self, node: &str) -> Result<(), ClusterError> {
        self.lan.port(node, true)
    }

    /// The last lines of each server's log.
    pub fn last_words(&self) -> String {
        self.processes().last_words()
    }

    /// Ends the API server, as a power cut does; what it knows is in etcd.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_api_server(&self) -> Result<(), ClusterError> {
        self.processes().kill(plane::API_SERVER)
    }

    /// Starts it again. It takes a while until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_api_server(&self) -> Result<(), ClusterError> {
        self.processes().start_again(plane::API_SERVER)
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        // A panic elsewhere does not make a list of processes wrong.
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it and waits until nothing is left.
    ///
    /// # Errors
    /// When something is left.
    pub fn stop(self) -> Result<(), ClusterError> {
        let RealCluster { folder, processes, supervisor, .. } = self;
        drop(supervisor);
        processes.into_inner().unwrap_or_else(PoisonError::into_inner).reap();
        // There is nothing to do unless the supervisor has failed.
        cleanup::clean_up(&folder)
    }
}

/// A folder for a cluster of this process, and the four digits that tell it from others.
fn new_folder() -> Result<(String, PathBuf), ClusterError> {
    let _lock = cleanup::lock()?;
    loop {
        let tag = format!("{:04x}", fastrand::u16(..));
        let folder = cleanup::parent().join(&tag);
        match fs::create_dir(&folder) {
            Ok(()) => {
                Record { owner: Process::this() }.write(&folder)?;
                return Ok((tag, folder));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ClusterError::file(&folder)(error)),
        }
    }
}

/// Which nodes are not ready.
async fn unready(client: &Client) -> Option<String> {
    let nodes: Api<NodeObject> = Api::all(client.clone());
    let nodes = match nodes.list(&Default::default()).await {
        Ok(list) => list.items,
        Err(error) => return Some(error.to_string()),
    };
    let is_ready = |node: &NodeObject| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True")
    };
    let ready: Vec<_> = nodes.iter().filter(|node| is_ready(node)).map(|n| n.metadata.name.clone()).collect();
    (ready.len() < 2).then(|| format!("ready: {ready:?} of {}", nodes.len()))
}
