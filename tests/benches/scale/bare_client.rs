//! The least that does the work: watches Services and writes an address into the status of each that has none. It
//! decides nothing, records nothing, and forgets everything. It is this bench, told to be it, in a process of its own.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::process::Command;

use apiserver_client::connect;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Config, ResourceExt};
use serde_json::json;
use tests::cluster::{Cluster, addresses};
use tower::layer::util::Identity;

use crate::process::Process;
use crate::program::WORKERS;

/// By this word the bench knows that it is to be the client; the kubeconfig and the namespace follow.
const SERVE: &str = "--serve-with";

/// Has it serve the Services of a cluster.
pub(crate) fn start(cluster: &Cluster) -> Process {
    Process::start(&cluster.plane, |kubeconfig| {
        let mut command = Command::new(std::env::current_exe().expect("this bench"));
        command.arg(SERVE).arg(kubeconfig).arg(&cluster.namespace);
        command
    })
}

/// Serves for ever, if the bench was told to.
pub(crate) async fn serve_if_asked() {
    let mut words = std::env::args().skip_while(|word| word != SERVE).skip(1);
    if let Some((kubeconfig, namespace)) = words.next().zip(words.next()) {
        serve(&kubeconfig, &namespace).await;
    }
}

async fn serve(kubeconfig: &str, namespace: &str) {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = connect(config.expect("a configuration"), &Identity::new()).expect("a client");
    let services: Api<Service> = Api::namespaced(client, namespace);
    let events = pin!(watcher(services.clone(), watcher::Config::default()));
    let names = events.filter_map(|event| async {
        match event {
            Ok(Event::Apply(service) | Event::InitApply(service)) if addresses(&service).is_empty() => {
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
        .buffer_unordered(WORKERS)
        .for_each(async |()| ())
        .await;
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
