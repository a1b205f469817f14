//! How many Services there are, by state.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::gauge::ConstGauge;

/// The state of a Service, as its condition says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ServiceState {
    /// As it should be.
    Ready,
    /// Waiting for something that comes by itself.
    Waiting,
    /// What its user wrote cannot be done: nobody else can mend it.
    Mistaken,
    /// Something is wrong, and its condition says what.
    Failing,
}

impl ServiceState {
    const ALL: [Self; 4] =
        [ServiceState::Ready, ServiceState::Waiting, ServiceState::Mistaken, ServiceState::Failing];

    fn as_str(self) -> &'static str {
        match self {
            ServiceState::Ready => "ready",
            ServiceState::Waiting => "waiting",
            ServiceState::Mistaken => "mistaken",
            ServiceState::Failing => "failing",
        }
    }
}

/// Services by provider and state.
pub(crate) type ServicesByState = BTreeMap<(String, ServiceState), usize>;

type CountServices = Box<dyn Fn() -> ServicesByState + Send + Sync>;

/// The numbers are counted when the metrics are read.
#[derive(Clone, Default)]
pub(super) struct ServiceCounts(Arc<Mutex<Option<CountServices>>>);

impl ServiceCounts {
    /// From now on `count` counts them.
    pub(super) fn by(&self, count: impl Fn() -> ServicesByState + Send + Sync + 'static) {
        *self.0.lock() = Some(Box::new(count));
    }
}

impl fmt::Debug for ServiceCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceCounts")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceCountLabels {
    provider: String,
    state: &'static str,
}

impl Collector for ServiceCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let count = match &*self.0.lock() {
            Some(count) => count(),
            None => return Ok(()),
        };
        let gauge = |n: usize| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
        let mut family: MetricEncoder<'_> = encoder.encode_descriptor(
            "cloud_lb_services",
            "Services that are served, by state",
            None,
            gauge(0).metric_type(),
        )?;
        let mut providers: Vec<&String> = count.keys().map(|(provider, _)| provider).collect();
        providers.dedup();
        // A state without Services is 0 rather than missing, so that an alert on it ends.
        for (provider, state) in providers.into_iter().flat_map(|p| ServiceState::ALL.map(|s| (p, s))) {
            let labels = ServiceCountLabels { provider: provider.clone(), state: state.as_str() };
            let services = count.get(&(provider.clone(), state)).copied().unwrap_or_default();
            gauge(services).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
