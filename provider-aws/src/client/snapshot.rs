//! What the account holds, read once for all Services.
//!
//! # What a resync costs
//! AWS lists load balancers and target groups in pages of 400 and tells tags 20 resources at a time; listeners,
//! attributes and target health can only be asked for one resource at a time. So a [`Snapshot`] holds load
//! balancers, target groups and tags, and nothing else. Tags are the dearest part, so that they are read of what has to be
//! told apart: of load balancers, and of target groups that none of those uses. Whose one in use is follows from its load
//! balancer, and its tags are read when somebody needs them. For 1,000 Services with one target group each that is
//! 3 + 3 + 50 requests, shared by all. Tags are read again only when they are older than
//! [`SharingOptions::keep_tags`](super::SharingOptions); until then a renewal costs the 6 requests of the lists. Whoever
//! needs to know that listeners and attributes are as they were put records in a tag what was applied, and looks at the
//! resources one by one at its leisure.
//!
//! Changes made through the same [`Aws`](super::Aws) are in the next snapshot without a request. A create
//! or delete whose outcome is unknown makes the next snapshot read the lists anew.

mod index;
mod known;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use self::known::KnownResources;
use super::{LoadBalancer, LoadBalancerKind, Result, TagFilter, Tags, TargetGroup};

/// A resource and its tags. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tagged<T> {
    /// The resource.
    pub resource: Arc<T>,
    /// Its tags as AWS told them, with this process's own changes since. Not assumed from a create, which may return
    /// somebody else's resource, but where it is certain that it did not.
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
    /// Target groups that these load balancers use and whose tags were not read, by ARN. Whether they are of those that
    /// were asked for is not known.
    pub unread_target_groups: BTreeMap<String, Arc<TargetGroup>>,
}

impl Snapshot {
    /// Without what is in another VPC than this one, if it is known.
    pub(crate) fn within(mut self, vpc_id: Option<&str>) -> Self {
        if let Some(vpc_id) = vpc_id {
            self.load_balancers.retain(|_, lb| lb.resource.vpc_id == vpc_id);
            self.target_groups.retain(|_, tg| tg.resource.vpc_id == vpc_id);
            self.unread_target_groups.retain(|_, tg| tg.vpc_id == vpc_id);
        }
        self
    }

    /// Whether nothing exists.
    pub fn is_empty(&self) -> bool {
        self.load_balancers.is_empty()
            && self.target_groups.is_empty()
            && self.unread_target_groups.is_empty()
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
    state: Mutex<SnapshotState>,
    /// Held while lists or tags are read, so that they are read once.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct SnapshotState {
    known: KnownResources,
    /// When the lists were asked for; none if they have to be read anew.
    listed: Option<Instant>,
    /// What happened since a reading of the lists began, while one is under way.
    since: Option<Vec<Patch>>,
}

/// How many tag requests a reading keeps in line at once. Few: other callers wait behind them for their turn.
const TAG_REQUESTS_IN_LINE: usize = 2;

impl Snapshots {
    /// Makes sure that what is known is at most `max_age` old, and the tags that tell whose it is at most `keep_tags`.
    pub(super) async fn renew(
        &self,
        source: &dyn SnapshotSource,
        max_age: Duration,
        keep_tags: Duration,
    ) -> Result<()> {
        let asked = Instant::now();
        {
            let mut state = self.state();
            if state.lists_are_fresh(asked, max_age) && !state.known.lacks_tags(asked, keep_tags) {
                return Ok(());
            }
        }
        let _reading = self.reading.lock().await;
        // Whoever was first may have read all there is to know after this caller asked.
        if !self.state().lists_are_fresh(asked, max_age) {
            self.read_lists(source).await?;
        }
        let unread = {
            let mut state = self.state();
            state.known.lacks_tags(Instant::now(), keep_tags);
            state.known.unread()
        };
        self.read_tags(source, unread).await
    }

    /// Reads the tags of target groups that were not read so far, and those of others as well, as far as they go into the
    /// same requests: who comes next may find them known.
    pub(super) async fn read_unread(&self, source: &dyn SnapshotSource, of: &Snapshot) -> Result<()> {
        let _reading = self.reading.lock().await;
        let arns = self.state().known.put_off_and_more(of.unread_target_groups.keys(), super::ARNS_PER_CALL);
        self.read_tags(source, [arns]).await
    }

    /// Leaves out what is not in this VPC from the next reading on. The first VPC stays.
    pub(super) fn limit_to_vpc(&self, vpc_id: &str) {
        self.vpc.get_or_init(|| vpc_id.to_owned());
    }

    fn is_of_interest(&self, vpc_id: &str) -> bool {
        self.vpc.get().is_none_or(|vpc| vpc == vpc_id)
    }

    /// What is known of resources that meet all the conditions.
    pub(super) fn matching(&self, conditions: &[TagFilter]) -> Snapshot {
        self.state().known.matching(conditions)
    }

    /// Whether a load balancer of which that is so meets all the conditions.
    pub(super) fn is_any(&self, conditions: &[TagFilter], is_so: impl Fn(&LoadBalancer) -> bool) -> bool {
        self.state().known.is_any(conditions, is_so)
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
        let mut state = self.state();
        if let Some(since) = &mut state.since {
            since.push(patch.clone());
        }
        state.known.apply(patch, Instant::now());
    }

    /// Something may have happened that is not known: the lists have to be read anew, and a reading that is
    /// under way may have missed it.
    pub(super) fn doubt(&self) {
        let mut state = self.state();
        state.listed = None;
        state.since = None;
    }

    async fn read_lists(&self, source: &dyn SnapshotSource) -> Result<()> {
        let began = Instant::now();
        self.state().since = Some(Vec::new());
        let lists = futures::try_join!(source.all_load_balancers(), source.all_target_groups());
        let mut state = self.state();
        let since = state.since.take();
        let (load_balancers, target_groups) = lists?;
        let network = load_balancers
            .into_iter()
            .filter(|lb| lb.kind == LoadBalancerKind::Network && self.is_of_interest(&lb.vpc_id));
        let target_groups = target_groups.into_iter().filter(|tg| self.is_of_interest(&tg.vpc_id));
        state.known.replace(network, target_groups);
        state.listed = since.is_some().then_some(began);
        for patch in since.into_iter().flatten() {
            state.known.apply(patch, began);
        }
        Ok(())
    }

    /// Those of one kind together: several kinds are not asked for in one request.
    async fn read_tags(
        &self,
        source: &dyn SnapshotSource,
        by_kind: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<()> {
        let in_requests = |arns: Vec<String>| -> Vec<Vec<String>> {
            arns.chunks(super::ARNS_PER_CALL).map(<[String]>::to_vec).collect()
        };
        let chunks: Vec<Vec<String>> = by_kind.into_iter().flat_map(in_requests).collect();
        stream::iter(chunks)
            .map(|chunk| async move {
                let began = Instant::now();
                let tags = source.some_tags(chunk.clone()).await?;
                self.state().known.tags_were_read(chunk, tags, began);
                Ok(())
            })
            .buffer_unordered(TAG_REQUESTS_IN_LINE)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
    }

    fn state(&self) -> MutexGuard<'_, SnapshotState> {
        self.state.lock()
    }
}

impl SnapshotState {
    fn lists_are_fresh(&self, now: Instant, max_age: Duration) -> bool {
        self.listed.is_some_and(|listed| now.saturating_duration_since(listed) <= max_age)
    }
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
