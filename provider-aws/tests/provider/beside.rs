//! A Service that serves and gets a mistake: what depends on none follows the Service, what does stays as it is found, and
//! whether the process has seen the Service without makes no difference.

use std::collections::BTreeMap;

use cloud_provider::testing::{a_node, request};
use cloud_provider::{CloudLoadBalancer, Error, Ingress, NodeSet, ServiceView};
use proptest::prelude::*;
use provider_aws::client::{Ec2, Elbv2, Protocol, SecurityGroupQuery, Select, Tags, Traffic};

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
    Nothing,
}

/// Mistakes, each with what it leaves undecided.
const MISTAKES: &[(&str, &str, Owns)] = &[
    ("ip-address-type", "ipv5", Owns::Everything),
    ("name", "-web-", Owns::Nothing),
    ("scheme", "publik", Owns::Zones),
    ("subnets", "", Owns::Zones),
    ("subnets", "subnet-none", Owns::Zones),
    ("private-ipv4-addresses", "somewhere", Owns::Zones),
    ("security-groups", "", Owns::Access),
    ("security-groups", "sg-none", Owns::Access),
    ("security-group-prefix-lists", "none", Owns::Access),
    ("enable-icmp-for-path-mtu-discovery", "yes", Owns::Access),
    ("inbound-sg-rules-on-private-link-traffic", "maybe", Owns::AccessAndAttributes),
    ("attributes", "oops", Owns::Attributes),
    ("minimum-load-balancer-capacity", "much", Owns::Attributes),
    ("additional-resource-tags", "oops", Owns::Tags),
    ("target-node-labels", "oops", Owns::Targets),
    ("nlb-target-type", "ip", Owns::Ports),
    ("healthcheck-interval", "1", Owns::Ports),
    ("target-group-attributes", "oops", Owns::Ports),
    ("listener-attributes.TCP-81", "tcp.idle_timeout.seconds=70", Owns::Ports),
    ("listener-attributes.TCP-80", "oops", Owns::Port(80)),
    ("target-group-attributes.80", "oops", Owns::Port(80)),
    ("ssl-cert", "", Owns::Port(443)),
    ("ssl-cert", "certificate", Owns::Port(443)),
    ("ssl-negotiation-policy", "", Owns::Port(443)),
    ("alpn-policy", "HTTP9", Owns::Port(443)),
    ("backend-protocol", "https", Owns::Port(443)),
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
async fn follows(
    absent: &[&'static str],
    change: &Edit,
    mistake: (&'static str, &'static str, Owns),
    is_new_process: bool,
) {
    let (key, value, owns) = mistake;
    let case =
        format!("without {absent:?}, {change:?} beside {key}={value:?}, by a new process: {is_new_process}");
    let (reference, before, published) = serving_without(absent).await;
    let changed = before.with(change);
    reference.ready_on(&mut changed.view(&published), &nodes(&reference)).await;
    reference.aws.settle();
    reference.ready_on(&mut changed.view(&published), &nodes(&reference)).await;
    let as_changed = facts(&reference).await;

    let (mut cluster, _, published) = serving_without(absent).await;
    let as_before = facts(&cluster).await;
    let mistaken = changed.with(&Edit::Annotation(key, value)).view(&published);
    if is_new_process {
        cluster.restart(&[mistaken.clone().into()]).await;
    }
    let error = told(&cluster, &mistaken).await;
    let text = error.to_string();
    assert!(text.contains(&format!("{PREFIX}{key}]")), "{case}: {text}");
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

async fn in_both_processes(change: Edit, mistake: (&'static str, &'static str, Owns)) {
    for is_new_process in [false, true] {
        follows(&[], &change, mistake, is_new_process).await;
    }
}

const TYPO_IN_ATTRIBUTES: (&str, &str, Owns) = ("attributes", "oops", Owns::Attributes);
const NO_CERTIFICATE: (&str, &str, Owns) = ("ssl-cert", "certificate", Owns::Port(443));

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
    for mistake in [TYPO_IN_ATTRIBUTES, NO_CERTIFICATE, ("healthcheck-interval", "1", Owns::Ports)] {
        in_both_processes(edit, mistake).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rules_for_private_link_that_a_mistake_keeps_from_being_taken_back_are_once_it_is_mended() {
    let edit = Edit::NoAnnotation("inbound-sg-rules-on-private-link-traffic");
    in_both_processes(edit, ("enable-icmp-for-path-mtu-discovery", "yes", Owns::Access)).await;
}

#[tokio::test(start_paused = true)]
async fn a_mistake_that_leaves_nothing_decided_leaves_everything_as_it_is() {
    in_both_processes(Edit::Ranges(&["10.0.0.0/8"]), ("ip-address-type", "ipv5", Owns::Everything)).await;
}

#[tokio::test(start_paused = true)]
async fn a_mistake_leaves_what_it_decides_as_it_is() {
    for mistake in MISTAKES {
        follows(&[], &Edit::Ranges(&["10.1.0.0/16"]), *mistake, true).await;
    }
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
        let is_of_the_same = match change {
            Edit::Annotation(key, _) | Edit::NoAnnotation(key) => key == mistake.0,
            Edit::Ports(_) | Edit::Ranges(_) => false,
        };
        prop_assume!(!is_of_the_same);
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
