//! The rules of assignment, told once more in the plainest way, to hold the provider against.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cloud_provider::{FamilyPolicy, IpFamily, ServiceView, TrafficPolicy};
use metallb::pool::Pool;
use metallb::pools::Pools;

use provider_bare::plan::{AnnouncerKind, Policy, RemovedAddress};

use crate::support::Cluster;

/// Whether two Services may have one address.
pub(crate) fn may_share(a: &ServiceView, b: &ServiceView) -> bool {
    let key = |s: &ServiceView| s.annotations.get("metallb.io/allow-shared-ip").cloned();
    let backend = |s: &ServiceView| (s.traffic_policy == TrafficPolicy::Local).then(|| s.selector.clone());
    key(a).is_some()
        && key(a) == key(b)
        && a.id.key.namespace == b.id.key.namespace
        && backend(a) == backend(b)
        && a.ports[0].port != b.ports[0].port
}

/// Every address of every pool is looked at.
pub(crate) struct Oracle<'a> {
    cluster: &'a Cluster,
    policy: Policy,
    pools: Pools,
}

impl<'a> Oracle<'a> {
    /// `policy`: what the operator chose.
    pub(crate) fn new(cluster: &'a Cluster, policy: Policy) -> Self {
        Oracle { cluster, policy, pools: cluster.provider.pools() }
    }

    fn provider_of(&self, service: &ServiceView, ip: IpAddr) -> Option<&Pool> {
        let pool = self.pools.iter().find(|pool| pool.ranges.iter().any(|range| range.contains(ip)))?;
        let buggy = matches!(ip, IpAddr::V4(ip) if [0, 255].contains(&ip.octets()[3]));
        let serves = pool.allowed_services.as_ref().is_none_or(|allocation| {
            allocation.allows_namespace(&service.id.key.namespace, None)
                && allocation.allows_service(&service.labels)
        });
        let kept = pool.reservations.excludes(ip)
            || pool.reservations.reserved_for(ip).is_some_and(|services| !services.contains(&service.id.key));
        (serves && !kept && !(buggy && pool.avoid_buggy)).then_some(pool)
    }

    fn in_the_way(&self, service: &ServiceView, ip: IpAddr) -> bool {
        let others = self.cluster.services.values().filter(|other| other.id != service.id);
        let mut showing = others.filter(|other| other.published_ips().any(|shown| shown == ip));
        // Who asks for what cannot be goes on sharing as before, whatever it says now; and what another controller publishes
        // besides is no reason to give up what one has.
        let has = service.published_ips().any(|shown| shown == ip);
        let is_let_be = |other: &ServiceView| is_mistaken(other) || !self.cluster.is_ours(other);
        showing.any(|other| if is_let_be(other) { !has } else { !may_share(service, other) })
    }

    /// Whether what a Service shows is what it may show, as far as pools and others are concerned.
    pub(crate) fn is_right(&self, service: &ServiceView, ip: IpAddr) -> bool {
        let asked = service.annotations.get("metallb.io/loadBalancerIPs");
        let pool = service.annotations.get("metallb.io/address-pool");
        self.provider_of(service, ip).is_some_and(|owner| pool.is_none_or(|name| *name == owner.name))
            && asked.is_none_or(|asked| asked.split(',').any(|text| text.parse() == Ok(ip)))
            && families(service).contains(&IpFamily::of(ip))
            && !self.in_the_way(service, ip)
    }

    /// Whether the Service could have an address of this family, in this pool if one is given.
    fn candidates(&self, service: &ServiceView, family: IpFamily, within: Option<&Pool>) -> bool {
        // The second family may come from the pool of the first.
        let shown = self.pools_of_right_addresses(service);
        let by_pool = service.annotations.contains_key("metallb.io/address-pool");
        self.all_addresses().filter(|ip| IpFamily::of(*ip) == family).any(|ip| {
            let owner = self.provider_of(service, ip).filter(|pool| within.is_none_or(|one| one == *pool));
            let reserved = |pool: &Pool| pool.reservations.reserved_for(ip).is_some();
            owner.is_some_and(|pool| by_pool || pool.auto_assign || reserved(pool) || shown.contains(&pool))
                && self.is_right(service, ip)
        })
    }

    fn pools_of_right_addresses(&self, service: &ServiceView) -> Vec<&Pool> {
        let right = service.published_ips().filter(|ip| self.is_right(service, *ip));
        right.filter_map(|ip| self.provider_of(service, ip)).collect()
    }

    /// Whether these families could be had, though all addresses have to be of one pool.
    fn could_have_of_one_pool(&self, service: &ServiceView, lacking: &[IpFamily], all: bool) -> bool {
        let shown = self.pools_of_right_addresses(service);
        let has = |pool: &Pool, family: IpFamily| self.candidates(service, family, Some(pool));
        let from_one = |families: &[IpFamily]| {
            let mut pools = self.pools.iter().filter(|pool| shown.is_empty() || shown.contains(pool));
            pools.any(|pool| families.iter().all(|family| has(pool, *family)))
        };
        let is_shown = |family: &IpFamily| service.published_ips().any(|ip| IpFamily::of(ip) == *family);
        let replaced: Vec<IpFamily> = lacking.iter().copied().filter(is_shown).collect();
        let alone = match replaced.len() {
            0 => lacking.to_vec(),
            1 => replaced,
            _ => Vec::new(),
        };
        from_one(lacking) || !all && alone.iter().any(|family| from_one(&[*family]))
    }

    /// Whether these addresses are of one pool, or need not be.
    pub(crate) fn may_be_had_together(&self, ips: &[IpAddr]) -> bool {
        let holds = |pool: &Pool, ip: &IpAddr| pool.ranges.iter().any(|range| range.contains(*ip));
        ips.len() < 2
            || self.policy.announcer == AnnouncerKind::Own
            || self.pools.iter().any(|pool| ips.iter().all(|ip| holds(pool, ip)))
    }

    fn all_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = (0..8).map(|last| IpAddr::from([10, 0, 0, last]));
        v4.chain((0..9).map(|last| IpAddr::from([0xfc00, 0, 0, 0, 0, 0, 0, last])))
    }

    pub(crate) fn check_not_in_vain(&self, service: &ServiceView) {
        if let Some(asked) = service.annotations.get("metallb.io/loadBalancerIPs") {
            let Some(asked) = addresses(asked) else { return };
            let could = !is_mistaken(service)
                && self.may_be_had_together(&asked)
                && asked.iter().all(|ip| self.is_right(service, *ip));
            let has = asked.iter().all(|ip| service.published_ips().any(|shown| shown == *ip));
            assert!(has || !could, "{} asks for {asked:?} in vain", service.id);
            return;
        }
        let lacking: Vec<IpFamily> = families(service)
            .into_iter()
            .filter(|family| {
                !service.published_ips().any(|ip| IpFamily::of(ip) == *family && self.is_right(service, ip))
            })
            .collect();
        // With a pool that cannot be read, or if the operator wants it so, what no pool provides is kept as it is.
        let keeps = |family: &IpFamily| {
            let mut shown = service.published_ips().filter(|ip| IpFamily::of(*ip) == *family);
            shown.any(|ip| self.provider_of(service, ip).is_none())
        };
        let keeps_removed = self.policy.removed_address == RemovedAddress::Keep;
        let broken = self.pools.broken().next().is_some() || keeps_removed;
        let (kept, lacking): (Vec<IpFamily>, Vec<IpFamily>) =
            lacking.into_iter().partition(|family| broken && keeps(family));
        let all = service.family_policy == FamilyPolicy::RequireDualStack
            || service.annotations.contains_key("metallb.io/address-pool");
        let has = |family: &IpFamily| self.candidates(service, *family, None);
        let in_vain = if lacking.is_empty() {
            false
        } else if self.policy.announcer == AnnouncerKind::MetalLb && families(service).len() > 1 {
            // What is kept is of no pool, or of one that does not hand out: nothing can join it.
            kept.is_empty() && self.could_have_of_one_pool(service, &lacking, all)
        } else if all {
            lacking.iter().all(has)
        } else {
            lacking.iter().any(has)
        };
        assert!(!in_vain, "{} lacks {lacking:?} in vain", service.id);
    }
}

fn addresses(written: &str) -> Option<Vec<IpAddr>> {
    written.split(',').map(|text| text.parse().ok()).collect()
}

/// Whether it asks for what no address can be, whatever the pools.
pub(crate) fn is_mistaken(service: &ServiceView) -> bool {
    let Some(asked) = service.annotations.get("metallb.io/loadBalancerIPs") else { return false };
    let Some(asked) = addresses(asked) else { return true };
    let named: BTreeSet<IpFamily> = asked.iter().map(|ip| IpFamily::of(*ip)).collect();
    let wanted = families(service);
    let prefers = service.family_policy == FamilyPolicy::PreferDualStack;
    !named.is_subset(&wanted) || (named.len() < wanted.len() && !prefers)
}

fn families(service: &ServiceView) -> BTreeSet<IpFamily> {
    service.cluster_families().into_iter().collect()
}
