//! The trait a provider implements.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::address::Published;
use crate::backends::{BackendInterest, Backends};
use crate::endpoint::EndpointSet;
use crate::error::{Error, Mistakes};
use crate::node::NodeSet;
use crate::plan::Plan;
use crate::service::{ServiceId, ServiceKey, ServiceView};

/// Services worth another look, as the provider finds out.
pub type WakeupStream = BoxStream<'static, ServiceKey>;

/// What a provider is asked for: one Service, and what may take its traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    service: Arc<ServiceView>,
    backends: Backends,
}

impl Request {
    /// A request for a Service without mistakes. There may be no node and no endpoint, which is no error: the load
    /// balancer is made and has no targets yet. From nodes alone, endpoints are unknown.
    ///
    /// # Errors
    /// The view's mistakes, if it has any: a provider never makes or changes a load balancer for a Service that was
    /// only half understood, unless it [says](Request::to) that it can.
    pub fn new(service: Arc<ServiceView>, backends: impl Into<Backends>) -> Result<Self, Mistakes> {
        match Mistakes::new(service.mistakes.clone()) {
            Some(mistakes) => Err(mistakes),
            None => Ok(Request::with_mistakes(service, backends)),
        }
    }

    /// A request for [`ensure`](CloudLoadBalancer::ensure) or [`plan`](CloudLoadBalancer::plan) of this provider.
    ///
    /// # Errors
    /// The view's mistakes, if it has any and the provider does not
    /// [serve beside them](CloudLoadBalancer::serves_beside_mistakes).
    pub fn to(
        provider: &dyn CloudLoadBalancer,
        service: Arc<ServiceView>,
        backends: impl Into<Backends>,
    ) -> Result<Self, Mistakes> {
        match provider.serves_beside_mistakes() {
            true => Ok(Request::with_mistakes(service, backends)),
            false => Request::new(service, backends),
        }
    }

    /// A request whose Service may have [mistakes](ServiceView::mistakes): for
    /// [`update_backends`](CloudLoadBalancer::update_backends), since what serves follows its nodes all the same, and for
    /// providers that [serve beside mistakes](CloudLoadBalancer::serves_beside_mistakes).
    pub fn with_mistakes(service: Arc<ServiceView>, backends: impl Into<Backends>) -> Self {
        Request { service, backends: backends.into() }
    }

    /// The Service.
    pub fn service(&self) -> &ServiceView {
        &self.service
    }

    /// What may take its traffic.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// The eligible nodes.
    pub fn nodes(&self) -> &NodeSet {
        self.backends.nodes()
    }

    /// The Service's endpoints; none while they are unknown, and then none is added and none removed.
    pub fn endpoints(&self) -> Option<&EndpointSet> {
        self.backends.endpoints()
    }
}

/// Whether a note is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// For information.
    Normal,
    /// Something the user should look at.
    Warning,
}

/// Something a provider wants the user to read on the Service, besides the outcome itself: an annotation that
/// is deprecated, an address that came from another pool. Shown as an Event when it is new, not at every pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Note {
    /// Good or bad.
    pub kind: NoteKind,
    /// A short `CamelCase` word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

impl Note {
    /// A note.
    pub fn new(kind: NoteKind, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Note { kind, reason: reason.into(), message: message.into() }
    }
}

/// It is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// What to write on the Service. Empty addresses mean that none is published any more.
    pub published: Published,
    /// What else the user should read.
    pub notes: Vec<Note>,
}

impl Ready {
    /// Done, with nothing else to read.
    pub fn new(published: Published) -> Self {
        Ready { published, notes: Vec::new() }
    }

    /// Besides, the user should read these.
    pub fn with_notes(mut self, notes: Vec<Note>) -> Self {
        self.notes = notes;
        self
    }
}

/// It is not done yet, and that is not a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// One `CamelCase` word for the condition: `Provisioning`, `PoolExhausted`.
    pub reason: String,
    /// One sentence for the user.
    pub why: String,
    /// When another look is worth it; none when only a [wake-up](CloudLoadBalancer::wakeups) can help.
    pub after: Option<Duration>,
    /// What to publish meanwhile; none leaves what is published as it is.
    pub publish: Option<Published>,
    /// What else the user should read.
    pub notes: Vec<Note>,
}

impl Pending {
    /// Not done yet, for this reason; what is published stays, and only a wake-up can help. Say more with the methods.
    pub fn new(reason: impl Into<String>, why: impl Into<String>) -> Self {
        Pending { reason: reason.into(), why: why.into(), after: None, publish: None, notes: Vec::new() }
    }

    /// Another look is worth it after this long.
    pub fn look_again_after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }

    /// Publishes this meanwhile.
    pub fn publishing(mut self, published: Published) -> Self {
        self.publish = Some(published);
        self
    }

    /// Besides, the user should read these.
    pub fn with_notes(mut self, notes: Vec<Note>) -> Self {
        self.notes = notes;
        self
    }
}

/// What came of an [`ensure`](CloudLoadBalancer::ensure). A third way to end would need an answer from everybody who
/// calls a provider, so this stays exhaustive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: publish this.
    Ready(Ready),
    /// Come back later.
    Pending(Pending),
}

impl Outcome {
    /// A plain success.
    pub fn ready(published: Published) -> Self {
        Outcome::Ready(Ready::new(published))
    }
}

/// Something a provider owns in this cluster's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owned {
    /// The Service it was made for.
    pub service: ServiceId,
    /// What it is, in the platform's own words: an ARN, an address.
    pub resource: String,
    /// When it was made, in seconds since the Unix epoch, where the platform tells.
    pub created: Option<i64>,
}

impl Owned {
    /// This resource of this Service, made at a time that is not known.
    pub fn new(service: ServiceId, resource: impl Into<String>) -> Self {
        Owned { service, resource: resource.into(), created: None }
    }

    /// Made at this time, in seconds since the Unix epoch, where the platform tells.
    pub fn created(mut self, created: Option<i64>) -> Self {
        self.created = created;
        self
    }
}

/// A maker of load balancers.
///
/// # Contract
///
/// What a provider owes:
///
/// * **Idempotence.** Every method may be called again at any time, after any failure, with the same or a newer
///   Service, and converges. "Again" includes another process: names are deterministic, ownership is recorded
///   in the create call itself, and things are looked up by owner and name, never by memory alone.
/// * **Cancellation.** A future may be dropped at any await (deadline, shutdown, crash). The next call repairs.
/// * **Absence is a value.** `get` of nothing is `None`; `delete` of nothing is success.
/// * **Nothing wider.** An `ensure` that fails leaves what serves serving, and opens nothing.
/// * **Only its own.** What does not carry this cluster's ownership is never changed or deleted.
/// * **Bounded.** A call ends; long waits are [`Outcome::Pending`]. It never blocks the thread it is polled on: all
///   Services share the runtime.
/// * **Honest.** What a provider says of itself ([`holds_resources`](CloudLoadBalancer::holds_resources),
///   [`backends`](CloudLoadBalancer::backends), [`reads_annotation`](CloudLoadBalancer::reads_annotation)) is what the
///   controller goes by: what it says it does not read or hold, it does not.
///
/// What a provider may rely on:
///
/// * [`resume`](CloudLoadBalancer::resume) ran to success before any other call of the process, but for those that say
///   otherwise.
/// * One Service (by key) is never in two calls at once, whatever the reason for them. Different Services are.
/// * [`delete`](CloudLoadBalancer::delete) is called for everything the provider may hold: before a finalizer
///   goes, when a Service stops being claimed, when its UID changes, and when it vanished.
/// * The controller alone retries. A provider reports, with the class that fits.
///
/// # Wrappers
/// A wrapper must forward every method, the provided ones too.
#[async_trait]
pub trait CloudLoadBalancer: Send + Sync + 'static {
    /// A short stable name (`aws`, `bare`), lower case, used in conditions, metrics, logs and flags.
    fn name(&self) -> &str;

    /// Whether this Service is ours to serve, by class or annotation. Pure. Only asked of Services that
    /// [want a load balancer](ServiceView::wants_load_balancer).
    fn claims(&self, service: &ServiceView) -> bool;

    /// Whether something outside the cluster must be deleted before a Service may go. If not, the controller
    /// adds no finalizer, and calls [`delete`](CloudLoadBalancer::delete) after the Service has gone.
    fn holds_resources(&self) -> bool;

    /// Whether a change of this annotation can change what `ensure` does. Changes of others cause no call.
    fn reads_annotation(&self, _key: &str) -> bool {
        true
    }

    /// Whether a change of this Service label can change what `ensure` does.
    fn reads_label(&self, _key: &str) -> bool {
        true
    }

    /// What of the backends matters for this Service: nodes, with which of their labels; endpoints; both; neither.
    /// Pure, and asked often. Where an annotation of the Service selects nodes by label, its labels are named here, or
    /// a node that gains or loses one is not followed. The view may have [mistakes](ServiceView::mistakes).
    ///
    /// By default nodes matter, and none of their labels: the zone is part of every view already.
    fn backends(&self, _service: &ServiceView) -> BackendInterest {
        BackendInterest::nodes()
    }

    /// Whether [`ensure`](Self::ensure) and [`plan`](Self::plan) may be called for a Service whose view has
    /// [mistakes](ServiceView::mistakes). What could not be parsed is missing from such a view: a port that is not there
    /// is no port that was taken away, and networks that are not there shut nobody out. Who says so makes nothing new for
    /// such a Service, carries out what depends on none of its mistakes, leaves the rest as it is found, and ends in
    /// [`Error::InvalidInPart`], or in [`Error::Invalid`] where nothing is carried out; what is told are the view's mistakes,
    /// with those that the provider finds itself. The answer is always the same.
    ///
    /// By default not: then neither is called for such a Service, and only its backends are followed.
    fn serves_beside_mistakes(&self) -> bool {
        false
    }

    /// The annotation keys it may [publish](Published::annotations). The controller removes them from a Service
    /// that is no longer served, also after a restart, and takes no change of them for a user's.
    fn published_annotations(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The process stands by: its caches are full, and another may lead. Begin here to read what
    /// [`resume`](Self::resume) would have to wait for, and keep it up to date, so that whoever takes over need not wait.
    /// Called once at most, before `resume`; where it is not called, `resume` reads for itself. Must not block, nor write or
    /// tell anything to anybody: another process may be at work, and this one may never be.
    ///
    /// By default nothing is read ahead.
    fn stand_by(&self) {}

    /// Called once, after the caches are full and leadership is held, before any other call: rebuild memory
    /// from what the cluster records, warm what all Services share. `services` are all the cluster's Services of
    /// type `LoadBalancer`, claimed or not, so that an address somebody else published is known to be taken.
    ///
    /// # Errors
    /// The controller retries until it succeeds; nothing is served before.
    async fn resume(&self, services: &[Arc<ServiceView>]) -> Result<(), Error>;

    /// A Service of type `LoadBalancer` that this provider does not [claim](Self::claims) is there, or has changed: for one
    /// that must keep off the addresses which others publish. Called from the event on, again after
    /// [`resume`](Self::resume), and as often as anything changes, the last time when it is no load balancer any more and
    /// shows nothing; when such a Service goes,
    /// [`delete`](CloudLoadBalancer::delete) is called of a provider that holds no resources. Must not block.
    fn observe_foreign(&self, _service: &ServiceView) {}

    /// What exists now for this Service, or none. Reads only; used to verify and to report. What exists and has no
    /// address yet is `Some` with nothing published.
    ///
    /// # Errors
    /// When it cannot be told. Absence is not an error.
    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error>;

    /// Makes it so. Safe to run again after any failure, at any point.
    ///
    /// # Errors
    /// By class; on an error nothing is published and what is published stays. A mistake that it finds is
    /// [`Error::Invalid`] where nothing is carried out, and [`Error::InvalidInPart`] where all is that does not depend on it.
    async fn ensure(&self, request: &Request) -> Result<Outcome, Error>;

    /// Only the backends changed. Must not create; if there is nothing to update, that is success. Afterwards
    /// [`plan`](CloudLoadBalancer::plan) of the same request is empty.
    ///
    /// This call may be made for a Service with [mistakes](ServiceView::mistakes), whatever the provider, so that what
    /// serves follows its nodes until they are mended. Such a view is good for which nodes are chosen at most: ports and
    /// all else stay as they are found outside.
    ///
    /// # Errors
    /// By class; retried as this same narrow call.
    async fn update_backends(&self, request: &Request) -> Result<(), Error>;

    /// Afterwards nothing of ours is left for this Service, half-made things included. Absent is success. Finds
    /// by owner, never by the Service's present spec, which may have changed or be gone.
    ///
    /// A deletion that takes time waits for a bounded while inside the call, then fails as transient.
    ///
    /// # Errors
    /// By class; retried, and the finalizer stays.
    async fn delete(&self, service: &ServiceId) -> Result<(), Error>;

    /// Services that are worth another look now: an address was freed, a pool changed, a load balancer became
    /// active. Names only those that can profit, never all. Called once, before [`resume`](Self::resume).
    fn wakeups(&self) -> WakeupStream {
        Box::pin(futures::stream::pending())
    }

    /// What [`ensure`](CloudLoadBalancer::ensure) would change. Changes nothing.
    ///
    /// # Errors
    /// As `ensure`. Where it would end in [`Error::InvalidInPart`] and has something to do before, the steps are told
    /// [beside](Plan::beside) the mistakes.
    async fn plan(&self, request: &Request) -> Result<Plan, Error>;

    /// Everything we own in this cluster's name, one entry a resource, with the Service each belongs to; for the
    /// orphan sweep. Namespace and name must be recorded with the resource as well as the UID.
    ///
    /// # Errors
    /// When the list may be incomplete: an incomplete list is never returned as a success.
    async fn list(&self) -> Result<Vec<Owned>, Error>;
}
