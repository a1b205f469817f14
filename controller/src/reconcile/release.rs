//! Deletion: providers delete what they hold, then our marks go. One way for every kind of it.

use cloud_provider::{NoteKind, Published, ServiceId, SortedMap};
use tokio::time::Instant;

use super::{Reconciliation, Stop, delete};
use crate::context::Context;
use crate::decide::{Last, NextStep, Observation, ProviderIndex, decide};
use crate::events::EventRequest;
use crate::follow;
use crate::memory::ServiceMemory;
use crate::metrics::ReconcileOutcome;
use crate::service::Tracked;
use crate::status::{DELETE_FAILED, Readiness, Record, StatusPatch};

/// A provider did not delete what it holds.
struct NotDeleted {
    holder: ProviderIndex,
    error: cloud_provider::Error,
    again: Option<Instant>,
}

/// Lets `holders` delete what they hold for a Service, one after the other, until one fails.
async fn delete_all(context: &Context, id: &ServiceId, holders: &[ProviderIndex]) -> Result<(), NotDeleted> {
    context.releases.begin(id, holders);
    for &holder in holders {
        match delete(context, holder, id).await {
            Ok(()) => context.releases.released_by(id, holder),
            Err(error) => {
                let provider = context.providers.name(holder);
                context.metrics.retried(provider, error.class().as_str());
                tracing::warn!(service = %id, provider, %error, "not deleted yet");
                let gate_opens = context.providers[holder].throttle.until(Instant::now());
                let again = context.releases.failed(id, gate_opens);
                return Err(NotDeleted { holder, error, again });
            }
        }
    }
    Ok(())
}

/// Does what is to be done for a Service that is not in the cluster any more. When to look again, if something is left,
/// and what came of it.
pub(super) async fn reconcile_gone(context: &Context, id: &ServiceId) -> (Option<Instant>, ReconcileOutcome) {
    loop {
        let Some(release) = context.releases.of(id) else { return (None, ReconcileOutcome::Unchanged) };
        let mut holders = release.holders;
        // What this process served is known best by its own memory.
        holders.extend(context.memories.holder(id).filter(|holder| !holders.contains(holder)));
        let observed = Observation {
            presence: release.presence,
            holders,
            release_at: release.at,
            ..Observation::default()
        };
        match decide(&observed, &Last::default(), Instant::now()) {
            NextStep::Rest(Some(at)) => return (Some(at), ReconcileOutcome::Unchanged),
            NextStep::Confirm => confirm(context, id).await,
            NextStep::Release(holders) => {
                if let Err(NotDeleted { again, .. }) = delete_all(context, id, &holders).await {
                    return (again, ReconcileOutcome::Failed);
                }
                if let Some(published) = context.memories.published(id) {
                    tracing::info!(freed = %with_annotations(&published), "released: the Service is gone");
                }
                context.memories.forget(id);
                context.events.has_passed(id);
                context.releases.forget(id);
                return (None, ReconcileOutcome::CleanedUp);
            }
            // Nobody holds anything, and nobody serves what is not there.
            NextStep::Rest(None)
            | NextStep::Ensure(_)
            | NextStep::KeepRight
            | NextStep::UpdateBackends
            | NextStep::Refuse => {
                context.memories.forget(id);
                context.events.has_passed(id);
                context.releases.forget(id);
                return (None, ReconcileOutcome::Unchanged);
            }
        }
    }
}

/// What was published, with what was told beside it, such as the pool.
fn with_annotations(published: &Published) -> String {
    let annotations = published.annotations.iter().map(|(key, value)| format!(" ({key}: {value})"));
    published.to_string() + &annotations.collect::<String>()
}

/// Asks the API server for a Service by name. Only its word that there is none, or another, is a deletion.
async fn confirm(context: &Context, id: &ServiceId) {
    match context.api.get(&id.key).await {
        Ok(Some(service)) if service.metadata.uid.as_deref() == Some(&id.uid) => {
            tracing::warn!(service = %id, "a list of Services lacked one that is there");
            context.metrics.service_found();
            context.events.emit(EventRequest {
                service: id.clone(),
                kind: NoteKind::Warning,
                reason: "MissingFromList".into(),
                message: "A list of all Services lacked this one, which is there; nothing was deleted for it"
                    .into(),
            });
            follow::shown(context, Tracked::of(&service));
        }
        Ok(_) => context.releases.confirmed(id),
        Err(error) => {
            tracing::warn!(service = %id, %error, "nothing is deleted for a Service that a list lacked: it could not be asked for");
            context.releases.failed(id, None);
        }
    }
}

impl Reconciliation {
    /// Lets `holders` delete what they hold, then takes our marks off the Service. When to go on, if it is not finished.
    pub(super) async fn release(
        &mut self,
        holders: Vec<ProviderIndex>,
        next: Option<ProviderIndex>,
    ) -> Result<Option<Instant>, Stop> {
        let context = self.context.clone();
        // A process that has just begun, or has failed at this before, knows it from the Service alone.
        let shown =
            Some(&self.tracked.view.published).filter(|it| !it.is_empty()).cloned().map(Published::new);
        let published = self.memory.published.take().or(shown);
        context.events.has_passed(&self.memory.id);
        // Half of a deletion may be all that comes of it: from here on nothing counts as done.
        self.memory.forget_what_was_done();
        self.memory.last.provider.get_or_insert(holders[0]);
        let outside = holders.iter().any(|holder| context.providers[*holder].provider.holds_resources());
        if !outside {
            // The address may be another's as soon as it is released: take it off this Service first.
            self.unmark(&holders, next).await?;
        }
        if let Err(not_deleted) = delete_all(&context, &self.memory.id, &holders).await {
            return self.not_deleted(not_deleted).await;
        }
        if outside {
            if let Err(stop) = self.unmark(&holders, next).await {
                if matches!(stop, Stop::Vanished) {
                    *self.memory = ServiceMemory::new(self.memory.id.clone());
                }
                return Err(stop);
            }
            self.emit(NoteKind::Normal, "DeletedLoadBalancer", "Deleted load balancer".into());
        }
        self.tell();
        if let Some(published) = published {
            tracing::info!(freed = %with_annotations(&published), "released: {}", self.why_released(next));
        }
        *self.memory = ServiceMemory::new(self.memory.id.clone());
        self.result = ReconcileOutcome::CleanedUp;
        Ok(None)
    }

    fn why_released(&self, next: Option<ProviderIndex>) -> &'static str {
        match (self.tracked.deleting, self.tracked.is_load_balancer, next) {
            (true, ..) => "the Service is deleted",
            (_, false, _) => "the Service is no load balancer any more",
            (_, _, Some(_)) => "another provider serves the Service",
            (_, _, None) => "the Service is of another class",
        }
    }

    async fn not_deleted(&mut self, not_deleted: NotDeleted) -> Result<Option<Instant>, Stop> {
        let NotDeleted { holder, error, again } = not_deleted;
        self.result = ReconcileOutcome::Failed;
        let record = Record::new(self.name(holder), Readiness::False, DELETE_FAILED, error.to_string());
        let message = format!("Error deleting load balancer: {}", record.message);
        let event = self.event(NoteKind::Warning, "DeleteLoadBalancerFailed", message);
        if self.record_of(holder) != Some(&record) {
            self.post(event.clone());
        }
        self.context.events.lasts(event);
        self.write_condition(holder, record).await?;
        Ok(again)
    }

    /// One write that takes off everything of ours: addresses, annotations, conditions, finalizer.
    async fn unmark(&mut self, holders: &[ProviderIndex], next: Option<ProviderIndex>) -> Result<(), Stop> {
        let tracked = self.tracked.clone();
        let context = self.context.clone();
        let mut patch = StatusPatch::default();
        for &holder in holders {
            let provider = &context.providers[holder].provider;
            if self.record_of(holder).is_some() {
                patch.forget(provider.name());
            }
            let now = jiff::Timestamp::now();
            patch.publish_conditions(provider.name(), &SortedMap::new(), &tracked.conditions, now);
            for key in provider.published_annotations() {
                if tracked.view.annotations.contains_key(key) {
                    patch.annotation(key, None);
                }
            }
        }
        let keeps_finalizer = next.is_some_and(|p| context.providers[p].provider.holds_resources());
        if tracked.has_finalizer && !keeps_finalizer {
            patch.remove_finalizer();
        }
        // On other types the API server has emptied the status itself, and refuses a write of it. Where somebody else's
        // class is on the Service now, what its status shows may be theirs.
        let is_ours = context.providers.claimer(&tracked.view).is_some();
        if tracked.is_load_balancer && is_ours && !tracked.view.published.is_empty() {
            patch.ingress(&[]);
        }
        self.write_first(patch).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloud_provider::testing::{MemoryCloud, Method, a_service};

    use super::*;

    fn context(cloud: &MemoryCloud) -> Arc<Context> {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        Context::that_leads(kube::Client::try_from(config).unwrap(), cloud.provider())
    }

    fn served(id: &ServiceId) -> Box<ServiceMemory> {
        let mut memory = Box::new(ServiceMemory::new(id.clone()));
        memory.last.provider = Some(0);
        memory
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_service_goes_with_it() {
        let cloud = MemoryCloud::new();
        let context = context(&cloud);
        let id = a_service().build().id;
        context.memories.put(served(&id));
        // Nobody is known to hold anything, but by what this process remembers.
        context.releases.deleted(&id, &[]);

        assert_eq!(reconcile_gone(&context, &id).await, (None, ReconcileOutcome::CleanedUp));

        assert_eq!(cloud.count_about(Method::Delete, &id.key), 1);
        assert!(context.memories.take(&id).is_none());
        assert_eq!(context.releases.all(), []);
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_living_namesake_stays() {
        let cloud = MemoryCloud::new();
        let context = context(&cloud);
        let living = a_service().uid("living").build().id;
        let deleted = a_service().uid("deleted").build().id;
        context.memories.put(served(&living));
        context.releases.deleted(&deleted, &[0]);

        assert_eq!(reconcile_gone(&context, &deleted).await, (None, ReconcileOutcome::CleanedUp));

        assert_eq!(context.memories.take(&living).map(|memory| memory.id), Some(living));
    }
}
