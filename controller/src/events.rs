//! Events on Services: what `kubectl describe` shows.
//!
//! Off the critical path: a reconcile hands an event over and goes on; one task posts them at a bounded rate,
//! folds repeats of the same event into its count, and drops what does not fit (the condition carries the
//! current state, so nothing is lost but history).

use std::collections::HashMap;
use std::time::Duration;

use cloud_provider::{NoteKind, ServiceId};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Events waiting to be posted; more are dropped.
const QUEUE: usize = 1_000;
/// Posted events remembered, to fold repeats.
const REMEMBERED: usize = 4_096;
/// One event per this long in the long run ...
const INTERVAL: Duration = Duration::from_millis(50);
/// ... after a burst of this many.
const BURST: u32 = 100;
/// Longest message the newer Events API shows.
const LONGEST: usize = 1_024;
/// The component shown as the event's source, as Kubernetes' own service controller shows it.
pub const COMPONENT: &str = "service-controller";

/// One thing to tell about a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRequest {
    /// About which Service.
    pub service: ServiceId,
    /// Good or bad.
    pub kind: NoteKind,
    /// A `CamelCase` word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Where reconciles hand their events over.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<EventRequest>,
}

impl Events {
    /// The handle, and the task that posts until every handle is gone. `reporter` tells this process from its
    /// peers.
    pub fn new(client: kube::Client, reporter: String) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Events { queue }, post(client, reporter, waiting))
    }

    /// Hands an event over; never waits.
    pub fn emit(&self, telling: EventRequest) {
        if self.queue.try_send(telling).is_err() {
            tracing::debug!("an event was dropped: the queue is full");
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Fold {
    uid: String,
    reason: String,
    message: String,
}

async fn post(client: kube::Client, reporter: String, mut waiting: mpsc::Receiver<EventRequest>) {
    let mut posted: HashMap<Fold, (String, i32)> = HashMap::new();
    // A token bucket kept as the moment it was last full: spending moves it on, waiting catches up.
    let mut spent = Instant::now().checked_sub(INTERVAL * BURST).unwrap_or_else(Instant::now);
    while let Some(telling) = waiting.recv().await {
        let now = Instant::now();
        spent = spent.max(now.checked_sub(INTERVAL * BURST).unwrap_or(now)) + INTERVAL;
        sleep_until(spent).await;
        let api: Api<Event> = Api::namespaced(client.clone(), &telling.service.key.namespace);
        let message = shortened(&telling.message);
        let fold = Fold {
            uid: telling.service.uid.clone(),
            reason: telling.reason.clone(),
            message: message.clone(),
        };
        if let Some((name, count)) = posted.get_mut(&fold) {
            *count += 1;
            let again = json!({ "count": count, "lastTimestamp": Time(Timestamp::now()) });
            match api.patch(name, &PatchParams::default(), &Patch::Merge(again)).await {
                Ok(_) => continue,
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    tracing::debug!(%error, "an event could not be counted up");
                    continue;
                }
            }
        }
        let event = event(&telling, message, &reporter);
        match api.create(&PostParams::default(), &event).await {
            Ok(event) => {
                if posted.len() >= REMEMBERED {
                    posted.clear();
                }
                posted.insert(fold, (event.metadata.name.unwrap_or_default(), 1));
            }
            Err(error) => tracing::debug!(%error, "an event could not be posted"),
        }
    }
}

fn event(telling: &EventRequest, message: String, reporter: &str) -> Event {
    let now = Timestamp::now();
    let ServiceId { key, uid } = &telling.service;
    // Kubernetes names events after their object and a unique suffix.
    let name = format!("{}.{:x}", key.name, now.as_nanosecond());
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(key.namespace.clone()),
            ..Default::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Service".into()),
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            uid: Some(uid.clone()),
            ..Default::default()
        },
        type_: Some(match telling.kind {
            NoteKind::Normal => "Normal".into(),
            NoteKind::Warning => "Warning".into(),
        }),
        reason: Some(telling.reason.clone()),
        message: Some(message),
        source: Some(EventSource { component: Some(COMPONENT.into()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        event_time: None::<MicroTime>,
        reporting_component: Some(COMPONENT.into()),
        reporting_instance: Some(reporter.into()),
        ..Default::default()
    }
}

/// Cut at a character boundary, with a sign that it was cut.
fn shortened(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let mut end = LONGEST - '…'.len_utf8();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_character_and_says_so() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(2_000));
        assert!(cut.len() <= LONGEST && cut.ends_with('…'));
    }
}
