//! From nodes to targets: which instances take traffic, by the provider IDs of nodes and what EC2 says of them; and which
//! targets each target group has, all of them where they fit, a fair share where they do not. Pure.
//!
//! AWS limits the targets of a load balancer, of a zone of it and of a target group (*Quotas for your Network Load
//! Balancers*). Each port gets the same number of nodes, so that every listener has targets; nodes are taken in turns
//! from all zones, so that every zone has some. Which nodes a port gets follows from a hash of node and port: when a
//! node comes or goes, at most one target of each port changes, and the ports do not all leave the same nodes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_provider::{NodeSet, NodeView, Note, NoteKind, Ordered, some_of};

use crate::client::{Instance, InstanceState, Target};
use crate::naming;

/// Nodes split by whether they can be targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Instance ids of nodes that want to be targets, with the node's name.
    pub instances: BTreeMap<String, String>,
    /// Nodes that are no instance of EC2, with the reason.
    pub refused: BTreeMap<String, String>,
    /// Names of Fargate nodes: no instances by their nature, so that it is nobody's mistake that they take no traffic.
    pub fargate: BTreeSet<String>,
}

/// How many nodes that take no traffic are named; the others are counted.
pub(crate) const NODES_TOLD: usize = 5;

/// EKS user guide, *Fargate*: the label of a node that is one, and its value.
const COMPUTE_TYPE: (&str, &str) = ("eks.amazonaws.com/compute-type", "fargate");

fn is_fargate(node: &NodeView) -> bool {
    node.label(COMPUTE_TYPE.0) == Some(COMPUTE_TYPE.1)
        || node.provider_id.rsplit('/').next().is_some_and(|end| end.starts_with("fargate-"))
}

/// The instance id in a provider ID: `aws:///us-east-1a/i-0abc` or `aws://i-0abc`; none for anything else.
pub fn instance_id(provider_id: &str) -> Option<&str> {
    let id = provider_id.strip_prefix("aws://")?.rsplit('/').next()?;
    let digits = id.strip_prefix("i-")?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(id)
}

/// The nodes that carry all these labels and are instances. One odd node costs nobody else his traffic (the AWS
/// Load Balancer Controller stops altogether: its issues #3685, #3977, #4525).
pub fn candidates(nodes: &NodeSet, labels: &BTreeMap<String, String>) -> Candidates {
    let has_labels =
        |node: &&NodeView| labels.iter().all(|(key, value)| node.label(key) == Some(value.as_str()));
    let mut found = Candidates::default();
    for node in nodes.iter().filter(has_labels) {
        match instance_id(&node.provider_id) {
            Some(id) => {
                found.instances.insert(id.to_owned(), node.name.clone());
            }
            None if is_fargate(node) => {
                found.fargate.insert(node.name.clone());
            }
            None if node.provider_id.is_empty() => {
                found.refused.insert(node.name.clone(), "it has no provider ID yet".to_owned());
            }
            None => {
                let why = format!("its provider ID {:?} is no EC2 instance", node.provider_id);
                found.refused.insert(node.name.clone(), why);
            }
        }
    }
    found
}

/// What came of the candidates once EC2 had described them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Instances to register; none when nodes exist and not one of them can be used, so that targets that are
    /// there are better left alone.
    pub instances: Option<TargetNodes>,
    /// Nodes left out, with the reason.
    pub refused: BTreeMap<String, String>,
    /// Instances that EC2 said something of that may have changed since: gone, or not running.
    pub in_doubt: BTreeSet<String>,
}

impl Chosen {
    /// What the user should read about it.
    pub fn note(&self) -> Option<Note> {
        if self.refused.is_empty() {
            return None;
        }
        let refused = self.refused.iter().map(|(node, why)| format!("{node}: {why}"));
        let message = format!("nodes that take no traffic: {}", some_of(refused, NODES_TOLD, "; "));
        Some(Note::new(NoteKind::Warning, "UnusableNodes", message))
    }
}

/// Checks candidates against their instances: `RegisterTargets` refuses a whole call for one bad target.
///
/// An instance that EC2 does not show is refused; one that is not running yet is, too, and comes with the next
/// change of its node.
pub fn choose(candidates: Candidates, instances: &BTreeMap<String, Arc<Instance>>, vpc_id: &str) -> Chosen {
    let mut chosen = TargetNodes::new();
    let mut refused = candidates.refused;
    let mut in_doubt = BTreeSet::new();
    for (id, node) in candidates.instances {
        let Some(instance) = instances.get(&id) else {
            refused.insert(node, format!("EC2 does not know {id}"));
            continue;
        };
        match unusable(instance, vpc_id) {
            None => {
                chosen.insert(id, TargetNode { node, zone: instance.zone.clone() });
            }
            Some(why) => {
                if !will_run(instance) {
                    in_doubt.insert(id);
                }
                refused.insert(node, why);
            }
        }
    }
    let instances = (!chosen.is_empty() || refused.is_empty()).then_some(chosen);
    Chosen { instances, refused, in_doubt }
}

/// ELB guide, *Register targets*: these types cannot be registered by instance id.
const OLD_FAMILIES: [&str; 14] =
    ["c1", "cc1", "cc2", "cg1", "cg2", "cr1", "cs1", "g1", "g2", "hi1", "hs1", "m1", "m2", "m3"];

fn will_run(instance: &Instance) -> bool {
    matches!(instance.state, InstanceState::Running | InstanceState::Pending)
}

fn unusable(instance: &Instance, vpc_id: &str) -> Option<String> {
    let id = &instance.id;
    let family = instance.instance_type.split('.').next().unwrap_or_default();
    if !will_run(instance) {
        Some(format!("{id} is {}", instance.state))
    } else if instance.vpc_id.as_deref().is_some_and(|vpc| vpc != vpc_id) {
        Some(format!("{id} is in {}, not in {vpc_id}", instance.vpc_id.as_deref().unwrap_or_default()))
    } else if OLD_FAMILIES.contains(&family) || family == "t1" {
        Some(format!("{id} is of type {}, which cannot be a target", instance.instance_type))
    } else {
        None
    }
}

/// The security group of each node that is opened for our load balancers, of those on its first interface: one
/// tagged for this cluster, else the lowest id. The AWS Load Balancer Controller gives up unless exactly one is
/// tagged (its issues #1897, #2367, #2902, #2922).
pub fn node_groups(
    instances: impl IntoIterator<Item = Arc<Instance>>,
    is_for_cluster: impl Fn(&str) -> bool,
) -> BTreeSet<String> {
    instances
        .into_iter()
        .filter_map(|instance| {
            let groups = &instance.security_groups;
            groups.iter().find(|id| is_for_cluster(id)).or_else(|| groups.first()).cloned()
        })
        .ordered()
}

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
                true => nodes.keys().map(|id| Target::new(id, port)).ordered(),
                false => pick(group, &by_zone, share).into_iter().map(|id| Target::new(id, port)).ordered(),
            }
        };
        let by_group: BTreeMap<String, BTreeSet<Target>> =
            groups.iter().map(|(group, port)| (group.clone(), set(group, *port))).ordered();
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
mod tests;
