//! Orphans: what a provider owns in this cluster's name and no Service stands for.
//!
//! They come from a crash together with a finalizer that somebody removed by hand, or from a cluster restored
//! from an old backup. A resource counts as an orphan when its Service was missing in two sweeps in a row and it
//! is older than a grace period; it is deleted only if the operator chose so, and only after the API server was
//! asked for that very Service once more. A list that failed or may be incomplete never leads to a deletion.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cloud_provider::{Owned, ServiceId};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::runtime::reflector::Store;

use crate::config::SweepConfig;
use crate::context::Context;
use crate::metrics::Operation;
use crate::queue::Command;
use crate::reconcile::call::call;
use crate::service::Tracked;

/// What earlier sweeps saw, for "two in a row".
#[derive(Debug, Default)]
pub struct Sweep {
    suspects: HashSet<ServiceId>,
}

/// Compares what is owned with the live Services: who is missing for the second time and old enough. Pure.
///
/// A resource of unknown age counts as old enough: two sweeps are its grace.
pub fn orphans(
    sweep: &mut Sweep,
    owned: Vec<Owned>,
    live: &HashSet<ServiceId>,
    config: SweepConfig,
    now: i64,
) -> HashMap<ServiceId, Vec<Owned>> {
    let missing: Vec<Owned> = owned.into_iter().filter(|o| !live.contains(&o.service)).collect();
    let before = std::mem::replace(&mut sweep.suspects, missing.iter().map(|o| o.service.clone()).collect());
    let grace = i64::try_from(config.grace.as_secs()).unwrap_or(i64::MAX);
    let mut orphans: HashMap<ServiceId, Vec<Owned>> = HashMap::new();
    for owned in missing.into_iter().filter(|o| before.contains(&o.service)) {
        if owned.created.is_none_or(|created| now.saturating_sub(created) >= grace) {
            orphans.entry(owned.service.clone()).or_default().push(owned);
        }
    }
    orphans
}

/// Sweeps every [`SweepConfig::interval`], for ever.
pub async fn run(context: Arc<Context>, store: Store<Tracked>) {
    let mut sweeps: Vec<Sweep> = context.providers.iter().map(|_| Sweep::default()).collect();
    loop {
        tokio::time::sleep(context.config.sweep.interval).await;
        for (handle, sweep) in context.providers.iter().zip(&mut sweeps) {
            let provider = handle.provider.name();
            // Listed before the Services are read, so that what was made in between is not missed.
            match call(&context, handle, Operation::list, handle.provider.list()).await {
                Ok(owned) => once(&context, &store, sweep, provider, owned).await,
                Err(error) => tracing::warn!(provider, %error, "no sweep: what is owned could not be listed"),
            }
        }
    }
}

async fn once(
    context: &Context,
    store: &Store<Tracked>,
    sweep: &mut Sweep,
    provider: &str,
    owned: Vec<Owned>,
) {
    // Departed Services are in the store too: their release is under way.
    let live = store.state().iter().map(|tracked| tracked.view.id.clone()).collect();
    let config = context.config.sweep;
    let found = orphans(sweep, owned, &live, config, jiff::Timestamp::now().as_second());
    context.metrics.orphans.set(provider, found.values().map(Vec::len).sum());
    for (service, resources) in found {
        let names: Vec<&str> = resources.iter().map(|o| o.resource.as_str()).collect();
        tracing::warn!(%service, provider, resources = ?names, delete = config.delete, "orphaned: no such Service");
        if config.delete && is_gone(context, &service).await {
            context.command(Command::Bury(service));
        }
    }
}

/// Whether the API server, asked now, knows no Service with this UID.
async fn is_gone(context: &Context, id: &ServiceId) -> bool {
    let api: Api<Service> = Api::namespaced(context.client.clone(), &id.key.namespace);
    match api.get_opt(&id.key.name).await {
        Ok(None) => true,
        Ok(Some(service)) => service.metadata.uid.as_deref() != Some(&id.uid),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn owned(name: &str, created: Option<i64>) -> Owned {
        Owned::new(ServiceId::new("ns", name, name), format!("lb-{name}")).created(created)
    }

    #[test]
    fn an_orphan_is_missing_twice_in_a_row_and_older_than_the_grace() {
        let config = SweepConfig { grace: Duration::from_secs(100), ..SweepConfig::default() };
        let live = HashSet::from([ServiceId::new("ns", "live", "live")]);
        let all = || {
            vec![
                owned("live", Some(0)),
                owned("old", Some(0)),
                owned("young", Some(950)),
                owned("ageless", None),
            ]
        };
        let mut sweep = Sweep::default();
        assert!(orphans(&mut sweep, all(), &live, config, 1_000).is_empty(), "missing once proves nothing");
        let mut found: Vec<String> =
            orphans(&mut sweep, all(), &live, config, 1_000).into_keys().map(|id| id.key.name).collect();
        found.sort();
        assert_eq!(found, ["ageless", "old"]);
    }

    #[test]
    fn a_service_seen_in_between_starts_the_count_again() {
        let mut sweep = Sweep::default();
        let config = SweepConfig::default();
        let (nobody, somebody) = (HashSet::new(), HashSet::from([ServiceId::new("ns", "a", "a")]));
        for (live, orphaned) in [(&nobody, 0), (&somebody, 0), (&nobody, 0), (&nobody, 1)] {
            assert_eq!(orphans(&mut sweep, vec![owned("a", None)], live, config, 0).len(), orphaned);
        }
    }
}
