//! Whether the controller is of use.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::health::Health;

/// Asks the controller's health, once there is one, when somebody asks.
#[derive(Clone, Debug, Default)]
pub(super) struct HealthMetrics(Arc<OnceLock<Health>>);

impl HealthMetrics {
    /// From now on this is asked, if none was before.
    pub(super) fn is_that_of(&self, health: Health) {
        self.0.get_or_init(|| health);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabel {
    watch: String,
}

impl Collector for HealthMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(health) = self.0.get() else { return Ok(()) };
        let ready = ConstGauge::new(i64::from(health.ready().is_ok()));
        let (kind, help) = (ready.metric_type(), "Whether the replica can do its work, as /readyz says");
        ready.encode(encoder.encode_descriptor("cloud_lb_ready", help, None, kind)?)?;
        let (help, unit) = ("How long a watch has not delivered", Some(&Unit::Seconds));
        let mut family = encoder.encode_descriptor("cloud_lb_watch_failing", help, unit, kind)?;
        for (watch, failing) in health.failing() {
            ConstGauge::new(failing.as_secs_f64()).encode(family.encode_family(&WatchLabel { watch })?)?;
        }
        Ok(())
    }
}
