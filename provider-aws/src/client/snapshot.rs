//! What the account holds, read once for all Services.
//!
//! # What a resync costs
//! AWS lists load balancers and target groups in pages of 400 and tells tags 20 resources at a time; listeners,
//! attributes and target health can only be asked for one resource at a time. So a [`Snapshot`] holds load
//! balancers, target groups and their tags, and nothing else: for 1,000 Services with one target group each
//! that is 3 + 3 + 100 requests, shared by all. Tags, the dearest part, are read again only when they are older
//! than [`SharingOptions::keep_tags`](super::SharingOptions); until then a renewal costs the 6 requests of the
//! lists. Whoever needs to know that listeners and attributes are as they were put records in a tag what was
//! applied, and looks at the resources one by one at its leisure.
//!
//! Changes made through the same [`Aws`](super::Aws) are in the next snapshot without a request. A create
//! or delete whose outcome is unknown makes the next snapshot read the lists anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{LoadBalancer, LoadBalancerKind, Result, Tags, TargetGroup};

/// A resource and its tags. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tagged<T> {
    /// The resource.
    pub resource: Arc<T>,
    /// Its tags as AWS told them, with this process's own changes since. Never assumed from a create: a
    /// create may return somebody else's resource.
    pub tags: Arc<Tags>,
}

/// The network load balancers and target groups of the account in this region, or of the VPC the snapshot
/// is [limited to](super::Aws::limit_to_vpc), with their tags; or those of them that are one Service's.
///
/// `TargetGroup::load_balancer_arns` and `LoadBalancer::state` are as AWS told them last; they are not kept
/// up with changes of listeners or with time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Network load balancers, by ARN.
    pub load_balancers: BTreeMap<String, Tagged<LoadBalancer>>,
    /// Target groups, by ARN.
    pub target_groups: BTreeMap<String, Tagged<TargetGroup>>,
}

impl Snapshot {
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

/// One change to what is known.
#[derive(Clone, Debug)]
pub(super) enum Patch {
    LoadBalancer(LoadBalancer),
    ChangeLoadBalancer(String, LoadBalancerChange),
    TargetGroup(TargetGroup),
    ChangeHealthCheck(String, super::HealthCheck),
    Tags(BTreeMap<String, Tags>),
    AddTags(String, Tags),
    RemoveTags(String, Vec<String>),
    ForgetTags(String),
    Gone(String),
}

/// A change of a load balancer that AWS has made.
#[derive(Clone, Debug)]
pub(super) enum LoadBalancerChange {
    Zones(Vec<super::ZoneMapping>, Option<bool>, Option<super::IpAddressType>),
    SecurityGroups(BTreeSet<String>, Option<bool>),
    IpAddressType(super::IpAddressType),
}

/// Where the snapshot reads from.
#[async_trait::async_trait]
pub(super) trait SnapshotSource: Send + Sync {
    async fn all_load_balancers(&self) -> Result<Vec<LoadBalancer>>;
    async fn all_target_groups(&self) -> Result<Vec<TargetGroup>>;
    /// Tags of at most 20 resources; what is gone is left out.
    async fn some_tags(&self, arns: Vec<String>) -> Result<BTreeMap<String, Tags>>;
}

/// Keeps the snapshot.
#[derive(Default)]
pub(super) struct Snapshots {
    /// The only VPC of interest, once it is known.
    vpc: OnceLock<String>,
    known: Mutex<KnownResources>,
    /// Held while lists or tags are read, so that they are read once.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct KnownResources {
    load_balancers: BTreeMap<String, SnapshotEntry<LoadBalancer>>,
    target_groups: BTreeMap<String, SnapshotEntry<TargetGroup>>,
    /// When the lists were asked for; none if they have to be read anew.
    listed: Option<Instant>,
    /// What happened since a reading of the lists began, while one is under way.
    since: Option<Vec<Patch>>,
}

struct SnapshotEntry<T> {
    resource: Arc<T>,
    tags: Option<(Arc<Tags>, Instant)>,
}

/// How many tag requests a reading keeps in line at once. Few: other callers wait behind them for their turn.
const TAG_REQUESTS_IN_LINE: usize = 2;

impl Snapshots {
    /// Makes sure that what is known is at most `max_age` old and that all tags are.
    pub(super) async fn renew(
        &self,
        source: &dyn SnapshotSource,
        max_age: Duration,
        keep_tags: Duration,
    ) -> Result<()> {
        let asked = Instant::now();
        if self.known().is_fresh(asked, max_age, keep_tags) {
            return Ok(());
        }
        let _reading = self.reading.lock().await;
        // Whoever was first may have read all there is to know after this caller asked.
        if !self.known().lists_are_fresh(asked, max_age) {
            self.read_lists(source).await?;
        }
        self.read_tags(source, keep_tags).await
    }

    /// Leaves out what is not in this VPC from the next reading on. The first VPC stays.
    pub(super) fn limit_to_vpc(&self, vpc_id: &str) {
        self.vpc.get_or_init(|| vpc_id.to_owned());
    }

    fn is_of_interest(&self, vpc_id: &str) -> bool {
        self.vpc.get().is_none_or(|vpc| vpc == vpc_id)
    }

    /// All that is known.
    pub(super) fn all(&self) -> Snapshot {
        self.matching(|_| true)
    }

    /// What is known of resources with tags like this.
    pub(super) fn matching(&self, wanted: impl Fn(&Tags) -> bool) -> Snapshot {
        let known = self.known();
        Snapshot {
            load_balancers: matching(&known.load_balancers, &wanted),
            target_groups: matching(&known.target_groups, &wanted),
        }
    }

    /// Takes note of a change or of fresh knowledge.
    pub(super) fn patch(&self, patch: Patch) {
        let vpc_id = match &patch {
            Patch::LoadBalancer(lb) => Some(&lb.vpc_id),
            Patch::TargetGroup(tg) => Some(&tg.vpc_id),
            _ => None,
        };
        if vpc_id.is_some_and(|vpc_id| !self.is_of_interest(vpc_id)) {
            return;
        }
        let mut known = self.known();
        if let Some(since) = &mut known.since {
            since.push(patch.clone());
        }
        known.apply(patch, Instant::now());
    }

    /// Something may have happened that is not known: the lists have to be read anew, and a reading that is
    /// under way may have missed it.
    pub(super) fn doubt(&self) {
        let mut known = self.known();
        known.listed = None;
        known.since = None;
    }

    async fn read_lists(&self, source: &dyn SnapshotSource) -> Result<()> {
        let began = Instant::now();
        self.known().since = Some(Vec::new());
        let lists = futures::try_join!(source.all_load_balancers(), source.all_target_groups());
        let mut known = self.known();
        let since = known.since.take();
        let (load_balancers, target_groups) = lists?;
        let network = load_balancers
            .into_iter()
            .filter(|lb| lb.kind == LoadBalancerKind::Network && self.is_of_interest(&lb.vpc_id));
        replace(&mut known.load_balancers, network.map(|lb| (lb.arn.clone(), lb)));
        let target_groups = target_groups.into_iter().filter(|tg| self.is_of_interest(&tg.vpc_id));
        replace(&mut known.target_groups, target_groups.map(|tg| (tg.arn.clone(), tg)));
        known.listed = since.is_some().then_some(began);
        for patch in since.into_iter().flatten() {
            known.apply(patch, began);
        }
        Ok(())
    }

    async fn read_tags(&self, source: &dyn SnapshotSource, keep: Duration) -> Result<()> {
        // Those of one kind together: several kinds are not asked for in one request.
        let arns = self.known().without_tags(Instant::now(), keep);
        let chunks: Vec<Vec<String>> =
            arns.iter().flat_map(|kind| kind.chunks(super::ARNS_PER_CALL)).map(<[String]>::to_vec).collect();
        stream::iter(chunks)
            .map(|chunk| async move {
                let began = Instant::now();
                let tags = source.some_tags(chunk.clone()).await?;
                self.known().tags_were_read(chunk, tags, began);
                Ok(())
            })
            .buffer_unordered(TAG_REQUESTS_IN_LINE)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
    }

    fn known(&self) -> MutexGuard<'_, KnownResources> {
        self.known.lock()
    }
}

impl KnownResources {
    fn is_fresh(&self, now: Instant, max_age: Duration, keep_tags: Duration) -> bool {
        self.lists_are_fresh(now, max_age) && self.without_tags(now, keep_tags).iter().all(Vec::is_empty)
    }

    fn lists_are_fresh(&self, now: Instant, max_age: Duration) -> bool {
        self.listed.is_some_and(|listed| now.saturating_duration_since(listed) <= max_age)
    }

    /// Load balancers, and target groups, whose tags are to be read.
    fn without_tags(&self, now: Instant, keep: Duration) -> [Vec<String>; 2] {
        let stale = |tags: &Option<(Arc<Tags>, Instant)>| match tags {
            Some((_, read)) => now.saturating_duration_since(*read) > keep,
            None => true,
        };
        let load_balancers = self.load_balancers.iter().filter(|(_, e)| stale(&e.tags)).map(|(arn, _)| arn);
        let target_groups = self.target_groups.iter().filter(|(_, e)| stale(&e.tags)).map(|(arn, _)| arn);
        [load_balancers.cloned().collect(), target_groups.cloned().collect()]
    }

    /// What was asked for and is not in the answer is gone, though a list still showed it.
    fn tags_were_read(&mut self, asked: Vec<String>, mut found: BTreeMap<String, Tags>, at: Instant) {
        for arn in asked {
            match found.remove(&arn) {
                // Tags that this process changed meanwhile are newer than the answer.
                Some(tags) if self.tags(&arn).is_some_and(|slot| slot.as_ref().is_none_or(|t| t.1 <= at)) => {
                    self.apply(Patch::Tags(BTreeMap::from([(arn, tags)])), at);
                }
                Some(_) => {}
                None => self.apply(Patch::Gone(arn), at),
            }
        }
    }

    fn tags(&mut self, arn: &str) -> Option<&mut Option<(Arc<Tags>, Instant)>> {
        match self.load_balancers.get_mut(arn) {
            Some(entry) => Some(&mut entry.tags),
            None => self.target_groups.get_mut(arn).map(|entry| &mut entry.tags),
        }
    }

    fn apply(&mut self, patch: Patch, now: Instant) {
        match patch {
            Patch::LoadBalancer(lb) => {
                if lb.kind == LoadBalancerKind::Network {
                    put(&mut self.load_balancers, lb.arn.clone(), lb);
                }
            }
            Patch::ChangeLoadBalancer(arn, change) => {
                if let Some(entry) = self.load_balancers.get_mut(&arn) {
                    change.apply(Arc::make_mut(&mut entry.resource));
                }
            }
            Patch::TargetGroup(tg) => put(&mut self.target_groups, tg.arn.clone(), tg),
            Patch::ChangeHealthCheck(arn, health_check) => {
                if let Some(entry) = self.target_groups.get_mut(&arn) {
                    Arc::make_mut(&mut entry.resource).health_check = health_check;
                }
            }
            Patch::Tags(read) => {
                for (arn, tags) in read {
                    if let Some(slot) = self.tags(&arn) {
                        *slot = Some((Arc::new(tags), now));
                    }
                }
            }
            Patch::AddTags(arn, added) => self.change_tags(&arn, now, |tags| tags.extend(added)),
            Patch::RemoveTags(arn, keys) => {
                self.change_tags(&arn, now, |tags| tags.retain(|key, _| !keys.contains(key)));
            }
            Patch::ForgetTags(arn) => {
                if let Some(slot) = self.tags(&arn) {
                    *slot = None;
                }
            }
            Patch::Gone(arn) => {
                self.load_balancers.remove(&arn);
                self.target_groups.remove(&arn);
            }
        }
    }

    fn change_tags(&mut self, arn: &str, now: Instant, change: impl FnOnce(&mut Tags)) {
        if let Some(Some((tags, read))) = self.tags(arn) {
            change(Arc::make_mut(tags));
            *read = now;
        }
    }
}

fn put<T>(entries: &mut BTreeMap<String, SnapshotEntry<T>>, arn: String, resource: T) {
    let tags = entries.remove(&arn).and_then(|entry| entry.tags);
    entries.insert(arn, SnapshotEntry { resource: Arc::new(resource), tags });
}

/// Takes over a fresh list, with the tags known of what was there before.
fn replace<T>(entries: &mut BTreeMap<String, SnapshotEntry<T>>, list: impl Iterator<Item = (String, T)>) {
    let mut before = std::mem::take(entries);
    for (arn, resource) in list {
        let tags = before.remove(&arn).and_then(|entry| entry.tags);
        entries.insert(arn, SnapshotEntry { resource: Arc::new(resource), tags });
    }
}

/// Resources whose tags are not known yet (made after the tags were read) are left out.
fn matching<T>(
    entries: &BTreeMap<String, SnapshotEntry<T>>,
    wanted: impl Fn(&Tags) -> bool,
) -> BTreeMap<String, Tagged<T>> {
    entries
        .iter()
        .filter_map(|(arn, entry)| {
            let (tags, _) = entry.tags.as_ref().filter(|(tags, _)| wanted(tags))?;
            Some((arn.clone(), Tagged { resource: entry.resource.clone(), tags: tags.clone() }))
        })
        .collect()
}

impl LoadBalancerChange {
    fn apply(self, lb: &mut LoadBalancer) {
        match self {
            Self::Zones(zones, source_nat, ip_address_type) => {
                lb.zones = zones;
                lb.ip_address_type = ip_address_type.unwrap_or(lb.ip_address_type);
                lb.ipv6_source_nat = source_nat.unwrap_or(lb.ipv6_source_nat);
            }
            Self::SecurityGroups(groups, enforce) => {
                lb.security_groups = groups;
                lb.enforce_private_link_inbound = enforce.or(lb.enforce_private_link_inbound);
            }
            Self::IpAddressType(to) => {
                lb.ip_address_type = to;
                if to == super::IpAddressType::Ipv4 {
                    lb.ipv6_source_nat = false;
                    lb.zones.iter_mut().for_each(|zone| zone.source_nat_ipv6_prefixes.clear());
                }
            }
        }
    }
}
