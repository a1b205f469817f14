//! What a Service says of who may connect.

use std::collections::BTreeSet;

use cloud_provider::{Mistake, Ordered, ServiceView, SourceRanges};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

use super::annotation::{Reader, key};
use super::load_balancer::LoadBalancerSpec;
use super::scope::Scope;
use crate::client::IpAddressType;

/// *Quotas for your Network Load Balancers*: security groups of a network interface.
pub(crate) const GROUPS_PER_INTERFACE: usize = 5;

/// Who may connect, and what guards it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecuritySpec {
    /// The groups of the load balancer.
    pub access: Access,
    /// Whether inbound rules hold for traffic over PrivateLink; none leaves it to AWS.
    pub private_link_rules: Option<bool>,
}

/// The security groups of the load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Access {
    /// One of ours, letting in these.
    Managed {
        /// Networks that may connect.
        ranges: BTreeSet<IpNet>,
        /// Prefix lists that may connect.
        prefix_lists: BTreeSet<String>,
        /// Whether messages of path MTU discovery are let in.
        path_mtu: bool,
    },
    /// The user's own: ids, or values of their tag `Name`.
    Given {
        /// Which ones, in order.
        groups: Vec<String>,
        /// Whether nodes are opened for the load balancer by us all the same.
        open_nodes: bool,
    },
    /// None, which holds for the load balancer's whole life.
    Nothing,
}

/// Reads who may connect. A mistake leaves what is open as it is: nothing is made of what is undecided.
pub(super) fn read(
    reader: &mut Reader<'_>,
    service: &ServiceView,
    load_balancer: &LoadBalancerSpec,
) -> SecuritySpec {
    let private_link_rules = reader.switch(key::PRIVATE_LINK_RULES);
    let open_nodes = reader.flag(key::MANAGE_BACKEND_RULES);
    let none_at_all = reader.flag(key::NO_SECURITY_GROUP) == Some(true);
    let path_mtu = read_path_mtu(reader);
    let prefix_lists = read_prefix_lists(reader);
    let given = reader.list(key::SECURITY_GROUPS);
    if let Some(groups) = given {
        if groups.is_empty() {
            reader.wrong(
                key::SECURITY_GROUPS,
                "",
                "names no group",
                "security group ids or values of their tag Name",
            );
        }
        if groups.len() > GROUPS_PER_INTERFACE {
            let count = groups.len().to_string();
            let allowed = format!("up to {GROUPS_PER_INTERFACE}");
            reader.wrong(key::SECURITY_GROUPS, count, "is more groups than AWS takes", &allowed);
        }
        if none_at_all {
            let value = groups.join(",");
            let problem = format!("names groups although {} is true", key::NO_SECURITY_GROUP);
            reader.wrong(key::SECURITY_GROUPS, value, &problem, "one of the two");
        }
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let access = Access::Given { groups, open_nodes: open_nodes.unwrap_or(false) };
        return SecuritySpec { access, private_link_rules };
    }
    if none_at_all {
        return SecuritySpec { access: Access::Nothing, private_link_rules };
    }
    let dualstack = load_balancer.ip_address_type == IpAddressType::DualStack;
    let ranges = match &service.source_ranges {
        SourceRanges::Only(ranges) => ranges.clone(),
        // A prefix list says who may connect, so that "everybody" is no longer meant.
        SourceRanges::Unset if reader.text(key::PREFIX_LISTS).is_some() => BTreeSet::new(),
        SourceRanges::Unset => everybody(dualstack),
    };
    for range in ranges.iter().filter(|range| matches!(range, IpNet::V6(_)) && !dualstack) {
        let mistake = Mistake::new(
            "spec.loadBalancerSourceRanges",
            range.to_string(),
            "is an IPv6 network, and the load balancer has IPv4 only",
        );
        let allowed = "IPv4 networks, or ip-address-type dualstack";
        reader.mistake(mistake.allowing(allowed), [Scope::Access]);
    }
    SecuritySpec { access: Access::Managed { ranges, prefix_lists, path_mtu }, private_link_rules }
}

fn everybody(dualstack: bool) -> BTreeSet<IpNet> {
    let v6 = dualstack.then(|| IpNet::V6(Ipv6Net::default()));
    std::iter::once(IpNet::V4(Ipv4Net::default())).chain(v6).ordered()
}

fn read_path_mtu(reader: &mut Reader<'_>) -> bool {
    reader.switch(key::PATH_MTU).unwrap_or(false)
}

fn read_prefix_lists(reader: &mut Reader<'_>) -> BTreeSet<String> {
    let items = reader.list(key::PREFIX_LISTS).unwrap_or_default();
    for item in &items {
        if !item.starts_with("pl-") {
            reader.wrong(key::PREFIX_LISTS, *item, "is not a prefix list", "ids such as pl-0a1b");
        }
    }
    items.iter().map(|item| (*item).to_owned()).ordered()
}
