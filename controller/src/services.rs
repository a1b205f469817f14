//! Following Services: the reflected store, what woke the controller, and who has departed.
//!
//! Kubernetes' own controller hears nothing of a deletion it did not block with a finalizer. Here a deleted
//! Service stays in the store as *departed* until what it held was released, so that its release is retried
//! like everything else; a deletion that a broken watch hid is found by comparing the new list with the old.

use std::collections::HashMap;
use std::sync::Arc;

use cloud_provider::ServiceKey;
use cloud_provider::kubernetes::service_key;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use tokio::sync::mpsc;

use crate::context::Context;
use crate::queue::Command;
use crate::service::Tracked;

/// Follows Services until the stream or the commands end: keeps the store, names what changed.
pub async fn follow(
    events: impl Stream<Item = Event<Service>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    writer: Writer<Tracked>,
    context: Arc<Context>,
) {
    let mut events = std::pin::pin!(events);
    let mut follower = Follower { writer, known: HashMap::new(), listing: HashMap::new(), context };
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => follower.event(event),
                None => return,
            },
            command = commands.recv() => match command {
                Some(command) => follower.command(command),
                None => return,
            },
        }
    }
}

struct Follower {
    writer: Writer<Tracked>,
    /// What is in the store.
    known: HashMap<ServiceKey, Tracked>,
    /// What a listing in progress has shown so far.
    listing: HashMap<ServiceKey, Tracked>,
    context: Arc<Context>,
}

impl Follower {
    fn event(&mut self, event: Event<Service>) {
        match event {
            Event::Init => {
                self.listing.clear();
                self.writer.apply_watcher_event(&Event::Init);
            }
            Event::InitApply(service) => {
                let key = service_key(&service);
                let now = Tracked::of(&service);
                if now.is_interesting() || self.known.contains_key(&key) {
                    self.writer.apply_watcher_event(&Event::InitApply(now.clone()));
                    self.listing.insert(key, now);
                }
            }
            Event::InitDone => self.listed(),
            Event::Apply(service) => {
                let key = service_key(&service);
                let now = Tracked::of(&service);
                let before = self.known.get(&key);
                if let Some(before) = before.filter(|b| b.view.id != now.view.id) {
                    self.context.departed(before);
                }
                if now.is_interesting() || before.is_some() {
                    self.keep(key, now);
                }
            }
            Event::Delete(service) => {
                let key = service_key(&service);
                // The deletion carries the last stored state; what we knew may be older.
                let last = Tracked::of(&service);
                if self.known.contains_key(&key) || last.is_interesting() {
                    self.bury(key, &last);
                }
            }
        }
    }

    /// A complete list is in: whoever was known and is not on it has departed while we could not see.
    fn listed(&mut self) {
        let listing = std::mem::take(&mut self.listing);
        let before = std::mem::replace(&mut self.known, listing);
        self.writer.apply_watcher_event(&Event::InitDone);
        for (key, tracked) in before {
            match self.known.get(&key) {
                Some(now) if now.view.id == tracked.view.id => {}
                Some(_) => {
                    self.context.departed(&tracked);
                }
                // Its release goes on.
                None if tracked.gone => self.keep(key, tracked),
                None => self.bury(key, &tracked),
            }
        }
        for key in self.known.keys() {
            self.context.wake(key);
        }
    }

    fn keep(&mut self, key: ServiceKey, now: Tracked) {
        self.writer.apply_watcher_event(&Event::Apply(now.clone()));
        self.context.wake(&key);
        self.known.insert(key, now);
    }

    fn bury(&mut self, key: ServiceKey, last: &Tracked) {
        if self.context.departed(last) {
            self.keep(key, last.departed());
        } else {
            // It was released before it left; or we do not lead, and whoever does releases it.
            self.writer.apply_watcher_event(&Event::Delete(last.clone()));
            self.known.remove(&key);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Forget(key) => {
                if self.known.get(&key).is_some_and(|t| t.gone || !t.is_interesting())
                    && let Some(tracked) = self.known.remove(&key)
                {
                    self.writer.apply_watcher_event(&Event::Delete(tracked));
                }
            }
            Command::Bury(id) => {
                let key = id.key.clone();
                self.context.departed_id(id.clone());
                if self.known.contains_key(&key) {
                    self.context.wake(&key);
                } else {
                    self.keep(key, Tracked::unknown(id));
                }
            }
        }
    }
}
