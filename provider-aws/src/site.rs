//! Finds out where a load balancer is to stand: VPC, subnets, nodes, the user's security groups, what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Once, OnceLock};

use cloud_provider::{Error, Mistake, Mistakes, NodeSet, Note, NoteKind, Ordered, ServiceView, some_of};

use crate::client::{Aws, Instance, RouteTable, Scheme, SecurityGroupQuery, Snapshot, Subnet, SubnetQuery};
use crate::config::AwsConfig;
use crate::discovery::{self, DiscoveryError};
use crate::failure::general;
use crate::naming::KUBERNETES_CLUSTER_TAG;
use crate::options::annotation::key;
use crate::options::{Access, Spec};
use crate::shared_groups;
use crate::subnets::{self, Criteria};
use crate::targets::{self, Chosen, NODES_TOLD, TargetNodes};

/// What was found out about where the load balancer is to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The VPC of the nodes.
    pub vpc_id: String,
    /// Where the load balancer is reachable from, once the Service, an existing load balancer and the
    /// configuration have been asked in this order.
    pub scheme: Scheme,
    /// The name of the load balancer of that scheme that exists: names never change.
    pub present_name: Option<String>,
    /// Ids of the subnets it has now.
    pub present_subnets: BTreeSet<String>,
    /// The subnets it is to have, in the user's order or by id.
    pub subnets: Vec<Subnet>,
    /// Ids of the security groups the user named.
    pub given_groups: BTreeSet<String>,
    /// Whether the load balancer that exists was made without a security group, which holds for its life.
    pub without_groups: bool,
    /// Nodes that take traffic; none leaves targets as they are.
    pub nodes: Option<TargetNodes>,
}

/// A site, and what was found on the way.
pub(crate) struct Surveyed {
    pub(crate) site: Site,
    /// Security groups of the nodes that are to let load balancers in.
    pub(crate) node_groups: BTreeSet<String>,
    pub(crate) notes: Vec<Note>,
}

/// Nodes that take traffic, with what EC2 says of all that might.
pub(crate) struct ChosenNodes {
    pub(crate) chosen: Chosen,
    instances: Vec<Arc<Instance>>,
}

/// Why a site cannot be surveyed.
#[derive(Debug)]
pub(crate) enum Unsurveyed {
    /// The VPC is not known: nothing tells it, or its instances disagree.
    NoVpc(Option<DiscoveryError>),
    /// Anything else.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Unsurveyed {
    fn from(error: E) -> Self {
        Unsurveyed::Failed(error.into())
    }
}

/// Surveys sites for one configuration.
pub(crate) struct Surveyor<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) config: &'a AwsConfig,
    /// The VPC, once it is known.
    pub(crate) vpc: &'a OnceLock<String>,
    /// Said once in the life of a process.
    pub(crate) fargate_is_told: &'a Once,
}

impl Surveyor<'_> {
    /// Where the load balancer of this Service is to stand.
    pub(crate) async fn survey(
        &self,
        service: &ServiceView,
        spec: &Spec,
        nodes: &NodeSet,
        found: &Snapshot,
    ) -> Result<Surveyed, Unsurveyed> {
        let nodes = self.nodes(nodes, &spec.node_labels).await?;
        let vpc_id = self.vpc.get().cloned().ok_or(Unsurveyed::NoVpc(None))?;
        let present = present(spec, found, self.config);
        let (subnets, given_groups, node_groups) = futures::try_join!(
            self.subnets(spec, &vpc_id, &present),
            self.given_groups(spec, &vpc_id),
            self.node_groups(&nodes)
        )?;
        let mut notes: Vec<Note> = nodes.chosen.note().into_iter().collect();
        notes.extend(self.conflicts(service, spec, &present)?);
        notes.extend(nodes.chosen.instances.as_ref().and_then(|nodes| outside(nodes, &subnets)));
        let site = Site {
            vpc_id,
            scheme: present.scheme,
            present_name: present.name,
            present_subnets: present.subnets,
            subnets,
            given_groups,
            without_groups: present.without_groups,
            nodes: nodes.chosen.instances,
        };
        Ok(Surveyed { site, node_groups, notes })
    }

    /// Asks for what will be looked at to make something new, all of it at the same time, so that who looks at it finds it
    /// known. What fails here is told by who needs it and asks again.
    pub(crate) async fn look_ahead(&self, nodes: &NodeSet, spec: &Spec) {
        let ids: BTreeSet<String> =
            targets::candidates(nodes, &spec.node_labels).instances.keys().cloned().ordered();
        let instances = async {
            if !ids.is_empty()
                && let Ok(found) = self.aws.instances(&ids).await
            {
                let _unclear = self.learn_vpc(found.values().map(AsRef::as_ref));
            }
        };
        let in_the_vpc = async |vpc_id: &str| {
            let subnets = whole_vpc(vpc_id);
            let zones = async {
                if spec.load_balancer.subnets.is_none() {
                    let _later = self.aws.zones().await;
                }
            };
            let groups = shared_groups::of_cluster(self.aws, &self.config.cluster, Some(vpc_id));
            let _later = futures::join!(self.aws.subnets(&subnets), zones, groups);
        };
        match self.vpc.get() {
            Some(vpc_id) => {
                futures::join!(instances, in_the_vpc(vpc_id));
            }
            None => {
                instances.await;
                if let Some(vpc_id) = self.vpc.get() {
                    in_the_vpc(vpc_id).await;
                }
            }
        }
    }

    /// Which nodes take traffic.
    pub(crate) async fn nodes(
        &self,
        nodes: &NodeSet,
        labels: &BTreeMap<String, String>,
    ) -> Result<ChosenNodes, Unsurveyed> {
        let candidates = targets::candidates(nodes, labels);
        if !candidates.fargate.is_empty() {
            self.fargate_is_told.call_once(|| {
                let count = candidates.fargate.len();
                tracing::info!(count, "nodes of Fargate are no instances, so that they are no targets");
            });
        }
        let ids: BTreeSet<String> = candidates.instances.keys().cloned().ordered();
        let instances = match ids.is_empty() {
            true => BTreeMap::new(),
            false => self.aws.instances(&ids).await.map_err(general)?,
        };
        let vpc = self.learn_vpc(instances.values().map(AsRef::as_ref))?;
        let chosen = targets::choose(candidates, &instances, vpc);
        // What is kept of an instance that does not run is looked up anew the next time: it may be started again.
        self.aws.forget_instances(chosen.in_doubt.iter().map(String::as_str));
        Ok(ChosenNodes { chosen, instances: instances.into_values().collect() })
    }

    /// The VPC, by the one rule there is for it.
    fn learn_vpc<'i>(&self, instances: impl Iterator<Item = &'i Instance>) -> Result<&str, Unsurveyed> {
        if self.vpc.get().is_none() {
            let vpc = discovery::vpc(self.config.vpc_id.as_deref(), None, instances)
                .map_err(|error| Unsurveyed::NoVpc(Some(error)))?;
            let vpc = vpc.ok_or(Unsurveyed::NoVpc(None))?.value;
            self.aws.limit_to_vpc(&vpc);
            let _already = self.vpc.set(vpc);
        }
        self.vpc.get().map(String::as_str).ok_or(Unsurveyed::NoVpc(None))
    }

    async fn subnets(&self, spec: &Spec, vpc_id: &str, present: &Present) -> Result<Vec<Subnet>, Error> {
        let query = whole_vpc(vpc_id);
        let named = spec.load_balancer.subnets.as_deref();
        let criteria = Criteria {
            cluster: &self.config.cluster,
            scheme: present.scheme,
            ip_address_type: spec.load_balancer.ip_address_type,
            named,
            present: &present.subnets,
        };
        if named.is_some() {
            let all = self.aws.subnets(&query).await.map_err(general)?;
            return Ok(subnets::choose(&criteria, &all, &[])?);
        }
        let (all, zones) = futures::try_join!(self.aws.subnets(&query), self.aws.zones()).map_err(general)?;
        let plain = subnets::discoverable(&all, &zones);
        let route_tables: Arc<Vec<RouteTable>> = match subnets::is_any_tagged(present.scheme, &plain) {
            true => Arc::default(),
            false => self.aws.route_tables(vpc_id).await.map_err(general)?,
        };
        Ok(subnets::choose(&criteria, &plain, &route_tables)?)
    }

    /// The user's own groups, by id or by their tag `Name`.
    async fn given_groups(&self, spec: &Spec, vpc_id: &str) -> Result<BTreeSet<String>, Error> {
        let Access::Given { groups, .. } = &spec.security.access else { return Ok(BTreeSet::new()) };
        let query = SecurityGroupQuery { vpc_id: Some(vpc_id.to_owned()), ..SecurityGroupQuery::default() };
        let all = self.aws.security_groups(&query).await.map_err(general)?;
        let mut ids = BTreeSet::new();
        let mut mistakes = Vec::new();
        for wanted in groups {
            match all.iter().find(|group| &group.id == wanted || group.tags.get("Name") == Some(wanted)) {
                Some(group) => {
                    ids.insert(group.id.clone());
                }
                None => mistakes.push(
                    Mistake::in_annotation(key::SECURITY_GROUPS, wanted, format!("is no group of {vpc_id}"))
                        .allowing("ids or Name tags of security groups in the cluster's VPC")
                        .meanwhile("nothing is changed"),
                ),
            }
        }
        match Mistakes::new(mistakes) {
            Some(mistakes) => Err(mistakes.into()),
            None => Ok(ids),
        }
    }

    /// What the Service asks for and a load balancer that exists can never have.
    fn conflicts(&self, service: &ServiceView, spec: &Spec, present: &Present) -> Result<Vec<Note>, Error> {
        let mut notes = Vec::new();
        let mut warn = |reason: &str, message: String| {
            notes.push(Note::new(NoteKind::Warning, reason, message));
        };
        if spec.security.access == Access::Nothing && present.has_groups {
            let value = service.annotations.get(key::NO_SECURITY_GROUP).cloned().unwrap_or_default();
            let problem = "cannot hold for a load balancer that was made with security groups";
            let mistake = Mistake::in_annotation(key::NO_SECURITY_GROUP, value, problem)
                .allowing("false, or a new Service")
                .meanwhile("the load balancer keeps its groups");
            return Err(mistake.into());
        }
        if present.without_groups && spec.security.access != Access::Nothing {
            let message = "the load balancer was made without security groups, which holds for its whole life: who may \
                           connect is not limited by it";
            warn("NoSecurityGroups", message.to_owned());
        }
        if let (Some(wanted), Some(name)) = (&spec.load_balancer.name, &present.name)
            && wanted != name
        {
            let message = format!(
                "{} is not applied: the load balancer {name} exists and cannot be renamed",
                key::NAME
            );
            warn("NameNotApplied", message);
        }
        Ok(notes)
    }

    /// Which group of each node is opened. Their tags are asked for only where a node has several.
    pub(crate) async fn node_groups(&self, nodes: &ChosenNodes) -> Result<BTreeSet<String>, Error> {
        if !self.config.manage_backend_rules {
            return Ok(BTreeSet::new());
        }
        let takes_traffic = |instance: &&Arc<Instance>| {
            nodes.chosen.instances.as_ref().is_some_and(|nodes| nodes.contains_key(&instance.id))
        };
        let serving: Vec<Arc<Instance>> = nodes.instances.iter().filter(takes_traffic).cloned().collect();
        let ambiguous: BTreeSet<String> = serving
            .iter()
            .filter(|instance| instance.security_groups.len() > 1)
            .flat_map(|instance| instance.security_groups.iter().cloned())
            .ordered();
        let mut tagged = BTreeSet::new();
        if !ambiguous.is_empty() {
            let query =
                SecurityGroupQuery { ids: ambiguous.into_iter().collect(), ..SecurityGroupQuery::default() };
            let tag = format!("{KUBERNETES_CLUSTER_TAG}{}", self.config.cluster);
            let groups = self.aws.security_groups(&query).await.map_err(general)?;
            tagged.extend(groups.iter().filter(|g| g.tags.contains_key(&tag)).map(|g| g.id.clone()));
        }
        Ok(targets::node_groups(serving, |id| tagged.contains(id)))
    }
}

/// All subnets of a VPC: one question for all Services.
fn whole_vpc(vpc_id: &str) -> SubnetQuery {
    SubnetQuery { vpc_id: Some(vpc_id.to_owned()), ..SubnetQuery::default() }
}

/// What the load balancer that exists settles.
struct Present {
    scheme: Scheme,
    name: Option<String>,
    subnets: BTreeSet<String>,
    without_groups: bool,
    has_groups: bool,
}

/// The Service's word counts first, then what exists, then the configuration: a changed default moves nothing.
fn present(spec: &Spec, found: &Snapshot, config: &AwsConfig) -> Present {
    let found_schemes = found.load_balancers.values().map(|lb| lb.resource.scheme);
    let scheme = spec.load_balancer.scheme.or(found_schemes.min()).unwrap_or(config.default_scheme);
    let same = found.load_balancers.values().find(|lb| lb.resource.scheme == scheme).map(|lb| &lb.resource);
    let groups = same.map(|lb| &lb.security_groups);
    Present {
        scheme,
        name: same.map(|lb| lb.name.clone()),
        subnets: same.iter().flat_map(|lb| lb.zones.iter().map(|zone| zone.subnet_id.clone())).ordered(),
        without_groups: groups.is_some_and(BTreeSet::is_empty),
        has_groups: groups.is_some_and(|groups| !groups.is_empty()),
    }
}

/// What is said of nodes in zones where the load balancer has no subnet: AWS sends them no traffic (ELB guide,
/// *Availability Zones*).
fn outside(nodes: &TargetNodes, subnets: &[Subnet]) -> Option<Note> {
    let mut by_zone: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes.values().filter(|node| !subnets.iter().any(|subnet| subnet.zone == node.zone)) {
        by_zone.entry(&node.zone).or_default().push(&node.node);
    }
    let tell = |(zone, nodes): (&&str, &Vec<&str>)| format!("{zone}: {}", some_of(nodes, NODES_TOLD, ", "));
    let told: Vec<String> = by_zone.iter().map(tell).collect();
    let message = format!(
        "nodes take no traffic because the load balancer has no subnet in their zone: {}; it gets one by {}, or by the tag \
         kubernetes.io/role/elb or internal-elb on a subnet",
        told.join("; "),
        key::SUBNETS,
    );
    (!told.is_empty()).then(|| Note::new(NoteKind::Warning, "ZoneWithoutSubnet", message))
}
