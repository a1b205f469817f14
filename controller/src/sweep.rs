//! Orphans: what a provider owns in this cluster's name and no Service stands for.
//!
//! They come from a crash together with a finalizer that somebody removed by hand, or from a cluster restored
//! from an old backup. A resource counts as an orphan when its Service was missing in two sweeps in a row and it
//! is older than a grace period; it is deleted only if the operator chose so, and only after the API server was
//! asked for that very Service once more. A list that failed or may be incomplete never leads to a deletion.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cloud_provider::{Owned, ServiceId};

use crate::config::SweepConfig;
use crate::context::Context;
use crate::decide::ProviderIndex;
use crate::metrics::ProviderOperation;
use crate::reconcile::call;

/// What earlier sweeps saw, for "two in a row".
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    suspects: HashSet<ServiceId>,
}

/// Compares what is owned with the live Services: who is missing for the second time and old enough. Pure.
///
/// A resource of unknown age counts as old enough: two sweeps are its grace.
pub(crate) fn orphans(
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
pub(crate) async fn run(context: Arc<Context>) {
    let mut sweeps: Vec<Sweep> = context.providers.iter().map(|_| Sweep::default()).collect();
    loop {
        tokio::time::sleep(context.config.sweep.interval).await;
        for (provider, (handle, sweep)) in context.providers.iter().zip(&mut sweeps).enumerate() {
            // Listed before the Services are read, so that what was made in between is not missed.
            match call(&context, handle, ProviderOperation::list, handle.provider.list()).await {
                Ok(owned) => once(&context, sweep, provider, owned),
                Err(error) => {
                    tracing::warn!(provider = handle.provider.name(), %error, "no sweep: what is owned could not be listed");
                }
            }
        }
    }
}

fn once(context: &Context, sweep: &mut Sweep, provider: ProviderIndex, owned: Vec<Owned>) {
    let shown = context.services.all().into_iter().map(|tracked| tracked.view.id.clone());
    // The release of those that are deleted is under way.
    let live = shown.chain(context.releases.all()).collect();
    let config = context.config.sweep;
    let found = orphans(sweep, owned, &live, config, jiff::Timestamp::now().as_second());
    let name = context.providers.name(provider);
    context.metrics.orphans.set(name, found.values().map(Vec::len).sum());
    for (service, resources) in found {
        let names: Vec<&str> = resources.iter().map(|o| o.resource.as_str()).collect();
        tracing::warn!(%service, provider = name, resources = ?names, delete = config.delete, "orphaned: no such Service");
        // As a Service that a list lacked: it is asked for by name before anything is deleted.
        if config.delete && context.releases.missing(&service, &[provider]) {
            context.wake(&service.key);
        }
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
        let mut found: Vec<String> = orphans(&mut sweep, all(), &live, config, 1_000)
            .into_keys()
            .map(|id| id.key.name.to_string())
            .collect();
        found.sort_unstable();
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
