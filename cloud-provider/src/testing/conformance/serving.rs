//! Clauses about what of a Service a provider must honour, by the harness's view of what serves it outside. Each asks
//! for something, and is kept by serving it so, or by refusing it as [`Error::Invalid`](crate::Error::Invalid) with the
//! field named; never by serving something else. Where the harness has no view, they check nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;

use super::Harness;
use super::stage::{Actor, MAX_SETTLES, Stage};
use crate::error::ErrorClass;
use crate::protocol::{IpFamily, Protocol};
use crate::provider::Outcome;
use crate::service::{ServiceId, ServicePort, ServiceView, SessionAffinity, TrafficPolicy};
use crate::source_range::SourceRanges;

/// What serves a Service outside, as far as a harness can tell; a field that is none is not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Serving {
    /// The ports that are listened on, with the node port behind each, if one is.
    pub ports: Option<BTreeMap<(Protocol, u16), Option<u16>>>,
    /// The names of the nodes that traffic is sent to.
    pub nodes: Option<BTreeSet<String>>,
    /// The endpoints that traffic is sent to, each with its port.
    pub endpoints: Option<BTreeSet<(IpAddr, u16)>>,
    /// Who may connect.
    pub source_ranges: Option<SourceRanges>,
    /// The families that it is reached over.
    pub families: Option<BTreeSet<IpFamily>>,
    /// The node port that is asked whether a node has an endpoint; inner none: none is.
    pub health_check: Option<Option<u16>>,
    /// Whether connections of one client stay together.
    pub affinity: Option<SessionAffinity>,
}

impl Serving {
    /// A view in which nothing can be told.
    pub fn nothing() -> Self {
        Serving::default()
    }

    /// These ports are listened on, each with the node port behind it.
    pub fn ports(mut self, ports: impl IntoIterator<Item = ((Protocol, u16), Option<u16>)>) -> Self {
        self.ports = Some(ports.into_iter().collect());
        self
    }

    /// Traffic goes to the nodes of these names.
    pub fn nodes(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.nodes = Some(names.into_iter().collect());
        self
    }

    /// Traffic goes to these endpoints.
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = (IpAddr, u16)>) -> Self {
        self.endpoints = Some(endpoints.into_iter().collect());
        self
    }

    /// These may connect.
    pub fn source_ranges(mut self, ranges: SourceRanges) -> Self {
        self.source_ranges = Some(ranges);
        self
    }

    /// It is reached over these families.
    pub fn families(mut self, families: impl IntoIterator<Item = IpFamily>) -> Self {
        self.families = Some(families.into_iter().collect());
        self
    }

    /// This node port is asked whether a node has an endpoint; none: none is.
    pub fn health_check(mut self, node_port: Option<u16>) -> Self {
        self.health_check = Some(node_port);
        self
    }

    /// Connections of one client stay together, or not.
    pub fn affinity(mut self, affinity: SessionAffinity) -> Self {
        self.affinity = Some(affinity);
        self
    }
}

/// Every port is served with its protocol, the same number under two protocols too, and no other port is. Traffic
/// comes to the node port that the Service has, where it goes through nodes.
pub async fn ports_are_served_with_their_protocols(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "ports_are_served_with_their_protocols").await;
    for (i, wanted) in [
        vec![(Protocol::Tcp, 80), (Protocol::Tcp, 443)],
        vec![(Protocol::Tcp, 80), (Protocol::Udp, 53)],
        vec![(Protocol::Tcp, 53), (Protocol::Udp, 53)],
        vec![(Protocol::Sctp, 3868)],
    ]
    .into_iter()
    .enumerate()
    {
        let web = stage.add(&format!("ports-{i}"));
        stage.view_mut(web).ports = wanted.iter().map(|(protocol, port)| a_port(*protocol, *port)).collect();
        let Some(serving) = stage.served_or_refused(web).await else { continue };
        if let Some(ports) = &serving.ports {
            let listened: Vec<_> = ports.keys().copied().collect();
            let wanted: BTreeSet<_> = wanted.into_iter().collect();
            stage.expect_eq(
                &listened,
                &wanted.into_iter().collect(),
                "exactly the Service's ports to be served",
            );
            for port in &stage.view(web).ports {
                let behind = ports[&(port.protocol, port.port)];
                let right = behind.is_none_or(|behind| Some(behind) == port.node_port);
                let expected = format!("port {} to lead to its node port {:?}", port.port, port.node_port);
                stage.expect(right, &expected, format!("it leads to {behind:?}"));
            }
        }
    }
    stage.close().await;
}

/// Exactly those whom the Service names may connect; everybody may when it names nobody.
pub async fn source_ranges_are_kept(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "source_ranges_are_kept").await;
    let web = stage.add("web");
    for ranges in [&["192.0.2.0/24", "198.51.100.7/32"][..], &["192.0.2.0/24"], &[]] {
        let ranges: Vec<String> = ranges.iter().map(|range| (*range).to_owned()).collect();
        let ranges = SourceRanges::parse(&ranges, None).expect("the suite's ranges are networks");
        stage.view_mut(web).source_ranges = ranges;
        stage.honours(web, |it| it.source_ranges.clone(), |service| service.source_ranges.clone()).await;
    }
    stage.close().await;
}

/// A Service is reached over the families that the cluster gave it: one, the other, or both.
pub async fn families_are_kept(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "families_are_kept").await;
    for (i, families) in
        [vec![IpFamily::V4], vec![IpFamily::V6], vec![IpFamily::V4, IpFamily::V6]].into_iter().enumerate()
    {
        let web = stage.add(&format!("families-{i}"));
        let view = crate::testing::a_service_named("conformance", &stage.id(web).key.name)
            .families(families)
            .build();
        let service = stage.view_mut(web);
        (service.families, service.cluster_ips) = (view.families, view.cluster_ips);
        service.family_policy = match service.families.len() {
            1 => crate::FamilyPolicy::SingleStack,
            _ => crate::FamilyPolicy::RequireDualStack,
        };
        let wanted = |service: &ServiceView| service.cluster_families().into_iter().collect::<BTreeSet<_>>();
        stage.honours(web, |it| it.families.clone(), wanted).await;
    }
    stage.close().await;
}

/// Under `externalTrafficPolicy: Local` nodes are asked on the Service's health-check node port whether they have an
/// endpoint; when the policy is taken back, they are not.
pub async fn local_traffic_asks_for_endpoints(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "local_traffic_asks_for_endpoints").await;
    let web = stage.add("web");
    for (policy, health_check) in [(TrafficPolicy::Local, Some(32000)), (TrafficPolicy::Cluster, None)] {
        let service = stage.view_mut(web);
        (service.traffic_policy, service.health_check_node_port) = (policy, health_check);
        stage.honours(web, |it| it.health_check, |service| service.health_check_node_port).await;
    }
    stage.close().await;
}

/// Connections of one client stay together where the Service asks for it, and only there.
pub async fn affinity_is_kept(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "affinity_is_kept").await;
    let web = stage.add("web");
    for affinity in [SessionAffinity::ClientIp { timeout_seconds: 10_800 }, SessionAffinity::None] {
        stage.view_mut(web).session_affinity = affinity;
        stage.honours(web, |it| it.affinity, |service| service.session_affinity).await;
    }
    stage.close().await;
}

/// A port without a node port (`allocateLoadBalancerNodePorts: false`) leads to none: it is served without nodes, or
/// refused.
pub async fn ports_without_node_ports_lead_to_none(harness: &dyn Harness) {
    let mut stage = Stage::open(harness, "ports_without_node_ports_lead_to_none").await;
    let web = stage.add("web");
    stage.view_mut(web).ports.iter_mut().for_each(|port| port.node_port = None);
    if let Some(serving) = stage.served_or_refused(web).await {
        let behind: Vec<u16> = serving.ports.iter().flatten().filter_map(|(_, behind)| *behind).collect();
        stage.expect(behind.is_empty(), "no node port behind a port that has none", format!("{behind:?}"));
        let nodes = serving.nodes.unwrap_or_default();
        stage.expect(nodes.is_empty(), "no node behind a port that has no node port", format!("{nodes:?}"));
    }
    stage.close().await;
}

fn a_port(protocol: Protocol, number: u16) -> ServicePort {
    let name = format!("{}-{number}", protocol.as_str().to_lowercase());
    let node_port = 30000 + number % 2768 + u16::from(protocol == Protocol::Udp);
    ServicePort { name, node_port: Some(node_port), ..ServicePort::new(protocol, number) }
}

impl Stage<'_> {
    /// What serves the Service once it is ready; none if it was refused as the user's mistake, or if the harness has
    /// no view.
    async fn served_or_refused(&mut self, actor: Actor) -> Option<Serving> {
        for _ in 0..MAX_SETTLES {
            match self.try_ensure(actor).await {
                Ok(Outcome::Ready(_)) => return self.serving(&self.id(actor)).await,
                Ok(Outcome::Pending(_)) => self.harness.settle().await,
                Err(error) if error.class() == ErrorClass::Invalid => return None,
                Err(error) => self.fail(
                    "a Service to be served as it is written, or refused as Invalid",
                    format!("{error:?}"),
                ),
            }
        }
        self.fail(&format!("Ready after at most {MAX_SETTLES} passes"), "still Pending")
    }

    async fn serving(&self, service: &ServiceId) -> Option<Serving> {
        self.harness.serving(service).await
    }

    /// The Service is served as it is written in this respect, or refused.
    async fn honours<T: PartialEq + Debug>(
        &mut self,
        actor: Actor,
        served: impl Fn(&Serving) -> Option<T>,
        written: impl Fn(&ServiceView) -> T,
    ) {
        if let Some(found) = self.served_or_refused(actor).await.as_ref().and_then(served) {
            self.expect_eq(&found, &written(self.view(actor)), "the Service to be served as it is written");
        }
    }
}
