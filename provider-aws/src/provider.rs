//! The provider: each call a list of named steps.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use cloud_provider::{
    CloudLoadBalancer, Error, Ingress, Note, Outcome, Owned, Pending, Plan, PortStatus, Published, Ready,
    Request, ServiceId, ServiceView,
};

use crate::apply::{Applied, Applier};
use crate::client::{Aws, LoadBalancer, LoadBalancerState, SecurityGroup, Select, TagFilter, Tags, Target};
use crate::config::AwsConfig;
use crate::desired;
use crate::drift;
use crate::failure::general;
use crate::memory::Memory;
use crate::model::{self, Desired};
use crate::naming::{self, APPLIED_TAG, CLUSTER_TAG, Names, RESOURCE_TAG, TARGETS_TAG, UID_TAG};
use crate::observe::{Found, FoundResource, Observer, nodes_source};
use crate::options::annotation::{PREFIX, key};
use crate::options::{self, Spec};
use crate::plan::{self, Known, Planned, Wait};
use crate::site::{Surveyed, Surveyor};

/// How often one call looks again when the world was not as the plan saw it.
const LOOKS: usize = 4;

/// Network Load Balancers, with instances as targets.
///
/// # Guarantees
/// - What the contract of [`CloudLoadBalancer`] asks for.
/// - A Service whose load balancer is as it should be costs no request of its own: the shared view of all load
///   balancers and target groups, with what was last applied noted in a tag, tells.
/// - Deletion protection is never taken off, and nothing without our tags is changed, but for what is adopted.
pub struct AwsProvider {
    aws: Aws,
    config: AwsConfig,
    memory: Memory,
    vpc: OnceLock<String>,
    shared_group: tokio::sync::Mutex<()>,
}

/// What is known before a plan is made.
struct Prepared {
    found: Found,
    desired: Desired,
    node_groups: BTreeSet<String>,
    notes: Vec<Note>,
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
            vpc,
            shared_group: tokio::sync::Mutex::default(),
        }
    }

    fn observer(&self) -> Observer<'_> {
        Observer { aws: &self.aws, config: &self.config }
    }

    fn surveyor(&self) -> Surveyor<'_> {
        Surveyor { aws: &self.aws, config: &self.config, vpc: &self.vpc }
    }

    fn applier<'a>(&'a self, service: &'a ServiceId, known: Known) -> Applier<'a> {
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

    /// From the Service to what should exist; none when the VPC cannot be told yet.
    async fn prepare(&self, request: &Request, max_age: Duration) -> Result<Option<Prepared>, Error> {
        let service = request.service();
        let parsed = options::parse(service, &self.config)?;
        let mut notes = parsed.notes;
        let found = self.find(service, &parsed.spec, max_age).await?;
        let surveyed = self.surveyor().survey(service, &parsed.spec, request.nodes(), &found).await?;
        let Some(Surveyed { site, node_groups, notes: more }) = surveyed else { return Ok(None) };
        notes.extend(more);
        let desired = desired::build(&service.id, &parsed.spec, &self.config, site)?;
        Ok(Some(Prepared { found, desired, node_groups, notes }))
    }

    /// What is this Service's, or is to be taken over.
    async fn find(&self, service: &ServiceView, spec: &Spec, max_age: Duration) -> Result<Found, Error> {
        let found = self.observer().find(&service.id, max_age).await.map_err(general)?;
        if !self.config.adopt || !found.load_balancers.is_empty() || service.published.is_empty() {
            return Ok(found);
        }
        let mut adopted = self.observer().find_adoptable(service, max_age).await.map_err(general)?;
        // One of another scheme cannot become what is asked for, and is not ours to delete.
        let wanted = spec.load_balancer.scheme;
        adopted.load_balancers.retain(|_, lb| wanted.is_none_or(|scheme| scheme == lb.resource.scheme));
        if adopted.load_balancers.is_empty() {
            return Ok(found);
        }
        adopted.target_groups.extend(found.target_groups);
        Ok(adopted)
    }

    /// Whether the shared view and the notes in it say that nothing is to be done.
    fn is_settled(&self, service: &ServiceId, prepared: &Prepared) -> bool {
        let Prepared { found, desired, .. } = prepared;
        let Some((_, lb)) = found.load_balancers.first_key_value() else { return false };
        let wanted = &desired.load_balancer;
        let instances = desired.instances_digest();
        let registered = self.memory.registered(&service.uid).or_else(|| lb.tags.get(TARGETS_TAG).cloned());
        found.load_balancers.len() == 1
            && found.target_groups.len() == desired.target_groups.len()
            && lb.resource.name == wanted.name
            && lb.resource.state != LoadBalancerState::Failed
            && lb.tags.get(APPLIED_TAG) == Some(&desired.digest())
            && (instances.is_none() || registered == instances)
            && drift::tags(&wanted.tags, &lb.tags).is_empty()
            && drift::subnets(wanted, &lb.resource).is_none()
            && drift::ip_address_type(wanted, &lb.resource).is_none()
            && desired.target_groups.iter().all(|wanted| {
                let resource = wanted.tags.get(RESOURCE_TAG);
                let found = found.target_groups.values().find(|tg| tg.tags.get(RESOURCE_TAG) == resource);
                found.is_some_and(|found| {
                    drift::health_check(&wanted.health_check, &found.resource.health_check).is_empty()
                })
            })
    }

    /// Reads what the shared view does not hold, and compares.
    async fn compare(&self, service: &ServiceView, prepared: &Prepared) -> Result<Planned, Error> {
        let found = prepared.found.clone();
        let observed = self
            .observer()
            .observe(service, &prepared.desired, found, &prepared.node_groups)
            .await
            .map_err(general)?;
        Ok(plan::plan(&prepared.desired, &observed))
    }

    /// Looks, plans and applies until nothing is stale.
    async fn converge(&self, request: &Request) -> Result<Outcome, Error> {
        let service = request.service();
        let uid = &service.id.uid;
        let period = self.config.deep_verification;
        let mut max_age = self.config.snapshot_age;
        for _ in 0..LOOKS {
            let Some(prepared) = self.prepare(request, max_age).await? else { return Ok(no_vpc()) };
            let prepared = self.freshen(&service.id, prepared).await?;
            if self.is_settled(&service.id, &prepared) && !self.memory.is_verification_due(uid, period) {
                self.remember_targets(&service.id, &prepared);
                self.write_notes().await?;
                return self.outcome(service, prepared, BTreeSet::new(), false).await;
            }
            let planned = self.compare(service, &prepared).await?;
            match self.carry_out(service, &prepared, planned).await? {
                Some(done) => return self.report(service, prepared, done).await,
                None => max_age = Duration::ZERO,
            }
        }
        Err(Error::transient("what exists at AWS changes faster than it can be looked at"))
    }

    /// Applies a plan; none when the world was not as the plan saw it.
    async fn carry_out(
        &self,
        service: &ServiceView,
        prepared: &Prepared,
        planned: Planned,
    ) -> Result<Option<Done>, Error> {
        let mut applier = self.applier(&service.id, planned.known);
        if !planned.actions.is_empty() {
            self.memory.doubt_targets(&service.id.uid);
        }
        for action in &planned.actions {
            tracing::debug!(service = %service.id, step = %action.step(), "applying");
            match applier.apply(action).await {
                Ok(Applied::Done) => {}
                Ok(Applied::Stale) => return Ok(None),
                Err(failure) => return Err(failure.for_service(service)),
            }
        }
        let period = self.config.deep_verification;
        if !applier.refused_targets && planned.waits.is_empty() {
            for wanted in &prepared.desired.target_groups {
                let (Some(arn), Some(instances)) =
                    (applier.known.target_groups.get(&wanted.name), &prepared.desired.instances)
                else {
                    continue;
                };
                let targets = instances.iter().map(|id| Target::new(id, wanted.node_port)).collect();
                self.memory.set_targets(&service.id.uid, period, arn, targets);
            }
            self.memory.set_registered(&service.id.uid, period, prepared.desired.instances_digest());
        }
        if prepared.desired.groups.nodes.is_some() {
            prepared.node_groups.iter().for_each(|group| self.memory.opened(group));
        }
        self.memory.verified(&service.id.uid, period);
        Ok(Some(Done {
            waits: planned.waits,
            notes: applier.notes,
            refused_targets: applier.refused_targets,
        }))
    }

    /// What is settled holds the targets it should.
    fn remember_targets(&self, service: &ServiceId, prepared: &Prepared) {
        let Prepared { found, desired, .. } = prepared;
        let Some(instances) = &desired.instances else { return };
        let period = self.config.deep_verification;
        for wanted in &desired.target_groups {
            let resource = wanted.tags.get(RESOURCE_TAG);
            for (arn, tg) in &found.target_groups {
                if tg.tags.get(RESOURCE_TAG) == resource {
                    let targets = instances.iter().map(|id| Target::new(id, wanted.node_port)).collect();
                    self.memory.set_targets(&service.uid, period, arn, targets);
                }
            }
        }
        let digest = desired.instances_digest();
        if let (Some(digest), Some((arn, lb))) = (&digest, found.load_balancers.first_key_value())
            && lb.tags.get(TARGETS_TAG) != Some(digest)
        {
            self.memory.note_due(arn, digest);
        }
        self.memory.set_registered(&service.uid, period, digest);
    }

    /// Notes of registered instances, twenty load balancers a request, so that the next leader need not ask.
    async fn write_notes(&self) -> Result<(), Error> {
        let Some((digest, arns)) = self.memory.take_notes_due() else { return Ok(()) };
        let tags = Tags::from([(TARGETS_TAG.to_owned(), digest)]);
        match self.aws.add_tags(&arns, &tags).await {
            // A load balancer that vanished spoils the request for the others; they get their note another time.
            Err(error) if error.is("LoadBalancerNotFound") => Ok(()),
            result => result.map_err(general),
        }
    }

    async fn report(
        &self,
        service: &ServiceView,
        mut prepared: Prepared,
        done: Done,
    ) -> Result<Outcome, Error> {
        prepared.found =
            self.observer().find(&service.id, self.config.snapshot_age).await.map_err(general)?;
        prepared.notes.extend(done.notes);
        self.outcome(service, prepared, done.waits, done.refused_targets).await
    }

    /// What the controller is told. The host name is published at once: it never changes, and clients that resolve
    /// it early only wait for DNS, as they would after the status (both peers publish while provisioning).
    async fn outcome(
        &self,
        service: &ServiceView,
        prepared: Prepared,
        waits: BTreeSet<Wait>,
        refused_targets: bool,
    ) -> Result<Outcome, Error> {
        let scheme = prepared.desired.load_balancer.scheme;
        let serving = prepared.found.load_balancers.values().find(|lb| lb.resource.scheme == scheme);
        let Some(FoundResource { resource, .. }) = serving else {
            return Err(Error::transient("the load balancer is not to be seen yet"));
        };
        let replaces = waits.contains(&Wait::Replacement);
        let lb = resource.clone();
        let published = published(service, &lb);
        let pending = |reason: &str, why: String, publish: Option<Published>| {
            let after = Some(self.config.provisioning_look);
            let notes = prepared.notes.clone();
            Ok(Outcome::Pending(Pending { reason: reason.to_owned(), why, after, publish, notes }))
        };
        if lb.state == LoadBalancerState::Provisioning {
            let why = format!("AWS is making the load balancer {}", lb.name);
            return pending("Provisioning", why, Some(published).filter(|_| !replaces));
        }
        if replaces {
            let why = format!("{} takes over; the old load balancer goes once clients are told", lb.name);
            return pending("Replacing", why, Some(published));
        }
        if waits.contains(&Wait::Draining) {
            let why = "connections to a target group that is going away are given time to end".to_owned();
            return pending("Draining", why, Some(published));
        }
        if refused_targets {
            let why = "AWS refused some of the nodes as targets; the others serve".to_owned();
            return pending("TargetsRefused", why, Some(published));
        }
        Ok(Outcome::Ready(Ready { published, notes: prepared.notes }))
    }

    /// A load balancer that is being made is asked for anew, which the shared view takes note of. Not in the call
    /// that makes it: that takes AWS minutes.
    async fn freshen(&self, service: &ServiceId, mut prepared: Prepared) -> Result<Prepared, Error> {
        let is_made =
            |lb: &&FoundResource<LoadBalancer>| lb.resource.state == LoadBalancerState::Provisioning;
        let arns: Vec<String> = prepared
            .found
            .load_balancers
            .values()
            .filter(is_made)
            .map(|lb| lb.resource.arn.clone())
            .collect();
        if !arns.is_empty() {
            self.aws.load_balancers(&Select::Arns(arns)).await.map_err(general)?;
            prepared.found =
                self.observer().find(service, self.config.snapshot_age).await.map_err(general)?;
        }
        Ok(prepared)
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

    /// Lets new nodes' security groups be reached, too.
    async fn open_new_nodes(&self, request: &Request, prepared: &Prepared) -> Result<(), Error> {
        let Some(wanted) = &prepared.desired.groups.nodes else { return Ok(()) };
        if self.memory.are_open(&prepared.node_groups) {
            return Ok(());
        }
        let groups = self.observer().cluster_groups().await.map_err(general)?;
        let Some(source) = nodes_source(&self.config.cluster, &groups) else { return Ok(()) };
        let known = Known { nodes_source: Some(source.id.clone()), ..Known::default() };
        let node_groups = self.observer().node_groups(&prepared.node_groups).await.map_err(general)?;
        let mut applier = self.applier(&request.service().id, known);
        for action in plan::open_nodes(wanted, Some(&source.id), &node_groups) {
            applier.apply(&action).await.map_err(failed)?;
        }
        prepared.node_groups.iter().for_each(|group| self.memory.opened(group));
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

/// How a plan was carried out.
struct Done {
    waits: BTreeSet<Wait>,
    notes: Vec<Note>,
    refused_targets: bool,
}

fn failed(failure: crate::failure::Failure) -> Error {
    match failure {
        crate::failure::Failure::Api(error) => general(error),
        crate::failure::Failure::NameTaken { kind, name } => {
            Error::transient(format!("the {kind} {name} is somebody else's"))
        }
    }
}

fn no_vpc() -> Outcome {
    Outcome::Pending(Pending {
        reason: "NoVpc".to_owned(),
        why: "no VPC is configured, and no node that EC2 knows tells it yet".to_owned(),
        after: Some(Duration::from_secs(30)),
        publish: None,
        notes: Vec::new(),
    })
}

/// The host name in lower case, as both peers publish it, with the ports it serves.
fn published(service: &ServiceView, lb: &LoadBalancer) -> Published {
    let ports = service
        .ports
        .iter()
        .map(|port| PortStatus { port: port.port, protocol: port.protocol, error: None })
        .collect();
    let entry = Ingress { ports, ..Ingress::hostname(lb.dns_name.to_lowercase()) };
    Published { ingress: vec![entry], ..Published::default() }
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

    async fn resume(&self, _services: &[Arc<ServiceView>]) -> Result<(), Error> {
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
        let _at_work = self.memory.at_work(&request.service().id.uid);
        self.converge(request).await
    }

    /// A Service with a mistake in it keeps its targets up to date all the same, on the node ports they have.
    async fn update_nodes(&self, request: &Request) -> Result<(), Error> {
        let service = request.service();
        let _at_work = self.memory.at_work(&service.id.uid);
        let found = self.observer().find(&service.id, self.config.snapshot_age).await.map_err(general)?;
        if found.load_balancers.is_empty() {
            return Ok(());
        }
        let prepared = match self.prepare(request, self.config.snapshot_age).await {
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
        let digest = model::instances_digest(&instances);
        if let Some((arn, _)) = found.load_balancers.first_key_value() {
            self.memory.note_due(arn, &digest);
        }
        self.memory.set_registered(&service.id.uid, self.config.deep_verification, Some(digest));
        Ok(())
    }

    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        let found = self.observer().find(service, self.config.snapshot_age).await.map_err(general)?;
        let mut applier = self.applier(service, Known::default());
        for arn in found.load_balancers.keys() {
            applier.delete_load_balancer(arn).await.map_err(failed)?;
        }
        for arn in found.target_groups.keys() {
            applier.delete_target_group(arn).await.map_err(failed)?;
        }
        let names = Names::new(&self.config.cluster, service);
        let shared = naming::nodes_source_group(&self.config.cluster);
        let groups = applier.all_groups(&[names.frontend_group(), shared]).await.map_err(failed)?;
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
        Ok(Plan { steps: planned.actions.iter().map(plan::Action::step).collect() })
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        let snapshot = self.aws.snapshot(Duration::ZERO).await.map_err(general)?;
        let groups = self.observer().cluster_groups().await.map_err(general)?;
        let cluster = &self.config.cluster;
        let mut owned = Vec::new();
        let mut add = |tags: &Tags, resource: &str, created: Option<i64>| {
            let service = naming::owning_service(cluster, tags);
            owned.extend(service.map(|service| Owned { service, resource: resource.to_owned(), created }));
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
fn node_port(desired: &Desired, found: &FoundResource<crate::client::TargetGroup>) -> Option<u16> {
    let resource = found.tags.get(RESOURCE_TAG);
    let same = |wanted: &&model::TargetGroup| {
        wanted.tags.get(RESOURCE_TAG) == resource && wanted.protocol == found.resource.protocol
    };
    desired.target_groups.iter().find(same).map(|wanted| wanted.node_port)
}
