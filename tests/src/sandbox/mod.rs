//! The sandbox: a cluster without a cluster and a cloud without a cloud, to watch the controller work.

mod aws;
mod demo;
pub mod manifests;
pub mod network;
mod page;
mod plan_first;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use cloud_provider::CloudLoadBalancer;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, PostParams};
use provider_bare::{BareConfig, BareProvider};
use serde_json::json;
use thiserror::Error;

use crate::cluster::Running;
use crate::control_plane::{ControlPlane, Options};
use crate::real_cluster::ClusterError;
use aws::Account;
use manifests::ManifestError;
use page::say;
use plan_first::PlanFirst;

/// Why the sandbox cannot go on.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// A manifest could not be applied.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The control plane refused something.
    #[error("the control plane: {0}")]
    ControlPlane(#[from] kube::Error),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be handled.
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
    /// The MetalLB resource definitions could not be written out.
    #[error("the resource definitions: {0}")]
    Definitions(String),
    /// The AWS endpoint that the environment names is none.
    #[error(
        "{variable}={url}: {reason}; localstack/up starts an endpoint, and without the variable AWS is in memory",
        variable = crate::aws::ENDPOINT_URL
    )]
    Endpoint {
        /// Where it should be.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network could not be made.
    #[error("the network: {0}")]
    Network(io::Error),
    /// The machines of the network could not be made.
    #[error("the network: {0}")]
    Machines(#[from] ClusterError),
    /// Something did not happen that the demonstration shows.
    #[error("{0}")]
    Unexpected(String),
}

/// Who makes load balancers in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Addresses from pools
    Bare,
    /// Network Load Balancers, of an AWS in memory or at AWS_ENDPOINT_URL
    Aws,
}

impl Backend {
    /// The folder of manifests for its users, wherever the program is run.
    pub fn examples(self) -> PathBuf {
        let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let workspace = workspace.canonicalize().unwrap_or_else(|_| workspace.to_owned());
        from_here(&workspace.join(match self {
            Backend::Bare => "deploy/examples",
            Backend::Aws => "deploy/examples/aws",
        }))
    }
}

/// Where the kubeconfig is written unless somebody wants it elsewhere: in the folder that cargo builds in, which is not
/// always `target`.
pub fn usual_kubeconfig() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    target.join("sandbox.kubeconfig")
}

/// A path as whoever stands in this folder would write it.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

/// A control plane with three nodes, what the provider works on, and a controller at work.
pub struct Sandbox {
    plane: ControlPlane,
    client: kube::Client,
    running: Running,
    platform: Platform,
    /// The provider's name.
    provider: &'static str,
    /// Where the example manifests are.
    examples: PathBuf,
}

/// What the provider works on, besides the cluster.
enum Platform {
    Bare,
    Aws(Account),
}

impl Sandbox {
    /// Starts everything; `examples` is the folder of manifests for users.
    ///
    /// # Errors
    /// When the control plane refuses what a cluster is made of.
    pub async fn start(backend: Backend, examples: &Path) -> Result<Self, SandboxError> {
        let plane = ControlPlane::start_with(Options { dual_stack: true, ..Options::default() }).await;
        let client = plane.client();
        let (provider, platform) = match backend {
            Backend::Bare => (bare(&client).await?, Platform::Bare),
            Backend::Aws => {
                let account = Account::open().await?;
                let provider: Arc<dyn CloudLoadBalancer> = Arc::new(PlanFirst(account.provider()));
                (provider, Platform::Aws(account))
            }
        };
        let provider_ids = match &platform {
            Platform::Bare => (1..=3).map(|i| format!("sandbox:///node-{i}")).collect(),
            Platform::Aws(account) => account.nodes.clone(),
        };
        add_nodes(&client, &provider_ids).await?;
        let running = Running::start(client.clone(), vec![provider], service_controller::Config::default());
        let provider = match backend {
            Backend::Bare => "bare",
            Backend::Aws => "aws",
        };
        Ok(Sandbox { plane, client, running, platform, provider, examples: examples.to_owned() })
    }

    /// Shows the whole job once, then stops.
    ///
    /// # Errors
    /// When something does not happen that should; the message says what.
    pub async fn demonstrate(self) -> Result<(), SandboxError> {
        let shown = demo::run(&self).await;
        self.running.stop().await;
        shown
    }

    /// Writes a kubeconfig, says what to try, and stays until `stop` resolves.
    ///
    /// # Errors
    /// When the kubeconfig cannot be written.
    pub async fn stay(self, kubeconfig: &Path, stop: impl Future<Output = ()>) -> Result<(), SandboxError> {
        let file = |source| SandboxError::File { path: kubeconfig.to_owned(), source };
        self.plane.write_kubeconfig(kubeconfig).map_err(file)?;
        let whole = std::path::absolute(kubeconfig).map_err(file)?;
        let url = self.plane.url();
        say(&format!("The control plane answers at {url}, and the controller is at work."));
        say("In another terminal, in this folder:");
        say("");
        say(&format!("  export KUBECONFIG={}", whole.display()));
        say(&format!("  kubectl apply -f {}", self.examples.display()));
        say("  kubectl get svc -w");
        say("  kubectl describe svc typo");
        if let Platform::Bare = self.platform {
            say("  kubectl get ipaddresspools -n metallb-system");
        }
        say("  kubectl delete svc web");
        if let Platform::Aws(account) = &self.platform {
            say(&format!("\nAWS is {}.", account.place()));
            say(&format!("A certificate for TLS: {}", account.certificate));
        }
        say("\nCtrl-C stops it all.");
        stop.await;
        println!("Stopping.");
        self.running.stop().await;
        std::fs::remove_file(kubeconfig).map_err(file)
    }
}

/// The bare-metal provider, and the resource definitions it needs.
async fn bare(client: &kube::Client) -> Result<Arc<dyn CloudLoadBalancer>, SandboxError> {
    let definitions =
        metallb::crd::manifest().map_err(|error| SandboxError::Definitions(error.to_string()))?;
    for object in manifests::parse(&definitions, "resource definitions")? {
        manifests::apply(client, &object).await?;
    }
    let provider = BareProvider::new(BareConfig::default(), Some(client.clone()))
        .map_err(|error| SandboxError::Unexpected(error.to_string()))?;
    Ok(Arc::new(provider))
}

/// One node for each provider ID.
async fn add_nodes(client: &kube::Client, provider_ids: &[String]) -> Result<(), SandboxError> {
    let nodes: Api<Node> = Api::all(client.clone());
    for (number, provider_id) in (1..).zip(provider_ids) {
        let node = json!({
            "metadata": { "name": format!("node-{number}") },
            "spec": { "providerID": provider_id },
        });
        let node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
        nodes.create(&PostParams::default(), &node).await?;
    }
    Ok(())
}
