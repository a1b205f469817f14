//! Which instances take traffic: nodes by their provider ID, checked against what EC2 says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_provider::{NodeSet, NodeView, Note, NoteKind};

use crate::client::{Instance, InstanceState};
use crate::target_sets::{TargetNode, TargetNodes};

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
        let listed: Vec<String> =
            self.refused.iter().take(5).map(|(node, why)| format!("{node}: {why}")).collect();
        let more = match self.refused.len().saturating_sub(5) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("nodes that take no traffic: {}{more}", listed.join("; "));
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
        .collect()
}

#[cfg(test)]
mod tests;
