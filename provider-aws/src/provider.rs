//! The provider: each call a list of named steps.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use cloud_provider::{
    BackendInterest, CloudLoadBalancer, Error, Ingress, Outcome, Owned, Plan, PortStatus, Published, Request,
    ServiceId, ServiceView, WakeupStream,
};

use crate::apply::Applier;
use crate::client::{Aws, LoadBalancer, SecurityGroup, TagFilter, Tags, Target, TargetGroup, in_turn};
use crate::config::AwsConfig;
use crate::failure::{Failure, general, zone_is_leaving};
use crate::found::{Found, FoundResource};
use crate::memory::Memory;
use crate::model::{self, Desired};
use crate::naming::{self, APPLIED_TAG, CLUSTER_TAG, Names, RESOURCE_TAG, UID_TAG};
use crate::observe::{Observer, nodes_source};
use crate::options;
use crate::options::annotation::{PREFIX, key};
use crate::plan::{self, Known};
use crate::site::Surveyor;
use crate::waiting::Waiting;

/// Network Load Balancers, with instances as targets.
///
/// # Guarantees
/// - What the contract of [`CloudLoadBalancer`] asks for.
/// - A Service whose load balancer is as it should be costs no request of its own: the shared view of all load
///   balancers and target groups, with what was last applied noted in a tag, tells.
/// - Deletion protection is never taken off, and nothing without our tags is changed, but for what is adopted.
pub struct AwsProvider {
    pub(crate) aws: Aws,
    pub(crate) config: AwsConfig,
    pub(crate) memory: Memory,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) vpc: OnceLock<String>,
    pub(crate) shared_group: tokio::sync::Mutex<()>,
}

impl AwsProvider {
    /// A provider on this AWS.
    pub fn new(aws: Aws, config: AwsConfig) -> Self {
        let vpc = OnceLock::new();
        if let Some(id) = &config.vpc_id {
            aws.limit_to_vpc(id);
            vpc.get_or_init(|| id.clone());
        }
        AwsProvider {
            aws,
            config,
            memory: Memory::default(),
            waiting: Arc::default(),
            vpc,
            shared_group: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn observer(&self) -> Observer<'_> {
        Observer { aws: &self.aws, config: &self.config }
    }

    pub(crate) fn surveyor(&self) -> Surveyor<'_> {
        Surveyor { aws: &self.aws, config: &self.config, vpc: &self.vpc }
    }

    pub(crate) fn applier<'a>(&'a self, service: &'a ServiceId, known: Known) -> Applier<'a> {
        Applier {
            aws: &self.aws,
            config: &self.config,
            memory: &self.memory,
            shared_group: &self.shared_group,
            service,
            known,
            notes: Vec::new(),
            refused_targets: false,
        }
    }

    /// Targets of one target group, after the nodes changed.
    async fn update_targets(
        &self,
        applier: &mut Applier<'_>,
        target_group: &str,
        wanted: &BTreeSet<Target>,
    ) -> Result<(), Error> {
        let uid = &applier.service.uid;
        let present = match self.memory.targets(uid, target_group) {
            Some(known) => known,
            None => {
                let found = self.aws.target_health(target_group, &[]).await.map_err(general)?;
                let here: BTreeSet<Target> =
                    found.into_iter().filter(|t| !t.state.is_leaving()).map(|t| t.target).collect();
                self.memory.set_targets(uid, self.config.deep_verification, target_group, here.clone());
                here
            }
        };
        let add: Vec<Target> = wanted.difference(&present).cloned().collect();
        let remove: Vec<Target> = present.difference(wanted).cloned().collect();
        if !add.is_empty() {
            applier.register(target_group, &add).await.map_err(failed)?;
        }
        if !remove.is_empty() {
            applier.deregister(target_group, &remove).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Puts our tags on what a load balancer brought along from another controller and does not carry them yet, so
    /// that it is found without the load balancer, too.
    async fn claim_what_came_along(&self, service: &ServiceId, found: &Found) -> Result<(), Error> {
        let names = Names::new(&self.config.cluster, service);
        let theirs = |tg: &FoundResource<TargetGroup>| !tg.tags.contains_key(UID_TAG);
        let arns: Vec<String> =
            found.target_groups.iter().filter(|(_, tg)| theirs(tg)).map(|(arn, _)| arn.clone()).collect();
        self.aws.add_tags(&arns, &names.claim()).await.map_err(general)?;
        if found.load_balancers.values().all(|lb| lb.tags.contains_key(APPLIED_TAG)) {
            return Ok(());
        }
        let groups = self.observer().cluster_groups().await.map_err(general)?;
        let carried =
            |id: &String| found.load_balancers.values().any(|lb| lb.resource.security_groups.contains(id));
        for group in self.observer().frontends(service, found, &groups) {
            if carried(&group.id) && !names.owns(&group.tags) {
                self.aws.create_tags(&[group.id], &names.claim()).await.map_err(general)?;
            }
        }
        Ok(())
    }

    /// Takes down what all Services shared, when no Service is left.
    async fn release_nodes_source(&self, service: &ServiceId, groups: &[SecurityGroup]) -> Result<(), Error> {
        let Some(source) = nodes_source(&self.config.cluster, groups) else { return Ok(()) };
        let _alone = self.shared_group.lock().await;
        let ours = [TagFilter::equals(CLUSTER_TAG, &self.config.cluster), TagFilter::present(UID_TAG)];
        let left = self.aws.tagged(&ours, self.config.snapshot_age).await.map_err(general)?;
        if !left.load_balancers.is_empty() || self.memory.is_anyone_at_work() {
            return Ok(());
        }
        self.applier(service, Known::default()).delete_nodes_source(&source).await.map_err(failed)
    }
}

pub(crate) fn failed(failure: Failure) -> Error {
    match failure {
        Failure::Api(error) => general(error),
        Failure::ZoneIsLeaving(error) => zone_is_leaving(error),
        Failure::NameTaken { kind, name } => {
            Error::transient(format!("the {kind} {name} is somebody else's"))
        }
    }
}

/// The host name in lower case, as both peers publish it, with the ports it serves.
pub(crate) fn published(service: &ServiceView, lb: &LoadBalancer) -> Published {
    let ports = service.ports.iter().map(|port| PortStatus::served(port.port, port.protocol)).collect();
    Published::new([Ingress::hostname(lb.dns_name.to_lowercase()).with_ports(ports)])
}

#[async_trait]
impl CloudLoadBalancer for AwsProvider {
    fn name(&self) -> &str {
        "aws"
    }

    /// By class first. Services without a class are ours only where the class rule says so, and those among them
    /// that an annotation gives to another AWS controller only when adoption is on.
    fn claims(&self, service: &ServiceView) -> bool {
        let by_annotation = service.annotations.get(key::TYPE).map(|value| value.trim());
        let is_anothers = matches!(by_annotation, Some("external" | "nlb" | "nlb-ip"));
        match (&service.class, is_anothers) {
            (None, true) => self.config.adopt && self.config.class.matches(None),
            (class, _) => self.config.class.matches(class.as_deref()),
        }
    }

    fn holds_resources(&self) -> bool {
        true
    }

    fn reads_annotation(&self, key: &str) -> bool {
        key.starts_with(PREFIX)
    }

    /// Nodes, and of their labels those by which the Service chooses its nodes.
    fn backends(&self, service: &ServiceView) -> BackendInterest {
        BackendInterest::nodes().and_node_labels(options::node_labels(service).into_keys())
    }

    /// A load balancer was made, or the VPC became known.
    fn wakeups(&self) -> WakeupStream {
        self.waiting.wakeups(self.aws.clone(), self.config.provisioning_look)
    }

    async fn resume(&self, services: &[Arc<ServiceView>]) -> Result<(), Error> {
        self.memory.inherit(services.iter().filter(|s| s.published.is_empty()).map(|s| s.id.uid.clone()));
        self.aws.snapshot(Duration::ZERO).await.map_err(general)?;
        Ok(())
    }

    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        let found = self.observer().find(&service.id, self.config.snapshot_age).await.map_err(general)?;
        let mut load_balancers: Vec<&Arc<LoadBalancer>> =
            found.load_balancers.values().map(|lb| &lb.resource).collect();
        // While one replaces another, what the status shows is what serves.
        load_balancers.sort_by_key(|lb| {
            let shown = |i: &Ingress| i.hostname.as_ref().is_some_and(|h| *h == lb.dns_name.to_lowercase());
            !service.published.iter().any(shown)
        });
        Ok(load_balancers.first().map(|lb| published(service, lb)))
    }

    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        let uid = &request.service().id.uid;
        let _at_work = self.memory.at_work(uid);
        let outcome = in_turn(self.memory.ticket(uid), self.converge(request)).await;
        if matches!(outcome, Ok(Outcome::Ready(_)) | Err(Error::Invalid(_))) {
            self.memory.give_ticket_back(uid);
        }
        outcome
    }

    /// A Service with a mistake in it keeps its targets up to date all the same, on the node ports they have.
    async fn update_backends(&self, request: &Request) -> Result<(), Error> {
        let service = request.service();
        let _at_work = self.memory.at_work(&service.id.uid);
        let found = self.observer().find(&service.id, self.config.snapshot_age).await.map_err(general)?;
        if found.load_balancers.is_empty() {
            return Ok(());
        }
        let prepared = match self.prepare(request, self.config.snapshot_age).await {
            // What did not parse is missing from the view, and what is missing would be on its way out.
            _ if !service.mistakes.is_empty() => None,
            Ok(Some(prepared)) => Some(prepared),
            Ok(None) => return Ok(()),
            Err(Error::Invalid(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(prepared) = &prepared {
            self.open_new_nodes(request, prepared).await?;
        }
        let instances = match &prepared {
            Some(prepared) => prepared.desired.instances.clone(),
            None => {
                let labels = options::node_labels(service);
                self.surveyor().targets(request.nodes(), &labels).await?.and_then(|(c, _)| c.instances)
            }
        };
        let Some(instances) = instances else { return Ok(()) };
        let mut applier = self.applier(&service.id, Known::default());
        for (arn, found) in &found.target_groups {
            let node_port = prepared.as_ref().and_then(|p| node_port(&p.desired, found));
            // One that is on its way out takes no new nodes.
            if prepared.is_some() && node_port.is_none() {
                continue;
            }
            let port = node_port.unwrap_or(found.resource.port);
            let wanted = instances.iter().map(|id| Target::new(id, port)).collect();
            self.update_targets(&mut applier, arn, &wanted).await?;
        }
        if applier.refused_targets {
            let why: Vec<String> = applier.notes.into_iter().map(|note| note.message).collect();
            return Err(Error::transient(why.join("; ")));
        }
        // The note of it on the load balancer has time until the Service is looked at the next time.
        let digest = model::instances_digest(&instances);
        self.memory.set_registered(&service.id.uid, self.config.deep_verification, Some(digest));
        Ok(())
    }

    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        let found = self.observer().find(service, self.config.snapshot_age).await.map_err(general)?;
        self.claim_what_came_along(service, &found).await?;
        let mut applier = self.applier(service, Known::default());
        for arn in found.load_balancers.keys() {
            self.waiting.no_longer_until_made(arn);
            applier.delete_load_balancer(arn).await.map_err(failed)?;
        }
        for arn in found.target_groups.keys() {
            applier.delete_target_group(arn).await.map_err(failed)?;
        }
        let names = Names::new(&self.config.cluster, service);
        let shared = naming::nodes_source_group(&self.config.cluster);
        let groups = applier.all_groups(&names.frontend_group(), &shared).await.map_err(failed)?;
        let mut unseen = self.memory.made_groups(&service.uid);
        for group in groups.iter().filter(|group| names.owns(&group.tags)) {
            unseen.remove(&group.id);
            applier.delete_group(&group.id).await.map_err(failed)?;
        }
        for id in unseen {
            applier.delete_new_group(&id).await.map_err(failed)?;
        }
        self.memory.forget(&service.uid);
        self.release_nodes_source(service, &groups).await
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let Some(prepared) = self.prepare(request, self.config.snapshot_age).await? else {
            return Ok(Plan::default());
        };
        let planned = self.compare(request.service(), &prepared).await?;
        // A note that is overdue is no difference: what was registered since is known here.
        let only_notes =
            planned.actions.iter().all(|action| matches!(action.what, plan::What::Record { .. }));
        if only_notes && self.is_settled(&request.service().id, &prepared) {
            return Ok(Plan::default());
        }
        Ok(Plan::new(planned.actions.iter().map(plan::Action::step)))
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        let snapshot = self.aws.snapshot(Duration::ZERO).await.map_err(general)?;
        let groups = self.observer().cluster_groups().await.map_err(general)?;
        let cluster = &self.config.cluster;
        let mut owned = Vec::new();
        let mut add = |tags: &Tags, resource: &str, created: Option<i64>| {
            let service = naming::owning_service(cluster, tags);
            owned.extend(service.map(|service| Owned::new(service, resource).created(created)));
        };
        for lb in snapshot.load_balancers.values() {
            let since = lb.resource.created.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
            add(&lb.tags, &lb.resource.arn, since.map(|d| d.as_secs().cast_signed()));
        }
        for tg in snapshot.target_groups.values() {
            add(&tg.tags, &tg.resource.arn, None);
        }
        for group in groups.iter() {
            add(&group.tags, &group.id, None);
        }
        Ok(owned)
    }
}

/// The node port that a target group of the Service should have its targets on.
fn node_port(desired: &Desired, found: &FoundResource<TargetGroup>) -> Option<u16> {
    let resource = found.tags.get(RESOURCE_TAG);
    let same = |wanted: &&model::TargetGroup| {
        wanted.tags.get(RESOURCE_TAG) == resource && wanted.protocol == found.resource.protocol
    };
    desired.target_groups.iter().find(same).map(|wanted| wanted.node_port)
}
