//! Working only while this process leads.

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::controller::ServiceController;
use crate::error::Error;
use crate::leader::Leadership;

impl ServiceController {
    /// Runs the controller while this process holds the Lease.
    ///
    /// Give the controller, and the providers that write to the cluster, a client from
    /// [`Leadership::fenced_client`], so that nothing they send leaves after leadership has ended.
    ///
    /// To the API server it is who the candidate is: see [`user_agent`](crate::leader::LeaderConfig::user_agent).
    ///
    /// # Flow
    /// * **Wait.** The caches fill; nothing is written and no provider is called. Only then is the Lease looked at.
    /// * **Lead.** As [`run`](ServiceController::run) does.
    /// * **Stop.** After `stop` no call starts, those in flight end, and the Lease is given back then: the next leader
    ///   starts at once and never beside this one.
    /// * **Lose.** No call starts any more. Those in flight may end while nobody else can lead yet (the lease
    ///   duration less the renew deadline, 5 s by default); what has not ended by then is dropped.
    ///
    /// # Errors
    /// [`Error::LostLeadership`], after which the process should start over with providers and a controller that know
    /// nothing of before, and with [`Leadership::again`], or end; and those of
    /// [`run_when`](ServiceController::run_when).
    pub async fn run_while_leading(
        self,
        leadership: &Leadership,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let metrics = self.metrics.clone();
        let gate = leadership.gate();
        let controller = self.user_agent(leadership.user_agent()).fenced_by(move || gate.is_leader());
        // Shown from the start: a sum over replicas of which none ever led is 0 and not nothing.
        metrics.lead(false);
        controller.health.contends(leadership.sight());
        let (elected, won) = oneshot::channel();
        let work_stop = stop.child_token();
        // Not polled before the caches are full: who cannot see does not take the Lease.
        let leading = async {
            // Whoever waits for it lives as long as this.
            let _ = elected.send(leadership.acquire().await);
        };
        let mut work = std::pin::pin!(controller.run_when(leading, work_stop.clone()));
        let held = tokio::select! {
            biased;
            Ok(held) = won => held,
            ended = &mut work => return ended,
        };
        metrics.lead(true);
        let lost = held.lost();
        let ended = tokio::select! {
            ended = &mut work => {
                match held.release().await {
                    Ok(()) => tracing::info!("leads no more: the Lease is released"),
                    Err(error) => tracing::warn!(%error, "the Lease was not released; it runs out by itself"),
                }
                ended
            }
            () = lost.cancelled() => {
                work_stop.cancel();
                match timeout(leadership.grace(), &mut work).await {
                    Ok(Err(error)) => Err(error),
                    Ok(Ok(())) | Err(_) => Err(Error::LostLeadership),
                }
            }
        };
        metrics.lead(false);
        ended
    }
}
