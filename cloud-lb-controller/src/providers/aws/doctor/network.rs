//! Is there a VPC, and are there subnets for load balancers of either scheme in it?

use std::collections::BTreeSet;

use provider_aws::client::{Aws, IpAddressType, RouteTable, Scheme, Subnet, SubnetQuery, Zone};
use provider_aws::error::ApiError;
use provider_aws::subnets::{self, Criteria, DiscoveredSubnets, LeftOut};

use super::super::build::ClusterHints;
use super::super::flags::AwsFlags;
use super::super::rights::unread;
use crate::finding::{Finding, Severity};

const SUBJECT: &str = "subnets";

/// The VPC, if there is one to look into.
pub(super) async fn vpc(flags: &AwsFlags, aws: &Aws, hints: &ClusterHints) -> (Option<String>, Finding) {
    let mend = "give --aws-vpc-id ID";
    let learned = match hints.vpc(flags) {
        Ok(Some(learned)) => learned,
        Ok(None) => {
            let says = "no node tells it yet: it will be that of the first node";
            return (None, Finding::warn("vpc", says, format!("{mend} to check it and its subnets now")));
        }
        Err(error) => return (None, Finding::fail("vpc", error, mend)),
    };
    match aws.vpc(&learned.value).await {
        Ok(Some(vpc)) => (Some(vpc.id.clone()), Finding::ok("vpc", learned.to_string())),
        Ok(None) => {
            let says = format!("there is no {} in this region", learned.value);
            (None, Finding::fail("vpc", says, "correct --aws-vpc-id or --aws-region"))
        }
        Err(error) => (Some(learned.value), unread("vpc", &error)),
    }
}

/// A line for each scheme, and one for each subnet that is meant for load balancers and is not fit for them.
pub(super) async fn subnets(aws: &Aws, vpc: &str, cluster: Option<&str>, default: Scheme) -> Vec<Finding> {
    let query = SubnetQuery { vpc_id: Some(vpc.to_owned()), ..SubnetQuery::default() };
    let read = async || -> Result<_, ApiError> {
        Ok((aws.subnets(&query).await?, aws.zones().await?, aws.route_tables(vpc).await?))
    };
    match read().await {
        Ok((subnets, zones, tables)) => judge(&subnets, &zones, &tables, cluster, default),
        Err(error) => vec![unread(SUBJECT, &error)],
    }
}

fn judge(
    subnets: &[Subnet],
    zones: &[Zone],
    tables: &[RouteTable],
    cluster: Option<&str>,
    default: Scheme,
) -> Vec<Finding> {
    let plain = subnets::discoverable(subnets, zones);
    let mut findings = Vec::new();
    for scheme in [Scheme::Internal, Scheme::InternetFacing] {
        let criteria = Criteria {
            cluster: cluster.unwrap_or_default(),
            scheme,
            ip_address_type: IpAddressType::Ipv4,
            named: None,
            present: &BTreeSet::new(),
        };
        let discovered = subnets::discover(&criteria, &plain, tables);
        findings.push(of_scheme(scheme, subnets::is_any_tagged(scheme, &plain), &discovered, default));
        findings.extend(unfit(scheme, &discovered));
    }
    findings
}

fn of_scheme(scheme: Scheme, tagged: bool, discovered: &DiscoveredSubnets, default: Scheme) -> Finding {
    let tag = format!("{}=1", subnets::role_tag(scheme));
    if discovered.chosen.is_empty() {
        let says = format!("none for {scheme} load balancers");
        let mend = format!("tag one a zone {tag}, or name them in each Service");
        return Finding {
            severity: if scheme == default { Severity::Fail } else { Severity::Warn },
            ..Finding::fail(SUBJECT, says, mend)
        };
    }
    let shown = |s: &Subnet| format!("{} ({}, {} free addresses)", s.id, s.zone, s.available_ipv4);
    let shown = discovered.chosen.iter().map(shown).collect::<Vec<_>>().join(", ");
    match tagged {
        true => Finding::ok(SUBJECT, format!("{scheme}: {shown}, by tag")),
        false => Finding::warn(
            SUBJECT,
            format!("{scheme}: {shown}, by their routes"),
            format!("tag those you mean {tag}"),
        ),
    }
}

/// That another of the same zone is taken is as it should be; all else is worth a line.
fn unfit(scheme: Scheme, discovered: &DiscoveredSubnets) -> impl Iterator<Item = Finding> {
    let unfit = discovered.left_out.iter().filter(|(_, reason)| !matches!(reason, LeftOut::SameZone(_)));
    unfit.map(move |(id, reason)| {
        let mend = match reason {
            LeftOut::TooFull(_) => "free some, or use another subnet",
            _ => "tag it for this cluster, too, if it is meant",
        };
        Finding::warn(SUBJECT, format!("{scheme}: {id} {reason}"), mend)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(id: &str, zone: &str, free: u32, tags: &[(&str, &str)]) -> Subnet {
        let mut subnet = Subnet::new(id, "vpc-1", zone);
        subnet.available_ipv4 = free;
        subnet.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        subnet
    }

    const INTERNAL: (&str, &str) = ("kubernetes.io/role/internal-elb", "1");
    const PUBLIC: (&str, &str) = ("kubernetes.io/role/elb", "");

    fn said(subnets: &[Subnet], default: Scheme) -> Vec<String> {
        judge(subnets, &[], &[], Some("blue"), default).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn subnets_tagged_for_each_scheme_are_well() {
        let subnets = [subnet("subnet-1", "a", 100, &[INTERNAL]), subnet("subnet-2", "a", 8, &[PUBLIC])];
        assert_eq!(
            said(&subnets, Scheme::Internal),
            [
                "ok    subnets        internal: subnet-1 (a, 100 free addresses), by tag",
                "ok    subnets        internet-facing: subnet-2 (a, 8 free addresses), by tag",
            ]
        );
    }

    #[test]
    fn a_scheme_without_subnets_fails_only_where_it_is_the_default() {
        let subnets = [subnet("subnet-1", "a", 100, &[INTERNAL])];
        let warns = "subnets        none for internet-facing load balancers; tag one a zone kubernetes.io/role/elb=1, \
                     or name them in each Service";
        assert_eq!(said(&subnets, Scheme::Internal)[1], format!("warn  {warns}"));
        assert_eq!(said(&subnets, Scheme::InternetFacing)[1], format!("fail  {warns}"));
    }

    #[test]
    fn without_tags_routes_decide_which_is_worth_a_look() {
        let subnets = [subnet("subnet-1", "a", 100, &[])];
        assert_eq!(
            said(&subnets, Scheme::Internal)[0],
            "warn  subnets        internal: subnet-1 (a, 100 free addresses), by their routes; tag those you mean \
             kubernetes.io/role/internal-elb=1"
        );
    }

    #[test]
    fn a_subnet_that_is_meant_and_not_fit_is_named() {
        let other = ("kubernetes.io/cluster/green", "shared");
        let subnets = [
            subnet("subnet-1", "a", 7, &[INTERNAL]),
            subnet("subnet-2", "b", 100, &[INTERNAL, other]),
            subnet("subnet-3", "c", 100, &[INTERNAL]),
            subnet("subnet-4", "c", 100, &[INTERNAL]),
        ];
        let said = said(&subnets, Scheme::Internal);
        assert_eq!(said[0], "ok    subnets        internal: subnet-3 (c, 100 free addresses), by tag");
        assert_eq!(
            said[1],
            "warn  subnets        internal: subnet-1 has 7 free addresses, and a load balancer needs 8; free some, or \
             use another subnet"
        );
        assert_eq!(
            said[2],
            "warn  subnets        internal: subnet-2 is tagged for other clusters only; tag it for this cluster, too, \
             if it is meant"
        );
        assert_eq!(said.len(), 4, "{said:?}");
    }
}
