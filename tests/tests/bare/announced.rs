//! Who announces a Service is told in a condition of it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use metallb::crd::ServiceL2Status;
use serde_json::{Value, json};
use tests::cluster::{addresses, condition};
use tokio::time::timeout;

use crate::Metal;

/// The condition's status, reason and message.
fn announced(service: &Service) -> Option<(String, String, String)> {
    let conditions = service.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|it| it.type_ == "bare.cloud-lb-controller/Announced")?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

fn says(status: &str, word: &str) -> impl Fn(&Service) -> bool {
    move |service| announced(service).is_some_and(|(is, _, why)| is == status && why.contains(word))
}

impl Metal {
    fn layer2_statuses(&self) -> Api<ServiceL2Status> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    /// A node says that it answers for a Service, as MetalLB's speaker says it.
    async fn says_that_it_answers(&self, object: &str, node: &str, service: &str) {
        let kind = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status", "metadata": { "name": object },
        });
        let with = |fields: Value| {
            let mut object = kind.clone();
            object.as_object_mut().expect("fields").extend(fields.as_object().expect("fields").clone());
            Patch::Apply(object)
        };
        let params = PatchParams::apply("speaker").force();
        let api = self.layer2_statuses();
        api.patch(object, &params, &with(json!({ "spec": {} }))).await.expect("the object is accepted");
        let status = json!({
            "node": node, "serviceName": service, "serviceNamespace": self.cluster.namespace,
        });
        let status = with(json!({ "status": status }));
        api.patch_status(object, &params, &status).await.expect("the status is accepted");
    }
}

#[tokio::test]
async fn a_service_says_who_announces_it_and_that_nobody_does_any_more() {
    let metal = Metal::start().await;
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    metal.cluster.create("web").await;
    metal.cluster.until("web", "to say that nobody tells", says("Unknown", "no announcer says")).await;
    let service = metal.cluster.service("web").await;
    assert_eq!(addresses(&service), ["192.0.2.10"]);
    assert_eq!(condition(&service, "bare").expect("ours").0, "True", "its address is had all the same");

    metal.says_that_it_answers("l2-a", "node-1", "web").await;
    let by_one = says("True", "answered for on the local network by node node-1");
    metal.cluster.until("web", "to be announced", by_one).await;

    metal.says_that_it_answers("l2-b", "node-2", "other").await;
    metal.layer2_statuses().delete("l2-a", &DeleteParams::default()).await.expect("it is deleted");
    metal.cluster.until("web", "to be announced no more", says("False", "no node says")).await;

    let plain = json!({ "spec": { "type": "ClusterIP" } });
    metal.cluster.change("web", plain).await;
    let nothing = |service: &Service| announced(service).is_none() && condition(service, "bare").is_none();
    metal.cluster.until("web", "to have no condition of ours", nothing).await;
    running.stop().await;
}

#[tokio::test]
async fn where_nothing_can_be_said_of_announcing_there_is_no_such_condition() {
    let metal = Metal::start().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(metal.cluster.client.clone());
    for kind in ["servicel2statuses", "servicebgpstatuses"] {
        let name = format!("{kind}.metallb.io");
        definitions.delete(&name, &DeleteParams::default()).await.expect("it is deleted");
        let gone = kube::runtime::wait::await_condition(
            definitions.clone(),
            &name,
            |it: Option<&CustomResourceDefinition>| it.is_none(),
        );
        timeout(Duration::from_secs(20), gone).await.expect("in time").expect("it goes");
    }
    metal.pool("office", &["192.0.2.10-192.0.2.19"]).await;
    let running = metal.run();
    metal.cluster.create("web").await;
    let ready = |s: &Service| condition(s, "bare").is_some_and(|(ready, ..)| ready == "True");
    let service = metal.cluster.until("web", "to be served", ready).await;
    assert_eq!(announced(&service), None);
    running.stop().await;
}
