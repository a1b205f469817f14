//! Objects as the API server shows them, without what is most of their text and nobody here reads.
//!
//! Each entry of `metadata.managedFields` names the fields of one writer, as a tree with a map for each of them. To build
//! those trees, for every event and for every answer to a write, took a quarter of all that the controller did. It reads
//! who wrote, and when. Of a Node most are the names of its images, two and more of each of fifty, and it is shown with all
//! of them whenever its kubelet says that it lives.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, Service, ServiceSpec, ServiceStatus, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// An object with what a controller of load balancers reads of it; the rest is absent, as if the server had not said it.
///
/// | of | is read |
/// |---|---|
/// | `metadata` | name, namespace, UID, version, when it was made and is to go, labels, annotations, finalizers; who wrote, what of it, and when |
/// | a Service | all of `spec` and `status` |
/// | a Node | `spec.providerID`, taints and the ranges of its Pods; in `status` the addresses, and of each condition whether it holds |
///
/// It is followed and asked for as the object itself is:
///
/// ```no_run
/// # fn example(watches: &apiserver_client::Watches) {
/// use apiserver_client::Lean;
/// use k8s_openapi::api::core::v1::Node;
/// use kube::Api;
///
/// let nodes = watches.follow("nodes", Api::<Lean<Node>>::all);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lean<K>(
    /// The object.
    pub K,
);

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

impl<'de> Deserialize<'de> for Lean<Service> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default)]
            metadata: Metadata,
            spec: Option<ServiceSpec>,
            status: Option<ServiceStatus>,
        }
        let Shown { metadata, spec, status } = Shown::deserialize(deserializer)?;
        Ok(Lean(Service { metadata: metadata.into(), spec, status }))
    }
}

impl<'de> Deserialize<'de> for Lean<Node> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default)]
            metadata: Metadata,
            spec: Option<Spec>,
            status: Option<Status>,
        }
        #[derive(Deserialize)]
        struct Spec {
            #[serde(rename = "providerID")]
            provider_id: Option<String>,
            #[serde(rename = "podCIDRs")]
            pod_cidrs: Option<Vec<String>>,
            taints: Option<Vec<Taint>>,
        }
        #[derive(Deserialize)]
        struct Status {
            addresses: Option<Vec<NodeAddress>>,
            conditions: Option<Vec<Condition>>,
        }
        // Without when it was last heard of, which is most of what changes.
        #[derive(Deserialize)]
        struct Condition {
            r#type: String,
            status: String,
        }
        let Shown { metadata, spec, status } = Shown::deserialize(deserializer)?;
        let spec = spec.map(|Spec { provider_id, pod_cidrs, taints }| NodeSpec {
            provider_id,
            pod_cidrs,
            taints,
            ..NodeSpec::default()
        });
        let condition = |Condition { r#type, status }| NodeCondition {
            type_: r#type,
            status,
            ..NodeCondition::default()
        };
        let status = status.map(|Status { addresses, conditions }| NodeStatus {
            addresses,
            conditions: conditions.map(|all| all.into_iter().map(condition).collect()),
            ..NodeStatus::default()
        });
        Ok(Lean(Node { metadata: metadata.into(), spec, status }))
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Lean<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::kubernetes::node_view;
    use serde_json::{Value, json};

    use super::*;

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

    /// An object without what nobody reads of its metadata.
    fn unread(metadata: &mut ObjectMeta) {
        for writer in metadata.managed_fields.iter_mut().flatten() {
            let ManagedFieldsEntry { manager, operation, subresource, time, .. } = std::mem::take(writer);
            *writer = ManagedFieldsEntry { manager, operation, subresource, time, ..Default::default() };
        }
        metadata.generate_name = None;
        metadata.generation = None;
        metadata.self_link = None;
        metadata.deletion_grace_period_seconds = None;
        metadata.owner_references = None;
    }

    #[test]
    fn of_a_service_all_is_read_but_what_of_its_metadata_nobody_reads() {
        let mut whole: Service = serde_json::from_value(shown()).unwrap();
        unread(&mut whole.metadata);
        assert_eq!(serde_json::from_value::<Lean<Service>>(shown()).unwrap(), Lean(whole));
    }

    #[test]
    fn what_is_null_or_missing_is_absent() {
        let sparse = json!({ "metadata": {
            "name": "web", "labels": null, "annotations": null, "finalizers": null, "managedFields": null,
            "creationTimestamp": null,
        } });
        let read: Lean<Service> = serde_json::from_value(sparse).unwrap();
        assert_eq!(
            read.0,
            Service {
                metadata: ObjectMeta { name: Some("web".into()), ..ObjectMeta::default() },
                ..Service::default()
            }
        );
    }

    /// A Node with everything that a kubelet says of it, more or less.
    fn node() -> Value {
        json!({
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {
                "name": "n1", "uid": "u-2", "resourceVersion": "43", "creationTimestamp": "2026-01-01T00:00:00Z",
                "deletionTimestamp": "2026-01-02T00:00:00Z",
                "labels": { "topology.kubernetes.io/zone": "a", "node.kubernetes.io/exclude-from-external-load-balancers": "" },
                "annotations": { "csi.volume.kubernetes.io/nodeid": "{}" },
                "managedFields": [{
                    "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
                    "fieldsType": "FieldsV1", "fieldsV1": { "f:status": {} }, "subresource": "status",
                }],
            },
            "spec": {
                "providerID": "aws:///a/i-1", "podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"], "unschedulable": true,
                "taints": [
                    { "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule", "value": "1" },
                    { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z" },
                ],
            },
            "status": {
                "addresses": [
                    { "type": "InternalIP", "address": "10.0.0.1" }, { "type": "ExternalIP", "address": "192.0.2.1" },
                    { "type": "Hostname", "address": "n1" },
                ],
                "conditions": [{
                    "type": "NetworkUnavailable", "status": "True", "reason": "NoRoute", "message": "none",
                    "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
                "allocatable": { "cpu": "2" }, "capacity": { "cpu": "2" },
                "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
                "images": [{ "names": ["registry.example.com/a@sha256:00", "registry.example.com/a:1"], "sizeBytes": 1 }],
                "nodeInfo": {
                    "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                    "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "linux",
                    "osImage": "", "systemUUID": "",
                },
            },
        })
    }

    #[test]
    fn of_a_node_is_read_what_says_whether_it_may_take_traffic_and_where() {
        let (whole, read): (Node, Lean<Node>) =
            (serde_json::from_value(node()).unwrap(), serde_json::from_value(node()).unwrap());
        let view = node_view(&read.0);
        assert_eq!(view, node_view(&whole));
        assert!(view.going_away && view.network_unavailable && view.deleting && view.excluded);
        assert_eq!(
            (view.addresses.len(), view.zone.as_deref(), &*view.provider_id),
            (2, Some("a"), "aws:///a/i-1")
        );
        let sparse = json!({
            "metadata": { "name": "n1" }, "spec": { "taints": null }, "status": { "addresses": null, "conditions": null },
        });
        let [whole, read] = [
            node_view(&serde_json::from_value::<Node>(sparse.clone()).unwrap()),
            node_view(&serde_json::from_value::<Lean<Node>>(sparse).unwrap().0),
        ];
        assert_eq!(read, whole);
    }

    #[test]
    fn of_a_node_is_read_which_addresses_its_pods_have() {
        let Lean(read): Lean<Node> = serde_json::from_value(node()).unwrap();
        assert_eq!(read.spec.unwrap().pod_cidrs.unwrap(), ["10.244.0.0/24"]);
    }

    #[test]
    fn what_nobody_reads_of_a_node_is_not_built() {
        let Lean(read): Lean<Node> = serde_json::from_value(node()).unwrap();
        let status = read.status.unwrap();
        assert!(status.images.is_none() && status.allocatable.is_none() && status.node_info.is_none());
        assert!(read.metadata.managed_fields.unwrap()[0].fields_v1.is_none());
        assert_eq!(<Lean<Node>>::url_path(&(), None), Node::url_path(&(), None));
    }

    #[test]
    fn it_is_asked_for_where_the_object_is() {
        assert_eq!(<Lean<Service>>::url_path(&(), Some("shop")), Service::url_path(&(), Some("shop")));
        assert_eq!(<Lean<Service>>::api_version(&()), Service::api_version(&()));
        assert_eq!(<Lean<Service>>::kind(&()), Service::kind(&()));
    }
}
