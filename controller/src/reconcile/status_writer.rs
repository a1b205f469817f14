//! What the user sees: one status patch, events when there is news.

use std::sync::Arc;

use cloud_provider::{Note, NoteKind};

use super::{Reconciliation, Stop};
use crate::decide::ProviderIndex;
use crate::events::EventRequest;
use crate::finalizer;
use crate::service::Tracked;
use crate::status::{Record, StatusPatch, publish};

impl Reconciliation {
    /// Level-triggered: what somebody took off the Service is put back.
    pub(super) async fn restore(&mut self, provider: ProviderIndex) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        let served = self.memory.last.provider == Some(provider);
        if served
            && self.context.providers[provider].provider.holds_resources()
            && !self.tracked.has_finalizer
        {
            patch.finalizer(finalizer::added(&self.memory.id.uid));
        }
        if let Some(published) = &self.memory.published {
            let declared = self.context.providers[provider].provider.published_annotations();
            publish(&mut patch, published, &declared, &self.tracked.view);
        }
        if let Some(record) = &self.memory.record {
            self.add_record(&mut patch, provider, record);
        }
        self.write(patch).await
    }

    /// Writes the record and what is published, where they differ from what the Service says.
    pub(super) async fn write_status(&mut self, provider: ProviderIndex, record: Record) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        if let Some(published) = &self.memory.published {
            let declared = self.context.providers[provider].provider.published_annotations();
            publish(&mut patch, published, &declared, &self.tracked.view);
        }
        self.add_record(&mut patch, provider, &record);
        self.memory.record = Some(record);
        self.write(patch).await
    }

    /// Writes the record alone: what is published is going away.
    pub(super) async fn write_condition(
        &mut self,
        provider: ProviderIndex,
        record: &Record,
    ) -> Result<(), Stop> {
        let mut patch = StatusPatch::default();
        self.add_record(&mut patch, provider, record);
        self.write(patch).await
    }

    pub(super) fn add_record(&self, patch: &mut StatusPatch, provider: ProviderIndex, record: &Record) {
        let before = self.record_of(provider);
        if before != Some(record) {
            patch.record(record, before, jiff::Timestamp::now());
        }
    }

    pub(super) fn record_of(&self, provider: ProviderIndex) -> Option<&Record> {
        let name = self.context.providers[provider].provider.name();
        self.tracked.records.iter().find(|record| record.provider == name)
    }

    pub(super) fn name(&self, provider: ProviderIndex) -> &str {
        self.context.providers[provider].provider.name()
    }

    /// Sends a patch, if there is anything in it; the returned object is what the reconcile goes on with.
    pub(super) async fn write(&mut self, patch: StatusPatch) -> Result<(), Stop> {
        if patch.is_empty() {
            return Ok(());
        }
        if !self.context.fence.holds() {
            return Err(Stop::WriteFailed);
        }
        let id = &self.memory.id;
        match self.context.patch_status(&id.key, patch.body(&id.uid)).await {
            Ok(service) => {
                self.context.metrics.status_written();
                let written = Arc::new(Tracked::of(&service));
                self.tracked = written.clone();
                self.memory.written = Some(written);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Stop::Vanished),
            // A conflict may mean that a namesake has taken its place: the next reconcile sees who it is.
            Err(error) => {
                tracing::warn!(service = %id, %error, "the Service's status could not be written");
                Err(Stop::WriteFailed)
            }
        }
    }

    pub(super) fn emit(&self, kind: NoteKind, reason: &str, message: String) {
        let service = self.memory.id.clone();
        self.context.events.emit(EventRequest { service, kind, reason: reason.into(), message });
    }

    /// Tells the notes that were not told before.
    pub(super) fn emit_notes(&mut self, notes: Vec<Note>, known_already: bool) {
        for note in notes.iter().filter(|note| !known_already && !self.memory.emitted_notes.contains(note)) {
            self.emit(note.kind, &note.reason, note.message.clone());
        }
        self.memory.emitted_notes = notes;
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
