//! What the annotations say of the load balancer itself: identity, addresses, attributes.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::annotation::{Reader, key};
use crate::client::{Attributes, IpAddressType, Scheme, SourceNatPrefix};
use crate::settings::LoadBalancerSettings;

/// What is asked of the load balancer itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancerSpec {
    /// A name of the user's choice; ours if none.
    pub name: Option<String>,
    /// Reachable from where; none leaves it to the load balancer that exists, then to the configuration.
    pub scheme: Option<Scheme>,
    /// Address families of clients.
    pub ip_address_type: IpAddressType,
    /// Subnets of the user's choice, in order; discovered if none.
    pub subnets: Option<Vec<SubnetRef>>,
    /// Addresses of the user's choice.
    pub addresses: ChosenAddresses,
    /// Whether each subnet gets an IPv6 prefix for source NAT; none leaves it to AWS.
    pub ipv6_source_nat: Option<bool>,
    /// The prefixes, in the order of the subnets; empty means AWS chooses.
    pub source_nat_prefixes: Vec<SourceNatPrefix>,
    /// What AWS tells and changes by requests of its own.
    pub settings: LoadBalancerSettings,
    /// Attributes the user named; AWS's defaults hold for the others.
    pub attributes: Attributes,
}

/// A subnet as a user names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum SubnetRef {
    /// By its id.
    Id(String),
    /// By its tag `Name`, in our VPC.
    Name(String),
}

impl SubnetRef {
    /// What the user wrote.
    pub fn text(&self) -> &str {
        match self {
            SubnetRef::Id(text) | SubnetRef::Name(text) => text,
        }
    }
}

/// Addresses of the user's choice, each list empty or as long as the list of subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChosenAddresses {
    /// Elastic IP allocations, one a subnet, in the order of the subnets; internet-facing only.
    pub allocations: Vec<String>,
    /// Private IPv4 addresses, matched to subnets by range; internal only.
    pub private_ipv4: Vec<Ipv4Addr>,
    /// IPv6 addresses, matched to subnets by range; dualstack only.
    pub ipv6: Vec<Ipv6Addr>,
}

/// Reads what concerns the load balancer itself.
pub(super) fn read(reader: &mut Reader<'_>) -> LoadBalancerSpec {
    let ip_address_type = reader.word(key::IP_ADDRESS_TYPE).unwrap_or(IpAddressType::Ipv4);
    let scheme = read_scheme(reader);
    let subnets = read_subnets(reader);
    let addresses = read_addresses(reader, scheme, ip_address_type, subnets.as_deref());
    let (ipv6_source_nat, source_nat_prefixes) = read_source_nat(reader, ip_address_type, subnets.as_deref());
    LoadBalancerSpec {
        name: read_name(reader),
        scheme,
        ip_address_type,
        subnets,
        addresses,
        ipv6_source_nat,
        source_nat_prefixes,
        settings: LoadBalancerSettings::read(reader),
        attributes: read_attributes(reader),
    }
}

/// CreateLoadBalancer: 1 to 32 of `A-Z a-z 0-9 -`, no hyphen at either end, not starting with `internal-`.
fn read_name(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.text(key::NAME)?;
    let problem = if name.is_empty() || name.len() > 32 {
        "is not 1 to 32 characters long"
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        "has characters AWS does not take in a name"
    } else if name.starts_with('-') || name.ends_with('-') || name.starts_with("internal-") {
        "begins or ends as AWS does not allow"
    } else {
        return Some(name.to_owned());
    };
    let allowed =
        "1 to 32 letters, digits and hyphens, no hyphen at either end, not beginning with internal-";
    reader.wrong(key::NAME, name, problem, allowed);
    None
}

/// The scheme annotation counts before the older truth value, as the AWS Load Balancer Controller has it.
fn read_scheme(reader: &mut Reader<'_>) -> Option<Scheme> {
    if reader.text(key::INTERNAL).is_some() {
        reader.deprecated(key::INTERNAL, key::SCHEME);
    }
    if reader.text(key::SCHEME).is_some() {
        return reader.word(key::SCHEME);
    }
    let internal = reader.flag(key::INTERNAL)?;
    Some(if internal { Scheme::Internal } else { Scheme::InternetFacing })
}

fn read_subnets(reader: &mut Reader<'_>) -> Option<Vec<SubnetRef>> {
    let items = reader.list(key::SUBNETS)?;
    if items.is_empty() {
        reader.wrong(key::SUBNETS, "", "names no subnet", "subnet ids or values of their tag Name");
        return None;
    }
    for (i, item) in items.iter().enumerate() {
        if item.starts_with("subnet-") && items[..i].contains(item) {
            reader.wrong(key::SUBNETS, *item, "is named twice", "every subnet once");
        }
    }
    let read = |item: &&str| match item.starts_with("subnet-") {
        true => SubnetRef::Id((*item).to_owned()),
        false => SubnetRef::Name((*item).to_owned()),
    };
    Some(items.iter().map(read).collect())
}

fn read_addresses(
    reader: &mut Reader<'_>,
    scheme: Option<Scheme>,
    ip_address_type: IpAddressType,
    subnets: Option<&[SubnetRef]>,
) -> ChosenAddresses {
    let allocations: Vec<String> =
        reader.list(key::EIP_ALLOCATIONS).unwrap_or_default().iter().map(|id| (*id).to_owned()).collect();
    for (i, id) in allocations.iter().enumerate() {
        if allocations[..i].contains(id) {
            reader.wrong(key::EIP_ALLOCATIONS, id, "is named twice", "every Elastic IP once");
        }
        if !id.starts_with("eipalloc-") {
            reader.wrong(
                key::EIP_ALLOCATIONS,
                id,
                "is not an Elastic IP allocation",
                "ids such as eipalloc-0a1b",
            );
        }
    }
    let private_ipv4: Vec<Ipv4Addr> = reader.parsed_list(key::PRIVATE_IPV4, "IPv4 addresses");
    let ipv6: Vec<Ipv6Addr> = reader.parsed_list(key::IPV6, "IPv6 addresses");
    // Whether an unset scheme suits is known only beside the load balancer that exists: see `desired`.
    if !allocations.is_empty() && scheme == Some(Scheme::Internal) {
        let allowed = "an internet-facing load balancer, or no Elastic IPs";
        reader.wrong(
            key::EIP_ALLOCATIONS,
            allocations.join(","),
            "needs an internet-facing load balancer",
            allowed,
        );
    }
    if !private_ipv4.is_empty() && scheme == Some(Scheme::InternetFacing) {
        let value = reader.text(key::PRIVATE_IPV4).unwrap_or_default();
        reader.wrong(
            key::PRIVATE_IPV4,
            value,
            "needs an internal load balancer",
            "an internal load balancer",
        );
    }
    if !ipv6.is_empty() && ip_address_type != IpAddressType::DualStack {
        let value = reader.text(key::IPV6).unwrap_or_default();
        reader.wrong(key::IPV6, value, "needs a dualstack load balancer", "ip-address-type dualstack");
    }
    for key in [key::EIP_ALLOCATIONS, key::PRIVATE_IPV4, key::IPV6] {
        must_match_subnets(reader, key, subnets);
    }
    ChosenAddresses { allocations, private_ipv4, ipv6 }
}

/// One address a subnet. Where subnets are discovered, the count is checked once they are. Items are counted as they are
/// written: one that does not parse is a mistake already, and no second one.
fn must_match_subnets(reader: &mut Reader<'_>, key: &str, subnets: Option<&[SubnetRef]>) {
    let count = reader.list(key).unwrap_or_default().len();
    if let Some(subnets) = subnets
        && count != 0
        && count != subnets.len()
    {
        let value = reader.text(key).unwrap_or_default();
        let problem = format!("does not match the {} subnets of {}", subnets.len(), key::SUBNETS);
        reader.wrong(key, value, &problem, "one for each subnet");
    }
}

fn read_source_nat(
    reader: &mut Reader<'_>,
    ip_address_type: IpAddressType,
    subnets: Option<&[SubnetRef]>,
) -> (Option<bool>, Vec<SourceNatPrefix>) {
    let switch = reader.switch(key::SOURCE_NAT);
    if switch == Some(true) && ip_address_type != IpAddressType::DualStack {
        reader.wrong(
            key::SOURCE_NAT,
            "on",
            "needs a dualstack load balancer",
            "off, or ip-address-type dualstack",
        );
    }
    let prefixes: Vec<SourceNatPrefix> =
        reader.parsed_list(key::SOURCE_NAT_PREFIXES, "auto_assigned, or /80 prefixes");
    for prefix in &prefixes {
        if let SourceNatPrefix::Prefix(net) = prefix
            && net.prefix_len() != 80
        {
            reader.wrong(
                key::SOURCE_NAT_PREFIXES,
                net.to_string(),
                "is not a /80",
                "auto_assigned, or /80 prefixes",
            );
        }
    }
    if !prefixes.is_empty() && switch != Some(true) {
        let value = reader.text(key::SOURCE_NAT_PREFIXES).unwrap_or_default();
        let problem = format!("needs {} to be on", key::SOURCE_NAT);
        reader.wrong(key::SOURCE_NAT_PREFIXES, value, &problem, "source NAT prefixes switched on");
    }
    must_match_subnets(reader, key::SOURCE_NAT_PREFIXES, subnets);
    (switch, prefixes)
}

/// Older keys count before the attribute map, as the AWS Load Balancer Controller has it.
fn read_attributes(reader: &mut Reader<'_>) -> Attributes {
    let mut attributes = reader.map(key::ATTRIBUTES);
    let routing = "dns_record.client_routing_policy";
    if let Some(policy) = attributes.get(routing) {
        let known =
            ["any_availability_zone", "partial_availability_zone_affinity", "availability_zone_affinity"];
        if !known.contains(&policy.as_str()) {
            let value = format!("{routing}={policy}");
            reader.wrong(key::ATTRIBUTES, value, "is not a routing policy", &known.join(", "));
        }
    }
    for truth in
        ["deletion_protection.enabled", "load_balancing.cross_zone.enabled", "access_logs.s3.enabled"]
    {
        if let Some(value) = attributes.get(truth)
            && value != "true"
            && value != "false"
        {
            reader.wrong(key::ATTRIBUTES, format!("{truth}={value}"), "is not a truth value", "true, false");
        }
    }
    if let Some(enabled) = reader.flag(key::CROSS_ZONE) {
        reader.deprecated(
            key::CROSS_ZONE,
            &format!("{} with load_balancing.cross_zone.enabled", key::ATTRIBUTES),
        );
        attributes.insert("load_balancing.cross_zone.enabled".to_owned(), enabled.to_string());
    }
    if let Some(enabled) = reader.flag(key::ACCESS_LOG_ENABLED) {
        reader.deprecated(key::ACCESS_LOG_ENABLED, &format!("{} with access_logs.s3.*", key::ATTRIBUTES));
        if enabled {
            attributes.insert("access_logs.s3.enabled".to_owned(), "true".to_owned());
            let parts = [
                (key::ACCESS_LOG_BUCKET, "access_logs.s3.bucket"),
                (key::ACCESS_LOG_PREFIX, "access_logs.s3.prefix"),
            ];
            for (key, attribute) in parts {
                if let Some(value) = reader.text(key) {
                    attributes.insert(attribute.to_owned(), value.to_owned());
                }
            }
        }
    }
    if attributes.get("access_logs.s3.enabled").is_some_and(|on| on == "true")
        && attributes.get("access_logs.s3.bucket").is_none_or(String::is_empty)
    {
        let value = "access_logs.s3.enabled=true";
        reader.wrong(key::ATTRIBUTES, value, "names no bucket", "access_logs.s3.bucket beside it");
    }
    attributes
}
