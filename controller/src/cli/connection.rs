//! The API server the flags lead to.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};

use super::error::CliError;
use super::flags::ClusterFlags;

/// A client for the cluster the flags name, or that the surroundings name.
///
/// # Errors
/// When there is no usable configuration.
pub async fn client(flags: &ClusterFlags) -> Result<kube::Client, CliError> {
    let no_cluster = |error: &dyn std::fmt::Display| CliError::NoCluster(error.to_string());
    let config = match &flags.kubeconfig {
        Some(path) => from_file(path).await?,
        None => kube::Config::infer().await.map_err(|e| no_cluster(&e))?,
    };
    kube::Client::try_from(config).map_err(|e| no_cluster(&e))
}

async fn from_file(path: &Path) -> Result<kube::Config, CliError> {
    let wrong = |error: kube::config::KubeconfigError| {
        CliError::Usage(format!("--kubeconfig {}: {error}", path.display()))
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)
}
