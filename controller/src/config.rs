//! How the controller behaves; every field has a default that serves.

use std::time::Duration;

use apiserver_client::Bounds;

pub use crate::nodes::DebounceConfig;
pub use crate::retry::RetryConfig;

/// What happens to resources whose Service is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepConfig {
    /// Between two sweeps. Default 10 min.
    pub interval: Duration,
    /// How old a resource must be, where the platform tells its age. Default 1 h.
    pub grace: Duration,
    /// Whether orphans are deleted or only reported. Default: reported.
    pub delete: bool,
}

impl Default for SweepConfig {
    fn default() -> Self {
        SweepConfig { interval: Duration::from_secs(600), grace: Duration::from_secs(3_600), delete: false }
    }
}

/// How the controller behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How many Services are worked on at once. Default 32: one slow cloud call delays nobody else.
    pub workers: u16,
    /// Waits between attempts.
    pub retry: RetryConfig,
    /// The least wait after a quota or a denial: somebody has to do something first. Default 60 s.
    pub quota_backoff: Duration,
    /// How node changes are gathered.
    pub debounce: DebounceConfig,
    /// How often a healthy Service is compared with the platform, give or take a tenth. Default 10 min.
    pub resync_interval: Duration,
    /// How long one provider call may take. Default 5 min.
    pub provider_timeout: Duration,
    /// How long calls in flight may take to end when the controller stops. Default 30 s.
    pub shutdown_grace: Duration,
    /// What happens to orphans.
    pub sweep: SweepConfig,
    /// What bounds requests to the API server.
    pub bounds: Bounds,
    /// Tells this process from its peers in events.
    pub identity: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            workers: 32,
            retry: RetryConfig::default(),
            quota_backoff: Duration::from_secs(60),
            debounce: DebounceConfig::default(),
            resync_interval: Duration::from_secs(600),
            provider_timeout: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(30),
            sweep: SweepConfig::default(),
            bounds: Bounds::default(),
            identity: String::from("cloud-lb-controller"),
        }
    }
}

impl Config {
    /// How long a reconcile may take: one with a clean-up at two providers has as many calls of them and of the API server.
    pub(crate) fn longest_reconcile(&self) -> Duration {
        let calls = self.provider_timeout.saturating_add(self.bounds.request).saturating_mul(2);
        calls.saturating_add(self.bounds.request.saturating_mul(2))
    }
}
