//! The rules of assignment, told once more in the plainest way, to hold the provider against.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cloud_provider::{FamilyPolicy, IpFamily, ServiceView, TrafficPolicy};
use metallb::pool::Pool;
use metallb::pools::Pools;

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
    keeps_removed: bool,
    pools: Pools,
}

impl<'a> Oracle<'a> {
    /// `keeps_removed`: whether the operator wants Services to keep what no pool provides any more.
    pub(crate) fn new(cluster: &'a Cluster, keeps_removed: bool) -> Self {
        Oracle { cluster, keeps_removed, pools: cluster.provider.pools() }
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
        // Who asks for what cannot be goes on sharing as before, whatever it says now.
        let has = service.published_ips().any(|shown| shown == ip);
        showing.any(|other| if is_mistaken(other) { !has } else { !may_share(service, other) })
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

    fn candidates(&self, service: &ServiceView, family: IpFamily) -> bool {
        // The second family may come from the pool of the first.
        let right = service.published_ips().filter(|ip| self.is_right(service, *ip));
        let shown: Vec<&Pool> = right.filter_map(|ip| self.provider_of(service, ip)).collect();
        let by_pool = service.annotations.contains_key("metallb.io/address-pool");
        self.all_addresses().filter(|ip| IpFamily::of(*ip) == family).any(|ip| {
            let owner = self.provider_of(service, ip);
            let reserved = |pool: &Pool| pool.reservations.reserved_for(ip).is_some();
            owner.is_some_and(|pool| by_pool || pool.auto_assign || reserved(pool) || shown.contains(&pool))
                && self.is_right(service, ip)
        })
    }

    fn all_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = (0..8).map(|last| IpAddr::from([10, 0, 0, last]));
        v4.chain((0..9).map(|last| IpAddr::from([0xfc00, 0, 0, 0, 0, 0, 0, last])))
    }

    pub(crate) fn check_not_in_vain(&self, service: &ServiceView) {
        if let Some(asked) = service.annotations.get("metallb.io/loadBalancerIPs") {
            let Some(asked) = addresses(asked) else { return };
            let could = !is_mistaken(service) && asked.iter().all(|ip| self.is_right(service, *ip));
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
        let broken = self.pools.broken().next().is_some() || self.keeps_removed;
        let lacking: Vec<IpFamily> =
            lacking.into_iter().filter(|family| !(broken && keeps(family))).collect();
        let all = service.family_policy == FamilyPolicy::RequireDualStack
            || service.annotations.contains_key("metallb.io/address-pool");
        let has = |family: &IpFamily| self.candidates(service, *family);
        let in_vain =
            if all { !lacking.is_empty() && lacking.iter().all(has) } else { lacking.iter().any(has) };
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
