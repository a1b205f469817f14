//! One turn for one Service: named steps, top to bottom.

use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{
    Error, ErrorClass, Mistakes, Note, NoteKind, Outcome, Pending, Published, Ready, Request, ServiceKey,
    ServiceView,
};
use kube::runtime::controller::Action;
use tokio::time::{Instant, timeout};

use crate::context::{Context, Departed, Memory, Served};
use crate::decide::{Attempt, Done, Last, Operation, ProviderIndex, Seen, Step, Why, decide};
use crate::events::Telling;
use crate::finalizer;
use crate::retry::Backoff;
use crate::service::{Tracked, inputs};
use crate::status::{Readiness, Record, StatusPatch, publish};
use crate::watch::Command;

/// One turn: looks, decides, acts, and says when to look again. Never two at once for one key.
pub async fn reconcile(tracked: Arc<Tracked>, context: Arc<Context>) -> Action {
    let key = tracked.view.id.key.clone();
    let release = release_departed(&key, &context).await;
    let rest = if tracked.gone {
        if release.is_none() {
            context.command(Command::Forget(key));
        }
        None
    } else {
        Turn::begin(tracked, context.clone()).take().await
    };
    match release.into_iter().chain(rest).min() {
        Some(again) => Action::requeue(again.saturating_duration_since(Instant::now())),
        None => Action::await_change(),
    }
}

/// Lets providers delete what they hold for Services of this key that left. Returns when to try again, if
/// something is left.
async fn release_departed(key: &ServiceKey, context: &Arc<Context>) -> Option<Instant> {
    let mut remaining = Departed::new();
    for (id, mut departure) in context.take_departed(key) {
        if let Some(memory) = context.take_memory(key) {
            if memory.id != id {
                context.put_memory(memory);
            } else if let Some(provider) = memory.last.provider {
                // What this process served is known best by its own memory.
                departure.holders.retain(|holder| *holder != provider);
                departure.holders.push(provider);
            }
        }
        if departure.again.is_none_or(|again| again <= Instant::now()) {
            let mut left = Vec::new();
            for holder in departure.holders {
                if let Err(error) = delete(context, holder, &id).await {
                    let provider = context.providers[holder].provider.name();
                    tracing::warn!(service = %id, provider, %error, "a departed Service is not released yet");
                    left.push(holder);
                }
            }
            departure.holders = left;
            departure.again = Some(Instant::now() + departure.backoff.failed());
        }
        if !departure.holders.is_empty() {
            remaining.insert(id, departure);
        }
    }
    let again = remaining.values().filter_map(|departure| departure.again).min();
    context.put_departed(key, remaining);
    again
}

/// Deletes; "implemented elsewhere" means that nothing of this provider's is left, which is what was asked.
async fn delete(
    context: &Context,
    provider: ProviderIndex,
    id: &cloud_provider::ServiceId,
) -> Result<(), Error> {
    let served = &context.providers[provider];
    match call(context, served, served.provider.delete(id)).await {
        Err(Error::ImplementedElsewhere) => Ok(()),
        other => other,
    }
}

/// One provider call: with a deadline, heeding and working the provider's brake.
async fn call<T>(
    context: &Context,
    served: &Served,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let deadline = context.config.deadline;
    let result = timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(Error::transient(format!("the provider did not answer within {} s", deadline.as_secs())))
    });
    match &result {
        Err(Error::Throttled { retry_after, .. }) => {
            served.brake.press(Instant::now(), *retry_after);
        }
        Ok(_) => served.brake.ease(Instant::now()),
        Err(_) => {}
    }
    result
}

/// Why a turn ends before there is nothing left to do.
enum Stop {
    /// A write failed: another turn is due.
    WriteFailed,
    /// The Service is gone, or a namesake has taken its place: the watch will say so.
    Vanished,
}

/// More steps than any Service needs in one turn; past it the turn ends, so that a server which ignores our
/// writes cannot keep it going.
const STEPS: usize = 6;

struct Turn {
    context: Arc<Context>,
    tracked: Arc<Tracked>,
    memory: Memory,
}

impl Turn {
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
        Turn { context, tracked, memory }
    }

    /// Takes steps until there is nothing to do now; when to look again.
    async fn take(mut self) -> Option<Instant> {
        let rest = self.steps().await;
        let rest = match rest {
            Ok(rest) => rest,
            Err(Stop::Vanished) => None,
            Err(Stop::WriteFailed) => Some(Instant::now() + self.memory.backoff.failed()),
        };
        let Turn { context, tracked, memory } = self;
        if !memory.is_blank() {
            context.put_memory(memory);
        } else if !tracked.is_interesting() {
            context.command(Command::Forget(memory.id.key));
        }
        rest
    }

    async fn steps(&mut self) -> Result<Option<Instant>, Stop> {
        for _ in 0..STEPS {
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
                (Step::UpdateNodes, Some(provider)) => self.update_nodes(provider, &seen).await?,
                (Step::Refuse, Some(provider)) => self.refuse(provider, &seen).await?,
                (Step::Rest(until), None) => return Ok(until),
                // Only a claimed Service is served.
                (Step::Ensure(_) | Step::UpdateNodes | Step::Refuse, None) => return Ok(None),
            }
        }
        tracing::warn!(service = %self.memory.id, "a turn took too many steps; going on later");
        Err(Stop::WriteFailed)
    }

    /// What is seen of the Service now.
    fn look(&self) -> Seen {
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
        let (mut seen_inputs, mut nodes, mut brake) = (0, 0, None);
        if let Some(provider) = claimed_by {
            let served = &self.context.providers[provider];
            seen_inputs = inputs(view, served.provider.as_ref());
            nodes = self.context.nodes.borrow().as_ref().map_or(0, |n| n.fingerprints[provider]);
            brake = served.brake.until(Instant::now());
        }
        Seen { claimed_by, holders, mistaken: !view.mistakes.is_empty(), inputs: seen_inputs, nodes, brake }
    }

    fn request(&self, view: Arc<ServiceView>) -> Result<Request, Mistakes> {
        let nodes = self.context.nodes.borrow().as_ref().map(|n| n.set.clone()).unwrap_or_default();
        Request::new(view, nodes)
    }

    // --- serve ---

    async fn ensure(&mut self, provider: ProviderIndex, seen: &Seen, why: Why) -> Result<(), Stop> {
        let context = self.context.clone();
        let served = &context.providers[provider];
        if served.provider.holds_resources() && !self.tracked.has_finalizer {
            self.claim_before_the_first_call(provider).await?;
        }
        let request = match self.request(self.tracked.view.clone()) {
            Ok(request) => request,
            Err(mistakes) => return self.failed(provider, seen, Operation::Ensure, mistakes.into()).await,
        };
        self.memory.last.provider = Some(provider);
        self.memory.last.woken = false;
        let result = call(&context, served, served.provider.ensure(&request)).await;
        match result {
            Ok(Outcome::Ready(ready)) => {
                self.succeeded(seen, Some(ready.published.clone()));
                self.tell_no_nodes(provider, request.nodes().is_empty());
                self.report_ready(provider, ready, why).await
            }
            Ok(Outcome::Pending(pending)) => self.report_pending(provider, seen, pending).await,
            Err(Error::ImplementedElsewhere) => {
                self.succeeded(seen, None);
                match self.record_of(provider) {
                    // Nothing of ours is on the Service, and nothing is to be.
                    None => Ok(()),
                    Some(_) => {
                        let message = "another controller serves this Service";
                        let record = Record::new(
                            self.name(provider),
                            Readiness::Unknown,
                            "ImplementedElsewhere",
                            message,
                        );
                        self.say(provider, record).await
                    }
                }
            }
            Err(error) => self.failed(provider, seen, Operation::Ensure, error).await,
        }
    }

    /// The finalizer and the record of who serves, in one write, before anything exists in the cloud.
    async fn claim_before_the_first_call(&mut self, provider: ProviderIndex) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        patch.finalizer(finalizer::added(&self.memory.id.uid));
        if self.record_of(provider).is_none() {
            let record = Record::new(
                self.name(provider),
                Readiness::Unknown,
                "Ensuring",
                "the load balancer is being made",
            );
            patch.record(&record, None, jiff::Timestamp::now());
        }
        self.write(patch).await
    }

    fn succeeded(&mut self, seen: &Seen, published: Option<Published>) {
        let verify = self.context.config.verify.mul_f64(0.9 + 0.2 * fastrand::f64());
        self.memory.last.done =
            Some(Done { inputs: seen.inputs, nodes: seen.nodes, verify: Some(Instant::now() + verify) });
        self.memory.last.attempt = None;
        self.memory.good = Some(self.tracked.view.clone());
        self.memory.published = published;
        self.memory.backoff = Backoff::new(self.context.config.retry);
    }

    async fn report_ready(&mut self, provider: ProviderIndex, ready: Ready, why: Why) -> Result<(), Stop> {
        let record =
            Record::new(self.name(provider), Readiness::True, "Ensured", ready.published.to_string());
        let before = self.record_of(provider);
        let news = before != Some(&record) || why == Why::Changed;
        let first_look_and_no_news = why == Why::First && !news;
        let normal_note = ready.notes.iter().any(|note| note.kind == NoteKind::Normal);
        self.tell_notes(ready.notes, first_look_and_no_news);
        let message = format!("Ensured load balancer: {}", record.message);
        self.say(provider, record).await?;
        if news && !normal_note {
            self.tell(NoteKind::Normal, "EnsuredLoadBalancer", message);
        }
        Ok(())
    }

    async fn report_pending(
        &mut self,
        provider: ProviderIndex,
        seen: &Seen,
        pending: Pending,
    ) -> Result<(), Stop> {
        let again = pending.after.map(|after| Instant::now() + after);
        self.attempted(seen, Operation::Ensure, again);
        if let Some(published) = pending.publish {
            self.memory.published = Some(published);
        }
        let record = Record::new(self.name(provider), Readiness::False, &pending.reason, pending.why);
        let news = self.record_of(provider) != Some(&record);
        let noted = !pending.notes.is_empty();
        let told_by_a_process_before = !news && self.memory.told.is_empty();
        self.tell_notes(pending.notes, told_by_a_process_before);
        if news && !noted {
            self.tell(NoteKind::Normal, &record.reason, record.message.clone());
        }
        self.say(provider, record).await
    }

    /// The Service could not be understood: says so, and leaves what serves alone.
    async fn refuse(&mut self, provider: ProviderIndex, seen: &Seen) -> Result<(), Stop> {
        self.memory.last.woken = false;
        match Mistakes::new(self.tracked.view.mistakes.clone()) {
            Some(mistakes) => self.failed(provider, seen, Operation::Ensure, mistakes.into()).await,
            None => Ok(()),
        }
    }

    async fn update_nodes(&mut self, provider: ProviderIndex, seen: &Seen) -> Result<(), Stop> {
        let context = self.context.clone();
        let served = &context.providers[provider];
        // A Service that has a mistake now is updated as it was when it had none.
        let view = self.memory.good.clone().unwrap_or_else(|| self.tracked.view.clone());
        let request = match self.request(view) {
            Ok(request) => request,
            Err(mistakes) => {
                return self.failed(provider, seen, Operation::UpdateNodes, mistakes.into()).await;
            }
        };
        match call(&context, served, served.provider.update_nodes(&request)).await {
            Ok(()) | Err(Error::ImplementedElsewhere) => {
                if let Some(done) = &mut self.memory.last.done {
                    done.nodes = seen.nodes;
                }
                let recovered =
                    self.memory.last.attempt.is_some_and(|a| a.operation == Operation::UpdateNodes);
                if recovered {
                    self.memory.last.attempt = None;
                    self.memory.backoff = Backoff::new(context.config.retry);
                }
                if request.nodes().is_empty() {
                    self.tell_no_nodes(provider, true);
                } else {
                    self.memory.told_no_nodes = false;
                    self.tell(
                        NoteKind::Normal,
                        "UpdatedLoadBalancer",
                        "Updated load balancer with new hosts".into(),
                    );
                }
                match &self.memory.published {
                    Some(published) if recovered => {
                        let record = Record::new(
                            self.name(provider),
                            Readiness::True,
                            "Ensured",
                            published.to_string(),
                        );
                        self.say(provider, record).await
                    }
                    _ => Ok(()),
                }
            }
            Err(error) => self.failed(provider, seen, Operation::UpdateNodes, error).await,
        }
    }

    /// Notes a failure, sets the time of the next attempt by its class, and tells the user if it is new.
    async fn failed(
        &mut self,
        provider: ProviderIndex,
        seen: &Seen,
        operation: Operation,
        error: Error,
    ) -> Result<(), Stop> {
        let now = Instant::now();
        let again = match error.class() {
            ErrorClass::Invalid => None,
            ErrorClass::Throttled => {
                // All wait for the brake; a little apart, so that they do not all come back at once.
                let until = self.context.providers[provider].brake.until(now).unwrap_or(now);
                Some(until + Duration::from_millis(fastrand::u64(0..2_000)))
            }
            ErrorClass::Quota | ErrorClass::Denied => {
                Some(now + self.memory.backoff.failed().max(self.context.config.slow_retry))
            }
            ErrorClass::Transient | ErrorClass::ImplementedElsewhere => {
                Some(now + self.memory.backoff.failed())
            }
        };
        self.attempted(seen, operation, again);
        let id = &self.memory.id;
        tracing::warn!(service = %id, provider = self.name(provider), ?operation, %error, "not as the Service wants it");
        let record =
            Record::new(self.name(provider), Readiness::False, error.class().as_str(), error.to_string());
        if self.record_of(provider) != Some(&record) {
            let (reason, doing) = match operation {
                Operation::Ensure => ("SyncLoadBalancerFailed", "syncing load balancer"),
                Operation::UpdateNodes => {
                    ("UpdateLoadBalancerFailed", "updating load balancer with new hosts")
                }
            };
            self.tell(NoteKind::Warning, reason, format!("Error {doing}: {}", record.message));
        }
        self.say(provider, record).await
    }

    fn attempted(&mut self, seen: &Seen, operation: Operation, again: Option<Instant>) {
        self.memory.last.attempt = Some(Attempt { operation, inputs: seen.inputs, nodes: seen.nodes, again });
    }

    // --- stop serving ---

    /// Lets `holders` delete what they hold, then takes our marks off the Service. Whether it is finished.
    async fn clean_up(
        &mut self,
        holders: Vec<ProviderIndex>,
        next: Option<ProviderIndex>,
    ) -> Result<bool, Stop> {
        let context = self.context.clone();
        let outside = holders.iter().any(|h| context.providers[*h].provider.holds_resources());
        if outside {
            if !self.delete_all(&holders).await? {
                return Ok(false);
            }
            self.unmark(&holders, next).await?;
        } else {
            // The address may be another's as soon as it is released: take it off this Service first.
            self.unmark(&holders, next).await?;
            if !self.delete_all(&holders).await? {
                return Ok(false);
            }
        }
        if outside {
            self.tell(NoteKind::Normal, "DeletedLoadBalancer", "Deleted load balancer".into());
        }
        self.memory = Memory::new(self.memory.id.clone(), &context);
        Ok(true)
    }

    async fn delete_all(&mut self, holders: &[ProviderIndex]) -> Result<bool, Stop> {
        let context = self.context.clone();
        for holder in holders {
            if let Err(error) = delete(&context, *holder, &self.memory.id).await {
                let brake = context.providers[*holder].brake.until(Instant::now());
                let again = Instant::now() + self.memory.backoff.failed();
                self.memory.last.cleanup_again = Some(brake.map_or(again, |until| until.max(again)));
                self.memory.last.provider.get_or_insert(*holder);
                let record =
                    Record::new(self.name(*holder), Readiness::False, "DeleteFailed", error.to_string());
                tracing::warn!(service = %self.memory.id, provider = self.name(*holder), %error, "not deleted yet");
                if self.record_of(*holder) != Some(&record) {
                    let message = format!("Error deleting load balancer: {}", record.message);
                    self.tell(NoteKind::Warning, "DeleteLoadBalancerFailed", message);
                }
                self.say_only(*holder, &record).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One write that takes off everything of ours: addresses, annotations, conditions, finalizer.
    async fn unmark(&mut self, holders: &[ProviderIndex], next: Option<ProviderIndex>) -> Result<(), Stop> {
        let tracked = self.tracked.clone();
        let mut patch = StatusPatch::default();
        for holder in holders {
            let provider = &self.context.providers[*holder].provider;
            if self.record_of(*holder).is_some() {
                patch.forget(provider.name());
            }
            for key in provider.published_annotations() {
                if tracked.view.annotations.contains_key(key) {
                    patch.annotation(key, None);
                }
            }
        }
        let keeps_finalizer = next.is_some_and(|p| self.context.providers[p].provider.holds_resources());
        if tracked.has_finalizer && !keeps_finalizer {
            patch.finalizer(finalizer::removed(&self.memory.id.uid));
        }
        // On other types the API server has emptied the status itself, and refuses a write of it.
        if tracked.is_load_balancer && !tracked.view.published.is_empty() {
            patch.ingress(&[]);
        }
        self.write(patch).await
    }

    // --- what the user sees ---

    /// Level-triggered: what somebody took off the Service is put back.
    async fn restore(&mut self, provider: ProviderIndex) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        let served = self.memory.last.provider == Some(provider);
        if served
            && self.context.providers[provider].provider.holds_resources()
            && !self.tracked.has_finalizer
        {
            patch.finalizer(finalizer::added(&self.memory.id.uid));
        }
        if let Some(published) = &self.memory.published {
            publish(&mut patch, published, &self.tracked.view);
        }
        if let Some(record) = &self.memory.record {
            self.add_record(&mut patch, provider, record);
        }
        self.write(patch).await
    }

    /// Writes the record and what is published, where they differ from what the Service says.
    async fn say(&mut self, provider: ProviderIndex, record: Record) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        if let Some(published) = &self.memory.published {
            publish(&mut patch, published, &self.tracked.view);
        }
        self.add_record(&mut patch, provider, &record);
        self.memory.record = Some(record);
        self.write(patch).await
    }

    /// Writes the record alone: what is published is going away.
    async fn say_only(&mut self, provider: ProviderIndex, record: &Record) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        self.add_record(&mut patch, provider, record);
        self.write(patch).await
    }

    fn add_record(&self, patch: &mut StatusPatch, provider: ProviderIndex, record: &Record) {
        let before = self.record_of(provider);
        if before != Some(record) {
            patch.record(record, before, jiff::Timestamp::now());
        }
    }

    fn record_of(&self, provider: ProviderIndex) -> Option<&Record> {
        let name = self.context.providers[provider].provider.name();
        self.tracked.records.iter().find(|record| record.provider == name)
    }

    fn name(&self, provider: ProviderIndex) -> &str {
        self.context.providers[provider].provider.name()
    }

    /// Sends a patch, if there is anything in it; the returned object is what the turn goes on with.
    async fn write(&mut self, patch: StatusPatch) -> Result<(), Stop> {
        if patch.is_empty() {
            return Ok(());
        }
        let id = &self.memory.id;
        match self.context.patch_status(&id.key, patch.body(&id.uid)).await {
            Ok(service) => {
                let written = Arc::new(Tracked::of(&service));
                self.tracked = written.clone();
                self.memory.written = Some(written);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Err(Stop::Vanished),
            Err(error) => {
                tracing::warn!(service = %id, %error, "the Service's status could not be written");
                Err(Stop::WriteFailed)
            }
        }
    }

    fn tell(&self, kind: NoteKind, reason: &str, message: String) {
        let service = self.memory.id.clone();
        self.context.events.tell(Telling { service, kind, reason: reason.into(), message });
    }

    /// Tells the notes that were not told before.
    fn tell_notes(&mut self, notes: Vec<Note>, known_already: bool) {
        for note in notes.iter().filter(|note| !known_already && !self.memory.told.contains(note)) {
            self.tell(note.kind, &note.reason, note.message.clone());
        }
        self.memory.told = notes;
    }

    fn tell_no_nodes(&mut self, provider: ProviderIndex, none: bool) {
        let none = none && self.context.providers[provider].provider.uses_nodes();
        if none && !self.memory.told_no_nodes {
            let message = "There are no available nodes for LoadBalancer".into();
            self.tell(NoteKind::Warning, "UnAvailableLoadBalancer", message);
        }
        self.memory.told_no_nodes = none;
    }
}

impl Memory {
    fn new(id: cloud_provider::ServiceId, context: &Context) -> Self {
        Memory {
            id,
            last: Last::default(),
            good: None,
            published: None,
            record: None,
            written: None,
            backoff: Backoff::new(context.config.retry),
            told: Vec::new(),
            told_no_nodes: false,
        }
    }

    /// Whether nothing was done for this Service, or all of it was undone.
    fn is_blank(&self) -> bool {
        self.last == Last::default()
    }
}
