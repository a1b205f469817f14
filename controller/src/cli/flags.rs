//! The flags, in groups. Where cloud-controller-manager has a flag for the same thing, it has the same name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cloud_provider::ClassRule;

use super::compatibility::CompatibilityFlags;

/// Everything `run` can be told.
#[derive(Args, Clone, Debug)]
#[command(next_display_order = None)]
pub struct RunFlags {
    #[command(flatten)]
    pub service: ServiceFlags,
    #[command(flatten)]
    pub cluster: ClusterFlags,
    #[command(flatten)]
    pub election: ElectionFlags,
    #[cfg(feature = "bare")]
    #[command(flatten)]
    pub bare: BareFlags,
    #[command(flatten)]
    pub serving: ServingFlags,
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    pub compatibility: CompatibilityFlags,
}

/// Who makes load balancers, and how the controller behaves.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Services")]
pub struct ServiceFlags {
    /// Who makes load balancers; several are separated by commas, and the first that claims a Service serves it
    #[arg(long, env = "CLOUD_PROVIDER", value_delimiter = ',')]
    pub cloud_provider: Vec<ProviderName>,

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
pub struct ClusterFlags {
    /// A kubeconfig; without one, $KUBECONFIG, ~/.kube/config or the pod's service account is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Flags from a YAML file: a map of flag names, without the dashes, to values
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which of several replicas acts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Leader election")]
pub struct ElectionFlags {
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
    #[arg(long, env = "LEADER_ELECT_RESOURCE_NAME", default_value = "cloud-lb-controller")]
    pub leader_elect_resource_name: String,

    /// The Lease's namespace
    #[arg(long, env = "LEADER_ELECT_RESOURCE_NAMESPACE", default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,
}

/// The bare-metal provider.
#[cfg(feature = "bare")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Provider bare")]
pub struct BareFlags {
    /// Serve Services of this class; empty: those without a class; with a trailing comma: both
    #[arg(long, env = "BARE_CLASS", default_value = "", value_name = "CLASS")]
    pub bare_class: ClassRule,

    /// Read the address pools from this file instead of the cluster
    #[arg(long, env = "BARE_POOLS_FILE", value_name = "FILE")]
    pub bare_pools_file: Option<PathBuf>,

    /// Only pools of this namespace count; without it those of all namespaces do
    #[arg(long, env = "BARE_POOLS_NAMESPACE", value_name = "NAMESPACE", conflicts_with = "bare_pools_file")]
    pub bare_pools_namespace: Option<String>,

    /// Let Services of different namespaces share an address
    #[arg(long, env = "BARE_SHARE_ACROSS_NAMESPACES")]
    pub bare_share_across_namespaces: bool,

    /// What happens to published addresses that no pool provides any more
    #[arg(long, env = "BARE_REMOVED_ADDRESSES", default_value = "move")]
    pub bare_removed_addresses: RemovedAddresses,
}

/// What is served over HTTP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub struct ServingFlags {
    /// Where /healthz, /readyz, /metrics and /loglevel are served, without TLS; empty: nowhere
    #[arg(long, env = "HTTP_ADDRESS", default_value = "0.0.0.0:10258", value_name = "ADDRESS:PORT", value_parser = http_address)]
    pub http_address: HttpAddress,
}

/// Where to serve, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpAddress(pub Option<SocketAddr>);

fn http_address(text: &str) -> Result<HttpAddress, String> {
    if text.is_empty() {
        return Ok(HttpAddress(None));
    }
    text.parse()
        .map(|address| HttpAddress(Some(address)))
        .map_err(|_| format!("{text:?} is not an address with a port, such as 0.0.0.0:10258 or [::1]:10258"))
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct LogFlags {
    /// A level (error, warn, info, debug, trace), or levels by part: info,controller=debug
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// Lines for people or for machines
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// A provider by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProviderName {
    /// Addresses from pools, as MetalLB has them
    #[cfg(feature = "bare")]
    Bare,
}

/// See [`BareFlags::bare_removed_addresses`].
#[cfg(feature = "bare")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RemovedAddresses {
    /// The Service moves if there is another address for it, else it keeps its own
    Move,
    /// The Service keeps it
    Keep,
    /// The Service loses it
    Release,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Reads a duration as Go writes it: `15s`, `1m30s`, `100ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write it as 300ms, 15s, 5m or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_length = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let unit = match &rest[digits..digits + unit_length] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            _ => return Err(wrong()),
        };
        total += unit.checked_mul(number).ok_or_else(wrong)?;
        rest = &rest[digits + unit_length..];
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        for wrong in ["", "15", "s", "1d", "-1s", "0s", "1.5s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
