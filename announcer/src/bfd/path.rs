//! Paths that are watched: sessions over UDP.
//!
//! One socket hears for all peers of one address of ours, and each session sends from a socket of its own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep, timeout};

use super::packet::{BfdState, ControlPacket, Diagnostic};
use super::session::{BfdAction, BfdSession, Profile};
use super::socket::{local_towards, lowest_ttl, port, receiver, sender};
use crate::clock::{now, until_time};
use crate::distance::Distance;

/// After how long it is tried again to open sockets: an address or a way may come.
const SOCKET_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How many packets of one peer may wait. What is more is as good as lost on the way.
const MAX_WAITING_PACKETS: usize = 16;

/// How a path stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStatus {
    /// How we see it.
    pub state: BfdState,
    /// How often it was lost. What the peer switched off was not lost.
    pub losses: u64,
    /// Why it was lost last.
    pub diagnostic: Diagnostic,
    /// Why nothing is sent, in the words of the operating system.
    pub error: Option<String>,
}

/// A path to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathKey {
    /// The address of ours that the peer knows us by; none is the one that the way there begins with.
    pub from: Option<IpAddr>,
    /// The peer's.
    pub to: IpAddr,
    /// How far away it is.
    pub distance: Distance,
}

/// Watches paths. To be made once for a process: two would open the same sockets.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    ears: Arc<Mutex<HashMap<EarKey, Weak<Ear>>>>,
}

/// Which packets a socket hears.
type EarKey = (IpAddr, Distance);

/// A socket that hears for all peers of one address of ours.
#[derive(Debug)]
struct Ear {
    lowest_ttl: u8,
    peers: Mutex<HashMap<IpAddr, mpsc::Sender<ControlPacket>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// A path that is watched, until this is dropped.
#[derive(Debug)]
pub struct WatchedPath {
    status: watch::Receiver<PathStatus>,
    off: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Paths {
    /// Watches a path. Of `random` come the session's number, the port and the unevenness of what is sent.
    ///
    /// To be called in a tokio runtime. What does not work is said by [`PathStatus::error`], and tried again.
    pub fn watch(&self, path: PathKey, profile: Profile, random: fastrand::Rng) -> WatchedPath {
        let (stands, status) = watch::channel(PathStatus {
            state: BfdState::Down,
            losses: 0,
            diagnostic: Diagnostic::None,
            error: None,
        });
        let (off, switched_off) = oneshot::channel();
        let task = tokio::spawn(self.clone().run(path, profile, random, stands, switched_off));
        WatchedPath { status, off: Some(off), task }
    }

    async fn run(
        self,
        path: PathKey,
        profile: Profile,
        mut random: fastrand::Rng,
        stands: watch::Sender<PathStatus>,
        mut switched_off: oneshot::Receiver<()>,
    ) {
        let (_ear, packets, socket) = loop {
            match self.open(path, &profile, &mut random).await {
                Ok(open) => break open,
                Err(error) => stands.send_modify(|status| status.error = Some(error.to_string())),
            }
            if timeout(SOCKET_RETRY_DELAY, &mut switched_off).await.is_ok() {
                return;
            }
        };
        stands.send_modify(|status| status.error = None);
        let to = SocketAddr::new(path.to, port(path.distance));
        let session = BfdSession::new(profile, now(), random);
        BfdDriver { session, socket, to, stands }.run(packets, switched_off).await;
    }

    async fn open(
        &self,
        path: PathKey,
        profile: &Profile,
        random: &mut fastrand::Rng,
    ) -> io::Result<(Arc<Ear>, mpsc::Receiver<ControlPacket>, UdpSocket)> {
        let local = match path.from {
            Some(from) => from,
            None => local_towards(path.to).await?,
        };
        let socket = sender(local, random)?;
        let ear = self.ear((local, path.distance), lowest_ttl(path.distance, profile.minimum_ttl))?;
        let (packets, comes) = mpsc::channel(MAX_WAITING_PACKETS);
        // Another session with the same peer would have heard what is said to this one.
        ear.peers.lock().insert(path.to, packets);
        Ok((ear, comes, socket))
    }

    /// The socket that hears for this address of ours: the one that is there, or a new one.
    fn ear(&self, key: EarKey, lowest_ttl: u8) -> io::Result<Arc<Ear>> {
        let mut ears = self.ears.lock();
        if let Some(ear) = ears.get(&key).and_then(Weak::upgrade) {
            // The kernel looks at it, for the whole socket.
            let known = ear.lowest_ttl;
            return (known == lowest_ttl).then_some(ear).ok_or_else(|| {
                let (local, _) = key;
                io::Error::other(format!(
                    "a minimum TTL of {lowest_ttl} is asked for at {local}, where another peer has {known}: all \
                     peers of an address have the same"
                ))
            });
        }
        ears.retain(|_, ear| ear.strong_count() > 0);
        let (local, distance) = key;
        let socket = receiver(local, distance, lowest_ttl)?;
        let ear = Arc::new(Ear { lowest_ttl, peers: Mutex::default(), task: Mutex::default() });
        *ear.task.lock() = Some(tokio::spawn(listen(socket, Arc::downgrade(&ear))));
        ears.insert(key, Arc::downgrade(&ear));
        Ok(ear)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

impl WatchedPath {
    /// How the path stands, now and from now on.
    pub fn status(&self) -> watch::Receiver<PathStatus> {
        self.status.clone()
    }

    /// Stops watching, and tells the peer that this says nothing about the path. It takes a detection time.
    pub async fn switch_off(mut self) {
        if let Some(off) = self.off.take() {
            // An error is a task that has ended already.
            let _ = off.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for WatchedPath {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Gives each packet to the session with whoever sent it.
async fn listen(socket: UdpSocket, ear: Weak<Ear>) {
    let mut buffer = [0; 128];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // Nothing comes while an interface is down, say. What never comes again the detection time tells.
            sleep(SOCKET_RETRY_DELAY).await;
            continue;
        };
        let Some(packet) = ControlPacket::parse(&buffer[..length]) else { continue };
        let Some(ear) = ear.upgrade() else { return };
        let mut peers = ear.peers.lock();
        let given = peers.get(&from.ip()).map(|session| session.try_send(packet));
        // Full is lost, as on the way here.
        if let Some(Err(TrySendError::Closed(_))) = given {
            peers.remove(&from.ip());
        }
    }
}

struct BfdDriver {
    session: BfdSession,
    socket: UdpSocket,
    to: SocketAddr,
    stands: watch::Sender<PathStatus>,
}

impl BfdDriver {
    async fn run(
        mut self,
        mut packets: mpsc::Receiver<ControlPacket>,
        mut switched_off: oneshot::Receiver<()>,
    ) {
        let mut ends_at: Option<Instant> = None;
        loop {
            let until = self.session.deadline().map(Instant::from_std);
            let actions = tokio::select! {
                Some(packet) = packets.recv() => self.session.received(now(), packet),
                () = until_time(until) => self.time_passed(&mut packets).await,
                () = until_time(ends_at) => return,
                off = &mut switched_off, if ends_at.is_none() => match off {
                    Ok(()) => {
                        ends_at = Some(Instant::now() + self.session.switch_off(now()));
                        Vec::new()
                    }
                    Err(_) => return,
                },
            };
            for action in actions {
                self.perform(action).await;
            }
            let state = self.session.state();
            self.stands.send_if_modified(|status| std::mem::replace(&mut status.state, state) != state);
        }
    }

    /// First what has come while we had no time to look: a peer is not given up for a silence that was ours.
    async fn time_passed(&mut self, packets: &mut mpsc::Receiver<ControlPacket>) -> Vec<BfdAction> {
        yield_now().await;
        let mut actions = Vec::new();
        while let Ok(packet) = packets.try_recv() {
            actions.extend(self.session.received(now(), packet));
        }
        actions.extend(self.session.passed(now()));
        actions
    }

    async fn perform(&mut self, action: BfdAction) {
        match action {
            BfdAction::Send(packet) => {
                let error = self.socket.send_to(&packet.emit(), self.to).await.err().map(|it| it.to_string());
                self.stands.send_if_modified(|status| {
                    let is_new = status.error != error;
                    status.error = error;
                    is_new
                });
            }
            BfdAction::Down(diagnostic) => self.stands.send_modify(|status| {
                status.state = BfdState::Down;
                status.losses += 1;
                status.diagnostic = diagnostic;
            }),
            BfdAction::Up | BfdAction::Off => {}
        }
    }
}
