//! What counts as a change, per resource: everything else that AWS shows is its own affair or somebody's who
//! wanted it so by hand.

use cloud_provider::Change;

use crate::client::{
    AlpnPolicy, Attributes, CapacityChange, Forward, HealthCheck, HealthCheckProtocol,
    Listener as AwsListener, LoadBalancer as AwsLoadBalancer, Protocol, Tags, WeightedTargetGroup,
};
use crate::model;
use crate::naming::{
    ADDED_TAGS_TAG, APPLIED_TAG, SET_ATTRIBUTES_TAG, TARGETS_TAG, is_tracking_key, remembered,
};

/// Whether connections to a target end when it becomes unhealthy.
pub(crate) const ENDS_UNHEALTHY: &str = "target_health_state.unhealthy.connection_termination.enabled";
/// How long an unhealthy target keeps its connections.
pub(crate) const UNHEALTHY_DRAINS: &str = "target_health_state.unhealthy.draining_interval_seconds";

/// Tags to add or change, and keys to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagDrift {
    /// Missing, or with another value.
    pub add: Tags,
    /// Added by us once, and not wanted any more.
    pub remove: Vec<String>,
}

impl TagDrift {
    /// Whether the tags are as they should be.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// Tags added by hand stay: only those that were once added because somebody asked are removed.
pub fn tags(wanted: &Tags, found: &Tags) -> TagDrift {
    let differs = |(key, value): &(&String, &String)| found.get(*key) != Some(*value);
    let add = wanted.iter().filter(differs).map(|(k, v)| (k.clone(), v.clone())).collect();
    let ours = remembered(found, ADDED_TAGS_TAG).chain([ADDED_TAGS_TAG, SET_ATTRIBUTES_TAG]);
    let remove = ours
        .filter(|key| found.contains_key(*key) && !wanted.contains_key(*key))
        .filter(|key| !is_tracking_key(key) || [ADDED_TAGS_TAG, SET_ATTRIBUTES_TAG].contains(key))
        .filter(|key| ![APPLIED_TAG, TARGETS_TAG].contains(key))
        .map(str::to_owned)
        .collect();
    TagDrift { add, remove }
}

/// Attributes to set: those wanted that differ, and AWS's default for those that were once set because somebody
/// asked and that nobody asks for any more. One whose default is not known stays.
pub fn attributes(wanted: &Attributes, found: &Attributes, tags: &Tags) -> Attributes {
    let given_up = remembered(tags, SET_ATTRIBUTES_TAG)
        .filter(|key| !wanted.contains_key(*key))
        .filter_map(|key| Some((key.to_owned(), default_attribute(key)?.to_owned())));
    let wanted = wanted.iter().map(|(k, v)| (k.clone(), v.clone()));
    // An attribute that AWS did not show is sent as well: it may be new to us or not valid, which AWS tells.
    let mut changes: Attributes =
        wanted.chain(given_up).filter(|(key, value)| found.get(key) != Some(value)).collect();
    // AWS takes the interval only while connections are not ended, and does not use it otherwise.
    if changes.get(ENDS_UNHEALTHY).is_some_and(|ends| ends == "true") {
        changes.remove(UNHEALTHY_DRAINS);
    }
    changes
}

/// Listener attributes likewise; listeners carry no memory of what was set.
pub fn listener_attributes(wanted: &Attributes, found: &Attributes) -> Attributes {
    attributes(wanted, found, &Tags::new())
}

/// ELBv2 API reference, *LoadBalancerAttribute* and *TargetGroupAttribute*: the defaults for NLBs.
fn default_attribute(key: &str) -> Option<&'static str> {
    Some(match key {
        "deletion_protection.enabled" | "load_balancing.cross_zone.enabled" | "access_logs.s3.enabled" => {
            "false"
        }
        // Not `access_logs.s3.bucket` and `.prefix`: nothing says that AWS takes an empty name, and without logs nobody
        // reads them.
        "dns_record.client_routing_policy" => "any_availability_zone",
        "deregistration_delay.timeout_seconds" => "300",
        "proxy_protocol_v2.enabled" | "stickiness.enabled" => "false",
        "preserve_client_ip.enabled" => "true",
        ENDS_UNHEALTHY => "true",
        UNHEALTHY_DRAINS => "0",
        _ => return None,
    })
}

/// How the families of clients differ, if they do.
pub fn ip_address_type(wanted: &model::LoadBalancer, found: &AwsLoadBalancer) -> Option<Change> {
    change("IpAddressType", found.ip_address_type, wanted.ip_address_type)
}

/// How the reserved capacity differs, if it does.
pub fn capacity(wanted: CapacityChange, reserved: Option<u32>) -> Option<Change> {
    let want = match wanted {
        CapacityChange::Units(units) => Some(units),
        CapacityChange::Reset => None,
    };
    let text = |units: Option<u32>| units.map_or("none".to_owned(), |units| units.to_string());
    change("CapacityUnits", text(reserved), text(want))
}

/// How the health check differs.
pub fn health_check(wanted: &HealthCheck, found: &HealthCheck) -> Vec<Change> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    // What AWS still shows of a request that a check over TCP does not make is no difference: no request takes it back.
    let found = match wanted.protocol {
        HealthCheckProtocol::Tcp => &HealthCheck { path: None, matcher: None, ..found.clone() },
        HealthCheckProtocol::Http | HealthCheckProtocol::Https => found,
    };
    [
        change("HealthCheckProtocol", found.protocol, wanted.protocol),
        change("HealthCheckPort", found.port, wanted.port),
        change("HealthCheckPath", text(&found.path), text(&wanted.path)),
        change("Matcher", text(&found.matcher), text(&wanted.matcher)),
        change("HealthCheckIntervalSeconds", found.interval_seconds, wanted.interval_seconds),
        change("HealthCheckTimeoutSeconds", found.timeout_seconds, wanted.timeout_seconds),
        change("HealthyThresholdCount", found.healthy_threshold, wanted.healthy_threshold),
        change("UnhealthyThresholdCount", found.unhealthy_threshold, wanted.unhealthy_threshold),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How a listener differs, apart from its further certificates and attributes; `target_group` is the ARN of its
/// target group, none when that is still to be made.
pub fn listener(wanted: &model::Listener, found: &AwsListener, target_group: Option<&str>) -> Vec<Change> {
    let mut changes = vec![change("Protocol", found.protocol, wanted.protocol)];
    if let Some(tls) = &wanted.tls {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let alpn = found.alpn_policy.unwrap_or(AlpnPolicy::None);
        changes.push(change(
            "Certificate",
            text(&found.default_certificate),
            tls.default_certificate.clone(),
        ));
        changes.push(change("SslPolicy", text(&found.ssl_policy), tls.policy.clone()));
        changes.push(change("AlpnPolicy", alpn, tls.alpn));
    }
    match target_group {
        Some(arn) => changes.push(change("Forward", show(&found.forward), show(&forward(wanted, arn)))),
        None => changes.push(change("Forward", show(&found.forward), wanted.target_group.clone())),
    }
    changes.into_iter().flatten().collect()
}

/// Where a listener should send its traffic.
pub fn forward(wanted: &model::Listener, target_group: &str) -> Forward {
    let Some(weighted) = &wanted.weighted else { return Forward::to(target_group) };
    let own = WeightedTargetGroup { arn: target_group.to_owned(), weight: weighted.own_weight };
    let others =
        weighted.others.iter().map(|(arn, weight)| WeightedTargetGroup { arn: arn.clone(), weight: *weight });
    let mut forward = Forward::weighted(others.chain([own]).collect());
    forward.sticky = weighted.sticky;
    // One target group alone has no share to speak of; AWS shows it without a weight.
    match forward.target_groups.as_slice() {
        [only] => Forward { sticky: forward.sticky, ..Forward::to(&only.arn) },
        _ => forward,
    }
}

/// Whether a listener of this protocol may go on with targets of that protocol.
pub fn is_compatible(listener: Protocol, targets: Protocol) -> bool {
    listener.allowed_targets().contains(&targets)
}

fn show(forward: &Forward) -> String {
    let parts: Vec<String> =
        forward.target_groups.iter().map(|tg| format!("{} ({})", tg.arn, tg.weight)).collect();
    format!("{}{}", parts.join(", "), if forward.sticky { ", sticky" } else { "" })
}

fn change(field: &str, from: impl ToString, to: impl ToString) -> Option<Change> {
    let (from, to) = (from.to_string(), to.to_string());
    (from != to).then(|| Change::new(field, from, to))
}
