//! Leadership: of several replicas, at most one acts.
//!
//! The replicas contend for one Lease object with the semantics of client-go's leader election, so they mix
//! with Kubernetes' own components in one election. [`Leadership::acquire`] waits until this process holds the
//! Lease and returns [`Held`], which renews it in the background until [released](Held::release), dropped, or
//! lost.
//!
//! ```no_run
//! # async fn work(fence: service_controller::leader::Fence) {}
//! # async fn run(client: kube::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use service_controller::leader::{LeaderConfig, Leadership};
//!
//! let config = LeaderConfig::new("kube-system", "cloud-controller-manager");
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
//!   march in step, at the moment the record expires, and at the moment a server that was away is back. No Lease: create it. Ours, released or expired:
//!   replace it. Otherwise wait. A record that names us and that this process did not write is somebody else's:
//!   two processes of one identity are two candidates.
//! * **Renew.** Every `retry_period`, replace the Lease from memory, without reading it. On any error read it
//!   first and replace what was read; if that fails too, try again in the next period.
//! * **Lose.** When no renewal has succeeded for `renew_deadline`, or somebody else is seen to hold the Lease.
//!   Losing is final for a [`Held`]; the process should stop acting and start over, with [`Leadership::again`].
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

use apiserver_client::Transport;
use http::{Request, Response};
use kube::Client;
use kube::client::{Body, DynBody};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::layer::util::Identity;
use tower::{BoxError, Layer, Service};
use tracing::{info, warn};

use crate::user_agent::{LEADER_ELECTION, UserAgent};

mod calls;
mod clock;
mod config;
mod fence;
mod gate;
mod lease_api;
mod record;
mod renewer;
mod sight;
#[cfg(test)]
mod tests;

pub use config::{InvalidConfig, LeaderConfig, unique_identity};
pub use fence::Fence;
pub use lease_api::LeaseError;

use calls::{LeaseCalls, LeaseOutcome, Won};
use clock::Moment;
pub(crate) use gate::LeaderGate;
use lease_api::{KubeLease, LeaseApi, TermChange};
use record::Elector;
use renewer::Renewer;
pub(crate) use sight::Sight;

/// How much longer than the lease a leader may be without renewal before it counts as unhealthy. By then it
/// should have exited long ago.
const UNHEALTHY_AFTER_LEASE: Duration = Duration::from_secs(20);

/// A candidate in the election for one Lease.
pub struct Leadership {
    calls: LeaseCalls,
    /// Locked for the whole of a term, so that one `Leadership` has one [`Held`] at a time.
    elector: Arc<Mutex<Elector>>,
    renewed: watch::Sender<Option<Moment>>,
    gate: LeaderGate,
    sight: Sight,
}

impl Leadership {
    /// A candidate that talks to the API server through `client`. Give it a client of its own: the calls that
    /// decide who leads should not queue behind any others.
    ///
    /// # Errors
    /// Every mistake in `config`, by the name of its field.
    pub fn new(client: Client, config: LeaderConfig) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let client = config.user_agent.client(&client, LEADER_ELECTION);
        let api = Arc::new(KubeLease::new(client, &config));
        Ok(Leadership::over(api, config))
    }

    fn over(api: Arc<dyn LeaseApi>, config: LeaderConfig) -> Self {
        Leadership {
            elector: Arc::new(Mutex::new(Elector::new(&config))),
            calls: LeaseCalls { api, config: Arc::new(config) },
            renewed: watch::Sender::new(None),
            gate: LeaderGate::default(),
            sight: Sight::default(),
        }
    }

    /// A client for everything that only a leader may do: until this process leads it reads and writes nothing, and
    /// after leadership has ended it sends nothing at all, repetitions by kube's own retries included.
    ///
    /// # Caveats
    /// A request that the API server has received already is not called back, and one that waits for credentials (an
    /// `exec` plugin at work) was let out before it waits.
    ///
    /// # Errors
    /// As those of [`Client::try_from`].
    pub fn fenced_client(&self, config: kube::Config) -> Result<Client, kube::Error> {
        self.fenced_client_over(config, Identity::new())
    }

    /// The same, with a layer between the fence and the network: for one who counts or traces what leaves.
    ///
    /// # Errors
    /// As [`Leadership::fenced_client`].
    pub fn fenced_client_over<L>(&self, config: kube::Config, layer: L) -> Result<Client, kube::Error>
    where
        L: Layer<Transport>,
        L::Service:
            Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError> + Send + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        self.gate.client(config, layer)
    }

    /// The same candidate for another term, after it has lost one.
    ///
    /// A Lease that it wrote and nobody took since it has again as soon as the API server answers; another candidate, or
    /// a process that starts, waits a whole lease first, because it cannot know what it did not see.
    ///
    /// Clients that were [fenced](Leadership::fenced_client) for an earlier term send nothing any more: give those who work
    /// in the next one a client of this.
    #[must_use]
    pub fn again(&self) -> Self {
        Leadership {
            calls: self.calls.clone(),
            elector: Arc::clone(&self.elector),
            renewed: self.renewed.clone(),
            gate: LeaderGate::default(),
            sight: Sight::default(),
        }
    }

    pub(crate) fn user_agent(&self) -> UserAgent {
        self.calls.config.user_agent.clone()
    }

    pub(crate) fn sight(&self) -> Sight {
        self.sight.clone()
    }

    pub(crate) fn gate(&self) -> LeaderGate {
        self.gate.clone()
    }

    /// How long after its loss calls in flight may take to end: nobody else can lead before.
    pub(crate) fn grace(&self) -> Duration {
        self.calls.config.lease_duration.saturating_sub(self.calls.config.renew_deadline)
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
        let mut told = String::new();
        loop {
            let deadline = Instant::now() + config.renew_deadline;
            let contest = self.calls.contend(&mut elector, deadline).await;
            let mut next = Instant::now() + config.retry_period.mul_f64(1.0 + 1.2 * fastrand::f64());
            match &contest {
                Ok(_) => self.sight.succeeded(),
                Err(error) => self.sight.failed(error.to_string()),
            }
            let failed = contest.is_err();
            let obstacle = match contest {
                Ok(LeaseOutcome::Won(won)) => return self.begin_term(won, elector),
                Ok(LeaseOutcome::HeldBy { holder, until }) => {
                    next = next.min(until);
                    format!("{holder} leads")
                }
                Err(error) => format!("cannot take the Lease: {error}"),
            };
            if obstacle != told {
                if failed {
                    warn!(lease = %config.lease(), "waiting for leadership: {obstacle}");
                } else {
                    info!(lease = %config.lease(), "waiting for leadership: {obstacle}");
                }
                told = obstacle;
            }
            match failed {
                // Perhaps nobody leads, and work waits for nothing but the server.
                true => self.calls.api.wait_for_comeback(next).await,
                false => sleep_until(next).await,
            }
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
        renewer.calls.announce_aside(&renewer.lease, TermChange::Began);
        let task = tokio::spawn(renewer.run(stop.clone(), term.lost.clone()));
        let fence = Fence::new(self.renewed.subscribe(), term.lost.clone(), self.calls.config.renew_deadline);
        self.gate.begin_term(fence.clone());
        Held { fence, stop, task: AbortOnDropHandle::new(task), term }
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
