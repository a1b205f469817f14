//! Who may connect: the rules of the frontend group and those on the nodes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use cloud_provider::{Mistake, Mistakes};
use ipnet::IpNet;

use crate::client::{HealthCheckPort, IngressRule, Protocol, RuleSource, TargetGroup, Traffic};
use crate::model::{Groups, rules_weight};
use crate::options::annotation::key;
use crate::options::{Access, GROUPS_PER_INTERFACE, ListenerSpec, Spec};

/// One more rule than AWS takes would be refused half-way, with some clients let in and others not.
pub(super) fn check_rules(spec: &Spec, groups: &Groups, rules_per_group: usize) -> Result<(), Mistakes> {
    let (Some(frontend), Access::Managed { ranges, prefix_lists, .. }) =
        (&groups.frontend, &spec.security.access)
    else {
        return Ok(());
    };
    let count = rules_weight(&frontend.rules);
    if count <= rules_per_group {
        return Ok(());
    }
    let sources = ranges.len() + prefix_lists.len();
    let value = format!("{sources} networks and prefix lists");
    let problem = format!(
        "make {count} rules of one address family with {} ports, and a security group takes {rules_per_group}",
        spec.listeners.len()
    );
    let mistake = Mistake::new("spec.loadBalancerSourceRanges", value, problem)
        .allowing(format!(
            "fewer or wider networks, or fewer ports; a prefix list; groups of your own in {}",
            key::SECURITY_GROUPS
        ))
        .meanwhile("nothing is opened or closed");
    Err(mistake.into())
}

/// The group by which the nodes let the load balancer in takes a place as well.
pub(super) fn check_given(groups: &Groups) -> Result<(), Mistakes> {
    if groups.given.len() + usize::from(groups.nodes.is_some()) <= GROUPS_PER_INTERFACE {
        return Ok(());
    }
    let value = groups.given.iter().cloned().collect::<Vec<_>>().join(",");
    let problem =
        format!("is more groups than AWS takes beside the one that {} adds", key::MANAGE_BACKEND_RULES);
    let allowed = format!("up to {} groups, or {} off", GROUPS_PER_INTERFACE - 1, key::MANAGE_BACKEND_RULES);
    let mistake = Mistake::in_annotation(key::SECURITY_GROUPS, value, problem)
        .allowing(allowed)
        .meanwhile("nothing is changed");
    Err(mistake.into())
}

/// Each listener port, for each protocol it carries, from each source.
pub(super) fn frontend_rules(
    listeners: &[ListenerSpec],
    ranges: &BTreeSet<IpNet>,
    prefix_lists: &BTreeSet<String>,
    path_mtu: bool,
) -> BTreeSet<IngressRule> {
    let networks = ranges.iter().map(|range| match range {
        IpNet::V4(net) => RuleSource::Ipv4(*net),
        IpNet::V6(net) => RuleSource::Ipv6(*net),
    });
    let sources: Vec<RuleSource> =
        networks.chain(prefix_lists.iter().cloned().map(RuleSource::PrefixList)).collect();
    let mut rules = BTreeSet::new();
    for source in &sources {
        let traffic = listeners.iter().flat_map(|l| port_traffic(l.protocol, l.port, l.port));
        // RFC 1191 and RFC 8201: "fragmentation needed" and "packet too big".
        let mtu = path_mtu.then_some(match source {
            RuleSource::Ipv6(_) => Traffic::Icmpv6 { kind: 2, code: 0 },
            _ => Traffic::Icmp { kind: 3, code: 4 },
        });
        for traffic in traffic.chain(mtu) {
            rules.insert(IngressRule { traffic, source: source.clone(), description: None });
        }
    }
    rules
}

/// Health checks come over TCP, also to UDP targets. The whole range of node ports is opened at once, towards our
/// load balancers alone: they reach no port that has no listener, and no later Service needs another rule.
pub(crate) fn node_traffic(
    ways: impl IntoIterator<Item = WayToNodes>,
    node_ports: &RangeInclusive<u16>,
) -> BTreeSet<Traffic> {
    let (from, to) = (*node_ports.start(), *node_ports.end());
    let mut traffic = BTreeSet::from([Traffic::Tcp { from, to }]);
    for WayToNodes { protocol, port, health_check } in ways {
        if protocol.carries_udp() {
            traffic.insert(Traffic::Udp { from, to });
        }
        if !node_ports.contains(&port) {
            traffic.extend(port_traffic(protocol, port, port));
        }
        if let HealthCheckPort::Number(port) = health_check
            && !node_ports.contains(&port)
        {
            traffic.insert(Traffic::Tcp { from: port, to: port });
        }
    }
    traffic
}

/// On which way a target group, as it should be or as it is found, reaches the nodes.
pub(crate) struct WayToNodes {
    /// By which protocol.
    pub(crate) protocol: Protocol,
    /// The node port.
    pub(crate) port: u16,
    /// Where health checks go.
    pub(crate) health_check: HealthCheckPort,
}

impl From<&ListenerSpec> for WayToNodes {
    fn from(listener: &ListenerSpec) -> Self {
        let target_group = &listener.target_group;
        let (protocol, port) = (target_group.protocol, target_group.node_port);
        WayToNodes { protocol, port, health_check: target_group.health_check.port }
    }
}

impl From<&TargetGroup> for WayToNodes {
    fn from(found: &TargetGroup) -> Self {
        WayToNodes { protocol: found.protocol, port: found.port, health_check: found.health_check.port }
    }
}

fn port_traffic(protocol: Protocol, from: u16, to: u16) -> impl Iterator<Item = Traffic> {
    let tcp = (protocol != Protocol::Udp).then_some(Traffic::Tcp { from, to });
    let udp = protocol.carries_udp().then_some(Traffic::Udp { from, to });
    tcp.into_iter().chain(udp)
}
