//! Finds out where a load balancer is to stand: VPC, subnets, nodes, the user's security groups, what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use cloud_provider::{Error, Mistake, Mistakes, NodeSet, Note, NoteKind, ServiceView};

use crate::client::{Aws, Instance, RouteTable, Scheme, SecurityGroupQuery, Subnet, SubnetQuery};
use crate::config::AwsConfig;
use crate::desired::Site;
use crate::failure::general;
use crate::found::Found;
use crate::naming::KUBERNETES_CLUSTER_TAG;
use crate::options::annotation::key;
use crate::options::{Access, Spec};
use crate::subnets::{self, Criteria};
use crate::targets::{self, Chosen};

/// A site, and what was learned on the way.
pub(crate) struct Surveyed {
    pub(crate) site: Site,
    /// Security groups of the nodes that are to let load balancers in.
    pub(crate) node_groups: BTreeSet<String>,
    pub(crate) notes: Vec<Note>,
}

/// Surveys sites for one configuration.
pub(crate) struct Surveyor<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) config: &'a AwsConfig,
    /// The VPC, once it is known.
    pub(crate) vpc: &'a OnceLock<String>,
}

impl Surveyor<'_> {
    /// Where the load balancer of this Service is to stand; none when no node tells the VPC yet.
    pub(crate) async fn survey(
        &self,
        service: &ServiceView,
        spec: &Spec,
        nodes: &NodeSet,
        found: &Found,
    ) -> Result<Option<Surveyed>, Error> {
        let (chosen, instances) = match self.targets(nodes, &spec.node_labels).await? {
            Some(targets) => targets,
            None => return Ok(None),
        };
        let Some(vpc_id) = self.vpc.get().cloned() else { return Ok(None) };
        let present = present(spec, found, self.config);
        let subnets = self.subnets(spec, &vpc_id, &present).await?;
        let given_groups = self.given_groups(spec, &vpc_id).await?;
        let mut notes: Vec<Note> = chosen.note().into_iter().collect();
        notes.extend(self.conflicts(service, spec, &present)?);
        let node_groups = self.node_groups(instances, &chosen).await?;
        let site = Site {
            vpc_id,
            scheme: present.scheme,
            present_name: present.name,
            subnets,
            given_groups,
            without_groups: present.without_groups,
            instances: chosen.instances,
        };
        Ok(Some(Surveyed { site, node_groups, notes }))
    }

    /// Which nodes take traffic, with their instances; none when the VPC is not known yet.
    pub(crate) async fn targets(
        &self,
        nodes: &NodeSet,
        labels: &BTreeMap<String, String>,
    ) -> Result<Option<(Chosen, Vec<Arc<Instance>>)>, Error> {
        let candidates = targets::candidates(nodes, labels);
        let ids: BTreeSet<String> = candidates.instances.keys().cloned().collect();
        let instances = match ids.is_empty() {
            true => BTreeMap::new(),
            false => self.aws.instances(&ids).await.map_err(general)?,
        };
        if self.vpc.get().is_none() {
            let learned = instances.values().find_map(|instance| instance.vpc_id.clone());
            match self.config.vpc_id.clone().or(learned) {
                Some(vpc) => {
                    self.aws.limit_to_vpc(&vpc);
                    self.vpc.get_or_init(|| vpc)
                }
                None => return Ok(None),
            };
        }
        let vpc = self.vpc.get().map(String::as_str).unwrap_or_default();
        let chosen = targets::choose(candidates, &instances, vpc);
        Ok(Some((chosen, instances.into_values().collect())))
    }

    async fn subnets(&self, spec: &Spec, vpc_id: &str, present: &Present) -> Result<Vec<Subnet>, Error> {
        let query = SubnetQuery { vpc_id: Some(vpc_id.to_owned()), ..SubnetQuery::default() };
        let all = self.aws.subnets(&query).await.map_err(general)?;
        let named = spec.load_balancer.subnets.as_deref();
        let criteria = Criteria {
            cluster: &self.config.cluster,
            scheme: present.scheme,
            ip_address_type: spec.load_balancer.ip_address_type,
            named,
            present: &present.subnets,
        };
        if named.is_some() {
            return Ok(subnets::choose(&criteria, &all, &[])?);
        }
        let zones = self.aws.zones().await.map_err(general)?;
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
    async fn node_groups(
        &self,
        instances: Vec<Arc<Instance>>,
        chosen: &Chosen,
    ) -> Result<BTreeSet<String>, Error> {
        if !self.config.manage_backend_rules {
            return Ok(BTreeSet::new());
        }
        let takes_traffic = |instance: &Arc<Instance>| {
            chosen.instances.as_ref().is_some_and(|ids| ids.contains(&instance.id))
        };
        let serving: Vec<Arc<Instance>> = instances.into_iter().filter(takes_traffic).collect();
        let ambiguous: BTreeSet<String> = serving
            .iter()
            .filter(|instance| instance.security_groups.len() > 1)
            .flat_map(|instance| instance.security_groups.iter().cloned())
            .collect();
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

/// What the load balancer that exists settles.
struct Present {
    scheme: Scheme,
    name: Option<String>,
    subnets: BTreeSet<String>,
    without_groups: bool,
    has_groups: bool,
}

/// The Service's word counts first, then what exists, then the configuration: a changed default moves nothing.
fn present(spec: &Spec, found: &Found, config: &AwsConfig) -> Present {
    let found_schemes = found.load_balancers.values().map(|lb| lb.resource.scheme);
    let scheme = spec.load_balancer.scheme.or(found_schemes.min()).unwrap_or(config.default_scheme);
    let same = found.load_balancers.values().find(|lb| lb.resource.scheme == scheme).map(|lb| &lb.resource);
    let groups = same.map(|lb| &lb.security_groups);
    Present {
        scheme,
        name: same.map(|lb| lb.name.clone()),
        subnets: same.iter().flat_map(|lb| lb.zones.iter().map(|zone| zone.subnet_id.clone())).collect(),
        without_groups: groups.is_some_and(BTreeSet::is_empty),
        has_groups: groups.is_some_and(|groups| !groups.is_empty()),
    }
}
