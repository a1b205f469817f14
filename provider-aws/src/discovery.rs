//! What a configuration may leave open: the VPC and the cluster's name, found out from what AWS knows.
//!
//! Both are part of what a controller does for its whole life, so they are decided once, at the start, and never
//! guessed: where the hints disagree, the answer is an error that says so.
//!
//! These are plain functions. Who starts a provider asks for the hints: [`InstanceMetadata::read`] for the instance
//! it runs on, and [`Aws::instances`](crate::client::Aws::instances) for the instances of the nodes.

use std::collections::BTreeMap;
use std::fmt;

use cloud_provider::some_of;

use crate::client::{Instance, InstanceMetadata, Tags};
use crate::naming::KUBERNETES_CLUSTER_TAG;

/// Something that was found out, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// What.
    pub value: String,
    /// How.
    pub from: Origin,
}

impl fmt::Display for Discovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.value, self.from)
    }
}

/// How something was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator says so.
    Configured,
    /// The metadata service of this instance says so.
    Metadata(String),
    /// What EC2 tells of this instance, which is a node or the one this process runs on, says so.
    Instance(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("as configured"),
            Self::Metadata(id) => write!(f, "from the metadata of {id}, on which this process runs"),
            Self::Instance(id) => write!(f, "from the instance {id}"),
        }
    }
}

/// How many instances are named; the others are counted.
const MAX_SHOWN: usize = 3;

/// Why something was not found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// There is nothing to tell.
    #[error(
        "no instance tells the {what}: this process does not run on one that says so, and no node has the provider ID \
         of one"
    )]
    NoInstance {
        /// What is missing.
        what: &'static str,
    },
    /// The instances do not say.
    #[error(
        "no tag kubernetes.io/cluster/NAME=owned or eks:cluster-name on {} tells the cluster's name",
        some_of(instances, MAX_SHOWN, ", ")
    )]
    Untagged {
        /// Which were looked at.
        instances: Vec<String>,
    },
    /// They say different things.
    #[error("instances tell several {what}s: {}", listed(found))]
    Ambiguous {
        /// What is error.
        what: &'static str,
        /// Each answer, with the first instance that gives it.
        found: BTreeMap<String, String>,
    },
}

fn listed(found: &BTreeMap<String, String>) -> String {
    found.iter().map(|(value, id)| format!("{value} ({id})")).collect::<Vec<_>>().join(", ")
}

/// The VPC: the configured one, else that of the instance this process runs on, else the one that all nodes are in.
/// None as long as there are no nodes to tell.
///
/// # Errors
/// [`DiscoveryError::Ambiguous`] when the nodes are in several.
pub fn vpc<'a>(
    configured: Option<&str>,
    here: Option<&InstanceMetadata>,
    nodes: impl IntoIterator<Item = &'a Instance>,
) -> Result<Option<Discovered>, DiscoveryError> {
    if let Some(id) = configured {
        return Ok(Some(Discovered { value: id.to_owned(), from: Origin::Configured }));
    }
    if let Some(here) = here
        && let Some(id) = &here.vpc_id
    {
        let from = Origin::Metadata(here.instance_id.clone());
        return Ok(Some(Discovered { value: id.clone(), from }));
    }
    let told = nodes.into_iter().filter_map(|node| Some((node.vpc_id.clone()?, node.id.clone())));
    only_one("VPC", told)
}

/// The cluster's name: the configured one, else the one that the tags of all these instances agree on.
///
/// The tags are those by which Kubernetes' AWS provider knows a cluster's instances
/// (`kubernetes.io/cluster/NAME` with the value `owned`) and those that EKS and Karpenter put on theirs. An instance
/// without any says nothing.
///
/// # Errors
/// [`DiscoveryError`]: nothing tells, or there are several names.
pub fn cluster_name<'a>(
    configured: Option<&str>,
    instances: impl IntoIterator<Item = &'a Instance>,
) -> Result<Discovered, DiscoveryError> {
    if let Some(name) = configured {
        return Ok(Discovered { value: name.to_owned(), from: Origin::Configured });
    }
    let mut looked_at = Vec::new();
    let mut told = Vec::new();
    for instance in instances {
        looked_at.push(instance.id.clone());
        told.extend(names(&instance.tags).map(|name| (name.to_owned(), instance.id.clone())));
    }
    match only_one("cluster name", told)? {
        Some(learned) => Ok(learned),
        None if looked_at.is_empty() => Err(DiscoveryError::NoInstance { what: "cluster's name" }),
        None => Err(DiscoveryError::Untagged { instances: looked_at }),
    }
}

/// Tags whose value is the name of the cluster: EKS's of managed node groups and of what they launch, Karpenter's.
const NAME_TAGS: [&str; 3] = ["eks:cluster-name", "aws:eks:cluster-name", "eks:eks-cluster-name"];

fn names(tags: &Tags) -> impl Iterator<Item = &str> {
    let owned = tags.iter().filter(|(_, value)| *value == "owned");
    let owned = owned.filter_map(|(key, _)| key.strip_prefix(KUBERNETES_CLUSTER_TAG));
    let named = NAME_TAGS.iter().filter_map(|key| tags.get(*key)).map(String::as_str);
    owned.chain(named).filter(|name| !name.is_empty())
}

fn only_one(
    what: &'static str,
    told: impl IntoIterator<Item = (String, String)>,
) -> Result<Option<Discovered>, DiscoveryError> {
    let mut found = BTreeMap::new();
    for (value, id) in told {
        found.entry(value).or_insert(id);
    }
    if found.len() > 1 {
        return Err(DiscoveryError::Ambiguous { what, found });
    }
    Ok(found.into_iter().next().map(|(value, id)| Discovered { value, from: Origin::Instance(id) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::InstanceState;

    fn instance(id: &str, vpc_id: Option<&str>, tags: &[(&str, &str)]) -> Instance {
        Instance {
            id: id.to_owned(),
            state: InstanceState::Running,
            instance_type: "m7g.large".to_owned(),
            zone: "us-east-1a".to_owned(),
            vpc_id: vpc_id.map(str::to_owned),
            subnet_id: None,
            private_ipv4: None,
            primary_ipv6: None,
            security_groups: Vec::new(),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn tagged(id: &str, tags: &[(&str, &str)]) -> Instance {
        instance(id, Some("vpc-a"), tags)
    }

    const OWNED: (&str, &str) = ("kubernetes.io/cluster/blue", "owned");

    #[test]
    fn the_name_is_the_configured_one_whatever_the_instances_say() {
        let learned = cluster_name(Some("green"), &[tagged("i-1", &[OWNED])]).unwrap();
        assert_eq!((learned.value.as_str(), learned.from), ("green", Origin::Configured));
    }

    #[test]
    fn every_tag_that_tells_a_cluster_is_read() {
        for tag in [
            OWNED,
            ("eks:cluster-name", "blue"),
            ("aws:eks:cluster-name", "blue"),
            ("eks:eks-cluster-name", "blue"),
        ] {
            let instances = [tagged("i-1", &[]), tagged("i-2", &[("Name", "worker"), tag])];
            let learned = cluster_name(None, &instances).unwrap_or_else(|error| panic!("{tag:?}: {error}"));
            assert_eq!((learned.value.as_str(), learned.from), ("blue", Origin::Instance("i-2".into())));
        }
    }

    #[test]
    fn tags_that_agree_are_one_name() {
        let instances = [tagged("i-1", &[OWNED, ("eks:cluster-name", "blue")]), tagged("i-2", &[OWNED])];
        assert_eq!(cluster_name(None, &instances).unwrap().value, "blue");
    }

    #[test]
    fn a_name_that_is_not_clear_is_an_error_that_says_why() {
        let shared = ("kubernetes.io/cluster/blue", "shared");
        let green = ("kubernetes.io/cluster/green", "owned");
        let table: [(&[Instance], &str); 5] = [
            (&[], "no instance tells the cluster's name: "),
            (
                &[tagged("i-1", &[])],
                "no tag kubernetes.io/cluster/NAME=owned or eks:cluster-name on i-1 tells the cluster's name",
            ),
            (
                &[tagged("i-1", &[shared])],
                "no tag kubernetes.io/cluster/NAME=owned or eks:cluster-name on i-1 ",
            ),
            (
                &[tagged("i-1", &[OWNED, green])],
                "instances tell several cluster names: blue (i-1), green (i-1)",
            ),
            (
                &[tagged("i-1", &[OWNED]), tagged("i-2", &[green])],
                "instances tell several cluster names: blue (i-1), green (i-2)",
            ),
        ];
        for (instances, says) in table {
            let error = cluster_name(None, instances).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn many_instances_without_a_tag_are_named_in_part() {
        let instances = ["i-1", "i-2", "i-3", "i-4"].map(|id| tagged(id, &[]));
        let error = cluster_name(None, &instances).unwrap_err().to_string();
        assert!(error.contains(" on i-1, i-2, i-3 and 1 more tells "), "{error}");
    }

    #[test]
    fn the_vpc_is_the_configured_one_then_ours_then_the_nodes() {
        let here = InstanceMetadata { instance_id: "i-0".into(), vpc_id: Some("vpc-here".into()) };
        let silent = InstanceMetadata { instance_id: "i-0".into(), vpc_id: None };
        let nodes = [instance("i-1", None, &[]), instance("i-2", Some("vpc-nodes"), &[])];
        let told = |configured, here, nodes: &[Instance]| {
            vpc(configured, here, nodes).unwrap().map(|l| l.to_string())
        };
        for (configured, here, nodes, expected) in [
            (Some("vpc-given"), Some(&here), &nodes[..], Some("vpc-given, as configured")),
            (
                None,
                Some(&here),
                &nodes[..],
                Some("vpc-here, from the metadata of i-0, on which this process runs"),
            ),
            (None, Some(&silent), &nodes[..], Some("vpc-nodes, from the instance i-2")),
            (None, None, &nodes[..], Some("vpc-nodes, from the instance i-2")),
            (None, None, &[], None),
        ] {
            assert_eq!(told(configured, here, nodes).as_deref(), expected);
        }
    }

    #[test]
    fn nodes_in_several_vpcs_are_an_error_that_names_them() {
        let nodes = [instance("i-1", Some("vpc-b"), &[]), instance("i-2", Some("vpc-a"), &[])];
        let error = vpc(None, None, &nodes).unwrap_err().to_string();
        assert_eq!(error, "instances tell several VPCs: vpc-a (i-2), vpc-b (i-1)");
    }
}
