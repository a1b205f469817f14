//! The API server the flags lead to.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use service_controller::UserAgent;
use tower::layer::util::Identity;
use tower::service_fn;

use crate::error::CliError;
use crate::flags::ClusterFlags;
use crate::pace::Pace;
use crate::proxy;
use crate::requests::RequestCounts;

/// What the program calls itself to the API server.
///
/// # Errors
/// Never: its name and its version are fit for that.
pub(crate) fn user_agent() -> Result<UserAgent, CliError> {
    UserAgent::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .map_err(|e| CliError::Usage(e.to_string()))
}

/// How to reach the cluster that the flags name, or that the surroundings name.
///
/// # Errors
/// When there is no usable configuration.
pub(crate) async fn config(flags: &ClusterFlags) -> Result<kube::Config, CliError> {
    let (mut config, named) = match &flags.kubeconfig {
        Some(path) => from_file(path).await?,
        None => inferred().await?,
    };
    config.proxy_url = proxy::to(&config.cluster_url, named.as_deref(), |name| std::env::var(name).ok())?;
    if let Some(proxy) = &config.proxy_url {
        tracing::info!("the way to the API server leads through {}", proxy.host().unwrap_or_default());
    }
    Ok(config)
}

/// What the surroundings say: a kubeconfig, else the pod's service account; with the proxy that the kubeconfig names.
async fn inferred() -> Result<(kube::Config, Option<String>), CliError> {
    let config = kube::Config::infer().await.map_err(|e| CliError::NoCluster(e.to_string()))?;
    let named = Kubeconfig::read().ok().and_then(|kubeconfig| proxy::named_in(&kubeconfig));
    Ok((config, named))
}

/// A client that keeps to no rate.
///
/// # Errors
/// When the configuration is of no use.
pub(crate) fn unpaced(config: kube::Config) -> Result<kube::Client, CliError> {
    apiserver_client::connect(config, &Identity::new()).map_err(|e| CliError::NoCluster(e.to_string()))
}

/// The same, whose requests are counted.
///
/// # Errors
/// As [`unpaced`].
pub(crate) fn counted(config: kube::Config, counts: &RequestCounts) -> Result<kube::Client, CliError> {
    apiserver_client::connect(config, counts).map_err(|e| CliError::NoCluster(e.to_string()))
}

/// The same client, at the pace of the flags.
pub(crate) fn paced(client: kube::Client, flags: &ClusterFlags) -> kube::Client {
    let Some(pace) = pace(flags) else { return client };
    let (namespace, valid_until) = (client.default_namespace().to_owned(), *client.valid_until());
    let service = service_fn(move |request| {
        let (client, wait) = (client.clone(), pace.wait(&request));
        async move {
            if !wait.is_zero() {
                tracing::debug!(?wait, "--kube-api-qps holds a request up");
                tokio::time::sleep(wait).await;
            }
            client.send(request).await
        }
    });
    kube::Client::new(service, namespace).with_valid_until(valid_until)
}

/// A client that keeps to the rate of the flags, for a command of this name.
///
/// # Errors
/// As [`config`].
pub(crate) async fn client(flags: &ClusterFlags, command: &str) -> Result<kube::Client, CliError> {
    let client = paced(unpaced(config(flags).await?)?, flags);
    Ok(user_agent()?.client(&client, command))
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

async fn from_file(path: &Path) -> Result<(kube::Config, Option<String>), CliError> {
    let wrong = |error: kube::config::KubeconfigError| {
        CliError::Usage(format!("--kubeconfig {}: {error}", path.display()))
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    let named = proxy::named_in(&kubeconfig);
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(wrong)?;
    Ok((config, named))
}
