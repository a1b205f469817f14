//! Which subnets are chosen, by table.

use super::*;

fn subnet(id: &str, zone: &str, tags: &[(&str, &str)]) -> Subnet {
    Subnet {
        id: id.to_owned(),
        vpc_id: "vpc-1".to_owned(),
        zone: zone.to_owned(),
        ipv4_cidr: None,
        ipv6_cidrs: Vec::new(),
        available_ipv4: 100,
        outpost_arn: None,
        tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

const ROLE: (&str, &str) = ("kubernetes.io/role/internal-elb", "1");

fn chosen(present: &[&str], subnets: &[Subnet], tables: &[RouteTable]) -> Result<Vec<String>, String> {
    let present = present.iter().map(|id| (*id).to_owned()).collect();
    let criteria = Criteria {
        cluster: "prod",
        scheme: Scheme::Internal,
        ip_address_type: IpAddressType::Ipv4,
        named: None,
        present: &present,
    };
    ids(choose(&criteria, subnets, tables))
}

fn named(names: &[SubnetRef], subnets: &[Subnet]) -> Result<Vec<String>, String> {
    let present = BTreeSet::new();
    let criteria = Criteria {
        cluster: "prod",
        scheme: Scheme::Internal,
        ip_address_type: IpAddressType::Ipv4,
        named: Some(names),
        present: &present,
    };
    ids(choose(&criteria, subnets, &[]))
}

fn ids(chosen: Result<Vec<Subnet>, Mistakes>) -> Result<Vec<String>, String> {
    chosen.map(|s| s.into_iter().map(|s| s.id).collect()).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn tagged_subnets_are_taken_one_a_zone_this_clusters_first_then_the_lowest_id() {
    let subnets = [
        subnet("subnet-2", "a", &[ROLE]),
        subnet("subnet-1", "a", &[ROLE]),
        subnet("subnet-4", "b", &[ROLE, ("kubernetes.io/cluster/prod", "shared")]),
        subnet("subnet-3", "b", &[ROLE]),
        subnet("subnet-0", "c", &[]),
    ];
    assert_eq!(chosen(&[], &subnets, &[]).unwrap(), ["subnet-1", "subnet-4"]);
}

#[test]
fn subnets_of_other_clusters_and_full_ones_are_left_out_and_counted_when_none_is_left() {
    let mut full = subnet("subnet-2", "b", &[ROLE]);
    full.available_ipv4 = 7;
    let subnets = [subnet("subnet-1", "a", &[ROLE, ("kubernetes.io/cluster/test", "owned")]), full];
    let problem = chosen(&[], &subnets, &[]).unwrap_err();
    assert!(problem.contains("of 2 for internal"), "{problem}");
    assert!(problem.contains("1 are tagged for other clusters, 1 have fewer"), "{problem}");
}

#[test]
fn without_tags_routes_tell_private_subnets_from_public_ones() {
    let table = |subnets: &[&str], gateway: &str, main: bool| RouteTable {
        id: format!("rtb-{gateway}"),
        vpc_id: "vpc-1".to_owned(),
        main,
        subnet_ids: subnets.iter().map(|id| (*id).to_owned()).collect(),
        gateway_ids: vec![gateway.to_owned()],
    };
    let subnets = [subnet("subnet-1", "a", &[]), subnet("subnet-2", "b", &[])];
    let tables = [table(&["subnet-2"], "local", false), table(&[], "igw-1", true)];
    assert_eq!(chosen(&[], &subnets, &tables).unwrap(), ["subnet-2"]);
}

#[test]
fn what_serves_keeps_its_subnets_and_gains_new_zones() {
    let subnets =
        [subnet("subnet-1", "a", &[ROLE]), subnet("subnet-2", "a", &[]), subnet("subnet-3", "b", &[ROLE])];
    assert_eq!(chosen(&["subnet-2"], &subnets, &[]).unwrap(), ["subnet-2", "subnet-3"]);
}

#[test]
fn named_subnets_keep_their_order_and_a_repeated_name_takes_the_next() {
    let subnets = [
        subnet("subnet-1", "a", &[("Name", "x")]),
        subnet("subnet-2", "b", &[("Name", "x")]),
        subnet("subnet-3", "c", &[]),
    ];
    let x = || SubnetRef::Name("x".to_owned());
    let by_id = SubnetRef::Id("subnet-3".to_owned());
    assert_eq!(named(&[by_id, x(), x()], &subnets).unwrap(), ["subnet-3", "subnet-1", "subnet-2"]);
    assert!(named(&[x(), x(), x()], &subnets).unwrap_err().contains("is no subnet"));
}

#[test]
fn two_subnets_of_one_zone_are_a_mistake() {
    let subnets = [subnet("subnet-1", "a", &[]), subnet("subnet-2", "a", &[])];
    let both = [SubnetRef::Id("subnet-1".to_owned()), SubnetRef::Id("subnet-2".to_owned())];
    assert!(named(&both, &subnets).unwrap_err().contains("is in zone a, as subnet-1 is"));
}

#[test]
fn what_is_quoted_of_a_subnet_is_what_the_user_wrote() {
    let subnets = [subnet("subnet-1", "a", &[("Name", "x")]), subnet("subnet-2", "a", &[("Name", "y")])];
    let names = ["x", "y"].map(|name| SubnetRef::Name(name.to_owned()));
    let told = named(&names, &subnets).unwrap_err();
    assert!(told.contains("subnets]: \"y\" is subnet-2, which is in zone a, as subnet-1 is"), "{told}");
    let present = BTreeSet::from(["subnet-1".to_owned()]);
    let criteria = Criteria {
        cluster: "prod",
        scheme: Scheme::Internal,
        ip_address_type: IpAddressType::DualStack,
        named: None,
        present: &present,
    };
    let told = ids(choose(&criteria, &subnets, &[])).unwrap_err();
    assert!(told.contains("ip-address-type]: \"dualstack\" needs an IPv6 range in subnet-1"), "{told}");
    assert!(!told.contains("-subnets]"), "nobody wrote it: {told}");
}
