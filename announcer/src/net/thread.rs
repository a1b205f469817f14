//! One thread a link: frames in, frames out, and nothing between that could wait for anybody.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::{mpsc, watch};

use super::groups::MulticastGroups;
use super::socket::{FrameKind, FrameRoom, PacketSocket};
use crate::responder::{Command, LinkReport, Outgoing, Responder};
use crate::segment::SegmentChange;

/// How many frames of one socket are answered before the others have their turn: a flood of one kind must not silence the
/// heartbeat.
const FRAMES_A_TURN: usize = 64;

/// How long is waited at most; nothing is due after so long that is not told before.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How old the figures of a report may be, at most, while there is traffic.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Between two tries to join groups that could not be joined.
const GROUPS_RETRY_DELAY: Duration = Duration::from_secs(5);

/// A responder at work on its link. Dropped, it falls silent at once.
#[derive(Debug)]
pub struct LinkThread {
    commands: Option<Sender<Command>>,
    bell: Arc<EventFd>,
    report: watch::Receiver<LinkReport>,
    thread: Option<JoinHandle<()>>,
}

impl LinkThread {
    /// Starts to answer on the link of this index. `began` is the moment that the responder counts time from; what happens
    /// is told to `changes`, with the link's name.
    ///
    /// # Errors
    /// As [`PacketSocket::open`], or where the kernel has no room for a thread.
    pub fn start(
        index: u32,
        name: &str,
        began: Instant,
        responder: Responder,
        changes: mpsc::UnboundedSender<(String, SegmentChange)>,
    ) -> io::Result<Self> {
        let sockets = open(index)?;
        let (commands, orders) = channel();
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (told, report) = watch::channel(responder.report());
        let turns = Turns {
            sockets,
            groups: MulticastGroups::of(index),
            groups_due: None,
            orders,
            bell: bell.clone(),
            told,
            told_at: None,
            changes,
            responder,
            began,
            link: name.to_owned(),
        };
        // Names of threads have room for 15 characters, as names of links do.
        let thread = Builder::new().name(name.to_owned()).spawn(move || turns.run())?;
        Ok(LinkThread { commands: Some(commands), bell, report, thread: Some(thread) })
    }

    /// Gives it an order. One to a thread that has ended, because its link is gone, is void.
    pub fn order(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ended = commands.send(command);
            self.ring();
        }
    }

    /// How things stand on the link, and word of each change. It is closed when the link has gone.
    pub fn report(&self) -> watch::Receiver<LinkReport> {
        self.report.clone()
    }

    /// Whether it has ended by itself: the link has gone.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn ring(&self) {
        // It only fails when it has been rung 2^64 times without being heard.
        let _rung = self.bell.write(1);
    }
}

impl Drop for LinkThread {
    fn drop(&mut self) {
        self.commands = None;
        self.ring();
        if let Some(thread) = self.thread.take() {
            // A panic of it was printed when it happened.
            let _panicked = thread.join();
        }
    }
}

fn open(index: u32) -> io::Result<[PacketSocket; 3]> {
    let [arp, neighbours, beats] = FrameKind::ALL;
    // The heartbeat first: when there is much to do, it is what must not wait.
    Ok([
        PacketSocket::open(index, beats)?,
        PacketSocket::open(index, arp)?,
        PacketSocket::open(index, neighbours)?,
    ])
}

/// The thread's own.
struct Turns {
    sockets: [PacketSocket; 3],
    groups: MulticastGroups,
    /// When groups are to be joined and left, for the first time or after an obstacle.
    groups_due: Option<Instant>,
    orders: Receiver<Command>,
    bell: Arc<EventFd>,
    told: watch::Sender<LinkReport>,
    told_at: Option<Instant>,
    changes: mpsc::UnboundedSender<(String, SegmentChange)>,
    responder: Responder,
    began: Instant,
    link: String,
}

impl Turns {
    fn run(mut self) {
        match self.until_the_end() {
            Ok(()) => {}
            Err(error) if PacketSocket::has_gone(&error) => {
                tracing::info!(link = self.link, "the link has gone");
            }
            Err(error) => {
                tracing::error!(link = self.link, "nothing is answered on the link any more: {error}");
            }
        }
    }

    fn until_the_end(&mut self) -> io::Result<()> {
        let mut room = FrameRoom::default();
        loop {
            self.wait()?;
            loop {
                match self.orders.try_recv() {
                    Ok(command) => {
                        self.responder.obey(self.now(), command);
                        self.groups_due = Some(Instant::now());
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            for at in 0..self.sockets.len() {
                self.receive(at, &mut room)?;
            }
            let due = self.responder.tick(self.now());
            self.send(due)?;
            self.tell();
        }
    }

    /// Until a frame or an order comes, or something is due.
    fn wait(&self) -> io::Result<()> {
        let due = self.responder.next().map_or(MAX_WAIT, |next| next.saturating_sub(self.now()));
        let groups = self.groups_due.map(|due| due.saturating_duration_since(Instant::now()));
        let due = due.min(groups.unwrap_or(MAX_WAIT)).min(MAX_WAIT);
        // Rounded up, or the last part of a millisecond would be spent in circles.
        let milliseconds = due.as_nanos().div_ceil(1_000_000) as u16;
        let [beats, arp, neighbours] = &self.sockets;
        let mut waited = [self.bell.as_fd(), beats.as_fd(), arp.as_fd(), neighbours.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut waited, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        // The bell is for all orders that are there; what is rung from here on wakes the next turn.
        let _silent_already = self.bell.read();
        Ok(())
    }

    fn receive(&mut self, at: usize, room: &mut FrameRoom) -> io::Result<()> {
        for _ in 0..FRAMES_A_TURN {
            let Some(frame) = self.sockets[at].receive(room)? else { break };
            let now = self.began.elapsed();
            if let Some(answer) = self.responder.frame(now, frame) {
                self.sockets[at].send(&answer)?;
            }
        }
        Ok(())
    }

    /// Sends what is due. A packet socket sends frames of any kind.
    fn send(&mut self, due: Outgoing) -> io::Result<()> {
        let [socket, ..] = &self.sockets;
        if let Some((sequence, pages)) = due.beat {
            let mut all = true;
            for page in pages {
                all &= socket.send(&page)?;
            }
            if all {
                self.responder.sent(sequence);
            }
        }
        for frame in due.announcements {
            socket.send(&frame)?;
        }
        Ok(())
    }

    /// Tells what has changed, and listens where questions will be asked.
    fn tell(&mut self) {
        let changes = self.responder.changes();
        let news = !changes.is_empty();
        for change in changes {
            // Nobody asks any more: the announcer is ending.
            let _unheard = self.changes.send((self.link.clone(), change));
        }
        if self.groups_due.is_some_and(|due| due <= Instant::now()) {
            self.groups_due = match self.groups.hold(self.responder.wanted()) {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(link = self.link, "not all groups of IPv6 could be joined: {error}");
                    Some(Instant::now() + GROUPS_RETRY_DELAY)
                }
            };
        }
        if news || self.told_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL) {
            let report = self.responder.report();
            self.told.send_if_modified(|told| {
                let changed = *told != report;
                *told = report;
                changed
            });
            self.told_at = Some(Instant::now());
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
