//! From what is asked for and where it is to stand, to what should exist. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use cloud_provider::{Mistake, Mistakes, ServiceId};
use ipnet::IpNet;

use crate::client::{
    HealthCheckPort, IngressRule, Protocol, RuleSource, Scheme, Subnet, SubnetMapping, Tags, Traffic,
};
use crate::config::AwsConfig;
use crate::model::{
    Desired, FrontendGroup, Groups, Listener, LoadBalancer, NodeOpening, TargetGroup, Tls, Zone,
};
use crate::naming::{self, ADDED_TAGS_TAG, Names, SET_ATTRIBUTES_TAG};
use crate::options::annotation::key;
use crate::options::{Access, ListenerSpec, Spec};
use crate::plan::rules_weight;

/// What was found out about where the load balancer is to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The VPC of the nodes.
    pub vpc_id: String,
    /// Where the load balancer is reachable from, once the Service, an existing load balancer and the
    /// configuration have been asked in this order.
    pub scheme: Scheme,
    /// The name of the load balancer of that scheme that exists: names never change.
    pub present_name: Option<String>,
    /// Its subnets, in the user's order or by id.
    pub subnets: Vec<Subnet>,
    /// Ids of the security groups the user named.
    pub given_groups: BTreeSet<String>,
    /// Whether the load balancer that exists was made without a security group, which holds for its life.
    pub without_groups: bool,
    /// Instances that take traffic; none leaves targets as they are.
    pub instances: Option<BTreeSet<String>>,
}

/// What should exist.
///
/// # Errors
/// Mistakes that show only beside the site: addresses that fit no subnet or not this scheme.
pub fn build(service: &ServiceId, spec: &Spec, config: &AwsConfig, site: Site) -> Result<Desired, Mistakes> {
    let names = Names::new(&config.cluster, service);
    let zones = place(spec, &site)?;
    let builder = Builder { names: &names, spec, config, site: &site };
    let groups = builder.groups();
    check_rules(spec, &groups)?;
    check_given(&groups)?;
    let target_groups: Vec<TargetGroup> = spec.listeners.iter().map(|l| builder.target_group(l)).collect();
    let listeners =
        spec.listeners.iter().zip(&target_groups).map(|(l, tg)| builder.listener(l, tg)).collect();
    Ok(Desired {
        load_balancer: builder.load_balancer(zones),
        groups,
        target_groups,
        listeners,
        instances: site.instances,
    })
}

struct Builder<'a> {
    names: &'a Names<'a>,
    spec: &'a Spec,
    config: &'a AwsConfig,
    site: &'a Site,
}

impl Builder<'_> {
    fn load_balancer(&self, zones: Vec<Zone>) -> LoadBalancer {
        let spec = &self.spec.load_balancer;
        let generated = || self.names.load_balancer(self.site.scheme);
        let name = self.site.present_name.clone().or_else(|| spec.name.clone()).unwrap_or_else(generated);
        let mut tags = self.tags(naming::LOAD_BALANCER_RESOURCE);
        tags.extend(remember_attributes(&spec.attributes));
        LoadBalancer {
            name_is_chosen: spec.name.as_ref() == Some(&name),
            name,
            scheme: self.site.scheme,
            ip_address_type: spec.ip_address_type,
            zones,
            ipv6_source_nat: spec.ipv6_source_nat,
            capacity: spec.capacity,
            attributes: spec.attributes.clone(),
            tags,
        }
    }

    fn target_group(&self, listener: &ListenerSpec) -> TargetGroup {
        let spec = &listener.target_group;
        let mut tags = self.tags(&self.names.target_group_resource(listener.port));
        tags.extend(remember_attributes(&spec.attributes));
        TargetGroup {
            name: self.names.target_group(self.site.scheme, listener.port, spec.protocol, spec.family),
            port: listener.port,
            protocol: spec.protocol,
            family: spec.family,
            vpc_id: self.site.vpc_id.clone(),
            node_port: spec.node_port,
            health_check: spec.health_check.clone(),
            attributes: spec.attributes.clone(),
            tags,
        }
    }

    fn listener(&self, spec: &ListenerSpec, target_group: &TargetGroup) -> Listener {
        Listener {
            port: spec.port,
            protocol: spec.protocol,
            tls: spec.tls.as_ref().map(|tls| Tls {
                default_certificate: tls.default_certificate.clone(),
                sni_certificates: tls.sni_certificates.iter().cloned().collect(),
                policy: tls.policy.clone(),
                alpn: tls.alpn,
            }),
            target_group: target_group.name.clone(),
            weighted: spec.weighted.clone(),
            attributes: spec.attributes.clone(),
            tags: self.tags(&spec.port.to_string()),
        }
    }

    /// Ours above all, then the operator's, then the Service's.
    fn tags(&self, resource: &str) -> Tags {
        let mut tags = self.spec.tags.clone();
        tags.extend(self.config.default_tags.clone());
        tags.retain(|key, _| !self.config.externally_managed_tags.contains(key));
        let added = naming::remember(tags.keys());
        tags.extend(added.map(|keys| (ADDED_TAGS_TAG.to_owned(), keys)));
        tags.extend(self.names.tags(resource));
        tags
    }

    fn groups(&self) -> Groups {
        let security = &self.spec.security;
        let opens_nodes = match &security.access {
            Access::Managed { .. } => true,
            Access::Given { open_nodes, .. } => *open_nodes,
            Access::Nothing => false,
        };
        let private_link_rules = security.private_link_rules;
        if self.site.without_groups {
            return Groups { frontend: None, given: BTreeSet::new(), nodes: None, private_link_rules: None };
        }
        let frontend = match &security.access {
            Access::Managed { ranges, prefix_lists, path_mtu } => Some(FrontendGroup {
                name: self.names.frontend_group(),
                vpc_id: self.site.vpc_id.clone(),
                rules: frontend_rules(&self.spec.listeners, ranges, prefix_lists, *path_mtu),
                rules_at_most: self.config.rules_per_group,
                tags: self.tags(naming::FRONTEND_RESOURCE),
            }),
            Access::Given { .. } | Access::Nothing => None,
        };
        let nodes = (opens_nodes && self.config.manage_backend_rules).then(|| NodeOpening {
            source_group: naming::nodes_source_group(&self.config.cluster),
            vpc_id: self.site.vpc_id.clone(),
            tags: naming::nodes_source_tags(&self.config.cluster),
            traffic: node_traffic(&self.spec.listeners, &self.config.node_ports),
        });
        Groups { frontend, given: self.site.given_groups.clone(), nodes, private_link_rules }
    }
}

/// One more rule than AWS takes would be refused half-way, with some clients let in and others not.
fn check_rules(spec: &Spec, groups: &Groups) -> Result<(), Mistakes> {
    let (Some(frontend), Access::Managed { ranges, prefix_lists, .. }) =
        (&groups.frontend, &spec.security.access)
    else {
        return Ok(());
    };
    let (count, at_most) = (rules_weight(&frontend.rules), frontend.rules_at_most);
    if count <= at_most {
        return Ok(());
    }
    let sources = ranges.len() + prefix_lists.len();
    let value = format!("{sources} networks and prefix lists");
    let problem = format!(
        "make {count} rules of one address family with {} ports, and a security group takes {at_most}",
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

/// *Quotas for your Network Load Balancers*: security groups of a network interface.
const GROUPS: usize = 5;

/// The group by which the nodes let the load balancer in takes a place as well.
fn check_given(groups: &Groups) -> Result<(), Mistakes> {
    if groups.given.len() + usize::from(groups.nodes.is_some()) <= GROUPS {
        return Ok(());
    }
    let value = groups.given.iter().cloned().collect::<Vec<_>>().join(",");
    let problem =
        format!("is more groups than AWS takes beside the one that {} adds", key::MANAGE_BACKEND_RULES);
    let mistake = Mistake::in_annotation(key::SECURITY_GROUPS, value, problem)
        .allowing(format!("up to {} groups, or {} off", GROUPS - 1, key::MANAGE_BACKEND_RULES))
        .meanwhile("nothing is changed");
    Err(mistake.into())
}

fn remember_attributes(attributes: &BTreeMap<String, String>) -> Option<(String, String)> {
    Some((SET_ATTRIBUTES_TAG.to_owned(), naming::remember(attributes.keys())?))
}

/// Each listener port, for each protocol it carries, from each source.
fn frontend_rules(
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
fn node_traffic(listeners: &[ListenerSpec], node_ports: &RangeInclusive<u16>) -> BTreeSet<Traffic> {
    let (from, to) = (*node_ports.start(), *node_ports.end());
    let mut traffic = BTreeSet::from([Traffic::Tcp { from, to }]);
    for listener in listeners {
        let target_group = &listener.target_group;
        if target_group.protocol.carries_udp() {
            traffic.insert(Traffic::Udp { from, to });
        }
        if !node_ports.contains(&target_group.node_port) {
            let port = target_group.node_port;
            traffic.extend(port_traffic(target_group.protocol, port, port));
        }
        if let HealthCheckPort::Number(port) = target_group.health_check.port
            && !node_ports.contains(&port)
        {
            traffic.insert(Traffic::Tcp { from: port, to: port });
        }
    }
    traffic
}

fn port_traffic(protocol: Protocol, from: u16, to: u16) -> impl Iterator<Item = Traffic> {
    let tcp = (protocol != Protocol::Udp).then_some(Traffic::Tcp { from, to });
    let udp = protocol.carries_udp().then_some(Traffic::Udp { from, to });
    tcp.into_iter().chain(udp)
}

/// Puts the user's addresses into the subnets: Elastic IPs and prefixes by order, private and IPv6 addresses by
/// the range they lie in.
fn place(spec: &Spec, site: &Site) -> Result<Vec<Zone>, Mistakes> {
    let spec = &spec.load_balancer;
    let mut mistakes = Vec::new();
    let mut wrong = |key: &str, value: String, problem: String, allowed: &str| {
        mistakes.push(
            Mistake::in_annotation(key, value, problem).allowing(allowed).meanwhile("nothing is changed"),
        );
    };
    let addresses = &spec.addresses;
    if !addresses.allocations.is_empty() && site.scheme != Scheme::InternetFacing {
        let problem = "needs an internet-facing load balancer".to_owned();
        wrong(key::EIP_ALLOCATIONS, addresses.allocations.join(","), problem, "scheme internet-facing");
    }
    if !addresses.private_ipv4.is_empty() && site.scheme != Scheme::Internal {
        let value = addresses.private_ipv4[0].to_string();
        wrong(key::PRIVATE_IPV4, value, "needs an internal load balancer".to_owned(), "scheme internal");
    }
    let counts = [
        (key::EIP_ALLOCATIONS, addresses.allocations.len()),
        (key::PRIVATE_IPV4, addresses.private_ipv4.len()),
        (key::IPV6, addresses.ipv6.len()),
        (key::SOURCE_NAT_PREFIXES, spec.source_nat_prefixes.len()),
    ];
    for (key, count) in counts {
        if count != 0 && count != site.subnets.len() {
            let problem = format!("items do not match the {} subnets", site.subnets.len());
            wrong(key, count.to_string(), problem, "one for each subnet");
        }
    }
    let mut zones = Vec::new();
    for (i, subnet) in site.subnets.iter().enumerate() {
        let private_ipv4 =
            addresses.private_ipv4.iter().find(|ip| subnet.ipv4_cidr.is_some_and(|net| net.contains(*ip)));
        let ipv6 = addresses.ipv6.iter().find(|ip| subnet.ipv6_cidrs.iter().any(|net| net.contains(*ip)));
        let unmatched = [
            (key::PRIVATE_IPV4, private_ipv4.is_none() && !addresses.private_ipv4.is_empty()),
            (key::IPV6, ipv6.is_none() && !addresses.ipv6.is_empty()),
        ];
        for (key, _) in unmatched.iter().filter(|(_, unmatched)| *unmatched) {
            let problem = format!("has no address in the range of {}", subnet.id);
            wrong(key, subnet.id.clone(), problem, "one address out of the range of each subnet");
        }
        zones.push(Zone {
            name: subnet.zone.clone(),
            mapping: SubnetMapping {
                subnet_id: subnet.id.clone(),
                allocation_id: addresses.allocations.get(i).cloned(),
                private_ipv4: private_ipv4.copied(),
                ipv6: ipv6.copied(),
                source_nat_ipv6_prefix: spec.source_nat_prefixes.get(i).copied(),
            },
        });
    }
    Mistakes::new(mistakes).map_or(Ok(zones), Err)
}

#[cfg(test)]
mod tests;
