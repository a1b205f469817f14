//! A cluster in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use announcer::announcements::{self, BgpAnnouncements, Candidate, Interfaces, Refusal, ServingNodes, View};
use cloud_provider::testing::{NodeBuilder, ServiceBuilder, a_node, a_service_named};
use cloud_provider::{Endpoint, EndpointState, ServiceKey};
use metallb::announcing::{Announcing, Definitions};
use metallb::crd::IPAddressPoolSpec;
use metallb::pools::Pools;
use metallb::written::{ResourceSpec, Written};
use serde_json::{Value, json};

/// The address that most Services here have.
pub(crate) const VIP: &str = "192.0.2.7";

/// Where an endpoint is, and how it is.
pub(crate) type At = (&'static str, EndpointState);

pub(crate) const READY: EndpointState = EndpointState::Ready;
pub(crate) const NOT_READY: EndpointState = EndpointState::Unready;
pub(crate) const STILL_SERVING: EndpointState = EndpointState::Terminating { serving: true };
pub(crate) const GONE: EndpointState = EndpointState::Terminating { serving: false };

/// A Service `default/NAME` that publishes [`VIP`].
pub(crate) fn service(name: &str) -> ServiceBuilder {
    a_service_named("default", name).published_ips([VIP])
}

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("default", name)
}

/// Nodes `n1` and `n2`, and the pool `lan`.
pub(crate) struct Cluster {
    pub(crate) view: View,
    definitions: Definitions,
    pools: Vec<Written<IPAddressPoolSpec>>,
    counted: i64,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Cluster { view: View::default(), definitions: Definitions::default(), pools: Vec::new(), counted: 0 }
            .node(a_node("n1"))
            .node(a_node("n2"))
            .pool("lan", json!({ "addresses": ["192.0.2.0/24", "2001:db8::/120"] }), json!({}))
    }

    /// With an advertisement on the local network of everything.
    pub(crate) fn advertised() -> Self {
        Cluster::new().layer2("all", json!({}))
    }

    pub(crate) fn node(mut self, node: NodeBuilder) -> Self {
        let node = node.build();
        self.view.nodes.insert(node.name.as_str().into(), Arc::new(node));
        self
    }

    pub(crate) fn pool(mut self, name: &str, spec: Value, labels: Value) -> Self {
        self.pools.push(written(name, spec, labels, 0));
        self.view.pools = Pools::parse(&self.pools).0;
        self
    }

    pub(crate) fn layer2(mut self, name: &str, spec: Value) -> Self {
        let written = self.written(name, spec);
        self.definitions.layer2.push(written);
        self.read()
    }

    pub(crate) fn bgp(mut self, name: &str, spec: Value) -> Self {
        let written = self.written(name, spec);
        self.definitions.bgp.push(written);
        self.read()
    }

    pub(crate) fn peer(mut self, name: &str, more: Value) -> Self {
        let mut spec = json!({ "myASN": 64_512, "peerASN": 64_513, "peerAddress": "192.0.2.254" });
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let written = self.written(name, spec);
        self.definitions.peers.push(written);
        self.read()
    }

    pub(crate) fn service(mut self, service: ServiceBuilder, endpoints: &[At]) -> Self {
        let service = service.shared();
        let ip = "10.0.0.1".parse().expect("an address");
        let endpoints: Vec<Endpoint> =
            endpoints.iter().map(|(node, state)| Endpoint::new(ip, *state).on_node(*node)).collect();
        self.view.serving.insert(service.id.key.clone(), endpoints.iter().collect::<ServingNodes>());
        self.view.services.insert(service.id.key.clone(), service);
        self
    }

    /// What each node makes of [`VIP`] on the local network: its score, or the word for its reason.
    pub(crate) fn layer2_of_vip(&self) -> BTreeMap<String, Result<u32, &'static str>> {
        let candidates = self.candidates(VIP);
        candidates
            .into_iter()
            .map(|(node, it)| (node, it.map(|it| it.score).map_err(|it| it.as_str())))
            .collect()
    }

    /// The nodes that may answer for [`VIP`].
    pub(crate) fn may_answer(&self) -> Vec<String> {
        self.candidates(VIP).into_iter().filter_map(|(node, it)| it.is_ok().then_some(node)).collect()
    }

    pub(crate) fn candidates(&self, ip: &str) -> BTreeMap<String, Result<Candidate, Refusal>> {
        let announced = announcements::layer2(&self.view);
        let announcement = &announced[&ip.parse().expect("an address")];
        self.view.nodes.keys().map(|node| (node.to_string(), announcement.on(node).cloned())).collect()
    }

    pub(crate) fn interfaces(&self, node: &str) -> Interfaces {
        self.candidates(VIP)[node].as_ref().expect("it may answer").interfaces.clone()
    }

    pub(crate) fn bgp_of(&self, node: &str) -> BgpAnnouncements {
        announcements::bgp(&self.view, node)
    }

    /// For each node, the peers to which it advertises [`VIP`] for a Service, or the word for its reason.
    pub(crate) fn peers_of(&self, name: &str) -> BTreeMap<String, Result<Vec<String>, &'static str>> {
        let of = |node: &Arc<str>| {
            let announced = self.bgp_of(node).addresses.remove(&VIP.parse().expect("an address"));
            let verdict =
                announced.expect("it is published").by_service.remove(&key(name)).expect("it has it");
            verdict.map(|peers| peers.into_iter().collect()).map_err(|it| it.as_str())
        };
        self.view.nodes.keys().map(|node| (node.to_string(), of(node))).collect()
    }

    /// The routes that a peer is to have of a node: prefix, local preference, communities of four bytes.
    pub(crate) fn routes(&self, node: &str, peer: &str) -> Vec<(String, Option<u32>, Vec<u32>)> {
        let wanted = self.bgp_of(node).wanted.remove(peer).expect("a session");
        let routes = wanted.routes().iter();
        routes
            .map(|(prefix, it)| {
                (prefix.to_string(), it.local_preference, it.communities.iter().copied().collect())
            })
            .collect()
    }

    /// Each object is younger than the one before.
    fn written<S: ResourceSpec>(&mut self, name: &str, spec: Value) -> Written<S> {
        self.counted += 1;
        written(name, spec, json!({}), self.counted)
    }

    fn read(mut self) -> Self {
        let (announcing, mistakes) = Announcing::parse(&self.definitions);
        assert_eq!(mistakes, []);
        self.view.announcing = announcing;
        self
    }
}

fn written<S: ResourceSpec>(name: &str, spec: Value, labels: Value, created: i64) -> Written<S> {
    let object = json!({
        "metadata": { "namespace": "metallb-system", "name": name, "labels": labels },
        "spec": spec,
    });
    Written { created: Some(created), ..Written::from_json(&object) }
}
