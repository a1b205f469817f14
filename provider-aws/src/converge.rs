//! Brings what exists to what should, for one Service: look, compare, apply, and say what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{Error, Note, Ordered, Outcome, Pending, Request, ServiceId, ServiceView};

use crate::adoption;
use crate::client::{LoadBalancer, LoadBalancerState, Select, Snapshot, Tagged, Tags, Target, Traffic};
use crate::desired::{self, Built, Desired, Limits};
use crate::discovery::DiscoveryError;
use crate::failure::{StepFailure, general};
use crate::mistaken::Mistaken;
use crate::naming::{APPLIED_TAG, TARGETS_TAG};
use crate::observe::Observed;
use crate::options::{self, Parsed, Spec};
use crate::outcome::{LeftOpen, PARTLY_REFUSED, fatal, named, outcome};
use crate::plan::{self, Part, Planned};
use crate::provider::AwsProvider;
use crate::site::{Surveyed, Unsurveyed};
use crate::subnet_moves;

/// How often one call looks again when AWS was not as the plan saw it.
pub(crate) const LOOKS_PER_CALL: usize = 4;

/// How a plan was carried out.
enum Carried {
    /// AWS was not as the plan saw it.
    Stale,
    /// There is a host name; the rest is left to the next call.
    Named(Prepared),
    /// As far as AWS lets it.
    Through(Prepared, LeftOpen),
}

/// What is known before a plan is made.
pub(crate) struct Prepared {
    pub(crate) found: Snapshot,
    pub(crate) desired: Desired,
    pub(crate) limits: Limits,
    pub(crate) node_groups: BTreeSet<String>,
    pub(crate) notes: Vec<Note>,
}

impl AwsProvider {
    /// From the Service to what should exist.
    pub(crate) async fn prepare(
        &self,
        request: &Request,
        parsed: &Parsed,
        max_age: Duration,
    ) -> Result<Prepared, Unsurveyed> {
        let service = request.service();
        let surveyor = self.surveyor();
        // Neither waits for the other: of a new Service it is known beforehand what will be looked at.
        let ahead = async {
            if service.published.is_empty() {
                surveyor.look_ahead(request.nodes(), &parsed.spec).await;
            }
            Ok(())
        };
        let (found, ()) = futures::try_join!(self.find(service, &parsed.spec, max_age), ahead)?;
        self.prepare_found(request, parsed, found).await
    }

    /// From the Service, and what there is of it, to what should exist.
    pub(crate) async fn prepare_found(
        &self,
        request: &Request,
        parsed: &Parsed,
        found: Snapshot,
    ) -> Result<Prepared, Unsurveyed> {
        let service = request.service();
        let surveyed = self.surveyor().survey(service, &parsed.spec, request.nodes(), &found).await?;
        let Surveyed { site, node_groups, notes: seen } = surveyed;
        let built = desired::build(&service.id, &parsed.spec, &self.config, &site)?;
        let Built { desired, limits, notes: decided } = built;
        for Tagged { resource, tags } in found.load_balancers.values() {
            if resource.scheme == desired.load_balancer.scheme {
                let is_applied = desired.is_noted(tags);
                let moves = subnet_moves::moves(&desired.load_balancer, resource, is_applied);
                moves.map_err(|only_zone| only_zone.mistake())?;
            }
        }
        let notes = parsed.notes.iter().cloned().chain(seen).chain(decided).collect();
        Ok(Prepared { found, desired, limits, node_groups, notes })
    }

    /// What is this Service's, or is to be taken over.
    async fn find(&self, service: &ServiceView, spec: &Spec, max_age: Duration) -> Result<Snapshot, Error> {
        let mut found = self.observer().glance(&service.id, max_age).await.map_err(general)?;
        if found.load_balancers.is_empty() {
            let tagged = self.observer().tagged_for(&service.id, max_age).await.map_err(general)?;
            let theirs = adoption::choose(service, spec, &self.config, tagged)?;
            found.load_balancers = theirs.load_balancers;
            found.target_groups.extend(theirs.target_groups);
        }
        Ok(found)
    }

    /// Whether nothing is to be done, as far as it can be told without asking: the note on the load balancer, or this
    /// process itself, says that all of it was applied, and the shared view shows no difference.
    pub(crate) fn is_settled(&self, service: &ServiceView, prepared: &Prepared) -> bool {
        let Prepared { found, desired, limits, .. } = prepared;
        let uid = &service.id.uid;
        let Some((_, lb)) = found.load_balancers.first_key_value() else { return false };
        let digest = desired.digest();
        let is_applied =
            lb.tags.get(APPLIED_TAG) == Some(&digest) || self.memory.verification.is_settled(uid, &digest);
        let targets = desired.targets_digest();
        let registered = self.memory.targets.digest(uid, lb.tags.get(TARGETS_TAG));
        is_applied
            && (targets.is_none() || registered == targets)
            && plan::plan(desired, &Observed::by_the_mark(service, found, desired), limits).is_settled()
    }

    /// Notes on what is settled which targets are registered, so that the next leader need not ask for each target
    /// group. AWS tags one resource a request: a note for each node would double what it costs, so that it is taken off
    /// before the first target changes, and written once for all nodes that came and went since then.
    async fn note_registered(&self, prepared: &Prepared) -> Result<(), Error> {
        let Some(digest) = prepared.desired.targets_digest() else { return Ok(()) };
        let Some((arn, lb)) = prepared.found.load_balancers.first_key_value() else { return Ok(()) };
        if lb.tags.get(TARGETS_TAG) == Some(&digest) {
            return Ok(());
        }
        let tags = Tags::from([(TARGETS_TAG.to_owned(), digest)]);
        self.aws.add_tags(std::slice::from_ref(arn), &tags).await.map_err(general)
    }

    /// Compares what exists with what should; `node_groups` are those of the nodes' security groups that are looked at.
    pub(crate) async fn compare(
        &self,
        service: &ServiceView,
        prepared: &mut Prepared,
        node_groups: &BTreeSet<String>,
    ) -> Result<Planned, Error> {
        let observed = self.observe(service, prepared, node_groups).await?;
        Ok(plan::plan(&prepared.desired, &observed, &prepared.limits))
    }

    /// Reads what the shared view does not hold.
    pub(crate) async fn observe(
        &self,
        service: &ServiceView,
        prepared: &mut Prepared,
        node_groups: &BTreeSet<String>,
    ) -> Result<Observed, Error> {
        let observer = self.observer();
        if !prepared.found.unread_target_groups.is_empty() {
            let max_age = self.config.snapshot_age;
            prepared.found = observer.find(&service.id, max_age).await.map_err(general)?;
        }
        let Prepared { found, desired, .. } = prepared;
        let mut observed =
            observer.observe(service, desired, found.clone(), node_groups).await.map_err(general)?;
        for group in &mut observed.target_groups {
            if let Some(details) = &mut group.details {
                details.refused = self.memory.targets.refused(&service.id.uid, &group.resource.arn);
            }
        }
        Ok(observed)
    }

    /// Looks, plans and applies until nothing is stale.
    pub(crate) async fn converge(&self, request: &Request) -> Result<Outcome, Error> {
        let service = request.service();
        let key = &service.id.key;
        let reading = options::read(service, &self.config);
        if let Some(mistaken) = Mistaken::read(&reading) {
            let beside = self.converge_beside(request, mistaken).await;
            match beside.may_pass {
                true => {
                    self.provisioning.look_again_later(key);
                }
                false => self.provisioning.no_longer_refused(key),
            }
            return Err(beside.error);
        }
        let result = self.reconcile(request, &reading.parsed).await;
        match &result {
            // What AWS has is part of the mistake, and may change without the Service: a certificate that is issued, an
            // address that becomes free, a subnet that is tagged.
            Err(Error::Invalid(_) | Error::InvalidInPart(_)) => {
                self.provisioning.look_again_later(key);
            }
            Ok(Outcome::Pending(pending)) if pending.reason == PARTLY_REFUSED => {}
            _ => self.provisioning.no_longer_refused(key),
        }
        result
    }

    async fn reconcile(&self, request: &Request, parsed: &Parsed) -> Result<Outcome, Error> {
        let service = request.service();
        let uid = &service.id.uid;
        let mut max_age = self.config.snapshot_age;
        for _ in 0..LOOKS_PER_CALL {
            let prepared = match self.prepare(request, parsed, max_age).await {
                Ok(prepared) => prepared,
                Err(Unsurveyed::NoVpc(error)) => {
                    self.provisioning.for_the_vpc(&service.id.key);
                    return Ok(no_vpc(error));
                }
                // What exists shows a mistake that the Service alone does not.
                Err(Unsurveyed::Failed(Error::Invalid(mistakes))) => {
                    let mistaken = Mistaken::found(&parsed.spec, mistakes);
                    return Err(self.converge_beside(request, mistaken).await.error);
                }
                Err(Unsurveyed::Failed(error)) => return Err(error),
            };
            self.provisioning.vpc_is_known(&service.id.key);
            if let Some(rest) = self.memory.unfinished.take(uid, &prepared.desired) {
                match self.carry_out(service, prepared, rest, BTreeSet::new()).await? {
                    Carried::Through(prepared, done) => return self.report(service, prepared, done).await,
                    Carried::Named(_) | Carried::Stale => max_age = Duration::ZERO,
                }
                continue;
            }
            let mut prepared = self.freshen(&service.id, prepared).await?;
            if !prepared.desired.explains(&prepared.found) {
                prepared.found = self.observer().find(&service.id, max_age).await.map_err(general)?;
            }
            if self.is_settled(service, &prepared) && !self.memory.verification.is_due(uid) {
                self.remember_targets(&service.id, &prepared, &[]);
                self.note_registered(&prepared).await?;
                return self.outcome(service, prepared, LeftOpen::default());
            }
            // Of what is new the host name comes first, which needs nothing of the nodes.
            let is_new = prepared.found.is_empty() && service.published.is_empty();
            let (mut now, mut later) = (prepared.node_groups.clone(), BTreeSet::new());
            if is_new {
                std::mem::swap(&mut now, &mut later);
            }
            let planned = self.compare(service, &mut prepared, &now).await?;
            match self.carry_out(service, prepared, planned, later).await? {
                Carried::Through(prepared, done) => return self.report(service, prepared, done).await,
                Carried::Named(prepared) => return self.tell_the_name(service, prepared).await,
                Carried::Stale => max_age = Duration::ZERO,
            }
        }
        Err(Error::transient("what exists at AWS changes faster than it can be looked at"))
    }

    /// Applies a plan. Groups of the nodes that it did not look at are read meanwhile, and opened with the rest of it.
    async fn carry_out(
        &self,
        service: &ServiceView,
        mut prepared: Prepared,
        planned: Planned,
        other_node_groups: BTreeSet<String>,
    ) -> Result<Carried, Error> {
        let uid = &service.id.uid;
        let mut applier = self.applier(&service.id, planned.ids);
        applier.tells_the_name_first = service.published.is_empty() && planned.waits.is_empty();
        if !planned.actions.is_empty() {
            self.memory.doubt(uid);
        }
        let observer = self.observer();
        let (run, others) =
            futures::join!(applier.run(&planned.actions), observer.node_groups(&other_node_groups));
        if run.is_stale {
            return Ok(Carried::Stale);
        }
        if !run.rest.is_empty() {
            // Without an answer the next call looks at what exists.
            if let Ok(others) = others {
                let wanted = prepared.desired.groups.nodes.iter();
                let source = applier.ids.backend.as_deref();
                let open = wanted.flat_map(|nodes| plan::open_nodes(&nodes.traffic, source, &others));
                let actions = open.chain(run.rest).collect();
                let rest = Planned { actions, ids: applier.ids, waits: planned.waits };
                self.memory.unfinished.leave(uid, prepared.desired.clone(), rest);
            }
            return Ok(Carried::Named(prepared));
        }
        let failures = fatal(service, run.failures)?;
        if failures.is_empty() && !other_node_groups.is_empty() {
            return Ok(Carried::Stale);
        }
        prepared.notes.extend(applier.notes);
        if let Some(nodes) = &prepared.desired.groups.nodes {
            self.remember_opened(&prepared.node_groups, &nodes.traffic, &failures);
        }
        let is_done = failures.is_empty() && planned.waits.is_empty();
        if is_done {
            let arns: Vec<(String, String)> = applier.ids.target_groups.into_iter().collect();
            self.remember_targets(&service.id, &prepared, &arns);
            self.memory.verification.done(uid, prepared.desired.digest());
        }
        let refused_targets = self.memory.targets.until_another_try(uid);
        Ok(Carried::Through(prepared, LeftOpen { waits: planned.waits, failures, refused_targets }))
    }

    /// These groups of nodes let in what they should, but for those where that failed. Where what they stand on failed, or
    /// something ended the run, their turn may not have come.
    pub(crate) fn remember_opened(
        &self,
        groups: &BTreeSet<String>,
        traffic: &BTreeSet<Traffic>,
        failures: &[(Part, StepFailure)],
    ) {
        if failures.iter().any(|(part, failure)| *part == Part::Foundation || !failure.is_refusal()) {
            return;
        }
        let has_failed = |id: &String| failures.iter().any(|(part, _)| *part == Part::NodeGroup(id.clone()));
        for group in groups.iter().filter(|id| !has_failed(id)) {
            self.memory.groups.opened(group, traffic.iter().cloned());
        }
    }

    /// What is settled holds the targets it should; `arns` says which target groups were made or found by name.
    fn remember_targets(&self, service: &ServiceId, prepared: &Prepared, arns: &[(String, String)]) {
        let Prepared { found, desired, .. } = prepared;
        let Some(sets) = &desired.targets else { return };
        let uid = &service.uid;
        let known = desired.target_groups_among(found).map(|(arn, tg)| (tg.name.clone(), arn.clone()));
        let mut all_are_in = true;
        for (name, arn) in known.chain(arns.iter().cloned()) {
            let Some(wanted) = sets.of(&name) else { continue };
            let refused = self.memory.targets.refused(uid, &arn);
            all_are_in &= wanted.is_disjoint(&refused);
            let registered: BTreeSet<Target> = wanted.difference(&refused).cloned().ordered();
            self.memory.targets.set_registered(uid, &arn, registered);
        }
        self.memory.targets.set_digest(uid, desired.targets_digest().filter(|_| all_are_in));
    }

    async fn report(
        &self,
        service: &ServiceView,
        mut prepared: Prepared,
        left: LeftOpen,
    ) -> Result<Outcome, Error> {
        prepared.found =
            self.observer().glance(&service.id, self.config.snapshot_age).await.map_err(general)?;
        self.outcome(service, prepared, left)
    }

    /// The host name goes on the Service before its listeners are made: with many Services at once, or an AWS that takes
    /// its time, they come much later, and the name never changes. The next call goes on at once.
    async fn tell_the_name(&self, service: &ServiceView, mut prepared: Prepared) -> Result<Outcome, Error> {
        prepared.found =
            self.observer().glance(&service.id, self.config.snapshot_age).await.map_err(general)?;
        let pending = named(service, prepared.serving()?);
        Ok(Outcome::Pending(pending.with_notes(prepared.notes)))
    }

    /// What the controller is told, and what is waited for.
    fn outcome(&self, service: &ServiceView, prepared: Prepared, left: LeftOpen) -> Result<Outcome, Error> {
        let lb = prepared.serving()?.clone();
        match lb.state {
            LoadBalancerState::Provisioning => {
                self.provisioning.until_made(&lb.arn, &service.id.key, self.config.provisioning_look);
            }
            _ => self.provisioning.no_longer_until_made(&lb.arn),
        }
        let again = || self.provisioning.look_again_later(&service.id.key);
        Ok(outcome(service, &lb, prepared.notes, left, self.config.provisioning_look, again))
    }

    /// A load balancer that is being made is asked for anew, which the shared view takes note of. Not in the call
    /// that makes it: that takes AWS minutes.
    async fn freshen(&self, service: &ServiceId, mut prepared: Prepared) -> Result<Prepared, Error> {
        let is_made = |lb: &&Tagged<LoadBalancer>| lb.resource.state == LoadBalancerState::Provisioning;
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
                self.observer().glance(service, self.config.snapshot_age).await.map_err(general)?;
        }
        Ok(prepared)
    }
}

impl Prepared {
    /// The load balancer that clients are to use.
    fn serving(&self) -> Result<&Arc<LoadBalancer>, Error> {
        let scheme = self.desired.load_balancer.scheme;
        let all = self.found.load_balancers.values().map(|found| &found.resource);
        let mut serving = all.filter(|lb| lb.scheme == scheme);
        serving.next().ok_or_else(|| Error::transient("the load balancer is not to be seen yet"))
    }
}

fn no_vpc(error: Option<DiscoveryError>) -> Outcome {
    let (reason, why) = match error {
        None => ("NoVpc", "no VPC is configured, and no node that EC2 knows tells it yet".to_owned()),
        Some(error) => ("VpcUnclear", format!("{error}; the operator gives --aws-vpc-id")),
    };
    // Without nodes another look asks AWS for nothing, and the first node should not wait.
    Outcome::Pending(Pending::new(reason, why).look_again_after(Duration::from_secs(5)))
}
