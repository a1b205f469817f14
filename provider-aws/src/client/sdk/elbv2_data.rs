//! ELBv2's data, to and from ours.
//!
//! A list may hold things of other people that this crate has no words for (gateway load balancers, target
//! groups of functions). They are left out: nothing of ours is like that.

use std::str::FromStr;

use aws_sdk_elasticloadbalancingv2::types as sdk;
use cloud_provider::Ordered;

use super::super::{
    AlpnPolicy, CapacityReservation, Forward, HealthCheck, HealthCheckPort, HealthCheckProtocol,
    IpAddressType, Listener, LoadBalancer, LoadBalancerKind, LoadBalancerState, Protocol, Scheme,
    SubnetMapping, Tags, Target, TargetFamily, TargetGroup, TargetHealth, TargetState, TargetType,
    WeightedTargetGroup, ZoneAddress, ZoneCapacity, ZoneMapping,
};

fn word<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

fn number<T: TryFrom<i32>>(number: Option<i32>) -> Option<T> {
    number?.try_into().ok()
}

pub(super) fn load_balancer(lb: sdk::LoadBalancer) -> Option<LoadBalancer> {
    let ip_address_type = match &lb.ip_address_type {
        // Left out by some emulators.
        None => IpAddressType::Ipv4,
        Some(sdk::IpAddressType::DualstackWithoutPublicIpv4) => IpAddressType::DualStack,
        Some(known) => word(Some(known.as_str()))?,
    };
    let state = lb.state.as_ref();
    Some(LoadBalancer {
        kind: word(lb.r#type.as_ref().map(sdk::LoadBalancerTypeEnum::as_str))
            .or(lb.r#type.is_none().then_some(LoadBalancerKind::Network))?,
        scheme: word::<Scheme>(lb.scheme.as_ref().map(sdk::LoadBalancerSchemeEnum::as_str))?,
        state: word::<LoadBalancerState>(
            state.and_then(|state| state.code.as_ref()).map(sdk::LoadBalancerStateEnum::as_str),
        )?,
        state_reason: state.and_then(|state| state.reason.clone()).filter(|reason| !reason.is_empty()),
        arn: lb.load_balancer_arn?,
        name: lb.load_balancer_name?,
        dns_name: lb.dns_name?,
        hosted_zone_id: lb.canonical_hosted_zone_id,
        created: lb.created_time.and_then(|time| time.try_into().ok()),
        vpc_id: lb.vpc_id?,
        ip_address_type,
        zones: zones(lb.availability_zones.unwrap_or_default()),
        security_groups: lb.security_groups.unwrap_or_default().into_iter().ordered(),
        enforce_private_link_inbound: lb
            .enforce_security_group_inbound_rules_on_private_link_traffic
            .map(|enforce| enforce == "on"),
        ipv6_source_nat: lb.enable_prefix_for_ipv6_source_nat
            == Some(sdk::EnablePrefixForIpv6SourceNatEnum::On),
    })
}

pub(super) fn zones(zones: Vec<sdk::AvailabilityZone>) -> Vec<ZoneMapping> {
    let mut zones: Vec<ZoneMapping> = zones.into_iter().filter_map(zone).collect();
    zones.sort_unstable_by(|a, b| a.subnet_id.cmp(&b.subnet_id));
    zones
}

fn zone(zone: sdk::AvailabilityZone) -> Option<ZoneMapping> {
    let addresses = zone.load_balancer_addresses.unwrap_or_default().into_iter().map(|address| ZoneAddress {
        public_ipv4: word(address.ip_address.as_deref()),
        allocation_id: address.allocation_id,
        private_ipv4: word(address.private_ipv4_address.as_deref()),
        ipv6: word(address.ipv6_address.as_deref()),
    });
    let prefixes = zone.source_nat_ipv6_prefixes.unwrap_or_default();
    Some(ZoneMapping {
        zone: zone.zone_name?,
        subnet_id: zone.subnet_id?,
        addresses: addresses.filter(|address| *address != ZoneAddress::default()).collect(),
        source_nat_ipv6_prefixes: prefixes.iter().filter_map(|prefix| prefix.parse().ok()).collect(),
    })
}

pub(super) fn subnet_mapping(mapping: &SubnetMapping) -> sdk::SubnetMapping {
    sdk::SubnetMapping::builder()
        .subnet_id(&mapping.subnet_id)
        .set_allocation_id(mapping.allocation_id.clone())
        .set_private_ipv4_address(mapping.private_ipv4.map(|ip| ip.to_string()))
        .set_ipv6_address(mapping.ipv6.map(|ip| ip.to_string()))
        .set_source_nat_ipv6_prefix(mapping.source_nat_ipv6_prefix.map(|prefix| prefix.to_string()))
        .build()
}

pub(super) fn source_nat(on: bool) -> sdk::EnablePrefixForIpv6SourceNatEnum {
    if on { sdk::EnablePrefixForIpv6SourceNatEnum::On } else { sdk::EnablePrefixForIpv6SourceNatEnum::Off }
}

pub(super) fn capacity(
    units: Option<sdk::MinimumLoadBalancerCapacity>,
    decreases: Option<i32>,
    zones: Vec<sdk::ZonalCapacityReservationState>,
) -> CapacityReservation {
    let zone = |zone: sdk::ZonalCapacityReservationState| {
        let state = zone.state.as_ref();
        let capacity = ZoneCapacity {
            state: state
                .and_then(|s| s.code.as_ref())
                .map(|code| code.as_str().to_owned())
                .unwrap_or_default(),
            reason: state.and_then(|state| state.reason.clone()),
            // Whole capacity units; a float saturates.
            effective_units: zone.effective_capacity_units.map(|units| units as u32),
        };
        Some((zone.availability_zone?, capacity))
    };
    CapacityReservation {
        minimum_units: units.and_then(|units| number(units.capacity_units)),
        decreases_remaining: number(decreases),
        zones: zones.into_iter().filter_map(zone).ordered(),
    }
}

pub(super) fn target_group(tg: sdk::TargetGroup) -> Option<TargetGroup> {
    let mut load_balancer_arns = tg.load_balancer_arns.unwrap_or_default();
    load_balancer_arns.sort_unstable();
    let target_type = word::<TargetType>(tg.target_type.as_ref().map(sdk::TargetTypeEnum::as_str))?;
    Some(TargetGroup {
        protocol: word::<Protocol>(tg.protocol.as_ref().map(sdk::ProtocolEnum::as_str))?,
        port: number(tg.port)?,
        target_type,
        family: match &tg.ip_address_type {
            // AWS leaves it out of IPv4 groups at times.
            None => TargetFamily::Ipv4,
            Some(family) => word(Some(family.as_str()))?,
        },
        health_check: HealthCheck {
            protocol: word::<HealthCheckProtocol>(
                tg.health_check_protocol.as_ref().map(sdk::ProtocolEnum::as_str),
            )?,
            port: word::<HealthCheckPort>(tg.health_check_port.as_deref())?,
            path: tg.health_check_path,
            matcher: tg.matcher.and_then(|matcher| matcher.http_code),
            interval_seconds: number(tg.health_check_interval_seconds)?,
            timeout_seconds: number(tg.health_check_timeout_seconds)?,
            healthy_threshold: number(tg.healthy_threshold_count)?,
            unhealthy_threshold: number(tg.unhealthy_threshold_count)?,
        },
        arn: tg.target_group_arn?,
        name: tg.target_group_name?,
        vpc_id: tg.vpc_id?,
        load_balancer_arns,
    })
}

/// A number of ours, which AWS's ranges keep far below what overflows.
pub(super) fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

pub(super) fn target(target: &Target) -> sdk::TargetDescription {
    sdk::TargetDescription::builder()
        .id(&target.id)
        .port(i32::from(target.port))
        .set_availability_zone(target.zone.clone())
        .build()
}

pub(super) fn target_health(health: sdk::TargetHealthDescription) -> Option<TargetHealth> {
    let target = health.target?;
    let health = health.target_health?;
    Some(TargetHealth {
        state: word::<TargetState>(health.state.as_ref().map(sdk::TargetHealthStateEnum::as_str))
            .unwrap_or(TargetState::Unavailable),
        reason: health.reason.map(|reason| reason.as_str().to_owned()),
        description: health.description,
        target: Target { port: number(target.port)?, zone: target.availability_zone, id: target.id? },
    })
}

pub(super) fn listener(listener: sdk::Listener) -> Option<Listener> {
    let protocol = word::<Protocol>(listener.protocol.as_ref().map(sdk::ProtocolEnum::as_str))?;
    // Emulators tell a security policy of listeners that cannot have one.
    let has_tls = matches!(protocol, Protocol::Tls | Protocol::Https);
    let alpn = listener.alpn_policy.unwrap_or_default();
    Some(Listener {
        port: number(listener.port)?,
        protocol,
        default_certificate: listener
            .certificates
            .unwrap_or_default()
            .into_iter()
            .find(|certificate| certificate.is_default != Some(false))
            .and_then(|certificate| certificate.certificate_arn)
            .filter(|_| has_tls),
        ssl_policy: listener.ssl_policy.filter(|policy| has_tls && !policy.is_empty()),
        alpn_policy: word::<AlpnPolicy>(alpn.first().map(String::as_str)).filter(|_| has_tls),
        forward: forward(listener.default_actions.unwrap_or_default().into_iter().next()?)?,
        arn: listener.listener_arn?,
        load_balancer_arn: listener.load_balancer_arn?,
    })
}

fn forward(action: sdk::Action) -> Option<Forward> {
    let config = action.forward_config;
    let sticky = config.as_ref().and_then(|config| config.target_group_stickiness_config.as_ref());
    let sticky = sticky.is_some_and(|sticky| sticky.enabled == Some(true));
    let tuples = config.and_then(|config| config.target_groups).unwrap_or_default();
    let target_groups: Vec<WeightedTargetGroup> = match tuples.len() {
        0 => vec![WeightedTargetGroup { arn: action.target_group_arn?, weight: 1 }],
        // The weight of the only one means nothing.
        1 => tuples
            .into_iter()
            .filter_map(|tg| tg.target_group_arn)
            .map(|arn| WeightedTargetGroup { arn, weight: 1 })
            .collect(),
        _ => tuples
            .into_iter()
            .filter_map(|tg| {
                Some(WeightedTargetGroup {
                    weight: number(tg.weight).unwrap_or(1),
                    arn: tg.target_group_arn?,
                })
            })
            .collect(),
    };
    Some(Forward { sticky, ..Forward::weighted(target_groups) })
}

pub(super) fn action(forward: &Forward) -> sdk::Action {
    let action = sdk::Action::builder().r#type(sdk::ActionTypeEnum::Forward);
    if let ([only], false) = (forward.target_groups.as_slice(), forward.sticky) {
        return action.target_group_arn(&only.arn).build();
    }
    let tuple = |tg: &WeightedTargetGroup| {
        sdk::TargetGroupTuple::builder().target_group_arn(&tg.arn).weight(i32::from(tg.weight)).build()
    };
    let config = sdk::ForwardActionConfig::builder()
        .set_target_groups(Some(forward.target_groups.iter().map(tuple).collect()))
        .target_group_stickiness_config(
            sdk::TargetGroupStickinessConfig::builder().enabled(forward.sticky).build(),
        );
    action.forward_config(config.build()).build()
}

/// The list in which AWS takes one certificate.
pub(super) fn certificate(arn: Option<&str>) -> Option<Vec<sdk::Certificate>> {
    arn.map(|arn| vec![sdk::Certificate::builder().certificate_arn(arn).build()])
}

/// No tags at all are left out of a request: an empty list is refused.
pub(super) fn tags(tags: &Tags) -> Option<Vec<sdk::Tag>> {
    // The builder asks for the key, which is there.
    let tag = |(key, value): (&String, &String)| sdk::Tag::builder().key(key).value(value).build();
    (!tags.is_empty()).then(|| tags.iter().map(tag).collect())
}

pub(super) fn tags_told(tags: Vec<sdk::Tag>) -> Tags {
    tags.into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).ordered()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(arn: &str, weight: u16) -> WeightedTargetGroup {
        WeightedTargetGroup { arn: arn.to_owned(), weight }
    }

    #[test]
    fn a_forward_comes_back_from_its_action() {
        let sticky = Forward { sticky: true, ..Forward::to("a") };
        for wanted in [Forward::to("a"), Forward::weighted(vec![share("b", 1), share("a", 999)]), sticky] {
            assert_eq!(forward(action(&wanted)), Some(wanted));
        }
    }

    #[test]
    fn the_weight_of_an_only_target_group_means_nothing() {
        let tuple = sdk::TargetGroupTuple::builder().target_group_arn("a").weight(5).build();
        let config = sdk::ForwardActionConfig::builder().target_groups(tuple).build();
        let action = sdk::Action::builder().r#type(sdk::ActionTypeEnum::Forward).forward_config(config);

        assert_eq!(forward(action.build()), Some(Forward::to("a")));
    }

    #[test]
    fn a_gateway_load_balancer_is_left_out() {
        let gateway = sdk::LoadBalancer::builder()
            .load_balancer_arn("arn")
            .load_balancer_name("theirs")
            .r#type(sdk::LoadBalancerTypeEnum::Gateway);

        assert_eq!(load_balancer(gateway.build()), None);
    }

    #[test]
    fn a_target_group_of_a_function_is_left_out() {
        let lambda = sdk::TargetGroup::builder()
            .target_group_arn("arn")
            .target_group_name("theirs")
            .target_type(sdk::TargetTypeEnum::Lambda);

        assert_eq!(target_group(lambda.build()), None);
    }

    #[test]
    fn the_policy_of_a_listener_without_tls_is_left_out() {
        let tcp = sdk::Listener::builder()
            .listener_arn("l")
            .load_balancer_arn("lb")
            .port(80)
            .protocol(sdk::ProtocolEnum::Tcp)
            .ssl_policy("ELBSecurityPolicy-2016-08")
            .default_actions(action(&Forward::to("a")));

        assert_eq!(listener(tcp.build()).unwrap().ssl_policy, None);
    }
}
