//! The provider: each call a list of named steps.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use cloud_provider::{
    BackendInterest, CloudLoadBalancer, Error, Ingress, Ordered, Outcome, Owned, Plan, Published, Request,
    ServiceId, ServiceView, WakeupStream,
};

use crate::apply::Applier;
use crate::client::{Aws, LoadBalancer, SecurityGroup, Tags, in_turn};
use crate::config::AwsConfig;
use crate::failure::{general, together};
use crate::memory::Memory;
use crate::mistaken::Mistaken;
use crate::naming::{self, APPLIED_TAG, CLUSTER_TAG, Names, UID_TAG};
use crate::observe::{Observer, backend_security_group};
use crate::options;
use crate::options::annotation::{PREFIX, key};
use crate::outcome::served;
use crate::plan::{self, Deletion, ResolvedIds};
use crate::provisioning::ProvisioningWatch;
use crate::site::{Surveyor, Unsurveyed};

/// Network Load Balancers, with instances as targets.
///
/// # Guarantees
/// - What the contract of [`CloudLoadBalancer`] asks for.
/// - A Service whose load balancer is as it should be costs no request of its own: the shared view of all load
///   balancers and target groups, with what was last applied noted in a tag, tells.
/// - Deletion protection is never taken off, and nothing without our tags, or in another VPC, is changed, but for what
///   is adopted.
pub struct AwsProvider {
    pub(crate) aws: Aws,
    pub(crate) config: AwsConfig,
    pub(crate) memory: Memory,
    pub(crate) provisioning: Arc<ProvisioningWatch>,
    vpc: OnceLock<String>,
    fargate_is_told: Once,
    shared_group: tokio::sync::Mutex<()>,
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
            memory: Memory::new(config.deep_verification),
            config,
            provisioning: Arc::default(),
            vpc,
            fargate_is_told: Once::new(),
            shared_group: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn observer(&self) -> Observer<'_> {
        Observer { aws: &self.aws, config: &self.config, vpc_id: self.vpc.get().map(String::as_str) }
    }

    pub(crate) fn surveyor(&self) -> Surveyor<'_> {
        let fargate_is_told = &self.fargate_is_told;
        Surveyor { aws: &self.aws, config: &self.config, vpc: &self.vpc, fargate_is_told }
    }

    pub(crate) fn applier<'a>(&'a self, service: &'a ServiceId, ids: ResolvedIds) -> Applier<'a> {
        Applier {
            observer: self.observer(),
            aws: &self.aws,
            config: &self.config,
            memory: &self.memory,
            shared_group: &self.shared_group,
            service,
            ids,
            new_frontend: None,
            notes: Vec::new(),
            refused_targets: false,
            tells_the_name_first: false,
        }
    }

    /// A deletion is the plan towards nothing.
    async fn take_down(&self, service: &ServiceId) -> Result<(), Error> {
        self.memory.unfinished.forget(&service.uid);
        let deletion = self.what_is_left(service).await?;
        for arn in deletion.found.load_balancers.keys() {
            self.provisioning.no_longer_until_made(arn);
        }
        self.provisioning.no_longer_refused(&service.key);
        let planned = plan::deletion(&deletion);
        let mut applier = self.applier(service, planned.ids);
        let run = applier.run(&planned.actions).await;
        if run.is_stale {
            return Err(Error::transient("what exists at AWS is not as it was seen a moment ago"));
        }
        let errors = run.failures.into_iter().map(|(_, failure)| failure.general()).collect();
        if let Some(error) = together(errors) {
            return Err(error);
        }
        self.memory.forget(&service.uid);
        Ok(())
    }

    /// What a Service that is being deleted has.
    async fn what_is_left(&self, service: &ServiceId) -> Result<Deletion, Error> {
        let found = self.observer().find(service, self.config.snapshot_age).await.map_err(general)?;
        self.learn_vpc(found.load_balancers.values().map(|lb| lb.resource.vpc_id.as_str()));
        self.learn_vpc(found.target_groups.values().map(|tg| tg.resource.vpc_id.as_str()));
        let observer = self.observer();
        let names = Names::new(&self.config.cluster, service);
        let shared = naming::backend_group_name(&self.config.cluster);
        let applier = self.applier(service, ResolvedIds::default());
        let groups = applier
            .all_groups(&names.frontend_group(), &shared)
            .await
            .map_err(super::failure::StepFailure::general)?;
        let own: Vec<SecurityGroup> = groups.iter().filter(|g| names.owns(&g.tags)).cloned().collect();
        let mut unseen_groups = self.memory.groups.made_for(&service.uid);
        unseen_groups.retain(|id| !own.iter().any(|group| group.id == *id));
        // Only what was taken over a moment ago has groups that do not carry our tags yet.
        let is_new = found.load_balancers.values().any(|lb| !lb.tags.contains_key(APPLIED_TAG));
        let came_along = |group: &SecurityGroup| {
            let carries = |lb: &LoadBalancer| lb.security_groups.contains(&group.id);
            !names.owns(&group.tags) && found.load_balancers.values().any(|lb| carries(&lb.resource))
        };
        let frontends = if is_new { observer.frontends(service, &found, &groups) } else { Vec::new() };
        let unclaimed_groups: Vec<SecurityGroup> = frontends.into_iter().filter(came_along).collect();
        // As long as the VPC is not known, the group may be another cluster's.
        let backend = self.vpc.get().and_then(|_| backend_security_group(&self.config.cluster, &groups));
        Ok(Deletion { found, groups: own, unseen_groups, claim: names.claim(), unclaimed_groups, backend })
    }

    /// What carries the UID of a Service of ours stands in this cluster's VPC. So a process that has not seen a node yet
    /// knows it all the same, and takes down what the last load balancer shared.
    fn learn_vpc<'v>(&self, of_our_services: impl Iterator<Item = &'v str>) {
        let vpcs: BTreeSet<&str> = of_our_services.ordered();
        if let (None, Some(vpc), 1) = (self.vpc.get(), vpcs.first(), vpcs.len()) {
            self.aws.limit_to_vpc(vpc);
            self.vpc.get_or_init(|| (*vpc).to_owned());
        }
    }
}

/// What it remembers. Nothing of it is of a Service that it has deleted.
impl fmt::Debug for AwsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AwsProvider");
        shown.field("memory", &self.memory).field("provisioning", &self.provisioning).finish_non_exhaustive()
    }
}

#[async_trait]
impl CloudLoadBalancer for AwsProvider {
    fn name(&self) -> &'static str {
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
        let labels = options::node_labels(service).unwrap_or_default();
        BackendInterest::nodes().and_node_labels(labels.into_keys())
    }

    /// What a mistake leaves undecided is told by its field.
    fn serves_beside_mistakes(&self) -> bool {
        true
    }

    /// A load balancer was made, the VPC became known, or what AWS refused is worth another try.
    fn wakeups(&self) -> WakeupStream {
        self.provisioning.wakeups(self.aws.clone())
    }

    async fn resume(&self, services: &[Arc<ServiceView>]) -> Result<(), Error> {
        self.memory
            .groups
            .inherit(services.iter().filter(|s| s.published.is_empty()).map(|s| s.id.uid.to_string()));
        let snapshot = self.aws.snapshot(Duration::ZERO).await.map_err(general)?;
        let uids: BTreeSet<&str> = services.iter().map(|service| &*service.id.uid).ordered();
        let ours = snapshot.load_balancers.values().filter(|lb| {
            let owned = lb.tags.get(UID_TAG).is_some_and(|uid| uids.contains(uid.as_str()));
            owned && lb.tags.get(CLUSTER_TAG).is_some_and(|cluster| *cluster == self.config.cluster)
        });
        self.learn_vpc(ours.map(|lb| lb.resource.vpc_id.as_str()));
        Ok(())
    }

    async fn get(&self, service: &ServiceView) -> Result<Option<Published>, Error> {
        let found = self.observer().glance(&service.id, self.config.snapshot_age).await.map_err(general)?;
        let mut load_balancers: Vec<&Arc<LoadBalancer>> =
            found.load_balancers.values().map(|lb| &lb.resource).collect();
        // While one replaces another, what the status shows is what serves.
        load_balancers.sort_by_key(|lb| {
            let shown = |i: &Ingress| i.hostname.as_ref().is_some_and(|h| *h == lb.dns_name.to_lowercase());
            !service.published.iter().any(shown)
        });
        let Some(lb) = load_balancers.first() else { return Ok(None) };
        // Not those that the Service asks for: some may be held back.
        let listeners = self.aws.listeners(&lb.arn).await.map_err(general)?;
        Ok(Some(served(service, lb, &listeners)))
    }

    async fn ensure(&self, request: &Request) -> Result<Outcome, Error> {
        let uid = &request.service().id.uid;
        let _at_work = self.memory.work.begin(uid);
        let outcome = in_turn(self.memory.tickets.of(uid), self.converge(request)).await;
        if matches!(outcome, Ok(Outcome::Ready(_)) | Err(Error::Invalid(_) | Error::InvalidInPart(_))) {
            self.memory.tickets.give_back(uid);
        }
        outcome
    }

    async fn update_backends(&self, request: &Request) -> Result<(), Error> {
        let _at_work = self.memory.work.begin(&request.service().id.uid);
        self.update(request).await
    }

    async fn delete(&self, service: &ServiceId) -> Result<(), Error> {
        in_turn(self.memory.tickets.of(&service.uid), self.take_down(service)).await
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        let service = request.service();
        let reading = options::read(service, &self.config);
        if let Some(mistaken) = Mistaken::read(&reading) {
            return self.plan_beside(request, mistaken).await;
        }
        let mut prepared = match self.prepare(request, &reading.parsed, self.config.snapshot_age).await {
            Ok(prepared) => prepared,
            Err(Unsurveyed::NoVpc(_)) => return Ok(Plan::default()),
            Err(Unsurveyed::Failed(Error::Invalid(mistakes))) => {
                let mistaken = Mistaken::found(&reading.parsed.spec, mistakes);
                return self.plan_beside(request, mistaken).await;
            }
            Err(Unsurveyed::Failed(error)) => return Err(error),
        };
        let node_groups = prepared.node_groups.clone();
        let planned = self.compare(service, &mut prepared, &node_groups).await?;
        Ok(Plan::new(planned.actions.iter().map(plan::Action::step)))
    }

    async fn list(&self) -> Result<Vec<Owned>, Error> {
        // A cluster of the same name in another VPC has its own: once the VPC is known, the view is limited to it.
        if self.vpc.get().is_none() {
            return Err(Error::transient(
                "the VPC is not known yet, so that it cannot be told what is this cluster's",
            ));
        }
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
        // Whose one in use is tells its load balancer, if it has a name of that Service's.
        for (arn, tg) in &snapshot.unread_target_groups {
            let users = tg.load_balancer_arns.iter().filter_map(|lb| snapshot.load_balancers.get(lb));
            for tags in users.map(|lb| &lb.tags) {
                let service = naming::owning_service(cluster, tags);
                if service.is_some_and(|service| Names::new(cluster, &service).is_like_ours(&tg.name)) {
                    add(tags, arn, None);
                }
            }
        }
        for group in groups.iter() {
            add(&group.tags, &group.id, None);
        }
        Ok(owned)
    }
}
