//! Serving a Service: ensure, refuse, update nodes, and what comes of each.

use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{
    Error, ErrorClass, Mistakes, NoteKind, Outcome, Pending, Published, Ready, Request, ServiceView,
};
use tokio::time::Instant;

use super::{Reconciliation, Stop, call, while_wanted};
use crate::decide::{
    Attempt, AttemptedCall, FollowedNodes, NodeAttempt, Observation, ProviderIndex, Success, Why,
};
use crate::events::EventRequest;
use crate::metrics::{self, ReconcileOutcome};
use crate::retry::after;
use crate::status::{Readiness, Record, StatusPatch};

impl Reconciliation {
    pub(super) async fn ensure(
        &mut self,
        provider: ProviderIndex,
        observed: &Observation,
        why: Why,
    ) -> Result<(), Stop> {
        let context = self.context.clone();
        let handle = &context.providers[provider];
        self.claim_unless_claimed(provider).await?;
        let request = match self.request(provider, self.tracked.view.clone()) {
            Ok(request) => request,
            Err(mistakes) => {
                return self.failed(provider, observed, AttemptedCall::Ensure, mistakes.into()).await;
            }
        };
        self.memory.last.provider = Some(provider);
        self.memory.last.woken = false;
        handle.resumption.is_asked_about(&self.memory.id);
        self.put_off_the_resync();
        context.releases.cancel(&self.memory.id);
        self.tell_what_begins(provider, observed, why);
        let ensure =
            call(&context, handle, metrics::ProviderOperation::ensure, handle.provider.ensure(&request));
        let Some(result) = while_wanted(&context, &self.memory.id, ensure).await else {
            return self.dropped();
        };
        match result {
            Ok(Outcome::Ready(ready)) => {
                self.succeeded(observed, Some(ready.published.clone()));
                self.emit_no_nodes(provider, request.nodes().is_empty());
                self.report_ready(provider, ready, why).await
            }
            Ok(Outcome::Pending(pending)) => self.report_pending(provider, observed, pending).await,
            Err(Error::ImplementedElsewhere) => {
                self.result = ReconcileOutcome::ImplementedElsewhere;
                self.succeeded(observed, None);
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
                        self.write_status(provider, record).await
                    }
                }
            }
            Err(error) => self.failed(provider, observed, AttemptedCall::Ensure, error).await,
        }
    }

    /// Says that work on a load balancer begins, where that is news: to make one may take minutes. Where nothing is
    /// recorded on the Service yet, it is not known whether it is the provider's at all. The status says it already.
    fn tell_what_begins(&mut self, provider: ProviderIndex, observed: &Observation, why: Why) {
        let is_news = match why {
            Why::Changed => true,
            Why::First => !observed.serves,
            Why::Retry | Why::Woken | Why::Resync => false,
        };
        if is_news && self.record_of(provider).is_some() {
            self.emit(NoteKind::Normal, "EnsuringLoadBalancer", "Ensuring load balancer".into());
            self.tell();
        }
    }

    /// What was under way was cut short: nothing counts as done.
    fn dropped(&mut self) -> Result<(), Stop> {
        tracing::info!("what was under way is dropped: the Service wants no load balancer any more");
        self.memory.forget_what_was_done();
        Err(Stop::Unwanted)
    }

    /// The finalizer and the record of who serves, in one write, before anything exists in the cloud.
    async fn claim_unless_claimed(&mut self, provider: ProviderIndex) -> Result<(), Stop> {
        if !self.context.providers[provider].provider.holds_resources() || self.tracked.has_finalizer {
            return Ok(());
        }
        let mut patch = StatusPatch::default();
        patch.add_finalizer();
        if self.record_of(provider).is_none() {
            let record = Record::new(
                self.name(provider),
                Readiness::Unknown,
                "Ensuring",
                "the load balancer is being made",
            );
            self.add_record(&mut patch, provider, &record);
        }
        self.write_first(patch).await
    }

    pub(super) fn succeeded(&mut self, observed: &Observation, published: Option<Published>) {
        self.memory.last.success = Some(Success {
            inputs: observed.inputs,
            nodes: observed.nodes,
            resync_at: Some(self.next_resync()),
        });
        self.memory.last.attempt = None;
        self.memory.last.node_attempt = None;
        self.memory.followed_view = Some(self.tracked.view.clone());
        self.memory.published = published;
        self.context.events.has_passed(&self.memory.id);
        self.memory.backoff.succeeded();
    }

    /// A resync's interval from now, a little more or less so that not all Services come at once.
    fn next_resync(&self) -> Instant {
        Instant::now() + self.context.config.resync_interval.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    /// The platform is compared with the Service now, whatever comes of it: what fails has a time of its own.
    fn put_off_the_resync(&mut self) {
        let next = self.next_resync();
        if let Some(success) = &mut self.memory.last.success {
            success.resync_at = Some(next);
        }
        if let Some(followed) = &mut self.memory.last.followed {
            followed.again_at = next;
        }
    }

    /// What serves is put right as it was when the Service was last valid. The condition goes on telling of the mistake,
    /// and so does the event that told of it: nothing that is done here is news to whoever has to mend the Service.
    pub(super) async fn keep_right(
        &mut self,
        provider: ProviderIndex,
        observed: &Observation,
    ) -> Result<(), Stop> {
        let context = self.context.clone();
        let handle = &context.providers[provider];
        self.claim_unless_claimed(provider).await?;
        self.memory.last.woken = false;
        self.put_off_the_resync();
        let Some(request) = self.request_as_last_valid(provider) else { return Ok(()) };
        let ensure =
            call(&context, handle, metrics::ProviderOperation::ensure, handle.provider.ensure(&request));
        let Some(result) = while_wanted(&context, &self.memory.id, ensure).await else {
            return self.dropped();
        };
        let now = Instant::now();
        let (published, again) = match result {
            Ok(Outcome::Ready(ready)) => {
                if let Some(success) = &mut self.memory.last.success {
                    success.nodes = observed.nodes;
                }
                self.memory.last.node_attempt = None;
                (Some(ready.published), None)
            }
            Ok(Outcome::Pending(pending)) => (pending.publish, pending.after.map(|wait| after(now, wait))),
            // Nothing can be kept right that is not ours, or that the provider takes for a mistake by now.
            Err(Error::ImplementedElsewhere | Error::Invalid(_) | Error::InvalidInPart(_)) => (None, None),
            Err(error) => {
                tracing::warn!(%error, "what serves could not be put right as it was when the Service was last valid");
                context.metrics.retried(self.name(provider), error.class().as_str());
                (None, Some(now + self.wait_after_failure()))
            }
        };
        if published.is_some() {
            self.memory.published = published;
        }
        if let (Some(success), Some(_)) = (&mut self.memory.last.success, again) {
            success.resync_at = again;
        }
        // The provider is to remember what the Service asks for now, and may have been the one that refused it: it is
        // asked again, last. A mistake that is none of a provider's never comes to one.
        let asked_again = again.is_none() && !observed.mistaken;
        if let Some(attempt) = self.memory.last.attempt.as_mut().filter(|_| asked_again) {
            attempt.again = Some(now);
        }
        Ok(())
    }

    /// The Service as it was when it was last valid, with what its status shows now.
    fn request_as_last_valid(&self, provider: ProviderIndex) -> Option<Request> {
        let mut view = ServiceView::clone(self.memory.followed_view.as_ref()?);
        view.published = self.tracked.view.published.clone();
        self.request(provider, Arc::new(view)).ok()
    }

    pub(super) async fn report_ready(
        &mut self,
        provider: ProviderIndex,
        ready: Ready,
        why: Why,
    ) -> Result<(), Stop> {
        self.result = ReconcileOutcome::Ready;
        let record =
            Record::new(self.name(provider), Readiness::True, "Ensured", ready.published.to_string());
        let before = self.record_of(provider);
        let news = before != Some(&record) || why == Why::Changed;
        let first_look_and_no_news = why == Why::First && !news;
        let normal_note = ready.notes.iter().any(|note| note.kind == NoteKind::Normal);
        self.emit_notes(ready.notes, first_look_and_no_news);
        let message = format!("Ensured load balancer: {}", record.message);
        if news && !normal_note {
            self.emit(NoteKind::Normal, "EnsuredLoadBalancer", message);
        }
        let record = Arc::new(record);
        self.memory.ensure_record = Some(record.clone());
        self.write_status(provider, record).await
    }

    pub(super) async fn report_pending(
        &mut self,
        provider: ProviderIndex,
        observed: &Observation,
        pending: Pending,
    ) -> Result<(), Stop> {
        self.result = ReconcileOutcome::Pending;
        let again = pending.after.map(|wait| after(Instant::now(), wait));
        self.attempted(observed, AttemptedCall::Ensure, again, false);
        if let Some(published) = pending.publish {
            self.memory.published = Some(published);
        }
        let record = Record::new(self.name(provider), Readiness::False, &pending.reason, pending.why);
        let news = self.record_of(provider) != Some(&record);
        let noted = !pending.notes.is_empty();
        let told_by_a_process_before = !news && self.memory.emitted_notes.is_empty();
        // Who only waits for something to be made is told of nothing that lasts.
        match pending.notes.iter().find(|note| note.kind == NoteKind::Warning) {
            Some(note) => {
                let lasting = self.event(note.kind, &note.reason, note.message.clone());
                self.context.events.lasts(lasting);
            }
            None => self.context.events.has_passed(&self.memory.id),
        }
        self.emit_notes(pending.notes, told_by_a_process_before);
        if news && !noted {
            self.emit(NoteKind::Normal, &record.reason, record.message.clone());
        }
        let record = Arc::new(record);
        self.memory.ensure_record = Some(record.clone());
        self.write_status(provider, record).await
    }

    /// The Service could not be understood: says so, and leaves what serves alone.
    pub(super) async fn refuse(
        &mut self,
        provider: ProviderIndex,
        observed: &Observation,
    ) -> Result<(), Stop> {
        self.memory.last.woken = false;
        match Mistakes::new(self.tracked.view.mistakes.clone()) {
            Some(mistakes) => self.failed(provider, observed, AttemptedCall::Ensure, mistakes.into()).await,
            None => Ok(()),
        }
    }

    pub(super) async fn update_backends(
        &mut self,
        provider: ProviderIndex,
        observed: &Observation,
    ) -> Result<(), Stop> {
        let context = self.context.clone();
        let handle = &context.providers[provider];
        // A Service that has a mistake now is updated as it was when it had none.
        let view = self.memory.followed_view.clone().unwrap_or_else(|| self.tracked.view.clone());
        // After a restart nobody remembers how that was: the provider goes by what it finds.
        if self.memory.last.success.is_none() {
            self.put_off_the_resync();
        }
        let request = Request::with_mistakes(view, self.nodes.set.clone());
        let update = handle.provider.update_backends(&request);
        let update = call(&context, handle, metrics::ProviderOperation::update_backends, update);
        let Some(result) = while_wanted(&context, &self.memory.id, update).await else {
            return self.dropped();
        };
        match result {
            Ok(()) | Err(Error::ImplementedElsewhere) => {
                self.result = ReconcileOutcome::NodesUpdated;
                let again_at = self.next_resync();
                let last = &mut self.memory.last;
                // A process that has just begun cannot tell whether they are new.
                let are_others = |followed: FollowedNodes| followed.nodes != observed.nodes;
                let new_hosts = last.success.is_some() || last.followed.is_some_and(are_others);
                match &mut last.success {
                    Some(success) => success.nodes = observed.nodes,
                    None => last.followed = Some(FollowedNodes { nodes: observed.nodes, again_at }),
                }
                let recovered = self.memory.last.node_attempt.take().is_some();
                if recovered && self.memory.last.attempt.is_none() {
                    self.memory.backoff.succeeded();
                }
                if request.nodes().is_empty() {
                    self.emit_no_nodes(provider, true);
                } else {
                    self.memory.emitted_no_nodes = false;
                    if new_hosts {
                        let message = "Updated load balancer with new hosts".into();
                        self.emit(NoteKind::Normal, "UpdatedLoadBalancer", message);
                    }
                }
                match self.memory.ensure_record.clone().filter(|_| recovered) {
                    // What the last ensure came to holds again; if that was a refusal, it still does.
                    Some(record) => {
                        match self.memory.last.attempt {
                            Some(_) => {
                                let refusal = self.failure_event(AttemptedCall::Ensure, &record);
                                self.context.events.lasts(refusal);
                            }
                            None => self.context.events.has_passed(&self.memory.id),
                        }
                        self.write_status(provider, record).await
                    }
                    None => Ok(()),
                }
            }
            Err(error) => self.failed(provider, observed, AttemptedCall::UpdateBackends, error).await,
        }
    }

    /// Notes a failure, sets the time of the next attempt by its class, and tells the user if it is new.
    pub(super) async fn failed(
        &mut self,
        provider: ProviderIndex,
        observed: &Observation,
        attempted: AttemptedCall,
        error: Error,
    ) -> Result<(), Stop> {
        let now = Instant::now();
        let again = match error.class() {
            ErrorClass::Invalid => None,
            ErrorClass::Throttled => {
                // All wait for the gate to open; a little apart, so that they do not all come back at once.
                let until = self.context.providers[provider].throttle.until(now).unwrap_or(now);
                Some(until + Duration::from_millis(fastrand::u64(0..2_000)))
            }
            ErrorClass::Quota | ErrorClass::Denied => {
                Some(now + self.wait_after_failure().max(self.context.config.quota_backoff))
            }
            ErrorClass::Transient | ErrorClass::ImplementedElsewhere => Some(now + self.wait_after_failure()),
        };
        let is_mistaken = error.class() == ErrorClass::Invalid;
        self.take_over_what_is_shown(provider);
        let in_part = matches!(error, Error::InvalidInPart(_));
        let is_found = !is_mistaken || self.take_over_what_exists(provider, in_part).await;
        let again = again.or_else(|| (!is_found).then(|| now + self.wait_after_failure()));
        let is_refused = matches!(error, Error::Invalid(_));
        self.attempted(observed, attempted, again, is_refused);
        // From now on nodes are followed, and what serves is put right, as this one has it: the one before it would take
        // back what was carried out.
        if attempted == AttemptedCall::Ensure && in_part {
            self.memory.followed_view = Some(self.tracked.view.clone());
        }
        self.result = ReconcileOutcome::Failed;
        if again.is_some() {
            self.context.metrics.retried(self.name(provider), error.class().as_str());
        }
        let record =
            Record::new(self.name(provider), Readiness::False, error.class().as_str(), error.to_string());
        if self.memory.record.as_deref() == Some(&record) {
            tracing::debug!(%error, "still not as the Service wants it");
        } else {
            // What a process before has said is said once more by this one: its log may be all that there is.
            tracing::warn!(class = error.class().as_str(), %error, "not as the Service wants it");
        }
        let event = self.failure_event(attempted, &record);
        if self.record_of(provider) != Some(&record) {
            self.post(event.clone());
        }
        self.context.events.lasts(event);
        let record = Arc::new(record);
        if attempted == AttemptedCall::Ensure {
            self.memory.ensure_record = Some(record.clone());
        }
        self.write_status(provider, record).await
    }

    fn failure_event(&self, attempted: AttemptedCall, record: &Record) -> EventRequest {
        let (reason, doing) = match attempted {
            AttemptedCall::Ensure => ("SyncLoadBalancerFailed", "syncing load balancer"),
            AttemptedCall::UpdateBackends => {
                ("UpdateLoadBalancerFailed", "updating load balancer with new hosts")
            }
        };
        self.event(NoteKind::Warning, reason, format!("Error {doing}: {}", record.message))
    }

    fn attempted(
        &mut self,
        observed: &Observation,
        attempted: AttemptedCall,
        again: Option<Instant>,
        refused: bool,
    ) {
        let Observation { inputs, nodes, .. } = *observed;
        match attempted {
            AttemptedCall::Ensure => {
                self.memory.last.attempt = Some(Attempt { inputs, nodes, again, refused });
            }
            AttemptedCall::UpdateBackends => {
                self.memory.last.node_attempt = Some(NodeAttempt { nodes, again });
            }
        }
    }
}
