//! The least that does the work: watches Services and writes an address into the status of each that has none. It
//! decides nothing, records nothing, and forgets everything.

use std::net::Ipv4Addr;
use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use tests::cluster::{Cluster, addresses};
use tokio_util::task::AbortOnDropHandle;

use crate::stage::services;

/// Writes that are under way at once, as many as the program has workers.
const AT_ONCE: usize = 32;

/// The client; it stops with this.
pub(crate) struct BareClient {
    _task: AbortOnDropHandle<()>,
}

impl BareClient {
    /// Begins to serve the Services of a cluster.
    pub(crate) fn serve(cluster: &Cluster) -> Self {
        let services = services(cluster);
        let task = tokio::spawn(async move {
            let events = pin!(watcher(services.clone(), watcher::Config::default()));
            let names = events.filter_map(|event| async {
                match event {
                    Ok(Event::Apply(service) | Event::InitApply(service))
                        if addresses(&service).is_empty() =>
                    {
                        Some(service.name_any())
                    }
                    _ => None,
                }
            });
            let mut next = u32::from(Ipv4Addr::new(198, 18, 0, 0));
            names
                .map(|name| {
                    next += 1;
                    write(services.clone(), name, Ipv4Addr::from(next))
                })
                .buffer_unordered(AT_ONCE)
                .for_each(async |()| ())
                .await;
        });
        BareClient { _task: AbortOnDropHandle::new(task) }
    }
}

/// A write as long as the program's.
async fn write(services: Api<Service>, name: String, ip: Ipv4Addr) {
    let patch = json!({
        "metadata": { "annotations": { "metallb.io/ip-allocated-from-pool": "pool" } },
        "status": {
            "loadBalancer": { "ingress": [{ "ip": ip, "ipMode": "VIP" }] },
            "conditions": [{
                "type": "bench/Ready", "status": "True", "reason": "Published", "message": ip,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        },
    });
    services.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a write");
}
