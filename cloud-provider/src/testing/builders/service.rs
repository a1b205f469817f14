//! A Service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{digest, parse_ip};
use crate::address::Ingress;
use crate::error::Mistake;
use crate::protocol::{IpFamily, Protocol};
use crate::service::{
    FamilyPolicy, ServiceId, ServicePort, ServiceView, SessionAffinity, TargetPort, TrafficPolicy,
};
use crate::source_range::SourceRanges;

/// The Service `default/web`: see [`a_service_named`].
pub fn a_service() -> ServiceBuilder {
    a_service_named("default", "web")
}

/// A Service that wants a load balancer: TCP port 80 on node port 30080, one IPv4 cluster IP, no class, open to
/// everybody, nothing published. UID and cluster IP follow from the namespace and the name.
pub fn a_service_named(namespace: &str, name: &str) -> ServiceBuilder {
    let digest = digest(&format!("{namespace}/{name}"));
    ServiceBuilder(ServiceView {
        id: ServiceId::new(namespace, name, uid_from(digest)),
        created: 1_700_000_000,
        wants_load_balancer: true,
        class: None,
        labels: [("app".to_owned(), name.to_owned())].into(),
        annotations: Default::default(),
        ports: vec![a_port(Protocol::Tcp, 80, String::new())],
        selector: [("app".to_owned(), name.to_owned())].into(),
        families: vec![IpFamily::V4],
        family_policy: FamilyPolicy::SingleStack,
        cluster_ips: vec![cluster_ip(IpFamily::V4, digest)],
        load_balancer_ip: None,
        source_ranges: SourceRanges::Unset,
        traffic_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        session_affinity: SessionAffinity::None,
        published: Vec::new(),
        mistakes: Vec::new(),
    })
}

/// Makes a [`ServiceView`]; every method says one thing about it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServiceBuilder(ServiceView);

impl ServiceBuilder {
    /// A UID of your choice: the same key with another UID is a Service that was deleted and made anew.
    pub fn uid(mut self, uid: &str) -> Self {
        self.0.id.uid = uid.into();
        self
    }

    /// Created at this many seconds since the Unix epoch.
    pub fn created(mut self, seconds: i64) -> Self {
        self.0.created = seconds;
        self
    }

    /// `spec.loadBalancerClass`.
    pub fn class(mut self, class: &str) -> Self {
        self.0.class = Some(class.to_owned());
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// `spec.selector`, these pairs alone.
    pub fn selector<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.0.selector = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        self
    }

    /// These TCP ports and no others; see [`protocol_ports`](Self::protocol_ports).
    pub fn ports(self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.protocol_ports(ports.into_iter().map(|port| (Protocol::Tcp, port)))
    }

    /// These ports and no others, named `tcp-80` and so on if there are several, on node ports from 30000.
    pub fn protocol_ports(mut self, ports: impl IntoIterator<Item = (Protocol, u16)>) -> Self {
        let ports: Vec<_> = ports.into_iter().collect();
        let several = ports.len() > 1;
        let name = |protocol: Protocol, port: u16| match several {
            true => format!("{}-{port}", protocol.as_str().to_lowercase()),
            false => String::new(),
        };
        self.0.ports =
            ports.iter().map(|&(protocol, port)| a_port(protocol, port, name(protocol, port))).collect();
        self
    }

    /// `allocateLoadBalancerNodePorts: false`.
    pub fn without_node_ports(mut self) -> Self {
        self.0.ports.iter_mut().for_each(|port| port.node_port = None);
        self
    }

    /// These families, primary first, with a cluster IP in each.
    pub fn families(mut self, families: impl IntoIterator<Item = IpFamily>) -> Self {
        let digest = digest(&self.0.id.key.to_string());
        self.0.families = families.into_iter().collect();
        self.0.cluster_ips = self.0.families.iter().map(|family| cluster_ip(*family, digest)).collect();
        self
    }

    /// `spec.ipFamilyPolicy`.
    pub fn family_policy(mut self, policy: FamilyPolicy) -> Self {
        self.0.family_policy = policy;
        self
    }

    /// Both families, IPv4 first, and no less.
    pub fn dual_stack(self) -> Self {
        self.families([IpFamily::V4, IpFamily::V6]).family_policy(FamilyPolicy::RequireDualStack)
    }

    /// `spec.clusterIPs`.
    ///
    /// # Panics
    /// If one does not parse.
    pub fn cluster_ips<'a>(mut self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.cluster_ips = ips.into_iter().map(parse_ip).collect();
        self
    }

    /// `spec.loadBalancerIP`, as a user would write it.
    pub fn load_balancer_ip(mut self, ip: &str) -> Self {
        self.0.load_balancer_ip = Some(ip.to_owned());
        self
    }

    /// `spec.loadBalancerSourceRanges`.
    ///
    /// # Panics
    /// If one does not parse.
    pub fn source_ranges<'a>(mut self, ranges: impl IntoIterator<Item = &'a str>) -> Self {
        let ranges: Vec<String> = ranges.into_iter().map(str::to_owned).collect();
        self.0.source_ranges = SourceRanges::parse(&ranges, None).expect("source ranges of a test parse");
        self
    }

    /// `externalTrafficPolicy: Local`, with its health check on node port 32000.
    pub fn local_traffic(mut self) -> Self {
        self.0.traffic_policy = TrafficPolicy::Local;
        self.0.health_check_node_port = Some(32000);
        self
    }

    /// `sessionAffinity: ClientIP` with this timeout.
    pub fn client_ip_affinity(mut self, timeout_seconds: u32) -> Self {
        self.0.session_affinity = SessionAffinity::ClientIp { timeout_seconds };
        self
    }

    /// What the status shows.
    pub fn published(mut self, ingress: impl IntoIterator<Item = Ingress>) -> Self {
        self.0.published = ingress.into_iter().collect();
        self
    }

    /// What the status shows, addresses alone.
    ///
    /// # Panics
    /// If one does not parse.
    pub fn published_ips<'a>(self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.published(ips.into_iter().map(parse_ip).map(Ingress::ip))
    }

    /// No longer of type `LoadBalancer`, or being deleted.
    pub fn not_wanting(mut self) -> Self {
        self.0.wants_load_balancer = false;
        self
    }

    /// With something in it that did not parse.
    pub fn mistake(mut self, mistake: Mistake) -> Self {
        self.0.mistakes.push(mistake);
        self
    }

    /// The view.
    pub fn build(self) -> ServiceView {
        self.0
    }

    /// The view, ready to be shared.
    pub fn shared(self) -> Arc<ServiceView> {
        Arc::new(self.0)
    }
}

fn a_port(protocol: Protocol, port: u16, name: String) -> ServicePort {
    // Kubernetes' default range of node ports has 2768 of them.
    let node_port = 30000 + port % 2768;
    ServicePort {
        name,
        protocol,
        port,
        node_port: Some(node_port),
        target_port: TargetPort::Number(8080),
        app_protocol: None,
    }
}

fn cluster_ip(family: IpFamily, digest: u64) -> IpAddr {
    let [.., a, b] = digest.to_be_bytes();
    match family {
        IpFamily::V4 => Ipv4Addr::new(10, 96, a, b).into(),
        IpFamily::V6 => Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, u16::from_be_bytes([a, b])).into(),
    }
}

/// In the form of a UUID, and different from the first character on, because names are cut from the end.
fn uid_from(digest: u64) -> String {
    let hex = format!("{digest:016x}");
    format!("{}-{}-{}-8000-000000000000", &hex[..8], &hex[8..12], &hex[12..])
}
