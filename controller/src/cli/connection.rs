//! The API server the flags lead to.

use std::path::Path;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::limit::RateLimitLayer;

use super::error::CliError;
use super::flags::ClusterFlags;

/// Clients of one cluster.
pub struct Clients {
    /// For everything but leader election; keeps to the rate of the flags.
    pub work: kube::Client,
    /// For leader election, whose requests must not wait behind others.
    pub election: kube::Client,
}

/// Clients for the cluster the flags name, or that the surroundings name.
///
/// # Errors
/// When there is no usable configuration.
pub async fn clients(flags: &ClusterFlags) -> Result<Clients, CliError> {
    let no_cluster = |error: &dyn std::fmt::Display| CliError::NoCluster(error.to_string());
    let config = match &flags.kubeconfig {
        Some(path) => from_file(path).await?,
        None => kube::Config::infer().await.map_err(|e| no_cluster(&e))?,
    };
    let election = kube::Client::try_from(config.clone()).map_err(|e| no_cluster(&e))?;
    let work = match limit(flags) {
        Some((burst, per)) => {
            let builder = ClientBuilder::try_from(config).map_err(|e| no_cluster(&e))?;
            builder.with_layer(&RateLimitLayer::new(burst, per)).build()
        }
        None => election.clone(),
    };
    Ok(Clients { work, election })
}

/// A client that keeps to the rate of the flags.
///
/// # Errors
/// As [`clients`].
pub async fn client(flags: &ClusterFlags) -> Result<kube::Client, CliError> {
    Ok(clients(flags).await?.work)
}

/// So many requests in so long a time; none: as many as one likes.
fn limit(flags: &ClusterFlags) -> Option<(u64, Duration)> {
    let qps = Some(flags.kube_api_qps).filter(|qps| *qps > 0.0)?;
    let burst = match flags.kube_api_burst {
        0 => (1.5 * qps).ceil(),
        burst => f64::from(burst),
    };
    Some((burst as u64, Duration::from_secs_f64(burst / qps)))
}

async fn from_file(path: &Path) -> Result<kube::Config, CliError> {
    let wrong = |error: kube::config::KubeconfigError| {
        CliError::Usage(format!("--kubeconfig {}: {error}", path.display()))
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_what_may_be_asked_in_the_time_the_rate_allows_it() {
        let table = [
            ((0.0, 0), None),
            ((0.0, 30), None),
            ((20.0, 30), Some((30, Duration::from_millis(1_500)))),
            ((20.0, 0), Some((30, Duration::from_millis(1_500)))),
            ((0.5, 0), Some((1, Duration::from_secs(2)))),
            ((100.0, 1), Some((1, Duration::from_millis(10)))),
        ];
        for ((kube_api_qps, kube_api_burst), expected) in table {
            let flags = ClusterFlags { kubeconfig: None, config: None, kube_api_qps, kube_api_burst };
            assert_eq!(limit(&flags), expected, "{kube_api_qps} {kube_api_burst}");
        }
    }
}
