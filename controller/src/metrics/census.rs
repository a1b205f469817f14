//! How many Services there are, by how they stand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::gauge::ConstGauge;

/// How a Service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// As it should be.
    Ready,
    /// Waiting for something that comes by itself.
    Waiting,
    /// Something is wrong, and its condition says what.
    Failing,
}

impl Standing {
    const ALL: [Self; 3] = [Standing::Ready, Standing::Waiting, Standing::Failing];

    fn as_str(self) -> &'static str {
        match self {
            Standing::Ready => "ready",
            Standing::Waiting => "waiting",
            Standing::Failing => "failing",
        }
    }
}

/// Services by provider and standing.
pub(crate) type Count = BTreeMap<(String, Standing), usize>;

type Counting = Box<dyn Fn() -> Count + Send + Sync>;

/// Asks whoever knows, when somebody asks.
#[derive(Clone, Default)]
pub(super) struct Census(Arc<Mutex<Option<Counting>>>);

impl Census {
    /// From now on `count` knows.
    pub(super) fn by(&self, count: impl Fn() -> Count + Send + Sync + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(count));
    }
}

impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Census")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    provider: String,
    state: &'static str,
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let count = match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(count) => count(),
            None => return Ok(()),
        };
        let gauge = |n: usize| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
        let mut family: MetricEncoder<'_> = encoder.encode_descriptor(
            "cloud_lb_services",
            "Services that are served, by how they stand",
            None,
            gauge(0).metric_type(),
        )?;
        let mut providers: Vec<&String> = count.keys().map(|(provider, _)| provider).collect();
        providers.dedup();
        // A state without Services is 0 rather than missing, so that an alert on it ends.
        for (provider, standing) in providers.into_iter().flat_map(|p| Standing::ALL.map(|s| (p, s))) {
            let labels = Labels { provider: provider.clone(), state: standing.as_str() };
            let services = count.get(&(provider.clone(), standing)).copied().unwrap_or_default();
            gauge(services).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
