//! What runs on the machines: threads that have moved there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use announcer::agent::Config;
use announcer::link::Excluded;
use nix::sched::{CloneFlags, setns};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::announcer_thread;
use crate::real_cluster::Machine;

/// Where the page of a node is; what comes for an address is led there.
pub(super) const PAGE_PORT: u16 = 8080;

/// How long a client waits for a page before it asks anew.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

/// Does something on a machine, on a thread of its own.
pub(super) fn on<R: Send + 'static>(
    machine: &Machine,
    act: impl FnOnce() -> R + Send + 'static,
) -> io::Result<JoinHandle<io::Result<R>>> {
    let namespace = File::open(machine.namespace())?;
    Ok(std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(act())
    }))
}

/// An announcer on a node, until it is told to stop. Its client speaks from here: the node has no way to the API server.
pub(super) fn announce(
    node: &Machine,
    key: &Path,
    client: kube::Client,
    stop: CancellationToken,
) -> io::Result<JoinHandle<io::Result<io::Result<()>>>> {
    let (here, excluded) = (Handle::current(), Excluded::new(Excluded::DEFAULT).map_err(io::Error::other)?);
    let config = Config::new(node.name(), key, excluded);
    on(node, move || announcer_thread::announce(config, client, here, stop))
}

/// Answers everybody who asks a node with a page that names it, in both families, for as long as the process lives.
pub(super) fn serve_page(node: &Machine) -> io::Result<()> {
    let name: Arc<str> = node.name().into();
    let listening = on(node, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, PAGE_PORT)))?;
    let listener = listening.join().map_err(|_| io::Error::other("a thread has panicked"))???;
    std::thread::spawn(move || {
        while let Ok((connection, _)) = listener.accept() {
            // Who goes away before its answer does not need one.
            let _gone = answer(connection, &name);
        }
    });
    Ok(())
}

fn answer(mut connection: TcpStream, node: &str) -> io::Result<()> {
    connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let _request = connection.read(&mut [0; 1_024])?;
    let page = format!("a page from {node}\n");
    write!(connection, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len())
}

/// Asks an address for its page once.
pub(super) fn ask(ip: IpAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&SocketAddr::new(ip, 80), ANSWER_TIMEOUT)?;
    connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(connection, "GET / HTTP/1.0\r\nHost: {ip}\r\n\r\n")?;
    let mut said = String::new();
    connection.read_to_string(&mut said)?;
    let page = said.split_once("\r\n\r\n").map(|(_, page)| page.trim().to_owned());
    page.filter(|page| !page.is_empty()).ok_or_else(|| io::Error::other("an answer without a page"))
}

/// Asks again and again until there is a page that is not this one; how long there was none at all, and the page.
pub(super) fn silence(ip: IpAddr, before: &str, patience: Duration) -> io::Result<(Duration, String)> {
    let began = Instant::now();
    let mut last_page = began;
    while began.elapsed() < patience {
        if let Ok(page) = ask(ip) {
            if page != before {
                return Ok((last_page.elapsed(), page));
            }
            last_page = Instant::now();
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("{ip} did not answer from another node")))
}
