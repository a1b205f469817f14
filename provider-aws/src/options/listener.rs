//! What ports and annotations say of listeners: protocol, TLS, forwarding.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{
    FamilyPolicy, IpFamily, Mistake, NoteKind, Ordered, Protocol as ServiceProtocol, ServicePort,
    ServiceView, SessionAffinity,
};
use serde::{Deserialize, Serialize};

use super::annotation::{Reader, key};
use super::scope::Scope;
use super::target_group::{self, SESSION_AFFINITY, TargetGroupSpec};
use crate::client::{
    AlpnPolicy, Attributes, HealthCheck, HealthCheckPort, IpAddressType, Protocol, TargetFamily,
};
use crate::config::AwsConfig;

/// The listeners a Network Load Balancer may have (*Quotas for your Network Load Balancers*); AWS does not raise it.
pub(crate) const LISTENERS_PER_LOAD_BALANCER: usize = 50;

/// What is asked of one listener and of the target group behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerSpec {
    /// The port clients use.
    pub port: u16,
    /// The protocol clients use.
    pub protocol: Protocol,
    /// For TLS only.
    pub tls: Option<TlsSpec>,
    /// Attributes the user named.
    pub attributes: Attributes,
    /// The nodes behind it.
    pub target_group: TargetGroupSpec,
    /// Other target groups that share the traffic.
    pub weighted: Option<WeightedForward>,
}

/// How a listener ends TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsSpec {
    /// The certificate for clients that name no host.
    pub default_certificate: String,
    /// Certificates chosen by the host a client names; without the default one.
    pub sni_certificates: BTreeSet<String>,
    /// Security policy.
    pub policy: String,
    /// Whether the user chose it. If not, a listener that exists keeps the one it has.
    pub policy_is_chosen: bool,
    /// ALPN policy; [`AlpnPolicy::None`] when not asked for, so that taking the annotation away takes effect.
    pub alpn: AlpnPolicy,
}

/// Traffic shared with target groups that are not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightedForward {
    /// The weight of the Service's own nodes.
    pub own_weight: u16,
    /// ARN and weight of the others.
    pub others: BTreeMap<String, u16>,
    /// Whether a client stays with its target group.
    pub sticky: bool,
}

/// What TLS annotations say for the whole Service.
struct Tls {
    certificates: Vec<String>,
    /// Which ports; none means all TCP ports.
    ports: Option<Vec<String>>,
    policy: String,
    policy_is_chosen: bool,
    alpn: AlpnPolicy,
    backend: Protocol,
}

/// Reads one listener a port number.
pub(super) fn read(reader: &mut Reader<'_>, service: &ServiceView, config: &AwsConfig) -> Vec<ListenerSpec> {
    target_group::check_shared(reader, service);
    let health_check = target_group::read_health_check(reader, service);
    let tls = read_tls(reader, service, config);
    let family = read_family(reader, service);
    if service.ports.is_empty() && reader.knows_all_ports() {
        let mistake = Mistake::new("spec.ports", "", "is empty").allowing("at least one port");
        reader.mistake(mistake, [Scope::Everything]);
    }
    let mut by_number: BTreeMap<u16, Vec<&ServicePort>> = BTreeMap::new();
    for port in &service.ports {
        by_number.entry(port.port).or_default().push(port);
    }
    let merge = reader.flag(key::TCP_UDP) != Some(false);
    let keeps_clients = service.session_affinity != SessionAffinity::None;
    let common = Common { tls: &tls, family, health_check: &health_check, merge, keeps_clients };
    let listeners: Vec<ListenerSpec> =
        by_number.values().filter_map(|ports| read_one(reader, ports, &common)).collect();
    check_listener_keys(reader, &listeners);
    warn_of_udp(reader, &listeners);
    if listeners.len() > LISTENERS_PER_LOAD_BALANCER {
        let count = listeners.len().to_string();
        let mistake =
            Mistake::new("spec.ports", count, "is more ports than a Network Load Balancer has listeners");
        reader.mistake(mistake.allowing(format!("up to {LISTENERS_PER_LOAD_BALANCER}")), [Scope::Ports]);
    }
    listeners
}

struct Common<'a> {
    tls: &'a Tls,
    family: TargetFamily,
    health_check: &'a HealthCheck,
    /// Whether TCP and UDP of one port number may share a listener.
    merge: bool,
    /// Whether clients are to stay with their target.
    keeps_clients: bool,
}

fn read_one(reader: &mut Reader<'_>, ports: &[&ServicePort], common: &Common<'_>) -> Option<ListenerSpec> {
    let first = *ports.first()?;
    let plain = plain_protocol(reader, ports, common.merge)?;
    let Some(node_port) = first.node_port else {
        let field = format!("spec.ports[port={}].nodePort", first.port);
        let mistake = Mistake::new(field, "", "is not allocated, and targets are reached through it");
        let allowed = "allocateLoadBalancerNodePorts: true";
        reader.mistake(mistake.allowing(allowed), [Scope::Port(first.port)]);
        return None;
    };
    let selected = plain == Protocol::Tcp
        && !common.tls.certificates.is_empty()
        && common.tls.ports.as_ref().is_none_or(|selected| selected.iter().any(|item| names(item, first)));
    let (protocol, target_protocol) =
        if selected { (Protocol::Tls, common.tls.backend) } else { (plain, plain) };
    let tls = selected.then(|| TlsSpec {
        default_certificate: common.tls.certificates[0].clone(),
        sni_certificates: common.tls.certificates[1..].iter().cloned().ordered(),
        policy: common.tls.policy.clone(),
        policy_is_chosen: common.tls.policy_is_chosen,
        alpn: common.tls.alpn,
    });
    let mut attributes = target_group::read_attributes(reader, first, target_protocol);
    if common.keeps_clients {
        target_group::keep_clients(reader, protocol, first.port, &mut attributes);
    }
    let target_group = TargetGroupSpec {
        protocol: target_protocol,
        node_port,
        family: common.family,
        health_check: common.health_check.clone(),
        attributes,
    };
    let own = format!("{protocol}-{}", first.port);
    let attributes = reader.map(&format!("{}{own}", key::LISTENER_ATTRIBUTES));
    let actions = format!("{}{own}", key::ACTIONS);
    let weighted = read_forward(reader, &actions);
    if common.keeps_clients && weighted.as_ref().is_some_and(|forward| !forward.sticky) {
        let problem = format!("sends a client now here, now there, against {SESSION_AFFINITY}: ClientIP");
        let allowed = r#""targetGroupStickinessConfig":{"enabled":true} in forwardConfig"#;
        reader.wrong(&actions, reader.text(&actions).unwrap_or_default(), &problem, allowed);
    }
    Some(ListenerSpec { port: first.port, protocol, tls, attributes, target_group, weighted })
}

/// The protocol of one port number before TLS: a Network Load Balancer has one listener a number, so TCP and UDP
/// on one number need a `TCP_UDP` listener, whose targets receive both on one node port.
fn plain_protocol(reader: &mut Reader<'_>, ports: &[&ServicePort], merge: bool) -> Option<Protocol> {
    let number = ports[0].port;
    let field = || format!("spec.ports[port={number}]");
    let has = |protocol| ports.iter().any(|port| port.protocol == protocol);
    if has(ServiceProtocol::Sctp) {
        let mistake = Mistake::new(field(), "SCTP", "is not served by Network Load Balancers");
        reader.mistake(mistake.allowing("TCP, UDP"), [Scope::Port(number)]);
        return None;
    }
    match (has(ServiceProtocol::Tcp), has(ServiceProtocol::Udp)) {
        (true, false) => Some(Protocol::Tcp),
        (false, true) => Some(Protocol::Udp),
        _ if !merge => {
            let problem = "keeps TCP and UDP of one port number apart, which AWS cannot";
            reader.wrong_for_port(number, key::TCP_UDP, "false", problem, "true, or different port numbers");
            None
        }
        _ if ports.iter().any(|port| port.node_port != ports[0].node_port) => {
            let node_ports: Vec<String> =
                ports.iter().map(|port| port.node_port.map_or(String::new(), |n| n.to_string())).collect();
            let problem = "differ between TCP and UDP of one port number, which share one target group";
            let mistake = Mistake::new(format!("{}.nodePort", field()), node_ports.join(", "), problem);
            let allowed = "the same nodePort for both, or different port numbers";
            reader.mistake(mistake.allowing(allowed), [Scope::Port(number)]);
            None
        }
        _ => Some(Protocol::TcpUdp),
    }
}

/// Whether an item of a port list means this port: by number or by name.
pub(super) fn names(item: &str, port: &ServicePort) -> bool {
    item.parse() == Ok(port.port) || (!port.name.is_empty() && item == port.name)
}

fn read_tls(reader: &mut Reader<'_>, service: &ServiceView, config: &AwsConfig) -> Tls {
    let mut certificates: Vec<String> = Vec::new();
    for item in reader.list(key::SSL_CERT).unwrap_or_default() {
        if !item.starts_with("arn:") {
            reader.wrong(
                key::SSL_CERT,
                item,
                "is not the ARN of a certificate",
                "ARNs of ACM or IAM certificates",
            );
        }
        if !certificates.iter().any(|known| known == item) {
            certificates.push(item.to_owned());
        }
    }
    if let Some(text) = reader.text(key::SSL_CERT)
        && certificates.is_empty()
    {
        reader.wrong(key::SSL_CERT, text, "names no certificate", "ARNs of ACM or IAM certificates");
    }
    let ports: Option<Vec<String>> =
        reader.list(key::SSL_PORTS).map(|items| items.iter().map(|item| (*item).to_owned()).collect());
    for item in ports.iter().flatten() {
        let is_tcp = |port: &ServicePort| port.protocol == ServiceProtocol::Tcp;
        if !service.ports.iter().any(|port| is_tcp(port) && names(item, port)) {
            let (problem, allowed) = ("is no TCP port of this Service", "names or numbers of TCP ports");
            reader.no_such_port(key::SSL_PORTS, item, problem, allowed);
        }
    }
    if ports.as_ref().is_some_and(|ports| !ports.is_empty()) && reader.text(key::SSL_CERT).is_none() {
        let message = format!(
            "annotation {} has no effect without a certificate in {}: these ports are served without TLS",
            key::SSL_PORTS,
            key::SSL_CERT
        );
        reader.note(NoteKind::Warning, "NoCertificate", message);
    }
    let policy = match reader.text(key::SSL_POLICY) {
        Some("") => {
            reader.wrong(key::SSL_POLICY, "", "names no policy", "the name of an ELB security policy");
            config.default_ssl_policy.clone()
        }
        Some(policy) => policy.to_owned(),
        None => config.default_ssl_policy.clone(),
    };
    let backend = match reader.text(key::BACKEND_PROTOCOL) {
        Some("ssl" | "tls") => Protocol::Tls,
        None | Some("tcp") => Protocol::Tcp,
        // For a Network Load Balancer both peers take it for plain TCP.
        Some("http") => {
            let message = format!(
                "annotation {} is http, which a Network Load Balancer does not know: traffic goes to the nodes as plain \
                 TCP, whatever it holds",
                key::BACKEND_PROTOCOL
            );
            reader.note(NoteKind::Warning, "BackendProtocol", message);
            Protocol::Tcp
        }
        Some("https") => {
            let problem = "would be sent as plain TCP by other controllers, without a word";
            reader.wrong(key::BACKEND_PROTOCOL, "https", problem, "ssl for TLS to the nodes, tcp for none");
            Protocol::Tcp
        }
        Some(other) => {
            reader.not_a_word(key::BACKEND_PROTOCOL, other, "is not a protocol to targets");
            Protocol::Tcp
        }
    };
    let alpn = reader.word(key::ALPN_POLICY).unwrap_or(AlpnPolicy::None);
    let policy_is_chosen = reader.text(key::SSL_POLICY).is_some();
    Tls { certificates, ports, policy, policy_is_chosen, alpn, backend }
}

/// Targets are reached over IPv6 when the Service has that family, which needs a dualstack load balancer.
fn read_family(reader: &mut Reader<'_>, service: &ServiceView) -> TargetFamily {
    if !service.cluster_families().contains(&IpFamily::V6) {
        return TargetFamily::Ipv4;
    }
    let dualstack = reader.text(key::IP_ADDRESS_TYPE) == Some(IpAddressType::DualStack.as_str());
    if !dualstack {
        if service.family_policy == FamilyPolicy::RequireDualStack {
            let problem = "is not met by a load balancer of one family";
            let mistake = Mistake::new("spec.ipFamilyPolicy", "RequireDualStack", problem);
            let allowed = format!("{}: dualstack, or PreferDualStack or SingleStack", key::IP_ADDRESS_TYPE);
            reader.mistake(mistake.allowing(allowed), [Scope::Ports]);
        }
        // Who prefers both families is reached over IPv4 well enough; an IPv6 Service is not reached at all.
        if service.cluster_families().contains(&IpFamily::V4) {
            return TargetFamily::Ipv4;
        }
        let mistake = Mistake::new("spec.ipFamilies", "IPv6", "needs a dualstack load balancer");
        reader.mistake(mistake.allowing(format!("{}: dualstack", key::IP_ADDRESS_TYPE)), [Scope::Ports]);
    }
    TargetFamily::Ipv6
}

/// The JSON of an action, as the AWS Load Balancer Controller documents it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListenerAction {
    r#type: String,
    forward_config: Option<ForwardConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForwardConfig {
    base_service_weight: Option<u16>,
    #[serde(default)]
    target_groups: Vec<ActionTarget>,
    #[serde(default)]
    target_group_stickiness_config: Option<Stickiness>,
}

#[derive(Deserialize)]
struct ActionTarget {
    #[serde(rename = "targetGroupARN")]
    arn: Option<String>,
    #[serde(rename = "serviceName")]
    service: Option<String>,
    weight: Option<u16>,
}

#[derive(Deserialize)]
struct Stickiness {
    enabled: Option<bool>,
}

fn read_forward(reader: &mut Reader<'_>, key: &str) -> Option<WeightedForward> {
    let text = reader.text(key)?;
    let shape = r#"{"type":"forward","forwardConfig":{"baseServiceWeight":N,"targetGroups":[{"targetGroupARN":"arn","weight":N}]}}"#;
    let config = match serde_json::from_str(text) {
        Ok(ListenerAction { r#type, forward_config: Some(config) }) if r#type == "forward" => config,
        _ => {
            reader.wrong(key, text, "is not a forward action", shape);
            return None;
        }
    };
    let mut others = BTreeMap::new();
    for target in &config.target_groups {
        match (&target.arn, &target.service) {
            (Some(arn), None) => {
                others.insert(arn.clone(), target.weight.unwrap_or(1));
            }
            (None, Some(service)) => {
                reader.unsupported(key, format!("serviceName {service}"), "targetGroupARN");
            }
            _ => reader.wrong(key, text, "does not name each target group by exactly one means", shape),
        }
    }
    let own_weight = config.base_service_weight.unwrap_or(1);
    if others.values().chain([&own_weight]).any(|weight| *weight > 999) {
        reader.wrong(key, text, "has a weight out of range", "weights from 0 to 999");
    }
    let sticky = config.target_group_stickiness_config.and_then(|s| s.enabled).unwrap_or(false);
    Some(WeightedForward { own_weight, others, sticky })
}

/// ELB guide, *Health checks for Network Load Balancer target groups*: targets of UDP are checked over TCP or HTTP. A
/// node port that takes datagrams alone answers neither, so that no target ever becomes healthy.
fn warn_of_udp(reader: &mut Reader<'_>, listeners: &[ListenerSpec]) {
    let unanswered = |listener: &&ListenerSpec| {
        let group = &listener.target_group;
        group.protocol == Protocol::Udp && group.health_check.port == HealthCheckPort::TrafficPort
    };
    let ports: Vec<String> = listeners.iter().filter(unanswered).map(|l| l.port.to_string()).collect();
    if !ports.is_empty() {
        let message = format!(
            "AWS checks the health of UDP targets over TCP or HTTP, and nothing answers on the node port of UDP alone: no \
             node behind port {} becomes healthy. Set {} to a port that answers on every node, such as 10256, on which \
             kube-proxy answers {} http with {} /healthz",
            ports.join(", "),
            key::HEALTH_PORT,
            key::HEALTH_PROTOCOL,
            key::HEALTH_PATH
        );
        reader.note(NoteKind::Warning, "UdpHealthCheck", message);
    }
}

/// Keys that end in `PROTOCOL-PORT` must mean a listener that exists. Of ports that could not be read it cannot be told.
fn check_listener_keys(reader: &mut Reader<'_>, listeners: &[ListenerSpec]) {
    if !reader.knows_all_ports() {
        return;
    }
    let known: Vec<String> = listeners.iter().map(|l| format!("{}-{}", l.protocol, l.port)).collect();
    for start in [key::LISTENER_ATTRIBUTES, key::ACTIONS] {
        let ends: Vec<&str> = reader.family(start).map(|(end, _)| end).collect();
        for end in ends {
            if !known.iter().any(|listener| listener == end) {
                let mistake = Mistake::in_annotation(
                    &format!("{start}{end}"),
                    end,
                    "means no listener of this Service",
                );
                // It may have been meant for any of them.
                reader.mistake(mistake.allowing(known.join(", ")), [Scope::Ports]);
            }
        }
    }
}
