//! `orphans`: what belongs to this cluster and to no Service of it.

use std::collections::{BTreeMap, HashSet};

use apiserver_client::{Lean, Watches};
use clap::Args;
use cloud_provider::kubernetes::service_view;
use cloud_provider::{Owned, ServiceId};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams};

use crate::error::{CliError, EXIT_CODE_DONE, EXIT_CODE_FOUND};
use crate::flags::RunFlags;
use crate::{connection, providers};

/// What to do with them.
#[derive(Args, Clone, Debug)]
pub(super) struct OrphanFlags {
    /// Delete them
    #[arg(long)]
    delete: bool,

    #[command(flatten)]
    pub run: RunFlags,
}

/// Lists, or deletes, what no Service stands for. The exit code: 0 there is none (any more), 2 there are some.
///
/// The running controller waits for two sightings and a grace period; an operator who asks has the cluster
/// before their eyes, so this looks once, and lists the Services after the resources: what was made in between has
/// its Service on the list.
///
/// # Errors
/// When the cluster or a provider cannot be asked; nothing is deleted then.
pub(super) async fn run(flags: OrphanFlags) -> Result<u8, CliError> {
    let client = connection::client(&flags.run.cluster, "orphans").await?;
    let mut left = false;
    for provider in
        providers::build(&flags.run.chosen_providers()?, &client, &Watches::new(client.clone())).await?
    {
        let failed = |e| CliError::Provider { provider: provider.name().into(), source: Box::new(e) };
        if !provider.holds_resources() {
            println!("{}: holds nothing outside the cluster", provider.name());
            continue;
        }
        provider.resume(&[]).await.map_err(failed)?;
        let owned = provider.list().await.map_err(failed)?;
        let live: HashSet<ServiceId> = Api::<Lean<Service>>::all(client.clone())
            .list(&ListParams::default())
            .await
            .map_err(|e| CliError::Api { doing: "listing Services".into(), source: Box::new(e) })?
            .items
            .iter()
            .map(|s| service_view(&s.0).id)
            .collect();
        let mut orphans: BTreeMap<ServiceId, Vec<Owned>> = BTreeMap::new();
        for owned in owned.into_iter().filter(|o| !live.contains(&o.service)) {
            orphans.entry(owned.service.clone()).or_default().push(owned);
        }
        if orphans.is_empty() {
            println!("{}: no orphans", provider.name());
        }
        for (service, resources) in &orphans {
            println!("{}: of Service {service}:", provider.name());
            for owned in resources {
                println!("  {}", owned.resource);
            }
            if flags.delete {
                provider.delete(service).await.map_err(failed)?;
                println!("  deleted");
            }
        }
        left |= !orphans.is_empty() && !flags.delete;
    }
    Ok(if left { EXIT_CODE_FOUND } else { EXIT_CODE_DONE })
}
