//! Reads: pages followed, questions joined, answers shared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cloud_provider::Ordered;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{
    super::{
        Certificate, Ec2, Elbv2, Instance, Listener, LoadBalancer, Page, Result, RouteTable, SecurityGroup,
        SecurityGroupQuery, Select, Snapshot, Subnet, SubnetQuery, TagFilter, Tags, TargetGroup, Vpc, Zone,
        snapshot::{Patch, SnapshotSource},
    },
    Aws, Inner,
};
use crate::client::error::ErrorKind;

/// Reads a list to its end.
macro_rules! all_pages {
    ($page:ident => $request:expr) => {{
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let $page = next.as_deref();
            let page: Page<_> = $request.await?;
            items.extend(page.items);
            next = page.next;
            if next.is_none() {
                break items;
            }
        }
    }};
}

impl Aws {
    /// The selected load balancers, of every VPC and sort. Also freshens what the snapshot knows of them.
    ///
    /// # Errors
    /// `LoadBalancerNotFound` when one of the selected is absent.
    pub async fn load_balancers(&self, select: &Select) -> Result<Vec<LoadBalancer>> {
        let found = self.inner.list_load_balancers(select).await?;
        for lb in &found {
            self.inner.snapshots.patch(Patch::LoadBalancer(lb.clone()));
        }
        Ok(found)
    }

    /// The selected target groups. Also freshens what the snapshot knows of them.
    ///
    /// # Errors
    /// `TargetGroupNotFound` when one of the selected is absent.
    pub async fn target_groups(&self, select: &Select) -> Result<Vec<TargetGroup>> {
        let found = self.inner.list_target_groups(select).await?;
        for tg in &found {
            self.inner.snapshots.patch(Patch::TargetGroup(tg.clone()));
        }
        Ok(found)
    }

    /// Leaves resources outside this VPC out of the snapshot from its next reading on: they are never ours, and
    /// reading the tags of other people's is what a snapshot of a large account would cost most. The VPC
    /// that was given first stays.
    pub fn limit_to_vpc(&self, vpc_id: &str) {
        self.inner.snapshots.limit_to_vpc(vpc_id);
    }

    /// All network load balancers and target groups, known to be so not longer than `max_age` ago, with the tags that tell
    /// whose they are (not older than [`SharingOptions::keep_tags`](super::SharingOptions)). Zero asks AWS for the lists
    /// anew.
    ///
    /// Copies a list of everything; for the resources of one Service use [`tagged`](Self::tagged).
    ///
    /// # Errors
    /// General ones only; what was read until then is kept for the next try.
    pub async fn snapshot(&self, max_age: Duration) -> Result<Snapshot> {
        self.glance(&[], max_age).await
    }

    /// The part of the [`snapshot`](Self::snapshot) that meets all the conditions, as far as it is known whose it is: target
    /// groups in use, whose tags nobody has needed so far, are told apart.
    ///
    /// # Errors
    /// As for [`snapshot`](Self::snapshot).
    pub async fn glance(&self, conditions: &[TagFilter], max_age: Duration) -> Result<Snapshot> {
        self.inner.renew_snapshot(max_age).await?;
        Ok(self.inner.snapshots.matching(conditions))
    }

    /// All that meets all the conditions.
    ///
    /// # Errors
    /// As for [`snapshot`](Self::snapshot).
    pub async fn tagged(&self, conditions: &[TagFilter], max_age: Duration) -> Result<Snapshot> {
        let mut found = self.glance(conditions, max_age).await?;
        if !found.unread_target_groups.is_empty() {
            self.inner.snapshots.read_unread(self.inner.as_ref(), &found).await?;
            found = self.inner.snapshots.matching(conditions);
            // What came into use meanwhile is another look's.
            found.unread_target_groups.clear();
        }
        Ok(found)
    }

    /// Whether there is a load balancer in this VPC that meets all the conditions.
    ///
    /// # Errors
    /// As for [`snapshot`](Self::snapshot).
    pub async fn has_load_balancer(
        &self,
        conditions: &[TagFilter],
        vpc_id: &str,
        max_age: Duration,
    ) -> Result<bool> {
        self.inner.renew_snapshot(max_age).await?;
        Ok(self.inner.snapshots.is_any(conditions, |lb| lb.vpc_id == vpc_id))
    }

    /// Tags of load balancers, target groups and listeners, by ARN. Absent resources are left out; others in
    /// the same request do not suffer from them.
    ///
    /// # Errors
    /// General ones only.
    pub async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>> {
        self.inner.tag_batch.get(arns.iter().cloned()).await
    }

    /// The listeners of a load balancer.
    ///
    /// # Errors
    /// `LoadBalancerNotFound`.
    pub async fn listeners(&self, load_balancer: &str) -> Result<Vec<Listener>> {
        let elbv2 = &self.inner.elbv2;
        Ok(all_pages!(page => elbv2.describe_listeners(load_balancer, page)))
    }

    /// All certificates of a TLS listener, the default one among them, each once.
    ///
    /// # Errors
    /// `ListenerNotFound`.
    pub async fn listener_certificates(&self, listener: &str) -> Result<BTreeSet<Certificate>> {
        let elbv2 = &self.inner.elbv2;
        let listed = all_pages!(page => elbv2.describe_listener_certificates(listener, page));
        Ok(listed.into_iter().ordered())
    }

    /// Subnets that meet the query.
    ///
    /// # Errors
    /// General ones only.
    pub async fn subnets(&self, query: &SubnetQuery) -> Result<Arc<Vec<Subnet>>> {
        let ec2 = &self.inner.ec2;
        let ask = || async { Ok(Arc::new(all_pages!(page => ec2.describe_subnets(query, page)))) };
        self.inner.subnets.get(query.clone(), ask).await
    }

    /// The VPC with this id, if there is one.
    ///
    /// # Errors
    /// General ones only.
    pub async fn vpc(&self, id: &str) -> Result<Option<Arc<Vpc>>> {
        let ids = [id.to_owned()];
        let ec2 = &self.inner.ec2;
        let ask = || async { Ok(all_pages!(page => ec2.describe_vpcs(&ids, page)).pop().map(Arc::new)) };
        self.inner.vpcs.get(id.to_owned(), ask).await
    }

    /// The route tables of a VPC.
    ///
    /// # Errors
    /// General ones only.
    pub async fn route_tables(&self, vpc_id: &str) -> Result<Arc<Vec<RouteTable>>> {
        let ec2 = &self.inner.ec2;
        let ask = || async { Ok(Arc::new(all_pages!(page => ec2.describe_route_tables(vpc_id, page)))) };
        self.inner.route_tables.get(vpc_id.to_owned(), ask).await
    }

    /// The zones of this region.
    ///
    /// # Errors
    /// General ones only.
    pub async fn zones(&self) -> Result<Arc<Vec<Zone>>> {
        let ask = || async { self.inner.ec2.describe_availability_zones().await.map(Arc::new) };
        self.inner.zones.get((), ask).await
    }

    /// Security groups that meet the query.
    ///
    /// # Errors
    /// General ones only.
    pub async fn security_groups(&self, query: &SecurityGroupQuery) -> Result<Arc<Vec<SecurityGroup>>> {
        let ec2 = &self.inner.ec2;
        let ask = || async { Ok(Arc::new(all_pages!(page => ec2.describe_security_groups(query, page)))) };
        self.inner.security_groups.get(query.clone(), ask).await
    }

    /// Instances by id; absent ones are left out, and asked for again the next time.
    ///
    /// # Errors
    /// General ones only.
    pub async fn instances(&self, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Arc<Instance>>> {
        let mut found = self.inner.kept_instances(ids);
        let missing: Vec<String> = ids.iter().filter(|id| !found.contains_key(*id)).cloned().collect();
        if !missing.is_empty() {
            let fresh = self.inner.instance_batch.get(missing).await?;
            self.inner.keep_instances(&fresh);
            found.extend(fresh);
        }
        Ok(found)
    }

    /// Forgets what is kept of security groups: a group that was made a moment ago may have been missing from an
    /// answer.
    pub fn forget_security_groups(&self) {
        self.inner.security_groups.forget_where(|_, _| true);
    }

    /// Forgets what is kept of these instances, when AWS has answered as if it were out of date.
    pub fn forget_instances<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let mut kept = self.inner.instances.lock();
        for id in ids {
            kept.remove(id);
        }
    }
}

impl Inner {
    async fn list_load_balancers(&self, select: &Select) -> Result<Vec<LoadBalancer>> {
        Ok(all_pages!(page => self.elbv2.describe_load_balancers(select, page)))
    }

    async fn list_target_groups(&self, select: &Select) -> Result<Vec<TargetGroup>> {
        Ok(all_pages!(page => self.elbv2.describe_target_groups(select, page)))
    }

    async fn renew_snapshot(&self, max_age: Duration) -> Result<()> {
        self.snapshots.renew(self, max_age, self.options.keep_tags).await
    }

    fn kept_instances(&self, ids: &BTreeSet<String>) -> BTreeMap<String, Arc<Instance>> {
        let mut kept = self.instances.lock();
        kept.retain(|_, (_, read)| read.elapsed() < self.options.keep_instances);
        ids.iter().filter_map(|id| kept.get(id).map(|(instance, _)| (id.clone(), instance.clone()))).ordered()
    }

    fn keep_instances(&self, found: &BTreeMap<String, Arc<Instance>>) {
        let now = Instant::now();
        let mut kept = self.instances.lock();
        kept.extend(found.iter().map(|(id, instance)| (id.clone(), (instance.clone(), now))));
    }
}

#[async_trait::async_trait]
impl SnapshotSource for Inner {
    async fn all_load_balancers(&self) -> Result<Vec<LoadBalancer>> {
        self.list_load_balancers(&Select::All).await
    }

    async fn all_target_groups(&self) -> Result<Vec<TargetGroup>> {
        self.list_target_groups(&Select::All).await
    }

    async fn some_tags(&self, arns: Vec<String>) -> Result<BTreeMap<String, Tags>> {
        tags_of_those_left(self.elbv2.as_ref(), arns).await
    }
}

/// Tags of the resources that still exist, asked for by kind.
pub(super) async fn tags_of_those_left(
    elbv2: &dyn Elbv2,
    arns: Vec<String>,
) -> Result<BTreeMap<String, Tags>> {
    let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for arn in &arns {
        by_kind.entry(kind(arn)).or_default().push(arn.clone());
    }
    let asked = by_kind.into_values().map(|arns| tags_of_a_kind(elbv2, arns));
    Ok(futures::future::try_join_all(asked).await?.into_iter().flatten().ordered())
}

/// `arn:aws:elasticloadbalancing:region:account:KIND/...`
fn kind(arn: &str) -> &str {
    arn.split(':').nth(5).and_then(|resource| resource.split('/').next()).unwrap_or_default()
}

/// AWS fails the whole request for one resource that does not exist, without a dependable word on which, so the
/// request is halved until it is found.
fn tags_of_a_kind(elbv2: &dyn Elbv2, arns: Vec<String>) -> BoxFuture<'_, Result<BTreeMap<String, Tags>>> {
    Box::pin(async move {
        match elbv2.describe_tags(&arns).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                if arns.len() <= 1 {
                    return Ok(BTreeMap::new());
                }
                let (left, right) = arns.split_at(arns.len() / 2);
                let mut found = tags_of_a_kind(elbv2, left.to_vec()).await?;
                found.extend(tags_of_a_kind(elbv2, right.to_vec()).await?);
                Ok(found)
            }
            result => result,
        }
    })
}

pub(super) async fn instances_by_id(
    ec2: &dyn Ec2,
    ids: Vec<String>,
) -> Result<BTreeMap<String, Arc<Instance>>> {
    let found = all_pages!(page => ec2.describe_instances(&ids, page));
    Ok(found.into_iter().map(|instance| (instance.id.clone(), Arc::new(instance))).ordered())
}
