//! `run`: flags to parts, and the parts at work.

use std::sync::Arc;
use std::time::Duration;

use apiserver_client::Watches;
use cloud_provider::CloudLoadBalancer;
use service_controller::leader::{Leadership, unique_identity};
use service_controller::user_agent::SERVICE_CONTROLLER;
use service_controller::{Bounds, Config, Error, Health, Metrics, ServiceController};
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::error::CliError;
use crate::flags::RunFlags;
use crate::logging::LogLevel;
use crate::providers::Provider;
use crate::requests::RequestCounts;
use crate::server::{self, Shown};
use crate::{build_info, election, providers, signals};

/// Between two tries to reach the API server before there is a controller that does so by itself.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long a request may wait for its turn where the flags set a pace.
const MAX_PACED_WAIT: Duration = Duration::from_secs(3_600);

/// Runs the controller until a signal. Whoever loses the Lease starts over here rather than in another process, which would
/// have to wait until that Lease is over, its own; nothing of the work before is taken along.
///
/// # Errors
/// See [`CliError`].
pub(super) async fn run(flags: RunFlags, log_level: LogLevel) -> Result<(), CliError> {
    let chosen = flags.chosen_providers()?;
    let stop = CancellationToken::new();
    signals::follow(stop.clone()).map_err(CliError::Signals)?;
    let config = connection::config(&flags.cluster).await?;
    let identity = unique_identity();
    tracing::info!(
        version = build_info::VERSION,
        commit = build_info::COMMIT,
        features = build_info::features(),
        identity,
        flags = flags.given.join(" "),
        "cloud-lb-controller begins"
    );
    let metrics = Arc::new(Metrics::default());
    let requests = RequestCounts::default();
    server::metrics::of_the_program(&metrics, &requests);
    chosen.iter().for_each(|provider| provider.show_metrics(&metrics));
    let mut leadership = match flags.election.leader_elect {
        true => {
            // The calls that decide who leads wait behind no others.
            let direct = connection::counted(config.clone(), &requests)?;
            Some(Arc::new(election::candidate(direct, &flags.election, &identity)?))
        }
        false => None,
    };
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
    let work = ControllerParts { flags, chosen, config, identity, metrics, requests, health, stop };
    loop {
        match (work.until_it_ends(leadership.as_deref()).await, &leadership) {
            (Err(CliError::Controller(Error::LostLeadership)), Some(lost)) => {
                tracing::warn!("leadership was lost; starting over as a candidate");
                leadership = Some(Arc::new(lost.again()));
            }
            (ended, _) => return ended,
        }
    }
}

/// What a controller is made of, again and again.
struct ControllerParts {
    flags: RunFlags,
    chosen: Vec<Arc<dyn Provider>>,
    config: kube::Config,
    identity: String,
    metrics: Arc<Metrics>,
    requests: RequestCounts,
    health: Health,
    stop: CancellationToken,
}

impl ControllerParts {
    /// Runs a controller that knows nothing of those before it, with providers that do not either.
    async fn until_it_ends(&self, leadership: Option<&Leadership>) -> Result<(), CliError> {
        let (flags, config) = (&self.flags, self.config.clone());
        let client = match leadership {
            Some(leadership) => {
                let client = leadership.fenced_client_over(config, self.requests.clone());
                client.map_err(|e| CliError::NoCluster(e.to_string()))?
            }
            None => connection::counted(config, &self.requests)?,
        };
        let client = connection::paced(client, &flags.cluster);
        let client = connection::user_agent()?.client(&client, SERVICE_CONTROLLER);
        let watches = Watches::new(client.clone());
        let controller = ServiceController::new(client.clone()).config(self.controller_config());
        let controller = controller.user_agent(connection::user_agent()?).health(self.health.clone());
        let mut controller = controller.watches(watches.clone()).metrics(self.metrics.clone());
        tokio::select! {
            made = made_once_there_is_an_answer(&self.chosen, &client, &watches) => {
                for provider in made? {
                    controller = controller.provider(provider);
                }
            }
            () = self.stop.cancelled() => return Ok(()),
        }
        let ended = match leadership {
            Some(leadership) => controller.run_while_leading(leadership, self.stop.clone()).await,
            None => {
                self.metrics.lead(true);
                controller.run(self.stop.clone()).await
            }
        };
        ended.map_err(CliError::Controller)
    }

    fn controller_config(&self) -> Config {
        let flags = &self.flags;
        let mut config = Config::default();
        config.workers = flags.service.concurrent_service_syncs;
        config.resync_interval = flags.service.verify_interval;
        config.provider_timeout = flags.service.provider_deadline;
        config.shutdown_grace = flags.service.drain_timeout;
        config.sweep.delete = flags.service.delete_orphans;
        config.bounds = bounds(flags.cluster.kube_api_qps);
        config.identity = self.identity.clone();
        config
    }
}

/// What bounds the controller's requests. Those that leave are bounded by the client; the wait for the pace of the flags
/// before that is the operator's wish, however long.
fn bounds(kube_api_qps: f64) -> Bounds {
    let mut bounds = Bounds::default();
    if kube_api_qps > 0.0 {
        bounds.request = MAX_PACED_WAIT;
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
