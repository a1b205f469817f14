//! A Service as the API server shows it, without what is half of its text and nobody here reads.
//!
//! Each entry of `metadata.managedFields` names the fields of one writer, as a tree with a map for each of them. To build
//! those trees, for every event and for every answer to a write, took a quarter of all that the controller did. It reads
//! who wrote, and when.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServiceSpec, ServiceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A Service with as much of its metadata as is read of it: who it is, its marks, and who wrote it.
#[derive(Clone, Debug)]
pub(crate) struct ServiceObject(pub(crate) Service);

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<ServiceSpec>,
    status: Option<ServiceStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    managed_fields: Option<Vec<Writer>>,
}

#[derive(Deserialize)]
struct Writer {
    manager: Option<String>,
    operation: Option<String>,
    subresource: Option<String>,
    time: Option<Time>,
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        let writers =
            metadata.managed_fields.map(|all| all.into_iter().map(ManagedFieldsEntry::from).collect());
        ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            managed_fields: writers,
            ..ObjectMeta::default()
        }
    }
}

impl From<Writer> for ManagedFieldsEntry {
    fn from(writer: Writer) -> Self {
        let Writer { manager, operation, subresource, time } = writer;
        ManagedFieldsEntry { manager, operation, subresource, time, ..ManagedFieldsEntry::default() }
    }
}

impl<'de> Deserialize<'de> for ServiceObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Shown { metadata, spec, status } = Shown::deserialize(deserializer)?;
        Ok(ServiceObject(Service { metadata: metadata.into(), spec, status }))
    }
}

impl Resource for ServiceObject {
    type DynamicType = ();
    type Scope = <Service as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        Service::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Service::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Service::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Service::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::service::Tracked;

    /// As a server shows it, with everything that metadata may have.
    fn shown() -> Value {
        json!({
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {
                "name": "web", "namespace": "shop", "generateName": "we", "uid": "u-1", "resourceVersion": "42", "generation": 3,
                "selfLink": "/api/v1/namespaces/shop/services/web", "deletionGracePeriodSeconds": 0,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
                "labels": { "app": "web" }, "annotations": { "team": "red" },
                "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p-1" }],
                "managedFields": [
                    {
                        "manager": "kubectl", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
                        "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:ports": { "k:{\"port\":80}": { ".": {} } } } },
                    },
                    {
                        "manager": "other", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:01Z",
                        "fieldsType": "FieldsV1", "fieldsV1": { "f:status": {} }, "subresource": "status",
                    },
                ],
            },
            "spec": {
                "type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"],
                "loadBalancerSourceRanges": ["10.0.0.0/8"],
                "ports": [{ "port": 80, "nodePort": 30080, "protocol": "TCP", "targetPort": "http" }],
            },
            "status": {
                "loadBalancer": { "ingress": [{ "ip": "192.0.2.1", "ipMode": "VIP" }] },
                "conditions": [{
                    "type": "memory.cloud-lb-controller/Ready", "status": "True", "reason": "Ensured", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        })
    }

    #[test]
    fn all_that_the_controller_keeps_of_a_service_is_read_as_from_the_whole_object() {
        let whole: Service = serde_json::from_value(shown()).unwrap();
        let read: ServiceObject = serde_json::from_value(shown()).unwrap();
        let (whole, read) = (Tracked::of(&whole), Tracked::of(&read.0));
        assert_eq!(format!("{read:?}"), format!("{whole:?}"));
        assert_eq!(*read.status_writers, ["other"]);
    }

    #[test]
    fn which_fields_a_writer_manages_is_not_built() {
        let read: ServiceObject = serde_json::from_value(shown()).unwrap();
        let writers = read.0.metadata.managed_fields.unwrap();
        assert_eq!(writers.len(), 2);
        assert!(writers.iter().all(|writer| writer.fields_v1.is_none()));
    }

    #[test]
    fn what_is_null_or_missing_is_absent() {
        let sparse = json!({ "metadata": {
            "name": "web", "labels": null, "annotations": null, "finalizers": null, "managedFields": null,
            "creationTimestamp": null,
        } });
        let read: ServiceObject = serde_json::from_value(sparse).unwrap();
        assert_eq!(
            read.0,
            Service {
                metadata: ObjectMeta { name: Some("web".into()), ..ObjectMeta::default() },
                ..Service::default()
            }
        );
    }

    #[test]
    fn it_is_asked_for_where_services_are() {
        assert_eq!(ServiceObject::url_path(&(), Some("shop")), Service::url_path(&(), Some("shop")));
        assert_eq!(ServiceObject::api_version(&()), Service::api_version(&()));
        assert_eq!(ServiceObject::kind(&()), Service::kind(&()));
    }
}
