//! The one bridge from Kubernetes' Service to the contract's words.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use cloud_provider::{
    CloudLoadBalancer, FamilyPolicy, Ingress, IpFamily, IpMode, Mistake, PortStatus, Protocol,
    SOURCE_RANGES_ANNOTATION, ServiceId, ServiceKey, ServicePort, ServiceView, SessionAffinity, SourceRanges,
    TargetPort, TrafficPolicy,
};
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort as ApiPort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

/// Annotations that tools keep for themselves: never an input, often large.
const BOOKKEEPING: &[&str] = &["kubectl.kubernetes.io/last-applied-configuration"];

/// The key of a Service.
pub fn key(service: &Service) -> ServiceKey {
    ServiceKey::new(service.namespace().unwrap_or_default(), service.name_any())
}

/// The typed view of a Service. Total: what does not parse is in [`ServiceView::mistakes`].
pub fn view(service: &Service) -> ServiceView {
    let empty = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&empty);
    let mut mistakes = Vec::new();
    let annotations: BTreeMap<String, String> = service
        .annotations()
        .iter()
        .filter(|(key, _)| !BOOKKEEPING.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let source_ranges = SourceRanges::parse(
        spec.load_balancer_source_ranges.as_deref().unwrap_or_default(),
        annotations.get(SOURCE_RANGES_ANNOTATION).map(String::as_str),
    )
    .unwrap_or_else(|found| {
        mistakes.extend(found);
        SourceRanges::Only(Default::default())
    });
    ServiceView {
        id: ServiceId { key: key(service), uid: service.uid().unwrap_or_default() },
        created: service.creation_timestamp().map_or(0, |t| t.0.as_second()),
        wants_load_balancer: is_load_balancer(spec) && service.metadata.deletion_timestamp.is_none(),
        class: spec.load_balancer_class.clone(),
        labels: service.labels().clone(),
        annotations,
        ports: ports(spec, &mut mistakes),
        selector: spec.selector.clone().unwrap_or_default(),
        families: spec.ip_families.iter().flatten().filter_map(|f| IpFamily::from_str(f).ok()).collect(),
        family_policy: match spec.ip_family_policy.as_deref() {
            Some("PreferDualStack") => FamilyPolicy::PreferDualStack,
            Some("RequireDualStack") => FamilyPolicy::RequireDualStack,
            _ => FamilyPolicy::SingleStack,
        },
        cluster_ips: cluster_ips(spec),
        load_balancer_ip: spec.load_balancer_ip.clone().filter(|ip| !ip.is_empty()),
        source_ranges,
        traffic_policy: match spec.external_traffic_policy.as_deref() {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        },
        health_check_node_port: spec
            .health_check_node_port
            .and_then(|p| u16::try_from(p).ok())
            .filter(|p| *p > 0),
        session_affinity: session_affinity(spec),
        published: published(service),
        mistakes,
    }
}

/// Whether `spec.type` is `LoadBalancer`.
pub fn is_load_balancer(spec: &ServiceSpec) -> bool {
    spec.type_.as_deref() == Some("LoadBalancer")
}

fn ports(spec: &ServiceSpec, mistakes: &mut Vec<Mistake>) -> Vec<ServicePort> {
    let mut ports = Vec::new();
    for (i, port) in spec.ports.iter().flatten().enumerate() {
        match service_port(port) {
            Ok(port) => ports.push(port),
            Err((field, value)) => mistakes.push(
                Mistake::new(format!("spec.ports[{i}].{field}"), value, "is not understood")
                    .allowing("ports 1 to 65535 with protocol TCP, UDP or SCTP")
                    .meanwhile("the load balancer stays as it is"),
            ),
        }
    }
    ports
}

fn service_port(port: &ApiPort) -> Result<ServicePort, (&'static str, String)> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let number =
        u16::try_from(port.port).ok().filter(|p| *p > 0).ok_or_else(|| ("port", port.port.to_string()))?;
    Ok(ServicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol: protocol.parse().map_err(|()| ("protocol", protocol.to_owned()))?,
        port: number,
        node_port: port.node_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0),
        target_port: match &port.target_port {
            None => TargetPort::Number(number),
            Some(IntOrString::Int(p)) => {
                TargetPort::Number(u16::try_from(*p).map_err(|_| ("targetPort", p.to_string()))?)
            }
            Some(IntOrString::String(name)) => TargetPort::Name(name.clone()),
        },
        app_protocol: port.app_protocol.clone(),
    })
}

fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    let many = spec.cluster_ips.iter().flatten();
    let one = spec.cluster_ip.iter().filter(|_| spec.cluster_ips.as_ref().is_none_or(Vec::is_empty));
    many.chain(one).filter_map(|ip| ip.parse().ok()).collect()
}

fn session_affinity(spec: &ServiceSpec) -> SessionAffinity {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return SessionAffinity::None;
    }
    let configured =
        spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
    // 10800 s is the API server's default for ClientIP affinity.
    SessionAffinity::ClientIp {
        timeout_seconds: configured.and_then(|t| u32::try_from(t).ok()).unwrap_or(10_800),
    }
}

/// What the Service's status publishes now.
fn published(service: &Service) -> Vec<Ingress> {
    let status = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
    status.and_then(|lb| lb.ingress.as_ref()).into_iter().flatten().map(ingress).collect()
}

fn ingress(entry: &LoadBalancerIngress) -> Ingress {
    Ingress {
        ip: entry.ip.as_deref().and_then(|ip| ip.parse().ok()),
        hostname: entry.hostname.clone().filter(|name| !name.is_empty()),
        ip_mode: match entry.ip_mode.as_deref() {
            Some("VIP") => Some(IpMode::Vip),
            Some("Proxy") => Some(IpMode::Proxy),
            _ => None,
        },
        ports: entry
            .ports
            .iter()
            .flatten()
            .filter_map(|p| {
                Some(PortStatus {
                    port: u16::try_from(p.port).ok()?,
                    protocol: Protocol::from_str(&p.protocol).ok()?,
                    error: p.error.clone(),
                })
            })
            .collect(),
    }
}

/// A fingerprint of everything a provider may read of a Service: if it is the same, `ensure` need not run again.
///
/// Wider than Kubernetes' own controller where that one misses inputs (family order, family policy, cluster
/// IPs, selector), narrower where it reacts to noise (annotations and labels the provider does not read).
pub fn inputs(service: &ServiceView, provider: &dyn CloudLoadBalancer) -> u64 {
    let mut hasher = DefaultHasher::new();
    let ours = provider.published_annotations();
    for (key, value) in &service.annotations {
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
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Name, namespace, UID, resource version and generation only.
    pub meta: kube::core::ObjectMeta,
    /// The typed view.
    pub view: Arc<ServiceView>,
    /// Whether `spec.type` is `LoadBalancer`, deletion aside.
    pub is_load_balancer: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub has_finalizer: bool,
    /// Our conditions on it, one for each provider that recorded itself.
    pub records: Vec<crate::status::Record>,
    /// The Service was deleted; the entry stays until what it held was released.
    pub gone: bool,
}

impl Tracked {
    /// What the controller keeps of a Service.
    pub fn of(service: &Service) -> Self {
        let meta = &service.metadata;
        Tracked {
            meta: kube::core::ObjectMeta {
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                generation: meta.generation,
                ..Default::default()
            },
            view: Arc::new(view(service)),
            is_load_balancer: service.spec.as_ref().is_some_and(is_load_balancer),
            deleting: meta.deletion_timestamp.is_some(),
            has_finalizer: service.finalizers().iter().any(|f| f == crate::finalizer::FINALIZER),
            records: crate::status::records(service),
            gone: false,
        }
    }

    /// The same Service, deleted.
    pub fn departed(&self) -> Self {
        Tracked { gone: true, ..self.clone() }
    }

    /// A departed Service of which nothing but its identity is known.
    pub fn unknown(id: ServiceId) -> Self {
        let service = Service {
            metadata: kube::core::ObjectMeta {
                name: Some(id.key.name),
                namespace: Some(id.key.namespace),
                uid: Some(id.uid),
                ..Default::default()
            },
            ..Default::default()
        };
        Tracked { gone: true, ..Tracked::of(&service) }
    }

    /// Whether there is anything for a service controller to do with it, now or when it changes.
    pub fn is_interesting(&self) -> bool {
        self.is_load_balancer || self.has_finalizer || !self.records.is_empty()
    }

    /// The stored version, as a number where the server's versions are numbers.
    pub fn version(&self) -> Option<u64> {
        self.meta.resource_version.as_deref().and_then(|v| v.parse().ok())
    }
}

impl kube::Resource for Tracked {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind(_: &()) -> std::borrow::Cow<'_, str> {
        "Service".into()
    }

    fn group(_: &()) -> std::borrow::Cow<'_, str> {
        "".into()
    }

    fn version(_: &()) -> std::borrow::Cow<'_, str> {
        "v1".into()
    }

    fn plural(_: &()) -> std::borrow::Cow<'_, str> {
        "services".into()
    }

    fn meta(&self) -> &kube::core::ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use cloud_provider::testing::MemoryCloud;
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "web", "namespace": "ns", "uid": "u1" },
            "spec": {
                "type": "LoadBalancer",
                "ports": [{ "port": 80, "nodePort": 30080, "protocol": "TCP", "targetPort": 8080 }],
                "ipFamilies": ["IPv4"], "clusterIPs": ["10.0.0.1"], "externalTrafficPolicy": "Cluster",
            },
        });
        if let (Value::Object(into), Value::Object(from)) = (&mut object["spec"], spec) {
            into.extend(from);
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn whatever_a_provider_reads_is_in_the_fingerprint() {
        let provider = MemoryCloud::new().provider();
        let fingerprint = |spec| inputs(&view(&service(spec)), provider.as_ref());
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
            inputs(&view(&service(json!({ "loadBalancerSourceRanges": ranges }))), provider.as_ref())
        };
        assert_eq!(
            fingerprint(json!(["10.0.0.0/8", "11.0.0.0/8"])),
            fingerprint(json!(["11.0.0.0/8", "10.0.0.0/8"]))
        );
    }

    #[test]
    fn what_does_not_parse_is_a_mistake_and_the_rest_is_still_there() {
        let seen = view(&service(json!({ "loadBalancerSourceRanges": ["10.0.0.0/8", "nonsense"] })));
        assert_eq!(seen.mistakes.len(), 1);
        assert_eq!(seen.mistakes[0].field, "spec.loadBalancerSourceRanges[1]");
        assert!(!seen.source_ranges.allows_all_v4(), "nothing is open that was not asked for");
        assert_eq!(seen.ports.len(), 1);
    }

    #[test]
    fn a_service_that_is_being_deleted_wants_no_load_balancer() {
        let mut deleting = service(json!({}));
        assert!(view(&deleting).wants_load_balancer);
        deleting.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert!(!view(&deleting).wants_load_balancer);
        assert!(Tracked::of(&deleting).is_load_balancer);
    }

    #[test]
    fn an_empty_class_is_a_class_and_client_ip_affinity_has_a_default_timeout() {
        let seen = view(&service(json!({ "loadBalancerClass": "", "sessionAffinity": "ClientIP" })));
        assert_eq!(seen.class.as_deref(), Some(""));
        assert_eq!(seen.session_affinity, SessionAffinity::ClientIp { timeout_seconds: 10_800 });
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
        assert!(interesting(inside(), json!({ "finalizers": [crate::finalizer::FINALIZER] }), json!({})));
        assert!(!interesting(inside(), json!({ "finalizers": ["example.com/other"] }), json!({})));
        assert!(interesting(inside(), json!({}), mark));
    }
}
