//! A Service as Kubernetes has it, to the contract's view of it.

use std::net::IpAddr;
use std::str::FromStr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort as ApiPort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{
    FamilyPolicy, Ingress, IpFamily, IpMode, Mistake, PortStatus, Protocol, SOURCE_RANGES_ANNOTATION,
    ServiceId, ServiceKey, ServicePort, ServiceView, SessionAffinity, SortedMap, SourceRanges, TargetPort,
    TrafficPolicy,
};

/// Annotations that tools keep for themselves: never an input, often large.
const BOOKKEEPING: &[&str] = &["kubectl.kubernetes.io/last-applied-configuration"];

/// The key of a Service.
pub fn service_key(service: &Service) -> ServiceKey {
    let metadata = &service.metadata;
    ServiceKey::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// The typed view of a Service. Total: what does not parse is in [`ServiceView::mistakes`].
pub fn service_view(service: &Service) -> ServiceView {
    let empty = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&empty);
    let mut mistakes = Vec::new();
    let metadata = &service.metadata;
    let annotations: SortedMap<String> = metadata
        .annotations
        .iter()
        .flatten()
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
    let mut view = ServiceView {
        id: ServiceId { key: service_key(service), uid: metadata.uid.as_deref().unwrap_or_default().into() },
        created: metadata.creation_timestamp.as_ref().map_or(0, |t| t.0.as_second()),
        wants_load_balancer: is_load_balancer(spec) && metadata.deletion_timestamp.is_none(),
        class: spec.load_balancer_class.clone(),
        labels: metadata.labels.clone().unwrap_or_default().into(),
        annotations,
        ports: ports(spec, &mut mistakes),
        selector: spec.selector.clone().unwrap_or_default().into(),
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
    };
    // A view is kept for as long as its Service, and a list that grew has room for four where most have one.
    view.ports.shrink_to_fit();
    view.families.shrink_to_fit();
    view.cluster_ips.shrink_to_fit();
    view.published.shrink_to_fit();
    view
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

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::testing::service_object;

    #[test]
    fn what_does_not_parse_is_a_mistake_and_the_rest_is_still_there() {
        let seen =
            service_view(&service_object(json!({ "loadBalancerSourceRanges": ["10.0.0.0/8", "nonsense"] })));
        assert_eq!(seen.mistakes.len(), 1);
        assert_eq!(seen.mistakes[0].field, "spec.loadBalancerSourceRanges[1]");
        assert!(!seen.source_ranges.allows_all_v4(), "nothing is open that was not asked for");
        assert_eq!(seen.ports.len(), 1);
    }

    #[test]
    fn a_service_that_is_being_deleted_wants_no_load_balancer() {
        let mut deleting = service_object(json!({}));
        assert!(service_view(&deleting).wants_load_balancer);
        deleting.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(!service_view(&deleting).wants_load_balancer);
    }

    #[test]
    fn an_empty_class_is_a_class_and_client_ip_affinity_has_a_default_timeout() {
        let seen =
            service_view(&service_object(json!({ "loadBalancerClass": "", "sessionAffinity": "ClientIP" })));
        assert_eq!(seen.class.as_deref(), Some(""));
        assert_eq!(seen.session_affinity, SessionAffinity::ClientIp { timeout_seconds: 10_800 });
    }
}
