//! A node of a cluster, as far as the network sees it: a machine, and a thread that answers on its links.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use announcer::beat::{Boot, Cluster, Key};
use announcer::net::{LinkChanges, LinkThread, links};
use announcer::responder::{Command, LinkReport, Responder};
use announcer::segment::{Eligible, HeartbeatSettings, LinkState, Links, Me, SegmentChange};
use tokio::sync::mpsc;

use super::network::{Lan, Machine};

/// No two lives have the same number.
static LIVES: AtomicU64 = AtomicU64::new(1);

const KEY: &[u8] = b"the key of a network of namespaces";

pub(crate) struct Node {
    name: &'static str,
    key: &'static [u8],
    machine: Arc<Machine>,
    threads: Arc<Mutex<BTreeMap<String, LinkThread>>>,
    changes: Mutex<mpsc::UnboundedReceiver<(String, SegmentChange)>>,
    tell: mpsc::UnboundedSender<(String, SegmentChange)>,
}

impl Node {
    /// A node that announces on `eth0`.
    pub(crate) fn start(lan: &Lan, name: &'static str) -> Self {
        Node::with_key(lan, name, KEY)
    }

    /// The same, with a key of its own.
    pub(crate) fn with_key(lan: &Lan, name: &'static str, key: &'static [u8]) -> Self {
        let (tell, changes) = mpsc::unbounded_channel();
        let machine = Arc::new(lan.machine());
        let node = Node { name, key, machine, threads: Arc::default(), changes: Mutex::new(changes), tell };
        node.announce_on("eth0");
        node.follow_links();
        node
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Starts a process of its own for another link.
    pub(crate) fn announce_on(&self, link: &str) {
        let index = self.link(link).index;
        let me = Me {
            node: self.name.into(),
            link: link.into(),
            boot: Boot(LIVES.fetch_add(1, Ordering::Relaxed)),
        };
        let key = Key::new(self.key).expect("a key");
        let (settings, cluster) = (HeartbeatSettings::default(), Cluster::of("a cluster"));
        let responder = Responder::new(me, settings, key, cluster, Duration::ZERO);
        let tell = self.tell.clone();
        let thread = self
            .machine
            .inside(|| LinkThread::start(index, link, Instant::now(), responder, tell).expect("a thread"));
        self.threads.lock().expect("no panic").insert(link.to_owned(), thread);
        tell_links(&self.machine, &self.threads);
    }

    /// Which nodes may announce an address on this network.
    pub(crate) fn want(&self, ip: IpAddr, nodes: &[&str]) {
        self.want_all(&[ip], nodes);
    }

    /// The same of several addresses.
    pub(crate) fn want_all(&self, addresses: &[IpAddr], nodes: &[&str]) {
        let eligible =
            nodes.iter().map(|node| Eligible { node: (*node).into(), links: Links::All, score: 0 });
        let eligible: Vec<Eligible> = eligible.collect();
        let wanted: BTreeMap<_, _> = addresses.iter().map(|ip| (*ip, eligible.clone())).collect();
        for thread in self.threads.lock().expect("no panic").values() {
            thread.order(Command::Want(wanted.clone()));
        }
    }

    /// Asks it to hand over.
    pub(crate) fn leave(&self) {
        for thread in self.threads.lock().expect("no panic").values() {
            thread.order(Command::Leave);
        }
    }

    /// Ends it without a word.
    pub(crate) fn kill(&self) {
        self.threads.lock().expect("no panic").clear();
    }

    pub(crate) fn reports(&self) -> Vec<LinkReport> {
        let threads = self.threads.lock().expect("no panic");
        threads.values().map(|thread| thread.report().borrow().clone()).collect()
    }

    /// Whether one of its links answers for an address.
    pub(crate) fn holds(&self, ip: IpAddr) -> bool {
        self.reports().iter().any(|report| report.held.contains(&ip))
    }

    /// What happened on it since this was last asked.
    pub(crate) fn changes(&self) -> Vec<SegmentChange> {
        let mut changes = self.changes.lock().expect("no panic");
        std::iter::from_fn(|| changes.try_recv().ok()).map(|(_, change)| change).collect()
    }

    fn link(&self, name: &str) -> announcer::link::Link {
        let links = self.machine.inside(|| links().expect("links"));
        links.into_iter().find(|link| link.name == name).expect("the link")
    }

    /// Tells the threads whenever something about a link has changed.
    fn follow_links(&self) {
        let (machine, threads) = (self.machine.clone(), Arc::downgrade(&self.threads));
        let mut changes = machine.inside(|| LinkChanges::new().expect("word of changes"));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                while changes.changed().await.is_ok() {
                    let Some(threads) = threads.upgrade() else { return };
                    tell_links(&machine, &threads);
                }
            });
        });
    }
}

fn tell_links(machine: &Machine, threads: &Mutex<BTreeMap<String, LinkThread>>) {
    let links = machine.inside(|| links().expect("links"));
    let threads = threads.lock().expect("no panic");
    for link in links {
        if let Some(thread) = threads.get(&link.name) {
            thread.order(Command::Link(LinkState { usable: link.running, mac: link.mac }));
        }
    }
}
