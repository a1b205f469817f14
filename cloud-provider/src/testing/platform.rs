//! What is outside: load balancers and firewalls, and the five writes by which they come, change and go. They
//! outlive the processes that made them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::settings::{AddressKind, Provisioning, Settings};
use crate::address::{Ingress, Published};
use crate::error::Error;
use crate::protocol::{IpFamily, Protocol};
use crate::service::{ServiceId, SessionAffinity};
use crate::source_range::SourceRanges;

/// What a load balancer does; the part that `ensure` may change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarding {
    /// The ports it listens on, with the node port behind each.
    pub ports: Vec<(Protocol, u16, Option<u16>)>,
    /// The families it is reached over.
    pub families: Vec<IpFamily>,
    /// The names of the nodes behind it.
    pub nodes: Vec<String>,
    /// The endpoints behind it, with the port in the Pod.
    pub endpoints: BTreeSet<(IpAddr, u16)>,
    /// The node port that is asked which nodes have an endpoint, where only those may serve.
    pub health_check: Option<u16>,
    /// Whether connections of one client stay together.
    pub affinity: SessionAffinity,
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadBalancer {
    /// The Service it was made for.
    pub owner: ServiceId,
    /// What it does.
    pub forwarding: Forwarding,
    /// How it is reached once it is active.
    pub published: Published,
    /// Whether it serves yet.
    pub active: bool,
    /// Its number among the load balancers that this cloud ever made, from 1. Its address follows from this.
    pub number: usize,
    /// When it was made.
    pub created: Option<i64>,
    /// How often it was looked at while provisioning.
    looks: usize,
}

/// Who may connect to a load balancer: made before it, and deleted after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Firewall {
    /// The Service it was made for.
    pub owner: ServiceId,
    /// Whom it lets through.
    pub lets_through: SourceRanges,
    /// When it was made.
    pub created: Option<i64>,
}

/// Everything outside. Every write is idempotent: names are the caller's, so a repeated one finds what the first made.
#[derive(Debug, Default)]
pub(super) struct Platform {
    pub(super) balancers: BTreeMap<String, LoadBalancer>,
    pub(super) firewalls: BTreeMap<String, Firewall>,
    /// How many load balancers were ever made.
    made: usize,
}

impl Platform {
    pub(super) fn put_firewall(
        &mut self,
        name: &str,
        owner: &ServiceId,
        lets: &SourceRanges,
        now: Option<i64>,
    ) {
        let firewall = self.firewalls.entry(name.to_owned()).or_insert_with(|| Firewall {
            owner: owner.clone(),
            lets_through: lets.clone(),
            created: now,
        });
        firewall.lets_through = lets.clone();
    }

    /// Makes or changes a load balancer; this is also a look at one that is provisioning.
    ///
    /// # Errors
    /// [`Error::Quota`] when there would be one too many; then nothing was made.
    pub(super) fn put_balancer(
        &mut self,
        name: &str,
        owner: &ServiceId,
        forwarding: Forwarding,
        settings: &Settings,
    ) -> Result<LoadBalancer, Error> {
        if !self.balancers.contains_key(name) {
            if let Some(quota) = settings.quota.filter(|quota| self.balancers.len() >= *quota) {
                let message = format!("{quota} load balancers exist and no more are allowed");
                return Err(Error::Quota { message });
            }
            self.made += 1;
        }
        let balancer = self.balancers.entry(name.to_owned()).or_insert_with(|| LoadBalancer {
            owner: owner.clone(),
            forwarding: forwarding.clone(),
            published: Published::default(),
            active: false,
            number: self.made,
            created: settings.now,
            looks: 0,
        });
        balancer.published = publish(name, balancer.number, &forwarding.families, settings);
        balancer.forwarding = forwarding;
        balancer.active |= match settings.provisioning {
            Provisioning::Instant => true,
            Provisioning::ForLooks(looks) => balancer.looks >= looks,
            Provisioning::UntilActivated => false,
        };
        balancer.looks += 1;
        Ok(balancer.clone())
    }

    /// Leads an existing load balancer to these nodes and endpoints; endpoints that are unknown stay as they are.
    pub(super) fn set_backends(
        &mut self,
        name: &str,
        nodes: Vec<String>,
        endpoints: Option<BTreeSet<(IpAddr, u16)>>,
    ) {
        if let Some(balancer) = self.balancers.get_mut(name) {
            balancer.forwarding.nodes = nodes;
            if let Some(endpoints) = endpoints {
                balancer.forwarding.endpoints = endpoints;
            }
        }
    }

    /// Forgets everything that is not of these Services, as what is held by a process alone goes with it.
    pub(super) fn retain(&mut self, services: &BTreeSet<&ServiceId>) {
        self.balancers.retain(|_, it| services.contains(&it.owner));
        self.firewalls.retain(|_, it| services.contains(&it.owner));
    }

    pub(super) fn delete_balancers(&mut self, owner: &ServiceId) {
        self.balancers.retain(|_, it| it.owner.uid != owner.uid);
    }

    pub(super) fn delete_firewalls(&mut self, owner: &ServiceId) {
        self.firewalls.retain(|_, it| it.owner.uid != owner.uid);
    }
}

/// A load balancer keeps its number for life, and so its addresses: one per family.
fn publish(name: &str, number: usize, families: &[IpFamily], settings: &Settings) -> Published {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let address = |family: &IpFamily| -> IpAddr {
        match family {
            // 198.18.0.0/15 and 2001:db8::/32 are nobody's: for benchmarks and for documentation.
            IpFamily::V4 => {
                Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + number % (1 << 17)).into()
            }
            IpFamily::V6 => Ipv6Addr::from_bits(
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).to_bits() + u128::from(number),
            )
            .into(),
        }
    };
    let ingress = match settings.address {
        AddressKind::Hostname => vec![Ingress::hostname(format!("{name}.memory.example"))],
        AddressKind::Ip(ip_mode) => {
            families.iter().map(|family| Ingress { ip_mode, ..Ingress::ip(address(family)) }).collect()
        }
    };
    let annotation = settings.publishes_annotation.iter().map(|key| (key.clone(), name.to_owned()));
    Published { ingress, annotations: annotation.collect(), ..Published::default() }
}
