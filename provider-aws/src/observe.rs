//! What exists at AWS for one Service. Reads only.
//!
//! What all Services share (load balancers, target groups, tags, security groups) comes from the shared view and
//! costs a Service nothing of its own; listeners, attributes and targets are asked for one by one, and only of
//! resources that exist.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::{ServiceId, ServiceView};
use futures::future::try_join_all;

use crate::adoption;
use crate::client::{
    Attributes, Aws, CapacityReservation, Listener, LoadBalancer, Protocol, Result, SecurityGroup,
    SecurityGroupQuery, TagFilter, Tags, TargetGroup, TargetHealth,
};
use crate::config::AwsConfig;
use crate::found::{Found, FoundResource, hostnames};
use crate::model::Desired;
use crate::naming::{
    self, APPLIED_TAG, CLOUD_PROVIDER_SERVICE_TAG, CLUSTER_TAG, Names, SET_ATTRIBUTES_TAG, STACK_TAG, UID_TAG,
};

/// What exists for one Service, in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its load balancers: one, or two while one replaces the other.
    pub load_balancers: Vec<ObservedLoadBalancer>,
    /// Its target groups.
    pub target_groups: Vec<ObservedTargetGroup>,
    /// Its own security groups.
    pub frontend_groups: Vec<SecurityGroup>,
    /// The group that is the source in the rules on the nodes.
    pub nodes_source: Option<SecurityGroup>,
    /// The nodes' security groups.
    pub node_groups: Vec<SecurityGroup>,
    /// Host names that the Service's status shows.
    pub published: BTreeSet<String>,
}

/// A load balancer with all that hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLoadBalancer {
    /// As AWS describes it.
    pub resource: Arc<LoadBalancer>,
    /// Its tags.
    pub tags: Arc<Tags>,
    /// Attributes; empty when nobody asks for any and none was set.
    pub attributes: Attributes,
    /// Reserved capacity, when the Service asks for some.
    pub capacity: Option<CapacityReservation>,
    /// Listeners.
    pub listeners: Vec<ObservedListener>,
}

/// A listener with its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedListener {
    /// As AWS describes it.
    pub resource: Listener,
    /// Certificates besides the default one.
    pub sni_certificates: BTreeSet<String>,
    /// Attributes; empty when nobody asks for any.
    pub attributes: Attributes,
}

/// A target group with its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTargetGroup {
    /// As AWS describes it.
    pub resource: Arc<TargetGroup>,
    /// Its tags.
    pub tags: Arc<Tags>,
    /// Attributes; empty when nobody asks for any and none was set.
    pub attributes: Attributes,
    /// Targets with their health.
    pub targets: Vec<TargetHealth>,
}

/// Reads for one configuration.
#[derive(Clone, Copy)]
pub struct Observer<'a> {
    /// AWS.
    pub aws: &'a Aws,
    /// Whose cluster.
    pub config: &'a AwsConfig,
}

impl Observer<'_> {
    /// What the shared view, at most as old as `max_age`, has of a Service: what carries its UID, and what is being
    /// taken over with it.
    ///
    /// # Errors
    /// When the view cannot be renewed.
    pub async fn find(&self, service: &ServiceId, max_age: Duration) -> Result<Found> {
        let conditions =
            [TagFilter::equals(CLUSTER_TAG, &self.config.cluster), TagFilter::equals(UID_TAG, &service.uid)];
        let mut found = Found::of(self.aws.tagged(&conditions, max_age).await?);
        // One that is being taken over may have target groups that do not carry our tags yet.
        if found.load_balancers.values().any(|lb| !lb.tags.contains_key(APPLIED_TAG)) {
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
    pub async fn tagged_for(&self, service: &ServiceId, max_age: Duration) -> Result<Found> {
        let stack = Names::new(&self.config.cluster, service).stack();
        let cluster = TagFilter::equals(CLUSTER_TAG, &self.config.cluster);
        let by_stack = [cluster, TagFilter::equals(STACK_TAG, &stack)];
        let by_cloud_provider = [TagFilter::equals(CLOUD_PROVIDER_SERVICE_TAG, &stack)];
        let mut found = Found::of(self.aws.tagged(&by_stack, max_age).await?);
        let more = Found::of(self.aws.tagged(&by_cloud_provider, max_age).await?);
        found.load_balancers.extend(more.load_balancers);
        found.target_groups.extend(more.target_groups);
        Ok(found)
    }

    /// Everything about a Service's resources that the view does not hold.
    ///
    /// # Errors
    /// The first read that fails; a resource that vanishes meanwhile is such a failure, and the next pass knows.
    pub async fn observe(
        &self,
        service: &ServiceView,
        desired: &Desired,
        found: Found,
        node_groups: &BTreeSet<String>,
    ) -> Result<Observed> {
        let load_balancers =
            try_join_all(found.load_balancers.values().cloned().map(|lb| self.load_balancer(desired, lb)));
        let target_groups =
            try_join_all(found.target_groups.values().cloned().map(|tg| self.target_group(desired, tg)));
        let (load_balancers, target_groups) = futures::try_join!(load_balancers, target_groups)?;
        let groups = self.cluster_groups().await?;
        let node_groups = self.node_groups(node_groups).await?;
        Ok(Observed {
            load_balancers,
            target_groups,
            frontend_groups: self.frontends(&service.id, &found, &groups),
            nodes_source: nodes_source(&self.config.cluster, &groups),
            node_groups: node_groups.to_vec(),
            published: hostnames(service),
        })
    }

    async fn load_balancer(
        &self,
        desired: &Desired,
        found: FoundResource<LoadBalancer>,
    ) -> Result<ObservedLoadBalancer> {
        let arn = &found.resource.arn;
        let wanted = &desired.load_balancer;
        let has_attributes = !wanted.attributes.is_empty() || found.tags.contains_key(SET_ATTRIBUTES_TAG);
        let attributes = match has_attributes {
            true => self.aws.load_balancer_attributes(arn).await?,
            false => Attributes::new(),
        };
        let capacity = match wanted.capacity {
            Some(_) => Some(self.aws.capacity_reservation(arn).await?),
            None => None,
        };
        let listeners = self.aws.listeners(arn).await?;
        let listeners = try_join_all(listeners.into_iter().map(|l| self.listener(desired, l))).await?;
        Ok(ObservedLoadBalancer {
            resource: found.resource,
            tags: found.tags,
            attributes,
            capacity,
            listeners,
        })
    }

    async fn listener(&self, desired: &Desired, listener: Listener) -> Result<ObservedListener> {
        let wanted = desired.listeners.iter().find(|wanted| wanted.port == listener.port);
        let mut sni_certificates = BTreeSet::new();
        if listener.protocol == Protocol::Tls {
            let certificates = self.aws.listener_certificates(&listener.arn).await?;
            sni_certificates = certificates.into_iter().filter(|c| !c.is_default).map(|c| c.arn).collect();
        }
        let attributes = match wanted.is_some_and(|wanted| !wanted.attributes.is_empty()) {
            true => self.aws.listener_attributes(&listener.arn).await?,
            false => Attributes::new(),
        };
        Ok(ObservedListener { resource: listener, sni_certificates, attributes })
    }

    async fn target_group(
        &self,
        desired: &Desired,
        found: FoundResource<TargetGroup>,
    ) -> Result<ObservedTargetGroup> {
        let arn = &found.resource.arn;
        let wanted = desired.target_groups.iter().any(|wanted| !wanted.attributes.is_empty());
        let attributes = match wanted || found.tags.contains_key(SET_ATTRIBUTES_TAG) {
            true => self.aws.target_group_attributes(arn).await?,
            false => Attributes::new(),
        };
        let targets = self.aws.target_health(arn, &[]).await?;
        Ok(ObservedTargetGroup { resource: found.resource, tags: found.tags, attributes, targets })
    }

    /// The security groups that carry our cluster's tag: one question for all Services.
    ///
    /// # Errors
    /// When EC2 does not answer.
    pub async fn cluster_groups(&self) -> Result<Arc<Vec<SecurityGroup>>> {
        let query = SecurityGroupQuery {
            tags: vec![TagFilter::equals(CLUSTER_TAG, &self.config.cluster)],
            ..SecurityGroupQuery::default()
        };
        self.aws.security_groups(&query).await
    }

    /// The security groups with these ids.
    ///
    /// # Errors
    /// When EC2 does not answer.
    pub async fn node_groups(&self, ids: &BTreeSet<String>) -> Result<Arc<Vec<SecurityGroup>>> {
        if ids.is_empty() {
            return Ok(Arc::default());
        }
        let query =
            SecurityGroupQuery { ids: ids.iter().cloned().collect(), ..SecurityGroupQuery::default() };
        self.aws.security_groups(&query).await
    }

    /// The Service's own groups, the one among them that its load balancer brought along from another controller.
    pub(crate) fn frontends(
        &self,
        service: &ServiceId,
        found: &Found,
        groups: &[SecurityGroup],
    ) -> Vec<SecurityGroup> {
        let names = Names::new(&self.config.cluster, service);
        let frontend_name = names.frontend_group();
        let comes_along = |group: &SecurityGroup| {
            let carries = |lb: &FoundResource<LoadBalancer>| lb.resource.security_groups.contains(&group.id);
            group.name == frontend_name
                && !group.tags.contains_key(UID_TAG)
                && (self.config.adopt || found.load_balancers.values().any(carries))
        };
        groups.iter().filter(|group| names.owns(&group.tags) || comes_along(group)).cloned().collect()
    }
}

/// The group that is the source in the rules on the nodes, among the cluster's groups.
pub fn nodes_source(cluster: &str, groups: &[SecurityGroup]) -> Option<SecurityGroup> {
    let name = naming::nodes_source_group(cluster);
    groups.iter().find(|group| group.name == name).cloned()
}
