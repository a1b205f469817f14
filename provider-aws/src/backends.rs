//! A change of nodes: the targets of one Service follow, and nothing else is touched.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{Error, Mistakes, Request, ServiceView};

use crate::client::{SecurityGroup, Snapshot, Target};
use crate::converge::Prepared;
use crate::desired::Limits;
use crate::failure::{general, together};
use crate::naming::RESOURCE_TAG;
use crate::observe::backend_security_group;
use crate::options;
use crate::outcome::told;
use crate::plan::{self, BackendChange, Part, TargetGroupTargets};
use crate::provider::AwsProvider;
use crate::site::Unsurveyed;
use crate::targets::{TargetLimits, TargetNodes, TargetSets};

/// The targets that target groups should have.
struct Wanted {
    /// By ARN, each with the Service's port it is for.
    sets: BTreeMap<String, (u16, BTreeSet<Target>)>,
    nodes: TargetNodes,
    limits: Limits,
    /// A digest of them, if they are all that the Service should have.
    digest: Option<String>,
}

/// Groups of nodes that are not known to let the load balancers in.
struct Shut {
    /// The backend security group, if it exists.
    source: Option<SecurityGroup>,
    groups: Vec<SecurityGroup>,
}

impl AwsProvider {
    /// A Service with a mistake in it keeps its targets up to date all the same, on the node ports they have.
    pub(crate) async fn update(&self, request: &Request) -> Result<(), Error> {
        let service = request.service();
        let found = self.observer().find(&service.id, self.config.snapshot_age).await.map_err(general)?;
        if found.load_balancers.is_empty() {
            return Ok(());
        }
        let prepared = match (Mistakes::new(service.mistakes.clone()), options::parse(service, &self.config))
        {
            (None, Ok(parsed)) => self.prepare_found(request, &parsed, found.clone()).await,
            // What did not parse is missing from the view, and what is missing would be on its way out.
            (Some(mistakes), _) | (None, Err(mistakes)) => Err(mistakes.into()),
        };
        let (prepared, wanted) = match prepared {
            Ok(prepared) => {
                let wanted = by_what_should_exist(&prepared);
                (Some(prepared), wanted)
            }
            Err(Unsurveyed::Failed(Error::Invalid(_))) => (None, self.by_what_exists(request, &found).await?),
            Err(Unsurveyed::Failed(error)) => return Err(error),
            Err(Unsurveyed::NoVpc(_)) => return Ok(()),
        };
        match wanted {
            Some(wanted) => self.bring(service, prepared.as_ref(), wanted).await,
            None => Ok(()),
        }
    }

    /// The targets of the target groups there are, where what should exist cannot be told.
    async fn by_what_exists(&self, request: &Request, found: &Snapshot) -> Result<Option<Wanted>, Error> {
        let labels = options::node_labels(request.service());
        let nodes = match self.surveyor().nodes(request.nodes(), &labels).await {
            Ok(nodes) => nodes.chosen.instances,
            Err(Unsurveyed::NoVpc(_)) => None,
            Err(Unsurveyed::Failed(error)) => return Err(error),
        };
        let Some(nodes) = nodes else { return Ok(None) };
        let ports = found.target_groups.iter().map(|(arn, tg)| (arn.clone(), tg.resource.port)).collect();
        let limits = Limits {
            rules_per_group: self.config.rules_per_group,
            targets: TargetLimits::new(self.config.targets_per_service, false),
        };
        let sets = TargetSets::share(&ports, &nodes, limits.targets).by_group;
        let port = |arn: &str| {
            let resource = found.target_groups.get(arn)?.tags.get(RESOURCE_TAG)?;
            resource.rsplit(':').next()?.parse().ok()
        };
        let sets = sets.into_iter().map(|(arn, set)| {
            let port = port(&arn).unwrap_or_default();
            (arn, (port, set))
        });
        Ok(Some(Wanted { sets: sets.collect(), nodes, limits, digest: None }))
    }

    /// Plans and applies. Refusals of AWS concern their part alone; nodes that serve stay as long as a group of new ones
    /// cannot be opened.
    async fn bring(
        &self,
        service: &ServiceView,
        prepared: Option<&Prepared>,
        wanted: Wanted,
    ) -> Result<(), Error> {
        let uid = &service.id.uid;
        let mut target_groups = Vec::new();
        for (arn, (port, set)) in wanted.sets {
            let present = self.present(uid, &arn).await?;
            let refused = self.memory.targets.refused(uid, &arn);
            target_groups.push(TargetGroupTargets { arn, port, present, wanted: set, refused });
        }
        let shut = match prepared {
            Some(prepared) => self.shut_groups(prepared).await?,
            None => None,
        };
        let access = prepared.and_then(|prepared| prepared.desired.groups.nodes.as_ref());
        let source = shut.as_ref().and_then(|shut| shut.source.as_ref());
        let open = match (access, source, &shut) {
            (Some(access), Some(source), Some(shut)) => Some((access, source, shut.groups.as_slice())),
            _ => None,
        };
        let planned = plan::backends(&BackendChange { target_groups, open }, &wanted.nodes, &wanted.limits);
        let mut applier = self.applier(&service.id, planned.ids);
        let run = applier.run(&planned.actions).await;
        if run.is_stale {
            return Err(Error::transient("the load balancer is not as it was seen a moment ago"));
        }
        let has_failed =
            |id: &str| run.failures.iter().any(|(part, _)| *part == Part::NodeGroup(id.to_owned()));
        if let (Some(access), Some(prepared)) = (access, prepared) {
            for group in prepared.node_groups.iter().filter(|id| !has_failed(id)) {
                self.memory.groups.opened(group, access.traffic.iter().cloned());
            }
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
            found.into_iter().filter(|t| !t.state.is_leaving()).map(|t| t.target).collect();
        self.memory.targets.set_registered(uid, arn, present.clone());
        Ok(present)
    }

    /// Those groups of nodes that are not known to let the load balancers in; none when all are.
    async fn shut_groups(&self, prepared: &Prepared) -> Result<Option<Shut>, Error> {
        let Some(access) = &prepared.desired.groups.nodes else { return Ok(None) };
        let is_shut = |id: &&String| !self.memory.groups.is_open(id, &access.traffic);
        let shut: BTreeSet<String> = prepared.node_groups.iter().filter(is_shut).cloned().collect();
        if shut.is_empty() {
            return Ok(None);
        }
        let groups = self.observer().cluster_groups().await.map_err(general)?;
        let source = backend_security_group(&self.config.cluster, &groups);
        let groups = self.observer().node_groups(&shut).await.map_err(general)?.to_vec();
        Ok(Some(Shut { source, groups }))
    }
}

/// The targets of the target groups that stay; one that is on its way out takes no new nodes.
fn by_what_should_exist(prepared: &Prepared) -> Option<Wanted> {
    let Prepared { found, desired, limits, .. } = prepared;
    let sets = desired.targets.as_ref()?;
    let of = |arn: &String| {
        let wanted = desired.target_group_like(found.target_groups.get(arn)?)?;
        Some((arn.clone(), (wanted.port, sets.of(&wanted.name)?.clone())))
    };
    Some(Wanted {
        sets: found.target_groups.keys().filter_map(of).collect(),
        nodes: desired.nodes.clone(),
        limits: *limits,
        digest: desired.targets_digest(),
    })
}
