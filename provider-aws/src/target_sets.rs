//! Which targets each target group of a Service has: all nodes where they fit, a fair share where they do not. Pure.
//!
//! AWS limits the targets of a load balancer, of a zone of it and of a target group (*Quotas for your Network Load
//! Balancers*). Each port gets the same number of nodes, so that every listener has targets; nodes are taken in turns
//! from all zones, so that every zone has some. Which nodes a port gets follows from a hash of node and port: when a
//! node comes or goes, at most one target of each port changes, and the ports do not all leave the same nodes out.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Target;
use crate::naming;

/// An instance that takes traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetNode {
    /// The name of its node.
    pub node: String,
    /// Its zone.
    pub zone: String,
}

/// Instances that take traffic, by instance id.
pub type TargetNodes = BTreeMap<String, TargetNode>;

/// How many targets a load balancer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetLimits {
    /// In a target group.
    pub per_group: usize,
    /// Of the load balancer, in one zone.
    pub per_zone: usize,
    /// Of the load balancer.
    pub per_load_balancer: usize,
}

impl TargetLimits {
    /// What AWS allows every account: 1,000 targets a target group, 500 a zone, 3,000 a load balancer, or 500 if it
    /// balances across zones. With `at_most`, which is not 0, so many a load balancer; more than AWS's own number means
    /// that the account's quotas were raised, and then the others are not looked at.
    pub fn new(at_most: usize, across_zones: bool) -> Self {
        let per_load_balancer = if across_zones { 500 } else { 3000 };
        let aws = TargetLimits { per_group: 1000, per_zone: 500, per_load_balancer };
        match at_most {
            0 => aws,
            most if most <= per_load_balancer => TargetLimits { per_load_balancer: most, ..aws },
            most => TargetLimits { per_group: most, per_zone: most, per_load_balancer: most },
        }
    }

    /// What is left for each of so many ports.
    fn shared_by(self, ports: usize) -> Self {
        let ports = ports.max(1);
        TargetLimits {
            per_group: self.per_group.min(self.per_load_balancer / ports).max(1),
            per_zone: (self.per_zone / ports).max(1),
            per_load_balancer: self.per_load_balancer,
        }
    }
}

/// The targets of every target group of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSets {
    /// By the name or ARN that was asked for.
    pub by_group: BTreeMap<String, BTreeSet<Target>>,
    /// How many nodes there are for each port.
    pub nodes: usize,
    /// How many nodes the port with the fewest has.
    pub nodes_a_port: usize,
}

impl TargetSets {
    /// Shares these instances among target groups, given with the port that their targets listen on.
    pub fn share(groups: &BTreeMap<String, u16>, nodes: &TargetNodes, limits: TargetLimits) -> Self {
        let share = limits.shared_by(groups.len());
        let mut by_zone: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for (id, node) in nodes {
            by_zone.entry(&node.zone).or_default().push(id);
        }
        let fits = nodes.len() <= share.per_group && by_zone.values().all(|ids| ids.len() <= share.per_zone);
        let set = |group: &str, port: u16| -> BTreeSet<Target> {
            match fits {
                true => nodes.keys().map(|id| Target::new(id, port)).collect(),
                false => pick(group, &by_zone, share).into_iter().map(|id| Target::new(id, port)).collect(),
            }
        };
        let by_group: BTreeMap<String, BTreeSet<Target>> =
            groups.iter().map(|(group, port)| (group.clone(), set(group, *port))).collect();
        let nodes_a_port = by_group.values().map(BTreeSet::len).min().unwrap_or_default();
        TargetSets { by_group, nodes: nodes.len(), nodes_a_port }
    }

    /// How many nodes are left out at some port.
    pub fn left_out(&self) -> usize {
        if self.by_group.is_empty() { 0 } else { self.nodes - self.nodes_a_port }
    }

    /// The targets of one target group.
    pub fn of(&self, group: &str) -> Option<&BTreeSet<Target>> {
        self.by_group.get(group)
    }

    /// A digest of which instances are registered where.
    pub fn digest(&self) -> String {
        let ids: Vec<&str> = match self.left_out() {
            // All groups have the same; their ports are among the settings.
            0 => {
                self.by_group.values().next().into_iter().flatten().map(|target| target.id.as_str()).collect()
            }
            _ => self.by_group.values().flatten().map(|target| target.id.as_str()).collect(),
        };
        let texts: Vec<&str> = ids.into_iter().flat_map(|id| [id, ","]).collect();
        naming::hex(&texts)[..32].to_owned()
    }
}

/// As many instances as a group may have: from each zone in turn the one whose hash comes first.
fn pick<'i>(group: &str, by_zone: &BTreeMap<&str, Vec<&'i String>>, share: TargetLimits) -> Vec<&'i String> {
    let ranked: Vec<Vec<&String>> = by_zone
        .values()
        .map(|ids| {
            let mut ids = ids.clone();
            ids.sort_by_cached_key(|id| naming::hex(&[id, ":", group]));
            ids.truncate(share.per_zone);
            ids
        })
        .collect();
    let longest = ranked.iter().map(Vec::len).max().unwrap_or_default();
    let in_turns = (0..longest).flat_map(|turn| ranked.iter().filter_map(move |ids| ids.get(turn).copied()));
    in_turns.take(share.per_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(
            sets.by_group.values().all(|set| set.len() == 250),
            "two ports with 250 nodes are 500 targets"
        );
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
}
