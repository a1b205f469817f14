//! Leadership of the program: acquire, work, and what to do when it is lost.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use service_controller::leader::{Fence, LeaderConfig, Leadership};
use service_controller::{Metrics, ServiceController};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::error::CliError;
use crate::flags::ElectionFlags;

/// The election that the flags describe.
///
/// # Errors
/// What is wrong with the flags.
pub fn election(
    client: kube::Client,
    flags: &ElectionFlags,
    identity: String,
) -> Result<Leadership, CliError> {
    let config = LeaderConfig {
        lease_duration: flags.leader_elect_lease_duration,
        renew_deadline: flags.leader_elect_renew_deadline,
        retry_period: flags.leader_elect_retry_period,
        user_agent: connection::user_agent()?,
        ..LeaderConfig::new(
            &flags.leader_elect_resource_namespace,
            &flags.leader_elect_resource_name,
            identity,
        )
    };
    Leadership::new(client, config).map_err(|e| CliError::Usage(e.to_string()))
}

/// Runs the controller while this process holds the Lease.
///
/// The caches fill while it waits. When `stop` comes, the work ends first and the Lease is released then, so that
/// the next leader starts at once and never beside us. When leadership is lost, no call starts any more, those
/// in flight may end within `grace`, and the error tells the process to start over.
///
/// # Errors
/// When the flags are wrong, the controller cannot run, or leadership was lost.
pub async fn run(
    controller: ServiceController,
    leadership: &Leadership,
    metrics: &Metrics,
    grace: Duration,
    stop: CancellationToken,
) -> Result<(), CliError> {
    let fence: Arc<OnceLock<Fence>> = Arc::default();
    let asked = fence.clone();
    let controller = controller.fenced_by(move || asked.get().is_some_and(Fence::is_leader));
    // Shown from the start: a sum over replicas of which none ever led is 0 and not nothing.
    metrics.lead(false);
    let (elected, won) = oneshot::channel();
    let work_stop = stop.child_token();
    let leading = async {
        // The sender lives until it has sent; if this future goes on, leadership is held.
        if won.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let work = controller.run_when(leading, work_stop.clone());
    let mut work = std::pin::pin!(work);
    let held = tokio::select! {
        held = leadership.acquire() => held,
        ended = &mut work => return ended.map_err(CliError::Controller),
    };
    tracing::info!("leading");
    metrics.lead(true);
    // Set once: this process acquires once.
    let _ = fence.set(held.fence());
    let _ = elected.send(());
    let lost = held.lost();
    let ended = tokio::select! {
        ended = &mut work => {
            if let Err(error) = held.release().await {
                tracing::warn!(%error, "the Lease was not released; it runs out by itself");
            }
            ended.map_err(CliError::Controller)
        }
        () = lost.cancelled() => {
            work_stop.cancel();
            // Nobody else can lead before the Lease has run out: until then calls in flight may end.
            if let Ok(ended) = tokio::time::timeout(grace, &mut work).await {
                ended.map_err(CliError::Controller)?;
            }
            Err(CliError::LostLeadership)
        }
    };
    metrics.lead(false);
    ended
}
