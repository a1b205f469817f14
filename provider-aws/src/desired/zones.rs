//! Where a load balancer stands: the user's addresses put into the subnets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use cloud_provider::{Mistake, Mistakes, Note, NoteKind, Ordered};

use crate::client::{Scheme, SourceNatPrefix, Subnet, SubnetMapping};
use crate::model::LoadBalancerZone;
use crate::options::LoadBalancerSpec;
use crate::options::annotation::key;
use crate::site::Site;

/// Puts the user's addresses into the subnets: Elastic IPs and prefixes by order, private and IPv6 addresses by
/// the range they lie in.
///
/// Subnets that discovery finds for a load balancer that exists, beside those it has, are taken only if the user's
/// addresses reach that far: somebody who tags a subnet in another zone breaks no Service by it.
pub(super) fn place(
    spec: &LoadBalancerSpec,
    site: &Site,
) -> Result<(Vec<LoadBalancerZone>, Option<Note>), Mistakes> {
    let (subnets, surplus) = usable(spec, site);
    let mut mistakes = Vec::new();
    check_scheme(spec, site.scheme, &mut mistakes);
    check_counts(spec, subnets.len(), &mut mistakes);
    if mistakes.is_empty() {
        check_ranges(spec, &subnets, &mut mistakes);
    }
    if let Some(mistakes) = Mistakes::new(mistakes) {
        return Err(mistakes);
    }
    let zones = subnets.iter().enumerate().map(|(i, subnet)| LoadBalancerZone {
        name: subnet.zone.clone(),
        mapping: SubnetMapping {
            subnet_id: subnet.id.clone(),
            allocation_id: spec.addresses.allocations.get(i).cloned(),
            private_ipv4: private_ipv4(spec, subnet),
            ipv6: ipv6(spec, subnet),
            source_nat_ipv6_prefix: spec.source_nat_prefixes.get(i).copied(),
        },
    });
    Ok((zones.collect(), surplus))
}

/// The subnets to stand in, and what is said of those that were found and are not taken.
fn usable<'s>(spec: &LoadBalancerSpec, site: &'s Site) -> (Vec<&'s Subnet>, Option<Note>) {
    let all: Vec<&Subnet> = site.subnets.iter().collect();
    let counts = counts(spec).map(|(_, count)| count);
    let asked: BTreeSet<usize> = counts.into_iter().filter(|count| *count != 0).ordered();
    if spec.subnets.is_some() || asked.is_empty() || site.present_subnets.is_empty() {
        return (all, None);
    }
    let in_range = |subnet: &Subnet| {
        (spec.addresses.private_ipv4.is_empty() || private_ipv4(spec, subnet).is_some())
            && (spec.addresses.ipv6.is_empty() || ipv6(spec, subnet).is_some())
    };
    if asked.iter().all(|count| *count == all.len()) && all.iter().all(|subnet| in_range(subnet)) {
        return (all, None);
    }
    let (kept, surplus): (Vec<&Subnet>, Vec<&Subnet>) =
        all.into_iter().partition(|subnet| site.present_subnets.contains(&subnet.id));
    let note = (!surplus.is_empty()).then(|| {
        let surplus: Vec<String> = surplus.iter().map(|s| format!("{} in {}", s.id, s.zone)).collect();
        let message = format!(
            "subnets were found that the load balancer does not use, because the Service names addresses for {} subnets \
             only: {}",
            kept.len(),
            surplus.join(", ")
        );
        Note::new(NoteKind::Normal, "SubnetsNotUsed", message)
    });
    (kept, note)
}

fn counts(spec: &LoadBalancerSpec) -> [(&'static str, usize); 4] {
    [
        (key::EIP_ALLOCATIONS, spec.addresses.allocations.len()),
        (key::PRIVATE_IPV4, spec.addresses.private_ipv4.len()),
        (key::IPV6, spec.addresses.ipv6.len()),
        (key::SOURCE_NAT_PREFIXES, spec.source_nat_prefixes.len()),
    ]
}

fn private_ipv4(spec: &LoadBalancerSpec, subnet: &Subnet) -> Option<Ipv4Addr> {
    let range = subnet.ipv4_cidr?;
    spec.addresses.private_ipv4.iter().find(|ip| range.contains(*ip)).copied()
}

fn ipv6(spec: &LoadBalancerSpec, subnet: &Subnet) -> Option<Ipv6Addr> {
    let is_inside = |ip: &&Ipv6Addr| subnet.ipv6_cidrs.iter().any(|range| range.contains(*ip));
    spec.addresses.ipv6.iter().find(is_inside).copied()
}

fn wrong(key: &str, value: String, problem: String, allowed: impl Into<String>) -> Mistake {
    Mistake::in_annotation(key, value, problem).allowing(allowed).meanwhile("nothing is changed")
}

fn check_scheme(spec: &LoadBalancerSpec, scheme: Scheme, mistakes: &mut Vec<Mistake>) {
    let addresses = &spec.addresses;
    if !addresses.allocations.is_empty() && scheme != Scheme::InternetFacing {
        let problem = "needs an internet-facing load balancer".to_owned();
        let value = addresses.allocations.join(",");
        mistakes.push(wrong(key::EIP_ALLOCATIONS, value, problem, "scheme internet-facing"));
    }
    if !addresses.private_ipv4.is_empty() && scheme != Scheme::Internal {
        let value = join(&addresses.private_ipv4);
        let problem = "needs an internal load balancer".to_owned();
        mistakes.push(wrong(key::PRIVATE_IPV4, value, problem, "scheme internal"));
    }
}

fn check_counts(spec: &LoadBalancerSpec, subnets: usize, mistakes: &mut Vec<Mistake>) {
    for (key, count) in counts(spec) {
        if count != 0 && count != subnets {
            let problem = format!("items do not match the {subnets} subnets");
            mistakes.push(wrong(key, count.to_string(), problem, "one for each subnet"));
        }
    }
}

/// One address of each subnet's range, and each prefix out of that of its subnet.
fn check_ranges(spec: &LoadBalancerSpec, subnets: &[&Subnet], mistakes: &mut Vec<Mistake>) {
    let addresses = &spec.addresses;
    for subnet in subnets {
        let problem = || format!("has no address in the range of {}", subnet.id);
        let allowed = "one address out of the range of each subnet";
        if !addresses.private_ipv4.is_empty() && private_ipv4(spec, subnet).is_none() {
            mistakes.push(wrong(key::PRIVATE_IPV4, join(&addresses.private_ipv4), problem(), allowed));
        }
        if !addresses.ipv6.is_empty() && ipv6(spec, subnet).is_none() {
            mistakes.push(wrong(key::IPV6, join(&addresses.ipv6), problem(), allowed));
        }
    }
    for (prefix, subnet) in spec.source_nat_prefixes.iter().zip(subnets) {
        if let SourceNatPrefix::Prefix(prefix) = prefix
            && !subnet.ipv6_cidrs.iter().any(|range| range.contains(prefix))
        {
            let problem =
                format!("is not in the range of {}, the subnet at its place in the list", subnet.id);
            let ranges = join(&subnet.ipv6_cidrs);
            let allowed = format!("auto_assigned, or a /80 in {ranges}");
            mistakes.push(wrong(key::SOURCE_NAT_PREFIXES, prefix.to_string(), problem, allowed));
        }
    }
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
