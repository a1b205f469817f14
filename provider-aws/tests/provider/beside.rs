//! A Service that serves and gets a mistake: what depends on none follows the Service, what does stays as it is found, and
//! whether the process has seen the Service without makes no difference.

use std::collections::BTreeMap;

use cloud_provider::testing::{a_node, request};
use cloud_provider::{
    CloudLoadBalancer, Error, Ingress, Mistake, NodeSet, SOURCE_RANGES_ANNOTATION, ServiceView, SourceRanges,
};
use proptest::prelude::*;
use provider_aws::client::{Call, Ec2, Elbv2, Protocol, SecurityGroupQuery, Select, Tags, Traffic};

use crate::fixture::{Cluster, PREFIX, a_cluster, web};

/// The ports of the Service before it is edited. The second ends TLS.
const PORTS: [u16; 3] = [80, 443, 900];
/// One that an edit adds.
const NEW_PORT: u16 = 1080;

/// The fact of what may have to be taken back from the load balancer.
const REMEMBERED: &str = "remembered";

/// What exists, by what it is about; ARNs and ids of what is made are told by names.
type Facts = BTreeMap<String, String>;

/// A Service as its user writes it.
#[derive(Clone, Debug)]
struct Written {
    ports: Vec<u16>,
    ranges: Vec<&'static str>,
    annotations: BTreeMap<&'static str, String>,
}

impl Written {
    fn before(certificate: &str) -> Self {
        let annotations = [
            ("attributes", "load_balancing.cross_zone.enabled=true"),
            ("additional-resource-tags", "team=one"),
            ("ssl-cert", certificate),
            ("ssl-ports", "443"),
            ("ssl-negotiation-policy", "ELBSecurityPolicy-TLS13-1-2-2021-06"),
            ("alpn-policy", "HTTP2Preferred"),
            ("healthcheck-interval", "20"),
            ("target-group-attributes", "deregistration_delay.timeout_seconds=30"),
            ("listener-attributes.TCP-80", "tcp.idle_timeout.seconds=60"),
            ("target-node-labels", "pool=one"),
            ("inbound-sg-rules-on-private-link-traffic", "off"),
            ("enable-icmp-for-path-mtu-discovery", "on"),
        ];
        Written {
            ports: PORTS.to_vec(),
            ranges: vec!["10.0.0.0/8", "192.168.0.0/16"],
            annotations: annotations.map(|(key, value)| (key, value.to_owned())).into(),
        }
    }

    fn with(&self, edit: &Edit) -> Self {
        let mut written = self.clone();
        match *edit {
            Edit::Ports(ports) => written.ports = ports.to_vec(),
            Edit::Ranges(ranges) => written.ranges = ranges.to_vec(),
            Edit::Annotation(key, value) => drop(written.annotations.insert(key, value.to_owned())),
            Edit::NoAnnotation(key) => drop(written.annotations.remove(key)),
        }
        written
    }

    fn view(&self, published: &[Ingress]) -> ServiceView {
        let service = web("web").ports(self.ports.iter().copied()).source_ranges(self.ranges.iter().copied());
        let annotate = |service: cloud_provider::testing::ServiceBuilder, (key, value): (&&str, &String)| {
            service.annotation(&format!("{PREFIX}{key}"), value)
        };
        self.annotations.iter().fold(service, annotate).published(published.iter().cloned()).build()
    }
}

/// Something that a user changes.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Ports(&'static [u16]),
    Ranges(&'static [&'static str]),
    Annotation(&'static str, &'static str),
    NoAnnotation(&'static str),
}

/// Valid edits.
const CHANGES: &[Edit] = &[
    Edit::Ranges(&["10.0.0.0/8"]),
    Edit::Ranges(&["10.1.0.0/16"]),
    Edit::Ranges(&["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"]),
    Edit::Ports(&[80, 443, 900, NEW_PORT]),
    Edit::Ports(&[80, 443]),
    Edit::Annotation("attributes", "load_balancing.cross_zone.enabled=false"),
    Edit::NoAnnotation("attributes"),
    Edit::Annotation("additional-resource-tags", "team=two,cost=1"),
    Edit::Annotation("healthcheck-interval", "15"),
    Edit::Annotation("target-group-attributes", "deregistration_delay.timeout_seconds=60"),
    Edit::NoAnnotation("listener-attributes.TCP-80"),
    Edit::Annotation("target-node-labels", "pool=two"),
    Edit::NoAnnotation("target-node-labels"),
    Edit::NoAnnotation("inbound-sg-rules-on-private-link-traffic"),
    Edit::NoAnnotation("enable-icmp-for-path-mtu-discovery"),
    Edit::NoAnnotation("alpn-policy"),
];

/// Annotations that the Service may be without before it is edited.
const OPTIONAL: &[&str] = &[
    "attributes",
    "additional-resource-tags",
    "ssl-negotiation-policy",
    "alpn-policy",
    "healthcheck-interval",
    "target-group-attributes",
    "listener-attributes.TCP-80",
    "target-node-labels",
    "inbound-sg-rules-on-private-link-traffic",
    "enable-icmp-for-path-mtu-discovery",
];

/// What is wrong with a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// An annotation, and what it says.
    Annotation(&'static str, &'static str),
    /// A network more that may connect, which is none.
    Range(&'static str),
    /// The networks that may connect, in their annotation.
    RangesAnnotation(&'static str),
    /// Ports whose protocol is none.
    Ports(&'static [u16]),
}

impl Wrong {
    /// A Service as it is written with this mistake in it, as the contract's view of it is.
    fn view(self, written: &Written, published: &[Ingress]) -> ServiceView {
        let mut view = match self {
            Wrong::Annotation(key, value) => written.with(&Edit::Annotation(key, value)).view(published),
            _ => written.view(published),
        };
        match self {
            Wrong::Annotation(..) => {}
            Wrong::Range(text) => {
                let ranges: Vec<String> =
                    written.ranges.iter().chain([&text]).map(|range| (*range).to_owned()).collect();
                view.mistakes = SourceRanges::parse(&ranges, None).expect_err("a mistake");
                view.source_ranges = SourceRanges::Only(Default::default());
            }
            Wrong::RangesAnnotation(text) => {
                view.annotations.insert(SOURCE_RANGES_ANNOTATION.to_owned(), text.to_owned());
                view.mistakes = SourceRanges::parse(&[], Some(text)).expect_err("a mistake");
                view.source_ranges = SourceRanges::Only(Default::default());
            }
            Wrong::Ports(ports) => {
                view.ports.retain(|port| !ports.contains(&port.port));
                view.mistakes.extend(ports.iter().enumerate().map(|(i, _)| {
                    Mistake::new(format!("spec.ports[{i}].protocol"), "QUIC", "is not understood")
                }));
            }
        }
        view
    }

    /// What its mistakes are told of.
    fn fields(self, view: &ServiceView) -> Vec<String> {
        match self {
            Wrong::Annotation(key, _) => vec![format!("metadata.annotations[{PREFIX}{key}]")],
            _ => view.mistakes.iter().map(|mistake| mistake.field.clone()).collect(),
        }
    }

    /// Whether this edit says anew what is wrong.
    fn is_of(self, edit: &Edit) -> bool {
        match (self, edit) {
            (Wrong::Annotation(wrong, _), Edit::Annotation(key, _) | Edit::NoAnnotation(key)) => {
                wrong == *key
            }
            (Wrong::Range(_) | Wrong::RangesAnnotation(_), Edit::Ranges(_)) => true,
            _ => false,
        }
    }
}

/// What a mistake leaves undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owns {
    Everything,
    Zones,
    Access,
    AccessAndAttributes,
    Attributes,
    Tags,
    Targets,
    Ports,
    Port(u16),
    /// Which ports there are, and how each is.
    PortList,
    /// The same, and for whom: no port at all could be read.
    AllPorts,
    Nothing,
}

/// Mistakes, each with what it leaves undecided.
const MISTAKES: &[(Wrong, Owns)] = &[
    (Wrong::Annotation("ip-address-type", "ipv5"), Owns::Everything),
    (Wrong::Annotation("name", "-web-"), Owns::Nothing),
    (Wrong::Annotation("scheme", "publik"), Owns::Zones),
    (Wrong::Annotation("subnets", ""), Owns::Zones),
    (Wrong::Annotation("subnets", "subnet-none"), Owns::Zones),
    (Wrong::Annotation("private-ipv4-addresses", "somewhere"), Owns::Zones),
    (Wrong::Annotation("security-groups", ""), Owns::Access),
    (Wrong::Annotation("security-groups", "sg-none"), Owns::Access),
    (Wrong::Annotation("security-group-prefix-lists", "none"), Owns::Access),
    (Wrong::Annotation("enable-icmp-for-path-mtu-discovery", "yes"), Owns::Access),
    (Wrong::Annotation("inbound-sg-rules-on-private-link-traffic", "maybe"), Owns::AccessAndAttributes),
    (Wrong::Annotation("attributes", "oops"), Owns::Attributes),
    (Wrong::Annotation("minimum-load-balancer-capacity", "much"), Owns::Attributes),
    (Wrong::Annotation("additional-resource-tags", "oops"), Owns::Tags),
    (Wrong::Annotation("target-node-labels", "oops"), Owns::Targets),
    (Wrong::Annotation("nlb-target-type", "ip"), Owns::Ports),
    (Wrong::Annotation("healthcheck-interval", "1"), Owns::Ports),
    (Wrong::Annotation("target-group-attributes", "oops"), Owns::Ports),
    (Wrong::Annotation("listener-attributes.TCP-81", "tcp.idle_timeout.seconds=70"), Owns::Ports),
    (Wrong::Annotation("listener-attributes.TCP-80", "oops"), Owns::Port(80)),
    (Wrong::Annotation("target-group-attributes.80", "oops"), Owns::Port(80)),
    (Wrong::Annotation("ssl-cert", ""), Owns::Port(443)),
    (Wrong::Annotation("ssl-cert", "certificate"), Owns::Port(443)),
    (Wrong::Annotation("ssl-negotiation-policy", ""), Owns::Port(443)),
    (Wrong::Annotation("alpn-policy", "HTTP9"), Owns::Port(443)),
    (Wrong::Annotation("backend-protocol", "https"), Owns::Port(443)),
    (Wrong::Range("everybody"), Owns::Access),
    (Wrong::RangesAnnotation("10.0.0.0/8,everybody"), Owns::Access),
    (Wrong::Ports(&[80]), Owns::PortList),
    (Wrong::Ports(&[443, 900]), Owns::PortList),
    (Wrong::Ports(&[80, 443, 900, NEW_PORT]), Owns::AllPorts),
];

impl Owns {
    /// Whether a fact of this name, of a Service that is to have these ports, stays what it was.
    fn has(self, fact: &str, ports: &[u16]) -> bool {
        let (about, port) = match fact.split_once(' ') {
            Some((about, port)) => (about, port.parse().ok()),
            None => (fact, None),
        };
        let is_new = port == Some(NEW_PORT);
        let is_asked_for = port.is_some_and(|port| ports.contains(&port));
        match (self, about) {
            (Owns::Everything, _) => true,
            (Owns::Zones, "zones") => true,
            (Owns::Access, "access") | (Owns::AccessAndAttributes, "access" | "attributes") => true,
            (Owns::Attributes, "attributes") => true,
            (Owns::Tags, "attributes" | "group-tags") => true,
            // What is new would have what is undecided from the beginning.
            (Owns::Tags | Owns::Targets | Owns::Ports, "port" | "targets" | "access") if is_new => true,
            (Owns::Tags | Owns::Ports, "port") => is_asked_for,
            (Owns::Targets, "targets") => is_asked_for,
            (Owns::Port(owned), "port") => port == Some(owned),
            (Owns::PortList | Owns::AllPorts, "port") | (Owns::AllPorts, "access") => port.is_some(),
            // None comes and none goes; those that are there follow the nodes, and who may connect.
            (Owns::PortList | Owns::AllPorts, "targets" | "access") => {
                port.is_some() && (is_new || !is_asked_for)
            }
            _ => false,
        }
    }
}

/// Two nodes of each of two pools.
fn nodes(cluster: &Cluster) -> NodeSet {
    NodeSet::of(cluster.instances.iter().enumerate().map(|(i, id)| {
        let node = a_node(&format!("n{i}")).provider_id(&format!("aws:///us-east-1a/{id}"));
        node.label("pool", if i < 2 { "one" } else { "two" }).build()
    }))
}

/// All that is made for the Service, and the groups of the nodes.
async fn facts(cluster: &Cluster) -> Facts {
    let aws = &cluster.aws;
    let mut facts = Facts::new();
    let lb = cluster.load_balancer().await;
    let tags = aws.all_tags();
    let tags_of = |id: &str| {
        let mut tags = tags.get(id).cloned().unwrap_or_default();
        // What was noted to save requests says nothing of what serves.
        tags.retain(|key, _| !key.ends_with("/applied") && !key.ends_with("/targets"));
        tags
    };
    let is_remembered = |key: &String| key.ends_with("/set-attributes") || key.ends_with("/added-tags");
    let groups = aws.describe_security_groups(&SecurityGroupQuery::default(), None).await.unwrap().items;
    let name =
        |id: &str| groups.iter().find(|group| group.id == id).map_or(id, |group| &group.name).to_owned();
    facts
        .insert("zones".into(), format!("{} {:?} {:?} {}", lb.scheme, lb.ip_address_type, lb.zones, lb.name));
    let attributes = aws.describe_load_balancer_attributes(&lb.arn).await.unwrap();
    let (remembered, plain): (Tags, Tags) =
        tags_of(&lb.arn).into_iter().partition(|(key, _)| is_remembered(key));
    facts.insert("attributes".into(), format!("{attributes:?} {plain:?}"));
    facts.insert(REMEMBERED.into(), format!("{remembered:?}"));
    let carried: Vec<String> = lb.security_groups.iter().map(|id| name(id)).collect();
    facts.insert("access".into(), format!("{carried:?} {:?}", lb.enforce_private_link_inbound));
    for group in &groups {
        if !group.name.starts_with("k8s-default-web-") {
            let rules: Vec<String> = group.ingress.iter().map(|rule| format!("{:?}", rule.traffic)).collect();
            facts.insert(format!("nodes of {}", group.name), format!("{rules:?}"));
            continue;
        }
        facts.insert("group-tags".into(), format!("{:?}", group.tags));
        for rule in &group.ingress {
            let fact = match rule.traffic {
                Traffic::Tcp { from, .. } => format!("access {from}"),
                _ => "access".to_owned(),
            };
            let mut rules: Vec<String> =
                facts.get(&fact).map(|rules| rules.lines().map(str::to_owned).collect()).unwrap_or_default();
            rules.push(format!("{:?} from {:?}", rule.traffic, rule.source));
            rules.sort();
            facts.insert(fact, rules.join("\n"));
        }
    }
    let target_groups = aws.describe_target_groups(&Select::All, None).await.unwrap().items;
    for listener in aws.describe_listeners(&lb.arn, None).await.unwrap().items {
        let arn = &listener.arn;
        let mut certificates = Vec::new();
        if listener.protocol == Protocol::Tls {
            certificates = aws.describe_listener_certificates(arn, None).await.unwrap().items;
        }
        let attributes = aws.describe_listener_attributes(arn).await.unwrap();
        let mut text = format!(
            "{} {:?} {:?} {certificates:?} {attributes:?} {:?}",
            listener.protocol,
            listener.ssl_policy,
            listener.alpn_policy,
            tags_of(arn)
        );
        for forward in &listener.forward.target_groups {
            let group = target_groups.iter().find(|group| group.arn == forward.arn).unwrap();
            let attributes = aws.describe_target_group_attributes(&group.arn).await.unwrap();
            let (check, tags) = (&group.health_check, tags_of(&group.arn));
            text += &format!("\n{} {} {check:?} {attributes:?} {tags:?}", group.name, group.protocol);
            let health = aws.describe_target_health(&group.arn, &[]).await.unwrap();
            let mut targets: Vec<_> =
                health.into_iter().filter(|t| !t.state.is_leaving()).map(|t| t.target).collect();
            targets.sort();
            facts.insert(format!("targets {}", listener.port), format!("{targets:?}"));
        }
        facts.insert(format!("port {}", listener.port), text);
    }
    facts
}

/// A Service that serves, with all annotations.
async fn serving() -> (Cluster, Written, Vec<Ingress>) {
    serving_without(&[]).await
}

/// A Service that serves, without some annotations; twice the same of the same.
async fn serving_without(absent: &[&'static str]) -> (Cluster, Written, Vec<Ingress>) {
    let cluster = a_cluster(4).await;
    let mut written = Written::before(&cluster.aws.seed_certificate());
    written.annotations.retain(|key, _| !absent.contains(key));
    let mut view = written.view(&[]);
    cluster.ready_on(&mut view, &nodes(&cluster)).await;
    (cluster, written, view.published)
}

/// What is told of a Service with a mistake, once all that can be done is.
async fn told(cluster: &Cluster, view: &ServiceView) -> Error {
    let mut error = None;
    // A target group is emptied, then deleted.
    for _ in 0..3 {
        error = Some(cluster.ensure_on(view, &nodes(cluster)).await.expect_err("a mistake"));
        cluster.aws.settle();
    }
    error.unwrap()
}

/// Edits a Service that serves, with a mistake besides, and holds against it what it has: what the mistake owns as before,
/// and all else as with the change alone. Then mends it.
async fn follows(absent: &[&'static str], change: &Edit, (wrong, owns): (Wrong, Owns), is_new_process: bool) {
    let case = format!("without {absent:?}, {change:?} beside {wrong:?}, by a new process: {is_new_process}");
    let (reference, before, published) = serving_without(absent).await;
    let changed = before.with(change);
    reference.ready_on(&mut changed.view(&published), &nodes(&reference)).await;
    reference.aws.settle();
    reference.ready_on(&mut changed.view(&published), &nodes(&reference)).await;
    let as_changed = facts(&reference).await;

    let (mut cluster, _, published) = serving_without(absent).await;
    let as_before = facts(&cluster).await;
    let mistaken = wrong.view(&changed, &published);
    if is_new_process {
        cluster.restart(&[mistaken.clone().into()]).await;
    }
    let error = told(&cluster, &mistaken).await;
    let text = error.to_string();
    for field in wrong.fields(&mistaken) {
        assert_eq!(text.matches(&field).count(), 1, "{case}: {field} in {text}");
    }
    let others = text.matches("until then").count() - wrong.fields(&mistaken).len();
    assert!(mistaken.mistakes.is_empty() || others == 0, "{case}: {text}");
    match owns {
        Owns::Everything => {
            assert!(matches!(error, Error::Invalid(_)), "{case}: {error:?}");
            assert!(text.contains("until then the load balancer keeps serving as it is"), "{case}: {text}");
        }
        _ => {
            assert!(matches!(error, Error::InvalidInPart(_)), "{case}: {error:?}");
            assert!(text.contains("until then what it decides stays as it is"), "{case}: {text}");
        }
    }
    let mut found = facts(&cluster).await;
    let mut expected = Facts::new();
    for (fact, value) in as_before.iter().filter(|(fact, _)| owns.has(fact, &changed.ports)) {
        expected.insert(fact.clone(), value.clone());
    }
    for (fact, value) in as_changed.iter().filter(|(fact, _)| !owns.has(fact, &changed.ports)) {
        expected.insert(fact.clone(), value.clone());
    }
    // What may have to be taken back is forgotten last.
    found.remove(REMEMBERED);
    expected.remove(REMEMBERED);
    same(&found, &expected, &case);

    let (again, requests) = cluster.requests(cluster.ensure_on(&mistaken, &nodes(&cluster))).await;
    again.expect_err("still a mistake");
    assert!(requests.iter().all(|call| !call.is_write()), "{case}: {requests:?}");

    let mut mended = changed.view(&published);
    cluster.ready_on(&mut mended, &nodes(&cluster)).await;
    cluster.aws.settle();
    cluster.ready_on(&mut mended, &nodes(&cluster)).await;
    same(&facts(&cluster).await, &as_changed, &format!("{case}, mended"));
    let (_, requests) = cluster.requests(cluster.ready_on(&mut mended, &nodes(&cluster))).await;
    assert!(requests.iter().all(|call| !call.is_write()), "{case}, mended: {requests:?}");
}

#[track_caller]
fn same(found: &Facts, expected: &Facts, case: &str) {
    for fact in found.keys().chain(expected.keys()) {
        assert_eq!(found.get(fact), expected.get(fact), "{case}: {fact}");
    }
}

async fn in_both_processes(change: Edit, mistake: (Wrong, Owns)) {
    for is_new_process in [false, true] {
        follows(&[], &change, mistake, is_new_process).await;
    }
}

const TYPO_IN_ATTRIBUTES: (Wrong, Owns) = (Wrong::Annotation("attributes", "oops"), Owns::Attributes);
const NO_CERTIFICATE: (Wrong, Owns) = (Wrong::Annotation("ssl-cert", "certificate"), Owns::Port(443));
const SHORT_INTERVAL: (Wrong, Owns) = (Wrong::Annotation("healthcheck-interval", "1"), Owns::Ports);

#[tokio::test(start_paused = true)]
async fn beside_a_mistake_ranges_that_are_narrowed_are_narrowed_and_wider_ones_widened() {
    for ranges in [&["10.0.0.0/8"][..], &["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"][..]] {
        in_both_processes(Edit::Ranges(ranges), TYPO_IN_ATTRIBUTES).await;
        in_both_processes(Edit::Ranges(ranges), NO_CERTIFICATE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_mistake_ports_come_and_go() {
    for ports in [&[80, 443, 900, NEW_PORT][..], &[80, 443][..]] {
        in_both_processes(Edit::Ports(ports), TYPO_IN_ATTRIBUTES).await;
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_certificate_that_is_none_other_ports_come_and_the_one_with_tls_stays_as_it_is() {
    in_both_processes(Edit::Ports(&[80, 443, 900, NEW_PORT]), NO_CERTIFICATE).await;
}

#[tokio::test(start_paused = true)]
async fn beside_a_mistake_attributes_and_tags_are_set_and_taken_back() {
    for edit in [Edit::NoAnnotation("attributes"), Edit::Annotation("additional-resource-tags", "team=two")] {
        in_both_processes(edit, NO_CERTIFICATE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_mistake_the_nodes_are_those_whose_labels_are_asked_for_now() {
    let edit = Edit::Annotation("target-node-labels", "pool=two");
    for mistake in [TYPO_IN_ATTRIBUTES, NO_CERTIFICATE, SHORT_INTERVAL] {
        in_both_processes(edit, mistake).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rules_for_private_link_that_a_mistake_keeps_from_being_taken_back_are_once_it_is_mended() {
    let edit = Edit::NoAnnotation("inbound-sg-rules-on-private-link-traffic");
    let mistake = (Wrong::Annotation("enable-icmp-for-path-mtu-discovery", "yes"), Owns::Access);
    in_both_processes(edit, mistake).await;
}

#[tokio::test(start_paused = true)]
async fn a_mistake_that_leaves_nothing_decided_leaves_everything_as_it_is() {
    let mistake = (Wrong::Annotation("ip-address-type", "ipv5"), Owns::Everything);
    in_both_processes(Edit::Ranges(&["10.0.0.0/8"]), mistake).await;
}

#[tokio::test(start_paused = true)]
async fn a_mistake_leaves_what_it_decides_as_it_is() {
    for mistake in MISTAKES {
        let edit = match mistake.0 {
            Wrong::Range(_) | Wrong::RangesAnnotation(_) => Edit::NoAnnotation("attributes"),
            _ => Edit::Ranges(&["10.1.0.0/16"]),
        };
        follows(&[], &edit, *mistake, true).await;
    }
}

const TYPO_IN_RANGES: (Wrong, Owns) = (Wrong::Range("everybody"), Owns::Access);
const TYPO_IN_ANNOTATED_RANGES: (Wrong, Owns) =
    (Wrong::RangesAnnotation("10.0.0.0/8,everybody"), Owns::Access);

#[tokio::test(start_paused = true)]
async fn beside_ranges_that_do_not_parse_ports_attributes_tags_and_nodes_follow_and_the_rules_for_clients_stay()
 {
    for edit in [
        Edit::Ports(&[80, 443, 900, NEW_PORT]),
        Edit::Ports(&[80, 443]),
        Edit::NoAnnotation("attributes"),
        Edit::Annotation("additional-resource-tags", "team=two"),
        Edit::Annotation("target-node-labels", "pool=two"),
    ] {
        for mistake in [TYPO_IN_RANGES, TYPO_IN_ANNOTATED_RANGES] {
            in_both_processes(edit, mistake).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_port_that_is_not_understood_no_port_comes_or_goes_and_all_else_follows() {
    for edit in [
        Edit::Ports(&[80, 443, 900, NEW_PORT]),
        Edit::Ports(&[80, 443]),
        Edit::Ranges(&["10.0.0.0/8"]),
        Edit::Ranges(&["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"]),
        Edit::NoAnnotation("attributes"),
        Edit::Annotation("target-node-labels", "pool=two"),
    ] {
        for ports in [&[80][..], &[443, 900][..]] {
            in_both_processes(edit, (Wrong::Ports(ports), Owns::PortList)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mistake_of_the_view_and_one_of_an_annotation_are_told_together_and_the_rest_follows() {
    let (cluster, before, published) = serving().await;
    let as_before = facts(&cluster).await;
    let edited = before
        .with(&Edit::Annotation("attributes", "oops"))
        .with(&Edit::Annotation("target-node-labels", "pool=two"));
    let mistaken = TYPO_IN_RANGES.0.view(&edited, &published);
    let text = told(&cluster, &mistaken).await.to_string();
    for field in ["spec.loadBalancerSourceRanges[2]", "aws-load-balancer-attributes]"] {
        assert_eq!(text.matches(field).count(), 1, "{text}");
    }
    assert_eq!(text.matches("until then what it decides stays as it is").count(), 2, "{text}");
    let found = facts(&cluster).await;
    for (fact, value) in &as_before {
        assert_eq!(found.get(fact) == Some(value), !fact.starts_with("targets"), "{fact}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_goes_beside_ranges_that_do_not_parse_takes_no_nodes_any_more() {
    let (cluster, before, published) = serving().await;
    let fewer = before.with(&Edit::Ports(&[80, 443]));
    let mistaken = TYPO_IN_RANGES.0.view(&fewer, &published);
    // Its target group is emptied, and there still.
    cluster.ensure_on(&mistaken, &nodes(&cluster)).await.expect_err("a mistake");
    let all = NodeSet::of(
        nodes(&cluster)
            .iter()
            .map(|node| a_node(&node.name).provider_id(&node.provider_id).label("pool", "one").build()),
    );
    cluster.provider.update_backends(&request(&mistaken, &all)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 4 * 2);
}

#[tokio::test(start_paused = true)]
async fn a_port_number_of_which_one_protocol_is_not_understood_goes_on_with_both() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").source_ranges(["10.0.0.0/8"]).build();
    service.ports[0].port = 53;
    let mut udp = service.ports[0].clone();
    udp.protocol = cloud_provider::Protocol::Udp;
    service.ports.push(udp.clone());
    cluster.ready_on(&mut service, &nodes(&cluster)).await;
    let as_before = facts(&cluster).await;
    assert!(as_before["access 53"].contains("10.0.0.0/8"), "{as_before:#?}");
    let datagrams = |facts: &Facts| facts["access"].clone();
    assert!(datagrams(&as_before).contains("Udp"), "{as_before:#?}");

    service.ports.pop();
    service.mistakes.push(Mistake::new("spec.ports[1].protocol", "QUIC", "is not understood"));
    let error = told(&cluster, &service).await;
    assert!(matches!(error, Error::InvalidInPart(_)), "{error}");
    same(&facts(&cluster).await, &as_before, "as it was");
}

#[tokio::test(start_paused = true)]
async fn while_no_port_is_understood_no_target_group_goes_of_which_nobody_knows_the_port() {
    let (mut cluster, before, published) = serving().await;
    for group in cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items {
        cluster.aws.remove_tags(&group.arn, &["service.k8s.aws/resource".to_owned()]).await.unwrap();
    }
    let mistaken = Wrong::Ports(&PORTS).view(&before, &published);
    cluster.restart(&[mistaken.clone().into()]).await;
    let (_, requests) = cluster.requests(told(&cluster, &mistaken)).await;
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn of_a_service_whose_view_has_a_mistake_and_no_load_balancer_nothing_is_made() {
    for (wrong, _) in MISTAKES.iter().filter(|(wrong, _)| !matches!(wrong, Wrong::Annotation(..))) {
        let cluster = a_cluster(2).await;
        let written = Written::before(&cluster.aws.seed_certificate());
        let error = told(&cluster, &wrong.view(&written, &[])).await;
        assert!(matches!(error, Error::Invalid(_)), "{wrong:?}: {error}");
        assert!(error.to_string().contains("until then no load balancer is made"), "{wrong:?}: {error}");
        assert!(cluster.aws.is_empty(), "{wrong:?}: {:#?}", cluster.aws.remaining());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_of_a_service_carried_out_in_part_are_the_ports_that_there_are() {
    let (cluster, before, published) = serving().await;
    let shown = async |view: &ServiceView| {
        let (found, requests) = cluster.requests(cluster.provider.get(view)).await;
        assert_eq!(requests, [Call::DescribeListeners], "all else is in the shared view");
        let ingress = found.unwrap().expect("it serves").ingress;
        ingress[0].ports.iter().map(|port| port.port).collect::<Vec<_>>()
    };
    let more = before.with(&Edit::Ports(&[900, 80, 443, NEW_PORT]));
    let typo = TYPO_IN_ATTRIBUTES.0.view(&more, &published);
    told(&cluster, &typo).await;
    assert_eq!(shown(&typo).await, [900, 80, 443, NEW_PORT], "in the order of the Service");

    let unread = Wrong::Ports(&[900]).view(&before.with(&Edit::Ports(&[80, 443, 901])), &published);
    told(&cluster, &unread).await;
    assert_eq!(shown(&unread).await, [80, 443, 900, NEW_PORT], "as they are");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn whatever_changes_beside_whatever_mistake_what_it_owns_stays_and_all_else_is_as_with_the_change_alone(
        absent in proptest::sample::subsequence(OPTIONAL, 0..=OPTIONAL.len()),
        change in proptest::sample::select(CHANGES),
        mistake in proptest::sample::select(MISTAKES),
        is_new_process: bool,
    ) {
        prop_assume!(!mistake.0.is_of(&change));
        runtime().block_on(follows(&absent, &change, mistake, is_new_process));
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_whose_successor_a_mistake_holds_back_goes_on_for_those_who_may_connect_now() {
    let (cluster, before, published) = serving().await;
    let moved = before.with(&Edit::Ports(&[80, 443, NEW_PORT])).with(&Edit::Ranges(&["10.1.0.0/16"]));
    let as_before = facts(&cluster).await;
    told(&cluster, &moved.with(&Edit::Annotation("healthcheck-interval", "1")).view(&published)).await;
    let found = facts(&cluster).await;
    for fact in ["port 900", "targets 900"] {
        assert_eq!(found.get(fact), as_before.get(fact), "{fact}");
    }
    assert!(
        !found.contains_key(&format!("port {NEW_PORT}"))
            && !found.contains_key(&format!("access {NEW_PORT}"))
    );
    for port in [80, 443, 900] {
        let rules = &found[&format!("access {port}")];
        assert!(rules.contains("10.1.0.0/16") && rules.lines().count() == 1, "{port}: {rules}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_scheme_beside_a_mistake_waits_until_it_is_mended() {
    let (cluster, before, published) = serving().await;
    let as_before = facts(&cluster).await;
    let moved = before.with(&Edit::Annotation("scheme", "internet-facing"));
    let error = told(&cluster, &moved.with(&Edit::Annotation("attributes", "oops")).view(&published)).await;
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    same(&facts(&cluster).await, &as_before, "no other load balancer is made");
}

#[tokio::test(start_paused = true)]
async fn while_one_load_balancer_takes_the_place_of_another_a_mistake_leaves_both_as_they_are() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready_on(&mut service, &nodes(&cluster)).await;
    service.annotations.insert(format!("{PREFIX}scheme"), "internet-facing".to_owned());
    // The new one exists; the Service's status shows the old one still.
    cluster.ensure_on(&service, &nodes(&cluster)).await.unwrap();
    let both = cluster.load_balancers().await;
    assert_eq!(both.len(), 2);
    service.annotations.insert(format!("{PREFIX}attributes"), "oops".to_owned());
    let (error, requests) = cluster.requests(told(&cluster, &service)).await;
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    assert_eq!(cluster.load_balancers().await.len(), both.len());
}

#[tokio::test(start_paused = true)]
async fn of_a_service_with_a_mistake_and_no_load_balancer_nothing_is_made() {
    let cluster = a_cluster(2).await;
    let written = Written::before(&cluster.aws.seed_certificate());
    let error = told(&cluster, &written.with(&Edit::Annotation("attributes", "oops")).view(&[])).await;
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_the_steps_that_depend_on_no_mistake_and_the_mistakes() {
    let (cluster, before, published) = serving().await;
    let edited = before.with(&Edit::Ranges(&["10.0.0.0/8"])).with(&Edit::Annotation("attributes", "oops"));
    let edited = request(&edited.view(&published), &nodes(&cluster));
    let (plan, requests) = cluster.requests(cluster.provider.plan(&edited)).await;
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    let text = plan.unwrap().to_string();
    assert!(text.contains("192.168.0.0/16") && text.contains("these may no longer connect"), "{text}");
    assert!(text.contains("because of") && text.contains("aws-load-balancer-attributes"), "{text}");
    assert!(!text.contains("attributes differ"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn whose_labels_are_a_mistake_keeps_the_nodes_it_has_and_loses_those_that_go() {
    let (cluster, before, published) = serving().await;
    let mistaken = before.with(&Edit::Annotation("target-node-labels", "oops")).view(&published);
    let fewer = NodeSet::of(nodes(&cluster).iter().skip(1).cloned());
    for (nodes, count) in [(nodes(&cluster), 2), (fewer, 1)] {
        cluster.provider.update_backends(&request(&mistaken, &nodes)).await.unwrap();
        assert_eq!(cluster.targets().await.len(), count * PORTS.len());
    }
}
