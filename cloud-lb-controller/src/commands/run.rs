//! `run`: flags to parts, and the parts at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloud_provider::CloudLoadBalancer;
use service_controller::config::SweepConfig;
use service_controller::leader::unique_identity;
use service_controller::user_agent::SERVICE_CONTROLLER;
use service_controller::{Config, Metrics, ServiceController};
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::error::CliError;
use crate::flags::RunFlags;
use crate::logging::LogLevel;
use crate::providers::Provider;
use crate::server::{self, Shown};
use crate::{election, providers, signals};

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
    let config = connection::config(&flags.cluster).await?;
    let identity = unique_identity();
    let metrics = Arc::new(Metrics::default());
    server::metrics::of_the_program(&metrics);
    chosen.iter().for_each(|provider| provider.show_metrics(&metrics));
    // The calls that decide who leads wait behind no others.
    let direct = connection::unpaced(config.clone())?;
    let (client, leadership) = match flags.election.leader_elect {
        true => {
            let leadership = election::candidate(direct, &flags.election, &identity)?;
            let fenced = leadership.fenced_client(config).map_err(|e| CliError::NoCluster(e.to_string()))?;
            (fenced, Some(Arc::new(leadership)))
        }
        false => (direct, None),
    };
    let client = connection::paced(client, &flags.cluster);
    let client = connection::user_agent()?.client(&client, SERVICE_CONTROLLER);
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
        resync_interval: flags.service.verify_interval,
        provider_timeout: flags.service.provider_deadline,
        shutdown_grace: flags.service.drain_timeout,
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
    let ended = match leadership {
        Some(leadership) => controller.run_while_leading(&leadership, stop).await,
        None => {
            metrics.lead(true);
            controller.run(stop).await
        }
    };
    ended.map_err(CliError::Controller)
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
