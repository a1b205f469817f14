//! Following Services: what the watch shows of them, and who was deleted.
//!
//! Kubernetes' own controller hears nothing of a deletion it did not block with a finalizer. Here whoever leaves the
//! watch, or loses its name to another, is noted among the [releases](crate::releases), and its release is retried like
//! everything else. A deletion that a broken watch hid is found by comparing the new list with the old; since a list can
//! be wrong, that is a suspicion and no more: see [`Presence::Missing`](crate::decide::Presence::Missing).

use std::collections::HashMap;
use std::sync::Arc;

use apiserver_client::Lean;
use cloud_provider::{ServiceId, ServiceKey};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::context::Context;
use crate::service::Tracked;

/// How many Services a list may lack before that is suspicious: people delete a few at a time.
const SUSPICIOUSLY_MANY_SERVICES: usize = 10;

/// Follows Services until the stream ends; says when the first complete list is in.
pub(crate) async fn services(
    events: impl Stream<Item = Event<Lean<Service>>>,
    context: Arc<Context>,
    complete: watch::Sender<bool>,
) {
    let mut events = std::pin::pin!(events);
    let mut listing: HashMap<ServiceKey, Arc<Tracked>> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(Lean(service)) => {
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
            Event::Apply(Lean(service)) => shown(&context, Tracked::of(&service)),
            Event::Delete(Lean(service)) => deleted(&context, &Tracked::of(&service)),
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
        // Mostly it is what our own write returned: kept once, and not looked at again if there was nothing left to do.
        let (now, is_settled) = context.memories.written_as(&now).unwrap_or_else(|| (Arc::new(now), false));
        context.services.put(now.clone());
        observe(context, &now, before.as_deref());
        if !is_settled {
            context.wake(&id.key);
        }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use cloud_provider::testing::{MemoryCloud, service_object};
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::time::timeout;
    use tower::service_fn;

    use super::*;
    use crate::reconcile::reconcile;

    /// A Service as the API server stores it under this version.
    fn stored(version: &str) -> Value {
        let mut service = serde_json::to_value(service_object(json!({}))).unwrap();
        service["metadata"]["resourceVersion"] = json!(version);
        service
    }

    /// With the marks and the status of a patch.
    fn patched(mut service: Value, patch: &Value, version: &str) -> Value {
        for (to, from) in [
            ("annotations", &patch["metadata"]["annotations"]),
            ("finalizers", &patch["metadata"]["finalizers"]),
        ] {
            if !from.is_null() {
                service["metadata"][to] = from.clone();
            }
        }
        for (name, value) in patch["status"].as_object().into_iter().flatten() {
            service["status"][name] = value.clone();
        }
        service["metadata"]["resourceVersion"] = json!(version);
        service
    }

    fn tracked(service: &Value) -> Tracked {
        Tracked::of(&serde_json::from_value::<Service>(service.clone()).unwrap())
    }

    /// With a server that stores every patch as the next version.
    fn context(stored: Arc<parking_lot::Mutex<Value>>) -> Arc<Context> {
        let server = service_fn(move |request: Request<Body>| {
            let stored = stored.clone();
            async move {
                let patch = request.into_body().collect_bytes().await.unwrap();
                let patch: Value = serde_json::from_slice(&patch).unwrap();
                let mut service = stored.lock();
                let version: u64 = service["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                *service = patched(service.clone(), &patch, &(version + 1).to_string());
                Ok::<_, Infallible>(Response::new(Body::from(service.to_string().into_bytes())))
            }
        });
        Context::that_leads(kube::Client::new(server, "default"), MemoryCloud::new().provider())
    }

    /// Works until nobody waits; how many reconciles that took.
    async fn work(context: &Arc<Context>) -> usize {
        let mut count = 0;
        while let Ok(item) = timeout(Duration::from_secs(1), context.queue.next()).await {
            reconcile(item, context.clone()).await;
            count += 1;
        }
        count
    }

    #[test]
    fn the_answer_that_ends_a_service_is_not_what_was_stored_before_under_the_same_version() {
        let [mut before, mut after] = [stored("7"), stored("7")];
        before["metadata"]["finalizers"] = json!([crate::status::FINALIZER]);
        assert!(!tracked(&before).is_as_stored_with(&tracked(&after)));
        after["metadata"]["finalizers"] = before["metadata"]["finalizers"].clone();
        assert!(tracked(&before).is_as_stored_with(&tracked(&after)));
        after["metadata"]["resourceVersion"] = json!("8");
        assert!(!tracked(&before).is_as_stored_with(&tracked(&after)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_our_own_write_returned_is_kept_once_and_not_looked_at_again_when_the_watch_shows_it() {
        let server = Arc::new(parking_lot::Mutex::new(stored("1")));
        let context = context(server.clone());
        shown(&context, tracked(&server.lock()));
        assert_eq!(work(&context).await, 1);
        let written = server.lock().clone();
        assert_eq!(written["status"]["conditions"][0]["status"], "True", "it is served: {written}");

        shown(&context, tracked(&written));
        assert_eq!(work(&context).await, 0);
        let id = tracked(&written).view.id.clone();
        let (followed, kept) = (context.memories.followed_view(&id), context.services.get(&id.key));
        assert!(Arc::ptr_eq(&followed.expect("it is followed"), &kept.expect("it is shown").view));

        // Somebody takes off what was published.
        server.lock()["status"]["loadBalancer"] = json!({});
        server.lock()["metadata"]["resourceVersion"] = json!("90");
        let changed = server.lock().clone();
        shown(&context, tracked(&changed));
        assert_eq!(work(&context).await, 1);
        // That was written without another look at what the server made of it.
        let written = server.lock().clone();
        assert!(written["status"]["loadBalancer"]["ingress"][0].is_object(), "it is back: {written}");
        shown(&context, tracked(&written));
        assert_eq!(work(&context).await, 1);
    }
}
