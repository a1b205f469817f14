//! Following Services: what the watch shows of them, and who was deleted.
//!
//! Kubernetes' own controller hears nothing of a deletion it did not block with a finalizer. Here whoever leaves the
//! watch, or loses its name to another, is noted among the [releases](crate::releases), and its release is retried like
//! everything else. A deletion that a broken watch hid is found by comparing the new list with the old; since a list can
//! be wrong, that is a suspicion and no more: see [`Presence::Missing`](crate::decide::Presence::Missing).

use std::collections::HashMap;
use std::sync::Arc;

use cloud_provider::{ServiceId, ServiceKey};
use futures::{Stream, StreamExt};
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::context::Context;
use crate::service::Tracked;
use crate::service_object::ServiceObject;

/// How many Services a list may lack before that is suspicious: people delete a few at a time.
const SUSPICIOUSLY_MANY_SERVICES: usize = 10;

/// Follows Services until the stream ends; says when the first complete list is in.
pub(crate) async fn services(
    events: impl Stream<Item = Event<ServiceObject>>,
    context: Arc<Context>,
    complete: watch::Sender<bool>,
) {
    let mut events = std::pin::pin!(events);
    let mut listing: HashMap<ServiceKey, Arc<Tracked>> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(ServiceObject(service)) => {
                let mut now = Tracked::of(&service);
                let known = context.services.get(&now.view.id.key);
                if let Some(known) = &known {
                    now.share_id(&known.view.id);
                }
                if now.is_interesting() || known.is_some() {
                    listing.insert(now.view.id.key.clone(), Arc::new(now));
                }
            }
            Event::InitDone => {
                listed(&context, std::mem::take(&mut listing));
                complete.send_replace(true);
            }
            Event::Apply(ServiceObject(service)) => shown(&context, Tracked::of(&service)),
            Event::Delete(ServiceObject(service)) => deleted(&context, &Tracked::of(&service)),
        }
    }
}

/// The API server showed a Service.
pub(crate) fn shown(context: &Context, mut now: Tracked) {
    let before = context.services.get(&now.view.id.key);
    if let Some(before) = &before {
        now.share_id(&before.view.id);
    }
    let id = now.view.id.clone();
    context.releases.found(&id);
    if now.is_interesting() || before.is_some() {
        let now = Arc::new(now);
        context.services.put(now.clone());
        observe(context, &now, before.as_deref());
        context.wake(&id.key);
    }
    if let Some(before) = before.filter(|before| before.view.id != id) {
        gone(context, &before, Gone::Deleted);
    }
}

/// A Service was deleted. `last` is its last stored state; what we knew may be older.
fn deleted(context: &Context, last: &Tracked) {
    let id = &last.view.id;
    let known = context.services.shows(id);
    context.services.remove(id);
    if known || last.is_interesting() || context.releases.of(id).is_some() {
        gone(context, last, Gone::Deleted);
    }
}

/// A complete list is in: whoever was known and is not on it has gone while we could not see, or so it seems.
fn listed(context: &Context, listing: HashMap<ServiceKey, Arc<Tracked>>) {
    let ids: Vec<ServiceId> = listing.values().map(|tracked| tracked.view.id.clone()).collect();
    let before = context.services.replace(listing);
    let known = before.len();
    let mut missing = 0;
    for id in &ids {
        context.releases.found(id);
    }
    for tracked in before.values() {
        match context.services.get(&tracked.view.id.key) {
            Some(now) if now.view.id == tracked.view.id => {}
            Some(_) => gone(context, tracked, Gone::Deleted),
            None => {
                gone(context, tracked, Gone::Missing);
                missing += 1;
            }
        }
    }
    if context.is_active() {
        context.metrics.services_missing(missing);
        if missing >= SUSPICIOUSLY_MANY_SERVICES {
            tracing::warn!(
                missing,
                known,
                "a list of Services lacks many that were there: each is asked for by name before anything is deleted"
            );
        }
    }
    for id in ids {
        if let Some(tracked) = context.services.get(&id.key) {
            observe(context, &tracked, before.get(&id.key).map(Arc::as_ref));
        }
        context.wake(&id.key);
    }
}

/// Before anybody is served: what another controller publishes is given to nobody from here on. Who does not lead yet is
/// told when it does.
fn observe(context: &Context, now: &Tracked, before: Option<&Tracked>) {
    if context.is_active() {
        let before = before.filter(|before| before.view.id == now.view.id);
        context.providers.observe_foreign(now, before);
    }
}

/// As [`observe`], for what changed while a provider was resuming with what was shown `before`: it knew better for a
/// moment, and then rebuilt everything from that.
pub(crate) fn observe_again(context: &Context, before: &[Arc<Tracked>]) {
    let before: HashMap<&ServiceId, &Tracked> = before.iter().map(|it| (&it.view.id, &**it)).collect();
    for mut shown in context.services.all() {
        loop {
            context.providers.observe_foreign(&shown, before.get(&shown.view.id).copied());
            // What is newer is shown before it is observed: whoever saw nothing newer was not the last to tell.
            match context.services.get(&shown.view.id.key) {
                Some(newer) if !Arc::ptr_eq(&newer, &shown) => shown = newer,
                _ => break,
            }
        }
    }
}

enum Gone {
    /// Certainly.
    Deleted,
    /// As far as a list says.
    Missing,
}

/// Notes that a Service is not in the cluster any more; whoever leads releases what is held for it. It is not among the
/// Services that are shown by then, so that it is never released and served in one reconcile.
fn gone(context: &Context, last: &Tracked, how: Gone) {
    let id = &last.view.id;
    if !context.is_active() {
        return;
    }
    let holders = context.providers.possible_holders(last);
    let left_to_do = match how {
        Gone::Deleted => context.releases.deleted(id, &holders),
        Gone::Missing => context.releases.missing(id, &holders),
    };
    if !left_to_do {
        context.memories.forget(id);
    }
    // Also where nothing is left: nobody waits any more for what a reconcile would have brought it.
    context.queue.add(&id.key);
}
