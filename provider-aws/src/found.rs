//! What exists for one Service, by the shared view alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_provider::ServiceView;

use crate::client::{LoadBalancer, Snapshot, Tags, TargetGroup};

/// What exists for one Service, by the shared view alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Load balancers that are this Service's, or are to become so, by ARN.
    pub load_balancers: BTreeMap<String, FoundResource<LoadBalancer>>,
    /// Target groups likewise.
    pub target_groups: BTreeMap<String, FoundResource<TargetGroup>>,
}

/// One resource with its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundResource<T> {
    /// As AWS describes it.
    pub resource: Arc<T>,
    /// Its tags.
    pub tags: Arc<Tags>,
}

impl Found {
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        let load_balancers = snapshot
            .load_balancers
            .into_iter()
            .map(|(arn, lb)| (arn, FoundResource { resource: lb.resource, tags: lb.tags }));
        let target_groups = snapshot
            .target_groups
            .into_iter()
            .map(|(arn, tg)| (arn, FoundResource { resource: tg.resource, tags: tg.tags }));
        Found { load_balancers: load_balancers.collect(), target_groups: target_groups.collect() }
    }

    /// Without what is in another VPC than this one, if it is known.
    pub(crate) fn within(mut self, vpc_id: Option<&str>) -> Self {
        if let Some(vpc_id) = vpc_id {
            self.load_balancers.retain(|_, lb| lb.resource.vpc_id == vpc_id);
            self.target_groups.retain(|_, tg| tg.resource.vpc_id == vpc_id);
        }
        self
    }

    /// Whether nothing exists.
    pub fn is_empty(&self) -> bool {
        self.load_balancers.is_empty() && self.target_groups.is_empty()
    }
}

/// The host names that the Service's status shows.
pub(crate) fn hostnames(service: &ServiceView) -> BTreeSet<String> {
    service.published.iter().filter_map(|entry| entry.hostname.as_ref()).map(|h| h.to_lowercase()).collect()
}
