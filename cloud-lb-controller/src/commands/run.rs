//! `run`: flags to parts, and the parts at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloud_provider::CloudLoadBalancer;
use service_controller::config::SweepConfig;
use service_controller::user_agent::SERVICE_CONTROLLER;
use service_controller::{Config, Metrics, ServiceController};
use tokio_util::sync::CancellationToken;

use crate::connection::{self, Clients};
use crate::error::CliError;
use crate::flags::RunFlags;
use crate::logging::LogLevel;
use crate::providers::Provider;
use crate::server::{self, Shown};
use crate::{leading, providers, signals};

/// Between two tries to reach the API server before there is a controller that does so by itself.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs the controller until a signal.
///
/// # Errors
/// See [`CliError`].
pub async fn run(flags: RunFlags, log_level: LogLevel) -> Result<(), CliError> {
    let chosen = flags.chosen_providers()?;
    let stop = CancellationToken::new();
    signals::follow(stop.clone()).map_err(CliError::Signals)?;
    let Clients { work: client, election } = connection::clients(&flags.cluster, SERVICE_CONTROLLER).await?;
    let identity = identity();
    let metrics = Arc::new(Metrics::default());
    server::metrics::of_the_program(&metrics);
    chosen.iter().for_each(|provider| provider.show_metrics(&metrics));
    let leadership = match flags.election.leader_elect {
        true => Some(Arc::new(leading::election(election, &flags.election, identity.clone())?)),
        false => None,
    };
    let shown = Arc::new(Shown {
        metrics: metrics.clone(),
        leadership: leadership.clone(),
        ready: AtomicBool::new(true),
        log_level,
    });
    if let Some(address) = flags.serving.http_address.0 {
        let bind = |source| CliError::Bind { address, source };
        server::serve(address, shown.clone()).await.map_err(bind)?;
    }
    // Not ready comes first, so that nobody waits for a process that is on its way out.
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        shown.ready.store(false, Ordering::Release);
    });
    let mut controller = ServiceController::new(client.clone()).config(Config {
        workers: flags.service.concurrent_service_syncs,
        verify: flags.service.verify_interval,
        deadline: flags.service.provider_deadline,
        drain: flags.service.drain_timeout,
        sweep: SweepConfig { delete: flags.service.delete_orphans, ..SweepConfig::default() },
        identity,
        ..Config::default()
    });
    controller = controller.user_agent(connection::user_agent()?);
    tokio::select! {
        made = made_once_there_is_an_answer(&chosen, &client) => {
            for provider in made? {
                controller = controller.provider(provider);
            }
        }
        () = stop.cancelled() => return Ok(()),
    }
    controller = controller.metrics(metrics.clone());
    match leadership {
        Some(leadership) => {
            let election = &flags.election;
            let grace = election.leader_elect_lease_duration - election.leader_elect_renew_deadline;
            leading::run(controller, &leadership, &metrics, grace, stop).await
        }
        None => {
            metrics.lead(true);
            controller.run(stop).await.map_err(CliError::Controller)
        }
    }
}

/// The providers. One that has to ask the API server first waits for its answer: a control plane that restarts is no
/// reason for a crash loop.
async fn made_once_there_is_an_answer(
    chosen: &[Arc<dyn Provider>],
    client: &kube::Client,
) -> Result<Vec<Arc<dyn CloudLoadBalancer>>, CliError> {
    loop {
        match providers::build(chosen, client).await {
            Err(error @ CliError::Api { .. }) => tracing::warn!("waiting for the API server: {error}"),
            result => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
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
