//! The flags, in groups. Where cloud-controller-manager has a flag for the same thing, it has the same name.

pub(crate) mod compatibility;
pub(crate) mod file;
pub(crate) mod given;
pub(crate) mod order;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};

use crate::error::CliError;
use crate::providers::{self, Provider, ProviderFlags};
use crate::values::{HttpAddress, duration, http_address, qps};
use compatibility::CompatibilityFlags;

/// Everything `run` can be told.
#[derive(Args, Clone, Debug)]
#[command(next_display_order = None)]
pub(crate) struct RunFlags {
    #[command(flatten)]
    pub service: ServiceFlags,
    #[command(flatten)]
    pub cluster: ClusterFlags,
    #[command(flatten)]
    pub election: ElectionFlags,
    #[command(flatten)]
    pub providers: ProviderFlags,
    #[command(flatten)]
    pub serving: ServingFlags,
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    pub compatibility: CompatibilityFlags,
    /// Those that are not as by default, as they would be written on the command line.
    #[arg(skip)]
    pub given: Vec<String>,
}

impl RunFlags {
    /// The providers that `--cloud-provider` names, in its order.
    ///
    /// # Errors
    /// When it names none.
    pub(crate) fn chosen_providers(&self) -> Result<Vec<Arc<dyn Provider>>, CliError> {
        self.providers.chosen(&self.service.cloud_provider)
    }
}

/// Who makes load balancers, and how the controller behaves.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Services")]
pub(crate) struct ServiceFlags {
    /// Who makes load balancers; several are separated by commas, and the first that claims a Service serves it
    #[arg(long, env = "CLOUD_PROVIDER", value_delimiter = ',', value_parser = provider_names())]
    pub cloud_provider: Vec<String>,

    /// How many Services are worked on at once
    #[arg(long, env = "CONCURRENT_SERVICE_SYNCS", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent_service_syncs: u16,

    /// How often a healthy Service is compared with the platform
    #[arg(long, env = "VERIFY_INTERVAL", default_value = "10m", value_parser = duration)]
    pub verify_interval: Duration,

    /// How long one call to the provider may take
    #[arg(long, env = "PROVIDER_DEADLINE", default_value = "5m", value_parser = duration)]
    pub provider_deadline: Duration,

    /// Delete what belongs to no Service any more, instead of reporting it
    #[arg(long, env = "DELETE_ORPHANS")]
    pub delete_orphans: bool,

    /// How long calls in flight may take to end when the controller stops
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// How to reach the API server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterFlags {
    /// A kubeconfig; without one, $KUBECONFIG, ~/.kube/config or the pod's service account is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Requests a second to the API server at most; 0: no limit, the server's own priority and fairness decides.
    /// Watches and renewals of the Lease are never held up
    #[arg(long, env = "KUBE_API_QPS", default_value = "0", value_name = "NUMBER", value_parser = qps)]
    pub kube_api_qps: f64,

    /// With --kube-api-qps, how many requests may be made at once; 0: half as many again as in a second
    #[arg(long, env = "KUBE_API_BURST", default_value = "0", value_name = "NUMBER")]
    pub kube_api_burst: u32,

    /// Flags from a YAML file: a map of flag names, without the dashes, to values
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The Lease, where nobody says anything.
const USUAL_LEASE: &str = "cloud-lb-controller";
const USUAL_LEASE_NAMESPACE: &str = "kube-system";

/// Which of several replicas acts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Leader election")]
pub(crate) struct ElectionFlags {
    /// Act only while holding a Lease
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub leader_elect: bool,

    /// How long a Lease is valid that its holder does not renew
    #[arg(long, env = "LEADER_ELECT_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    pub leader_elect_lease_duration: Duration,

    /// How long the holder tries to renew before it gives up
    #[arg(long, env = "LEADER_ELECT_RENEW_DEADLINE", default_value = "10s", value_parser = duration)]
    pub leader_elect_renew_deadline: Duration,

    /// How long to wait between tries
    #[arg(long, env = "LEADER_ELECT_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    pub leader_elect_retry_period: Duration,

    /// The Lease's name
    #[arg(long, env = "LEADER_ELECT_RESOURCE_NAME", default_value = USUAL_LEASE)]
    pub leader_elect_resource_name: String,

    /// The Lease's namespace
    #[arg(long, env = "LEADER_ELECT_RESOURCE_NAMESPACE", default_value = USUAL_LEASE_NAMESPACE)]
    pub leader_elect_resource_namespace: String,
}

impl ElectionFlags {
    /// Whether the Lease is the one that is meant where nobody says anything.
    pub(crate) fn names_the_usual_lease(&self) -> bool {
        self.leader_elect_resource_namespace == USUAL_LEASE_NAMESPACE
            && self.leader_elect_resource_name == USUAL_LEASE
    }
}

/// What is served over HTTP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub(crate) struct ServingFlags {
    /// Where /healthz, /readyz, /metrics and /loglevel are served, without TLS; empty: nowhere. [::] is every address of
    /// both families, or of IPv4 where the kernel has no IPv6
    #[arg(long, env = "HTTP_ADDRESS", default_value = "[::]:10258", value_name = "ADDRESS:PORT", value_parser = http_address)]
    pub http_address: HttpAddress,

    /// From where /loglevel may be changed; it can be read from everywhere
    #[arg(long, env = "LOGLEVEL_FROM", default_value = "loopback")]
    pub loglevel_from: LogLevelFrom,
}

/// From where the log level may be changed: whoever can change it can fill disks, and silence what is said of their acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevelFrom {
    /// From the same machine or Pod, as by kubectl port-forward
    Loopback,
    /// From wherever the port can be reached
    Any,
}

impl LogLevelFrom {
    /// Whether it may be changed from there.
    pub(crate) fn admits(self, peer: IpAddr) -> bool {
        // A listener for both families hears of an IPv4 peer as an IPv6 one.
        self == LogLevelFrom::Any || peer.to_canonical().is_loopback()
    }
}

impl fmt::Display for LogLevelFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogLevelFrom::Loopback => {
                f.write_str("from the same machine or Pod, or from everywhere with --loglevel-from=any")
            }
            LogLevelFrom::Any => f.write_str("from everywhere"),
        }
    }
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogFlags {
    /// A level (off, error, warn, info, debug, trace), or levels by part: info,service_controller=debug. From debug on, a
    /// level is for this program first, and for what it is made of one level later
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// Lines for people or for machines
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The names of the providers there are, with what each makes.
fn provider_names() -> PossibleValuesParser {
    providers::kinds().map(|kind| PossibleValue::new(kind.name).help(kind.help)).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_level_is_changed_from_the_same_machine_unless_the_operator_says_otherwise() {
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        for near in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert!(LogLevelFrom::Loopback.admits(from(near)), "{near}");
        }
        for far in ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1"] {
            assert!(!LogLevelFrom::Loopback.admits(from(far)), "{far}");
            assert!(LogLevelFrom::Any.admits(from(far)), "{far}");
        }
    }
}
