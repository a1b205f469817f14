//! Counters begin at 0, and not with the first thing that is counted: an increase from nothing to 1 is none to Prometheus.

use cloud_provider::ErrorClass;

use super::Metrics;
use super::labels::{
    CallLabels, ProviderLabel, ProviderOperation, ReconcileLabels, ReconcileOutcome, RetryLabels,
};

impl Metrics {
    /// From now on all that is counted of a provider is shown. What is asked for is made; nothing is to be done with it.
    pub(crate) fn begins_with(&self, provider: &str) {
        let provider = || provider.to_owned();
        drop(self.throttles.get_or_create(&ProviderLabel { provider: provider() }));
        let outcomes = || ErrorClass::ALL.iter().map(|class| class.as_str());
        for operation in
            [ProviderOperation::ensure, ProviderOperation::update_backends, ProviderOperation::delete]
        {
            for outcome in outcomes().chain(["Done"]) {
                drop(self.calls.get_or_create(&CallLabels { provider: provider(), operation, outcome }));
            }
        }
        for class in outcomes().chain([ReconcileOutcome::WriteFailed.as_str()]) {
            drop(self.retries.get_or_create(&RetryLabels { provider: provider(), class }));
        }
        for outcome in ReconcileOutcome::ALL {
            let labels = ReconcileLabels { provider: provider(), outcome: outcome.as_str() };
            drop(self.reconciles.get_or_create(&labels));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_happened_yet_is_0_and_not_missing() {
        let metrics = Metrics::default();
        metrics.begins_with("bare");
        let text = metrics.encode();
        for sample in [
            "cloud_lb_throttles_total{provider=\"bare\"} 0",
            "cloud_lb_provider_calls_total{provider=\"bare\",operation=\"ensure\",outcome=\"Denied\"} 0",
            "cloud_lb_retries_total{provider=\"bare\",class=\"WriteFailed\"} 0",
            "cloud_lb_reconciles_total{provider=\"bare\",outcome=\"Failed\"} 0",
        ] {
            assert!(text.contains(sample), "{sample} is missing in\n{text}");
        }
    }
}
