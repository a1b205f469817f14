//! What a process that has just begun takes over of what one before has made, where it does not get to ensure the Service.

use cloud_provider::Error;

use super::{Reconciliation, call};
use crate::decide::ProviderIndex;
use crate::metrics;
use crate::service::Tracked;
use crate::status::shown;

impl Reconciliation {
    /// A process that has just begun, and does not get to ensure the Service, knows of what serves only what the Service
    /// shows: that stays on it, whoever takes it off, and the Service is held for it.
    pub(super) fn take_over_what_is_shown(&mut self, provider: ProviderIndex) {
        let last = &self.memory.last;
        let begins = last.success.is_none() && last.attempt.is_none() && self.memory.published.is_none();
        if !begins || self.record_of(provider).is_none() {
            return;
        }
        let Tracked { view, conditions, .. } = &*self.tracked;
        if !view.published.is_empty() {
            let provider = &self.context.providers[provider].provider;
            let declared = provider.published_annotations();
            self.memory.published = Some(shown(provider.name(), &declared, view, conditions));
        }
        if self.tracked.has_finalizer {
            self.memory.last.provider = Some(provider);
        }
    }

    /// What exists says what is to be shown of a Service that its user has to mend, where nothing is known of it: somebody
    /// may have wiped its status while no process was there to see it. So it is where the Service was carried out in part,
    /// by which ports may have come and gone. Whether it could be told; if not, what is shown stays.
    pub(super) async fn take_over_what_exists(&mut self, provider: ProviderIndex, in_part: bool) -> bool {
        let context = self.context.clone();
        let handle = &context.providers[provider];
        let is_known = self.memory.last.success.is_some() || self.memory.published.is_some();
        if is_known && !in_part || !handle.provider.holds_resources() {
            return true;
        }
        let view = self.tracked.view.clone();
        match call(&context, handle, metrics::ProviderOperation::get, handle.provider.get(&view)).await {
            Ok(Some(published)) => {
                self.memory.last.provider = Some(provider);
                self.memory.published = Some(published);
                true
            }
            Ok(None) | Err(Error::ImplementedElsewhere) => true,
            Err(error) => {
                tracing::warn!(%error, "what serves a refused Service could not be asked for");
                false
            }
        }
    }
}
