//! What should exist, from what is asked for.

use cloud_provider::testing::{ServiceBuilder, a_service};

use super::*;
use crate::client::{IpAddressType, Scheme, Subnet, Traffic};
use crate::options;
use crate::options::annotation::PREFIX;
use crate::targets::TargetNode;

fn site(scheme: Scheme) -> Site {
    let subnet = |id: &str, zone: &str, range: &str| Subnet {
        id: id.to_owned(),
        vpc_id: "vpc-1".to_owned(),
        zone: zone.to_owned(),
        ipv4_cidr: range.parse().ok(),
        ipv6_cidrs: Vec::new(),
        available_ipv4: 100,
        outpost_arn: None,
        tags: Tags::new(),
    };
    Site {
        vpc_id: "vpc-1".to_owned(),
        scheme,
        present_name: None,
        present_subnets: BTreeSet::new(),
        subnets: vec![subnet("subnet-1", "a", "10.0.0.0/24"), subnet("subnet-2", "b", "10.0.1.0/24")],
        given_groups: BTreeSet::new(),
        without_groups: false,
        nodes: Some(TargetNodes::from([(
            "i-1".to_owned(),
            TargetNode { node: "n1".to_owned(), zone: "a".to_owned() },
        )])),
    }
}

fn desired_at(service: ServiceBuilder, site: Site) -> Result<Desired, Mistakes> {
    let (service, config) = (service.build(), AwsConfig::new("prod"));
    let spec = options::parse(&service, &config).expect("no mistakes").spec;
    build(&service.id, &spec, &config, &site).map(|built| built.desired)
}

fn desired(service: ServiceBuilder) -> Desired {
    desired_at(service, site(Scheme::Internal)).expect("no mistakes")
}

fn key(suffix: &str) -> String {
    format!("{PREFIX}aws-load-balancer-{suffix}")
}

#[test]
fn a_listener_a_port_and_a_target_group_each() {
    let desired = desired(a_service().ports([80, 443]));
    assert_eq!(desired.listeners.iter().map(|l| l.port).collect::<Vec<_>>(), [80, 443]);
    let names: Vec<&String> = desired.target_groups.iter().map(|tg| &tg.name).collect();
    assert_eq!(desired.listeners.iter().map(|l| &l.target_group).collect::<Vec<_>>(), names);
}

#[test]
fn who_may_connect_is_one_rule_a_port_and_source() {
    let desired = desired(a_service().ports([80, 443]).source_ranges(["10.0.0.0/8", "11.0.0.0/8"]));
    let rules: Vec<String> =
        desired.groups.frontend.expect("a group").rules.iter().map(ToString::to_string).collect();
    let expected = [
        "tcp 80-80 from 10.0.0.0/8",
        "tcp 80-80 from 11.0.0.0/8",
        "tcp 443-443 from 10.0.0.0/8",
        "tcp 443-443 from 11.0.0.0/8",
    ];
    assert_eq!(rules, expected);
}

#[test]
fn nodes_are_opened_for_node_ports_and_for_a_health_check_elsewhere() {
    let traffic = |service| desired(service).groups.nodes.expect("an opening").traffic;
    let range = Traffic::Tcp { from: 30000, to: 32767 };
    assert_eq!(traffic(a_service()), BTreeSet::from([range.clone()]));
    let checked = a_service().annotation(&key("healthcheck-port"), "10256");
    assert_eq!(traffic(checked), BTreeSet::from([range, Traffic::Tcp { from: 10256, to: 10256 }]));
}

#[test]
fn private_addresses_go_to_the_subnet_whose_range_they_are_in() {
    let placed = a_service().annotation(&key("private-ipv4-addresses"), "10.0.1.9,10.0.0.9");
    let zones = desired(placed).load_balancer.zones;
    let addresses: Vec<String> =
        zones.iter().map(|zone| zone.mapping.private_ipv4.expect("placed").to_string()).collect();
    assert_eq!(addresses, ["10.0.0.9", "10.0.1.9"]);
    let lost = a_service().annotation(&key("private-ipv4-addresses"), "10.0.0.8,10.0.0.9");
    let mistakes = desired_at(lost, site(Scheme::Internal)).expect_err("none is in 10.0.1.0/24").to_string();
    assert!(mistakes.contains("\"10.0.0.8,10.0.0.9\" has no address in the range of subnet-2"), "{mistakes}");
}

#[test]
fn elastic_ips_need_an_internet_facing_load_balancer_whoever_chose_the_scheme() {
    let service = || a_service().annotation(&key("eip-allocations"), "eipalloc-1,eipalloc-2");
    assert!(desired_at(service(), site(Scheme::InternetFacing)).is_ok());
    let mistakes = desired_at(service(), site(Scheme::Internal)).expect_err("internal").to_string();
    assert!(mistakes.contains("internet-facing"), "{mistakes}");
}

#[test]
fn the_operators_tags_count_before_the_services_and_ours_before_both() {
    let service = a_service().annotation(&key("additional-resource-tags"), "team=web,env=dev").build();
    let mut config = AwsConfig::new("prod");
    config.default_tags.insert("env".to_owned(), "prod".to_owned());
    let spec = options::parse(&service, &config).expect("no mistakes").spec;
    let tags = build(&service.id, &spec, &config, &site(Scheme::Internal))
        .expect("no mistakes")
        .desired
        .load_balancer
        .tags;
    assert_eq!((tags["env"].as_str(), tags["team"].as_str()), ("prod", "web"));
    assert_eq!(tags[naming::UID_TAG], *service.id.uid);
    assert_eq!(tags[ADDED_TAGS_TAG], "env team");
}

#[test]
fn the_digest_of_a_fixed_example_stays_what_it_is_unless_its_version_is_raised() {
    let service = a_service()
        .ports([80, 443])
        .annotation(&key("attributes"), "deletion_protection.enabled=true")
        .annotation(&key("target-group-attributes"), "stickiness.enabled=true")
        .annotation(&key("ssl-cert"), "arn:aws:acm:us-east-1:1:certificate/a")
        .annotation(&key("ssl-ports"), "443")
        .source_ranges(["10.0.0.0/8"]);
    assert_eq!(desired(service).digest(), "2:995ac475d4e8c00001dd6a2e80bf0be9");
}

#[test]
fn what_another_version_noted_says_nothing() {
    let desired = desired(a_service());
    let noted = |digest: &str| desired.is_noted(&Tags::from([(APPLIED_TAG.to_owned(), digest.to_owned())]));
    assert!(noted(&desired.digest()));
    assert!(noted("0123456789abcdef0123456789abcdef"), "the form of the first versions");
    assert!(!noted("2:0123456789abcdef0123456789abcdef"), "another Service, or another time");
    assert!(!noted(""), "taken off before a change");
}

#[test]
fn the_digest_is_of_everything_but_the_targets() {
    let base = desired(a_service());
    let mut other = base.clone();
    other.targets = None;
    assert_eq!(base.digest(), other.digest());
    assert_ne!(base.digest(), desired(a_service().ports([81])).digest());
    assert_ne!(base.digest(), desired(a_service().source_ranges(["10.0.0.0/8"])).digest());
    assert_eq!(base.load_balancer.ip_address_type, IpAddressType::Ipv4);
}

#[test]
fn a_load_balancer_made_without_groups_is_asked_for_none() {
    let without = Site { without_groups: true, ..site(Scheme::Internal) };
    assert!(desired_at(a_service(), without).expect("no mistakes").groups.is_empty());
}

/// A load balancer that has the first of these subnets, and discovery that finds both.
fn with_a_new_zone(scheme: Scheme) -> Site {
    Site { present_subnets: BTreeSet::from(["subnet-1".to_owned()]), ..site(scheme) }
}

#[test]
fn a_subnet_that_is_found_later_breaks_no_service_with_addresses_of_its_own() {
    let table = [
        (Scheme::InternetFacing, "eip-allocations", "eipalloc-1"),
        (Scheme::Internal, "private-ipv4-addresses", "10.0.0.9"),
    ];
    for (scheme, annotation, value) in table {
        let service = a_service().annotation(&key(annotation), value).build();
        let config = AwsConfig::new("prod");
        let spec = options::parse(&service, &config).expect("no mistakes").spec;
        let built = build(&service.id, &spec, &config, &with_a_new_zone(scheme)).expect("it keeps its own");
        let zones: Vec<&str> =
            built.desired.load_balancer.zones.iter().map(|zone| zone.mapping.subnet_id.as_str()).collect();
        assert_eq!(zones, ["subnet-1"], "{annotation}");
        let [note] = built.notes.as_slice() else { panic!("{:?}", built.notes) };
        assert!(note.message.contains("subnet-2 in b"), "{}", note.message);
    }
    let reaching = a_service().annotation(&key("private-ipv4-addresses"), "10.0.0.9,10.0.1.9");
    let zones =
        desired_at(reaching, with_a_new_zone(Scheme::Internal)).expect("no mistakes").load_balancer.zones;
    assert_eq!(zones.len(), 2, "once there is an address for it, it is taken");
}

#[test]
fn a_prefix_for_source_nat_is_out_of_the_range_of_its_subnet_or_a_mistake_of_its_own_annotation() {
    let with = |prefixes: &str| {
        a_service()
            .annotation(&key("ip-address-type"), "dualstack")
            .annotation(&key("enable-prefix-for-ipv6-source-nat"), "on")
            .annotation(&key("source-nat-ipv6-prefixes"), prefixes)
    };
    let mut site = site(Scheme::Internal);
    for (i, subnet) in site.subnets.iter_mut().enumerate() {
        subnet.ipv6_cidrs = vec![format!("2001:db8:0:{i}::/64").parse().expect("a network")];
    }
    assert!(desired_at(with("2001:db8:0:0:1::/80,auto_assigned"), site.clone()).is_ok());
    let mistakes =
        desired_at(with("2001:db8:0:1:1::/80,auto_assigned"), site).expect_err("swapped").to_string();
    assert!(mistakes.contains("source-nat-ipv6-prefixes]: \"2001:db8:0:1:1::/80\""), "{mistakes}");
    assert!(mistakes.contains("subnet-1"), "{mistakes}");
}

#[test]
fn a_load_balancer_has_room_for_so_many_targets_and_every_port_gets_its_share() {
    let mut site = site(Scheme::Internal);
    let node = |i: usize| TargetNode { node: format!("n{i}"), zone: format!("zone-{}", i % 3) };
    site.nodes = Some((0..350).map(|i| (format!("i-{i}"), node(i))).collect());
    let across =
        a_service().ports([80, 443]).annotation(&key("attributes"), "load_balancing.cross_zone.enabled=true");
    let service = across.build();
    let config = AwsConfig::new("prod");
    let spec = options::parse(&service, &config).expect("no mistakes").spec;
    let built = build(&service.id, &spec, &config, &site).expect("no mistakes");
    let sets = built.desired.targets.expect("targets");
    assert_eq!(sets.by_group.values().map(BTreeSet::len).collect::<Vec<_>>(), [250, 250]);
    let [note] = built.notes.as_slice() else { panic!("{:?}", built.notes) };
    assert!(note.message.contains("each of 2 ports has 250 of 350 nodes"), "{}", note.message);
}
