//! What the program counts of itself.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use service_controller::Metrics;

use super::process;
use crate::requests::RequestCounts;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// Shows which version runs, what its process uses, and what it asks of the API server.
pub(crate) fn of_the_program(metrics: &Metrics, requests: &RequestCounts) {
    let build: Family<Build, Gauge> = Family::default();
    build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
    metrics.extend(|registry| {
        registry.register("cloud_lb_build_info", "The version that runs, as a label of the number 1", build);
        registry.register_collector(Box::new(process::ThisProcess));
        requests.register(registry);
    });
}
