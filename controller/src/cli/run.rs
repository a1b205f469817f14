//! `run`: flags to parts, and the parts at work.

use std::path::Path;

use controller::config::SweepConfig;
use controller::{Config, ServiceController};
use kube::config::{KubeConfigOptions, Kubeconfig};
use thiserror::Error as ThisError;
use tokio_util::sync::CancellationToken;

use super::flags::{ClusterFlags, RunFlags};
use super::{leading, providers, signals};

/// Why the program ends early; one clear line each.
#[derive(Debug, ThisError)]
pub enum RunError {
    /// The command line is wrong.
    #[error("{0}")]
    Flags(String),
    /// A provider cannot be made.
    #[error("{0}")]
    Provider(String),
    /// There is no usable configuration for the API server.
    #[error("no API server to talk to: {0}; give --kubeconfig FILE, or run in a pod with a service account")]
    NoCluster(String),
    /// Signals cannot be handled.
    #[error("signals cannot be handled: {0}")]
    Signals(std::io::Error),
    /// The controller cannot run.
    #[error(transparent)]
    Controller(controller::Error),
    /// Another replica leads now, or the Lease could not be renewed in time.
    #[error("leadership was lost; start over (a Deployment does so by itself)")]
    LostLeadership,
}

impl RunError {
    /// See the crate page of the command line.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Flags(_) | RunError::Provider(_) => 2,
            RunError::NoCluster(_)
            | RunError::Signals(_)
            | RunError::Controller(_)
            | RunError::LostLeadership => 1,
        }
    }
}

/// Runs the controller until a signal.
///
/// # Errors
/// See [`RunError`].
pub async fn run(flags: RunFlags) -> Result<(), RunError> {
    let stop = CancellationToken::new();
    signals::follow(stop.clone()).map_err(RunError::Signals)?;
    let client = client(&flags.cluster).await?;
    let identity = identity();
    let mut controller = ServiceController::new(client.clone()).config(Config {
        workers: flags.service.concurrent_service_syncs,
        verify: flags.service.verify_interval,
        deadline: flags.service.provider_deadline,
        drain: flags.service.drain_timeout,
        sweep: SweepConfig { delete: flags.service.delete_orphans, ..SweepConfig::default() },
        identity: identity.clone(),
        ..Config::default()
    });
    for provider in providers::from_flags(&flags, &client)? {
        controller = controller.provider(provider);
    }
    if flags.election.leader_elect {
        leading::run(controller, client, &flags.election, identity, stop).await
    } else {
        controller.run(stop).await.map_err(RunError::Controller)
    }
}

async fn client(flags: &ClusterFlags) -> Result<kube::Client, RunError> {
    let no_cluster = |error: &dyn std::fmt::Display| RunError::NoCluster(error.to_string());
    let config = match &flags.kubeconfig {
        Some(path) => from_file(path).await?,
        None => kube::Config::infer().await.map_err(|e| no_cluster(&e))?,
    };
    kube::Client::try_from(config).map_err(|e| no_cluster(&e))
}

async fn from_file(path: &Path) -> Result<kube::Config, RunError> {
    let wrong = |error: kube::config::KubeconfigError| {
        RunError::Flags(format!("--kubeconfig {}: {error}", path.display()))
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)
}

/// Host name and a random part: tells two processes on one host apart, also one after the other.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "unknown-host",
        host => host,
    };
    format!("{host}_{:016x}", fastrand::u64(..))
}
