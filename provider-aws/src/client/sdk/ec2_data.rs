//! EC2's data, to and from ours.

use std::str::FromStr;

use aws_sdk_ec2::types as sdk;
use cloud_provider::Ordered;

use super::super::{
    IngressRule, Instance, RouteTable, RuleSource, SecurityGroup, Subnet, TagFilter, Tags, Traffic, Vpc, Zone,
};

fn word<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

/// A filter on these values; none means no filter.
pub(super) fn filter(name: impl Into<String>, values: Vec<String>) -> Option<sdk::Filter> {
    (!values.is_empty()).then(|| sdk::Filter::builder().name(name).set_values(Some(values)).build())
}

pub(super) fn tag_filter(tag: &TagFilter) -> sdk::Filter {
    match tag.values.as_slice() {
        [] => sdk::Filter::builder().name("tag-key").values(&tag.key).build(),
        values => {
            sdk::Filter::builder().name(format!("tag:{}", tag.key)).set_values(Some(values.to_vec())).build()
        }
    }
}

pub(super) fn tags(tags: &Tags) -> Vec<sdk::Tag> {
    tags.iter().map(|(key, value)| sdk::Tag::builder().key(key).value(value).build()).collect()
}

fn tags_told(tags: Option<Vec<sdk::Tag>>) -> Tags {
    let tags = tags.unwrap_or_default().into_iter();
    tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).ordered()
}

pub(super) fn subnet(subnet: sdk::Subnet) -> Option<Subnet> {
    let associated = |state: &Option<sdk::SubnetCidrBlockState>| {
        let state = state.as_ref().and_then(|state| state.state.as_ref());
        state.is_none_or(|state| *state == sdk::SubnetCidrBlockStateCode::Associated)
    };
    let ipv6 = subnet.ipv6_cidr_block_association_set.unwrap_or_default();
    Some(Subnet {
        id: subnet.subnet_id?,
        vpc_id: subnet.vpc_id?,
        zone: subnet.availability_zone?,
        ipv4_cidr: word(subnet.cidr_block.as_deref()),
        ipv6_cidrs: ipv6
            .iter()
            .filter(|range| associated(&range.ipv6_cidr_block_state))
            .filter_map(|range| word(range.ipv6_cidr_block.as_deref()))
            .collect(),
        available_ipv4: subnet.available_ip_address_count.and_then(|n| n.try_into().ok()).unwrap_or(0),
        outpost_arn: subnet.outpost_arn,
        tags: tags_told(subnet.tags),
    })
}

pub(super) fn vpc(vpc: sdk::Vpc) -> Option<Vpc> {
    let associated = |state: &Option<sdk::VpcCidrBlockState>| {
        let state = state.as_ref().and_then(|state| state.state.as_ref());
        state.is_none_or(|state| *state == sdk::VpcCidrBlockStateCode::Associated)
    };
    let ipv4 = vpc.cidr_block_association_set.unwrap_or_default();
    let ipv6 = vpc.ipv6_cidr_block_association_set.unwrap_or_default();
    let mut ipv4_cidrs: Vec<_> = ipv4
        .iter()
        .filter(|range| associated(&range.cidr_block_state))
        .filter_map(|range| word(range.cidr_block.as_deref()))
        .collect();
    if ipv4_cidrs.is_empty() {
        ipv4_cidrs.extend(word::<ipnet::Ipv4Net>(vpc.cidr_block.as_deref()));
    }
    Some(Vpc {
        id: vpc.vpc_id?,
        ipv4_cidrs,
        ipv6_cidrs: ipv6
            .iter()
            .filter(|range| associated(&range.ipv6_cidr_block_state))
            .filter_map(|range| word(range.ipv6_cidr_block.as_deref()))
            .collect(),
        tags: tags_told(vpc.tags),
    })
}

pub(super) fn route_table(table: sdk::RouteTable) -> Option<RouteTable> {
    let associations = table.associations.unwrap_or_default();
    let routes = table.routes.unwrap_or_default().into_iter();
    let mut gateway_ids: Vec<String> = routes.filter_map(|route| route.gateway_id).collect();
    gateway_ids.sort_unstable();
    gateway_ids.dedup();
    Some(RouteTable {
        id: table.route_table_id?,
        vpc_id: table.vpc_id?,
        main: associations.iter().any(|association| association.main == Some(true)),
        subnet_ids: associations.into_iter().filter_map(|association| association.subnet_id).collect(),
        gateway_ids,
    })
}

pub(super) fn zone(zone: sdk::AvailabilityZone) -> Option<Zone> {
    Some(Zone { kind: word(zone.zone_type.as_deref())?, name: zone.zone_name?, id: zone.zone_id? })
}

pub(super) fn instance(instance: sdk::Instance) -> Option<Instance> {
    let interfaces = instance.network_interfaces.unwrap_or_default();
    let index = |i: &sdk::InstanceNetworkInterface| i.attachment.as_ref().and_then(|a| a.device_index);
    let primary = interfaces.into_iter().find(|interface| index(interface) == Some(0));
    let (groups, ipv6) = match primary {
        Some(primary) => (primary.groups, primary.ipv6_addresses.unwrap_or_default()),
        None => (instance.security_groups, Vec::new()),
    };
    let mut security_groups: Vec<String> =
        groups.unwrap_or_default().into_iter().filter_map(|group| group.group_id).collect();
    security_groups.sort_unstable();
    Some(Instance {
        id: instance.instance_id?,
        state: word(
            instance
                .state
                .as_ref()
                .and_then(|state| state.name.as_ref())
                .map(aws_sdk_ec2::types::InstanceStateName::as_str),
        )?,
        instance_type: instance.instance_type.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        zone: instance.placement.and_then(|placement| placement.availability_zone).unwrap_or_default(),
        vpc_id: instance.vpc_id.filter(|id| !id.is_empty()),
        subnet_id: instance.subnet_id.filter(|id| !id.is_empty()),
        private_ipv4: word(instance.private_ip_address.as_deref()),
        primary_ipv6: ipv6
            .iter()
            .find(|address| address.is_primary_ipv6 == Some(true))
            .and_then(|address| word(address.ipv6_address.as_deref())),
        security_groups,
        tags: tags_told(instance.tags),
    })
}

pub(super) fn security_group(group: sdk::SecurityGroup) -> Option<SecurityGroup> {
    let mut ingress: Vec<IngressRule> =
        group.ip_permissions.unwrap_or_default().into_iter().flat_map(rules).collect();
    ingress.sort_unstable();
    Some(SecurityGroup {
        id: group.group_id?,
        name: group.group_name.unwrap_or_default(),
        description: group.description.unwrap_or_default(),
        vpc_id: group.vpc_id.unwrap_or_default(),
        ingress,
        tags: tags_told(group.tags),
    })
}

/// One rule for each source of a permission.
fn rules(permission: sdk::IpPermission) -> Vec<IngressRule> {
    let traffic = traffic(&permission);
    let rule = |source: Option<RuleSource>, description: Option<String>| {
        let description = description.filter(|text| !text.is_empty());
        Some(IngressRule { traffic: traffic.clone(), source: source?, description })
    };
    let ipv4 = permission.ip_ranges.unwrap_or_default().into_iter();
    let ipv4 = ipv4.filter_map(|r| rule(word(r.cidr_ip.as_deref()).map(RuleSource::Ipv4), r.description));
    let ipv6 = permission.ipv6_ranges.unwrap_or_default().into_iter();
    let ipv6 = ipv6.filter_map(|r| rule(word(r.cidr_ipv6.as_deref()).map(RuleSource::Ipv6), r.description));
    let lists = permission.prefix_list_ids.unwrap_or_default().into_iter();
    let lists = lists.filter_map(|r| rule(r.prefix_list_id.map(RuleSource::PrefixList), r.description));
    let groups = permission.user_id_group_pairs.unwrap_or_default().into_iter();
    let groups = groups.filter_map(|r| rule(r.group_id.map(RuleSource::Group), r.description));
    ipv4.chain(ipv6).chain(lists).chain(groups).collect()
}

fn traffic(permission: &sdk::IpPermission) -> Traffic {
    let port =
        |port: Option<i32>, missing: u16| port.and_then(|port| port.try_into().ok()).unwrap_or(missing);
    let message = |number: Option<i32>| number.and_then(|number| number.try_into().ok()).unwrap_or(-1);
    let (from, to) = (permission.from_port, permission.to_port);
    match permission.ip_protocol.as_deref().unwrap_or("-1") {
        "tcp" | "6" => Traffic::Tcp { from: port(from, 0), to: port(to, u16::MAX) },
        "udp" | "17" => Traffic::Udp { from: port(from, 0), to: port(to, u16::MAX) },
        "icmp" | "1" => Traffic::Icmp { kind: message(from), code: message(to) },
        "icmpv6" | "58" => Traffic::Icmpv6 { kind: message(from), code: message(to) },
        "-1" => Traffic::All,
        other => Traffic::Other(other.to_owned()),
    }
}

pub(super) fn permission(rule: &IngressRule) -> sdk::IpPermission {
    let (protocol, from, to) = match &rule.traffic {
        Traffic::Tcp { from, to } => ("tcp", Some(i32::from(*from)), Some(i32::from(*to))),
        Traffic::Udp { from, to } => ("udp", Some(i32::from(*from)), Some(i32::from(*to))),
        Traffic::Icmp { kind, code } => ("icmp", Some(i32::from(*kind)), Some(i32::from(*code))),
        Traffic::Icmpv6 { kind, code } => ("icmpv6", Some(i32::from(*kind)), Some(i32::from(*code))),
        Traffic::All => ("-1", None, None),
        Traffic::Other(protocol) => (protocol.as_str(), None, None),
    };
    let permission = sdk::IpPermission::builder().ip_protocol(protocol).set_from_port(from).set_to_port(to);
    let description = rule.description.clone();
    match &rule.source {
        RuleSource::Ipv4(range) => permission.ip_ranges(
            sdk::IpRange::builder().cidr_ip(range.to_string()).set_description(description).build(),
        ),
        RuleSource::Ipv6(range) => permission.ipv6_ranges(
            sdk::Ipv6Range::builder().cidr_ipv6(range.to_string()).set_description(description).build(),
        ),
        RuleSource::PrefixList(id) => permission.prefix_list_ids(
            sdk::PrefixListId::builder().prefix_list_id(id).set_description(description).build(),
        ),
        RuleSource::Group(id) => permission.user_id_group_pairs(
            sdk::UserIdGroupPair::builder().group_id(id).set_description(description).build(),
        ),
    }
    .build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn traffic_of_any_sort() -> impl Strategy<Value = Traffic> {
        prop_oneof![
            any::<(u16, u16)>().prop_map(|(a, b)| Traffic::Tcp { from: a.min(b), to: a.max(b) }),
            any::<(u16, u16)>().prop_map(|(a, b)| Traffic::Udp { from: a.min(b), to: a.max(b) }),
            (-1i16..256, -1i16..256).prop_map(|(kind, code)| Traffic::Icmp { kind, code }),
            (-1i16..256, -1i16..256).prop_map(|(kind, code)| Traffic::Icmpv6 { kind, code }),
            Just(Traffic::All),
            Just(Traffic::Other("50".to_owned())),
        ]
    }

    fn any_source() -> impl Strategy<Value = RuleSource> {
        prop_oneof![
            (any::<[u8; 4]>(), 0u8..=32)
                .prop_map(|(ip, length)| { RuleSource::Ipv4(ipnet::Ipv4Net::new_assert(ip.into(), length)) }),
            (any::<[u8; 16]>(), 0u8..=128)
                .prop_map(|(ip, length)| { RuleSource::Ipv6(ipnet::Ipv6Net::new_assert(ip.into(), length)) }),
            "pl-[0-9a-f]{8}".prop_map(RuleSource::PrefixList),
            "sg-[0-9a-f]{8}".prop_map(RuleSource::Group),
        ]
    }

    proptest! {
        #[test]
        fn a_rule_comes_back_from_its_permission(
            traffic in traffic_of_any_sort(),
            source in any_source(),
            description in proptest::option::of("[a-z]{1,9}"),
        ) {
            let rule = IngressRule { traffic, source, description };
            prop_assert_eq!(rules(permission(&rule)), vec![rule]);
        }
    }

    #[test]
    fn a_permission_with_several_sources_is_several_rules() {
        let permission = sdk::IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(80)
            .to_port(80)
            .ip_ranges(sdk::IpRange::builder().cidr_ip("10.0.0.0/8").build())
            .ipv6_ranges(sdk::Ipv6Range::builder().cidr_ipv6("::/0").description("").build())
            .user_id_group_pairs(sdk::UserIdGroupPair::builder().group_id("sg-1").build());

        let rules: Vec<String> = rules(permission.build()).iter().map(ToString::to_string).collect();

        assert_eq!(rules, ["tcp 80-80 from 10.0.0.0/8", "tcp 80-80 from ::/0", "tcp 80-80 from sg-1"]);
    }
}
