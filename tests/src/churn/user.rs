//! What users do to their Services, through an API server that may fail them, too.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::impatient;
use crate::cluster::Cluster;

/// How many names there are: few, so that Services follow each other under one name.
const NAME_COUNT: usize = 24;

pub(super) struct User {
    services: Api<Service>,
    class: Option<&'static str>,
}

/// Whether the Service wants a load balancer, and is not on its way out.
pub(super) fn is_balancer(service: &Service) -> bool {
    let type_ = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    type_ == Some("LoadBalancer") && service.metadata.deletion_timestamp.is_none()
}

impl User {
    pub(super) fn of(cluster: &Cluster, class: Option<&'static str>) -> Self {
        let services = Api::namespaced(impatient(&cluster.client), &cluster.namespace);
        User { services, class }
    }

    /// Does one thing to one Service.
    pub(super) async fn acts(&self, rng: &mut fastrand::Rng) {
        let name = name(rng);
        match rng.u32(0..10) {
            0..4 => self.creates(&name).await,
            4..6 => {
                let ports: Vec<Value> = (0..rng.u16(1..4))
                    .map(|i| json!({ "name": format!("p{i}"), "port": 80 + i, "protocol": "TCP" }))
                    .collect();
                self.changes(&name, json!({ "spec": { "ports": ports } })).await;
            }
            6 => {
                self.changes(&name, json!({ "spec": { "type": "ClusterIP", "loadBalancerClass": null } }))
                    .await;
            }
            7 => {
                let spec = json!({ "type": "LoadBalancer", "loadBalancerClass": self.class });
                self.changes(&name, json!({ "spec": spec })).await;
            }
            8 => self.deletes(&name).await,
            _ => {
                self.deletes(&name).await;
                self.creates(&name).await;
            }
        }
    }

    /// Takes everybody's finalizers off a Service: what people do when something hangs.
    pub(super) async fn takes_finalizers_off(&self, rng: &mut fastrand::Rng) {
        self.changes(&name(rng), json!({ "metadata": { "finalizers": null } })).await;
    }

    async fn creates(&self, name: &str) {
        let object = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name },
            "spec": {
                "type": "LoadBalancer", "loadBalancerClass": self.class,
                "selector": { "app": name }, "ports": [{ "name": "p0", "port": 80 }],
            },
        });
        let service = serde_json::from_value(object).expect("a Service");
        // A user whom the server refuses goes on with something else; so with all of these.
        let _ = self.services.create(&PostParams::default(), &service).await;
    }

    async fn changes(&self, name: &str, changes: Value) {
        let _ = self.services.patch(name, &PatchParams::default(), &Patch::Merge(changes)).await;
    }

    async fn deletes(&self, name: &str) {
        let _ = self.services.delete(name, &DeleteParams::default()).await;
    }

    /// All Services that there are. It asks until it is answered: a connection may have died meanwhile.
    pub(super) async fn services(&self) -> Vec<Service> {
        loop {
            if let Ok(list) = self.services.list(&ListParams::default()).await {
                return list.items;
            }
        }
    }

    pub(super) async fn deletes_everything(&self) {
        for service in self.services().await {
            self.deletes(&service.name_any()).await;
        }
    }
}

fn name(rng: &mut fastrand::Rng) -> String {
    format!("churn-{:02}", rng.usize(..NAME_COUNT))
}
