//! The state of the account.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    super::{
        Attributes, Call, CapacityReservation, Instance, Listener, LoadBalancer, LoadBalancerState, Page,
        RouteTable, SecurityGroup, Subnet, Tags, Target, TargetGroup, TargetState, Vpc, Zone,
    },
    faults::Faults,
    lags::{Countdown, Lags},
    quotas::Quotas,
    refusal::{Answered, refuse},
    throttle::Throttle,
};

pub(super) const REGION: &str = "us-east-1";
pub(super) const ACCOUNT: &str = "123456789012";

#[derive(Debug)]
pub(super) struct AccountState {
    pub(super) now: Instant,
    pub(super) lags: Lags,
    pub(super) quotas: Quotas,
    pub(super) faults: Faults,
    pub(super) throttle: Throttle,
    /// The only IAM actions that are permitted, if some are not.
    pub(super) permitted: Option<BTreeSet<String>>,
    pub(super) latency: Duration,
    pub(super) requests: Vec<Call>,
    last_id: u64,

    pub(super) vpcs: BTreeMap<String, Vpc>,
    /// VPCs with an internet gateway.
    pub(super) internet_gateways: BTreeSet<String>,
    pub(super) subnets: BTreeMap<String, Subnet>,
    pub(super) route_tables: BTreeMap<String, RouteTable>,
    pub(super) zones: BTreeMap<String, Zone>,
    pub(super) instances: BTreeMap<String, Instance>,
    pub(super) addresses: BTreeMap<String, ElasticIp>,
    pub(super) certificates: BTreeSet<String>,
    /// Prefix lists with their greatest number of entries.
    pub(super) prefix_lists: BTreeMap<String, usize>,

    pub(super) security_groups: BTreeMap<String, GroupRecord>,
    pub(super) load_balancers: BTreeMap<String, LoadBalancerRecord>,
    pub(super) listeners: BTreeMap<String, ListenerRecord>,
    pub(super) target_groups: BTreeMap<String, TargetGroupRecord>,
    pub(super) lingering: Vec<Lingering>,
    pub(super) ghosts: Vec<(LoadBalancer, Countdown)>,
    pub(super) unwell: BTreeMap<String, TargetState>,

    /// Load balancers and security groups that were there before, with the rules they had.
    pub(super) seeded: BTreeMap<String, Vec<super::super::IngressRule>>,
}

#[derive(Debug)]
pub(super) struct ElasticIp {
    pub(super) address: Ipv4Addr,
    pub(super) used_by: Option<String>,
}

#[derive(Debug)]
pub(super) struct GroupRecord {
    pub(super) group: SecurityGroup,
    pub(super) hidden: Countdown,
}

#[derive(Debug)]
pub(super) struct LoadBalancerRecord {
    pub(super) lb: LoadBalancer,
    pub(super) provisioning: Countdown,
    pub(super) made_without_groups: bool,
    pub(super) endpoint_service: bool,
    /// Zones that were taken out and that AWS has not let go of yet.
    pub(super) leaving_zones: BTreeMap<String, Countdown>,
    /// Runs while reserved capacity is being provided.
    pub(super) capacity_pending: Countdown,
    /// What has become of it, once it is no longer provisioning.
    pub(super) outcome: LoadBalancerState,
    pub(super) attributes: Attributes,
    pub(super) capacity: CapacityReservation,
    pub(super) tags: Tags,
}

#[derive(Debug)]
pub(super) struct ListenerRecord {
    pub(super) listener: Listener,
    pub(super) hidden: Countdown,
    pub(super) attributes: Attributes,
    /// Certificates besides the default one.
    pub(super) certificates: BTreeSet<String>,
    pub(super) tags: Tags,
}

#[derive(Debug)]
pub(super) struct TargetGroupRecord {
    pub(super) tg: TargetGroup,
    pub(super) attributes: Attributes,
    pub(super) tags: Tags,
    pub(super) targets: BTreeMap<(String, u16), TargetRecord>,
    /// Runs after the last listener has let go.
    pub(super) released: Countdown,
}

#[derive(Debug)]
pub(super) struct TargetRecord {
    pub(super) target: Target,
    pub(super) checks: Countdown,
    /// Set once deregistered.
    pub(super) draining: Option<Countdown>,
}

/// Network interfaces of a deleted load balancer.
#[derive(Debug)]
pub(super) struct Lingering {
    pub(super) groups: BTreeSet<String>,
    pub(super) until: Countdown,
}

impl Default for AccountState {
    fn default() -> Self {
        Self {
            now: Instant::now(),
            lags: Lags::default(),
            quotas: Quotas::default(),
            faults: Faults::default(),
            throttle: Throttle::default(),
            permitted: None,
            latency: Duration::ZERO,
            requests: Vec::new(),
            last_id: 0,
            vpcs: BTreeMap::new(),
            internet_gateways: BTreeSet::new(),
            subnets: BTreeMap::new(),
            route_tables: BTreeMap::new(),
            zones: BTreeMap::new(),
            instances: BTreeMap::new(),
            addresses: BTreeMap::new(),
            certificates: BTreeSet::new(),
            prefix_lists: BTreeMap::new(),
            security_groups: BTreeMap::new(),
            load_balancers: BTreeMap::new(),
            listeners: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            lingering: Vec::new(),
            ghosts: Vec::new(),
            unwell: BTreeMap::new(),
            seeded: BTreeMap::new(),
        }
    }
}

impl AccountState {
    /// A number nothing else has.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// An id as EC2 makes them.
    pub(super) fn next_id(&mut self, kind: &str) -> String {
        format!("{kind}-{:017x}", self.next_number())
    }

    pub(super) fn arn(&self, rest: &str) -> String {
        format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{rest}")
    }

    /// Each resource is a minute younger than the one before.
    pub(super) fn birth(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + 60 * self.last_id)
    }

    /// Whether the caller may make this request.
    pub(super) fn permits(&self, call: Call) -> Answered<()> {
        let Some(permitted) = &self.permitted else { return Ok(()) };
        match call.needed_actions().find(|action| !permitted.contains(*action)) {
            Some(action) if call.action().starts_with("ec2:") => {
                refuse("UnauthorizedOperation", format!("You are not authorized to perform: {action}"))
            }
            Some(action) => refuse("AccessDenied", format!("User is not authorized to perform: {action}")),
            None => Ok(()),
        }
    }

    /// Cuts a page out of a list.
    pub(super) fn page<T>(&self, items: Vec<T>, page: Option<&str>) -> Answered<Page<T>> {
        let begin = match page.map(str::parse::<usize>) {
            None => 0,
            Some(Ok(begin)) if begin <= items.len() => begin,
            Some(_) => return refuse("ValidationError", "The marker is not valid"),
        };
        let end = (begin + self.quotas.page_size).min(items.len());
        let next = (end < items.len()).then(|| end.to_string());
        Ok(Page { items: items.into_iter().skip(begin).take(end - begin).collect(), next })
    }

    pub(super) fn settle(&mut self) {
        for record in self.load_balancers.values_mut() {
            record.provisioning = Countdown::Over;
            record.leaving_zones.clear();
            record.capacity_pending = Countdown::Over;
        }
        for record in self.listeners.values_mut() {
            record.hidden = Countdown::Over;
        }
        for record in self.target_groups.values_mut() {
            record.released = Countdown::Over;
            record.targets.retain(|_, target| target.draining.is_none());
            record.targets.values_mut().for_each(|target| target.checks = Countdown::Over);
        }
        for record in self.security_groups.values_mut() {
            record.hidden = Countdown::Over;
        }
        self.lingering.clear();
        self.ghosts.clear();
    }
}
