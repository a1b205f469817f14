//! Flags to providers.

use std::sync::Arc;

use cloud_provider::CloudLoadBalancer;

use super::error::CliError;
use super::flags::{ProviderName, RunFlags};
use super::measures::Measures;

/// Whether the flags name a provider.
///
/// # Errors
/// When they do not.
pub fn check(flags: &RunFlags) -> Result<(), CliError> {
    if flags.service.cloud_provider.is_empty() {
        let message = "--cloud-provider is missing: who is to make load balancers? --help lists them";
        return Err(CliError::Usage(message.into()));
    }
    Ok(())
}

/// The providers the flags name, in order.
///
/// # Errors
/// When one cannot be made from its flags and from what they leave to be found out.
pub async fn from_flags(
    flags: &RunFlags,
    client: &kube::Client,
    measures: &Measures,
) -> Result<Vec<Arc<dyn CloudLoadBalancer>>, CliError> {
    check(flags)?;
    let mut providers = Vec::new();
    for name in &flags.service.cloud_provider {
        providers.push(match name {
            #[cfg(feature = "aws")]
            ProviderName::Aws => super::aws::provider(&flags.aws, client, measures).await?,
            #[cfg(feature = "bare")]
            ProviderName::Bare => bare(&flags.bare, client.clone(), measures)?,
        });
    }
    Ok(providers)
}

#[cfg(feature = "bare")]
fn bare(
    flags: &super::flags::BareFlags,
    client: kube::Client,
    measures: &Measures,
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
    let provider = Arc::new(provider);
    measures.pools.are_those_of(&provider);
    Ok(provider)
}
