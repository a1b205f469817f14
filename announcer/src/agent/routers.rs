//! To routers: the engine that has been chosen, and what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_provider::{Mistake, NodeView};
use ipnet::IpNet;
use kube::Client;
use metallb::peer::Peer;
use metallb::written::ObjectKey;
use tokio::sync::{mpsc, watch};

use crate::announcements::{BgpAnnouncements, View};
use crate::bgp::session::Leaving;
use crate::engine::frr_k8s::configuration;
use crate::engine::frr_k8s_keeper::FrrKeeper;
use crate::engine::speaker::{PeerNews, PeerSessions, Speaker, SpeakerConfig};
use crate::net::addresses;

/// Who speaks to routers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BgpEngine {
    /// Our own speaker.
    #[default]
    Native,
    /// FRR, as frr-k8s runs it.
    FrrK8s {
        /// The namespace in which frr-k8s looks for configurations.
        namespace: String,
    },
}

/// The engine at work.
pub(super) enum Routers {
    Native(Speaker),
    FrrK8s { keeper: FrrKeeper, namespace: String },
}

impl Routers {
    pub(super) fn start(client: &Client, engine: &BgpEngine, news: mpsc::UnboundedSender<PeerNews>) -> Self {
        match engine {
            BgpEngine::Native => Routers::Native(Speaker::start(news)),
            BgpEngine::FrrK8s { namespace } => {
                Routers::FrrK8s { keeper: FrrKeeper::start(client.clone()), namespace: namespace.clone() }
            }
        }
    }

    /// How it stands with the routers; none where another process has the sessions.
    pub(super) fn shown(&self) -> Option<watch::Receiver<PeerSessions>> {
        match self {
            Routers::Native(speaker) => Some(speaker.shown()),
            Routers::FrrK8s { .. } => None,
        }
    }

    /// Tells the engine the peers of this node and their routes. Returns the peers that it cannot serve, and why.
    pub(super) fn follow(
        &self,
        view: &View,
        node: &str,
        announced: &BgpAnnouncements,
    ) -> BTreeMap<ObjectKey, Vec<Mistake>> {
        let peers: Vec<Arc<Peer>> = view
            .announcing
            .peers()
            .filter(|peer| announced.wanted.contains_key(&peer.key.name))
            .cloned()
            .collect();
        let of_node = view.nodes.get(node).map(|node| &**node);
        match self {
            Routers::Native(speaker) => {
                let told =
                    SpeakerConfig { peers, node: own_addresses(of_node), wanted: announced.wanted.clone() };
                let left_out = told.left_out();
                speaker.tell(told);
                left_out
            }
            Routers::FrrK8s { keeper, namespace } => {
                // What is written goes with the Node, and would be litter without one.
                let Some(node) = of_node else {
                    keeper.rest();
                    return BTreeMap::new();
                };
                let with_routes = peers.iter().map(|peer| (&**peer, &*announced.wanted[&peer.key.name]));
                let made = configuration(node, namespace, with_routes);
                keeper.apply(made.object);
                made.left_out.into_iter().map(|(peer, mistake)| (peer, vec![mistake])).collect()
            }
        }
    }

    /// Ends the sessions, so that routers keep the routes where they were asked to: the next process is there soon.
    pub(super) async fn leave(self) {
        match self {
            Routers::Native(speaker) => speaker.leave(Leaving::ToRestart).await,
            // FRR goes on with what it was told.
            Routers::FrrK8s { .. } => {}
        }
    }
}

/// The addresses of this node, first those that its Node object shows.
fn own_addresses(node: Option<&NodeView>) -> Vec<IpNet> {
    let mut addresses = addresses().unwrap_or_else(|error| {
        tracing::warn!("the node's addresses cannot be asked for: {error}");
        Vec::new()
    });
    let shown: BTreeSet<_> = node.iter().flat_map(|node| &node.addresses).map(|address| address.ip).collect();
    addresses.sort_by_key(|net| !shown.contains(&net.addr()));
    addresses
}
