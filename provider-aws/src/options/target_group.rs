//! What the annotations say of target groups: protocol to the targets, health check, attributes.

use cloud_provider::{Mistake, NoteKind, ServicePort, ServiceView};
use serde::Serialize;

use super::annotation::{Reader, key};
use super::scope::Scope;
use crate::client::{Attributes, HealthCheck, HealthCheckPort, HealthCheckProtocol, Protocol, TargetFamily};
use crate::drift::{ENDS_UNHEALTHY, UNHEALTHY_DRAINS};

/// What is asked of one target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetGroupSpec {
    /// Protocol between load balancer and targets.
    pub protocol: Protocol,
    /// The node port targets are registered with.
    pub node_port: u16,
    /// Address family between load balancer and targets.
    pub family: TargetFamily,
    /// How targets are checked.
    pub health_check: HealthCheck,
    /// Attributes the user named; AWS's defaults hold for the others.
    pub attributes: Attributes,
}

const PROXY_PROTOCOL: &str = "proxy_protocol_v2.enabled";
const PRESERVE_CLIENT_IP: &str = "preserve_client_ip.enabled";
const STICKINESS: &str = "stickiness.enabled";

/// The field that asks for clients to stay where they are.
pub(super) const SESSION_AFFINITY: &str = "spec.sessionAffinity";

/// The health check that all target groups of a Service share.
///
/// With `externalTrafficPolicy: Local` the nodes themselves tell which of them have an endpoint, on the health
/// check node port (KEP-3458); the defaults are then quicker, as the AWS Load Balancer Controller has them.
pub(super) fn read_health_check(reader: &mut Reader<'_>, service: &ServiceView) -> HealthCheck {
    let local = service.health_check_node_port.filter(|_| service.needs_health_check());
    let default_protocol = if local.is_some() { HealthCheckProtocol::Http } else { HealthCheckProtocol::Tcp };
    let protocol = match reader.text(key::HEALTH_PROTOCOL).map(str::to_ascii_lowercase).as_deref() {
        None => default_protocol,
        Some("tcp") => HealthCheckProtocol::Tcp,
        Some("http") => HealthCheckProtocol::Http,
        Some("https") => HealthCheckProtocol::Https,
        Some(other) => {
            reader.not_a_word(key::HEALTH_PROTOCOL, other, "is not a health check protocol");
            default_protocol
        }
    };
    let default_port = local.map_or(HealthCheckPort::TrafficPort, HealthCheckPort::Number);
    let port = read_health_port(reader, service).unwrap_or(default_port);
    let (path, matcher) = read_request(reader, protocol, local.is_some());
    let interval_seconds = reader.number(key::HEALTH_INTERVAL).unwrap_or(10);
    let default_timeout = if local.is_some() { 6 } else { 10 };
    // AWS wants a check to end before the next begins; only the default gives way, never the user's word.
    let timeout_seconds = reader.number(key::HEALTH_TIMEOUT).unwrap_or(default_timeout.min(interval_seconds));
    if timeout_seconds > interval_seconds {
        let allowed = format!("at most the interval of {interval_seconds} seconds");
        reader.wrong(
            key::HEALTH_TIMEOUT,
            timeout_seconds.to_string(),
            "is longer than the interval",
            &allowed,
        );
    }
    let default_threshold = if local.is_some() { 2 } else { 3 };
    HealthCheck {
        protocol,
        port,
        path,
        matcher,
        interval_seconds,
        timeout_seconds,
        healthy_threshold: reader.number(key::HEALTHY_THRESHOLD).unwrap_or(default_threshold),
        unhealthy_threshold: reader.number(key::UNHEALTHY_THRESHOLD).unwrap_or(default_threshold),
    }
}

/// A number, `traffic-port`, or the name of a Service port, which stands for its node port.
fn read_health_port(reader: &mut Reader<'_>, service: &ServiceView) -> Option<HealthCheckPort> {
    let text = reader.text(key::HEALTH_PORT)?;
    let named = service.ports.iter().find(|port| !port.name.is_empty() && port.name == text);
    let port = text.parse().ok().or_else(|| named?.node_port.map(HealthCheckPort::Number));
    if port.is_none() {
        let allowed = "traffic-port, a number from 1 to 65535, the name of a Service port";
        reader.no_such_port(key::HEALTH_PORT, text, "is not a port", allowed);
    }
    port
}

/// Path and codes, which only HTTP and HTTPS have.
fn read_request(
    reader: &mut Reader<'_>,
    protocol: HealthCheckProtocol,
    local: bool,
) -> (Option<String>, Option<String>) {
    let path = reader.text(key::HEALTH_PATH);
    if let Some(path) = path
        && (!path.starts_with('/') || path.len() > 1024)
    {
        reader.wrong(key::HEALTH_PATH, path, "is not a path", "up to 1024 characters beginning with /");
    }
    let codes = reader.text(key::HEALTH_CODES);
    if let Some(codes) = codes
        && !codes.split(',').all(is_code_range)
    {
        let allowed = "codes from 200 to 599 such as 200, 200,301 or 200-399";
        reader.wrong(key::HEALTH_CODES, codes, "is not a list of status codes", allowed);
    }
    if protocol == HealthCheckProtocol::Tcp {
        return (None, None);
    }
    let default_path = if local { "/healthz" } else { "/" };
    (Some(path.unwrap_or(default_path).to_owned()), Some(codes.unwrap_or("200-399").to_owned()))
}

fn is_code_range(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) => (200..=599).contains(&first) && first <= last && last <= 599,
        _ => false,
    }
}

/// The attributes of the target group behind one Service port.
///
/// Precedence, strongest first: proxy protocol for all, proxy protocol for listed ports, attributes of this port,
/// attributes of all ports. AWS does not let client addresses be hidden from UDP targets.
pub(super) fn read_attributes(reader: &mut Reader<'_>, port: &ServicePort, protocol: Protocol) -> Attributes {
    let mut attributes = reader.map(key::TARGET_GROUP_ATTRIBUTES);
    let own_key = format!("{}{}", key::TARGET_GROUP_ATTRIBUTES_OF, port.port);
    for (name, value) in reader.map(&own_key) {
        if !value.is_empty() {
            attributes.insert(name, value);
        }
    }
    if let Some(listed) = reader.list(key::PROXY_PROTOCOL_PER_TARGET_GROUP) {
        let on = listed.iter().any(|item| item.parse() == Ok(port.port));
        attributes.insert(PROXY_PROTOCOL.to_owned(), on.to_string());
    }
    if reader.text(key::PROXY_PROTOCOL) == Some("*") {
        attributes.insert(PROXY_PROTOCOL.to_owned(), "true".to_owned());
    }
    if protocol.carries_udp() && attributes.get(PRESERVE_CLIENT_IP).is_some_and(|on| on == "false") {
        let value = format!("{PRESERVE_CLIENT_IP}=false");
        let problem = format!("cannot hold for {protocol} targets of port {}", port.port);
        let allowed = "true for UDP and TCP_UDP";
        reader.wrong_for_port(port.port, key::TARGET_GROUP_ATTRIBUTES, value, &problem, allowed);
    }
    check_unhealthy(reader, port, protocol, &attributes);
    attributes
}

/// `sessionAffinity: ClientIP`: AWS sends what comes from one source address to one target, by its only kind of stickiness.
/// On the node kube-proxy keeps the client with its endpoint, for the time that the Service says; AWS knows no time. "Sticky
/// sessions are not supported with TLS listeners and TLS target groups" (*Sticky sessions* in the guide to target groups).
pub(super) fn keep_clients(
    reader: &mut Reader<'_>,
    listener: Protocol,
    port: u16,
    attributes: &mut Attributes,
) {
    if listener == Protocol::Tls {
        let problem = format!("cannot be had on port {port}: AWS keeps no client with its target behind TLS");
        let allowed = "None, or aws-load-balancer-ssl-ports without that port";
        let mistake = Mistake::new(SESSION_AFFINITY, "ClientIP", problem).allowing(allowed);
        reader.mistake(mistake, [Scope::Port(port)]);
        return;
    }
    let value = attributes.entry(STICKINESS.to_owned()).or_insert_with(|| "true".to_owned());
    if value != "true" {
        let value = format!("{STICKINESS}={value}");
        let problem = format!("contradicts {SESSION_AFFINITY}: ClientIP on port {port}");
        let allowed = "true, or no such attribute";
        reader.wrong_for_port(port, key::TARGET_GROUP_ATTRIBUTES, value, &problem, allowed);
    }
}

/// What becomes of connections to unhealthy targets is for connections, and the interval is for those that do not end
/// at once (*TargetGroupAttribute* in the ELBv2 API reference).
fn check_unhealthy(reader: &mut Reader<'_>, port: &ServicePort, protocol: Protocol, attributes: &Attributes) {
    if let Some(ends) = attributes.get(ENDS_UNHEALTHY)
        && protocol.carries_udp()
    {
        let problem = format!("cannot be set for {protocol} targets of port {}", port.port);
        let value = format!("{ENDS_UNHEALTHY}={ends}");
        let allowed = "no such attribute for UDP and TCP_UDP";
        reader.wrong_for_port(port.port, key::TARGET_GROUP_ATTRIBUTES, value, &problem, allowed);
    }
    if let Some(interval) = attributes.get(UNHEALTHY_DRAINS)
        && attributes.get(ENDS_UNHEALTHY).is_none_or(|ends| ends != "false")
    {
        let value = format!("{UNHEALTHY_DRAINS}={interval}");
        let problem = "is for targets whose connections do not end at once";
        let allowed = format!("no such attribute, or {ENDS_UNHEALTHY}=false beside it");
        reader.wrong_for_port(port.port, key::TARGET_GROUP_ATTRIBUTES, value, problem, &allowed);
    }
}

/// Mistakes that concern all target groups at once, told once.
pub(super) fn check_shared(reader: &mut Reader<'_>, service: &ServiceView) {
    if let Some(text) = reader.text(key::PROXY_PROTOCOL)
        && text != "*"
    {
        reader.not_a_word(key::PROXY_PROTOCOL, text, "is not a known value");
    }
    for item in reader.list(key::PROXY_PROTOCOL_PER_TARGET_GROUP).unwrap_or_default() {
        let known = item.parse::<u16>().is_ok_and(|number| service.ports.iter().any(|p| p.port == number));
        if !known {
            let (problem, allowed) = ("is no port of this Service", "port numbers of this Service");
            reader.no_such_port(key::PROXY_PROTOCOL_PER_TARGET_GROUP, item, problem, allowed);
        }
    }
    let shared = reader.map(key::TARGET_GROUP_ATTRIBUTES);
    check_values(reader, key::TARGET_GROUP_ATTRIBUTES, &shared);
    let own: Vec<&str> = reader.family(key::TARGET_GROUP_ATTRIBUTES_OF).map(|(port, _)| port).collect();
    for port in own {
        let own_key = format!("{}{port}", key::TARGET_GROUP_ATTRIBUTES_OF);
        if !port.parse::<u16>().is_ok_and(|number| service.ports.iter().any(|p| p.port == number)) {
            let message = format!("annotation {own_key} has no effect: {port} is no port of this Service");
            reader.note(NoteKind::Warning, "NoSuchPort", message);
        }
        let attributes = reader.map(&own_key);
        check_values(reader, &own_key, &attributes);
    }
}

/// ELBv2 API reference, *TargetGroupAttribute*: the values it can check without knowing the target group.
fn check_values(reader: &mut Reader<'_>, key: &str, attributes: &Attributes) {
    for truth in [PRESERVE_CLIENT_IP, PROXY_PROTOCOL, "deregistration_delay.connection_termination.enabled"] {
        if let Some(value) = attributes.get(truth)
            && !matches!(value.as_str(), "true" | "false" | "")
        {
            reader.wrong(key, format!("{truth}={value}"), "is not a truth value", "true, false");
        }
    }
    let delay = "deregistration_delay.timeout_seconds";
    if let Some(value) = attributes.get(delay)
        && !value.is_empty()
        && !value.parse::<u32>().is_ok_and(|seconds| seconds <= 3600)
    {
        reader.wrong(key, format!("{delay}={value}"), "is not a number of seconds in range", "0 to 3600");
    }
}
