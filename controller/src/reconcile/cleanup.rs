//! Stopping to serve: the provider deletes, then our marks go.

use cloud_provider::NoteKind;
use tokio::time::Instant;

use super::call::delete;
use super::{Reconciliation, Stop};
use crate::context::Memory;
use crate::decide::ProviderIndex;
use crate::finalizer;
use crate::metrics::ReconcileResult;
use crate::status::{DELETE_FAILED, Readiness, Record, StatusPatch};

impl Reconciliation {
    /// Lets `holders` delete what they hold, then takes our marks off the Service. Whether it is finished.
    pub(super) async fn clean_up(
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
            if self.tracked.deleting {
                context.released(self.memory.id.clone());
            }
            if let Err(stop) = self.unmark(&holders, next).await {
                if matches!(stop, Stop::Vanished) {
                    self.memory = Memory::new(self.memory.id.clone(), &context);
                }
                return Err(stop);
            }
        } else {
            // The address may be another's as soon as it is released: take it off this Service first.
            self.unmark(&holders, next).await?;
            if !self.delete_all(&holders).await? {
                return Ok(false);
            }
        }
        if outside {
            self.emit(NoteKind::Normal, "DeletedLoadBalancer", "Deleted load balancer".into());
        }
        self.memory = Memory::new(self.memory.id.clone(), &context);
        self.result = ReconcileResult::CleanedUp;
        Ok(true)
    }

    pub(super) async fn delete_all(&mut self, holders: &[ProviderIndex]) -> Result<bool, Stop> {
        let context = self.context.clone();
        for holder in holders {
            if let Err(error) = delete(&context, *holder, &self.memory.id).await {
                let gate_opens = context.providers[*holder].throttle.until(Instant::now());
                let again = Instant::now() + self.memory.backoff.failed();
                self.memory.last.cleanup_again = Some(gate_opens.map_or(again, |until| until.max(again)));
                self.memory.last.provider.get_or_insert(*holder);
                let record =
                    Record::new(self.name(*holder), Readiness::False, DELETE_FAILED, error.to_string());
                self.result = ReconcileResult::Failed;
                self.context.metrics.retried(self.name(*holder), error.class().as_str());
                tracing::warn!(provider = self.name(*holder), %error, "not deleted yet");
                if self.record_of(*holder) != Some(&record) {
                    let message = format!("Error deleting load balancer: {}", record.message);
                    self.emit(NoteKind::Warning, "DeleteLoadBalancerFailed", message);
                }
                self.write_condition(*holder, &record).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One write that takes off everything of ours: addresses, annotations, conditions, finalizer.
    pub(super) async fn unmark(
        &mut self,
        holders: &[ProviderIndex],
        next: Option<ProviderIndex>,
    ) -> Result<(), Stop> {
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
}
