//! One reconcile of one Service: named steps, top to bottom.

pub(crate) mod call;
mod cleanup;
mod departed;
mod serve;
mod status_writer;

use std::sync::Arc;

use cloud_provider::{Mistakes, Request, ServiceId, ServiceView};
use kube::runtime::controller::Action;
use tokio::time::Instant;
use tracing::{Instrument, Span, error_span, field};

use crate::context::{Context, Memory};
use crate::decide::{Last, ProviderIndex, Seen, Step, decide};
use crate::metrics::ReconcileResult;
use crate::nodes::Nodes;
use crate::queue::Command;
use crate::retry::Backoff;
use crate::service::{Tracked, service_fingerprint};

/// One reconcile: looks, decides, acts, and says when to look again. Never two at once for one key.
pub async fn reconcile(tracked: Arc<Tracked>, context: Arc<Context>) -> Action {
    // At the level of errors, so that whatever is logged says of which Service; without a parent, since the span around
    // it, kube's, says the same in other words.
    let span = error_span!(
        parent: None,
        "reconcile",
        service = %tracked.view.id.key,
        // Of a Service the API server counts no generations; its version tells the same.
        generation = tracked.meta.generation,
        version = tracked.meta.resource_version.as_deref().map(field::display),
        provider = field::Empty,
        result = field::Empty,
    );
    reconcile_in_span(tracked, context).instrument(span).await
}

async fn reconcile_in_span(tracked: Arc<Tracked>, context: Arc<Context>) -> Action {
    let (key, began) = (tracked.view.id.key.clone(), Instant::now());
    let provider = context.whose(&tracked).map(str::to_owned).unwrap_or_default();
    Span::current().record("provider", field::display(&provider));
    context.metrics.reconcile_begins(&key);
    let release = departed::release(&key, &context).await;
    let (rest, result) = if tracked.gone {
        if release.is_none() {
            context.command(Command::Forget(key.clone()));
        }
        (None, if release.is_none() { ReconcileResult::CleanedUp } else { ReconcileResult::Failed })
    } else {
        Reconciliation::begin(tracked, context.clone()).run(&provider).await
    };
    context.count(&key);
    Span::current().record("result", field::display(result.as_str()));
    tracing::debug!(took = ?began.elapsed(), "reconciled");
    context.metrics.reconcile_ends(&key, &provider, result, began.elapsed());
    match release.into_iter().chain(rest).min() {
        Some(again) => Action::requeue(again.saturating_duration_since(Instant::now())),
        None => Action::await_change(),
    }
}

/// Why a reconcile ends before there is nothing left to do.
enum Stop {
    /// A write failed: another reconcile is due.
    WriteFailed,
    /// The Service is gone: the watch will say so.
    Vanished,
}

/// More steps than any Service needs in one reconcile; past it the reconcile ends, so that a server which ignores our
/// writes cannot keep it going.
const MAX_STEPS: usize = 6;

struct Reconciliation {
    context: Arc<Context>,
    tracked: Arc<Tracked>,
    memory: Memory,
    /// The settled nodes as of the last look: what is decided by them is also asked for with them.
    nodes: Nodes,
    /// What came of it so far.
    result: ReconcileResult,
}

impl Reconciliation {
    fn begin(tracked: Arc<Tracked>, context: Arc<Context>) -> Self {
        let id = &tracked.view.id;
        let mut memory = match context.take_memory(&id.key) {
            Some(memory) if memory.id == *id => memory,
            // A namesake took its place while we were not looking; what it held is released in its own name.
            Some(other) => {
                context.departed_holder(other.id, other.last.provider);
                Memory::new(id.clone(), &context)
            }
            None => Memory::new(id.clone(), &context),
        };
        memory.last.woken |= context.take_woken(&id.key);
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
            nodes: Nodes::default(),
            result: ReconcileResult::Unchanged,
        }
    }

    /// Takes steps until there is nothing to do now: when to look again, and what came of it.
    async fn run(mut self, provider: &str) -> (Option<Instant>, ReconcileResult) {
        let rest = match self.steps().await {
            Ok(rest) => rest,
            Err(Stop::Vanished) => None,
            Err(Stop::WriteFailed) => {
                self.result = ReconcileResult::WriteFailed;
                self.context.metrics.retried(provider, "WriteFailed");
                Some(Instant::now() + self.memory.backoff.failed())
            }
        };
        let Reconciliation { context, tracked, memory, result, .. } = self;
        if !memory.is_blank() {
            context.put_memory(memory);
        } else if !tracked.is_interesting() {
            context.command(Command::Forget(memory.id.key));
        }
        (rest, result)
    }

    async fn steps(&mut self) -> Result<Option<Instant>, Stop> {
        for _ in 0..MAX_STEPS {
            let seen = self.look();
            let provider = seen.claimed_by;
            match (decide(&seen, &self.memory.last, Instant::now()), provider) {
                (Step::CleanUp(holders), _) => {
                    if !self.clean_up(holders, provider).await? {
                        return Ok(self.memory.last.cleanup_again);
                    }
                }
                (Step::Rest(until), Some(provider)) => {
                    self.restore(provider).await?;
                    return Ok(until);
                }
                (Step::Ensure(why), Some(provider)) => self.ensure(provider, &seen, why).await?,
                (Step::UpdateBackends, Some(provider)) => self.update_backends(provider, &seen).await?,
                (Step::Refuse, Some(provider)) => self.refuse(provider, &seen).await?,
                (Step::Rest(until), None) => return Ok(until),
                // Only a claimed Service is served.
                (Step::Ensure(_) | Step::UpdateBackends | Step::Refuse, None) => return Ok(None),
            }
        }
        tracing::warn!("a reconcile took too many steps; going on later");
        Err(Stop::WriteFailed)
    }

    /// What is seen of the Service now.
    fn look(&mut self) -> Seen {
        self.nodes = self.context.nodes.borrow().clone().unwrap_or_default();
        let Tracked { view, is_load_balancer, deleting, has_finalizer, records, .. } = &*self.tracked;
        let claimer = self.context.claimer(view);
        let claimed_by = claimer.filter(|_| *is_load_balancer && !deleting);
        let mut holders: Vec<ProviderIndex> = self.memory.last.provider.into_iter().collect();
        holders.extend(records.iter().filter_map(|r| self.context.provider_named(&r.provider)));
        if holders.is_empty() && *has_finalizer && claimed_by.is_none() {
            // Left by a controller before us that recorded nothing: ours to clean up only if it would be ours.
            holders.extend(claimer.filter(|p| self.context.providers[*p].provider.holds_resources()));
        }
        holders.sort_unstable();
        holders.dedup();
        let (mut inputs, mut nodes, mut throttled_until) = (0, 0, None);
        if let Some(provider) = claimed_by {
            let handle = &self.context.providers[provider];
            inputs = service_fingerprint(view, handle.provider.as_ref());
            // What serves was made by the view that was last right, and follows the nodes that matter to that.
            let serves = self.memory.last_valid_view.as_ref().unwrap_or(view);
            nodes = self.nodes.fingerprint(&handle.provider.backends(serves));
            throttled_until = handle.throttle.until(Instant::now());
        }
        Seen { claimed_by, holders, mistaken: !view.mistakes.is_empty(), inputs, nodes, throttled_until }
    }

    fn request(&self, view: Arc<ServiceView>) -> Result<Request, Mistakes> {
        Request::new(view, self.nodes.set.clone())
    }
}

impl Memory {
    pub(crate) fn new(id: ServiceId, context: &Context) -> Self {
        Memory {
            id,
            last: Last::default(),
            last_valid_view: None,
            published: None,
            record: None,
            written: None,
            backoff: Backoff::new(context.config.retry),
            emitted_notes: Vec::new(),
            emitted_no_nodes: false,
        }
    }

    /// Whether nothing was done for this Service, or all of it was undone.
    fn is_blank(&self) -> bool {
        self.last == Last::default()
    }
}
