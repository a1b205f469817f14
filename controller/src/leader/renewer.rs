//! What keeps a term alive, and ends it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::calls::{LeaseCalls, LeaseOutcome, Won};
use super::clock::Moment;
use super::lease_api::{LeaseError, TermChange};
use super::record::Elector;

/// How long a release waits for its event to be recorded, after the Lease itself was given back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Keeps one term alive.
pub(super) struct Renewer {
    pub(super) calls: LeaseCalls,
    pub(super) elector: OwnedMutexGuard<Elector>,
    /// As the server answered our last successful write.
    pub(super) lease: Box<Lease>,
    /// When that write began.
    pub(super) started: Moment,
    pub(super) renewed: watch::Sender<Option<Moment>>,
}

impl Renewer {
    /// Renews until told to stop or until leadership is lost, and hands itself back for the release.
    pub(super) async fn run(mut self, stop: CancellationToken, lost: CancellationToken) -> Self {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            reason = self.renew_while_possible() => {
                lost.cancel();
                error!(lease = %self.calls.config.lease(), "lost leadership: {reason}");
                self.calls.announce_aside(&self.lease, TermChange::Ended);
            }
        }
        self
    }

    /// Returns why it is no longer possible.
    async fn renew_while_possible(&mut self) -> String {
        let mut attempted = self.started.instant;
        let mut failure = None;
        loop {
            let deadline = self.deadline();
            sleep_until((attempted + self.calls.config.retry_period).min(deadline)).await;
            attempted = Instant::now();
            // Here first after a pause of the whole process: no call is made for a term that is over.
            if attempted >= deadline {
                return failure.unwrap_or_else(|| "the process did not run for too long".to_owned());
            }
            match self.renew(deadline).await {
                Ok(LeaseOutcome::Won(won)) => {
                    attempted = won.started.instant;
                    self.accept(won);
                    failure = None;
                }
                Ok(LeaseOutcome::HeldBy { holder, .. }) => return format!("{holder} holds the Lease"),
                Err(error) => {
                    warn!(lease = %self.calls.config.lease(), "cannot renew the Lease: {error}");
                    failure = Some(format!("cannot renew the Lease: {error}"));
                }
            }
        }
    }

    async fn renew(&mut self, deadline: Instant) -> Result<LeaseOutcome, LeaseError> {
        let started = Moment::now();
        let renewal = self.elector.renewal(&self.lease, started.wall);
        match self.calls.call(deadline, self.calls.api.replace(&renewal)).await {
            Ok(lease) => Ok(LeaseOutcome::Won(Won { lease: Box::new(lease), started })),
            Err(error) => {
                debug!(lease = %self.calls.config.lease(), "renewal from memory failed, reading the Lease: {error}");
                self.calls.contend(&mut self.elector, deadline).await
            }
        }
    }

    fn accept(&mut self, won: Won) {
        self.lease = won.lease;
        self.started = won.started;
        // Not after the term's end, which may come from another thread.
        self.renewed.send_if_modified(|renewed| {
            let leads = renewed.is_some();
            *renewed = renewed.map(|_| won.started);
            leads
        });
    }

    fn deadline(&self) -> Instant {
        self.started.instant + self.calls.config.renew_deadline
    }

    /// Gives the Lease back, where so configured, and says goodbye.
    pub(super) async fn resign(self) -> Result<(), LeaseError> {
        if self.calls.config.release_on_exit {
            self.give_back().await?;
            info!(lease = %self.calls.config.lease(), "released leadership");
        }
        let farewell = self.calls.announce(&self.lease, TermChange::Ended);
        if timeout(RELEASE_TIMEOUT, farewell).await.is_err() {
            debug!(lease = %self.calls.config.lease(), "no time to record the event");
        }
        Ok(())
    }

    async fn give_back(&self) -> Result<(), LeaseError> {
        let deadline = self.deadline();
        let released = self.elector.release(&self.lease, Moment::now().wall);
        let Err(error) = self.calls.call(deadline, self.calls.api.replace(&released)).await else {
            return Ok(());
        };
        // What is in memory is behind if a renewal was under way, or if its reply was lost.
        debug!(lease = %self.calls.config.lease(), "release from memory failed, reading the Lease: {error}");
        match self.calls.call(deadline, self.calls.api.get()).await? {
            Some(lease) if self.elector.is_ours(&lease) => {
                let released = self.elector.release(&lease, Moment::now().wall);
                self.calls.call(deadline, self.calls.api.replace(&released)).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}
