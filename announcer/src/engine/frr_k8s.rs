//! MetalLB's peers for an FRR that the operator runs: one `FRRConfiguration` for each node.
//!
//! The fields are those of `frrk8s.metallb.io/v1beta1` (metallb/frr-k8s, `API-DOCS.md`). frr-k8s merges all configurations of a
//! node, so others may have theirs beside ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use cloud_provider::{Mistake, NodeView};
use ipnet::IpNet;
use metallb::bfd_profile::BfdProfile;
use metallb::peer::{Password, Peer, Reach, RemoteAsn};
use metallb::written::ObjectKey;
use serde_json::{Map, Value, json};

use crate::bgp::route::{LargeCommunity, PathAttributes, WantedRoutes};

/// The label by which configurations choose nodes here.
const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// What a node's FRR is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct FrrConfiguration {
    /// The `FRRConfiguration`, as it is applied.
    pub object: Value,
    /// The peers that are not in it, and why.
    pub left_out: BTreeMap<ObjectKey, Mistake>,
}

/// One router of FRR: one for each VRF.
struct Router {
    asn: u32,
    id: Option<Ipv4Addr>,
    neighbors: BTreeMap<String, Value>,
    prefixes: BTreeSet<IpNet>,
}

/// The configuration of a node's FRR, in the namespace in which frr-k8s looks for it. It chooses the node by its label
/// `kubernetes.io/hostname`, or by its name if it has none.
///
/// The Node is its owner, so that the cluster's garbage collector deletes it with the Node. The DaemonSet cannot be: owners
/// are of the same namespace, or of none.
///
/// Of peers that do not go together the first by namespace and name is in it.
pub fn configuration<'a>(
    node: &NodeView,
    namespace: &str,
    peers: impl IntoIterator<Item = (&'a Peer, &'a WantedRoutes)>,
) -> FrrConfiguration {
    let mut routers: BTreeMap<Option<&str>, Router> = BTreeMap::new();
    let (mut profiles, mut left_out) = (BTreeMap::new(), BTreeMap::new());
    let mut peers: Vec<_> = peers.into_iter().collect();
    peers.sort_by_key(|(peer, _)| &peer.key);
    let id = peers.iter().find_map(|(peer, _)| peer.router_id);
    for (peer, routes) in peers {
        let router = routers.entry(peer.vrf.as_deref()).or_insert_with(|| Router {
            asn: peer.my_asn,
            id,
            neighbors: BTreeMap::new(),
            prefixes: BTreeSet::new(),
        });
        if let Some(mistake) = router.lacks(peer) {
            left_out.insert(peer.key.clone(), mistake);
            continue;
        }
        let routes: BTreeMap<IpNet, &PathAttributes> = routes
            .routes()
            .iter()
            .filter(|(prefix, _)| takes(peer, prefix))
            .map(|(prefix, said)| (*prefix, said))
            .collect();
        router.prefixes.extend(routes.keys());
        router.neighbors.insert(place(peer), neighbor(peer, &routes));
        if let Some(bfd) = &peer.bfd {
            profiles.insert(bfd.key.name.clone(), profile(bfd));
        }
    }
    let routers = routers.into_iter().filter(|(_, router)| !router.neighbors.is_empty());
    let routers: Vec<Value> = routers.map(|(vrf, router)| router.emit(vrf)).collect();
    let profiles: Vec<Value> = profiles.into_values().collect();
    let NodeView { name, uid, .. } = node;
    let hostname = node.label(HOSTNAME_LABEL).unwrap_or(name);
    let object = json!({
        "apiVersion": "frrk8s.metallb.io/v1beta1",
        "kind": "FRRConfiguration",
        "metadata": {
            "name": format!("cloud-lb-announcer-{name}"),
            "namespace": namespace,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid }],
        },
        "spec": {
            "bgp": { "routers": routers, "bfdProfiles": profiles },
            "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": hostname } },
        },
    });
    FrrConfiguration { object, left_out }
}

impl Router {
    /// What keeps a peer from being one of this router's, which has others.
    fn lacks(&self, peer: &Peer) -> Option<Mistake> {
        let mistake = if let Some(asn) = peer.local_asn.filter(|asn| *asn != peer.my_asn) {
            let problem = "is not had by frr-k8s, whose routers have one AS number";
            Mistake::new("spec.localASN", asn.to_string(), problem).allowing("none, or --bgp=native")
        } else if peer.my_asn != self.asn {
            let problem =
                "is not the AS number of another peer of the same VRF, and FRR has one for all of them";
            Mistake::new("spec.myASN", peer.my_asn.to_string(), problem).allowing(self.asn.to_string())
        } else if let (Some(other), Some(id)) = (self.id, peer.router_id.filter(|id| Some(*id) != self.id)) {
            let problem = "is not the router ID of another peer of this node, and FRR has one";
            Mistake::new("spec.routerID", id.to_string(), problem).allowing(other.to_string())
        } else if self.neighbors.contains_key(&place(peer)) {
            let field = match peer.reach {
                Reach::Address(_) => "spec.peerAddress",
                Reach::Interface(_) => "spec.interface",
            };
            Mistake::new(field, place(peer), "is that of another peer of this node and VRF")
                .allowing("one of its own")
        } else {
            return None;
        };
        Some(mistake.meanwhile("this peer has no session from here, and the others have theirs"))
    }

    fn emit(self, vrf: Option<&str>) -> Value {
        let neighbors: Vec<Value> = self.neighbors.into_values().collect();
        object([
            ("asn", json!(self.asn)),
            ("id", json!(self.id)),
            ("vrf", json!(vrf)),
            ("neighbors", json!(neighbors)),
            ("prefixes", json!(self.prefixes)),
        ])
    }
}

/// What tells a peer from others of its VRF.
fn place(peer: &Peer) -> String {
    match &peer.reach {
        Reach::Address(ip) => ip.to_string(),
        Reach::Interface(name) => name.clone(),
    }
}

/// Whether FRR tells a peer routes of this family.
fn takes(peer: &Peer, prefix: &IpNet) -> bool {
    match peer.reach {
        Reach::Address(ip) => peer.dual_stack || ip.is_ipv4() == prefix.addr().is_ipv4(),
        Reach::Interface(_) => true,
    }
}

fn neighbor(peer: &Peer, routes: &BTreeMap<IpNet, &PathAttributes>) -> Value {
    let seconds = |time: std::time::Duration| format!("{}s", time.as_secs());
    let (address, interface) = match &peer.reach {
        Reach::Address(ip) => (Some(ip), None),
        Reach::Interface(name) => (None, Some(name)),
    };
    let (asn, dynamic) = match peer.remote_asn {
        RemoteAsn::Exactly(number) => (Some(number), None),
        RemoteAsn::Internal => (None, Some("internal")),
        RemoteAsn::External => (None, Some("external")),
    };
    let is_internal = dynamic == Some("internal") || asn == Some(peer.my_asn);
    let (password, secret) = match &peer.password {
        Some(Password::Written(password)) => (Some(password), None),
        Some(Password::Secret(name)) => {
            (None, Some(json!({ "name": name, "namespace": peer.key.namespace })))
        }
        None => (None, None),
    };
    object([
        ("asn", json!(asn)),
        ("dynamicASN", json!(dynamic)),
        // So it is spelt there.
        ("sourceaddress", json!(peer.source_address)),
        ("address", json!(address)),
        ("interface", json!(interface)),
        ("port", json!(peer.port)),
        ("password", json!(password)),
        ("passwordSecret", json!(secret)),
        ("holdTime", json!(seconds(peer.hold_time))),
        ("keepaliveTime", json!(seconds(peer.keepalive_time))),
        ("connectTime", json!(peer.connect_time.map(seconds))),
        // A peer of our own AS may be any number of hops away, and FRR takes the word for one of another AS only.
        ("ebgpMultiHop", json!(peer.multi_hop && !is_internal)),
        ("bfdProfile", json!(peer.bfd.as_ref().map(|bfd| &bfd.key.name))),
        ("enableGracefulRestart", json!(peer.graceful_restart)),
        ("dualStackAddressFamily", json!(peer.dual_stack)),
        ("toAdvertise", advertised(routes)),
    ])
}

/// What a peer is told. An empty list is none, where none at all would be no list (`filtered`, which is the default).
fn advertised(routes: &BTreeMap<IpNet, &PathAttributes>) -> Value {
    let mut preferences: BTreeMap<u32, Vec<IpNet>> = BTreeMap::new();
    let mut communities: BTreeMap<String, Vec<IpNet>> = BTreeMap::new();
    for (prefix, said) in routes {
        if let Some(preference) = said.local_preference {
            preferences.entry(preference).or_default().push(*prefix);
        }
        let plain = said.communities.iter().map(|it| format!("{}:{}", it >> 16, it & 0xffff));
        let large = said.large_communities.iter();
        let large =
            large.map(|LargeCommunity { global, first, second }| format!("large:{global}:{first}:{second}"));
        for community in plain.chain(large) {
            communities.entry(community).or_default().push(*prefix);
        }
    }
    let with =
        |key: &str, value: Value, prefixes: Vec<IpNet>| object([(key, value), ("prefixes", json!(prefixes))]);
    let preferences: Vec<Value> = preferences
        .into_iter()
        .map(|(preference, prefixes)| with("localPref", json!(preference), prefixes))
        .collect();
    let communities: Vec<Value> = communities
        .into_iter()
        .map(|(community, prefixes)| with("community", json!(community), prefixes))
        .collect();
    let prefixes: Vec<&IpNet> = routes.keys().collect();
    json!({
        "allowed": { "mode": "filtered", "prefixes": prefixes },
        "withLocalPref": preferences,
        "withCommunity": communities,
    })
}

fn profile(bfd: &BfdProfile) -> Value {
    let millis = |time: std::time::Duration| time.as_millis() as u64;
    json!({
        "name": bfd.key.name,
        "receiveInterval": millis(bfd.receive_interval),
        "transmitInterval": millis(bfd.transmit_interval),
        "detectMultiplier": bfd.detect_multiplier,
        "echoInterval": millis(bfd.echo_interval),
        "echoMode": bfd.echo_mode,
        "passiveMode": bfd.passive_mode,
        "minimumTtl": bfd.minimum_ttl,
    })
}

/// An object of the fields that have a value.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
