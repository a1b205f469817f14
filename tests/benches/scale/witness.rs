//! Who watches Services and notes when each was first seen with an address.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tests::cluster::{Cluster, addresses};
use tokio_util::task::AbortOnDropHandle;

use crate::stage::{Made, services};

type FirstSeen = Arc<Mutex<HashMap<String, Instant>>>;

/// The witness; it stops with this.
pub(crate) struct Witness {
    seen: FirstSeen,
    _task: AbortOnDropHandle<()>,
}

impl Witness {
    /// Begins to watch.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let services: Api<Service> = services(cluster);
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
        Witness { seen, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits until so many were seen with an address; when the last of them was.
    pub(crate) async fn until(&self, count: usize) -> Instant {
        while self.seen.lock().expect("no panic").len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.seen.lock().expect("no panic").values().max().copied().expect("some were seen")
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

    /// How long each of these took from being asked for to its address.
    pub(crate) async fn took(&self, made: &[Made]) -> Vec<Duration> {
        let mut took = Vec::new();
        for Made { name, began, .. } in made {
            took.push(self.of_service(name).await - *began);
        }
        took
    }
}
