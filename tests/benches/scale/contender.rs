//! Who is measured side by side.

use tests::cluster::Cluster;

use crate::peers::Peer;
use crate::process::Process;
use crate::stage::{Body, a_cluster};
use crate::witness::Witness;
use crate::{bare_client, program};

/// Who serves the Services of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Program,
    BareClient,
    Other(Peer),
}

const PEERS: [Peer; 2] = [Peer::Kubernetes, Peer::MetalLb];

/// In the order of [`Figures::compare`](tests::performance::Figures::compare).
const COLUMNS: [Contender; 4] = [
    Contender::Program,
    Contender::BareClient,
    Contender::Other(Peer::Kubernetes),
    Contender::Other(Peer::MetalLb),
];

impl Contender {
    /// All that can be measured here: first the program, then the bare client.
    pub(crate) fn all() -> Vec<Contender> {
        let mut all = vec![Contender::Program, Contender::BareClient];
        all.extend(PEERS.into_iter().filter(|peer| peer.is_there()).map(Contender::Other));
        all
    }

    /// Starts it.
    pub(crate) async fn start(self, cluster: &Cluster) -> Process {
        match self {
            Contender::Program => program::start(&cluster.plane),
            Contender::BareClient => bare_client::start(cluster),
            Contender::Other(peer) => peer.start(cluster).await,
        }
    }

    /// A cluster on which it has served one Service, so that it leads, if it is one that leads, and its connections are open.
    pub(crate) async fn at_work(self) -> (Cluster, Process, Witness) {
        let cluster = a_cluster(Body::AsAsked).await;
        let (process, witness) = (self.start(&cluster).await, Witness::of(&cluster));
        cluster.create("first").await;
        witness.of_service("first").await;
        (cluster, process, witness)
    }
}

/// What was measured of all contenders, in the columns of the page.
pub(crate) fn side_by_side<T>(
    measured: &[(Contender, T)],
    told: impl Fn(&T) -> String,
) -> [Option<String>; 4] {
    COLUMNS.map(|column| measured.iter().find(|(contender, _)| *contender == column).map(|(_, it)| told(it)))
}
