//! Every annotation, by table: what is read, and what is refused with which words.

use std::collections::BTreeSet;

use cloud_provider::testing::{ServiceBuilder, a_service};
use cloud_provider::{IpFamily, Protocol as ServiceProtocol};

use super::*;
use crate::client::{
    AlpnPolicy, CapacityChange, HealthCheckPort, HealthCheckProtocol, IpAddressType, Protocol, Scheme,
};

const CERT: &str = "arn:aws:acm:us-east-1:1:certificate/a";
const CERT_TOO: &str = "arn:aws:acm:us-east-1:1:certificate/b";

/// Suffixes with values.
type Annotations<'a> = &'a [(&'a str, &'a str)];

fn lb(suffix: &str) -> String {
    format!("{PREFIX}aws-load-balancer-{suffix}")
}

fn with(annotations: &[(&str, &str)]) -> ServiceBuilder {
    on(a_service(), annotations)
}

fn on(service: ServiceBuilder, annotations: &[(&str, &str)]) -> ServiceBuilder {
    annotations.iter().fold(service, |service, (suffix, value)| service.annotation(&lb(suffix), value))
}

fn read(service: ServiceBuilder) -> Spec {
    parse(&service.build(), &AwsConfig::new("prod")).unwrap_or_else(|mistakes| panic!("{mistakes}")).spec
}

fn notes(service: ServiceBuilder) -> Vec<Note> {
    parse(&service.build(), &AwsConfig::new("prod")).expect("no mistakes").notes
}

fn mistakes(service: ServiceBuilder) -> Vec<String> {
    let mistakes = parse(&service.build(), &AwsConfig::new("prod")).expect_err("mistakes");
    mistakes.iter().map(ToString::to_string).collect()
}

/// Each of these annotations is one mistake that names key, value, what is allowed and what happens meanwhile.
fn refused(table: &[(Annotations<'_>, &str, &str)]) {
    for (annotations, at_fault, allowed) in table {
        let found = mistakes(with(annotations));
        let mistake = found.iter().find(|mistake| mistake.contains(&lb(at_fault)));
        let mistake =
            mistake.unwrap_or_else(|| panic!("{annotations:?}: {at_fault} is not blamed in {found:?}"));
        assert!(mistake.contains(allowed), "{annotations:?}: {mistake}");
        assert!(mistake.contains("; allowed: "), "{annotations:?}: {mistake}");
        assert!(mistake.contains("; until then no load balancer is made"), "{annotations:?}: {mistake}");
    }
}

#[test]
fn a_service_without_annotations_has_sensible_settings() {
    let spec = read(a_service());
    assert_eq!(spec.load_balancer.scheme, None, "left to what exists, then to the configuration");
    assert_eq!(spec.load_balancer.ip_address_type, IpAddressType::Ipv4);
    assert_eq!(spec.listeners.len(), 1);
    let listener = &spec.listeners[0];
    assert_eq!((listener.port, listener.protocol), (80, Protocol::Tcp));
    assert_eq!(listener.target_group.node_port, 30080);
    let check = &listener.target_group.health_check;
    assert_eq!((check.protocol, check.port), (HealthCheckProtocol::Tcp, HealthCheckPort::TrafficPort));
    assert_eq!((check.interval_seconds, check.timeout_seconds), (10, 10));
    assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (3, 3));
    assert!(matches!(&spec.security.access, Access::Managed { ranges, .. } if ranges.len() == 1));
}

#[test]
fn scheme_counts_before_the_older_truth_value() {
    let table = [
        (&[("scheme", "internal")][..], Some(Scheme::Internal)),
        (&[("scheme", "internet-facing")], Some(Scheme::InternetFacing)),
        (&[("internal", "true")], Some(Scheme::Internal)),
        (&[("internal", "false")], Some(Scheme::InternetFacing)),
        (&[("scheme", "internet-facing"), ("internal", "true")], Some(Scheme::InternetFacing)),
    ];
    for (annotations, scheme) in table {
        assert_eq!(read(with(annotations)).load_balancer.scheme, scheme, "{annotations:?}");
    }
}

#[test]
fn deprecated_keys_are_honoured_and_their_replacement_named() {
    let table = [
        ("internal", "true", "aws-load-balancer-scheme"),
        ("cross-zone-load-balancing-enabled", "true", "load_balancing.cross_zone.enabled"),
        ("access-log-enabled", "false", "access_logs.s3"),
    ];
    for (suffix, value, replacement) in table {
        let notes = notes(with(&[(suffix, value)]));
        let [note] = notes.as_slice() else { panic!("{suffix}: {notes:?}") };
        assert_eq!((note.kind, note.reason.as_str()), (NoteKind::Normal, "DeprecatedAnnotation"));
        assert!(note.message.contains(replacement), "{}", note.message);
    }
}

#[test]
fn older_attribute_keys_count_before_the_attribute_map() {
    let spec = read(with(&[
        ("attributes", "load_balancing.cross_zone.enabled=false,deletion_protection.enabled=true"),
        ("cross-zone-load-balancing-enabled", "true"),
        ("access-log-enabled", "true"),
        ("access-log-s3-bucket-name", "logs"),
        ("access-log-s3-bucket-prefix", "web"),
    ]));
    let attributes = &spec.load_balancer.attributes;
    let expected = [
        ("access_logs.s3.bucket", "logs"),
        ("access_logs.s3.enabled", "true"),
        ("access_logs.s3.prefix", "web"),
        ("deletion_protection.enabled", "true"),
        ("load_balancing.cross_zone.enabled", "true"),
    ];
    assert_eq!(attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn an_unknown_key_is_a_warning() {
    let notes = notes(with(&[("shceme", "internal")]));
    assert_eq!((notes[0].kind, notes[0].reason.as_str()), (NoteKind::Warning, "UnknownAnnotation"));
}

#[test]
fn subnets_and_addresses_are_read_in_order() {
    let spec = read(with(&[
        ("scheme", "internet-facing"),
        ("subnets", "subnet-b, public-a"),
        ("eip-allocations", "eipalloc-1,eipalloc-2"),
    ]));
    let subnets = spec.load_balancer.subnets.expect("named");
    assert_eq!(subnets, [SubnetRef::Id("subnet-b".into()), SubnetRef::Name("public-a".into())]);
    assert_eq!(spec.load_balancer.addresses.allocations, ["eipalloc-1", "eipalloc-2"]);
    let spec = read(with(&[("subnets", "a,b"), ("private-ipv4-addresses", "10.0.0.9, 10.0.1.9")]));
    assert_eq!(spec.load_balancer.addresses.private_ipv4.len(), 2);
}

#[test]
fn load_balancer_annotations_refuse_nonsense() {
    refused(&[
        (&[("scheme", "publik")], "scheme", "internal, internet-facing"),
        (&[("internal", "yes")], "internal", "true, false"),
        (&[("name", "a-name-that-is-longer-than-thirty-two")], "name", "1 to 32"),
        (&[("name", "internal-web")], "name", "not beginning with internal-"),
        (&[("name", "web_1")], "name", "letters, digits and hyphens"),
        (&[("ip-address-type", "ipv6")], "ip-address-type", "ipv4, dualstack"),
        (&[("subnets", " , ")], "subnets", "subnet ids"),
        (&[("subnets", "subnet-a,subnet-a")], "subnets", "every subnet once"),
        (&[("scheme", "internal"), ("eip-allocations", "eipalloc-1")], "eip-allocations", "internet-facing"),
        (
            &[("scheme", "internet-facing"), ("subnets", "a,b"), ("eip-allocations", "eipalloc-1")],
            "eip-allocations",
            "one for each subnet",
        ),
        (&[("eip-allocations", "1.2.3.4")], "eip-allocations", "eipalloc-"),
        (&[("private-ipv4-addresses", "10.0.0")], "private-ipv4-addresses", "IPv4 addresses"),
        (
            &[("scheme", "internet-facing"), ("private-ipv4-addresses", "10.0.0.1")],
            "private-ipv4-addresses",
            "internal",
        ),
        (&[("ipv6-addresses", "fd00::1")], "ipv6-addresses", "dualstack"),
        (&[("enable-prefix-for-ipv6-source-nat", "on")], "enable-prefix-for-ipv6-source-nat", "dualstack"),
        (&[("enable-prefix-for-ipv6-source-nat", "true")], "enable-prefix-for-ipv6-source-nat", "on, off"),
        (&[("source-nat-ipv6-prefixes", "auto_assigned")], "source-nat-ipv6-prefixes", "switched on"),
        (
            &[
                ("ip-address-type", "dualstack"),
                ("enable-prefix-for-ipv6-source-nat", "on"),
                ("source-nat-ipv6-prefixes", "fd00::/64"),
            ],
            "source-nat-ipv6-prefixes",
            "/80",
        ),
        (
            &[("minimum-load-balancer-capacity", "Units=5")],
            "minimum-load-balancer-capacity",
            "CapacityUnits=N",
        ),
        (&[("attributes", "dns_record.client_routing_policy=x")], "attributes", "any_availability_zone"),
        (&[("attributes", "deletion_protection.enabled=on")], "attributes", "true, false"),
        (&[("attributes", "access_logs.s3.enabled=true")], "attributes", "bucket"),
        (&[("attributes", "oops")], "attributes", "key=value"),
        (&[("additional-resource-tags", "aws:x=1")], "additional-resource-tags", "other keys"),
        (
            &[("additional-resource-tags", "elbv2.k8s.aws/cluster=x")],
            "additional-resource-tags",
            "other keys",
        ),
        (&[("additional-resource-tags", "cost*=1")], "additional-resource-tags", "_.:/=+-@"),
        (&[("additional-resource-tags", "cost=50%")], "additional-resource-tags", "_.:/=+-@"),
    ]);
}

#[test]
fn tags_may_have_letters_of_any_language_spaces_and_a_few_signs() {
    let spec = read(with(&[("additional-resource-tags", "Straße 7=été _.:/+-@")]));
    assert_eq!(spec.tags["Straße 7"], "été _.:/+-@");
}

#[test]
fn udp_on_dualstack_asks_for_source_nat_by_its_annotation() {
    let udp = || a_service().protocol_ports([(ServiceProtocol::Udp, 53)]);
    let found = mistakes(on(udp(), &[("ip-address-type", "dualstack")]));
    assert!(
        found.len() == 1 && found[0].contains("aws-load-balancer-enable-prefix-for-ipv6-source-nat"),
        "{found:?}"
    );
    let dualstack = ("ip-address-type", "dualstack");
    read(on(udp(), &[dualstack, ("enable-prefix-for-ipv6-source-nat", "on")]));
    read(with(&[dualstack]));
}

#[test]
fn capacity_is_a_number_or_given_up() {
    for (text, expected) in
        [("CapacityUnits=3000", CapacityChange::Units(3000)), ("CapacityUnits=0", CapacityChange::Reset)]
    {
        let spec = read(with(&[("minimum-load-balancer-capacity", text)]));
        assert_eq!(spec.load_balancer.settings.capacity, Some(expected));
    }
}

#[test]
fn a_certificate_makes_tcp_ports_tls_and_selected_ones_only_if_ports_are_named() {
    let two = || a_service().ports([80, 443]);
    let protocols = |spec: Spec| spec.listeners.iter().map(|l| l.protocol).collect::<Vec<_>>();
    let (tcp, tls) = (Protocol::Tcp, Protocol::Tls);
    let table = [
        (&[][..], [tcp, tcp]),
        (&[("ssl-cert", CERT)], [tls, tls]),
        (&[("ssl-cert", CERT), ("ssl-ports", "443")], [tcp, tls]),
        (&[("ssl-cert", CERT), ("ssl-ports", "tcp-80")], [tls, tcp]),
    ];
    for (annotations, expected) in table {
        assert_eq!(protocols(read(on(two(), annotations))), expected, "{annotations:?}");
    }
}

#[test]
fn tls_has_certificates_policy_alpn_and_a_backend_protocol() {
    let certificates = format!("{CERT},{CERT_TOO}");
    let spec = read(with(&[
        ("ssl-cert", &certificates),
        ("ssl-negotiation-policy", "ELBSecurityPolicy-TLS13-1-3-2021-06"),
        ("alpn-policy", "HTTP2Preferred"),
        ("backend-protocol", "ssl"),
    ]));
    let tls = spec.listeners[0].tls.as_ref().expect("TLS");
    assert_eq!(tls.default_certificate, CERT);
    assert_eq!(tls.sni_certificates, BTreeSet::from([CERT_TOO.to_owned()]));
    assert_eq!(tls.policy, "ELBSecurityPolicy-TLS13-1-3-2021-06");
    assert_eq!(tls.alpn, AlpnPolicy::Http2Preferred);
    assert_eq!(spec.listeners[0].target_group.protocol, Protocol::Tls);
}

#[test]
fn listener_annotations_refuse_nonsense() {
    refused(&[
        (&[("ssl-cert", "my-cert")], "ssl-cert", "ARNs"),
        (&[("ssl-cert", "")], "ssl-cert", "ARNs"),
        (&[("ssl-cert", CERT), ("ssl-ports", "*")], "ssl-ports", "names or numbers"),
        (&[("ssl-cert", CERT), ("ssl-ports", "81")], "ssl-ports", "names or numbers"),
        (
            &[("ssl-cert", CERT), ("backend-protocol", "https")],
            "backend-protocol",
            "ssl for TLS to the nodes",
        ),
        (&[("ssl-cert", CERT), ("alpn-policy", "h2")], "alpn-policy", "HTTP2Preferred"),
        (&[("ssl-negotiation-policy", "")], "ssl-negotiation-policy", "name of an ELB security policy"),
        (&[("enable-tcp-udp-listener", "maybe")], "enable-tcp-udp-listener", "true, false"),
        (
            &[("listener-attributes.TCP-81", "tcp.idle_timeout.seconds=60")],
            "listener-attributes.TCP-81",
            "TCP-80",
        ),
    ]);
}

#[test]
fn what_other_controllers_take_without_a_word_is_served_with_a_warning_that_names_the_annotation() {
    let cert = [("ssl-cert", CERT), ("backend-protocol", "http")];
    let table: [(Annotations<'_>, &str, &str); 3] = [
        (&cert, "backend-protocol", "plain TCP"),
        (&[("ssl-ports", "80")], "ssl-ports", "without TLS"),
        (
            &[("target-group-attributes.81", "stickiness.enabled=true")],
            "target-group-attributes.81",
            "no port",
        ),
    ];
    for (annotations, at_fault, says) in table {
        let notes = notes(with(annotations));
        let [note] = notes.as_slice() else { panic!("{annotations:?}: {notes:?}") };
        assert_eq!(note.kind, NoteKind::Warning);
        assert!(note.message.contains(&lb(at_fault)) && note.message.contains(says), "{}", note.message);
    }
    assert_eq!(read(with(&cert)).listeners[0].target_group.protocol, Protocol::Tcp);
    assert_eq!(read(with(&[("ssl-ports", "80")])).listeners[0].protocol, Protocol::Tcp);
}

#[test]
fn a_service_of_udp_alone_is_told_what_its_health_check_needs() {
    let udp = || a_service().protocol_ports([(ServiceProtocol::Udp, 53)]);
    let found = notes(udp());
    let [note] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((note.kind, note.reason.as_str()), (NoteKind::Warning, "UdpHealthCheck"));
    assert!(note.message.contains(&lb("healthcheck-port")), "{}", note.message);
    assert!(notes(on(udp(), &[("healthcheck-port", "10256")])).is_empty());
    let both = a_service().protocol_ports([(ServiceProtocol::Tcp, 53), (ServiceProtocol::Udp, 53)]);
    assert!(notes(both).is_empty(), "TCP answers there");
}

#[test]
fn an_address_that_does_not_parse_is_one_mistake() {
    let found = mistakes(with(&[("subnets", "a,b"), ("private-ipv4-addresses", "10.0.0.1,10.0.1")]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn what_does_not_exist_here_yet_is_said_to_be_unsupported() {
    let table = [
        ("nlb-target-type", "ip"),
        ("quic-enabled-ports", "80"),
        ("multi-cluster-target-group", "true"),
        ("type", "nlb-ip"),
    ];
    for (suffix, value) in table {
        let found = mistakes(with(&[(suffix, value)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&lb(suffix)) && found[0].contains("is not yet supported"), "{found:?}");
    }
    let action = format!("{PREFIX}actions.TCP-80");
    let json =
        r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"other","servicePort":80}]}}"#;
    assert!(mistakes(a_service().annotation(&action, json))[0].contains("is not yet supported"));
}

#[test]
fn traffic_is_shared_by_weight_with_other_target_groups() {
    let action = format!("{PREFIX}actions.TCP-80");
    let json = r#"{"type":"forward","forwardConfig":{"baseServiceWeight":8,
        "targetGroups":[{"targetGroupARN":"arn:other","weight":2}],"targetGroupStickinessConfig":{"enabled":true}}}"#;
    let spec = read(a_service().annotation(&action, json));
    let weighted = spec.listeners[0].weighted.as_ref().expect("weighted");
    assert_eq!((weighted.own_weight, weighted.others["arn:other"], weighted.sticky), (8, 2, true));
    for wrong in
        ["", "{}", r#"{"type":"forward"}"#, r#"{"type":"redirect","forwardConfig":{"targetGroups":[]}}"#]
    {
        assert_eq!(mistakes(a_service().annotation(&action, wrong)).len(), 1, "{wrong}");
    }
}

#[test]
fn tcp_and_udp_of_one_port_are_merged_or_refused_but_never_lost() {
    let both = || a_service().protocol_ports([(ServiceProtocol::Tcp, 53), (ServiceProtocol::Udp, 53)]);
    let spec = read(both());
    assert_eq!(spec.listeners.len(), 1);
    assert_eq!(spec.listeners[0].protocol, Protocol::TcpUdp);
    assert_eq!(spec.listeners[0].target_group.protocol, Protocol::TcpUdp);
    let found = mistakes(on(both(), &[("enable-tcp-udp-listener", "false")]));
    assert!(found[0].contains("different port numbers"), "{found:?}");
    let mut differing = both().build();
    differing.ports[1].node_port = Some(30001);
    let found = parse(&differing, &AwsConfig::new("prod")).expect_err("node ports differ").to_string();
    assert!(found.contains("nodePort") && found.contains("30053, 30001"), "{found}");
}

#[test]
fn ports_that_cannot_be_served_are_mistakes() {
    let sctp = a_service().protocol_ports([(ServiceProtocol::Sctp, 80)]);
    assert!(mistakes(sctp)[0].contains("SCTP"));
    assert!(mistakes(a_service().without_node_ports())[0].contains("allocateLoadBalancerNodePorts"));
    assert!(mistakes(a_service().families([IpFamily::V6]))[0].contains("dualstack"));
}

#[test]
fn health_checks_follow_the_traffic_policy_and_the_annotations() {
    let check = |spec: Spec| spec.listeners[0].target_group.health_check.clone();
    let local = check(read(a_service().local_traffic()));
    assert_eq!((local.protocol, local.port), (HealthCheckProtocol::Http, HealthCheckPort::Number(32000)));
    assert_eq!(
        (local.path.as_deref(), local.timeout_seconds, local.healthy_threshold),
        (Some("/healthz"), 6, 2)
    );
    let chosen = check(read(with(&[
        ("healthcheck-protocol", "HTTPS"),
        ("healthcheck-port", "8443"),
        ("healthcheck-path", "/live"),
        ("healthcheck-interval", "30"),
        ("healthcheck-timeout", "5"),
        ("healthcheck-healthy-threshold", "4"),
        ("healthcheck-unhealthy-threshold", "5"),
        ("healthcheck-success-codes", "200,301-399"),
    ])));
    assert_eq!((chosen.protocol, chosen.port), (HealthCheckProtocol::Https, HealthCheckPort::Number(8443)));
    assert_eq!((chosen.interval_seconds, chosen.timeout_seconds), (30, 5));
    assert_eq!(chosen.matcher.as_deref(), Some("200,301-399"));
    let quick = check(read(with(&[("healthcheck-interval", "5")])));
    assert_eq!(quick.timeout_seconds, 5, "the default gives way to a short interval");
    let named = check(read(on(a_service().ports([80, 443]), &[("healthcheck-port", "tcp-443")])));
    assert_eq!(named.port, HealthCheckPort::Number(30443), "a port's name stands for its node port");
}

#[test]
fn target_group_attributes_of_a_port_count_before_those_of_all() {
    let own = format!("{PREFIX}aws-load-balancer-target-group-attributes.443");
    let service = on(
        a_service().ports([80, 443]),
        &[("target-group-attributes", "deregistration_delay.timeout_seconds=30,stickiness.enabled=true")],
    );
    let spec = read(service.annotation(&own, "deregistration_delay.timeout_seconds=60,stickiness.enabled="));
    let delay =
        |i: usize| spec.listeners[i].target_group.attributes["deregistration_delay.timeout_seconds"].clone();
    assert_eq!((delay(0), delay(1)), ("30".to_owned(), "60".to_owned()));
    assert_eq!(
        spec.listeners[1].target_group.attributes["stickiness.enabled"], "true",
        "empty keeps the base"
    );
}

#[test]
fn session_affinity_is_stickiness_where_aws_has_it_and_refused_elsewhere() {
    let sticky = |service: ServiceBuilder| {
        let on = |l: &ListenerSpec| l.target_group.attributes.get("stickiness.enabled").cloned();
        read(service).listeners.iter().map(on).collect::<Vec<_>>()
    };
    let yes = Some("true".to_owned());
    let both = [(ServiceProtocol::Tcp, 80), (ServiceProtocol::Udp, 53)];
    let kept = || a_service().protocol_ports(both).client_ip_affinity(10_800);
    assert_eq!(sticky(kept()), [yes.clone(), yes.clone()]);
    assert_eq!(sticky(a_service().protocol_ports(both)), [None, None]);
    assert_eq!(
        sticky(on(kept(), &[("target-group-attributes", "stickiness.enabled=true")])),
        [yes.clone(), yes]
    );

    let refused = |service: ServiceBuilder, says: [&str; 3]| {
        let found = mistakes(service);
        let said = found.iter().any(|mistake| says.iter().all(|words| mistake.contains(words)));
        assert!(said && found.iter().all(|mistake| mistake.contains("; until then ")), "{says:?}: {found:?}");
    };
    refused(
        on(a_service().ports([443]).client_ip_affinity(60), &[("ssl-cert", CERT)]),
        ["spec.sessionAffinity: \"ClientIP\"", "port 443", "allowed: None, or"],
    );
    refused(
        on(kept(), &[("target-group-attributes", "stickiness.enabled=false")]),
        ["stickiness.enabled=false", "contradicts spec.sessionAffinity", "allowed: true"],
    );
    let forward =
        r#"{"type":"forward","forwardConfig":{"targetGroups":[{"targetGroupARN":"arn:b","weight":1}]}}"#;
    refused(
        a_service()
            .ports([80])
            .client_ip_affinity(60)
            .annotation(&format!("{PREFIX}actions.TCP-80"), forward),
        ["actions.TCP-80", "against spec.sessionAffinity", "targetGroupStickinessConfig"],
    );
}

#[test]
fn who_requires_both_families_gets_both_or_is_told_how() {
    let found = mistakes(a_service().dual_stack());
    assert!(found[0].contains("spec.ipFamilyPolicy: \"RequireDualStack\""), "{found:?}");
    assert!(found[0].contains("ip-address-type: dualstack, or PreferDualStack"), "{found:?}");
    let spec = read(on(a_service().dual_stack(), &[("ip-address-type", "dualstack")]));
    assert_eq!(spec.load_balancer.ip_address_type, IpAddressType::DualStack);
    read(a_service().dual_stack().family_policy(cloud_provider::FamilyPolicy::PreferDualStack));
}

#[test]
fn proxy_protocol_for_all_counts_before_ports_and_attributes() {
    let proxy = |annotations: &[(&str, &str)]| {
        let spec = read(on(a_service().ports([80, 443]), annotations));
        let on = |l: &ListenerSpec| l.target_group.attributes.get("proxy_protocol_v2.enabled").cloned();
        spec.listeners.iter().map(on).collect::<Vec<_>>()
    };
    let (yes, no) = (Some("true".to_owned()), Some("false".to_owned()));
    assert_eq!(proxy(&[]), [None, None]);
    assert_eq!(proxy(&[("proxy-protocol", "*")]), [yes.clone(), yes.clone()]);
    assert_eq!(proxy(&[("proxy-protocol-per-target-group", "443")]), [no, yes.clone()]);
    let both = [("proxy-protocol", "*"), ("proxy-protocol-per-target-group", "443")];
    assert_eq!(proxy(&both), [yes.clone(), yes]);
}

#[test]
fn target_group_annotations_refuse_nonsense() {
    refused(&[
        (&[("nlb-target-type", "pod")], "nlb-target-type", "instance"),
        (&[("healthcheck-protocol", "grpc")], "healthcheck-protocol", "tcp, http, https"),
        (&[("healthcheck-port", "web")], "healthcheck-port", "traffic-port"),
        (&[("healthcheck-path", "live")], "healthcheck-path", "beginning with /"),
        (&[("healthcheck-interval", "4")], "healthcheck-interval", "5 to 300"),
        (&[("healthcheck-timeout", "121")], "healthcheck-timeout", "2 to 120"),
        (&[("healthcheck-timeout", "20")], "healthcheck-timeout", "interval"),
        (&[("healthcheck-healthy-threshold", "1")], "healthcheck-healthy-threshold", "2 to 10"),
        (&[("healthcheck-unhealthy-threshold", "x")], "healthcheck-unhealthy-threshold", "2 to 10"),
        (&[("healthcheck-success-codes", "ok")], "healthcheck-success-codes", "200 to 599"),
        (&[("proxy-protocol", "80")], "proxy-protocol", "*"),
        (&[("proxy-protocol-per-target-group", "81")], "proxy-protocol-per-target-group", "port numbers"),
        (
            &[("target-group-attributes", "preserve_client_ip.enabled=no")],
            "target-group-attributes",
            "true, false",
        ),
        (
            &[("target-group-attributes", "deregistration_delay.timeout_seconds=9999")],
            "target-group-attributes",
            "0 to 3600",
        ),
        (&[("target-node-labels", "gpu")], "target-node-labels", "key=value"),
    ]);
    let udp = || a_service().protocol_ports([(ServiceProtocol::Udp, 53)]);
    for attribute in [
        "preserve_client_ip.enabled=false",
        "target_health_state.unhealthy.connection_termination.enabled=false",
    ] {
        let found = mistakes(on(udp(), &[("target-group-attributes", attribute)]));
        assert!(found.len() == 1 && found[0].contains("UDP"), "{found:?}");
    }
    refused(&[(
        &[("target-group-attributes", "target_health_state.unhealthy.draining_interval_seconds=10")],
        "target-group-attributes",
        "connection_termination.enabled=false",
    )]);
}

#[test]
fn who_may_connect_is_read_from_ranges_prefix_lists_or_groups() {
    let access = |service| read(service).security.access;
    let Access::Managed { ranges, prefix_lists, path_mtu } =
        access(on(a_service().source_ranges(["10.0.0.0/8"]), &[("security-group-prefix-lists", "pl-1")]))
    else {
        panic!("a group of ours")
    };
    assert_eq!((ranges.len(), prefix_lists.len(), path_mtu), (1, 1, false));
    let Access::Managed { ranges, .. } = access(with(&[("security-group-prefix-lists", "pl-1")])) else {
        panic!("a group of ours")
    };
    assert!(ranges.is_empty(), "a prefix list replaces everybody");
    let given = access(with(&[
        ("security-groups", "sg-1, my-group"),
        ("manage-backend-security-group-rules", "true"),
    ]));
    let groups = vec!["sg-1".to_owned(), "my-group".to_owned()];
    assert_eq!(given, Access::Given { groups, open_nodes: true });
    assert_eq!(access(with(&[("disable-nlb-sg", "true")])), Access::Nothing);
    let dualstack = access(with(&[("ip-address-type", "dualstack")]));
    assert!(matches!(dualstack, Access::Managed { ranges, .. } if ranges.len() == 2));
}

#[test]
fn security_group_annotations_refuse_nonsense() {
    refused(&[
        (&[("security-groups", "")], "security-groups", "security group ids"),
        (&[("security-groups", "a,b,c,d,e,f")], "security-groups", "up to 5"),
        (&[("security-groups", "sg-1"), ("disable-nlb-sg", "true")], "security-groups", "one of the two"),
        (&[("security-group-prefix-lists", "10.0.0.0/8")], "security-group-prefix-lists", "pl-"),
        (
            &[("manage-backend-security-group-rules", "on")],
            "manage-backend-security-group-rules",
            "true, false",
        ),
        (
            &[("inbound-sg-rules-on-private-link-traffic", "true")],
            "inbound-sg-rules-on-private-link-traffic",
            "on, off",
        ),
        (&[("enable-icmp-for-path-mtu-discovery", "true")], "enable-icmp-for-path-mtu-discovery", "on, off"),
        (&[("extra-security-groups", "sg-1")], "extra-security-groups", "security-groups"),
    ]);
    let v6 = a_service().source_ranges(["fd00::/8"]);
    assert!(mistakes(v6)[0].contains("loadBalancerSourceRanges"));
}

#[test]
fn all_mistakes_of_a_service_are_reported_together_and_each_once() {
    let found = mistakes(on(
        a_service().ports([80, 81, 82]),
        &[("scheme", "publik"), ("healthcheck-interval", "1"), ("target-group-attributes", "oops")],
    ));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_load_balancer_that_serves_is_said_to_keep_serving() {
    let service = with(&[("scheme", "publik")]).published([cloud_provider::Ingress::hostname("lb.example")]);
    assert!(mistakes(service)[0].contains("the load balancer keeps serving as it is"));
}

#[test]
fn a_mistake_leaves_undecided_what_its_field_decides_and_of_ports_those_it_is_about() {
    let tls = [("ssl-cert", CERT), ("ssl-ports", "443")];
    let cases: [(Annotations<'_>, &[Scope]); 14] = [
        (&[("name", "-a-")], &[]),
        (&[("attributes", "oops")], &[Scope::Attributes]),
        (&[("ip-address-type", "ipv5")], &[Scope::Everything]),
        (&[("healthcheck-interval", "1")], &[Scope::Ports]),
        (&[("target-group-attributes.80", "oops")], &[Scope::Port(80)]),
        (&[("target-group-attributes.81", "oops")], &[]),
        (&[("listener-attributes.TCP-443", "oops")], &[Scope::Port(443)]),
        (&[("listener-attributes.TCP-81", "a=b")], &[Scope::Ports]),
        (&[("target-group-attributes", "preserve_client_ip.enabled=false")], &[Scope::Port(53)]),
        (&[("ssl-cert", "none"), ("ssl-ports", "443")], &[Scope::Port(443)]),
        (&[("ssl-cert", "none")], &[Scope::Port(80), Scope::Port(443)]),
        (&[tls[0], ("ssl-ports", "443,444")], &[Scope::Port(80), Scope::Port(443)]),
        (&[tls[0], tls[1], ("alpn-policy", "HTTP9")], &[Scope::Port(443)]),
        (&[("alpn-policy", "HTTP9")], &[]),
    ];
    for (annotations, expected) in cases {
        let ports = [(ServiceProtocol::Tcp, 80), (ServiceProtocol::Tcp, 443), (ServiceProtocol::Udp, 53)];
        let service = on(a_service().protocol_ports(ports), annotations).build();
        let reading = super::read(&service, &AwsConfig::new("prod"));
        assert!(!reading.mistakes.is_empty(), "{annotations:?}");
        assert_eq!(reading.undecided, expected.iter().copied().collect(), "{annotations:?}");
    }
}
