//! Leadership between real processes, against one API server, each over a network of its own that the test
//! can slow down and cut.
//!
//! Whatever happens, one thing has to hold: every act of a replica lies, in the order of the server's
//! resourceVersions, behind a record of the Lease that names this replica, and before the next that does not.

use std::fmt::Debug;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde::de::DeserializeOwned;
use tests::control_plane::ControlPlane;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

const NAMESPACE: &str = "default";
const LEASE: &str = "elected";
/// As `elector` has it.
const LEASE_DURATION: SignedDuration = SignedDuration::from_secs(3);
/// For whatever should happen soon; only a failing test takes as long.
const CONDITION_TIMEOUT: Duration = Duration::from_secs(60);

/// A control plane, everything that was ever written to the Lease, and every act.
struct Election {
    plane: ControlPlane,
    records: watch::Receiver<Vec<Record>>,
    acts: watch::Receiver<Vec<Act>>,
    _watching: [AbortOnDropHandle<()>; 2],
}

#[derive(Clone, Debug)]
struct Act {
    version: u64,
    by: String,
}

impl Act {
    /// None for ConfigMaps that are not ours.
    fn read(object: &ConfigMap) -> Option<Act> {
        Some(Act { version: version(object), by: object.data.as_ref()?.get("by")?.clone() })
    }
}

#[derive(Clone, Debug)]
struct Record {
    version: u64,
    spec: LeaseSpec,
}

impl Record {
    fn read(lease: &Lease) -> Option<Record> {
        Some(Record { version: version(lease), spec: lease.spec.clone()? })
    }

    fn holder(&self) -> &str {
        self.spec.holder_identity.as_deref().unwrap_or_default()
    }

    fn transitions(&self) -> i32 {
        self.spec.lease_transitions.unwrap_or_default()
    }

    fn renewed(&self) -> Timestamp {
        self.spec.renew_time.as_ref().expect("a time of renewal").0
    }
}

impl Election {
    async fn start() -> Self {
        let plane = ControlPlane::start().await;
        let (acts, watching_acts) = history(Api::namespaced(plane.client(), NAMESPACE), Act::read);
        let (records, watching_records) = history(Api::namespaced(plane.client(), NAMESPACE), Record::read);
        Election { plane, records, acts, _watching: [watching_acts, watching_records] }
    }

    /// A replica that acts all the time while it leads.
    async fn steady(&self, identity: &str) -> Replica {
        Replica::start(&self.plane, identity, &["--steady"]).await
    }

    /// A replica that acts on command.
    async fn obedient(&self, identity: &str) -> Replica {
        Replica::start(&self.plane, identity, &[]).await
    }

    /// Waits until the history of the Lease is as it should be.
    async fn until(&self, what: &str, reached: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let mut records = self.records.clone();
        let found = timeout(CONDITION_TIMEOUT, records.wait_for(|records| reached(records))).await;
        match found {
            Ok(records) => records.expect("the watch of the Lease").clone(),
            Err(_) => panic!("in vain for {what}: {:#?}", self.records.borrow()),
        }
    }

    async fn until_led_by(&self, identity: &str) -> Vec<Record> {
        let led = |records: &[Record]| records.last().is_some_and(|record| record.holder() == identity);
        self.until(&format!("{identity} to lead"), led).await
    }

    /// Waits until the leader has acted this many more times.
    async fn until_acted(&self, times: usize) {
        let mut acts = self.acts.clone();
        let enough = acts.borrow().len() + times;
        let acted = timeout(CONDITION_TIMEOUT, acts.wait_for(|acts| acts.len() >= enough)).await;
        assert!(acted.is_ok(), "in vain for {times} more acts: {:#?}", self.records.borrow().last());
    }

    /// How many writes of the Lease a replica has asked for, successful or not.
    fn lease_writes(&self, identity: &str) -> usize {
        let agent = format!("elector/{identity} ");
        self.plane.requests().count(|r| r.agent.starts_with(&agent) && r.resource == "leases" && r.is_write())
    }

    /// Checks every act against the history of the Lease, and returns how often each replica acted.
    async fn check_that_only_holders_acted<const N: usize>(&self, identities: [&str; N]) -> [usize; N] {
        let objects: Api<ConfigMap> = Api::namespaced(self.plane.client(), NAMESPACE);
        let objects = objects.list(&ListParams::default()).await.expect("a list of the acts");
        let acts: Vec<Act> = objects.iter().filter_map(Act::read).collect();
        let leases: Api<Lease> = Api::namespaced(self.plane.client(), NAMESPACE);
        let current = version(&leases.get(LEASE).await.expect("the Lease"));
        let complete = |records: &[Record]| records.last().is_some_and(|record| record.version >= current);
        let records = self.until("the whole history", complete).await;
        for act in &acts {
            let record = records.iter().rev().find(|record| record.version < act.version);
            let holder = record.expect("an act without any leader").holder();
            assert_eq!(holder, act.by, "held the Lease at {act:?}");
        }
        identities.map(|identity| acts.iter().filter(|act| act.by == identity).count())
    }
}

/// Collects what is read from all objects of a kind, in the order of their changes.
fn history<K, T>(
    objects: Api<K>,
    read: impl Fn(&K) -> Option<T> + Send + 'static,
) -> (watch::Receiver<Vec<T>>, AbortOnDropHandle<()>)
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send + Sync + 'static,
{
    let (sender, history) = watch::channel(Vec::new());
    let watching = tokio::spawn(async move {
        let mut objects = watcher(objects, watcher::Config::default()).applied_objects().boxed();
        while let Some(object) = objects.next().await {
            if let Some(entry) = read(&object.expect("a watch")) {
                sender.send_modify(|history| history.push(entry));
            }
        }
    });
    (history, AbortOnDropHandle::new(watching))
}

fn version<K: kube::Resource>(object: &K) -> u64 {
    object.resource_version().expect("a version").parse().expect("a version that is a number")
}

/// A process that contends.
struct Replica {
    identity: String,
    process: Child,
    said: watch::Receiver<Vec<String>>,
    wire: Wire,
}

impl Replica {
    async fn start(plane: &ControlPlane, identity: &str, options: &[&str]) -> Self {
        let url: http::Uri = plane.url().parse().expect("a URL");
        let authority = url.authority().expect("an address").as_str();
        let wire = Wire::to(authority.parse().expect("an address of the loopback interface")).await;
        let scheme = url.scheme_str().expect("a scheme");
        let mut process = Command::new(env!("CARGO_BIN_EXE_elector"))
            .args(["--server", &format!("{scheme}://{}", wire.address), "--token", "tok"])
            .args(["--namespace", NAMESPACE, "--lease", LEASE, "--identity", identity])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (sender, said) = watch::channel(Vec::new());
        let output = BufReader::new(process.stdout.take().expect("its output"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sender.send_modify(|said: &mut Vec<String>| said.push(line));
            }
        });
        Replica { identity: identity.to_owned(), process, said, wire }
    }

    /// How many times it has said something.
    fn times(&self, word: &str) -> usize {
        self.said.borrow().iter().filter(|said| *said == word).count()
    }

    async fn until_it_says(&self, word: &str, times: usize) {
        let mut said = self.said.clone();
        let heard = said.wait_for(|said| said.iter().filter(|said| *said == word).count() >= times);
        let said = matches!(timeout(CONDITION_TIMEOUT, heard).await, Ok(Ok(_)));
        assert!(said, "in vain for {} to say {word:?}: {:?}", self.identity, self.said.borrow());
    }

    fn command(&mut self, command: &str) {
        let input = self.process.stdin.as_mut().expect("its input");
        writeln!(input, "{command}").expect("it listens");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id();
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status();
        assert!(status.expect("a shell").success(), "kill -{signal}");
    }

    /// Waits for the end of the process.
    async fn end(mut self) -> ExitStatus {
        let wait = tokio::task::spawn_blocking(move || self.process.wait().expect("an end"));
        timeout(CONDITION_TIMEOUT, wait).await.expect("an end in time").expect("no panic")
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Fails if it has ended already, which is just as well.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The network between one replica and the API server.
struct Wire {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
    _carrying: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
enum Condition {
    Good,
    /// Every request takes this much longer to be looked at; not at all if nobody waits any more by then. Connections
    /// are made as fast as ever.
    Slow(Duration),
    /// Nothing gets through and nobody is told. What was under way is gone.
    Cut,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let condition = watch::Sender::new(Condition::Good);
        let conditions = condition.clone();
        let carrying = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, conditions.subscribe()));
            }
        });
        Wire { address, condition, _carrying: AbortOnDropHandle::new(carrying) }
    }

    fn becomes(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut condition: watch::Receiver<Condition>) {
    let mut up = condition.clone();
    let through = async {
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        let (mut request, mut reply) = ([0; 16 * 1024], [0; 16 * 1024]);
        let mut handshake = Handshake::default();
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let Ok(length @ 1..) = read else { return };
                    let (handshake, request) = request[..length].split_at(handshake.part_of(&request[..length]));
                    if server.write_all(handshake).await.is_err() { return }
                    let condition = *condition.borrow();
                    if let Condition::Slow(by) = condition && !request.is_empty() {
                        tokio::select! {
                            () = sleep(by) => {}
                            () = hung_up(&client) => return,
                        }
                    }
                    if server.write_all(request).await.is_err() { return }
                }
                read = server.read(&mut reply) => {
                    let Ok(length @ 1..) = read else { return };
                    if client.write_all(&reply[..length]).await.is_err() { return }
                }
            }
        }
    };
    tokio::select! {
        biased;
        _ = up.wait_for(|condition| *condition == Condition::Cut) => {}
        () = through => return,
    }
    // The connection to the server is closed now. The one to the client is left hanging.
    let _mended = condition.wait_for(|condition| *condition != Condition::Cut).await;
}

/// Where a client is in its TLS handshake.
#[derive(Default)]
struct Handshake {
    is_over: bool,
    has_finished: bool,
}

impl Handshake {
    const CHANGE_CIPHER: u8 = 20;
    const HANDSHAKE: u8 = 22;
    const APPLICATION: u8 = 23;

    /// How much of what a client sends belongs to the handshake; nothing in plain HTTP. Its parts are small and come
    /// whole.
    fn part_of(&mut self, sent: &[u8]) -> usize {
        let mut length = 0;
        while !self.is_over
            && let Some(&[kind, _, _, high, low]) = sent[length..].first_chunk()
        {
            match kind {
                Self::CHANGE_CIPHER | Self::HANDSHAKE => {}
                // The last of a client's messages is sealed, as all that comes after it.
                Self::APPLICATION if !self.has_finished => self.has_finished = true,
                _ => {
                    self.is_over = true;
                    break;
                }
            }
            length += 5 + usize::from(u16::from_be_bytes([high, low]));
        }
        length.min(sent.len())
    }
}

async fn hung_up(client: &TcpStream) {
    if let Ok(1..) = client.peek(&mut [0]).await {
        // The rest of the request, so the client is still there.
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_killed_leader_is_succeeded_when_its_lease_has_expired() {
    let election = Election::start().await;
    let first = election.steady("first").await;
    election.until_led_by("first").await;
    let second = election.steady("second").await;
    election.until_acted(5).await;

    first.signal("KILL");
    let records = election.until_led_by("second").await;
    let [.., before, after] = records.as_slice() else { panic!("{records:#?}") };
    assert_eq!((before.holder(), before.transitions()), ("first", 0));
    assert_eq!(after.transitions(), 1);
    // Both clocks are this machine's, so they may be compared.
    let stood_still = after.renewed().duration_since(before.renewed());
    assert!(stood_still >= LEASE_DURATION, "{stood_still:?}");

    election.until_acted(5).await;
    let acts = election.check_that_only_holders_acted(["first", "second"]).await;
    assert!(acts.iter().all(|&acts| acts >= 5), "{acts:?}");
    assert_eq!(second.times("lost"), 0);
}

#[tokio::test]
async fn a_leader_paused_past_its_lease_refuses_to_act_and_does_not_write_the_lease_when_it_wakes() {
    let election = Election::start().await;
    let mut first = election.obedient("first").await;
    election.until_led_by("first").await;
    let mut second = election.obedient("second").await;
    first.command("act");
    first.until_it_says("acted", 1).await;

    first.signal("STOP");
    election.until_led_by("second").await;
    second.until_it_says("leading", 1).await;
    second.command("act");
    second.until_it_says("acted", 1).await;
    let writes = election.lease_writes("first");
    assert!(writes > 0, "it had taken the Lease");

    // Waits in the pipe, to be the first thing it does when it wakes.
    first.command("act");
    first.signal("CONT");
    first.until_it_says("refused", 1).await;
    first.until_it_says("lost", 1).await;
    first.command("act");
    first.until_it_says("refused", 2).await;
    assert_eq!(first.times("acted"), 1);
    assert_eq!(election.lease_writes("first"), writes);

    second.command("act");
    second.until_it_says("acted", 2).await;
    assert_eq!(election.check_that_only_holders_acted(["first", "second"]).await, [1, 2]);
}

#[tokio::test]
async fn a_leader_cut_off_has_stopped_before_it_is_succeeded_and_stays_so_when_the_network_is_back() {
    let election = Election::start().await;
    let first = election.steady("first").await;
    election.until_led_by("first").await;
    let _second = election.steady("second").await;
    election.until_acted(5).await;

    first.wire.becomes(Condition::Cut);
    election.until_led_by("second").await;
    assert_eq!(first.times("lost"), 1, "before it was succeeded");

    first.wire.becomes(Condition::Good);
    election.until_acted(20).await;
    let acts = election.check_that_only_holders_acted(["first", "second"]).await;
    assert!(acts.iter().all(|&acts| acts >= 5), "{acts:?}");
}

#[tokio::test]
async fn a_slow_api_server_ends_leadership_only_when_it_is_too_slow() {
    let election = Election::start().await;
    let first = election.steady("first").await;
    election.until_led_by("first").await;
    let second = election.steady("second").await;
    for replica in [&first, &second] {
        replica.wire.becomes(Condition::Slow(Duration::from_millis(300)));
    }
    let before = election.records.borrow().len();
    let records = election.until("ten slow renewals", |records| records.len() >= before + 10).await;
    assert!(records.iter().all(|record| record.holder() == "first"), "{records:#?}");
    election.until_acted(5).await;

    first.wire.becomes(Condition::Slow(CONDITION_TIMEOUT));
    election.until_led_by("second").await;
    assert_eq!(first.times("lost"), 1, "before it was succeeded");
    election.until_acted(5).await;
    let acts = election.check_that_only_holders_acted(["first", "second"]).await;
    assert!(acts.iter().all(|&acts| acts >= 5), "{acts:?}");
}

#[tokio::test]
async fn a_leader_that_is_asked_to_end_releases_the_lease_after_its_last_act() {
    let election = Election::start().await;
    let first = election.steady("first").await;
    election.until_led_by("first").await;
    let _second = election.steady("second").await;
    election.until_acted(5).await;

    first.signal("TERM");
    first.until_it_says("released", 1).await;
    assert!(first.end().await.success());
    let records = election.until_led_by("second").await;
    let [.., held, released, taken] = records.as_slice() else { panic!("{records:#?}") };
    assert_eq!((held.holder(), held.transitions()), ("first", 0));
    assert_eq!((released.holder(), released.transitions()), ("", 0));
    assert_eq!(released.spec.lease_duration_seconds, Some(1));
    assert_eq!(taken.transitions(), 1);

    election.until_acted(5).await;
    let acts = election.check_that_only_holders_acted(["first", "second"]).await;
    assert!(acts.iter().all(|&acts| acts >= 5), "{acts:?}");

    let events: Api<Event> = Api::namespaced(election.plane.client(), NAMESPACE);
    let wanted = ["first became leader", "first stopped leading", "second became leader"];
    let mut missing = wanted.to_vec();
    let mut seen = watcher(events, watcher::Config::default()).applied_objects().boxed();
    while !missing.is_empty() {
        let event =
            timeout(CONDITION_TIMEOUT, seen.next()).await.unwrap_or_else(|_| panic!("no event {missing:?}"));
        let event = event.expect("a watch").expect("an event");
        let regarding = event.regarding.as_ref().and_then(|lease| lease.name.as_deref());
        if event.reason.as_deref() == Some("LeaderElection") && regarding == Some(LEASE) {
            missing.retain(|note| event.note.as_deref() != Some(note));
        }
    }
}

#[tokio::test]
async fn of_three_replicas_under_one_fault_after_the_other_only_the_holder_ever_acts() {
    let election = Election::start().await;
    let mut replicas = Vec::new();
    for generation in 0..3 {
        replicas.push(election.steady(&format!("replica-{generation}")).await);
    }
    for (fault, generation) in ["CUT", "KILL", "TERM", "SLOW"].into_iter().zip(3..) {
        election.until_acted(5).await;
        let records = election.records.borrow().clone();
        let leader = records.last().expect("a leader").holder().to_owned();
        let fallen =
            replicas.iter().position(|replica| replica.identity == leader).expect("it is one of them");
        let replica = replicas.remove(fallen);
        match fault {
            "CUT" => replica.wire.becomes(Condition::Cut),
            "SLOW" => replica.wire.becomes(Condition::Slow(CONDITION_TIMEOUT)),
            signal => replica.signal(signal),
        }
        replicas.push(election.steady(&format!("replica-{generation}")).await);
        let succeeded = |records: &[Record]| {
            records.last().is_some_and(|record| !["", leader.as_str()].contains(&record.holder()))
        };
        election.until(&format!("a leader after {fault}"), succeeded).await;
        replica.wire.becomes(Condition::Good);
        replicas.push(replica);
    }
    election.until_acted(5).await;
    election.check_that_only_holders_acted([]).await;
    let records = election.records.borrow().clone();
    assert_eq!(records.last().expect("a leader").transitions(), 4);
}
