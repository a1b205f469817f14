//! The sandbox: a cluster without a cluster and a cloud without a cloud, to watch the controller work.

mod demo;
pub mod manifests;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloud_provider::CloudLoadBalancer;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, PostParams};
use provider_bare::{BareConfig, BareProvider};
use serde_json::json;
use thiserror::Error;

use crate::cluster::Running;
use crate::control_plane::{ControlPlane, Options};
use manifests::ManifestError;

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
    /// The MetalLB resource definitions could not be written out.
    #[error("the resource definitions: {0}")]
    Definitions(String),
    /// Something did not happen that the demonstration shows.
    #[error("{0}")]
    Unexpected(String),
}

/// A control plane with three nodes, MetalLB's resource definitions, and a controller at work.
pub struct Sandbox {
    plane: ControlPlane,
    client: kube::Client,
    running: Running,
    /// Where the example manifests are.
    examples: PathBuf,
}

impl Sandbox {
    /// Starts everything; `examples` is the folder of manifests for users.
    ///
    /// # Errors
    /// When the control plane refuses what a cluster is made of.
    pub async fn start(examples: &Path) -> Result<Self, SandboxError> {
        let plane = ControlPlane::start_with(Options { dual_stack: true, ..Options::default() }).await;
        let client = plane.client();
        let definitions =
            provider_bare::crd::manifest().map_err(|error| SandboxError::Definitions(error.to_string()))?;
        for object in manifests::parse(&definitions, "resource definitions")? {
            manifests::apply(&client, &object).await?;
        }
        let nodes: Api<Node> = Api::all(client.clone());
        for i in 1..=3 {
            let node = json!({
                "metadata": { "name": format!("node-{i}") },
                "spec": { "providerID": format!("sandbox:///node-{i}") },
            });
            let node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
            nodes.create(&PostParams::default(), &node).await?;
        }
        let bare = BareProvider::new(BareConfig::default(), Some(client.clone()))
            .map_err(|error| SandboxError::Unexpected(error.to_string()))?;
        let providers: Vec<Arc<dyn CloudLoadBalancer>> = vec![Arc::new(bare)];
        let running = Running::start(client.clone(), providers, controller::Config::default());
        Ok(Sandbox { plane, client, running, examples: examples.to_owned() })
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

    /// Applies the pools, writes a kubeconfig, says what to try, and stays until `stop` resolves.
    ///
    /// # Errors
    /// When the pools or the kubeconfig cannot be written.
    pub async fn stay(self, kubeconfig: &Path, stop: impl Future<Output = ()>) -> Result<(), SandboxError> {
        let file = |source| SandboxError::File { path: kubeconfig.to_owned(), source };
        self.plane.write_kubeconfig(kubeconfig).map_err(file)?;
        let examples = self.examples.display();
        let kubectl = format!("kubectl --kubeconfig {}", kubeconfig.display());
        println!(
            "The control plane answers at {}, and the controller is at work. In another terminal:",
            self.plane.url()
        );
        println!();
        for line in [
            format!("apply -f {examples}"),
            "get svc -w".into(),
            "describe svc typo".into(),
            "get ipaddresspools -n metallb-system".into(),
            "delete svc web".into(),
        ] {
            println!("  {kubectl} {line}");
        }
        println!();
        println!("Ctrl-C stops it all.");
        stop.await;
        println!("Stopping.");
        self.running.stop().await;
        std::fs::remove_file(kubeconfig).map_err(file)
    }
}
