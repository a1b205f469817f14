//! AWS as the rest of the crate sees it.

mod reads;
mod writes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    ARNS_PER_CALL, Call, Ec2, Elbv2, FILTER_VALUES, Instance, RouteTable, SecurityGroup, SecurityGroupQuery,
    Subnet, SubnetQuery, Tags, Vpc, Zone,
    batch::Batch,
    cache::SharedAnswers,
    snapshot::{Patch, Snapshots},
};

/// AWS with shared reads: every request the crate makes goes through one of these.
///
/// Reads are named after what they return, writes after AWS's request. All pages of a list are read. What is neither
/// shared nor taken note of is asked of [`elbv2`](Self::elbv2).
///
/// # What is shared
/// | read | |
/// |---|---|
/// | [`subnets`](Self::subnets), [`vpc`](Self::vpc), [`route_tables`](Self::route_tables), [`zones`](Self::zones) | kept for [`SharingOptions::keep_network`] |
/// | [`security_groups`](Self::security_groups) | kept for [`SharingOptions::keep_security_groups`], changed along when this process changes them |
/// | [`instances`](Self::instances) | asked for together, found ones kept for [`SharingOptions::keep_instances`] |
/// | [`tags`](Self::tags) | asked for together, 20 resources a request |
/// | [`snapshot`](Self::snapshot), [`glance`](Self::glance), [`tagged`](Self::tagged) | one for all callers, at most as old as the caller says |
/// | all others | asked anew each time |
///
/// # Guarantees
/// - A read that begins after a write of this process has ended, well or not, is not answered from before it.
/// - A caller that gives up, or fails, does not make another one fail.
///
/// Cheap to clone; clones share everything. Needs a tokio runtime.
#[derive(Clone)]
pub struct Aws {
    inner: Arc<Inner>,
}

struct Inner {
    elbv2: Arc<dyn Elbv2>,
    ec2: Arc<dyn Ec2>,
    options: SharingOptions,
    subnets: SharedAnswers<SubnetQuery, Arc<Vec<Subnet>>>,
    vpcs: SharedAnswers<String, Option<Arc<Vpc>>>,
    route_tables: SharedAnswers<String, Arc<Vec<RouteTable>>>,
    zones: SharedAnswers<(), Arc<Vec<Zone>>>,
    security_groups: SharedAnswers<SecurityGroupQuery, Arc<Vec<SecurityGroup>>>,
    instances: Mutex<BTreeMap<String, (Arc<Instance>, Instant)>>,
    instance_batch: Batch<Arc<Instance>>,
    tag_batch: Batch<Tags>,
    snapshots: Arc<Snapshots>,
}

/// How long answers of AWS are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharingOptions {
    /// Subnets, VPCs, route tables, zones; 5 minutes. They are other people's and change seldom, but a new
    /// subnet should be found without a restart.
    pub keep_network: Duration,
    /// Security groups, which other people may change; 10 minutes.
    pub keep_security_groups: Duration,
    /// Instances that were found; 10 minutes. VPC, zone and security groups of an instance hardly change;
    /// whether it still runs is told by `RegisterTargets`.
    pub keep_instances: Duration,
    /// Tags in the snapshot; 1 hour. Other people seldom change the tags of load balancers, and reading them
    /// is what a renewal of the snapshot costs most.
    pub keep_tags: Duration,
    /// How long a question waits for others to go with it; 10 ms.
    pub gather: Duration,
}

impl Default for SharingOptions {
    fn default() -> Self {
        Self {
            keep_network: Duration::from_secs(5 * 60),
            keep_security_groups: Duration::from_secs(10 * 60),
            keep_instances: Duration::from_secs(10 * 60),
            keep_tags: Duration::from_secs(60 * 60),
            gather: Duration::from_millis(10),
        }
    }
}

impl Aws {
    /// Shares the reads of `api`, which is one of the implementations of the seam or a wrapper around one.
    pub fn new(api: impl Elbv2 + Ec2 + 'static, options: SharingOptions) -> Self {
        let api = Arc::new(api);
        let (elbv2, ec2): (Arc<dyn Elbv2>, Arc<dyn Ec2>) = (api.clone(), api);
        let snapshots = Arc::<Snapshots>::default();
        let tag_batch = {
            let (elbv2, snapshots) = (elbv2.clone(), snapshots.clone());
            let fetch = move |arns| -> futures::future::BoxFuture<'static, _> {
                let (elbv2, snapshots) = (elbv2.clone(), snapshots.clone());
                Box::pin(async move {
                    let found = reads::tags_of_those_left(elbv2.as_ref(), arns).await?;
                    // For all who asked, before the first of them goes on and misses the tags of the others.
                    snapshots.patch(Patch::Tags(found.clone()));
                    Ok(found)
                })
            };
            Batch::new(Call::DescribeTags, options.gather, ARNS_PER_CALL, Arc::new(fetch))
        };
        let instance_batch = {
            let ec2 = ec2.clone();
            let fetch = move |ids| -> futures::future::BoxFuture<'static, _> {
                let ec2 = ec2.clone();
                Box::pin(async move { reads::instances_by_id(ec2.as_ref(), ids).await })
            };
            Batch::new(Call::DescribeInstances, options.gather, FILTER_VALUES, Arc::new(fetch))
        };
        let inner = Inner {
            elbv2,
            ec2,
            options,
            subnets: SharedAnswers::new(options.keep_network),
            vpcs: SharedAnswers::new(options.keep_network),
            route_tables: SharedAnswers::new(options.keep_network),
            zones: SharedAnswers::new(options.keep_network),
            security_groups: SharedAnswers::new(options.keep_security_groups),
            instances: Mutex::default(),
            instance_batch,
            tag_batch,
            snapshots,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The requests themselves, for what nothing here has to know of: reads that nobody shares, and changes of what no
    /// shared answer shows. Whatever changes tags, a security group, or what a load balancer or a target group is
    /// described by has a method here, which takes note of it.
    pub fn elbv2(&self) -> &dyn Elbv2 {
        self.inner.elbv2.as_ref()
    }
}
