//! The flags of provider bare to the provider.

use std::sync::Arc;

use apiserver_client::Watches;
use provider_bare::assignments::Reuse;
use provider_bare::plan::{Announcer, RemovedAddress};
use provider_bare::{BareConfig, BareProvider, PoolSource};

use super::flags::{AddressAnnouncer, AddressReuse, BareFlags, RemovedAddresses};
use crate::error::CliError;

/// The provider.
///
/// # Errors
/// When the file of pools cannot be read.
pub(super) fn provider(
    flags: &BareFlags,
    client: &kube::Client,
    watches: &Watches,
) -> Result<Arc<BareProvider>, CliError> {
    let mut config = BareConfig::default();
    config.class = flags.bare_class.clone();
    config.pools = match &flags.bare_pools_file {
        Some(file) => PoolSource::File(file.clone()),
        None => PoolSource::Cluster { namespace: flags.bare_pools_namespace.clone() },
    };
    config.share_across_namespaces = flags.bare_share_across_namespaces;
    config.removed_address = match flags.bare_removed_addresses {
        RemovedAddresses::Move => RemovedAddress::Move,
        RemovedAddresses::Keep => RemovedAddress::Keep,
        RemovedAddresses::Release => RemovedAddress::Release,
    };
    config.pool_grace = flags.bare_pool_grace;
    config.announcer = match flags.bare_announcer {
        AddressAnnouncer::Metallb => Announcer::MetalLb,
        AddressAnnouncer::Own => Announcer::Own,
    };
    config.reuse = match flags.bare_reuse {
        AddressReuse::Lowest => Reuse::Lowest,
        AddressReuse::LongestFree => Reuse::LongestFree,
    };
    config.write_pool_status = flags.bare_write_pool_status;
    config.pools_deadline = flags.bare_pools_timeout;
    let provider = BareProvider::new(config, Some(client.clone()));
    provider
        .map(|provider| Arc::new(provider.watches(watches.clone())))
        .map_err(|e| CliError::Usage(e.to_string()))
}
