//! The calls of an election, each within its time, and the one sequence of them that all share.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::clock::Moment;
use super::config::LeaderConfig;
use super::lease_api::{LeaseApi, LeaseError, TermChange};
use super::record::{Elector, LeaseStep};

/// How an attempt to hold the Lease ended.
pub(super) enum LeaseOutcome {
    Won(Won),
    HeldBy { holder: String, until: Instant },
}

/// A write that made or kept us the holder.
pub(super) struct Won {
    pub(super) lease: Box<Lease>,
    /// When the write began.
    pub(super) started: Moment,
}

/// Makes the calls, each within its time.
#[derive(Clone)]
pub(super) struct LeaseCalls {
    pub(super) api: Arc<dyn LeaseApi>,
    pub(super) config: Arc<LeaderConfig>,
}

impl LeaseCalls {
    /// Reads the Lease and writes it if the rules allow.
    pub(super) async fn contend(
        &self,
        elector: &mut Elector,
        deadline: Instant,
    ) -> Result<LeaseOutcome, LeaseError> {
        let lease = self.call(deadline, self.api.get()).await?;
        let started = Moment::now();
        let lease = match elector.step(lease.as_ref(), started) {
            LeaseStep::Wait { holder, until } => return Ok(LeaseOutcome::HeldBy { holder, until }),
            LeaseStep::Create(lease) => self.call(deadline, self.api.create(&lease)).await?,
            LeaseStep::Update(lease) => self.call(deadline, self.api.replace(&lease)).await?,
        };
        Ok(LeaseOutcome::Won(Won { lease: Box::new(lease), started }))
    }

    /// Makes one call, unless `deadline` has passed; gives up on it at `deadline` or after the request timeout.
    pub(super) async fn call<T>(
        &self,
        deadline: Instant,
        call: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        let now = Instant::now();
        if now >= deadline {
            return Err(LeaseError::TooLate);
        }
        let until = deadline.min(now + self.config.request_timeout());
        timeout_at(until, call).await.unwrap_or(Err(LeaseError::Timeout(until - now)))
    }

    /// Records an event without anybody waiting for it.
    pub(super) fn announce_aside(&self, lease: &Lease, change: TermChange) {
        let (calls, lease) = (self.clone(), lease.clone());
        tokio::spawn(async move {
            if timeout(calls.config.request_timeout(), calls.announce(&lease, change)).await.is_err() {
                debug!(lease = %calls.config.lease(), "no time to record the event");
            }
        });
    }

    /// Records an event, and does not mind if that fails.
    pub(super) async fn announce(&self, lease: &Lease, change: TermChange) {
        if let Err(error) = self.api.announce(lease, change).await {
            debug!(lease = %self.config.lease(), "cannot record an event: {error}");
        }
    }
}
