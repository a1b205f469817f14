//! Our own speaker at work: a session with each router that it can serve, as peers and routes come, change and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud_provider::Mistake;
use futures::future::join_all;
use ipnet::IpNet;
use metallb::peer::Peer;
use metallb::written::ObjectKey;
use tokio::sync::{mpsc, oneshot, watch};

use super::native::{NativePeer, native};
use crate::bfd::path::{PathStatus, Paths, WatchedPath};
use crate::bgp::connection::{PeerStatus, Peering};
use crate::bgp::leaving::LeavingTask;
use crate::bgp::route::WantedRoutes;
use crate::bgp::session::Leaving;

/// What the speaker is to do.
#[derive(Clone, Debug, Default)]
pub struct SpeakerConfig {
    /// The peers of this node.
    pub peers: Vec<Arc<Peer>>,
    /// The node's addresses, with the lengths of their subnets; of each family first the one that others reach it by.
    pub node: Vec<IpNet>,
    /// The routes that each peer is to have, by the peer's name.
    pub wanted: BTreeMap<String, Arc<WantedRoutes>>,
}

impl SpeakerConfig {
    /// The peers that ask for what our own speaker lacks, and what that is.
    pub fn left_out(&self) -> BTreeMap<ObjectKey, Vec<Mistake>> {
        let lacks = |peer: &Arc<Peer>| Some((peer.key.clone(), native(peer, &self.node).err()?));
        self.peers.iter().filter_map(lacks).collect()
    }
}

/// The peers with which there is a session, or is to be one, by name.
pub type PeerSessions = BTreeMap<String, PeerSession>;

/// How it stands with one peer, now and from now on.
#[derive(Clone, Debug)]
pub struct PeerSession {
    /// The session.
    pub session: watch::Receiver<PeerStatus>,
    /// The path, where it is watched.
    pub path: Option<watch::Receiver<PathStatus>>,
}

/// Something that somebody should know of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerNews {
    /// Which peer.
    pub peer: ObjectKey,
    /// Why there is no session; none: there is one. The same reason is not told twice in a row.
    pub down: Option<String>,
}

/// The task that has the sessions. Dropped, it is as if the process ended.
#[derive(Debug)]
pub struct Speaker {
    told: watch::Sender<SpeakerConfig>,
    shown: watch::Receiver<PeerSessions>,
    task: LeavingTask,
}

impl Speaker {
    /// Begins to speak, with nobody yet; what becomes of sessions is told to `news`. One for a process: two would watch the
    /// same paths.
    ///
    /// To be called in a tokio runtime.
    pub fn start(news: mpsc::UnboundedSender<PeerNews>) -> Self {
        let (told, tells) = watch::channel(SpeakerConfig::default());
        let (shows, shown) = watch::channel(PeerSessions::default());
        let sessions = Sessions { paths: Paths::default(), by_name: BTreeMap::new(), news };
        let task = LeavingTask::spawn(|leaves| sessions.run(tells, shows, leaves));
        Speaker { told, shown, task }
    }

    /// From now on these are the peers and their routes. A change of routes is told at once, a peer that has changed has a new
    /// session, and one that is not among them any more is left for good.
    pub fn tell(&self, told: SpeakerConfig) {
        self.told.send_replace(told);
    }

    /// How it stands, now and from now on.
    pub fn shown(&self) -> watch::Receiver<PeerSessions> {
        self.shown.clone()
    }

    /// Ends all sessions. It takes about a second at most.
    pub async fn leave(self, leaving: Leaving) {
        self.task.leave(leaving).await;
    }
}

struct Sessions {
    paths: Paths,
    by_name: BTreeMap<String, Session>,
    news: mpsc::UnboundedSender<PeerNews>,
}

struct Session {
    made_for: NativePeer,
    peering: Peering,
    path: Option<WatchedPath>,
}

impl Sessions {
    async fn run(
        mut self,
        mut tells: watch::Receiver<SpeakerConfig>,
        shows: watch::Sender<PeerSessions>,
        mut leaves: oneshot::Receiver<Leaving>,
    ) {
        loop {
            tokio::select! {
                changed = tells.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let told = tells.borrow_and_update().clone();
                    shows.send_replace(self.follow(&told).await);
                }
                leaving = &mut leaves => {
                    let Ok(leaving) = leaving else { return };
                    join_all(self.by_name.into_values().map(|session| session.leave(leaving))).await;
                    return;
                }
            }
        }
    }

    async fn follow(&mut self, told: &SpeakerConfig) -> PeerSessions {
        let served = |peer: &Arc<Peer>| Some((peer.key.name.clone(), native(peer, &told.node).ok()?));
        let served: BTreeMap<String, NativePeer> = told.peers.iter().filter_map(served).collect();
        // First what is to be told to those who stay: leaving others takes its time.
        for (name, session) in &self.by_name {
            if served.get(name) == Some(&session.made_for) {
                session.peering.want(told.wanted.get(name).cloned().unwrap_or_default());
            }
        }
        let over = self.by_name.extract_if(.., |name, session| served.get(name) != Some(&session.made_for));
        // A peer that is told the same by two sessions would end one of them.
        join_all(over.map(|(_, session)| session.leave(Leaving::ForGood)).collect::<Vec<_>>()).await;
        for peer in &told.peers {
            let name = &peer.key.name;
            let Some(made) = served.get(name).filter(|_| !self.by_name.contains_key(name)) else { continue };
            let session = self.begin(&peer.key, made.clone());
            session.peering.want(told.wanted.get(name).cloned().unwrap_or_default());
            self.by_name.insert(name.clone(), session);
        }
        let shown = |(name, session): (&String, &Session)| {
            let path = session.path.as_ref().map(WatchedPath::status);
            (name.clone(), PeerSession { session: session.peering.status(), path })
        };
        self.by_name.iter().map(shown).collect()
    }

    fn begin(&self, peer: &ObjectKey, made: NativePeer) -> Session {
        let path = made.path.map(|(key, profile)| self.paths.watch(key, profile, fastrand::Rng::new()));
        let status = path.as_ref().map(WatchedPath::status);
        let peering = Peering::start(made.dial, made.peer.clone(), status, fastrand::Rng::new());
        tokio::spawn(tell(peer.clone(), peering.status(), self.news.clone()));
        Session { made_for: made, peering, path }
    }
}

/// Tells what becomes of a session, until it is over.
async fn tell(
    peer: ObjectKey,
    mut status: watch::Receiver<PeerStatus>,
    news: mpsc::UnboundedSender<PeerNews>,
) {
    let mut told: Option<Option<String>> = None;
    loop {
        let now = {
            let status = status.borrow_and_update();
            match &status.up {
                Some(_) => Some(None),
                None => status.reason.as_ref().map(|reason| Some(reason.to_string())),
            }
        };
        if now.is_some() && now != told {
            told.clone_from(&now);
            // An error is a program that tells of nothing any more.
            let _ = news.send(PeerNews { peer: peer.clone(), down: now.flatten() });
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

impl Session {
    /// First the session, or the router would take the silence on the path for a loss.
    async fn leave(self, leaving: Leaving) {
        self.peering.leave(leaving).await;
        if let Some(path) = self.path {
            path.switch_off().await;
        }
    }
}
