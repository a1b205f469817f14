//! What a provider may know of the endpoints behind a Service.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::protocol::Protocol;

/// Whether an endpoint takes traffic.
///
/// A provider decides by this alone which endpoints are targets, so it matches all of it: a state that is added breaks
/// every provider until it has an answer, and that is meant. The order is the one in which two entries for one address
/// are told apart: the later state wins, so that an address which another EndpointSlice still calls ready is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointState {
    /// It is ready.
    Ready,
    /// It would be ready, and only waits for a readiness gate that the provider itself opens.
    GatedByUs,
    /// It has an address, and was never ready.
    Starting,
    /// It was ready, and is not.
    Unready,
    /// It is being deleted, and may still answer.
    Terminating {
        /// Whether it does answer.
        serving: bool,
    },
}

/// The Pod behind an endpoint, in the Service's namespace. A name is used again; the UID is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodId {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// One address behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// Whether it takes traffic.
    pub state: EndpointState,
    /// The node it runs on, if it runs on one.
    pub node: Option<Arc<str>>,
    /// Its zone, if it is known.
    pub zone: Option<Arc<str>>,
    /// The Pod, if it is one.
    pub pod: Option<PodId>,
}

impl Endpoint {
    /// An endpoint of which nothing else is known.
    pub fn new(ip: IpAddr, state: EndpointState) -> Self {
        Endpoint { ip, state, node: None, zone: None, pod: None }
    }

    /// On this node.
    pub fn on_node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// In this zone.
    pub fn in_zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Of this Pod.
    pub fn of_pod(mut self, pod: PodId) -> Self {
        self.pod = Some(pod);
        self
    }
}

/// Which port of which endpoints: the Service port they belong to, and the number in the Pod. One Service port can lead
/// to several numbers, where Pods give a named port different ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointPort {
    /// The Service port's name; empty for the only port of a Service.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The number in the Pod.
    pub number: u16,
}

impl EndpointPort {
    /// A port of endpoints.
    pub fn new(name: impl Into<String>, protocol: Protocol, number: u16) -> Self {
        EndpointPort { name: name.into(), protocol, number }
    }
}

/// All endpoints of one Service, in order, each address and port once; clones share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSet(Arc<BTreeMap<(EndpointPort, IpAddr), Endpoint>>);

impl EndpointSet {
    /// These endpoints. Of two entries for one address and port the one with the later [state](EndpointState) counts.
    pub fn of(endpoints: impl IntoIterator<Item = (EndpointPort, Endpoint)>) -> Self {
        let mut set = BTreeMap::<_, Endpoint>::new();
        for (port, endpoint) in endpoints {
            let place = (port, endpoint.ip);
            if set.get(&place).is_none_or(|present| present.state < endpoint.state) {
                set.insert(place, endpoint);
            }
        }
        EndpointSet(Arc::new(set))
    }

    /// The endpoints with their ports, by port, number and address.
    pub fn iter(&self) -> impl Iterator<Item = (&EndpointPort, &Endpoint)> {
        self.0.iter().map(|((port, _), endpoint)| (port, endpoint))
    }

    /// The endpoints of one Service port, with the number in the Pod.
    pub fn of_port<'a>(
        &'a self,
        name: &'a str,
        protocol: Protocol,
    ) -> impl Iterator<Item = (u16, &'a Endpoint)> {
        self.iter()
            .filter(move |(port, _)| port.name == name && port.protocol == protocol)
            .map(|(port, endpoint)| (port.number, endpoint))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no endpoint.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_set_once_per_port_and_terminating_wins() {
        let port = |name: &str, number| EndpointPort::new(name, Protocol::Tcp, number);
        let at = |ip: &str, state| Endpoint::new(ip.parse().unwrap(), state);
        let gone = EndpointState::Terminating { serving: true };
        let set = EndpointSet::of([
            (port("http", 8080), at("10.0.0.2", EndpointState::Ready)),
            (port("http", 8080), at("10.0.0.1", gone)),
            (port("http", 8080), at("10.0.0.1", EndpointState::Ready)),
            (port("http", 9090), at("10.0.0.1", EndpointState::Ready)),
            (port("admin", 8080), at("10.0.0.1", EndpointState::Ready)),
        ]);
        assert_eq!(set.len(), 4);
        let http: Vec<_> =
            set.of_port("http", Protocol::Tcp).map(|(n, e)| (n, e.ip.to_string(), e.state)).collect();
        assert_eq!(
            http,
            [
                (8080, "10.0.0.1".to_owned(), gone),
                (8080, "10.0.0.2".to_owned(), EndpointState::Ready),
                (9090, "10.0.0.1".to_owned(), EndpointState::Ready),
            ]
        );
        assert_eq!(set.of_port("http", Protocol::Udp).count(), 0);
    }
}
