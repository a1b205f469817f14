//! What the program counts beside the controller: itself, and what its providers do.

#[cfg(feature = "bare")]
mod pools;
mod process;
#[cfg(feature = "aws")]
mod requests;

#[cfg(any(feature = "aws", feature = "bare"))]
use std::sync::Arc;

use controller::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// Where providers tell what they do.
pub struct Measures {
    /// Of provider aws: its requests.
    #[cfg(feature = "aws")]
    pub requests: Arc<requests::Requests>,
    /// Of provider bare: its pools.
    #[cfg(feature = "bare")]
    pub pools: Arc<pools::Pools>,
}

impl Measures {
    /// Measures that are shown.
    pub fn shown_in(metrics: &Metrics) -> Self {
        of_the_program(metrics);
        Measures {
            #[cfg(feature = "aws")]
            requests: requests::Requests::shown_in(metrics),
            #[cfg(feature = "bare")]
            pools: pools::Pools::shown_in(metrics),
        }
    }
}

/// Shows which version runs, and what its process uses.
fn of_the_program(metrics: &Metrics) {
    let build: Family<Build, Gauge> = Family::default();
    build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
    metrics.extend(|registry| {
        registry.register("cloud_lb_build_info", "The version that runs, as a label of the number 1", build);
        registry.register_collector(Box::new(process::ThisProcess));
    });
}
