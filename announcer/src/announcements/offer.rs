//! Which addresses Services publish, and what each asks for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cloud_provider::{IpMode, ServiceKey, ServiceView, TrafficPolicy};

use super::refusal::Refusal;
use super::view::{ServingNodes, View};

/// By this annotation a Service says that it may share its address, and its older name.
const ALLOW_SHARED_IP: [&str; 2] = ["metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"];

/// A status that has a name where an address could stand. There is nothing to announce about a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hostname {
    /// Whose status.
    pub service: ServiceKey,
    /// The name.
    pub hostname: String,
}

/// The host names without an address that stand in the statuses of Services that are announced. The addresses beside them
/// are announced all the same.
pub fn hostnames(view: &View) -> Vec<Hostname> {
    let mut found = Vec::new();
    for service in announced_services(view) {
        for entry in service.published.iter().filter(|entry| entry.ip.is_none()) {
            let hostname = entry.hostname.clone().unwrap_or_default();
            found.push(Hostname { service: service.id.key.clone(), hostname });
        }
    }
    found
}

/// One Service's wish to have an address announced.
pub(super) struct Offer<'a> {
    pub(super) service: &'a Arc<ServiceView>,
    /// Whether connections to the address itself are taken.
    proxy: bool,
    serving: Option<&'a ServingNodes>,
}

impl<'a> Offer<'a> {
    pub(super) fn key(&self) -> &'a ServiceKey {
        &self.service.id.key
    }

    pub(super) fn may_share(&self) -> bool {
        // The newer name counts where both are there, even if it is empty: so MetalLB has it.
        let mut written = ALLOW_SHARED_IP.iter().filter_map(|key| self.service.annotations.get(key));
        written.next().is_some_and(|key| !key.is_empty())
    }

    /// Why nobody announces it, whatever the advertisements say.
    pub(super) fn refused(&self) -> Option<Refusal> {
        if self.proxy {
            return Some(Refusal::IpModeProxy);
        }
        (!self.serving.is_some_and(ServingNodes::anywhere)).then_some(Refusal::NoEndpoints)
    }

    /// The only nodes that serve it; none: every node does.
    pub(super) fn only_on(&self) -> Option<&'a ServingNodes> {
        match self.service.traffic_policy {
            TrafficPolicy::Cluster => None,
            TrafficPolicy::Local => self.serving,
        }
    }
}

fn announced_services(view: &View) -> impl Iterator<Item = &Arc<ServiceView>> {
    view.services.values().filter(|service| {
        let ours = view.classes.as_ref().is_none_or(|rule| rule.matches(service.class.as_deref()));
        service.wants_load_balancer && ours
    })
}

/// The addresses that are published, each with the Services that have it, in order.
pub(super) fn offers(view: &View) -> BTreeMap<IpAddr, Vec<Offer<'_>>> {
    let mut offers: BTreeMap<IpAddr, Vec<Offer<'_>>> = BTreeMap::new();
    for service in announced_services(view) {
        let serving = view.serving.get(&service.id.key);
        for entry in &service.published {
            let Some(ip) = entry.ip else { continue };
            let offers = offers.entry(ip.to_canonical()).or_default();
            // An address that stands in a status twice is one.
            if offers.last().is_none_or(|last| last.key() != &service.id.key) {
                offers.push(Offer { service, proxy: entry.ip_mode == Some(IpMode::Proxy), serving });
            }
        }
    }
    offers
}
