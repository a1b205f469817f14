//! How full address pools are.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use provider_bare::BareProvider;
use service_controller::Metrics;

/// The pools of the provider, once there is one; looked up when somebody asks.
#[derive(Default)]
pub(super) struct PoolMetrics(Mutex<Option<Arc<BareProvider>>>);

impl PoolMetrics {
    /// Shows them.
    pub(super) fn show_in(self: Arc<Self>, metrics: &Metrics) {
        metrics.extend(|registry| registry.register_collector(Box::new(self)));
    }

    /// From now on these are the pools, and no others.
    pub(super) fn are_those_of(&self, provider: &Arc<BareProvider>) {
        *self.0.lock() = Some(provider.clone());
    }
}

impl fmt::Debug for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pools")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: String,
    family: &'static str,
    state: &'static str,
}

impl Collector for PoolMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let provider = self.0.lock().clone();
        // A replica that stands by would tell that all are free, beside the one that knows who has them.
        let Some(provider) = provider.filter(|provider| provider.has_resumed()) else { return Ok(()) };
        let mut family = encoder.encode_descriptor(
            "cloud_lb_pool_addresses",
            "Addresses of a pool; a shared one counts once",
            None,
            ConstGauge::new(0_i64).metric_type(),
        )?;
        for (pool, status) in provider.pool_statuses() {
            let counts = [
                ("IPv4", "used", status.assigned_ipv4),
                ("IPv4", "free", status.available_ipv4),
                ("IPv6", "used", status.assigned_ipv6),
                ("IPv6", "free", status.available_ipv6),
            ];
            for (ip_family, state, count) in counts {
                let labels = PoolLabels { pool: pool.clone(), family: ip_family, state };
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::CloudLoadBalancer;
    use metallb::manifest;
    use provider_bare::{BareConfig, PoolSource};

    use super::*;

    #[tokio::test]
    async fn a_pool_shows_what_is_used_and_what_is_free_once_that_is_known() {
        let pools = "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: lan}, \
                     spec: {addresses: [192.0.2.0/28]}}";
        let pools = PoolSource::Static(manifest::parse(pools).pools);
        let mut config = BareConfig::default();
        config.pools = pools;
        let provider = Arc::new(BareProvider::new(config, None).unwrap());
        let metrics = Metrics::default();
        let shown = Arc::new(PoolMetrics::default());
        shown.clone().show_in(&metrics);
        shown.are_those_of(&provider);
        assert!(!metrics.encode().contains("cloud_lb_pool_addresses{"), "another may be at work");
        provider.resume(&[]).await.unwrap();
        let text = metrics.encode();
        for line in [
            "cloud_lb_pool_addresses{pool=\"lan\",family=\"IPv4\",state=\"free\"} 16",
            "cloud_lb_pool_addresses{pool=\"lan\",family=\"IPv4\",state=\"used\"} 0",
            "cloud_lb_pool_addresses{pool=\"lan\",family=\"IPv6\",state=\"free\"} 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
