//! What the user sees: one status patch, events when there is news.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cloud_provider::{Note, NoteKind};
use tokio::time::Instant;

use super::{Reconciliation, Stop};
use crate::decide::ProviderIndex;
use crate::events::EventRequest;
use crate::memory::ServiceMemory;
use crate::metrics::ReconcileOutcome;
use crate::service::Tracked;
use crate::status::{Record, StatusPatch, publish};

/// Events of one Service that wait for its status to be written; of more, the first are told.
const MAX_UNTOLD_EVENTS: usize = 10;

/// Whether the API server means no, whenever it is asked: not that it is busy, nor that the object changed meanwhile.
fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && ![404, 408, 409, 429].contains(&code)
}

fn note_fingerprint(note: &Note) -> u64 {
    let mut hasher = DefaultHasher::new();
    (note.kind == NoteKind::Warning, &note.reason, &note.message).hash(&mut hasher);
    hasher.finish()
}

impl Reconciliation {
    /// Level-triggered: what somebody took off the Service is put back.
    pub(super) async fn restore(&mut self, provider: ProviderIndex) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        let served = self.memory.last.provider == Some(provider);
        if served
            && self.context.providers[provider].provider.holds_resources()
            && !self.tracked.has_finalizer
        {
            patch.add_finalizer();
        }
        self.add_published(&mut patch, provider);
        if let Some(record) = &self.memory.record {
            self.add_record(&mut patch, provider, record);
            // A Service of a version before gets its class with the next news; what was there once is put back.
            let recorded = self.tracked.recorded_class(self.name(provider)).is_some();
            if self.memory.class_was_recorded && !recorded {
                self.add_class(&mut patch, provider);
            }
            self.memory.class_was_recorded |= recorded;
        }
        self.write(patch).await
    }

    /// Writes the record and what is published, where they differ from what the Service says.
    pub(super) async fn write_status(
        &mut self,
        provider: ProviderIndex,
        record: impl Into<Arc<Record>>,
    ) -> Result<(), Stop> {
        let record = record.into();
        let mut patch = StatusPatch::default();
        self.add_published(&mut patch, provider);
        self.add_record(&mut patch, provider, &record);
        self.memory.record = Some(record);
        self.write(patch).await
    }

    /// Writes the record alone: what is published is going away.
    pub(super) async fn write_condition(
        &mut self,
        provider: ProviderIndex,
        record: Record,
    ) -> Result<(), Stop> {
        let record = Arc::new(record);
        let mut patch = StatusPatch::default();
        self.add_record(&mut patch, provider, &record);
        self.memory.record = Some(record);
        self.write(patch).await
    }

    fn add_published(&self, patch: &mut StatusPatch, provider: ProviderIndex) {
        let Some(published) = &self.memory.published else { return };
        let provider = &self.context.providers[provider].provider;
        publish(patch, published, &provider.published_annotations(), &self.tracked.view);
        let (conditions, seen) = (&published.conditions, &self.tracked.conditions);
        patch.publish_conditions(provider.name(), conditions, seen, jiff::Timestamp::now());
    }

    pub(super) fn add_record(&self, patch: &mut StatusPatch, provider: ProviderIndex, record: &Record) {
        let before = self.record_of(provider);
        if before != Some(record) {
            patch.record(record, before, jiff::Timestamp::now());
            self.add_class(patch, provider);
        }
    }

    /// The class under which the Service is served, where the Service does not say it yet. What is released keeps the one
    /// under which it was served, whatever its class is now: by that the next process knows it as ours.
    pub(super) fn add_class(&self, patch: &mut StatusPatch, provider: ProviderIndex) {
        let claimer = self.context.providers.claimer(&self.tracked.view);
        if !self.tracked.is_load_balancer || claimer != Some(provider) {
            return;
        }
        let class = self.tracked.view.class.as_deref();
        if self.tracked.recorded_class(self.name(provider)) != Some(class.unwrap_or_default()) {
            patch.class(self.name(provider), class);
        }
    }

    pub(super) fn record_of(&self, provider: ProviderIndex) -> Option<&Record> {
        let name = self.context.providers[provider].provider.name();
        self.tracked.records.iter().find(|record| record.provider == name).map(Arc::as_ref)
    }

    pub(super) fn name(&self, provider: ProviderIndex) -> &str {
        self.context.providers[provider].provider.name()
    }

    /// Sends a patch, if there is anything in it; the returned object is what the reconcile goes on with.
    ///
    /// A write that may not be sent yet is left out, and the reconcile comes back for it: everything that is written here
    /// is written again as long as the Service does not say it. Of events none is posted before the status says what they
    /// tell of, unless the API server refuses it.
    pub(super) async fn write(&mut self, patch: StatusPatch) -> Result<(), Stop> {
        if patch.is_empty() {
            self.tell();
            return Ok(());
        }
        if !self.context.fence.holds() {
            return Err(Stop::WriteFailed);
        }
        let (says, now) = (self.fingerprint_of_what_is_said(), Instant::now());
        let at = self.memory.status_pace.next(says, now);
        if at > now {
            self.withheld_until = Some(at);
            return Ok(());
        }
        let id = self.memory.id.clone();
        match self.context.api.patch_status(&id.key, patch.body(&id.uid)).await {
            Ok(service) => {
                self.context.metrics.status_written();
                self.memory.status_pace.written(says, now);
                self.memory.refusal = None;
                self.note_contest();
                // The watch may have been faster: it is kept once.
                let written = Tracked::of(&service);
                let shown =
                    self.context.services.get(&id.key).filter(|shown| shown.is_as_stored_with(&written));
                let written = shown.unwrap_or_else(|| Arc::new(written));
                self.tracked = written.clone();
                self.is_looked_at = false;
                self.memory.written = Some(written);
                self.tell();
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Stop::Vanished),
            Err(kube::Error::Api(status)) if is_refusal(status.code) => {
                self.withheld_until = Some(self.memory.status_pace.refused(now, self.context.config.retry));
                self.refused(status.message);
                self.tell();
                Ok(())
            }
            // A conflict may mean that a namesake has taken its place: the next reconcile sees who it is.
            Err(error) => {
                tracing::warn!(service = %id, %error, "the Service's status could not be written");
                Err(Stop::WriteFailed)
            }
        }
    }

    /// As [`write`](Self::write), for what must be written before anything else is done.
    pub(super) async fn write_first(&mut self, patch: StatusPatch) -> Result<(), Stop> {
        self.withheld_until = None;
        self.write(patch).await?;
        if self.withheld_until.is_some() { Err(Stop::Withheld) } else { Ok(()) }
    }

    /// What the Service is to say of us, in one number: a write that says the same as the last one was undone by somebody.
    fn fingerprint_of_what_is_said(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let ServiceMemory { published, record, .. } = &*self.memory;
        published.as_ref().map(|it| (&it.ingress, &it.annotations, &it.conditions)).hash(&mut hasher);
        record.as_ref().map(|it| (it.ready.as_str(), &it.reason, &it.message)).hash(&mut hasher);
        hasher.finish()
    }

    /// Somebody else keeps changing what we write, or does so no more.
    fn note_contest(&mut self) {
        let contested = self.memory.status_pace.is_contested();
        if contested {
            self.context.metrics.status_contested();
        }
        if contested && !self.memory.contest_emitted {
            let another = self.context.api.another(&self.tracked.status_writers);
            let who = another.map(|who| format!(" ({who})")).unwrap_or_default();
            let message = format!(
                "Somebody else{who} keeps changing what is written here; it is put back after growing pauses of up to a \
                 minute. One Service must have one controller: see that only one of them serves its class"
            );
            self.emit(NoteKind::Warning, "StatusContested", message);
        }
        self.memory.contest_emitted = contested;
    }

    /// The API server does not allow the write: told once, and tried again after growing waits.
    fn refused(&mut self, error: String) {
        let provider = self.context.providers.owner_name(&self.tracked).unwrap_or_default();
        self.context.metrics.retried(provider, "WriteFailed");
        self.result = ReconcileOutcome::WriteFailed;
        if self.memory.refusal.as_ref() != Some(&error) {
            let message = format!("Error syncing load balancer: the status could not be written: {error}");
            self.emit(NoteKind::Warning, "SyncLoadBalancerFailed", message);
            self.memory.refusal = Some(error);
        }
    }

    /// Tells the operator in the log, and the user in an event.
    pub(super) fn emit(&mut self, kind: NoteKind, reason: &str, message: String) {
        match kind {
            NoteKind::Normal => tracing::info!(reason, "{message}"),
            NoteKind::Warning => tracing::warn!(reason, "{message}"),
        }
        let event = self.event(kind, reason, message);
        self.post(event);
    }

    /// An event, to be posted when the status says what it tells of ([`tell`](Self::tell)): who reads of an address in an
    /// event is to find it in the status, and the write that users wait for has the API server to itself.
    pub(super) fn post(&mut self, event: EventRequest) {
        let untold = &mut self.memory.untold;
        // The same again is what an attempt says whose status could not be written before.
        if untold.len() < MAX_UNTOLD_EVENTS && !untold.contains(&event) {
            untold.push(event);
        }
    }

    /// Posts the events that waited for the status.
    pub(super) fn tell(&mut self) {
        for event in std::mem::take(&mut self.memory.untold) {
            self.context.events.emit(event);
        }
    }

    pub(super) fn event(&self, kind: NoteKind, reason: &str, message: String) -> EventRequest {
        EventRequest { service: self.memory.id.clone(), kind, reason: reason.into(), message }
    }

    /// Tells the notes that were not told before.
    pub(super) fn emit_notes(&mut self, notes: Vec<Note>, known_already: bool) {
        let fingerprints = notes.iter().map(note_fingerprint).collect();
        let before = std::mem::replace(&mut self.memory.emitted_notes, fingerprints);
        for note in notes {
            if !known_already && !before.contains(&note_fingerprint(&note)) {
                self.emit(note.kind, &note.reason, note.message);
            }
        }
    }

    pub(super) fn emit_no_nodes(&mut self, provider: ProviderIndex, none: bool) {
        let provider = &self.context.providers[provider].provider;
        let none = none && provider.backends(&self.tracked.view).nodes.is_some();
        if none && !self.memory.emitted_no_nodes {
            let message = "There are no available nodes for LoadBalancer".into();
            self.emit(NoteKind::Warning, "UnAvailableLoadBalancer", message);
        }
        self.memory.emitted_no_nodes = none;
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::testing::{MemoryCloud, service_object};
    use serde_json::json;

    use super::*;
    use crate::context::Context;

    #[tokio::test]
    async fn a_note_is_told_once_for_as_long_as_it_is_said() {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let context = Context::that_leads(client, MemoryCloud::new().provider());
        let tracked = Arc::new(Tracked::of(&service_object(json!({}))));
        let mut reconciliation = Reconciliation::begin(tracked, context, false);
        let note = |message: &str| Note::new(NoteKind::Warning, "Test", message);
        let mut told_by = |messages: &[&str]| {
            reconciliation.emit_notes(messages.iter().map(|message| note(message)).collect(), false);
            let told = std::mem::take(&mut reconciliation.memory.untold);
            told.into_iter().map(|event| event.message).collect::<Vec<_>>()
        };
        assert_eq!(told_by(&["a"]), ["a"]);
        assert_eq!(told_by(&["a", "b"]), ["b"]);
        assert_eq!(told_by(&["b"]), [""; 0]);
        assert_eq!(told_by(&["a", "b"]), ["a"], "it was not said for a while");
    }
}
