//! The flags, in groups. Where cloud-controller-manager has a flag for the same thing, it has the same name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cloud_provider::ClassRule;
#[cfg(feature = "aws")]
use provider_aws::{
    AwsConfig,
    client::{Rate, Rates, Scheme},
};

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
    #[cfg(feature = "aws")]
    #[command(flatten)]
    pub aws: AwsFlags,
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

/// The AWS provider. Credentials, and the region where no flag names it, come from the environment, a profile, a
/// web identity token or the instance metadata service, as in every AWS SDK.
#[cfg(feature = "aws")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Provider aws")]
pub struct AwsFlags {
    /// The cluster's name, by which its load balancers are recognised; it must never change while there are any.
    /// Without it, the one that the tags of the nodes' instances agree on
    #[arg(long, env = "CLUSTER_NAME", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub cluster_name: Option<String>,

    /// Serve Services of this class; empty: those without a class; with a trailing comma: both
    #[arg(long, env = "AWS_CLASS", default_value = AwsConfig::CLASS, value_name = "CLASS")]
    pub aws_class: ClassRule,

    /// The region; without it, that of the environment, the profile or the instance
    // No variable of its own: AWS_REGION is read by the SDK.
    #[arg(long, value_name = "REGION")]
    pub aws_region: Option<String>,

    /// The VPC; without it, that of the instance this runs on, else that of the nodes
    #[arg(long, env = "AWS_VPC_ID", value_name = "ID")]
    pub aws_vpc_id: Option<String>,

    /// Where load balancers can be reached from whose Service does not say: internal or internet-facing
    #[arg(long, env = "AWS_DEFAULT_SCHEME", default_value_t = Scheme::Internal, value_name = "SCHEME")]
    pub aws_default_scheme: Scheme,

    /// Take over load balancers that cloud-provider-aws or the AWS Load Balancer Controller made for the same Service
    #[arg(long, env = "AWS_ADOPT")]
    pub aws_adopt: bool,

    /// Tags on everything that is made; several are separated by commas
    #[arg(long, env = "AWS_DEFAULT_TAGS", value_delimiter = ',', value_name = "KEY=VALUE", value_parser = tag)]
    pub aws_default_tags: Vec<(String, String)>,

    /// Tag keys that somebody else manages; several are separated by commas
    #[arg(long, env = "AWS_EXTERNALLY_MANAGED_TAGS", value_delimiter = ',', value_name = "KEY")]
    pub aws_externally_managed_tags: Vec<String>,

    /// The security policy of TLS listeners whose Service names none
    #[arg(long, env = "AWS_DEFAULT_SSL_POLICY", value_name = "POLICY")]
    pub aws_default_ssl_policy: Option<String>,

    /// Open the nodes' security groups for the load balancers
    #[arg(long, env = "AWS_MANAGE_BACKEND_RULES", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub aws_manage_backend_rules: bool,

    /// How many inbound rules a security group may have for each address family: the quota of the account
    #[arg(long, env = "AWS_RULES_PER_GROUP", default_value_t = 60, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub aws_rules_per_group: u16,

    /// The cluster's range of node ports: what is opened on the nodes
    #[arg(long, env = "AWS_NODE_PORTS", default_value = "30000-32767", value_name = "FIRST-LAST", value_parser = port_range)]
    pub aws_node_ports: PortRange,

    #[command(flatten)]
    pub rates: AwsRateFlags,
}

/// How fast AWS may be asked, by the groups in which AWS itself limits requests.
#[cfg(feature = "aws")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Provider aws")]
pub struct AwsRateFlags {
    /// Reads of load balancers: requests a second, and how many at once. AWS's own limit for an account in a region is
    /// 10:40
    #[arg(long, env = "AWS_RATE_ELB_READ", default_value_t = Rates::default().elb_read, value_name = RATE)]
    pub aws_rate_elb_read: Rate,

    /// Changes of load balancers: requests a second, and how many at once
    #[arg(long, env = "AWS_RATE_ELB_WRITE", default_value_t = Rates::default().elb_write, value_name = RATE)]
    pub aws_rate_elb_write: Rate,

    /// Registrations of targets: requests a second, and how many at once
    #[arg(long, env = "AWS_RATE_ELB_TARGETS", default_value_t = Rates::default().elb_targets, value_name = RATE)]
    pub aws_rate_elb_targets: Rate,

    /// Reads of EC2: requests a second, and how many at once. AWS's own limit for an account in a region is 20:100
    #[arg(long, env = "AWS_RATE_EC2_READ", default_value_t = Rates::default().ec2_read, value_name = RATE)]
    pub aws_rate_ec2_read: Rate,

    /// Changes of security groups: requests a second, and how many at once. AWS's own limit for an account in a region
    /// is 5:50
    #[arg(long, env = "AWS_RATE_EC2_WRITE", default_value_t = Rates::default().ec2_write, value_name = RATE)]
    pub aws_rate_ec2_write: Rate,
}

#[cfg(feature = "aws")]
const RATE: &str = "PER_SECOND:AT_ONCE";

#[cfg(feature = "aws")]
impl AwsRateFlags {
    /// As the provider takes them.
    pub fn rates(&self) -> Rates {
        Rates {
            elb_read: self.aws_rate_elb_read,
            elb_write: self.aws_rate_elb_write,
            elb_targets: self.aws_rate_elb_targets,
            ec2_read: self.aws_rate_ec2_read,
            ec2_write: self.aws_rate_ec2_write,
        }
    }
}

/// A range of ports, both ends in it.
#[cfg(feature = "aws")]
pub type PortRange = std::ops::RangeInclusive<u16>;

/// Reads `KEY=VALUE`; the value may be empty and may hold further `=`.
#[cfg(feature = "aws")]
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not a tag; write it as team=web")),
    }
}

/// Reads `FIRST-LAST`.
#[cfg(feature = "aws")]
fn port_range(text: &str) -> Result<PortRange, String> {
    let parsed =
        text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    match parsed {
        Some(range) if *range.start() > 0 && !range.is_empty() => Ok(range),
        _ => Err(format!("{text:?} is not a range of ports; write it as 30000-32767")),
    }
}

/// The bare-metal provider.
#[cfg(feature = "bare")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Provider bare")]
pub struct BareFlags {
    /// Serve Services of this class; empty: those without a class; with a trailing comma: both
    #[arg(long, env = "BARE_CLASS", default_value = "", value_name = "CLASS")]
    pub bare_class: ClassRule,

    /// Read the address pools from this file instead of the cluster, and again when it changes
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

    /// In which order addresses that were given back are used again
    #[arg(long, env = "BARE_REUSE", default_value = "lowest")]
    pub bare_reuse: AddressReuse,

    /// Keep the counters in the statuses of the cluster's pools
    #[arg(long, env = "BARE_WRITE_POOL_STATUS", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub bare_write_pool_status: bool,

    /// How long to wait at the start for the first list of pools before trying again
    #[arg(long, env = "BARE_POOLS_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub bare_pools_timeout: Duration,
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
    /// Network Load Balancers of AWS
    #[cfg(feature = "aws")]
    Aws,
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

/// See [`BareFlags::bare_reuse`].
#[cfg(feature = "bare")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AddressReuse {
    /// The lowest free address first
    Lowest,
    /// First what was never used, then what has been free longest
    LongestFree,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Less than one request in so many seconds is a mistake.
const SLOWEST: f64 = 1_000.0;

/// Reads a rate: a number that is not negative, nor so small that nothing would happen.
fn qps(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(qps) if qps.is_finite() && (qps == 0.0 || qps >= 1.0 / SLOWEST) => Ok(qps),
        _ => Err(format!(
            "{text:?} is not a number of requests a second; write it as 20 or 0.5, or 0 for no limit"
        )),
    }
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

    #[test]
    fn a_rate_is_a_number_of_requests_a_second() {
        assert_eq!(qps("20"), Ok(20.0));
        assert_eq!(qps("0.5"), Ok(0.5));
        assert_eq!(qps("0"), Ok(0.0));
        for wrong in ["", "-1", "inf", "NaN", "20/s", "1e-300"] {
            assert!(qps(wrong).is_err(), "{wrong:?}");
        }
    }

    #[cfg(feature = "aws")]
    #[test]
    fn a_tag_has_a_key() {
        assert_eq!(tag("team=web"), Ok(("team".into(), "web".into())));
        assert_eq!(tag("note=a=b"), Ok(("note".into(), "a=b".into())));
        assert_eq!(tag("empty="), Ok(("empty".into(), String::new())));
        for wrong in ["", "team", "=web"] {
            assert!(tag(wrong).is_err(), "{wrong:?}");
        }
    }

    #[cfg(feature = "aws")]
    #[test]
    fn node_ports_are_a_range() {
        assert_eq!(port_range("30000-32767"), Ok(30000..=32767));
        assert_eq!(port_range("80-80"), Ok(80..=80));
        for wrong in ["", "80", "90-80", "0-80", "1-65536", "a-b"] {
            assert!(port_range(wrong).is_err(), "{wrong:?}");
        }
    }
}
