//! Which nodes become targets, and of which ports.

use cloud_provider::testing::a_node;

use super::*;

fn instance(id: &str, change: impl FnOnce(&mut Instance)) -> (String, Arc<Instance>) {
    let mut instance = Instance {
        id: id.to_owned(),
        state: InstanceState::Running,
        instance_type: "m7g.large".to_owned(),
        zone: "us-east-1a".to_owned(),
        vpc_id: Some("vpc-1".to_owned()),
        subnet_id: Some("subnet-1".to_owned()),
        private_ipv4: None,
        primary_ipv6: None,
        security_groups: vec!["sg-1".to_owned()],
        tags: Default::default(),
    };
    change(&mut instance);
    (id.to_owned(), Arc::new(instance))
}

#[test]
fn an_instance_id_is_the_end_of_an_aws_provider_id() {
    let table = [
        ("aws:///us-east-1a/i-0abc", Some("i-0abc")),
        ("aws://i-0abc", Some("i-0abc")),
        ("aws:///us-east-1a/i-", None),
        ("aws:///us-east-1a/fargate-1", None),
        ("gce://p/z/i-0abc", None),
        ("eks-hybrid:///us-east-1/c/mi-0abc", None),
        ("", None),
    ];
    for (provider_id, id) in table {
        assert_eq!(instance_id(provider_id), id, "{provider_id:?}");
    }
}

#[test]
fn an_odd_node_is_left_out_and_told_while_the_others_serve() {
    let nodes = NodeSet::of([
        a_node("good").provider_id("aws:///a/i-1").build(),
        a_node("young").provider_id("").build(),
        a_node("foreign").provider_id("gce://p/z/x").build(),
        a_node("gone").provider_id("aws:///a/i-2").build(),
        a_node("stopped").provider_id("aws:///a/i-3").build(),
        a_node("elsewhere").provider_id("aws:///a/i-4").build(),
        a_node("old").provider_id("aws:///a/i-5").build(),
    ]);
    let instances = BTreeMap::from([
        instance("i-1", |_| {}),
        instance("i-3", |i| i.state = InstanceState::Stopped),
        instance("i-4", |i| i.vpc_id = Some("vpc-2".to_owned())),
        instance("i-5", |i| i.instance_type = "m3.large".to_owned()),
    ]);
    let chosen = choose(candidates(&nodes, &BTreeMap::new()), &instances, "vpc-1");
    let ids = chosen.instances.clone().map(|nodes| nodes.into_keys().collect::<Vec<_>>());
    assert_eq!(ids, Some(vec!["i-1".to_owned()]));
    assert_eq!(chosen.in_doubt, BTreeSet::from(["i-3".to_owned()]), "it may be started again");
    let why = [
        ("elsewhere", "i-4 is in vpc-2, not in vpc-1"),
        ("foreign", "its provider ID \"gce://p/z/x\" is no EC2 instance"),
        ("gone", "EC2 does not know i-2"),
        ("old", "i-5 is of type m3.large, which cannot be a target"),
        ("stopped", "i-3 is stopped"),
        ("young", "it has no provider ID yet"),
    ];
    assert_eq!(chosen.refused.iter().map(|(n, w)| (n.as_str(), w.as_str())).collect::<Vec<_>>(), why);
    assert!(chosen.note().is_some_and(|note| note.message.contains("and 1 more")));
}

#[test]
fn nodes_of_which_none_can_be_used_leave_targets_alone_and_no_nodes_do_not() {
    let odd = NodeSet::of([a_node("young").provider_id("").build()]);
    let none = BTreeMap::new();
    assert_eq!(choose(candidates(&odd, &none), &BTreeMap::new(), "vpc-1").instances, None);
    let empty = NodeSet::default();
    assert_eq!(
        choose(candidates(&empty, &none), &BTreeMap::new(), "vpc-1").instances,
        Some(TargetNodes::new())
    );
}

#[test]
fn labels_choose_nodes_by_all_of_them() {
    let nodes = NodeSet::of([
        a_node("one").provider_id("aws:///a/i-1").label("pool", "edge").label("arch", "arm").build(),
        a_node("two").provider_id("aws:///a/i-2").label("pool", "edge").build(),
    ]);
    let labels = BTreeMap::from([("pool".into(), "edge".into()), ("arch".into(), "arm".into())]);
    assert_eq!(candidates(&nodes, &labels).instances.into_keys().collect::<Vec<_>>(), ["i-1"]);
}

#[test]
fn the_nodes_group_is_the_tagged_one_else_the_lowest() {
    let groups = |ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        instance("i-1", |i| i.security_groups = ids).1
    };
    let chosen = |ids: &[&str]| node_groups([groups(ids)], |id| id == "sg-2").into_iter().next();
    assert_eq!(chosen(&["sg-1", "sg-2", "sg-3"]).as_deref(), Some("sg-2"));
    assert_eq!(chosen(&["sg-1", "sg-3"]).as_deref(), Some("sg-1"));
    assert_eq!(chosen(&[]), None);
}

#[test]
fn fargate_nodes_are_left_out_without_a_word() {
    let nodes = NodeSet::of([
        a_node("labelled")
            .label("eks.amazonaws.com/compute-type", "fargate")
            .provider_id("aws:///a/x/y")
            .build(),
        a_node("named").provider_id("aws:///us-east-1a/0123-4567/fargate-ip-10-0-0-1.ec2.internal").build(),
        a_node("good").provider_id("aws:///a/i-1").build(),
    ]);
    let candidates = candidates(&nodes, &BTreeMap::new());
    assert_eq!(candidates.fargate.len(), 2);
    let chosen = choose(candidates, &BTreeMap::from([instance("i-1", |_| {})]), "vpc-1");
    assert_eq!(chosen.note(), None);
}

fn nodes(count: usize) -> TargetNodes {
    let node = |i: usize| TargetNode { node: format!("n{i}"), zone: format!("zone-{}", i % 3) };
    (0..count).map(|i| (format!("i-{i:05}"), node(i))).collect()
}

fn ports(count: u16) -> BTreeMap<String, u16> {
    (0..count).map(|i| (format!("group-{i}"), 30000 + i)).collect()
}

#[test]
fn where_all_fit_every_port_has_every_node() {
    let sets = TargetSets::share(&ports(2), &nodes(250), TargetLimits::new(0, true));
    assert!(sets.by_group.values().all(|set| set.len() == 250), "two ports with 250 nodes are 500 targets");
    assert_eq!(sets.left_out(), 0);
}

#[test]
fn where_they_do_not_every_port_has_the_same_number_from_all_zones() {
    let sets = TargetSets::share(&ports(2), &nodes(350), TargetLimits::new(0, true));
    assert_eq!(sets.by_group.values().map(BTreeSet::len).collect::<Vec<_>>(), [250, 250]);
    assert_eq!(sets.left_out(), 100);
    let all = nodes(350);
    for set in sets.by_group.values() {
        for zone in ["zone-0", "zone-1", "zone-2"] {
            let here = set.iter().filter(|target| all[&target.id].zone == zone).count();
            assert!((83..=84).contains(&here), "{here} in {zone}");
        }
    }
}

#[test]
fn the_quotas_of_a_zone_and_of_a_target_group_hold_as_well() {
    let many = TargetSets::share(&ports(1), &nodes(1700), TargetLimits::new(0, false));
    assert_eq!(many.by_group["group-0"].len(), 1000);
    let mut one_zone = nodes(700);
    one_zone.values_mut().for_each(|node| node.zone = "zone-0".to_owned());
    let sets = TargetSets::share(&ports(1), &one_zone, TargetLimits::new(0, false));
    assert_eq!(sets.by_group["group-0"].len(), 500);
}

#[test]
fn an_operator_may_allow_fewer_or_where_the_account_has_them_more() {
    let few = TargetSets::share(&ports(2), &nodes(100), TargetLimits::new(60, false));
    assert!(few.by_group.values().all(|set| set.len() == 30));
    let more = TargetSets::share(&ports(2), &nodes(2500), TargetLimits::new(5000, false));
    assert_eq!(more.left_out(), 0);
}

#[test]
fn a_node_that_comes_changes_at_most_one_target_of_each_port() {
    let limits = TargetLimits::new(60, false);
    let before = TargetSets::share(&ports(2), &nodes(101), limits);
    let after = TargetSets::share(&ports(2), &nodes(102), limits);
    for (group, set) in &before.by_group {
        assert!(after.by_group[group].difference(set).count() <= 1, "{group}");
    }
}

#[test]
fn the_digest_is_of_what_is_registered() {
    let limits = TargetLimits::new(60, false);
    let all = TargetSets::share(&ports(2), &nodes(20), limits).digest();
    assert_eq!(all, TargetSets::share(&ports(1), &nodes(20), limits).digest());
    assert_ne!(all, TargetSets::share(&ports(2), &nodes(21), limits).digest());
    let cut = TargetSets::share(&ports(2), &nodes(100), limits).digest();
    assert_ne!(cut, TargetSets::share(&ports(2), &nodes(100), TargetLimits::new(40, false)).digest());
}
