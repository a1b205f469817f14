//! One address pool, validated once: after that nothing in it can be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cloud_provider::{IpFamily, Mistake, ServiceKey};

use crate::crd::{IPAddressPool, IPAddressPoolSpec, ServiceAllocation};
use crate::per_family::PerFamily;
use crate::range::{AddressRange, RangeError, is_buggy};
use crate::reservations::Reservations;
use crate::selector::{AnyOf, Labels};

const SYNTAX: &str = "a CIDR prefix such as 192.168.10.0/24, or a range such as 192.168.9.1-192.168.9.5";

/// A pool as somebody wrote it, not yet looked at.
pub type Definition = crate::written::Written<IPAddressPoolSpec>;

impl From<&IPAddressPool> for Definition {
    fn from(resource: &IPAddressPool) -> Self {
        Definition::of(&resource.metadata, Ok(resource.spec.clone()))
    }
}

/// An address pool without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`, which is how users and the output annotation name it.
    pub name: String,
    /// `metadata.labels`: advertisements choose pools by them.
    pub labels: Labels,
    /// See [`Definition::created`](crate::written::Written::created).
    pub created: Option<i64>,
    /// Its ranges in the order written, which is the order they are used up. They do not overlap.
    pub ranges: Vec<AddressRange>,
    /// Whether Services that ask for nothing may get an address from it.
    pub auto_assign: bool,
    /// Whether IPv4 addresses ending in 0 or 255 are left out.
    pub avoid_buggy: bool,
    /// Which Services it is for; none: all.
    pub allowed_services: Option<AllowedServices>,
    /// What of its addresses is not for everybody.
    pub reservations: Reservations,
    /// How many addresses it can hand out.
    capacity: PerFamily<u128>,
    /// What was written, to tell whether a later version differs: spec and annotations.
    pub(crate) written: (IPAddressPoolSpec, BTreeMap<String, String>),
}

/// Which Services a pool is for. A condition that is there and selects nothing denies; only one that is not
/// there allows everybody.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowedServices {
    /// Lower is used first; see [`AllowedServices::rank`].
    pub priority: i64,
    namespaces: Option<NamespaceCondition>,
    services: AnyOf,
}

#[derive(Clone, Debug, PartialEq)]
struct NamespaceCondition {
    names: BTreeSet<String>,
    selectors: AnyOf,
}

impl AllowedServices {
    /// For sorting: by priority, and 0, which stands for "none given", last.
    pub fn rank(&self) -> (bool, i64) {
        (self.priority == 0, self.priority)
    }

    /// Whether Services of this namespace are allowed. `labels` are the namespace's, none if it is not known.
    pub fn allows_namespace(&self, name: &str, labels: Option<&Labels>) -> bool {
        self.namespaces.as_ref().is_none_or(|condition| {
            condition.names.contains(name)
                || labels.is_some_and(|labels| condition.selectors.is_fitted_by(labels))
        })
    }

    /// Whether a Service with these labels is allowed.
    pub fn allows_service(&self, labels: &Labels) -> bool {
        self.services.matches(labels)
    }
}

impl Pool {
    /// Checks a definition. Overlap with other pools is not checked here.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(definition: &Definition) -> Result<Self, Vec<Mistake>> {
        let spec = definition.spec.as_ref().map_err(|mistake| vec![mistake.clone()])?;
        let mut mistakes = Vec::new();
        if definition.name.is_empty() {
            mistakes.push(Mistake::new("metadata.name", "", "is empty").allowing("a name"));
        }
        let ranges = ranges(&spec.addresses, &mut mistakes);
        let reservations = Reservations::parse(&definition.annotations, &ranges, &mut mistakes);
        let allowed_services = spec.service_allocation.as_ref().map(|a| allowed_services(a, &mut mistakes));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let capacity = PerFamily::each(|family| {
            let ranges = ranges.iter().filter(|range| range.family() == family);
            ranges.flat_map(|range| reservations.without_excluded(*range)).fold(0, |sum: u128, range| {
                let avoided = if spec.avoid_buggy_ips { range.count_buggy() } else { 0 };
                sum.saturating_add(range.count() - avoided)
            })
        });
        Ok(Pool {
            capacity,
            namespace: definition.namespace.clone(),
            name: definition.name.clone(),
            labels: definition.labels.clone(),
            created: definition.created,
            ranges,
            auto_assign: spec.auto_assign,
            avoid_buggy: spec.avoid_buggy_ips,
            allowed_services,
            reservations,
            written: (spec.clone(), definition.annotations.clone()),
        })
    }

    /// The same pool with other labels.
    pub(crate) fn labelled(&self, labels: Labels) -> Self {
        Pool { labels, ..self.clone() }
    }

    /// Whether it has addresses of this family at all, in use or not.
    pub fn has_family(&self, family: IpFamily) -> bool {
        self.capacity(family) > 0
    }

    /// How many addresses of this family it can hand out, to whomever.
    pub fn capacity(&self, family: IpFamily) -> u128 {
        self.capacity[family]
    }

    /// How many addresses of this family it can hand out to this Service.
    pub fn capacity_for(&self, family: IpFamily, service: &ServiceKey) -> u128 {
        self.capacity(family).saturating_sub(self.reservations.count_reserved_for_others(family, service))
    }

    /// Whether an address of its ranges may be handed out, to whomever.
    pub fn hands_out(&self, ip: IpAddr) -> bool {
        !(self.reservations.excludes(ip) || self.avoid_buggy && is_buggy(ip))
    }

    /// Whether an address of its ranges may be handed out to this Service.
    pub fn hands_out_to(&self, ip: IpAddr, service: &ServiceKey) -> bool {
        let reserved = self.reservations.reserved_for(ip);
        self.hands_out(ip) && reserved.is_none_or(|services| services.contains(service))
    }

    /// Whether an address of its ranges goes to whoever comes first.
    pub fn hands_out_to_all(&self, ip: IpAddr) -> bool {
        self.hands_out(ip) && self.reservations.reserved_for(ip).is_none()
    }

    /// For sorting by age: oldest first, then by name.
    pub(crate) fn age_order(&self) -> (Option<i64>, &str, &str) {
        (self.created, &self.name, &self.namespace)
    }
}

fn ranges(entries: &[String], mistakes: &mut Vec<Mistake>) -> Vec<AddressRange> {
    if entries.is_empty() {
        mistakes.push(Mistake::new("spec.addresses", "[]", "has no entry").allowing(SYNTAX));
    }
    let mut ranges: Vec<AddressRange> = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        match entry.parse() {
            Ok(range) => ranges.push(range),
            Err(error) => {
                let problem = match &error {
                    RangeError::NotAnAddress(text) if text == entry => "is not an IP address".to_owned(),
                    _ => error.to_string(),
                };
                mistakes.push(Mistake::new(format!("spec.addresses[{i}]"), entry, problem).allowing(SYNTAX));
            }
        }
    }
    ranges
}

fn allowed_services(written: &ServiceAllocation, mistakes: &mut Vec<Mistake>) -> AllowedServices {
    let field = |name: &str| format!("spec.serviceAllocation.{name}");
    let mut names = BTreeSet::new();
    for (i, name) in written.namespaces.iter().flatten().enumerate() {
        let problem = match name.as_str() {
            "" => "is empty",
            _ if !names.insert(name.clone()) => "is listed twice",
            _ => continue,
        };
        mistakes.push(
            Mistake::new(field(&format!("namespaces[{i}]")), name, problem)
                .allowing("each namespace's name once"),
        );
    }
    let mut read = |name: &str, list: &Option<Vec<_>>| {
        AnyOf::parse(&field(name), list.as_deref().unwrap_or_default(), mistakes)
    };
    let selectors = read("namespaceSelectors", &written.namespace_selectors);
    let services = read("serviceSelectors", &written.service_selectors);
    AllowedServices {
        priority: written.priority.unwrap_or(0),
        namespaces: (!names.is_empty() || !selectors.is_empty())
            .then_some(NamespaceCondition { names, selectors }),
        services,
    }
}
