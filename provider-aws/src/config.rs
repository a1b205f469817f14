//! How an operator sets this provider up.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use cloud_provider::ClassRule;

use crate::client::Scheme;

/// The configuration of the provider; start from [`AwsConfig::new`] and change what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwsConfig {
    /// The cluster's name: part of every name and tag, so that it must never change while load balancers exist.
    pub cluster: String,
    /// The VPC of the nodes; learned from the first node that EC2 knows if none.
    pub vpc_id: Option<String>,
    /// Which Services are ours.
    pub class: ClassRule,
    /// Where a load balancer is reachable from when neither the Service nor an existing load balancer says.
    pub default_scheme: Scheme,
    /// The security policy of TLS listeners whose Service names none.
    pub default_ssl_policy: String,
    /// Tags on everything; a Service's own tags give way to them.
    pub default_tags: BTreeMap<String, String>,
    /// Tag keys that somebody else manages: never set, changed or removed here.
    pub externally_managed_tags: BTreeSet<String>,
    /// Whether the nodes' security groups are opened for our load balancers.
    pub manage_backend_rules: bool,
    /// The cluster's range of node ports: what is opened on the nodes, towards our load balancers alone.
    pub node_ports: RangeInclusive<u16>,
    /// How many inbound rules a security group may have for each address family: AWS's quota *Inbound or outbound
    /// rules per security group*, which the account may have had raised.
    pub rules_per_group: usize,
    /// How many targets a load balancer may have, all its ports together, if that is not what AWS allows every account;
    /// 0 leaves it to AWS's quotas.
    pub targets_per_service: usize,
    /// Whether load balancers that cloud-provider-aws or the AWS Load Balancer Controller made for the same
    /// Service are taken over, and Services with their type annotation are served.
    pub adopt: bool,
    /// How old the shared view of all load balancers, target groups and tags may be before a resync renews it.
    pub snapshot_age: Duration,
    /// How often everything about one Service is read back, so that changes by hand are found; spread by Service.
    pub deep_verification: Duration,
    /// How long a call may wait for AWS to let go of something that is being deleted.
    pub deletion_wait: Duration,
    /// How long the wait for a load balancer that is being made lasts at most before another look; the first look comes
    /// soon after it was asked for, and the pauses grow.
    pub provisioning_look: Duration,
}

impl AwsConfig {
    /// The class by which the AWS Load Balancer Controller's users know a Network Load Balancer.
    pub const CLASS: &str = "service.k8s.aws/nlb";

    /// The defaults for a cluster of this name.
    pub fn new(cluster: impl Into<String>) -> Self {
        AwsConfig { cluster: cluster.into(), ..AwsConfig::default() }
    }
}

/// Everything but the cluster's name.
impl Default for AwsConfig {
    fn default() -> Self {
        AwsConfig {
            cluster: String::new(),
            vpc_id: None,
            class: ClassRule::Exactly(Self::CLASS.to_owned()),
            default_scheme: Scheme::Internal,
            // TLS 1.2 and 1.3, which AWS recommends; the API's own default still takes TLS 1.0.
            default_ssl_policy: "ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned(),
            default_tags: BTreeMap::new(),
            externally_managed_tags: BTreeSet::new(),
            manage_backend_rules: true,
            node_ports: 30000..=32767,
            rules_per_group: 60,
            targets_per_service: 0,
            adopt: false,
            snapshot_age: Duration::from_secs(60),
            deep_verification: Duration::from_secs(3600),
            deletion_wait: Duration::from_secs(20),
            provisioning_look: Duration::from_secs(15),
        }
    }
}
