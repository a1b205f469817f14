//! `run`: flags to parts, and the parts at work.

use std::sync::Arc;
use std::time::Duration;

use apiserver_client::Watches;
use cloud_provider::CloudLoadBalancer;
use service_controller::leader::unique_identity;
use service_controller::user_agent::SERVICE_CONTROLLER;
use service_controller::{Bounds, Config, Health, Metrics, ServiceController};
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::error::CliError;
use crate::flags::RunFlags;
use crate::logging::LogLevel;
use crate::providers::Provider;
use crate::server::{self, Shown};
use crate::{election, providers, signals};

/// Between two tries to reach the API server before there is a controller that does so by itself.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long a request may wait for its turn where the flags set a pace.
const LONGEST_PACED: Duration = Duration::from_secs(3_600);

/// Runs the controller until a signal.
///
/// # Errors
/// See [`CliError`].
pub(super) async fn run(flags: RunFlags, log_level: LogLevel) -> Result<(), CliError> {
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
    let health = Health::default();
    if let Some(address) = flags.serving.http_address.0 {
        let shown = Arc::new(Shown {
            metrics: metrics.clone(),
            leadership: leadership.clone(),
            health: health.clone(),
            stop: stop.clone(),
            log_level,
            log_level_from: flags.serving.loglevel_from,
        });
        let bind = |source| CliError::Bind { address, source };
        server::serve(address, shown).await.map_err(bind)?;
    }
    let watches = Watches::new(client.clone());
    let mut config = Config::default();
    config.workers = flags.service.concurrent_service_syncs;
    config.resync_interval = flags.service.verify_interval;
    config.provider_timeout = flags.service.provider_deadline;
    config.shutdown_grace = flags.service.drain_timeout;
    config.sweep.delete = flags.service.delete_orphans;
    config.bounds = bounds(flags.cluster.kube_api_qps);
    config.identity = identity;
    let mut controller = ServiceController::new(client.clone()).config(config);
    controller = controller.user_agent(connection::user_agent()?).health(health).watches(watches.clone());
    tokio::select! {
        made = made_once_there_is_an_answer(&chosen, &client, &watches) => {
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

/// What bounds the controller's requests. Those that leave are bounded by the client; the wait for the pace of the flags
/// before that is the operator's wish, however long.
fn bounds(kube_api_qps: f64) -> Bounds {
    let mut bounds = Bounds::default();
    if kube_api_qps > 0.0 {
        bounds.request = LONGEST_PACED;
    }
    bounds
}

/// The providers. One that has to ask the API server first waits for its answer: a control plane that restarts is no
/// reason for a crash loop.
async fn made_once_there_is_an_answer(
    chosen: &[Arc<dyn Provider>],
    client: &kube::Client,
    watches: &Watches,
) -> Result<Vec<Arc<dyn CloudLoadBalancer>>, CliError> {
    let mut told = String::new();
    loop {
        match providers::build(chosen, client, watches).await {
            Err(error @ CliError::Api { .. }) => {
                let obstacle = error.to_string();
                if obstacle != told {
                    tracing::warn!("waiting for the API server: {obstacle}");
                    told = obstacle;
                }
            }
            result => return result,
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
