//! What the heartbeat costs one node, in memory and in time of a processor: among 100 peers, and with 1,000 addresses on one
//! segment, for which it also says how long it takes until all are answered for:
//!
//! ```sh
//! cargo bench --package announcer --bench heartbeat
//! ```
//!
//! A segment is played first, with time of its own, and what one of its nodes hears is recorded. A second process then hears
//! the recording, as that node, and nothing else is in its figures. What the kernel does to hand over a frame is not in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use announcer::beat::{Boot, Cluster, Key};
use announcer::ethernet::Mac;
use announcer::responder::{Command, Responder};
use announcer::segment::{Eligible, HeartbeatSettings, LinkState, Links, Me, SegmentChange};

/// For so long the segment is played.
const PLAYED: Duration = Duration::from_secs(20);

/// Under these the second process finds its recording, and how many nodes and addresses there are.
const VARIABLES: [&str; 3] = ["HEARTBEAT_RECORDING", "HEARTBEAT_NODES", "HEARTBEAT_ADDRESSES"];

/// A segment.
#[derive(Clone, Copy)]
struct Scene {
    nodes: u16,
    addresses: u16,
}

impl Scene {
    /// The node of this number, with its link up and all addresses wanted from all nodes.
    fn node(self, number: u16) -> Responder {
        let [high, low] = number.to_be_bytes();
        let me = Me { node: name(number).into(), link: "eth0".into(), boot: Boot(number.into()) };
        let key = Key::new(b"the key of the bench").expect("it is long enough");
        let mut node =
            Responder::new(me, HeartbeatSettings::default(), key, Cluster::of("bench"), Duration::ZERO);
        let link = LinkState { usable: true, mac: Mac::new([2, 0, 0, 0, high, low]) };
        node.obey(Duration::ZERO, Command::Link(link));
        node.obey(Duration::ZERO, Command::Want(self.wanted()));
        node
    }

    fn wanted(self) -> BTreeMap<IpAddr, Vec<Eligible>> {
        let eligible = |number| Eligible { node: name(number).into(), links: Links::All, score: 0 };
        let all: Vec<Eligible> = (0..self.nodes).map(eligible).collect();
        (0..self.addresses).map(|number| (address(number), all.clone())).collect()
    }

    /// Plays the segment and records what its first node hears. Returns when the last address was taken.
    fn record(self, into: &Path) -> io::Result<Duration> {
        let mut recording = BufWriter::new(File::create(into)?);
        let mut nodes: Vec<Responder> = (0..self.nodes).map(|number| self.node(number)).collect();
        let (mut missing, mut all_taken): (BTreeSet<IpAddr>, _) =
            ((0..self.addresses).map(address).collect(), Duration::MAX);
        while let Some((now, speaker)) = first(&nodes).filter(|(now, _)| *now < PLAYED) {
            let due = nodes[speaker].tick(now);
            let Some((sequence, pages)) = due.beat else { continue };
            nodes[speaker].sent(sequence);
            for page in &pages {
                for (_, node) in nodes.iter_mut().enumerate().filter(|(number, _)| *number != speaker) {
                    node.frame(now, page);
                }
                if speaker != 0 {
                    recording.write_all(&(now.as_micros() as u64).to_be_bytes())?;
                    recording.write_all(&(page.len() as u32).to_be_bytes())?;
                    recording.write_all(page)?;
                }
            }
            for change in nodes.iter_mut().flat_map(Responder::changes) {
                if let SegmentChange::Taken { ip, .. } = change
                    && missing.remove(&ip)
                    && missing.is_empty()
                {
                    all_taken = now;
                }
            }
        }
        recording.flush()?;
        Ok(all_taken)
    }

    /// Hears a recording as the first node, and says what that cost: time of the processor, and bytes of memory.
    fn hear(self, recording: &Path) -> io::Result<(Duration, u64)> {
        let mut recording = BufReader::new(File::open(recording)?);
        let (memory, time) = (resident()?, on_processor()?);
        let mut node = self.node(0);
        while let Some((at, frame)) = next(&mut recording)? {
            while let Some(due) = node.next().filter(|due| *due <= at) {
                if let Some((sequence, _)) = node.tick(due).beat {
                    node.sent(sequence);
                }
            }
            node.frame(at, &frame);
        }
        let report = node.report();
        assert_eq!(report.peers.len() + 1, usize::from(self.nodes), "it hears all others");
        Ok((on_processor()?.saturating_sub(time), resident()?.saturating_sub(memory)))
    }
}

fn name(number: u16) -> String {
    format!("worker-{number:03}.example.com")
}

fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low).into()
}

/// The node whose turn is next, and when that is.
fn first(nodes: &[Responder]) -> Option<(Duration, usize)> {
    nodes.iter().enumerate().filter_map(|(number, node)| Some((node.next()?, number))).min()
}

fn next(recording: &mut impl Read) -> io::Result<Option<(Duration, Vec<u8>)>> {
    let mut at = [0; 8];
    match recording.read_exact(&mut at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut length = [0; 4];
    recording.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    recording.read_exact(&mut frame)?;
    Ok(Some((Duration::from_micros(u64::from_be_bytes(at)), frame)))
}

/// How long this thread was on a processor so far.
fn on_processor() -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split(' ').next().and_then(|word| word.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other(stat))
}

/// The bytes of memory that this process has.
fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map(|kibibytes| kibibytes * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}

/// Hears what the first process has recorded.
fn listener() -> Option<io::Result<()>> {
    let [path, nodes, addresses] = VARIABLES.map(std::env::var);
    let (path, nodes, addresses) = (path.ok()?, nodes.ok()?.parse().ok()?, addresses.ok()?.parse().ok()?);
    Some(Scene { nodes, addresses }.hear(Path::new(&path)).map(|(time, memory)| {
        println!(
            "  one node: {:.2} % of a core, {:.1} MB",
            100.0 * time.as_secs_f64() / PLAYED.as_secs_f64(),
            memory as f64 / 1e6
        );
    }))
}

fn main() -> io::Result<()> {
    if let Some(heard) = listener() {
        return heard;
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("recording");
    for (scene, goal) in [
        (Scene { nodes: 101, addresses: 100 }, "goal: 1 % of a core and 8 MB"),
        (Scene { nodes: 3, addresses: 1_000 }, "no goal, but that it works"),
    ] {
        let Scene { nodes, addresses } = scene;
        let all_taken = scene.record(&path)?;
        println!(
            "{} peers, {addresses} addresses ({goal}): all answered for after {:.2} s",
            nodes - 1,
            all_taken.as_secs_f64()
        );
        let mut listener = Process::new(std::env::current_exe()?);
        let [recording, of_nodes, of_addresses] = VARIABLES;
        listener.env(recording, &path).env(of_nodes, nodes.to_string());
        let status = listener.env(of_addresses, addresses.to_string()).status()?;
        if !status.success() {
            return Err(io::Error::other("the listener failed"));
        }
    }
    Ok(())
}
