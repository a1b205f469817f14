//! Brings what exists to what should, for one Service: look, compare, apply, and say what came of it.

use std::collections::BTreeSet;
use std::time::Duration;

use cloud_provider::{Error, Note, Outcome, Pending, Published, Ready, Request, ServiceId, ServiceView};

use crate::adoption;
use crate::apply::Applied;
use crate::client::{LoadBalancer, LoadBalancerState, Select, Tags, Target};
use crate::desired;
use crate::drift;
use crate::failure::general;
use crate::found::{Found, FoundResource};
use crate::model::Desired;
use crate::naming::{APPLIED_TAG, RESOURCE_TAG, TARGETS_TAG};
use crate::observe::nodes_source;
use crate::options::{self, Spec};
use crate::placement;
use crate::plan::{self, Known, Planned, Wait};
use crate::provider::{AwsProvider, failed, published};
use crate::site::Surveyed;

/// How often one call looks again when the world was not as the plan saw it.
const LOOKS: usize = 4;

/// What is known before a plan is made.
pub(crate) struct Prepared {
    pub(crate) found: Found,
    pub(crate) desired: Desired,
    pub(crate) node_groups: BTreeSet<String>,
    pub(crate) notes: Vec<Note>,
}

/// How a plan was carried out.
struct Done {
    waits: BTreeSet<Wait>,
    notes: Vec<Note>,
    refused_targets: bool,
}

impl AwsProvider {
    /// Lets new nodes' security groups be reached, too.
    pub(crate) async fn open_new_nodes(&self, request: &Request, prepared: &Prepared) -> Result<(), Error> {
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

    /// From the Service to what should exist; none when the VPC cannot be told yet.
    pub(crate) async fn prepare(
        &self,
        request: &Request,
        max_age: Duration,
    ) -> Result<Option<Prepared>, Error> {
        let service = request.service();
        let parsed = options::parse(service, &self.config)?;
        let mut notes = parsed.notes;
        let found = self.find(service, &parsed.spec, max_age).await?;
        let surveyed = self.surveyor().survey(service, &parsed.spec, request.nodes(), &found).await?;
        let Some(Surveyed { site, node_groups, notes: more }) = surveyed else { return Ok(None) };
        notes.extend(more);
        let desired = desired::build(&service.id, &parsed.spec, &self.config, site)?;
        for FoundResource { resource, tags } in found.load_balancers.values() {
            if resource.scheme == desired.load_balancer.scheme {
                let is_applied = tags.get(APPLIED_TAG) == Some(&desired.digest());
                let moves = placement::moves(&desired.load_balancer, resource, is_applied);
                moves.map_err(|only_zone| only_zone.mistake())?;
            }
        }
        Ok(Some(Prepared { found, desired, node_groups, notes }))
    }

    /// What is this Service's, or is to be taken over.
    async fn find(&self, service: &ServiceView, spec: &Spec, max_age: Duration) -> Result<Found, Error> {
        let mut found = self.observer().find(&service.id, max_age).await.map_err(general)?;
        if found.load_balancers.is_empty() {
            let tagged = self.observer().tagged_for(&service.id, max_age).await.map_err(general)?;
            let theirs = adoption::choose(service, spec, &self.config, tagged)?;
            found.load_balancers = theirs.load_balancers;
            found.target_groups.extend(theirs.target_groups);
        }
        Ok(found)
    }

    /// Whether the shared view and the notes in it say that nothing is to be done.
    pub(crate) fn is_settled(&self, service: &ServiceId, prepared: &Prepared) -> bool {
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
            && placement::difference(wanted, &lb.resource, true).is_none()
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
    pub(crate) async fn compare(&self, service: &ServiceView, prepared: &Prepared) -> Result<Planned, Error> {
        let found = prepared.found.clone();
        let observed = self
            .observer()
            .observe(service, &prepared.desired, found, &prepared.node_groups)
            .await
            .map_err(general)?;
        Ok(plan::plan(&prepared.desired, &observed))
    }

    /// Looks, plans and applies until nothing is stale.
    pub(crate) async fn converge(&self, request: &Request) -> Result<Outcome, Error> {
        let service = request.service();
        let uid = &service.id.uid;
        let period = self.config.deep_verification;
        let mut max_age = self.config.snapshot_age;
        for _ in 0..LOOKS {
            let Some(prepared) = self.prepare(request, max_age).await? else {
                self.waiting.for_the_vpc(&service.id.key);
                return Ok(no_vpc());
            };
            self.waiting.vpc_is_known(&service.id.key);
            let prepared = self.freshen(&service.id, prepared).await?;
            if self.is_settled(&service.id, &prepared) && !self.memory.is_verification_due(uid, period) {
                self.remember_targets(&service.id, &prepared);
                self.note_registered(&prepared).await?;
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
        self.memory.set_registered(&service.uid, period, desired.instances_digest());
    }

    /// Notes on what is settled which instances are registered, so that the next leader need not ask for each target
    /// group. AWS tags one resource a request: a note a Service would double what a node that joins costs, so that it is
    /// written once for all nodes that came and went since the Service was looked at the last time.
    async fn note_registered(&self, prepared: &Prepared) -> Result<(), Error> {
        let Some(digest) = prepared.desired.instances_digest() else { return Ok(()) };
        let Some((arn, lb)) = prepared.found.load_balancers.first_key_value() else { return Ok(()) };
        if lb.tags.get(TARGETS_TAG) == Some(&digest) {
            return Ok(());
        }
        let tags = Tags::from([(TARGETS_TAG.to_owned(), digest)]);
        self.aws.add_tags(std::slice::from_ref(arn), &tags).await.map_err(general)
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
            // It is woken when the load balancer is made; this is for the case that nobody listens.
            let patience = if lb.state == LoadBalancerState::Provisioning { 4 } else { 1 };
            let pending = Pending::new(reason, why)
                .look_again_after(self.config.provisioning_look * patience)
                .with_notes(prepared.notes.clone());
            Ok(Outcome::Pending(match publish {
                Some(published) => pending.publishing(published),
                None => pending,
            }))
        };
        if lb.state == LoadBalancerState::Provisioning {
            self.waiting.until_made(&lb.arn, &service.id.key);
            let why = format!("AWS is making the load balancer {}", lb.name);
            return pending("Provisioning", why, Some(published).filter(|_| !replaces));
        }
        self.waiting.no_longer_until_made(&lb.arn);
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
        Ok(Outcome::Ready(Ready::new(published).with_notes(prepared.notes)))
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
}

fn no_vpc() -> Outcome {
    let why = "no VPC is configured, and no node that EC2 knows tells it yet";
    // Without nodes another look asks AWS for nothing, and the first node should not wait.
    Outcome::Pending(Pending::new("NoVpc", why).look_again_after(Duration::from_secs(5)))
}
