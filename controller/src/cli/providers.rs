//! Flags to providers.

use std::sync::Arc;

use cloud_provider::CloudLoadBalancer;

use super::error::CliError;
use super::flags::{ProviderName, RunFlags};

/// Whether the flags name a provider, and give it what it cannot do without.
///
/// # Errors
/// When they do not; the message names the flag.
pub fn check(flags: &RunFlags) -> Result<(), CliError> {
    if flags.service.cloud_provider.is_empty() {
        let message = "--cloud-provider is missing: who is to make load balancers? --help lists them";
        return Err(CliError::Usage(message.into()));
    }
    #[cfg(feature = "aws")]
    if flags.service.cloud_provider.contains(&ProviderName::Aws) && flags.aws.cluster_name.is_none() {
        let message = "--cluster-name is missing: provider aws recognises its load balancers by it";
        return Err(CliError::Usage(message.into()));
    }
    Ok(())
}

/// The providers the flags name, in order.
///
/// # Errors
/// When one cannot be made from its flags.
pub async fn from_flags(
    flags: &RunFlags,
    client: &kube::Client,
) -> Result<Vec<Arc<dyn CloudLoadBalancer>>, CliError> {
    check(flags)?;
    let mut providers = Vec::new();
    for name in &flags.service.cloud_provider {
        providers.push(match name {
            #[cfg(feature = "aws")]
            ProviderName::Aws => aws(&flags.aws).await?,
            #[cfg(feature = "bare")]
            ProviderName::Bare => bare(&flags.bare, client.clone())?,
        });
    }
    Ok(providers)
}

#[cfg(feature = "aws")]
async fn aws(flags: &super::flags::AwsFlags) -> Result<Arc<dyn CloudLoadBalancer>, CliError> {
    use provider_aws::client::{Aws, RateLimited, Rates, Sdk, SdkOptions, SharingOptions};
    use provider_aws::{AwsConfig, AwsProvider};

    let mut config = AwsConfig {
        vpc_id: flags.aws_vpc_id.clone(),
        class: flags.aws_class.clone(),
        default_scheme: flags.aws_default_scheme,
        default_tags: flags.aws_default_tags.iter().cloned().collect(),
        externally_managed_tags: flags.aws_externally_managed_tags.iter().cloned().collect(),
        manage_backend_rules: flags.aws_manage_backend_rules,
        node_ports: flags.aws_node_ports.clone(),
        adopt: flags.aws_adopt,
        ..AwsConfig::new(flags.cluster_name.clone().unwrap_or_default())
    };
    if let Some(policy) = &flags.aws_default_ssl_policy {
        config.default_ssl_policy.clone_from(policy);
    }
    let options = SdkOptions { region: flags.aws_region.clone(), ..SdkOptions::default() };
    let sdk = Sdk::from_environment(&options).await.map_err(|e| CliError::Usage(e.to_string()))?;
    let aws = Aws::new(RateLimited::rate_limited(sdk, &Rates::default()), SharingOptions::default());
    Ok(Arc::new(AwsProvider::new(aws, config)))
}

#[cfg(feature = "bare")]
fn bare(
    flags: &super::flags::BareFlags,
    client: kube::Client,
) -> Result<Arc<dyn CloudLoadBalancer>, CliError> {
    use super::flags::{AddressReuse, RemovedAddresses};
    use provider_bare::ledger::Reuse;
    use provider_bare::plan::RemovedAddress;
    use provider_bare::{BareConfig, BareProvider, PoolSource};

    let config = BareConfig {
        class: flags.bare_class.clone(),
        pools: match &flags.bare_pools_file {
            Some(file) => PoolSource::File(file.clone()),
            None => PoolSource::Cluster { namespace: flags.bare_pools_namespace.clone() },
        },
        share_across_namespaces: flags.bare_share_across_namespaces,
        removed_address: match flags.bare_removed_addresses {
            RemovedAddresses::Move => RemovedAddress::Move,
            RemovedAddresses::Keep => RemovedAddress::Keep,
            RemovedAddresses::Release => RemovedAddress::Release,
        },
        reuse: match flags.bare_reuse {
            AddressReuse::Lowest => Reuse::Lowest,
            AddressReuse::LongestFree => Reuse::LongestFree,
        },
        write_pool_status: flags.bare_write_pool_status,
        pools_deadline: flags.bare_pools_timeout,
    };
    let provider = BareProvider::new(config, Some(client)).map_err(|e| CliError::Usage(e.to_string()))?;
    Ok(Arc::new(provider))
}
