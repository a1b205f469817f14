//! The flags of provider aws.

use clap::Args;
use cloud_provider::{ClassRule, cut_short};
use provider_aws::AwsConfig;
use provider_aws::client::{Rate, Rates, Scheme};

/// The AWS provider. Credentials, and the region where no flag names it, come from the environment, a profile, a
/// web identity token or the instance metadata service, as in every AWS SDK.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Provider aws")]
pub(super) struct AwsFlags {
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

    /// The security policy of new TLS listeners whose Service names none; one that exists keeps its policy. Without it,
    /// ELBSecurityPolicy-TLS13-1-2-2021-06, which takes TLS 1.2 and 1.3
    #[arg(long, env = "AWS_DEFAULT_SSL_POLICY", value_name = "POLICY")]
    pub aws_default_ssl_policy: Option<String>,

    /// Open the nodes' security groups for the load balancers
    #[arg(long, env = "AWS_MANAGE_BACKEND_RULES", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub aws_manage_backend_rules: bool,

    /// How many inbound rules a security group may have for each address family: the quota of the account
    #[arg(long, env = "AWS_RULES_PER_GROUP", default_value_t = 60, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub aws_rules_per_group: u16,

    /// How many targets a load balancer may have, all its ports together; 0: AWS's own quotas
    #[arg(long, env = "AWS_MAX_TARGETS_PER_SERVICE", default_value_t = 0, value_name = "NUMBER")]
    pub aws_max_targets_per_service: u32,

    /// The cluster's range of node ports: what is opened on the nodes
    #[arg(long, env = "AWS_NODE_PORTS", default_value = "30000-32767", value_name = "FIRST-LAST", value_parser = port_range)]
    pub aws_node_ports: PortRange,

    #[command(flatten)]
    pub rates: AwsRateFlags,
}

/// How fast AWS may be asked at most, by the groups in which AWS itself limits requests; where it throttles, less is
/// asked by itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Provider aws")]
pub(super) struct AwsRateFlags {
    /// Reads of load balancers: at most so many requests a second, and at once. AWS's own limit for an account in a region is
    /// 10:40
    #[arg(long, env = "AWS_RATE_ELB_READ", default_value_t = Rates::default().elb_read, value_name = RATE)]
    pub aws_rate_elb_read: Rate,

    /// Changes of load balancers: at most so many requests a second, and at once; half of it is begun with
    #[arg(long, env = "AWS_RATE_ELB_WRITE", default_value_t = Rates::default().elb_write, value_name = RATE)]
    pub aws_rate_elb_write: Rate,

    /// Registrations of targets: at most so many requests a second, and at once; half of it is begun with
    #[arg(long, env = "AWS_RATE_ELB_TARGETS", default_value_t = Rates::default().elb_targets, value_name = RATE)]
    pub aws_rate_elb_targets: Rate,

    /// Reads of EC2: at most so many requests a second, and at once. AWS's own limit for an account in a region is 20:100
    #[arg(long, env = "AWS_RATE_EC2_READ", default_value_t = Rates::default().ec2_read, value_name = RATE)]
    pub aws_rate_ec2_read: Rate,

    /// Changes of security groups: at most so many requests a second, and at once. AWS's own limit for an account in a
    /// region is 5:50
    #[arg(long, env = "AWS_RATE_EC2_WRITE", default_value_t = Rates::default().ec2_write, value_name = RATE)]
    pub aws_rate_ec2_write: Rate,
}

const RATE: &str = "PER_SECOND:AT_ONCE";

impl AwsRateFlags {
    /// As the provider takes them.
    pub(super) fn rates(&self) -> Rates {
        Rates::with(|rates| {
            rates.elb_read = self.aws_rate_elb_read;
            rates.elb_write = self.aws_rate_elb_write;
            rates.elb_targets = self.aws_rate_elb_targets;
            rates.ec2_read = self.aws_rate_ec2_read;
            rates.ec2_write = self.aws_rate_ec2_write;
        })
    }
}

/// A range of ports, both ends in it.
pub(super) type PortRange = std::ops::RangeInclusive<u16>;

/// Reads `KEY=VALUE`; the value may be empty and may hold further `=`.
fn tag(text: &str) -> Result<(String, String), String> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err(format!("{:?} is not a tag; write it as team=web", cut_short(text)));
    };
    match provider_aws::naming::refused_as_a_tag(key, value) {
        None => Ok((key.to_owned(), value.to_owned())),
        Some(problem) => Err(format!(
            "{:?} {problem}; keys have up to 128 characters and values up to 256, of letters, digits, spaces and _.:/=+-@",
            cut_short(text)
        )),
    }
}

/// Reads `FIRST-LAST`.
fn port_range(text: &str) -> Result<PortRange, String> {
    let parsed =
        text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    match parsed {
        Some(range) if *range.start() > 0 && !range.is_empty() => Ok(range),
        _ => Err(format!("{:?} is not a range of ports; write it as 30000-32767", cut_short(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_a_key() {
        assert_eq!(tag("team=web"), Ok(("team".into(), "web".into())));
        assert_eq!(tag("note=a=b"), Ok(("note".into(), "a=b".into())));
        assert_eq!(tag("empty="), Ok(("empty".into(), String::new())));
        for wrong in ["", "team", "=web"] {
            assert!(tag(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_tag_that_aws_would_refuse_of_every_load_balancer_is_refused_at_the_start() {
        for (wrong, problem) in [
            ("aws:team=web", "keeps to itself"),
            ("elbv2.k8s.aws/cluster=blue", "recognised"),
            ("cost*=1", "characters that AWS does not take"),
            ("cost=50%", "characters that AWS does not take"),
        ] {
            let told = tag(wrong).expect_err(wrong);
            assert!(told.starts_with(&format!("{wrong:?} ")) && told.contains(problem), "{told}");
        }
        let long = format!("{}=1", "k".repeat(129));
        assert!(tag(&long).expect_err("long").contains("longer"));
    }

    #[test]
    fn node_ports_are_a_range() {
        assert_eq!(port_range("30000-32767"), Ok(30000..=32767));
        assert_eq!(port_range("80-80"), Ok(80..=80));
        for wrong in ["", "80", "90-80", "0-80", "1-65536", "a-b"] {
            assert!(port_range(wrong).is_err(), "{wrong:?}");
        }
    }
}
