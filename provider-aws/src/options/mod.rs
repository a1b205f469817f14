//! What a Service asks of its load balancer: annotations and spec, read once into a typed [`Spec`].
//!
//! Nothing behind this module looks at an annotation again. All mistakes of one Service are reported together,
//! each with its field, its value, what would be right, and what happens until then.

pub mod annotation;
mod listener;
mod load_balancer;
pub mod scope;
mod security_group;
mod target_group;

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{Mistake, Mistakes, Note, NoteKind, Protocol, ServiceView};
use serde::Serialize;

use self::annotation::{Findings, PREFIX, Reader, key};
pub(crate) use self::listener::LISTENERS_PER_LOAD_BALANCER;
use self::listener::names;
pub use self::listener::{ListenerSpec, TlsSpec, WeightedForward};
pub use self::load_balancer::{ChosenAddresses, LoadBalancerSpec, SubnetRef};
use self::scope::Scope;
pub(crate) use self::security_group::GROUPS_PER_INTERFACE;
pub use self::security_group::{Access, SecuritySpec};
pub use self::target_group::TargetGroupSpec;
use crate::client::IpAddressType;
use crate::config::AwsConfig;
use crate::naming;

/// What a Service asks for, without mistakes in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// The load balancer itself.
    pub load_balancer: LoadBalancerSpec,
    /// One listener a port number, sorted by port, each with its target group.
    pub listeners: Vec<ListenerSpec>,
    /// Who may connect, and by which groups.
    pub security: SecuritySpec,
    /// Tags the user wants on everything.
    pub tags: BTreeMap<String, String>,
    /// Labels a node must have to be a target; all of them.
    pub node_labels: BTreeMap<String, String>,
}

/// A [`Spec`], and what the user should read about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What is asked for.
    pub spec: Spec,
    /// Deprecated and unknown keys.
    pub notes: Vec<Note>,
}

/// What was read of a Service that may have mistakes.
pub(crate) struct Reading {
    /// What is asked for, as if what is a mistake were not there.
    pub(crate) parsed: Parsed,
    /// Every mistake.
    pub(crate) mistakes: Vec<Mistake>,
    /// What the mistakes leave undecided: of these, what is asked for is not what was read.
    pub(crate) undecided: BTreeSet<Scope>,
}

/// Reads a Service.
///
/// # Errors
/// Every mistake in it, together.
pub fn parse(service: &ServiceView, config: &AwsConfig) -> Result<Parsed, Mistakes> {
    let Reading { parsed, mistakes, .. } = read(service, config);
    match Mistakes::new(mistakes) {
        Some(mistakes) => Err(mistakes),
        None => Ok(parsed),
    }
}

/// Reads a Service with all its mistakes, those of the view among them.
pub(crate) fn read(service: &ServiceView, config: &AwsConfig) -> Reading {
    let mut reader = Reader::new(service);
    for mistake in &service.mistakes {
        reader.mistake(mistake.clone(), annotation::undecided_by(mistake));
    }
    refuse_what_is_not_supported(&mut reader, service);
    let load_balancer = load_balancer::read(&mut reader);
    let listeners = listener::read(&mut reader, service, config);
    check_datagrams(&mut reader, &load_balancer, &listeners);
    let security = security_group::read(&mut reader, service, &load_balancer);
    let tags = read_tags(&mut reader, config);
    let node_labels = reader.map(key::NODE_LABELS);
    name_unknown_keys(&mut reader);
    let tls_ports = reader.list(key::SSL_PORTS).filter(|_| !reader.is_mistaken(key::SSL_PORTS));
    let has_tls = reader.text(key::SSL_CERT).is_some();
    let Findings { mistakes, undecided, notes } = reader.finish();
    let undecided = scope::of_service(undecided, service, |port| {
        let is_selected = tls_ports.as_ref().is_none_or(|items| items.iter().any(|item| names(item, port)));
        has_tls && port.protocol == Protocol::Tcp && is_selected
    });
    let spec = Spec { load_balancer, listeners, security, tags, node_labels };
    Reading { parsed: Parsed { spec, notes }, mistakes, undecided }
}

/// The labels a node must have, for Services whose other annotations may hold mistakes. None if they do not parse
/// themselves.
pub fn node_labels(service: &ServiceView) -> Option<BTreeMap<String, String>> {
    let mut reader = Reader::new(service);
    let labels = reader.map(key::NODE_LABELS);
    (!reader.is_mistaken(key::NODE_LABELS)).then_some(labels)
}

/// Whether every port of the Service could be read.
pub(crate) fn knows_all_ports(service: &ServiceView) -> bool {
    let may_be_of_a_port = |scope: &Scope| matches!(scope, Scope::PortList | Scope::Everything);
    !service.mistakes.iter().flat_map(annotation::undecided_by).any(|scope| may_be_of_a_port(&scope))
}

/// Features of peers that do not exist here: said so, never passed over in silence.
fn refuse_what_is_not_supported(reader: &mut Reader<'_>, service: &ServiceView) {
    if service.class.is_none() && reader.text(key::TYPE) == Some("nlb-ip") {
        reader.unsupported(key::TYPE, "nlb-ip", "external with target type instance");
    }
    match reader.text(key::TARGET_TYPE) {
        None | Some("instance") => {}
        Some("ip") => reader.unsupported(key::TARGET_TYPE, "ip", "instance"),
        Some(other) => reader.not_a_word(key::TARGET_TYPE, other, "is not a target type"),
    }
    for key in [key::QUIC_PORTS, key::QUIC_CONTAINERS] {
        if let Some(text) = reader.text(key) {
            reader.unsupported(key, text, "no such annotation");
        }
    }
    if reader.flag(key::MULTI_CLUSTER) == Some(true) {
        reader.unsupported(key::MULTI_CLUSTER, "true", "false");
    }
    if let Some(text) = reader.text(key::EXTRA_SECURITY_GROUPS) {
        reader.wrong(
            key::EXTRA_SECURITY_GROUPS,
            text,
            "is for Classic Load Balancers",
            "aws-load-balancer-security-groups",
        );
    }
}

/// The Service's own tags, as far as AWS takes them and nobody else manages them.
fn read_tags(reader: &mut Reader<'_>, config: &AwsConfig) -> BTreeMap<String, String> {
    let tags = reader.map(key::TAGS);
    for (name, value) in &tags {
        let is_managed = config.externally_managed_tags.contains(name);
        let managed = is_managed.then_some("is managed by somebody else, as the operator configured");
        let Some(problem) = naming::refused_as_a_tag(name, value).or(managed) else { continue };
        let allowed = "other keys of up to 128 characters with values of up to 256, of letters, digits, spaces and _.:/=+-@";
        reader.wrong(key::TAGS, format!("{name}={value}"), problem, allowed);
    }
    if tags.len() + config.default_tags.len() > 40 {
        reader.wrong(
            key::TAGS,
            tags.len().to_string(),
            "is more tags than fit beside our own",
            "40 with the defaults",
        );
    }
    tags
}

/// AWS: "You can't specify UDP or TCP_UDP if dual-stack mode is enabled" (CreateListener), unless IPv6 addresses are
/// translated by prefixes.
fn check_datagrams(reader: &mut Reader<'_>, load_balancer: &LoadBalancerSpec, listeners: &[ListenerSpec]) {
    let has_datagrams = listeners.iter().any(|listener| listener.protocol.carries_udp());
    let is_dualstack = load_balancer.ip_address_type == IpAddressType::DualStack;
    if has_datagrams && is_dualstack && load_balancer.ipv6_source_nat != Some(true) {
        let value = reader.text(key::SOURCE_NAT).unwrap_or_default();
        let problem =
            "leaves the UDP ports of a dualstack load balancer without IPv6 source NAT, which AWS wants";
        let mistake = Mistake::in_annotation(key::SOURCE_NAT, value, problem)
            .allowing("on, or ip-address-type ipv4, or no UDP port");
        let udp = listeners.iter().filter(|listener| listener.protocol.carries_udp());
        let ports = udp.map(|listener| Scope::Port(listener.port));
        reader.mistake(mistake, ports.chain([Scope::Zones]).collect::<Vec<_>>());
    }
}

/// A typing error in a key would otherwise go unnoticed for ever.
fn name_unknown_keys(reader: &mut Reader<'_>) {
    let unknown: Vec<&str> = reader
        .keys(PREFIX)
        .filter(|name| name[PREFIX.len()..].starts_with("aws-load-balancer-"))
        .filter(|name| annotation::of(name).is_none())
        .collect();
    for name in unknown {
        reader.note(
            NoteKind::Warning,
            "UnknownAnnotation",
            format!("annotation {name} is not known and has no effect"),
        );
    }
}

#[cfg(test)]
mod tests;
