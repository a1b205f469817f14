//! The flags of provider bare to the provider.

use std::sync::Arc;

use apiserver_client::Watches;
use provider_bare::{BareConfig, BareProvider, PoolSource};

use super::flags::BareFlags;
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
    config.removed_address = flags.bare_removed_addresses;
    config.pool_grace = flags.bare_pool_grace;
    config.announcer = flags.bare_announcer;
    config.reuse = flags.bare_reuse;
    config.write_pool_status = flags.bare_write_pool_status;
    config.pools_deadline = flags.bare_pools_timeout;
    let provider = BareProvider::new(config, Some(client.clone()));
    provider
        .map(|provider| Arc::new(provider.watches(watches.clone())))
        .map_err(|e| CliError::Usage(e.to_string()))
}
