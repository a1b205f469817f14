//! One reconcile of one Service: named steps, top to bottom.

mod release;
mod serve;
mod status_writer;
mod take_over;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{Error, Mistakes, Published, Request, ServiceId, ServiceView};
use futures::FutureExt;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span, error_span, field};

use crate::context::Context;
use crate::decide::{NextStep, Observation, Presence, ProviderIndex, decide};
use crate::memory::ServiceMemory;
use crate::metrics::{ProviderOperation, ReconcileOutcome};
use crate::nodes::Nodes;
use crate::providers::ProviderHandle;
use crate::queue::Item;
use crate::service::{Tracked, service_fingerprint};

/// One reconcile: looks, decides, acts, and says when to look again. Never two at once for one key.
pub(crate) async fn reconcile(item: Item, context: Arc<Context>) {
    let key = item.key.clone();
    // Who is gone is asked before who is there: a Service leaves the one before it joins the other, so that none is
    // released here and then served.
    let gone = context.releases.gone(&key);
    let tracked = context.services.get(&key);
    // At the level of errors, so that whatever is logged says of which Service.
    let span = error_span!(
        "reconcile",
        service = %key,
        // The API server counts no generations of Services; the version tells the same.
        version = tracked.as_ref().and_then(|it| it.resource_version.as_deref()).map(field::display),
        provider = field::Empty,
        outcome = field::Empty,
    );
    let again = reconcile_in_span(item, gone, tracked, &context).instrument(span).await;
    context.queue.done(&key, again);
}

async fn reconcile_in_span(
    item: Item,
    gone: Vec<ServiceId>,
    tracked: Option<Arc<Tracked>>,
    context: &Arc<Context>,
) -> Option<Instant> {
    let (Item { key, woken }, began) = (item, Instant::now());
    if context.providers.are_awaited_by(tracked.as_deref(), !gone.is_empty()) {
        // It is reconciled when the provider has resumed, or could not.
        return None;
    }
    if tracked.is_none() && gone.is_empty() {
        context.metrics.left(&key);
        return None;
    }
    let owner = tracked.as_ref().and_then(|tracked| context.providers.owner_name(tracked));
    let provider = owner.unwrap_or_default().to_owned();
    Span::current().record("provider", field::display(&provider));
    context.metrics.reconcile_begins(&key);
    let (mut next, mut outcome) = (Vec::new(), ReconcileOutcome::Unchanged);
    // Whoever had the name before lets go first; what fails there holds up nobody.
    for id in gone {
        let (again, released) = release::reconcile_gone(context, &id).await;
        next.extend(again);
        outcome = released;
    }
    if let Some(tracked) = tracked {
        let (again, reconciled) = Reconciliation::begin(tracked, context.clone(), woken).run(&provider).await;
        next.extend(again);
        outcome = reconciled;
    }
    Span::current().record("outcome", field::display(outcome.as_str()));
    tracing::debug!(took = ?began.elapsed(), "reconciled");
    context.metrics.reconcile_ends(&key, &provider, outcome, began.elapsed());
    next.into_iter().min()
}

/// Why a reconcile ends before there is nothing left to do.
enum Stop {
    /// A write failed: another reconcile is due.
    WriteFailed,
    /// A write that comes before everything else may not be sent yet.
    Withheld,
    /// The Service is gone: the watch will say so.
    Vanished,
    /// It is deleted or no load balancer any more, which the watch has said: the reconcile that releases it is in line.
    Unwanted,
}

/// More steps than any Service needs in one reconcile; past it the reconcile ends, so that a server which ignores our
/// writes cannot keep it going.
const MAX_STEPS: usize = 6;

struct Reconciliation {
    context: Arc<Context>,
    tracked: Arc<Tracked>,
    memory: Box<ServiceMemory>,
    /// Whether there was a look at the Service as it is by now.
    is_looked_at: bool,
    /// The debounced nodes as of the last look: what is decided by them is also asked for with them.
    nodes: Nodes,
    /// What came of it so far.
    result: ReconcileOutcome,
    /// When a write that was left out may be sent.
    withheld_until: Option<Instant>,
}

impl Reconciliation {
    fn begin(tracked: Arc<Tracked>, context: Arc<Context>, woken: bool) -> Self {
        let id = &tracked.view.id;
        let new = || Box::new(ServiceMemory::new(id.clone()));
        let mut memory = context.memories.take(id).unwrap_or_else(new);
        memory.last.woken |= woken;
        // Our own last write is newer knowledge than a cache that has not seen it yet.
        let tracked = match memory.written.take() {
            Some(written) if written.version() > tracked.version() => {
                memory.written = Some(written.clone());
                written
            }
            _ => tracked,
        };
        Reconciliation {
            context,
            tracked,
            memory,
            is_looked_at: false,
            nodes: Nodes::default(),
            result: ReconcileOutcome::Unchanged,
            withheld_until: None,
        }
    }

    /// Takes steps until there is nothing to do now: when to look again, and what came of it.
    async fn run(mut self, provider: &str) -> (Option<Instant>, ReconcileOutcome) {
        let steps = self.steps().await;
        self.memory.is_settled = steps.is_ok() && self.is_looked_at;
        let rest = match steps {
            Ok(rest) => rest,
            Err(Stop::Withheld) => None,
            Err(Stop::Vanished | Stop::Unwanted) => {
                // There is no status any more that could say it first.
                self.tell();
                None
            }
            Err(Stop::WriteFailed) => {
                self.result = ReconcileOutcome::WriteFailed;
                self.context.metrics.retried(provider, "WriteFailed");
                Some(Instant::now() + self.wait_after_failure())
            }
        };
        let Reconciliation { context, tracked, memory, result, withheld_until, .. } = self;
        let rest = rest.into_iter().chain(withheld_until).min();
        let id = memory.id.clone();
        if !memory.is_blank() {
            context.memories.put(memory);
        } else {
            context.memories.forget(&id);
            context.events.has_passed(&id);
            if !tracked.is_interesting() {
                context.services.forget(&id);
                if !context.services.shows(&id) {
                    context.releases.cancel(&id);
                }
            }
        }
        (rest, result)
    }

    async fn steps(&mut self) -> Result<Option<Instant>, Stop> {
        for _ in 0..MAX_STEPS {
            let observed = self.look();
            let provider = observed.claimed_by;
            match (decide(&observed, &self.memory.last, Instant::now()), provider) {
                (NextStep::Release(holders), _) => {
                    if let Some(again) = self.release(holders, provider).await? {
                        return Ok(Some(again));
                    }
                }
                (NextStep::Rest(until), Some(provider)) => {
                    // What was left out on the way is written now, if it may be.
                    self.withheld_until = None;
                    self.memory.keep_one_copy(&self.tracked, observed.inputs);
                    self.restore(provider).await?;
                    return Ok(until);
                }
                (NextStep::Ensure(why), Some(provider)) => self.ensure(provider, &observed, why).await?,
                (NextStep::KeepRight, Some(provider)) => self.keep_right(provider, &observed).await?,
                (NextStep::UpdateBackends, Some(provider)) => {
                    self.update_backends(provider, &observed).await?;
                }
                (NextStep::Refuse, Some(provider)) => self.refuse(provider, &observed).await?,
                (NextStep::Rest(until), None) => return Ok(until),
                // Only a claimed Service is served, and what is shown need not be asked for.
                (
                    NextStep::Ensure(_) | NextStep::KeepRight | NextStep::UpdateBackends | NextStep::Refuse,
                    None,
                )
                | (NextStep::Confirm, _) => return Ok(None),
            }
        }
        tracing::warn!("a reconcile took too many steps; going on later");
        Err(Stop::WriteFailed)
    }

    /// What is observed of the Service now.
    fn look(&mut self) -> Observation {
        self.is_looked_at = true;
        self.nodes = self.context.nodes.borrow().clone().unwrap_or_default();
        let Tracked { view, is_load_balancer, deleting, .. } = &*self.tracked;
        let providers = &self.context.providers;
        let claimer = providers.claimer(view);
        let claimed_by = claimer.filter(|_| *is_load_balancer && !deleting);
        let release = self.context.releases.of(&self.memory.id);
        let release_at = release.as_ref().and_then(|release| release.at);
        let mut holders: Vec<ProviderIndex> = self.memory.last.provider.into_iter().collect();
        holders.extend(providers.recorded_on(&self.tracked));
        holders.extend(providers.resumed_with(&self.memory.id));
        holders.extend(release.into_iter().flat_map(|release| release.holders));
        if holders.is_empty() && self.tracked.has_finalizer && *is_load_balancer && claimed_by.is_none() {
            // Left by a controller before us that recorded nothing: ours to clean up only if it would be ours.
            holders.extend(claimer.filter(|p| providers[*p].provider.holds_resources()));
        }
        holders.sort_unstable();
        holders.dedup();
        let (mut inputs, mut nodes, mut throttled_until, mut mistaken) = (0, 0, None, false);
        if let Some(provider) = claimed_by {
            let handle = &providers[provider];
            inputs = service_fingerprint(view, handle.provider.as_ref());
            // What serves was made by the view that was last right, and follows the nodes that matter to that.
            let serves = self.memory.followed_view.as_ref().unwrap_or(view);
            nodes = self.nodes.fingerprint(&handle.provider.backends(serves));
            throttled_until = handle.throttle.until(Instant::now());
            mistaken = !view.mistakes.is_empty() && !handle.provider.serves_beside_mistakes();
        }
        Observation {
            presence: Presence::Shown,
            claimed_by,
            holders,
            release_at,
            mistaken,
            inputs,
            nodes,
            serves: !view.published.is_empty() || self.memory.published.as_ref().is_some_and(has_address),
            throttled_until,
        }
    }

    /// An attempt failed: how long until the next.
    fn wait_after_failure(&mut self) -> Duration {
        self.memory.backoff.failed(self.context.config.retry)
    }

    fn request(&self, provider: ProviderIndex, view: Arc<ServiceView>) -> Result<Request, Mistakes> {
        let provider = &self.context.providers[provider].provider;
        Request::to(provider.as_ref(), view, self.nodes.set.clone())
    }
}

/// Whether clients can reach what is published.
fn has_address(published: &Published) -> bool {
    !published.ingress.is_empty()
}

/// Deletes; "implemented elsewhere" means that nothing of this provider's is left, which is what was asked.
async fn delete(context: &Context, provider: ProviderIndex, id: &ServiceId) -> Result<(), Error> {
    let handle = &context.providers[provider];
    match call(context, handle, ProviderOperation::delete, handle.provider.delete(id)).await {
        Ok(()) | Err(Error::ImplementedElsewhere) => {
            handle.resumption.is_asked_about(id);
            Ok(())
        }
        failed => failed,
    }
}

/// What comes of serving a Service; none when it is deleted, or is no load balancer any more, before that: whatever is under
/// way for it is dropped then, so that its deletion does not wait for what may be hopeless. To be cut short at any point is
/// what every provider call has to bear.
async fn while_wanted<T>(context: &Context, id: &ServiceId, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = context.queue.until(|| !context.services.want(id)) => None,
    }
}

/// One provider call: with a deadline, heeding and tripping the provider's throttle gate. A panic inside it is its
/// failure, and nobody else's: other Services go on, and this one is retried as after any passing failure.
pub(crate) async fn call<T>(
    context: &Context,
    handle: &ProviderHandle,
    operation: ProviderOperation,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if !context.fence.holds() {
        return Err(Error::transient("this process does not lead any more"));
    }
    if operation != ProviderOperation::resume
        && let Some(obstacle) = handle.resumption.obstacle()
    {
        return Err(obstacle);
    }
    let deadline = context.config.provider_timeout;
    let began = Instant::now();
    // What a provider leaves behind when it panics is its own: its locks are poisoned or not, as it was written.
    let work = AssertUnwindSafe(work).catch_unwind();
    let result = match timeout(deadline, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            Err(Error::transient(format!("the provider panicked: {}", panic_message(panic.as_ref()))))
        }
        Err(_) => {
            Err(Error::transient(format!("the provider did not answer within {} s", deadline.as_secs())))
        }
    };
    let failed = result.as_ref().err().map(Error::class);
    context.metrics.called(handle.provider.name(), operation, failed, began.elapsed());
    match &result {
        Err(Error::Throttled { retry_after, .. }) => {
            handle.throttle.trip(Instant::now(), *retry_after);
        }
        Ok(_) => handle.throttle.reset(Instant::now()),
        Err(_) => {}
    }
    result
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
