//! The API server the flags lead to.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use service_controller::UserAgent;
use tower::service_fn;

use crate::error::CliError;
use crate::flags::ClusterFlags;
use crate::pace::Pace;

/// Clients of one cluster.
pub struct Clients {
    /// For everything but leader election; keeps to the rate of the flags, and says which part of the program asks.
    pub work: kube::Client,
    /// For leader election, whose requests must not wait behind others.
    pub election: kube::Client,
}

/// What the program calls itself to the API server.
///
/// # Errors
/// Never: its name and its version are fit for that.
pub fn user_agent() -> Result<UserAgent, CliError> {
    UserAgent::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .map_err(|e| CliError::Usage(e.to_string()))
}

/// Clients for the cluster the flags name, or that the surroundings name; `component` is the part of the program that
/// works with it.
///
/// # Errors
/// When there is no usable configuration.
pub async fn clients(flags: &ClusterFlags, component: &str) -> Result<Clients, CliError> {
    let no_cluster = |error: &dyn std::fmt::Display| CliError::NoCluster(error.to_string());
    let config = match &flags.kubeconfig {
        Some(path) => from_file(path).await?,
        None => kube::Config::infer().await.map_err(|e| no_cluster(&e))?,
    };
    let election = kube::Client::try_from(config).map_err(|e| no_cluster(&e))?;
    let work = pace(flags).map_or_else(|| election.clone(), |pace| paced(&election, pace));
    Ok(Clients { work: user_agent()?.client(&work, component), election })
}

/// The same client, at a pace.
fn paced(client: &kube::Client, pace: Pace) -> kube::Client {
    let inner = client.clone();
    let service = service_fn(move |request| {
        let (inner, wait) = (inner.clone(), pace.wait(&request));
        async move {
            if !wait.is_zero() {
                tracing::debug!(?wait, "--kube-api-qps holds a request up");
                tokio::time::sleep(wait).await;
            }
            inner.send(request).await
        }
    });
    kube::Client::new(service, client.default_namespace()).with_valid_until(*client.valid_until())
}

/// A client that keeps to the rate of the flags, for a command of this name.
///
/// # Errors
/// As [`clients`].
pub async fn client(flags: &ClusterFlags, command: &str) -> Result<kube::Client, CliError> {
    Ok(clients(flags, command).await?.work)
}

/// The pace of the flags; none: as fast as one likes.
fn pace(flags: &ClusterFlags) -> Option<Pace> {
    let qps = Some(flags.kube_api_qps).filter(|qps| *qps > 0.0)?;
    let burst = match flags.kube_api_burst {
        0 => (1.5 * qps).ceil() as u32,
        burst => burst,
    };
    Some(Pace::new(qps, burst))
}

async fn from_file(path: &Path) -> Result<kube::Config, CliError> {
    let wrong = |error: kube::config::KubeconfigError| {
        CliError::Usage(format!("--kubeconfig {}: {error}", path.display()))
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)
}
