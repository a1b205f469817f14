//! What exists at AWS for one Service. Reads only.
//!
//! What all Services share (load balancers, target groups, tags, security groups) comes from the shared view and
//! costs a Service nothing of its own; listeners, attributes and targets are asked for one by one, and only of
//! resources that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{Ordered, ServiceId, ServiceView};
use futures::future::try_join_all;

use crate::adoption::{self, hostnames};
use crate::client::{
    Attributes, Aws, Listener, LoadBalancer, Protocol, Result, SecurityGroup, Snapshot, TagFilter, Tagged,
    Tags, Target, TargetGroup, TargetHealth,
};
use crate::config::AwsConfig;
use crate::desired::Desired;
use crate::naming::{
    self, APPLIED_TAG, CLOUD_PROVIDER_SERVICE_TAG, CLUSTER_TAG, Names, SET_ATTRIBUTES_TAG, STACK_TAG, UID_TAG,
};
use crate::shared_groups;

/// What exists for one Service.
///
/// What is not read is vouched for by the mark: a plan compares what it is shown, and takes the rest to be
/// as it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its load balancers: one, or two while one replaces the other.
    pub load_balancers: Vec<ObservedLoadBalancer>,
    /// Its target groups.
    pub target_groups: Vec<ObservedTargetGroup>,
    /// Security groups; none when they were not read.
    pub groups: Option<ObservedGroups>,
    /// Host names that the Service's status shows.
    pub published: BTreeSet<String>,
}

/// Security groups that concern one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedGroups {
    /// Its own security groups.
    pub frontends: Vec<SecurityGroup>,
    /// The backend security group, which is the source in the rules on the nodes.
    pub backend: Option<SecurityGroup>,
    /// The nodes' security groups.
    pub nodes: Vec<SecurityGroup>,
}

/// A load balancer with all that hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLoadBalancer {
    /// As AWS describes it.
    pub resource: Arc<LoadBalancer>,
    /// Its tags.
    pub tags: Arc<Tags>,
    /// What has to be asked for; none when it was not.
    pub details: Option<LoadBalancerDetails>,
}

/// What a load balancer's description does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancerDetails {
    /// Attributes; empty when nobody asks for any and none was set.
    pub attributes: Attributes,
    /// What the settings are that the Service asks for, by their fields.
    pub settings: BTreeMap<&'static str, String>,
    /// Listeners.
    pub listeners: Vec<ObservedListener>,
}

/// A listener with its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedListener {
    /// As AWS describes it.
    pub resource: Listener,
    /// Its tags.
    pub tags: Tags,
    /// Certificates besides the default one.
    pub sni_certificates: BTreeSet<String>,
    /// Attributes; empty when nobody asks for any and none was set.
    pub attributes: Attributes,
}

/// A target group with its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTargetGroup {
    /// As AWS describes it.
    pub resource: Arc<TargetGroup>,
    /// Its tags.
    pub tags: Arc<Tags>,
    /// What has to be asked for; none when it was not.
    pub details: Option<TargetGroupDetails>,
}

/// What a target group's description does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroupDetails {
    /// Attributes; empty when nobody asks for any and none was set.
    pub attributes: Attributes,
    /// Targets with their health.
    pub targets: Vec<TargetHealth>,
    /// Targets that AWS refused a while ago, so that it is not asked again.
    pub refused: BTreeSet<Target>,
}

impl TargetGroupDetails {
    /// The targets without those that are on their way out: one that is wanted again is registered again.
    pub fn present(&self) -> BTreeSet<Target> {
        self.targets.iter().filter(|t| !t.state.is_leaving()).map(|t| t.target.clone()).ordered()
    }

    /// How many targets are on their way out.
    pub fn leaving(&self) -> usize {
        self.targets.iter().filter(|t| t.state.is_leaving()).count()
    }
}

impl ObservedLoadBalancer {
    /// The listeners, as far as they were asked for.
    pub fn listeners(&self) -> &[ObservedListener] {
        self.details.as_ref().map_or(&[], |details| &details.listeners)
    }
}

impl Observed {
    /// What the shared view alone tells, for a Service whose mark says that all the rest was applied, the tags of target
    /// groups among it that nobody has read.
    pub(crate) fn by_the_mark(service: &ServiceView, found: &Snapshot, desired: &Desired) -> Self {
        let load_balancers = found.load_balancers.values().cloned();
        let target_groups = found.target_groups.values().cloned();
        let unread = found.unread_target_groups.values().filter_map(|tg| {
            let tags = Arc::new(desired.target_group_named(tg)?.tags.clone());
            Some(Tagged { resource: tg.clone(), tags })
        });
        Observed {
            load_balancers: load_balancers
                .map(|lb| ObservedLoadBalancer { resource: lb.resource, tags: lb.tags, details: None })
                .collect(),
            target_groups: target_groups
                .chain(unread)
                .map(|tg| ObservedTargetGroup { resource: tg.resource, tags: tg.tags, details: None })
                .collect(),
            groups: None,
            published: hostnames(service),
        }
    }
}

/// Reads for one configuration.
#[derive(Clone, Copy)]
pub struct Observer<'a> {
    /// AWS.
    pub aws: &'a Aws,
    /// Whose cluster.
    pub config: &'a AwsConfig,
    /// The VPC, once it is known: what is in another one is never ours, though the cluster there have the same name.
    pub vpc_id: Option<&'a str>,
}

impl Observer<'_> {
    /// What the shared view, at most as old as `max_age`, has of a Service: what carries its UID, and what is being
    /// taken over with it.
    ///
    /// # Errors
    /// When the view cannot be renewed.
    pub async fn find(&self, service: &ServiceId, max_age: Duration) -> Result<Snapshot> {
        let found = self.aws.tagged(&self.ours(service), max_age).await?.within(self.vpc_id);
        self.with_what_comes_along(service, found, max_age).await
    }

    /// The same, as far as it is known without asking for the tags of target groups in use.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub async fn glance(&self, service: &ServiceId, max_age: Duration) -> Result<Snapshot> {
        let found = self.aws.glance(&self.ours(service), max_age).await?.within(self.vpc_id);
        match is_being_taken_over(&found) {
            true => self.find(service, max_age).await,
            false => Ok(found),
        }
    }

    fn ours(&self, service: &ServiceId) -> [TagFilter; 2] {
        [TagFilter::equals(CLUSTER_TAG, &self.config.cluster), TagFilter::equals(UID_TAG, &*service.uid)]
    }

    /// One that is being taken over may have target groups that do not carry our tags yet.
    async fn with_what_comes_along(
        &self,
        service: &ServiceId,
        mut found: Snapshot,
        max_age: Duration,
    ) -> Result<Snapshot> {
        if is_being_taken_over(&found) {
            let mut theirs = self.tagged_for(service, max_age).await?;
            theirs.load_balancers.clone_from(&found.load_balancers);
            adoption::keep_attached(&Names::new(&self.config.cluster, service), &mut theirs);
            found.target_groups.extend(theirs.target_groups);
        }
        Ok(found)
    }

    /// What is tagged for a Service of this key, by us or by another controller.
    ///
    /// # Errors
    /// When the view cannot be renewed.
    pub async fn tagged_for(&self, service: &ServiceId, max_age: Duration) -> Result<Snapshot> {
        let stack = Names::new(&self.config.cluster, service).stack();
        let cluster = TagFilter::equals(CLUSTER_TAG, &self.config.cluster);
        let by_stack = [cluster, TagFilter::equals(STACK_TAG, &stack)];
        let by_cloud_provider = [TagFilter::equals(CLOUD_PROVIDER_SERVICE_TAG, &stack)];
        let mut found = self.aws.tagged(&by_stack, max_age).await?;
        let more = self.aws.tagged(&by_cloud_provider, max_age).await?;
        found.load_balancers.extend(more.load_balancers);
        found.target_groups.extend(more.target_groups);
        Ok(found.within(self.vpc_id))
    }

    /// Everything about a Service's resources that the view does not hold.
    ///
    /// # Errors
    /// The first read that fails; a resource that vanishes meanwhile is such a failure, and the next pass knows.
    pub async fn observe(
        &self,
        service: &ServiceView,
        desired: &Desired,
        found: Snapshot,
        node_groups: &BTreeSet<String>,
    ) -> Result<Observed> {
        let load_balancers =
            try_join_all(found.load_balancers.values().cloned().map(|lb| self.load_balancer(desired, lb)));
        let target_groups =
            try_join_all(found.target_groups.values().cloned().map(|tg| self.target_group(desired, tg)));
        let (load_balancers, target_groups, groups, node_groups) = futures::try_join!(
            load_balancers,
            target_groups,
            self.cluster_groups(),
            self.node_groups(node_groups)
        )?;
        Ok(Observed {
            load_balancers,
            target_groups,
            groups: Some(ObservedGroups {
                frontends: self.frontends(&service.id, &found, &groups),
                backend: backend_security_group(&self.config.cluster, &groups),
                nodes: node_groups.to_vec(),
            }),
            published: hostnames(service),
        })
    }

    async fn load_balancer(
        &self,
        desired: &Desired,
        found: Tagged<LoadBalancer>,
    ) -> Result<ObservedLoadBalancer> {
        let arn = &found.resource.arn;
        let wanted = &desired.load_balancer;
        let has_attributes = !wanted.attributes.is_empty() || found.tags.contains_key(SET_ATTRIBUTES_TAG);
        let attributes = match has_attributes {
            true => self.aws.elbv2().describe_load_balancer_attributes(arn).await?,
            false => Attributes::new(),
        };
        let mut settings = BTreeMap::new();
        for wanted in wanted.settings.wanted() {
            settings.insert(wanted.field(), wanted.found(self.aws, arn).await?);
        }
        let listeners = self.aws.listeners(arn).await?;
        let arns: Vec<String> = listeners.iter().map(|listener| listener.arn.clone()).collect();
        let mut tags = match arns.is_empty() {
            true => BTreeMap::new(),
            false => self.aws.tags(&arns).await?,
        };
        let listeners = listeners.into_iter().map(|listener| {
            let tags = tags.remove(&listener.arn).unwrap_or_default();
            self.listener(desired, listener, tags)
        });
        let listeners = try_join_all(listeners.collect::<Vec<_>>()).await?;
        let details = Some(LoadBalancerDetails { attributes, settings, listeners });
        Ok(ObservedLoadBalancer { resource: found.resource, tags: found.tags, details })
    }

    async fn listener(&self, desired: &Desired, listener: Listener, tags: Tags) -> Result<ObservedListener> {
        let wanted = desired.listeners.iter().find(|wanted| wanted.port == listener.port);
        let mut sni_certificates = BTreeSet::new();
        if listener.protocol == Protocol::Tls {
            let certificates = self.aws.listener_certificates(&listener.arn).await?;
            sni_certificates = certificates.into_iter().filter(|c| !c.is_default).map(|c| c.arn).ordered();
        }
        let is_asked = wanted.is_some_and(|wanted| !wanted.attributes.is_empty());
        let attributes = match is_asked || tags.contains_key(SET_ATTRIBUTES_TAG) {
            true => self.aws.elbv2().describe_listener_attributes(&listener.arn).await?,
            false => Attributes::new(),
        };
        Ok(ObservedListener { resource: listener, tags, sni_certificates, attributes })
    }

    async fn target_group(
        &self,
        desired: &Desired,
        found: Tagged<TargetGroup>,
    ) -> Result<ObservedTargetGroup> {
        let arn = &found.resource.arn;
        let wanted = desired.target_groups.iter().any(|wanted| !wanted.attributes.is_empty());
        let attributes = match wanted || found.tags.contains_key(SET_ATTRIBUTES_TAG) {
            true => self.aws.elbv2().describe_target_group_attributes(arn).await?,
            false => Attributes::new(),
        };
        let targets = self.aws.elbv2().describe_target_health(arn, &[]).await?;
        let details = Some(TargetGroupDetails { attributes, targets, refused: BTreeSet::new() });
        Ok(ObservedTargetGroup { resource: found.resource, tags: found.tags, details })
    }

    /// The security groups in our VPC that carry our cluster's tag: one question for all Services.
    ///
    /// # Errors
    /// When EC2 does not answer.
    pub async fn cluster_groups(&self) -> Result<Arc<Vec<SecurityGroup>>> {
        shared_groups::of_cluster(self.aws, &self.config.cluster, self.vpc_id).await
    }

    /// The security groups with these ids.
    ///
    /// # Errors
    /// When EC2 does not answer.
    pub async fn node_groups(&self, ids: &BTreeSet<String>) -> Result<Arc<Vec<SecurityGroup>>> {
        shared_groups::with_ids(self.aws, ids).await
    }

    /// The Service's own groups, the one among them that its load balancer brought along from another controller.
    pub(crate) fn frontends(
        &self,
        service: &ServiceId,
        found: &Snapshot,
        groups: &[SecurityGroup],
    ) -> Vec<SecurityGroup> {
        let names = Names::new(&self.config.cluster, service);
        let frontend_name = names.frontend_group();
        let comes_along = |group: &SecurityGroup| {
            let carries = |lb: &Tagged<LoadBalancer>| lb.resource.security_groups.contains(&group.id);
            group.name == frontend_name
                && !group.tags.contains_key(UID_TAG)
                && (self.config.adopt || found.load_balancers.values().any(carries))
        };
        groups.iter().filter(|group| names.owns(&group.tags) || comes_along(group)).cloned().collect()
    }
}

/// What is new looks the same, and has nothing that could come along.
fn is_being_taken_over(found: &Snapshot) -> bool {
    found.load_balancers.values().any(|lb| !lb.tags.contains_key(APPLIED_TAG))
}

/// The backend security group, which is the source in the rules on the nodes, among the cluster's groups.
pub fn backend_security_group(cluster: &str, groups: &[SecurityGroup]) -> Option<SecurityGroup> {
    let name = naming::backend_group_name(cluster);
    groups.iter().find(|group| group.name == name).cloned()
}
