//! A Service as the controller keeps it, and what of it a provider reads.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cloud_provider::kubernetes::{is_load_balancer, service_view};
use cloud_provider::{
    CloudLoadBalancer, ProviderCondition, SOURCE_RANGES_ANNOTATION, ServiceId, ServiceView,
};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;

use crate::status::Record;

/// A fingerprint of everything a provider may read of a Service: if it is the same, `ensure` need not run again.
///
/// Wider than Kubernetes' own controller where that one misses inputs (family order, family policy, cluster
/// IPs, selector), narrower where it reacts to noise (annotations and labels the provider does not read).
pub(crate) fn service_fingerprint(service: &ServiceView, provider: &dyn CloudLoadBalancer) -> u64 {
    let mut hasher = DefaultHasher::new();
    let ours = provider.published_annotations();
    for (key, value) in &service.annotations {
        if crate::status::is_class_annotation(key) {
            continue;
        }
        if key == SOURCE_RANGES_ANNOTATION
            || (!ours.contains(&key.as_str()) && provider.reads_annotation(key))
        {
            (key, value).hash(&mut hasher);
        }
    }
    for (key, value) in service.labels.iter().filter(|(key, _)| provider.reads_label(key)) {
        (key, value).hash(&mut hasher);
    }
    (&service.id, &service.class, &service.ports, &service.selector).hash(&mut hasher);
    (&service.families, &service.family_policy, &service.cluster_ips).hash(&mut hasher);
    (&service.load_balancer_ip, &service.source_ranges, &service.mistakes).hash(&mut hasher);
    (&service.traffic_policy, &service.health_check_node_port, &service.session_affinity).hash(&mut hasher);
    hasher.finish()
}

/// A Service as the controller keeps it in memory: the view, and what else is needed to decide. Everything the
/// controller never reads is dropped on the way in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tracked {
    /// Of the object in the API server.
    pub resource_version: Option<String>,
    /// The typed view.
    pub view: Arc<ServiceView>,
    /// Whether `spec.type` is `LoadBalancer`, deletion aside.
    pub is_load_balancer: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub has_finalizer: bool,
    /// Our conditions on it, one for each provider that recorded itself.
    pub records: Box<[Arc<Record>]>,
    /// The conditions on it that a provider published besides, each with its type.
    pub conditions: Box<[(String, ProviderCondition)]>,
    /// Who wrote the status, as the API server knows its field managers, the latest first. It counts in seconds, so that
    /// the order is not certain.
    pub status_writers: Box<[String]>,
}

impl Tracked {
    /// What the controller keeps of a Service.
    pub(crate) fn of(service: &Service) -> Self {
        let meta = &service.metadata;
        Tracked {
            resource_version: meta.resource_version.clone(),
            view: Arc::new(service_view(service)),
            is_load_balancer: service.spec.as_ref().is_some_and(is_load_balancer),
            deleting: meta.deletion_timestamp.is_some(),
            has_finalizer: service.finalizers().iter().any(|f| f == crate::status::FINALIZER),
            records: crate::status::records(service).into_iter().map(Arc::new).collect(),
            conditions: crate::status::published_conditions(service),
            status_writers: status_writers(service),
        }
    }

    /// Takes the identity that is known already, if it is the same: its text is then kept once, and not for each version
    /// of the Service that somebody still speaks of.
    pub(crate) fn share_id(&mut self, known: &ServiceId) {
        if let Some(view) = Arc::get_mut(&mut self.view).filter(|view| view.id == *known) {
            view.id = known.clone();
        }
    }

    /// The class under which a provider of this name recorded itself; empty: no class. None where it did not, or in a
    /// version that recorded no class.
    pub(crate) fn recorded_class(&self, provider: &str) -> Option<&str> {
        self.view.annotations.get(&crate::status::class_annotation(provider)).map(String::as_str)
    }

    /// Whether there is anything for a service controller to do with it, now or when it changes.
    pub(crate) fn is_interesting(&self) -> bool {
        self.is_load_balancer || !self.records.is_empty()
    }

    /// Whether both are the same Service as it was stored by the same write. The version alone does not tell: the answer to
    /// the write that takes off the last finalizer, which ends the Service, carries the version that was stored before.
    pub(crate) fn is_as_stored_with(&self, other: &Tracked) -> bool {
        self.resource_version.is_some() && self == other
    }

    /// The stored version, as a number where the server's versions are numbers.
    pub(crate) fn version(&self) -> Option<u64> {
        self.resource_version.as_deref().and_then(|v| v.parse().ok())
    }
}

fn status_writers(service: &Service) -> Box<[String]> {
    let is_status = |entry: &&ManagedFieldsEntry| entry.subresource.as_deref() == Some("status");
    let mut entries: Vec<_> = service.managed_fields().iter().filter(is_status).collect();
    entries.sort_by_key(|entry| Reverse(entry.time.as_ref().map(|time| time.0)));
    entries.into_iter().filter_map(|entry| entry.manager.clone()).collect()
}

#[cfg(test)]
mod tests {
    use apiserver_client::Lean;
    use cloud_provider::testing::{MemoryCloud, service_object as service};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn all_that_is_kept_of_a_service_is_read_where_the_rest_is_not() {
        let mut shown =
            serde_json::to_value(service(json!({ "loadBalancerSourceRanges": ["10.0.0.0/8"] }))).unwrap();
        let metadata = json!({
            "name": "web", "namespace": "shop", "generateName": "we", "uid": "u-1", "resourceVersion": "42", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
            "labels": { "app": "web" }, "annotations": { "team": "red" },
            "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p-1" }],
            "managedFields": [{
                "manager": "other", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:01Z",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:status": {} }, "subresource": "status",
            }],
        });
        shown["metadata"] = metadata;
        shown["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1", "ipMode": "VIP" }] } });
        let whole = Tracked::of(&serde_json::from_value::<Service>(shown.clone()).unwrap());
        let read = Tracked::of(&serde_json::from_value::<Lean<Service>>(shown).unwrap().0);
        assert_eq!(format!("{read:?}"), format!("{whole:?}"));
        assert_eq!(*read.status_writers, ["other"]);
    }

    #[test]
    fn whatever_a_provider_reads_is_in_the_fingerprint() {
        let provider = MemoryCloud::new().provider();
        let fingerprint = |spec| service_fingerprint(&service_view(&service(spec)), provider.as_ref());
        let plain = fingerprint(json!({}));
        let port = |changes: Value| {
            let mut port = json!({ "port": 80, "nodePort": 30080, "protocol": "TCP", "targetPort": 8080 });
            port.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            json!({ "ports": [port] })
        };
        let changes = [
            ("type is not an input of its own", json!({}), true),
            ("port", port(json!({ "port": 81 })), false),
            ("port name", port(json!({ "name": "http" })), false),
            ("protocol", port(json!({ "protocol": "UDP" })), false),
            ("node port", port(json!({ "nodePort": 30081 })), false),
            ("target port", port(json!({ "targetPort": 9090 })), false),
            ("named target port", port(json!({ "targetPort": "http" })), false),
            ("app protocol", port(json!({ "appProtocol": "http" })), false),
            ("source ranges", json!({ "loadBalancerSourceRanges": ["10.0.0.0/8"] }), false),
            ("affinity", json!({ "sessionAffinity": "ClientIP" }), false),
            ("load balancer IP", json!({ "loadBalancerIP": "192.0.2.1" }), false),
            ("traffic policy", json!({ "externalTrafficPolicy": "Local" }), false),
            ("health check", json!({ "healthCheckNodePort": 31000 }), false),
            ("second family", json!({ "ipFamilies": ["IPv4", "IPv6"] }), false),
            ("cluster IPs", json!({ "clusterIPs": ["10.0.0.1", "fd00::1"] }), false),
            ("family policy", json!({ "ipFamilyPolicy": "PreferDualStack" }), false),
            ("selector", json!({ "selector": { "app": "a" } }), false),
            ("class", json!({ "loadBalancerClass": "a.b/c" }), false),
            ("internal traffic policy", json!({ "internalTrafficPolicy": "Local" }), true),
            ("unready endpoints", json!({ "publishNotReadyAddresses": true }), true),
        ];
        for (title, change, same) in changes {
            assert_eq!(fingerprint(change) == plain, same, "{title}");
        }
    }

    #[test]
    fn source_ranges_in_another_order_are_the_same_input() {
        let provider = MemoryCloud::new().provider();
        let fingerprint = |ranges: Value| {
            service_fingerprint(
                &service_view(&service(json!({ "loadBalancerSourceRanges": ranges }))),
                provider.as_ref(),
            )
        };
        assert_eq!(
            fingerprint(json!(["10.0.0.0/8", "11.0.0.0/8"])),
            fingerprint(json!(["11.0.0.0/8", "10.0.0.0/8"]))
        );
    }

    #[test]
    fn a_service_that_is_being_deleted_is_still_a_load_balancer() {
        let mut deleting = service(json!({}));
        assert!(service_view(&deleting).wants_load_balancer);
        deleting.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert!(!service_view(&deleting).wants_load_balancer);
        assert!(Tracked::of(&deleting).is_load_balancer);
    }

    #[test]
    fn what_a_service_is_called_is_kept_once_for_all_its_versions() {
        let known = Tracked::of(&service(json!({})));
        let mut newer = Tracked::of(&service(json!({ "loadBalancerClass": "example.com/other" })));
        newer.share_id(&known.view.id);
        assert!(Arc::ptr_eq(&newer.view.id.uid, &known.view.id.uid));
        assert!(Arc::ptr_eq(&newer.view.id.key.name, &known.view.id.key.name));

        let mut namesake = service(json!({}));
        namesake.metadata.uid = Some("another-uid".to_owned());
        let mut namesake = Tracked::of(&namesake);
        namesake.share_id(&known.view.id);
        assert_eq!(&*namesake.view.id.uid, "another-uid", "it is another Service");
    }

    #[test]
    fn a_service_is_interesting_while_it_wants_something_or_bears_a_mark_of_ours() {
        let interesting = |spec: Value, metadata: Value, status: Value| {
            let mut object = serde_json::to_value(service(spec)).unwrap();
            object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
            object["status"] = status;
            Tracked::of(&serde_json::from_value(object).unwrap()).is_interesting()
        };
        let inside = || json!({ "type": "ClusterIP" });
        let mark = json!({ "conditions": [{
            "type": crate::status::condition_type("memory"), "status": "True", "reason": "Ensured", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] });
        assert!(interesting(json!({}), json!({}), json!({})));
        assert!(!interesting(inside(), json!({}), json!({})));
        assert!(!interesting(inside(), json!({ "finalizers": [crate::status::FINALIZER] }), json!({})));
        assert!(interesting(inside(), json!({}), mark));
    }
}
