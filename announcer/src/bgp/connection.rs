//! A session with a router over TCP: what the session says is to be done is done here, and nothing is decided.
//!
//! Nothing listens. Every wait has an end: connecting, the first word and silence have theirs in the session, a router that
//! reads nothing has it here, and so has the last word.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::agreement::Agreement;
use super::dial::Dial;
use super::leaving::LeavingTask;
use super::peer::BgpPeer;
use super::reason::DownReason;
use super::route::WantedRoutes;
use super::session::{BgpAction, BgpSession, Leaving};
use crate::bfd::path::PathStatus;
use crate::clock::{now, until_time};

/// How long a last word may take. Whoever does not read it learns from silence what it says.
const LAST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a router may read nothing where silence ends no session. RFC 9687 §3.2 has eight minutes.
const SEND_HOLD_TIME: Duration = Duration::from_secs(480);

/// How a session with a router stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// What both ends agreed on, while it is up.
    pub up: Option<Agreement>,
    /// Why it was not up last; none before the first failure. It stays while the session is up.
    pub reason: Option<DownReason>,
    /// How many routes the router has been told of, on the session that is up.
    pub told: usize,
    /// How often it has come up.
    pub ups: u64,
}

/// A router, and the task that keeps a session with it. Dropped, it is as if the process ended: the connection closes without
/// a word.
#[derive(Debug)]
pub struct Peering {
    wanted: watch::Sender<Arc<WantedRoutes>>,
    status: watch::Receiver<PeerStatus>,
    task: LeavingTask,
}

impl Peering {
    /// Begins a session, which tells nothing until something is wanted. Where BFD watches the path, a loss of the path ends the
    /// session. Of `random` come the pauses.
    ///
    /// To be called in a tokio runtime.
    pub fn start(
        dial: Dial,
        peer: BgpPeer,
        path: Option<watch::Receiver<PathStatus>>,
        random: fastrand::Rng,
    ) -> Self {
        let (wanted, wants) = watch::channel(Arc::default());
        let (stands, status) = watch::channel(PeerStatus::default());
        let send_hold_time = peer.hold_time.duration().unwrap_or(SEND_HOLD_TIME);
        let driver = BgpDriver {
            dial,
            send_hold_time,
            session: BgpSession::new(peer, random),
            stands,
            link: Connection::None,
            unsent: Vec::new(),
            read_by: None,
        };
        let task = LeavingTask::spawn(|leaves| driver.run(wants, path, leaves));
        Peering { wanted, status, task }
    }

    /// From now on the router is to have these routes.
    pub fn want(&self, wanted: Arc<WantedRoutes>) {
        self.wanted.send_replace(wanted);
    }

    /// How the session stands, now and from now on.
    pub fn status(&self) -> watch::Receiver<PeerStatus> {
        self.status.clone()
    }

    /// Ends the session. When this returns, the last word has been read or has had its second.
    pub async fn leave(self, leaving: Leaving) {
        self.task.leave(leaving).await;
    }
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The connection, as far as it is there.
enum Connection {
    None,
    Connecting(Connecting),
    Open(TcpStream),
}

/// What happened next.
enum Happened {
    Connected(io::Result<TcpStream>),
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    TimePassed,
    ReadsNothing,
    Wants,
    PathChanged,
    Leaves(Leaving),
}

struct BgpDriver {
    dial: Dial,
    /// How long the router may take nothing of what is sent.
    send_hold_time: Duration,
    session: BgpSession,
    stands: watch::Sender<PeerStatus>,
    link: Connection,
    unsent: Vec<u8>,
    /// When the router has to have taken something of what is unsent.
    read_by: Option<Instant>,
}

impl BgpDriver {
    async fn run(
        mut self,
        mut wants: watch::Receiver<Arc<WantedRoutes>>,
        mut path: Option<watch::Receiver<PathStatus>>,
        mut leaves: oneshot::Receiver<Leaving>,
    ) {
        let mut buffer = vec![0; 16_384];
        let mut losses = path.as_ref().map_or(0, |path| path.borrow().losses);
        let mut actions = self.session.start(now());
        loop {
            self.perform(actions).await;
            if matches!(self.link, Connection::Open(_)) && self.unsent.is_empty() {
                let updates = self.session.updates();
                self.send(updates);
                let told = self.session.told();
                self.stands.send_if_modified(|status| std::mem::replace(&mut status.told, told) != told);
            }
            actions = match self.next(&mut buffer, &mut wants, &mut path, &mut leaves).await {
                Happened::Connected(Ok(stream)) => match stream.local_addr() {
                    Ok(local) => {
                        self.link = Connection::Open(stream);
                        self.session.connected(now(), local.ip())
                    }
                    Err(error) => self.session.failed(now(), DownReason::NotConnected(error.to_string())),
                },
                Happened::Connected(Err(error)) => {
                    self.link = Connection::None;
                    self.session.failed(now(), DownReason::NotConnected(error.to_string()))
                }
                Happened::Read(Ok(0)) => {
                    let word = "it ended the connection".to_owned();
                    self.session.failed(now(), DownReason::Closed(word))
                }
                Happened::Read(Ok(length)) => self.session.received(now(), &buffer[..length]),
                Happened::Wrote(Ok(length)) => {
                    self.unsent.drain(..length);
                    self.read_by = (!self.unsent.is_empty()).then(|| Instant::now() + self.send_hold_time);
                    Vec::new()
                }
                Happened::Read(Err(error)) | Happened::Wrote(Err(error)) => {
                    self.session.failed(now(), DownReason::Closed(error.to_string()))
                }
                Happened::TimePassed => {
                    let mut actions = self.heard_meanwhile(&mut buffer).await;
                    actions.extend(self.session.passed(now()));
                    actions
                }
                Happened::ReadsNothing => {
                    self.unsent.clear();
                    self.session.failed(now(), DownReason::SendHoldTimer(self.send_hold_time.as_secs()))
                }
                Happened::Wants => {
                    self.session.want(Arc::clone(&wants.borrow_and_update()));
                    Vec::new()
                }
                Happened::PathChanged => {
                    let known = path.as_mut().map_or(losses, |path| path.borrow_and_update().losses);
                    match std::mem::replace(&mut losses, known) == known {
                        true => Vec::new(),
                        false => self.session.path_lost(now()),
                    }
                }
                Happened::Leaves(leaving) => {
                    let last = self.session.leave(leaving);
                    return self.perform(last).await;
                }
            };
        }
    }

    /// Waits for what happens next.
    async fn next(
        &mut self,
        buffer: &mut [u8],
        wants: &mut watch::Receiver<Arc<WantedRoutes>>,
        path: &mut Option<watch::Receiver<PathStatus>>,
        leaves: &mut oneshot::Receiver<Leaving>,
    ) -> Happened {
        let until = self.session.deadline().map(Instant::from_std);
        let unsent = &self.unsent;
        let link = async {
            match &mut self.link {
                Connection::None => pending().await,
                Connection::Connecting(connecting) => Happened::Connected(connecting.await),
                Connection::Open(stream) => {
                    let (mut read, mut write) = stream.split();
                    tokio::select! {
                        length = read.read(buffer) => Happened::Read(length),
                        length = write.write(unsent), if !unsent.is_empty() => Happened::Wrote(length),
                    }
                }
            }
        };
        tokio::select! {
            // Whoever is gone cannot say how to leave.
            Ok(leaving) = leaves => Happened::Leaves(leaving),
            happened = link => happened,
            () = until_time(until) => Happened::TimePassed,
            () = until_time(self.read_by) => Happened::ReadsNothing,
            Ok(()) = wants.changed() => Happened::Wants,
            () = changed(path) => Happened::PathChanged,
        }
    }

    /// What has arrived while we had no time to look. A router is not given up for a silence that was ours.
    async fn heard_meanwhile(&mut self, buffer: &mut [u8]) -> Vec<BgpAction> {
        // The runtime looks at what the operating system has for us.
        yield_now().await;
        match &self.link {
            Connection::Open(stream) => match stream.try_read(buffer) {
                Ok(length) if length > 0 => self.session.received(now(), &buffer[..length]),
                // The end, or an error, is read once more, as what happens next.
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    async fn perform(&mut self, actions: Vec<BgpAction>) {
        for action in actions {
            match action {
                BgpAction::Connect => self.link = Connection::Connecting(Box::pin(self.dial.connect())),
                BgpAction::Send(bytes) => self.send(bytes),
                BgpAction::Close => self.close().await,
                BgpAction::Up(agreement) => self.stands.send_modify(|status| {
                    status.up = Some(agreement);
                    status.ups += 1;
                }),
                BgpAction::Down(reason) => self.stands.send_modify(|status| {
                    (status.up, status.told) = (None, 0);
                    status.reason = Some(reason);
                }),
            }
        }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.unsent.extend(bytes);
        if !self.unsent.is_empty() && self.read_by.is_none() {
            self.read_by = Some(Instant::now() + self.send_hold_time);
        }
    }

    /// Closes the connection when all is sent. Then the other end is waited for: where something that it has sent is unread, the
    /// operating system resets the connection, and our last word may be lost with it.
    async fn close(&mut self) {
        let (link, unsent) =
            (std::mem::replace(&mut self.link, Connection::None), std::mem::take(&mut self.unsent));
        self.read_by = None;
        let Connection::Open(mut stream) = link else { return };
        if unsent.is_empty() {
            return;
        }
        // In time or not: there is nobody left to tell.
        let _ = timeout(LAST_MESSAGE_TIMEOUT, async {
            stream.write_all(&unsent).await?;
            stream.shutdown().await?;
            let mut rest = [0; 4_096];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
    }
}

/// The next change of the path; never, where nobody watches it any more.
async fn changed(path: &mut Option<watch::Receiver<PathStatus>>) {
    let is_watched = match path {
        Some(path) => path.changed().await.is_ok(),
        None => false,
    };
    if !is_watched {
        pending::<()>().await;
    }
}
