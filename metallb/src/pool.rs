//! One address pool, validated once: after that nothing in it can be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cloud_provider::{IpFamily, Mistake, ServiceKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::crd::{IPAddressPool, IPAddressPoolSpec, ServiceAllocation};
use crate::per_family::PerFamily;
use crate::range::{AddressRange, RangeError, is_buggy};
use crate::reservations::{self, Reservations};
use crate::selector::{Labels, Selector};

const SYNTAX: &str = "a CIDR prefix such as 192.168.10.0/24, or a range such as 192.168.9.1-192.168.9.5";

/// A pool as somebody wrote it, not yet looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.creationTimestamp` in seconds since the Unix epoch; none before everything else.
    pub created: Option<i64>,
    /// Those of `metadata.annotations` that have a [meaning](crate::reservations) here.
    pub annotations: BTreeMap<String, String>,
    /// The spec, or why it could not be read at all.
    pub spec: Result<IPAddressPoolSpec, Mistake>,
}

impl From<&IPAddressPool> for Definition {
    fn from(resource: &IPAddressPool) -> Self {
        Definition {
            namespace: resource.namespace().to_owned(),
            name: resource.name().to_owned(),
            created: resource.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            annotations: reservations::read(
                resource.metadata.annotations.as_ref().unwrap_or(&BTreeMap::new()),
            ),
            spec: Ok(resource.spec.clone()),
        }
    }
}

impl Definition {
    /// Reads an object as it came out of a file. Never fails: an object that has the wrong shape is a definition
    /// with a mistake, so that it stops nobody but itself.
    pub fn from_json(object: &Value) -> Self {
        let part = |name: &str| object.get(name).cloned().unwrap_or_default();
        let metadata = serde_json::from_value(part("metadata")).unwrap_or_default();
        Definition::read(&metadata, part("spec"))
    }

    /// As [`from_json`](Definition::from_json), of metadata that are read already.
    pub fn read(metadata: &ObjectMeta, spec: Value) -> Self {
        let written = spec.to_string();
        Definition {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            annotations: reservations::read(metadata.annotations.as_ref().unwrap_or(&BTreeMap::new())),
            spec: serde_json::from_value(spec).map_err(|error| {
                Mistake::new("spec", written, format!("cannot be read: {error}"))
                    .allowing("the fields of an IPAddressPool, with addresses as a list of strings")
            }),
        }
    }
}

/// An address pool without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`, which is how users and the output annotation name it.
    pub name: String,
    /// See [`Definition::created`].
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
    services: Option<Vec<Selector>>,
}

#[derive(Clone, Debug, PartialEq)]
struct NamespaceCondition {
    names: BTreeSet<String>,
    selectors: Vec<Selector>,
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
                || labels.is_some_and(|labels| condition.selectors.iter().any(|s| s.matches(labels)))
        })
    }

    /// Whether a Service with these labels is allowed.
    pub fn allows_service(&self, labels: &Labels) -> bool {
        self.services.as_ref().is_none_or(|selectors| selectors.iter().any(|s| s.matches(labels)))
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
            created: definition.created,
            ranges,
            auto_assign: spec.auto_assign,
            avoid_buggy: spec.avoid_buggy_ips,
            allowed_services,
            reservations,
            written: (spec.clone(), definition.annotations.clone()),
        })
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
        let list = list.as_deref().unwrap_or_default();
        let mut selectors: Vec<Selector> = Vec::with_capacity(list.len());
        for (i, written) in list.iter().enumerate() {
            let wrong = |problem: &str| {
                let value = serde_json::to_string(written).unwrap_or_default();
                Mistake::new(field(&format!("{name}[{i}]")), value, problem)
                    .allowing("a label selector, once")
            };
            match Selector::parse(written) {
                Ok(selector) if selectors.contains(&selector) => mistakes.push(wrong("is listed twice")),
                Ok(selector) => selectors.push(selector),
                Err(problems) => mistakes.extend(problems.iter().map(|problem| wrong(problem))),
            }
        }
        selectors
    };
    let selectors = read("namespaceSelectors", &written.namespace_selectors);
    let services = read("serviceSelectors", &written.service_selectors);
    AllowedServices {
        priority: written.priority.unwrap_or(0),
        namespaces: (!names.is_empty() || !selectors.is_empty())
            .then_some(NamespaceCondition { names, selectors }),
        services: (!services.is_empty()).then_some(services),
    }
}
