//! Nodes of such a cluster: machines of a network, with an announcer on each.

use std::net::IpAddr;
use std::thread::{self, JoinHandle};

use announcer::agent::Config;
use announcer::rank::rank;
use tests::announcer_thread::announce;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::lan::network::Machine;

/// An announcer at work on a machine. Dropped, it is told to stop, and waited for.
pub(crate) struct Running {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn on(machine: &Machine, config: Config, client: &kube::Client) -> Self {
        let (stop, here, client) = (CancellationToken::new(), Handle::current(), client.clone());
        let stopped = stop.clone();
        let work = move || announce(config, client, here, stopped).expect("it follows links");
        let thread = machine.inside(|| thread::spawn(work));
        Running { stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "it ends well");
    }
}

/// Two names of nodes, of which the first comes first for all of these addresses.
pub(crate) fn by_rank(addresses: &[IpAddr]) -> [&'static str; 2] {
    let names = ["node-1", "node-2", "node-3", "node-4", "node-5", "node-6", "node-7", "node-8"];
    let comes_first = |one: &str, other: &str| addresses.iter().all(|ip| rank(one, *ip) < rank(other, *ip));
    let pairs = names.iter().flat_map(|one| names.iter().map(move |other| [*one, *other]));
    pairs.into_iter().find(|[one, other]| comes_first(one, other)).expect("some pair is so")
}
