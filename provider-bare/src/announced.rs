//! Who says that they announce a Service: what MetalLB's speaker and our announcer write in `ServiceL2Status` and
//! `ServiceBGPStatus`, put together for one Service.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{Ordered, ProviderCondition, ServiceKey};
use kube::api::DynamicObject;
use metallb::crd::AnnouncementProtocol;
use serde_json::Value;

/// The word of the condition.
pub const ANNOUNCED: &str = "Announced";

/// So many nodes or peers are named; of more it is said how many there are.
const MAX_NAMED: usize = 5;

/// What one object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Of which Service.
    pub service: ServiceKey,
    /// The node that announces it.
    pub node: String,
    /// To which peers, or on which interfaces; none is all.
    pub to: BTreeSet<String>,
}

impl Statement {
    /// Reads an object. One that does not say of which Service it tells, or not yet, says nothing.
    pub fn read(protocol: AnnouncementProtocol, object: &DynamicObject) -> Option<Self> {
        let status = object.data.get("status")?;
        let text = |field: &str| status.get(field)?.as_str().filter(|it| !it.is_empty()).map(str::to_owned);
        let service = ServiceKey::new(text("serviceNamespace")?, text("serviceName")?);
        let list = |field: &str| status.get(field).and_then(Value::as_array).into_iter().flatten();
        let to = match protocol {
            AnnouncementProtocol::Layer2 => {
                list("interfaces").filter_map(|it| it.get("name")?.as_str()).map(str::to_owned).ordered()
            }
            AnnouncementProtocol::Bgp => list("peers").filter_map(Value::as_str).map(str::to_owned).ordered(),
        };
        Some(Statement { service, node: text("node")?, to })
    }
}

/// Which object of a kind: namespace and name.
pub type Place = (String, String);

/// When a Service is to be looked at, because something else is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Now: it is announced and was not, or the other way round.
    Now(ServiceKey),
    /// Soon: it is announced by others than before. Of nodes there may be many, which come and go together.
    Soon(ServiceKey),
}

/// All that is said.
#[derive(Debug, Default)]
pub struct Statements {
    said: BTreeMap<(AnnouncementProtocol, Place), Statement>,
    of: BTreeMap<ServiceKey, BTreeSet<(AnnouncementProtocol, Place)>>,
    /// The kinds of which the first list was complete.
    listed: BTreeSet<AnnouncementProtocol>,
    /// Those that are to be looked at soon anyway.
    soon: BTreeSet<ServiceKey>,
}

impl Statements {
    /// An object says this now, or nothing any more.
    pub fn set(&mut self, protocol: AnnouncementProtocol, place: Place, now: Option<Statement>) -> Vec<Look> {
        let place = (protocol, place);
        if self.said.get(&place) == now.as_ref() {
            return Vec::new();
        }
        let before = self.said.remove(&place).map(|before| before.service);
        let mut services: Vec<ServiceKey> =
            before.clone().into_iter().chain(now.as_ref().map(|now| now.service.clone())).collect();
        services.dedup();
        let was_said: Vec<bool> = services.iter().map(|service| self.of.contains_key(service)).collect();
        if let Some(before) = &before
            && let Some(places) = self.of.get_mut(before)
        {
            places.remove(&place);
            if places.is_empty() {
                self.of.remove(before);
            }
        }
        if let Some(now) = now {
            self.of.entry(now.service.clone()).or_default().insert(place.clone());
            self.said.insert(place, now);
        }
        let looks = services.into_iter().zip(was_said).filter_map(|(service, was_said)| {
            match was_said && self.of.contains_key(&service) {
                true => self.soon.insert(service.clone()).then_some(Look::Soon(service)),
                false => Some(Look::Now(service)),
            }
        });
        looks.collect()
    }

    /// The list of a kind is complete, and these are its objects. [`None`] if it is the first: then all Services are to be
    /// looked at.
    pub fn list(
        &mut self,
        protocol: AnnouncementProtocol,
        objects: BTreeMap<Place, Option<Statement>>,
    ) -> Option<Vec<Look>> {
        let is_first = self.listed.insert(protocol);
        let mut of_kind = self.said.keys().filter(|(of, _)| *of == protocol).map(|(_, place)| place);
        let gone: Vec<Place> =
            of_kind.by_ref().filter(|place| !objects.contains_key(*place)).cloned().collect();
        let gone = gone.into_iter().map(|place| (place, None));
        let looks = gone.chain(objects).flat_map(|(place, now)| self.set(protocol, place, now)).collect();
        (!is_first).then_some(looks)
    }

    /// The condition of a Service that has an address; none while nobody could know: the kinds are not there.
    pub fn condition(&mut self, service: &ServiceKey) -> Option<ProviderCondition> {
        self.soon.remove(service);
        if self.listed.is_empty() {
            return None;
        }
        let said: Vec<(AnnouncementProtocol, &Statement)> = self
            .of
            .get(service)
            .into_iter()
            .flatten()
            .filter_map(|place| Some((place.0, self.said.get(place)?)))
            .collect();
        if said.is_empty() {
            return Some(self.said_by_nobody());
        }
        let by =
            [AnnouncementProtocol::Layer2, AnnouncementProtocol::Bgp].into_iter().filter_map(|protocol| {
                let of_protocol = said.iter().filter(|(of, _)| *of == protocol).map(|(_, it)| *it);
                in_words(protocol, &of_protocol.collect::<Vec<_>>())
            });
        let message = by.collect::<Vec<_>>().join("; ");
        Some(ProviderCondition::new(Some(true), "Announced", message))
    }

    /// Whoever announces at all would say so. But of a kind that is not there nothing can be said, and there are announcers
    /// that say nothing.
    fn said_by_nobody(&self) -> ProviderCondition {
        let is_told_of_others = !self.said.is_empty() && self.listed.len() == 2;
        let (holds, reason, message) = match is_told_of_others {
            true => (
                Some(false),
                "NotAnnounced",
                "no node says that it announces it, and nodes say so of other Services: is there an advertisement for its \
                 pool, and an endpoint that serves? `cloud-lb-controller doctor` looks for reasons",
            ),
            false => (
                None,
                "NobodyTells",
                "no announcer says in this cluster what it announces, by ServiceL2Status and ServiceBGPStatus: is one \
                 running, and is there an advertisement for the pool? `cloud-lb-controller doctor` looks for reasons",
            ),
        };
        ProviderCondition::new(holds, reason, message)
    }
}

fn in_words(protocol: AnnouncementProtocol, said: &[&Statement]) -> Option<String> {
    let nodes: BTreeSet<&str> = said.iter().map(|it| &*it.node).ordered();
    let to: BTreeSet<&str> = said.iter().flat_map(|it| &it.to).map(String::as_str).ordered();
    if nodes.is_empty() {
        return None;
    }
    let by = named("node", &nodes);
    Some(match protocol {
        AnnouncementProtocol::Layer2 if to.is_empty() => format!("answered for on the local network by {by}"),
        AnnouncementProtocol::Layer2 => {
            format!("answered for on the local network by {by} on {}", named("interface", &to))
        }
        AnnouncementProtocol::Bgp => format!("advertised by {by} to {}", named("peer", &to)),
    })
}

fn named(what: &str, names: &BTreeSet<&str>) -> String {
    let s = if names.len() == 1 { "" } else { "s" };
    if names.len() > MAX_NAMED {
        return format!("{} {what}{s}", names.len());
    }
    format!("{what}{s} {}", names.iter().copied().collect::<Vec<_>>().join(", "))
}
