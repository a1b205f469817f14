//! A change of nodes: the targets of one Service follow, and nothing else is touched.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{Error, Ordered, Request, ServiceView};

use crate::client::{LoadBalancer, SecurityGroup, Snapshot, Tagged, Target, Traffic};
use crate::converge::Prepared;
use crate::desired::{Limits, WayToNodes, node_traffic};
use crate::failure::{general, together};
use crate::naming;
use crate::observe::backend_security_group;
use crate::options;
use crate::outcome::told;
use crate::plan::{self, BackendChange, TargetGroupTargets};
use crate::provider::AwsProvider;
use crate::site::Unsurveyed;
use crate::targets::{TargetLimits, TargetNodes, TargetSets};

/// The targets that target groups should have.
struct WantedTargets {
    /// By ARN, each with the Service's port it is for.
    sets: BTreeMap<String, (u16, BTreeSet<Target>)>,
    nodes: TargetNodes,
    limits: Limits,
    /// A digest of them, if they are all that the Service should have.
    digest: Option<String>,
    access: Option<NodeAccess>,
}

/// How the load balancer comes through to its nodes.
struct NodeAccess {
    /// What their security groups must let in.
    traffic: BTreeSet<Traffic>,
    /// Which groups.
    groups: BTreeSet<String>,
}

/// Groups of nodes that are not known to let the load balancers in.
struct Shut {
    /// The backend security group, if it exists.
    source: Option<SecurityGroup>,
    groups: Vec<SecurityGroup>,
}

impl AwsProvider {
    /// A Service with a mistake in it keeps its targets up to date all the same, on the node ports they have, and new nodes
    /// let its load balancer in.
    pub(crate) async fn update(&self, request: &Request) -> Result<(), Error> {
        let service = request.service();
        let max_age = self.config.snapshot_age;
        let found = self.observer().glance(&service.id, max_age).await.map_err(general)?;
        if found.load_balancers.is_empty() {
            return Ok(());
        }
        let prepared = match options::parse(service, &self.config) {
            Ok(parsed) => self.prepare_found(request, &parsed, found.clone()).await,
            // What did not parse is missing from what is asked for, and what is missing would be on its way out.
            Err(mistakes) => Err(mistakes.into()),
        };
        let wanted = match prepared {
            Ok(mut prepared) => {
                if !prepared.desired.explains(&found) {
                    prepared.found = self.observer().find(&service.id, max_age).await.map_err(general)?;
                }
                by_what_should_exist(prepared)
            }
            Err(Unsurveyed::Failed(Error::Invalid(_))) => {
                let found = self.observer().find(&service.id, max_age).await.map_err(general)?;
                self.by_what_exists(request, &found).await?
            }
            Err(Unsurveyed::Failed(error)) => return Err(error),
            Err(Unsurveyed::NoVpc(_)) => return Ok(()),
        };
        match wanted {
            Some(wanted) => self.bring(service, &found.load_balancers, wanted).await,
            None => Ok(()),
        }
    }

    /// The targets of the target groups there are, where what should exist cannot be told. No `ensure` looks for what
    /// somebody else has changed there meanwhile, so that it is done here when it is due.
    async fn by_what_exists(
        &self,
        request: &Request,
        found: &Snapshot,
    ) -> Result<Option<WantedTargets>, Error> {
        let service = request.service();
        let uid = &service.id.uid;
        let labels = options::node_labels(service);
        let all = labels.clone().unwrap_or_default();
        let mut chosen = match self.surveyor().nodes(request.nodes(), &all).await {
            Ok(chosen) => chosen,
            Err(Unsurveyed::NoVpc(_)) => return Ok(None),
            Err(Unsurveyed::Failed(error)) => return Err(error),
        };
        let Some(mut nodes) = chosen.chosen.instances.clone() else { return Ok(None) };
        let is_due = self.memory.verification.is_due(uid);
        if is_due {
            self.memory.doubt(uid);
            self.memory.verification.put_off(uid);
        }
        let mut present = BTreeMap::new();
        for (arn, group) in &found.target_groups {
            let port = naming::port_of_target_group(&group.tags);
            present.insert(arn.clone(), (port, self.present(uid, arn).await?));
        }
        let node_ports: BTreeMap<String, u16> = found
            .target_groups
            .iter()
            .filter_map(|(arn, group)| {
                Some((arn.clone(), node_port(&present.get(arn)?.1, group.resource.port)))
            })
            .ordered();
        // Which nodes are meant cannot be told: those that serve go on, as long as there is one.
        if labels.is_none() {
            let targets = present.values().flat_map(|(_, targets)| targets);
            let serve: BTreeSet<&String> = targets.map(|target| &target.id).ordered();
            if nodes.keys().any(|id| serve.contains(id)) {
                nodes.retain(|id, _| serve.contains(id));
            }
            chosen.chosen.instances = Some(nodes.clone());
        }
        let groups_of_nodes = self.surveyor().node_groups(&chosen).await?;
        let access = self.access_as_found(found, &node_ports, groups_of_nodes).await?;
        if is_due {
            access.iter().flat_map(|access| &access.groups).for_each(|id| self.memory.groups.doubt_open(id));
        }
        let limits = Limits {
            rules_per_group: self.config.rules_per_group,
            targets: TargetLimits::new(self.config.targets_per_service, false),
        };
        let gone = emptied(service, &present);
        let stay = node_ports.into_iter().filter(|(arn, _)| !gone.contains(arn)).ordered();
        let sets = TargetSets::share(&stay, &nodes, limits.targets).by_group;
        let sets = sets.into_iter().map(|(arn, set)| {
            let port = present.get(&arn).and_then(|(port, _)| *port).unwrap_or_default();
            (arn, (port, set))
        });
        Ok(Some(WantedTargets { sets: sets.ordered(), nodes, limits, digest: None, access }))
    }

    /// What these groups of nodes must let in for the load balancer that exists: nothing, unless it carries the backend
    /// security group.
    async fn access_as_found(
        &self,
        found: &Snapshot,
        node_ports: &BTreeMap<String, u16>,
        groups: BTreeSet<String>,
    ) -> Result<Option<NodeAccess>, Error> {
        if groups.is_empty() {
            return Ok(None);
        }
        let of_the_cluster = self.observer().cluster_groups().await.map_err(general)?;
        let source = backend_security_group(&self.config.cluster, &of_the_cluster);
        let carries =
            |id: &String| found.load_balancers.values().any(|lb| lb.resource.security_groups.contains(id));
        if !source.is_some_and(|source| carries(&source.id)) {
            return Ok(None);
        }
        let ways = found.target_groups.iter().map(|(arn, group)| {
            let way = WayToNodes::from(&*group.resource);
            WayToNodes { port: node_ports.get(arn).copied().unwrap_or(way.port), ..way }
        });
        Ok(Some(NodeAccess { traffic: node_traffic(ways, &self.config.node_ports), groups }))
    }

    /// Plans and applies. Refusals of AWS concern their part alone; nodes that serve stay as long as a group of new ones
    /// cannot be opened.
    async fn bring(
        &self,
        service: &ServiceView,
        load_balancers: &BTreeMap<String, Tagged<LoadBalancer>>,
        wanted: WantedTargets,
    ) -> Result<(), Error> {
        let uid = &service.id.uid;
        let mut target_groups = Vec::new();
        for (arn, (port, set)) in wanted.sets {
            let present = self.present(uid, &arn).await?;
            let refused = self.memory.targets.refused(uid, &arn);
            target_groups.push(TargetGroupTargets { arn, port, present, wanted: set, refused });
        }
        let access = wanted.access.as_ref();
        let shut = match access {
            Some(access) => self.shut_groups(access).await?,
            None => None,
        };
        let source = shut.as_ref().and_then(|shut| shut.source.as_ref());
        let open = match (access, source, &shut) {
            (Some(access), Some(source), Some(shut)) => {
                Some((&access.traffic, source, shut.groups.as_slice()))
            }
            _ => None,
        };
        let change = BackendChange { load_balancers, target_groups, open };
        let planned = plan::backends(&change, &wanted.nodes, &wanted.limits);
        let mut applier = self.applier(&service.id, planned.ids);
        let run = applier.run(&planned.actions).await;
        if run.is_stale {
            return Err(Error::transient("the load balancer is not as it was seen a moment ago"));
        }
        if let Some(access) = access {
            self.remember_opened(&access.groups, &access.traffic, &run.failures);
        }
        let errors = run.failures.into_iter().map(|(part, failure)| told(&part, failure, service)).collect();
        if let Some(error) = together(errors) {
            return Err(error);
        }
        if applier.refused_targets {
            let why: Vec<String> = applier.notes.into_iter().map(|note| note.message).collect();
            return Err(Error::transient(why.join("; ")));
        }
        let is_whole = self.memory.targets.until_another_try(uid).is_none();
        self.memory.targets.set_digest(uid, wanted.digest.filter(|_| is_whole));
        Ok(())
    }

    /// The targets that a target group has.
    async fn present(&self, uid: &str, arn: &str) -> Result<BTreeSet<Target>, Error> {
        if let Some(known) = self.memory.targets.registered(uid, arn) {
            return Ok(known);
        }
        let found = self.aws.elbv2().describe_target_health(arn, &[]).await.map_err(general)?;
        let present: BTreeSet<Target> =
            found.into_iter().filter(|t| !t.state.is_leaving()).map(|t| t.target).ordered();
        self.memory.targets.set_registered(uid, arn, present.clone());
        Ok(present)
    }

    /// Those groups of nodes that are not known to let the load balancers in; none when all are.
    async fn shut_groups(&self, access: &NodeAccess) -> Result<Option<Shut>, Error> {
        let is_shut = |id: &&String| !self.memory.groups.is_open(id, &access.traffic);
        let shut: BTreeSet<String> = access.groups.iter().filter(is_shut).cloned().ordered();
        if shut.is_empty() {
            return Ok(None);
        }
        let groups = self.observer().cluster_groups().await.map_err(general)?;
        let source = backend_security_group(&self.config.cluster, &groups);
        let groups = self.observer().node_groups(&shut).await.map_err(general)?.to_vec();
        Ok(Some(Shut { source, groups }))
    }
}

/// The node port that most targets are registered with: the Service may have another one by now than when the target group
/// was made. While targets go from one to the other they are on their way to the new one.
fn node_port(targets: &BTreeSet<Target>, made_with: u16) -> u16 {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for target in targets {
        *counts.entry(target.port).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(port, count)| (*count, *port != made_with));
    most.map_or(made_with, |(port, _)| port)
}

/// Target groups, each with its port and its targets, that were emptied to be deleted: their port is gone, or another one has
/// it.
fn emptied<'p>(
    service: &ServiceView,
    present: &'p BTreeMap<String, (Option<u16>, BTreeSet<Target>)>,
) -> BTreeSet<&'p String> {
    let knows_all_ports = options::knows_all_ports(service);
    let is_asked_for = |number: u16| !knows_all_ports || service.ports.iter().any(|port| port.port == number);
    let is_served =
        |number: u16| present.values().any(|(port, targets)| *port == Some(number) && !targets.is_empty());
    let is_gone = |port: &Option<u16>| port.is_some_and(|number| !is_asked_for(number) || is_served(number));
    present
        .iter()
        .filter(|(_, (port, targets))| targets.is_empty() && is_gone(port))
        .map(|(arn, _)| arn)
        .ordered()
}

/// The targets of the target groups that stay; one that is on its way out takes no new nodes.
fn by_what_should_exist(prepared: Prepared) -> Option<WantedTargets> {
    let Prepared { found, desired, limits, node_groups, .. } = prepared;
    let traffic = desired.groups.nodes.as_ref().map(|nodes| nodes.traffic.clone());
    let access = traffic.map(|traffic| NodeAccess { traffic, groups: node_groups });
    let sets = desired.targets.as_ref()?;
    let targets = desired
        .target_groups_among(&found)
        .filter_map(|(arn, wanted)| Some((arn.clone(), (wanted.port, sets.of(&wanted.name)?.clone()))));
    Some(WantedTargets {
        sets: targets.ordered(),
        nodes: desired.nodes.clone(),
        limits,
        digest: desired.targets_digest(),
        access,
    })
}
