//! What counts as a change, per resource: everything else that AWS shows is its own affair or somebody's who
//! wanted it so by hand.

use std::collections::BTreeSet;

use cloud_provider::{Change, Ordered};

use crate::client::{
    AlpnPolicy, Attributes, Forward, HealthCheck, HealthCheckProtocol, Listener as AwsListener,
    LoadBalancer as AwsLoadBalancer, Protocol, Scheme, Tags, WeightedTargetGroup,
};
use crate::model;
use crate::naming::{self, ADDED_TAGS_TAG, SET_ATTRIBUTES_TAG, is_tracking_key, remembered};

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

/// What says which attributes and tags were set because somebody asked.
const MEMORIES: [&str; 2] = [ADDED_TAGS_TAG, SET_ATTRIBUTES_TAG];

/// How tags differ, in two halves, around what the tags speak of.
///
/// Tags added by hand stay: only those that were once added because somebody asked are removed. The tags that remember
/// what somebody asked for say more before it is done, and less only after it has been taken back: whoever goes on from
/// any point in between knows what is still to be taken back.
pub fn tags_around(wanted: &Tags, found: &Tags) -> (TagDrift, TagDrift) {
    let (mut before, mut after) = (TagDrift::default(), TagDrift::default());
    let differs = |(key, value): &(&String, &String)| found.get(*key) != Some(*value);
    let plain = wanted.iter().filter(|(key, _)| !MEMORIES.contains(&key.as_str()));
    before.add = plain.filter(differs).map(|(k, v)| (k.clone(), v.clone())).ordered();
    for memory in MEMORIES {
        let is: Vec<&str> = remembered(found, memory).collect();
        let will_be: Vec<&str> = remembered(wanted, memory).collect();
        if will_be.iter().any(|key| !is.contains(key)) {
            let both: BTreeSet<String> = is.iter().chain(&will_be).map(|key| (*key).to_owned()).ordered();
            before.add.extend(naming::remember(&both).map(|keys| (memory.to_owned(), keys)));
        }
        if is.iter().any(|key| !will_be.contains(key)) {
            match wanted.get(memory) {
                Some(keys) => drop(after.add.insert(memory.to_owned(), keys.clone())),
                None => after.remove.push(memory.to_owned()),
            }
        }
    }
    let given_up = remembered(found, ADDED_TAGS_TAG)
        .filter(|key| found.contains_key(*key) && !wanted.contains_key(*key))
        .filter(|key| !is_tracking_key(key));
    after.remove.extend(given_up.map(str::to_owned));
    (before, after)
}

/// Whether the tags say that this was set because somebody asked.
pub fn was_set(tags: &Tags, key: &str) -> bool {
    remembered(tags, SET_ATTRIBUTES_TAG).any(|set| set == key)
}

/// Attributes to set: those wanted that differ, and AWS's default for those that were once set because somebody
/// asked and that nobody asks for any more. One whose default is not known stays.
fn attributes(
    wanted: &Attributes,
    found: &Attributes,
    tags: &Tags,
    default: impl Fn(&str) -> Option<&'static str>,
) -> Attributes {
    let given_up = remembered(tags, SET_ATTRIBUTES_TAG)
        .filter(|key| !wanted.contains_key(*key))
        .filter_map(|key| Some((key.to_owned(), default(key)?.to_owned())));
    let wanted = wanted.iter().map(|(k, v)| (k.clone(), v.clone()));
    // An attribute that AWS did not show is sent as well: it may be new to us or not valid, which AWS tells.
    let mut changes: Attributes =
        wanted.chain(given_up).filter(|(key, value)| found.get(key) != Some(value)).ordered();
    // AWS takes the interval only while connections are not ended, and does not use it otherwise.
    if changes.get(ENDS_UNHEALTHY).is_some_and(|ends| ends == "true") {
        changes.remove(UNHEALTHY_DRAINS);
    }
    changes
}

/// ELBv2 API reference, *LoadBalancerAttribute*: the defaults for Network Load Balancers. A bucket for access logs is
/// left: AWS refuses an empty name, and without `access_logs.s3.enabled` it has no effect. Neither can secondary
/// addresses become fewer.
pub fn load_balancer_attributes(
    wanted: &Attributes,
    found: &Attributes,
    tags: &Tags,
    scheme: Scheme,
) -> Attributes {
    attributes(wanted, found, tags, |key| {
        Some(match key {
            "deletion_protection.enabled"
            | "load_balancing.cross_zone.enabled"
            | "access_logs.s3.enabled"
            | "zonal_shift.config.enabled" => "false",
            // False for internet-facing load balancers, true for internal ones.
            "ipv6.deny_all_igw_traffic" if scheme == Scheme::InternetFacing => "false",
            "ipv6.deny_all_igw_traffic" => "true",
            "dns_record.client_routing_policy" => "any_availability_zone",
            _ => return None,
        })
    })
}

/// ELBv2 API reference, *TargetGroupAttribute*: the defaults for instances behind Network Load Balancers.
pub fn target_group_attributes(
    wanted: &Attributes,
    found: &Attributes,
    tags: &Tags,
    protocol: Protocol,
) -> Attributes {
    attributes(wanted, found, tags, |key| {
        Some(match key {
            "load_balancing.cross_zone.enabled" => "use_load_balancer_configuration",
            "deregistration_delay.timeout_seconds" => "300",
            // New target groups for UDP and TCP_UDP end connections, others do not.
            "deregistration_delay.connection_termination.enabled" if protocol.carries_udp() => "true",
            "deregistration_delay.connection_termination.enabled"
            | "proxy_protocol_v2.enabled"
            | "stickiness.enabled" => "false",
            "stickiness.type" => "source_ip",
            "preserve_client_ip.enabled" => "true",
            ENDS_UNHEALTHY => "true",
            UNHEALTHY_DRAINS => "0",
            "target_group_health.dns_failover.minimum_healthy_targets.count"
            | "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count" => "1",
            "target_group_health.dns_failover.minimum_healthy_targets.percentage"
            | "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage" => "off",
            _ => return None,
        })
    })
}

/// ELBv2 API reference, *ListenerAttribute*: the default for Network Load Balancers.
pub fn listener_attributes(wanted: &Attributes, found: &Attributes, tags: &Tags) -> Attributes {
    attributes(wanted, found, tags, |key| (key == "tcp.idle_timeout.seconds").then_some("350"))
}

/// How the families of clients differ, if they do.
pub fn ip_address_type(wanted: &model::LoadBalancer, found: &AwsLoadBalancer) -> Option<Change> {
    change("IpAddressType", found.ip_address_type, wanted.ip_address_type)
}

/// How the health check differs.
pub fn health_check(wanted: &HealthCheck, found: &HealthCheck) -> Vec<Change> {
    // What AWS still shows of a request that a check over TCP does not make is no difference: no request takes it back.
    let found = match wanted.protocol {
        HealthCheckProtocol::Tcp => &HealthCheck { path: None, matcher: None, ..found.clone() },
        HealthCheckProtocol::Http | HealthCheckProtocol::Https => found,
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
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

/// A field that has another value, if it has.
pub(crate) fn change(field: &str, from: impl ToString, to: impl ToString) -> Option<Change> {
    let (from, to) = (from.to_string(), to.to_string());
    (from != to).then(|| Change::new(field, from, to))
}
