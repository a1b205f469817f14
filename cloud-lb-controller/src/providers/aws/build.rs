//! The flags of provider aws to the provider; what they leave open is found out once, at the start.

use std::collections::BTreeSet;
use std::sync::Arc;

use apiserver_client::Lean;
use cloud_provider::{CloudLoadBalancer, Error, Ordered};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use provider_aws::client::{
    Aws, Counted, Ec2, Elbv2, Instance, InstanceMetadata, RateLimited, Sdk, SdkOptions, SetupError,
    SharingOptions,
};
use provider_aws::discovery::{self, Discovered, DiscoveryError};
use provider_aws::error::ApiError;
use provider_aws::targets::instance_id;
use provider_aws::{AwsConfig, AwsProvider};

use super::flags::AwsFlags;
use super::metrics::Requests;
use crate::error::CliError;

/// How many nodes are looked at: one request to AWS tells of so many, and the cluster's mark is on all of them.
const NODES_LOOKED_AT: u32 = 100;

/// Clients of AWS.
///
/// # Errors
/// When there is no region.
pub(super) async fn sdk(flags: &AwsFlags) -> Result<Sdk, CliError> {
    let mut options = SdkOptions::default();
    options.region = flags.aws_region.clone();
    Sdk::from_environment(&options).await.map_err(|error| {
        CliError::Usage(match error {
            SetupError::NoRegion => {
                let profile = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
                format!(
                    "no AWS region: give --aws-region or set AWS_REGION, name one in the profile {:?}, or run on EC2",
                    profile.as_deref().unwrap_or("default")
                )
            }
            other => other.to_string(),
        })
    })
}

/// AWS with the rates of the flags.
pub(super) fn paced(api: impl Elbv2 + Ec2 + 'static, flags: &AwsFlags) -> Aws {
    Aws::new(RateLimited::rate_limited(api, &flags.rates.rates()), SharingOptions::default())
}

/// The provider.
///
/// # Errors
/// When there is no region, or the cluster's name is neither given nor to be found out.
pub(super) async fn provider(
    flags: &AwsFlags,
    client: &kube::Client,
    requests: Arc<Requests>,
) -> Result<Arc<dyn CloudLoadBalancer>, CliError> {
    let aws = paced(Counted::counted(sdk(flags).await?, requests), flags);
    let hints = ClusterHints::read(flags, &aws, client).await?;
    let cluster = hints.cluster_name(flags).map_err(|e| ask_for("--cluster-name NAME", &e))?;
    let vpc = hints.vpc(flags).map_err(|e| ask_for("--aws-vpc-id ID", &e))?;
    tracing::info!("the cluster's name is {cluster}");
    match &vpc {
        Some(vpc) => tracing::info!("the VPC is {vpc}"),
        None => tracing::info!("the VPC will be that of the first node"),
    }
    let config = config(flags, cluster.value, vpc.map(|vpc| vpc.value));
    Ok(Arc::new(AwsProvider::new(aws, config)))
}

fn ask_for(flag: &str, error: &DiscoveryError) -> CliError {
    CliError::Usage(format!("{error}; give {flag}"))
}

fn config(flags: &AwsFlags, cluster: String, vpc_id: Option<String>) -> AwsConfig {
    let mut config = AwsConfig::new(cluster);
    config.vpc_id = vpc_id;
    config.class = flags.aws_class.clone();
    config.default_scheme = flags.aws_default_scheme;
    config.default_tags = flags.aws_default_tags.iter().cloned().ordered();
    config.externally_managed_tags = flags.aws_externally_managed_tags.iter().cloned().ordered();
    config.manage_backend_rules = flags.aws_manage_backend_rules;
    config.node_ports = flags.aws_node_ports.clone();
    config.rules_per_group = flags.aws_rules_per_group.into();
    config.targets_per_service = usize::try_from(flags.aws_max_targets_per_service).unwrap_or(usize::MAX);
    config.adopt = flags.aws_adopt;
    if let Some(policy) = &flags.aws_default_ssl_policy {
        config.default_ssl_policy.clone_from(policy);
    }
    config
}

/// What tells where this cluster is at AWS. Read only as far as flags leave something open.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterHints {
    /// The instance this process runs on.
    pub here: Option<InstanceMetadata>,
    /// Instances: those of nodes, and the one this process runs on.
    pub instances: Vec<Arc<Instance>>,
}

impl ClusterHints {
    /// Asks the metadata service, the API server and EC2, each only if need be.
    ///
    /// # Errors
    /// When the API server or EC2 does not answer.
    pub(super) async fn read(flags: &AwsFlags, aws: &Aws, client: &kube::Client) -> Result<Self, CliError> {
        let (name_is_open, vpc_is_open) = (flags.cluster_name.is_none(), flags.aws_vpc_id.is_none());
        if !name_is_open && !vpc_is_open {
            return Ok(ClusterHints::default());
        }
        let here = InstanceMetadata::read().await;
        if !name_is_open && here.as_ref().is_some_and(|here| here.vpc_id.is_some()) {
            return Ok(ClusterHints { here, instances: Vec::new() });
        }
        let mut ids = instances_of_nodes(client).await?;
        if name_is_open {
            ids.extend(here.iter().map(|here| here.instance_id.clone()));
        }
        let instances = match ids.is_empty() {
            true => Vec::new(),
            false => {
                aws.instances(&ids).await.map_err(|e| unanswered(&e, name_is_open))?.into_values().collect()
            }
        };
        Ok(ClusterHints { here, instances })
    }

    /// The cluster's name.
    ///
    /// # Errors
    /// When nothing tells, or the hints disagree.
    pub(super) fn cluster_name(&self, flags: &AwsFlags) -> Result<Discovered, DiscoveryError> {
        discovery::cluster_name(flags.cluster_name.as_deref(), self.instances.iter().map(AsRef::as_ref))
    }

    /// The VPC; none as long as there are no nodes to tell.
    ///
    /// # Errors
    /// When the hints disagree.
    pub(super) fn vpc(&self, flags: &AwsFlags) -> Result<Option<Discovered>, DiscoveryError> {
        let instances = self.instances.iter().map(AsRef::as_ref);
        discovery::vpc(flags.aws_vpc_id.as_deref(), self.here.as_ref(), instances)
    }
}

fn unanswered(error: &ApiError, name_is_open: bool) -> CliError {
    let (what, flag) = match name_is_open {
        true => ("the cluster's name", "--cluster-name NAME"),
        false => ("the VPC", "--aws-vpc-id ID"),
    };
    let message = format!("{what} cannot be found out: {error}; mend it, or give {flag}");
    CliError::Provider { provider: "aws".into(), source: Box::new(Error::transient(message)) }
}

async fn instances_of_nodes(client: &kube::Client) -> Result<BTreeSet<String>, CliError> {
    let some = ListParams::default().limit(NODES_LOOKED_AT);
    let nodes = Api::<Lean<Node>>::all(client.clone()).list(&some).await;
    let nodes = nodes.map_err(|e| CliError::Api { doing: "listing Nodes".into(), source: Box::new(e) })?;
    let ids = nodes.items.iter().filter_map(|node| node.0.spec.as_ref()?.provider_id.as_deref());
    Ok(ids.filter_map(instance_id).map(str::to_owned).ordered())
}
