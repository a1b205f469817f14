//! Who watches Services and notes when each was first seen with an address.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tests::cluster::addresses;
use tokio::task::JoinHandle;

type FirstSeen = Arc<Mutex<HashMap<String, Instant>>>;

/// The witness; it stops with this.
pub(crate) struct Witness {
    seen: FirstSeen,
    task: JoinHandle<()>,
}

impl Witness {
    /// Begins to watch.
    pub(crate) fn of(services: Api<Service>) -> Self {
        let seen = FirstSeen::default();
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            let mut events = pin!(watcher(services, watcher::Config::default()));
            while let Some(event) = events.next().await {
                if let Ok(Event::Apply(service) | Event::InitApply(service)) = event
                    && !addresses(&service).is_empty()
                {
                    noted.lock().expect("no panic").entry(service.name_any()).or_insert_with(Instant::now);
                }
            }
        });
        Witness { seen, task }
    }

    /// Waits until so many were seen with an address.
    pub(crate) async fn until(&self, count: usize) {
        while self.seen.lock().expect("no panic").len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until this one was seen with an address; when that was.
    pub(crate) async fn of_service(&self, name: &str) -> Instant {
        loop {
            if let Some(at) = self.seen.lock().expect("no panic").get(name) {
                return *at;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// From the first to the last that was seen with an address.
    pub(crate) fn span(&self) -> Duration {
        let seen = self.seen.lock().expect("no panic");
        let (first, last) = (seen.values().min(), seen.values().max());
        first.zip(last).map(|(first, last)| *last - *first).unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}
