//! Attributes of load balancers, target groups and listeners: which there are, and what they may be.

use super::{
    super::{ATTRIBUTES_PER_CALL, Attributes, Protocol, TargetType},
    account::AccountState,
    refusal::{Answered, refuse},
    rules::{IMPOSSIBLE, MALFORMED},
};

/// What an attribute may be.
enum Allowed {
    Bool,
    Text,
    Number(u32, u32),
    /// A number in this range, or `off`.
    NumberOrOff(u32, u32),
    OneOf(&'static [&'static str]),
}

impl Allowed {
    fn allows(&self, value: &str) -> bool {
        let within = |min: u32, max: u32| value.parse().is_ok_and(|n: u32| (min..=max).contains(&n));
        match self {
            Self::Bool => matches!(value, "true" | "false"),
            Self::Text => value.len() <= 1024,
            Self::Number(min, max) => within(*min, *max),
            Self::NumberOrOff(min, max) => value == "off" || within(*min, *max),
            Self::OneOf(words) => words.contains(&value),
        }
    }
}

/// Whether connections to a target end when it becomes unhealthy.
const ENDS_UNHEALTHY: &str = "target_health_state.unhealthy.connection_termination.enabled";
/// How long an unhealthy target keeps its connections.
const UNHEALTHY_DRAINS: &str = "target_health_state.unhealthy.draining_interval_seconds";

type AttributeRules = &'static [(&'static str, Allowed, &'static str)];

const LOAD_BALANCER: AttributeRules = &[
    ("access_logs.s3.bucket", Allowed::Text, ""),
    ("access_logs.s3.enabled", Allowed::Bool, "false"),
    ("access_logs.s3.prefix", Allowed::Text, ""),
    ("deletion_protection.enabled", Allowed::Bool, "false"),
    (
        "dns_record.client_routing_policy",
        Allowed::OneOf(&[
            "any_availability_zone",
            "availability_zone_affinity",
            "partial_availability_zone_affinity",
        ]),
        "any_availability_zone",
    ),
    ("ipv6.deny_all_igw_traffic", Allowed::Bool, "false"),
    ("load_balancing.cross_zone.enabled", Allowed::Bool, "false"),
    ("secondary_ips.auto_assigned.per_subnet", Allowed::Number(0, 7), "0"),
    ("zonal_shift.config.enabled", Allowed::Bool, "false"),
];

const TARGET_GROUP: AttributeRules = &[
    ("deregistration_delay.connection_termination.enabled", Allowed::Bool, "false"),
    ("deregistration_delay.timeout_seconds", Allowed::Number(0, 3600), "300"),
    (
        "load_balancing.cross_zone.enabled",
        Allowed::OneOf(&["true", "false", "use_load_balancer_configuration"]),
        "use_load_balancer_configuration",
    ),
    ("preserve_client_ip.enabled", Allowed::Bool, "true"),
    ("proxy_protocol_v2.enabled", Allowed::Bool, "false"),
    ("stickiness.enabled", Allowed::Bool, "false"),
    ("stickiness.type", Allowed::OneOf(&["source_ip"]), "source_ip"),
    ("target_group_health.dns_failover.minimum_healthy_targets.count", Allowed::NumberOrOff(1, 3000), "1"),
    (
        "target_group_health.dns_failover.minimum_healthy_targets.percentage",
        Allowed::NumberOrOff(1, 100),
        "off",
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        Allowed::Number(1, 3000),
        "1",
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        Allowed::NumberOrOff(1, 100),
        "off",
    ),
    (ENDS_UNHEALTHY, Allowed::Bool, "true"),
    (UNHEALTHY_DRAINS, Allowed::Number(0, 360_000), "0"),
];

const LISTENER: AttributeRules = &[("tcp.idle_timeout.seconds", Allowed::Number(60, 6000), "350")];

pub(super) fn load_balancer_defaults() -> Attributes {
    defaults(LOAD_BALANCER)
}

pub(super) fn target_group_defaults(protocol: Protocol, target_type: TargetType) -> Attributes {
    let mut attributes = defaults(TARGET_GROUP);
    if protocol.carries_udp() {
        let ends_connections = "deregistration_delay.connection_termination.enabled".to_owned();
        attributes.insert(ends_connections, "true".to_owned());
    }
    let preserved = target_type == TargetType::Instance || protocol.carries_udp();
    attributes.insert("preserve_client_ip.enabled".to_owned(), preserved.to_string());
    attributes
}

/// Only TCP listeners have an idle timeout to set.
pub(super) fn listener_defaults(protocol: Protocol) -> Attributes {
    match protocol {
        Protocol::Tcp | Protocol::TcpUdp => defaults(LISTENER),
        _ => Attributes::new(),
    }
}

fn defaults(known: AttributeRules) -> Attributes {
    known.iter().map(|(key, _, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn check(known: AttributeRules, attributes: &Attributes) -> Answered<()> {
    if attributes.is_empty() || attributes.len() > ATTRIBUTES_PER_CALL {
        let message = format!("{} attributes; 1 to {ATTRIBUTES_PER_CALL} allowed", attributes.len());
        return refuse(MALFORMED, message);
    }
    for (key, value) in attributes {
        match known.iter().find(|(name, ..)| name == key) {
            None => return refuse(MALFORMED, format!("Attribute key '{key}' is not recognized")),
            Some((_, allowed, _)) if !allowed.allows(value) => {
                return refuse(MALFORMED, format!("Attribute value '{value}' is not valid for '{key}'"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn number(attributes: &Attributes, key: &str) -> u32 {
    attributes.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

impl AccountState {
    pub(super) fn modify_load_balancer_attributes(
        &mut self,
        arn: &str,
        changes: &Attributes,
    ) -> Answered<()> {
        let record = self.load_balancer(arn)?;
        check(LOAD_BALANCER, changes)?;
        let mut wanted = record.attributes.clone();
        wanted.extend(changes.clone());
        // What AWS says to an empty name is written nowhere: assumed to be what it says to any other bad value.
        if changes.get("access_logs.s3.bucket").is_some_and(String::is_empty) {
            return refuse(MALFORMED, "The name of a bucket cannot be empty");
        }
        if wanted["access_logs.s3.enabled"] == "true" && wanted["access_logs.s3.bucket"].is_empty() {
            return refuse(IMPOSSIBLE, "Access logs need the name of a bucket");
        }
        let secondary = "secondary_ips.auto_assigned.per_subnet";
        if number(&wanted, secondary) < number(&record.attributes, secondary) {
            return refuse(IMPOSSIBLE, "The number of secondary addresses cannot decrease");
        }
        self.load_balancers.get_mut(arn).expect("checked").attributes = wanted;
        Ok(())
    }

    pub(super) fn modify_target_group_attributes(&mut self, arn: &str, changes: &Attributes) -> Answered<()> {
        let protocol = self.target_group(arn)?.tg.protocol;
        check(TARGET_GROUP, changes)?;
        let hides_clients = changes.get("preserve_client_ip.enabled").is_some_and(|on| on == "false");
        if hides_clients && protocol.carries_udp() {
            return refuse(IMPOSSIBLE, format!("Client IP preservation cannot be disabled for {protocol}"));
        }
        if protocol.carries_udp() && changes.contains_key(ENDS_UNHEALTHY) {
            return refuse(IMPOSSIBLE, format!("{ENDS_UNHEALTHY} cannot be set for {protocol}"));
        }
        let mut wanted = self.target_group(arn)?.attributes.clone();
        wanted.extend(changes.clone());
        if changes.contains_key(UNHEALTHY_DRAINS) && wanted[ENDS_UNHEALTHY] != "false" {
            let message = format!("{UNHEALTHY_DRAINS} can only be set while {ENDS_UNHEALTHY} is false");
            return refuse(IMPOSSIBLE, message);
        }
        self.target_groups.get_mut(arn).expect("checked").attributes = wanted;
        Ok(())
    }

    pub(super) fn modify_listener_attributes(&mut self, arn: &str, changes: &Attributes) -> Answered<()> {
        let record = self.listener(arn)?;
        check(LISTENER, changes)?;
        if let Some(key) = changes.keys().find(|key| !record.attributes.contains_key(*key)) {
            let message = format!("Attribute '{key}' is not supported for {}", record.listener.protocol);
            return refuse(IMPOSSIBLE, message);
        }
        self.listeners.get_mut(arn).expect("checked").attributes.extend(changes.clone());
        Ok(())
    }
}
