//! Leadership: of several replicas, at most one acts.
//!
//! The replicas contend for one Lease object with the semantics of client-go's leader election, so they mix
//! with Kubernetes' own components in one election. [`Leadership::acquire`] waits until this process holds the
//! Lease and returns [`Held`], which renews it in the background until [released](Held::release), dropped, or
//! lost.
//!
//! ```no_run
//! # async fn work(fence: controller::leader::Fence) {}
//! # async fn run(client: kube::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use controller::leader::{LeaderConfig, Leadership};
//!
//! let config = LeaderConfig::new("kube-system", "cloud-controller-manager", "host-1_5f0e");
//! let leadership = Leadership::new(client, config)?;
//! let held = leadership.acquire().await;
//! tokio::select! {
//!     () = work(held.fence()) => held.release().await?,
//!     () = held.lost().cancelled() => return Err("leadership lost".into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Flow
//!
//! * **Acquire.** Look every `retry_period`, stretched by a random factor of 1 to 2.2 so that replicas do not
//!   march in step, and at the moment the record expires. No Lease: create it. Ours, released or expired:
//!   replace it. Otherwise wait.
//! * **Renew.** Every `retry_period`, replace the Lease from memory, without reading it. On any error read it
//!   first and replace what was read; if that fails too, try again in the next period.
//! * **Lose.** When no renewal has succeeded for `renew_deadline`, or somebody else is seen to hold the Lease.
//!   Losing is final for a [`Held`]; the process should stop acting and start over.
//! * **Release.** The record is left with no holder: the next candidate that looks takes over.
//!
//! # Guarantees
//!
//! * Every write is a PUT of the whole object with the resourceVersion it is based on (the first a POST), so
//!   two candidates can never both succeed from the same state, and a write delayed in the network can never
//!   undo a later one. Server-side apply with force, or a patch, would promise neither; that is why this is not
//!   built on the election in kubert, which acquires with a forced apply.
//! * Clocks of different machines are never compared. See the record's expiry in [`Leadership::acquire`].
//! * After a pause of the whole process (SIGSTOP, a suspended machine) the clock is looked at before any call
//!   for the Lease is made and before [`Fence::is_leader`] answers.
//! * A write whose reply was lost is recognised by the identity in the record: no second transition.
//!
//! # Caveats
//!
//! * The bounds and assumptions of [`Fence`].
//! * Who deletes the Lease of a living leader lets another one in at once, while the old one goes on for up to
//!   `retry_period`. To make a leader step down, stop its process.
//! * `renew_deadline` runs from the start of the last successful renewal, as [`Fence`] does. client-go starts
//!   it with the first attempt that fails, a `retry_period` later.
//!
//! Nothing here exits the process, reads the environment or keeps global state.
#![deny(missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

mod clock;
mod config;
mod fence;
mod lease_api;
mod record;
#[cfg(test)]
mod tests;

pub use config::{InvalidConfig, LeaderConfig};
pub use fence::Fence;
pub use lease_api::LeaseError;

use clock::Moment;
use lease_api::{KubeLease, LeaseApi, Turn};
use record::{Action, Elector};

/// How much longer than the lease a leader may be without renewal before it counts as unhealthy. By then it
/// should have exited long ago.
const UNHEALTHY_AFTER_LEASE: Duration = Duration::from_secs(20);

/// How long a release waits for its event to be recorded, after the Lease itself was given back.
const FAREWELL: Duration = Duration::from_secs(1);

/// A candidate in the election for one Lease.
pub struct Leadership {
    calls: Calls,
    /// Locked for the whole of a term, so that one `Leadership` has one [`Held`] at a time.
    elector: Arc<Mutex<Elector>>,
    renewed: watch::Sender<Option<Moment>>,
}

impl Leadership {
    /// A candidate that talks to the API server through `client`. Give it a client of its own: the calls that
    /// decide who leads should not queue behind any others.
    ///
    /// # Errors
    /// Every mistake in `config`, by the name of its flag.
    pub fn new(client: Client, config: LeaderConfig) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let api = Arc::new(KubeLease::new(client, &config));
        Ok(Leadership::over(api, config))
    }

    fn over(api: Arc<dyn LeaseApi>, config: LeaderConfig) -> Self {
        Leadership {
            elector: Arc::new(Mutex::new(Elector::new(&config))),
            calls: Calls { api, config: Arc::new(config) },
            renewed: watch::Sender::new(None),
        }
    }

    /// Waits, however long it takes, until this process holds the Lease.
    ///
    /// A Lease that somebody else holds is expired when it was not seen to change for the duration written in
    /// it, by the local clock and since this candidate itself first saw it. Failing calls are retried for ever;
    /// what stands in the way is logged once, and again when it changes.
    ///
    /// While an earlier [`Held`] of the same `Leadership` lives, this waits for its end.
    ///
    /// # Caveats
    /// Dropping the future may leave a Lease behind that was just won; it then expires by itself.
    pub async fn acquire(&self) -> Held {
        let mut elector = Arc::clone(&self.elector).lock_owned().await;
        let config = &self.calls.config;
        let mut told = None;
        loop {
            let start = Instant::now();
            let contest = self.calls.contend(&mut elector, start + config.renew_deadline).await;
            let pause = config.retry_period.mul_f64(1.0 + 1.2 * fastrand::f64());
            let (obstacle, next) = match contest {
                Ok(Contest::Won(won)) => return self.begin_term(won, elector),
                Ok(Contest::HeldBy { holder, until }) => {
                    (format!("held by {holder}"), until.min(Instant::now() + pause))
                }
                Err(error) => (error.to_string(), Instant::now() + pause),
            };
            if told.as_ref() != Some(&obstacle) {
                info!(lease = %config.lease(), "waiting for leadership: {obstacle}");
                told = Some(obstacle);
            }
            sleep_until(next).await;
        }
    }

    /// False when a leader was unable to renew for 20 s longer than the lease and is still around: it should
    /// have given up and exited. A candidate is always healthy.
    pub fn healthy(&self) -> bool {
        let longest = self.calls.config.lease_duration + UNHEALTHY_AFTER_LEASE;
        self.renewed.borrow().is_none_or(|renewed| Moment::now().since(renewed) <= longest)
    }

    fn begin_term(&self, won: Won, elector: OwnedMutexGuard<Elector>) -> Held {
        info!(lease = %self.calls.config.lease(), "became leader");
        self.renewed.send_replace(Some(won.started));
        let term = Term { lost: CancellationToken::new(), renewed: self.renewed.clone() };
        let stop = CancellationToken::new();
        let renewer = Renewer {
            calls: self.calls.clone(),
            elector,
            lease: won.lease,
            started: won.started,
            renewed: self.renewed.clone(),
        };
        renewer.calls.announce_aside(&renewer.lease, Turn::Began);
        let task = tokio::spawn(renewer.run(stop.clone(), term.lost.clone()));
        Held {
            fence: Fence::new(self.renewed.subscribe(), term.lost.clone(), self.calls.config.renew_deadline),
            stop,
            task: AbortOnDropHandle::new(task),
            term,
        }
    }
}

/// Leadership, for as long as it lasts.
///
/// Dropping it ends the term at once for this process ([`lost`](Held::lost) is cancelled), but not in the
/// cluster: the others wait for the lease to expire, as after a crash.
#[must_use = "leadership ends when this is dropped"]
pub struct Held {
    fence: Fence,
    stop: CancellationToken,
    task: AbortOnDropHandle<Renewer>,
    term: Term,
}

impl Held {
    /// Cancelled when leadership ends, for whatever reason. Hand it (or children of it) to everything that acts.
    pub fn lost(&self) -> &CancellationToken {
        &self.term.lost
    }

    /// The check to make right before an act; see [`Fence`].
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Whether it is still safe to start something; see [`Fence::is_leader`].
    pub fn is_leader(&self) -> bool {
        self.fence.is_leader()
    }

    /// Ends the term, after all work that needs it has ended: nothing may act any more when the next leader
    /// does. The Lease is given back if `release_on_exit` is set and it is still ours by the clock; otherwise
    /// it is left to expire.
    ///
    /// # Errors
    /// The Lease could not be given back in time. It expires by itself.
    pub async fn release(self) -> Result<(), LeaseError> {
        let Held { fence, stop, task, term } = self;
        let was_leader = fence.is_leader();
        stop.cancel();
        let renewer = task.await.map_err(|_| LeaseError::Aborted)?;
        // Before the Lease is given back, so that nobody here believes to lead when another may.
        drop(term);
        if was_leader { renewer.resign().await } else { Ok(()) }
    }
}

/// The local end of a term, tied to the life of [`Held`].
struct Term {
    lost: CancellationToken,
    renewed: watch::Sender<Option<Moment>>,
}

impl Drop for Term {
    fn drop(&mut self) {
        self.lost.cancel();
        self.renewed.send_replace(None);
    }
}

/// Keeps one term alive.
struct Renewer {
    calls: Calls,
    elector: OwnedMutexGuard<Elector>,
    /// As the server answered our last successful write.
    lease: Box<Lease>,
    /// When that write began.
    started: Moment,
    renewed: watch::Sender<Option<Moment>>,
}

impl Renewer {
    /// Renews until told to stop or until leadership is lost, and hands itself back for the release.
    async fn run(mut self, stop: CancellationToken, lost: CancellationToken) -> Self {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            reason = self.renew_while_possible() => {
                lost.cancel();
                error!(lease = %self.calls.config.lease(), "lost leadership: {reason}");
                self.calls.announce_aside(&self.lease, Turn::Ended);
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
                Ok(Contest::Won(won)) => {
                    attempted = won.started.instant;
                    self.accept(won);
                    failure = None;
                }
                Ok(Contest::HeldBy { holder, .. }) => return format!("{holder} holds the Lease"),
                Err(error) => {
                    warn!(lease = %self.calls.config.lease(), "cannot renew the Lease: {error}");
                    failure = Some(format!("cannot renew the Lease: {error}"));
                }
            }
        }
    }

    async fn renew(&mut self, deadline: Instant) -> Result<Contest, LeaseError> {
        let started = Moment::now();
        let renewal = self.elector.renewal(&self.lease, started.wall);
        match self.calls.call(deadline, self.calls.api.replace(&renewal)).await {
            Ok(lease) => Ok(Contest::Won(Won { lease: Box::new(lease), started })),
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

    async fn resign(self) -> Result<(), LeaseError> {
        if self.calls.config.release_on_exit {
            self.give_back().await?;
            info!(lease = %self.calls.config.lease(), "released leadership");
        }
        let farewell = self.calls.announce(&self.lease, Turn::Ended);
        if timeout(FAREWELL, farewell).await.is_err() {
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

/// How an attempt to hold the Lease ended.
enum Contest {
    Won(Won),
    HeldBy { holder: String, until: Instant },
}

/// A write that made or kept us the holder.
struct Won {
    lease: Box<Lease>,
    /// When the write began.
    started: Moment,
}

/// Makes the calls, each within its time.
#[derive(Clone)]
struct Calls {
    api: Arc<dyn LeaseApi>,
    config: Arc<LeaderConfig>,
}

impl Calls {
    /// Reads the Lease and writes it if the rules allow.
    async fn contend(&self, elector: &mut Elector, deadline: Instant) -> Result<Contest, LeaseError> {
        let lease = self.call(deadline, self.api.get()).await?;
        let started = Moment::now();
        let lease = match elector.step(lease.as_ref(), started) {
            Action::Wait { holder, until } => return Ok(Contest::HeldBy { holder, until }),
            Action::Create(lease) => self.call(deadline, self.api.create(&lease)).await?,
            Action::Update(lease) => self.call(deadline, self.api.replace(&lease)).await?,
        };
        Ok(Contest::Won(Won { lease: Box::new(lease), started }))
    }

    /// Makes one call, unless `deadline` has passed; gives up on it at `deadline` or after the request timeout.
    async fn call<T>(
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
    fn announce_aside(&self, lease: &Lease, turn: Turn) {
        let (calls, lease) = (self.clone(), lease.clone());
        tokio::spawn(async move {
            if timeout(calls.config.request_timeout(), calls.announce(&lease, turn)).await.is_err() {
                debug!(lease = %calls.config.lease(), "no time to record the event");
            }
        });
    }

    async fn announce(&self, lease: &Lease, turn: Turn) {
        if let Err(error) = self.api.announce(lease, turn).await {
            debug!(lease = %self.config.lease(), "cannot record an event: {error}");
        }
    }
}
