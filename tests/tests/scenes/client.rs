//! Clients on the LAN: where they send what is for an address, and what they are answered.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::real_cluster::Machine;

use super::stage::{SCENE_TIMEOUT, Stage, finish, until};

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A Pod answered.
    From {
        /// The Pod's node.
        node: String,
        /// Who asked, as the Pod sees it.
        client: IpAddr,
    },
    /// Nobody did, or too late.
    Lost(String),
}

/// Reads a line of `probe`: the time, then what `web` said, or that nobody did.
fn parse(line: &str) -> Answer {
    let said = line.split_once(' ').map_or(line, |(_, said)| said);
    let word = |name: &str| said.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let client = word("client").and_then(|client| client.rsplit_once(':'));
    let client = client.and_then(|(address, _)| address.trim_matches(['[', ']']).parse().ok());
    match (word("node"), client) {
        (Some(node), Some(client)) => Answer::From { node: node.to_owned(), client },
        _ => Answer::Lost(line.to_owned()),
    }
}

/// The nodes of all answers.
pub(crate) fn nodes(answers: &[Answer]) -> BTreeSet<&str> {
    answers
        .iter()
        .filter_map(|a| if let Answer::From { node, .. } = a { Some(&**node) } else { None })
        .collect()
}

/// Who asked, as the Pods saw it.
pub(crate) fn clients(answers: &[Answer]) -> BTreeSet<IpAddr> {
    answers
        .iter()
        .filter_map(|a| if let Answer::From { client, .. } = a { Some(*client) } else { None })
        .collect()
}

/// The requests that were not answered.
pub(crate) fn lost(answers: &[Answer]) -> Vec<&str> {
    answers.iter().filter_map(|a| if let Answer::Lost(why) = a { Some(&**why) } else { None }).collect()
}

/// The URL of an address of either family.
pub(crate) fn url(address: &str) -> String {
    if address.contains(':') { format!("http://[{address}]") } else { format!("http://{address}") }
}

fn probe(stage: &Stage, machine: &Machine, arguments: &[&str], address: &str) -> Command {
    let mut probe = machine.command(stage.cluster.program("probe"));
    probe.args(arguments).arg(url(address));
    probe
}

/// Waits until many requests in a row are all answered, and by Pods of these nodes; the answers. kube-proxy may take a
/// moment to know all Pods.
pub(crate) async fn answers_of(
    stage: &Stage,
    machine: &Machine,
    address: &str,
    wanted: &[&str],
) -> Vec<Answer> {
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    until(&format!("{address} answers {} from {wanted:?}", machine.name()), SCENE_TIMEOUT, async || {
        let answers = ask(stage, machine, address);
        match lost(&answers).first() {
            None if nodes(&answers) == wanted => Ok(answers),
            None => Err(format!("all came from {:?}", nodes(&answers))),
            Some(why) => Err((*why).to_owned()),
        }
    })
    .await
}

/// Asks an address many times in a row, from a machine.
#[track_caller]
pub(crate) fn ask(stage: &Stage, machine: &Machine, address: &str) -> Vec<Answer> {
    let said = finish(probe(stage, machine, &["--every=5ms", "--times=40"], address));
    said.unwrap_or_else(|said| panic!("{said}")).lines().map(parse).collect()
}

/// Waits until an address answers a machine, which may take kube-proxy and the network a moment.
pub(crate) async fn until_it_answers(stage: &Stage, machine: &Machine, address: &str) {
    until(&format!("{address} answers {}", machine.name()), SCENE_TIMEOUT, async || {
        let said = finish(probe(stage, machine, &["--times=1", "--patience=500ms"], address))?;
        match parse(said.trim()) {
            Answer::From { .. } => Ok(()),
            Answer::Lost(why) => Err(why),
        }
    })
    .await;
}

/// A client that asks an address over and over until it is told to end.
pub(crate) struct Asking {
    probe: Child,
    said: tempfile::NamedTempFile,
}

/// What a client heard that asks closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// How many requests were answered.
    pub answered: usize,
    /// How many were not.
    pub lost: usize,
    /// The longest time between two requests that were answered, with none between them that was.
    pub silence: Duration,
}

impl Heard {
    /// From the lines of `probe`, which come in the order of the answers.
    fn of(said: &str) -> Self {
        let at =
            |line: &str| line.split(' ').next().and_then(|at| at.parse().ok()).map(Duration::from_millis);
        let is_lost = |line: &&str| matches!(parse(line), Answer::Lost(_));
        let lost = said.lines().filter(is_lost).count();
        let mut answered: Vec<Duration> = said.lines().filter(|line| !is_lost(line)).filter_map(at).collect();
        answered.sort_unstable();
        let silence =
            answered.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(Duration::MAX);
        Heard { answered: answered.len(), lost, silence }
    }
}

impl Asking {
    /// Starts one that asks every 20 ms, once the address answers.
    pub(crate) async fn start(stage: &Stage, address: &str) -> Self {
        // What the network loses is sent again after one second and after three: a request is lost if that is no help.
        Self::with(stage, address, &["--every=20ms", "--patience=5s"]).await
    }

    /// Starts one that asks every 10 ms, and does not wait until what the network loses is sent again: each packet that is
    /// lost is a request that is.
    pub(crate) async fn closely(stage: &Stage, address: &str) -> Self {
        Self::with(stage, address, &["--every=10ms", "--patience=500ms"]).await
    }

    async fn with(stage: &Stage, address: &str, how: &[&str]) -> Self {
        let client = stage.cluster.client_machine();
        until_it_answers(stage, client, address).await;
        let said = tempfile::NamedTempFile::new().expect("a file");
        let mut probe = probe(stage, client, how, address);
        let output = File::create(said.path()).expect("a file");
        Asking { probe: probe.stdout(Stdio::from(output)).spawn().expect("it starts"), said }
    }

    /// What it wrote so far.
    fn said(&self) -> String {
        let mut said = std::fs::read_to_string(self.said.path()).expect("text");
        // The last line may not be whole yet.
        said.truncate(said.rfind('\n').unwrap_or_default());
        said
    }

    /// What it was answered so far.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.said().lines().map(parse).collect()
    }

    /// Waits until it was answered some more times, so that what follows cannot have gone unnoticed.
    pub(crate) async fn until_it_asked_more(&self) {
        let so_far = self.answers().len();
        until("a client goes on asking", SCENE_TIMEOUT, async || {
            let now = self.answers().len();
            if now > so_far + 25 { Ok(()) } else { Err(format!("{now} answers, of which {so_far} are old")) }
        })
        .await;
    }

    /// Ends it, and fails if it was not answered every time.
    pub(crate) async fn lost_nothing(self) {
        let answers = self.end().await;
        assert_eq!(lost(&answers), Vec::<&str>::new(), "of {}", answers.len());
    }

    /// Ends it; what it heard.
    pub(crate) async fn heard(mut self) -> Heard {
        self.stop().await;
        Heard::of(&self.said())
    }

    /// Ends it; all that it was answered.
    pub(crate) async fn end(mut self) -> Vec<Answer> {
        self.stop().await;
        self.answers()
    }

    async fn stop(&mut self) {
        self.until_it_asked_more().await;
        let mut kill = Command::new("kill");
        kill.arg(self.probe.id().to_string());
        finish(kill).expect("it still runs");
        assert!(self.probe.wait().expect("it ends").success());
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.probe.kill();
        let _ = self.probe.wait();
    }
}

/// Makes the client send what is for these addresses to a node: as if that node answered for them.
pub(crate) fn send_through(stage: &Stage, node: &Machine, addresses: &[String]) {
    let hardware = hardware_of(node);
    for address in addresses {
        let neighbour = ["neighbour", "replace", address, "lladdr", &hardware];
        let client = stage.cluster.client_machine();
        client
            .run("ip", &[&neighbour[..], &["dev", "eth0", "nud", "permanent"]].concat())
            .expect("it is taken");
    }
}

/// Lets the client ask the LAN again who has these addresses.
pub(crate) fn send_by_arp(stage: &Stage, addresses: &[String]) {
    for address in addresses {
        // Fails if the client knows nothing of it, which is just as well.
        let _ = stage.cluster.client_machine().run("ip", &["neighbour", "delete", address, "dev", "eth0"]);
    }
}

fn hardware_of(node: &Machine) -> String {
    let link = node.run("ip", &["-oneline", "link", "show", "dev", "eth0"]).expect("it has a cable");
    let hardware = link.split(" link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    hardware.expect("an address").to_owned()
}

/// The node to which the client sends what is for this address, and the other one. As soon as it sends it to one.
pub(crate) async fn owner_and_other<'a>(stage: &'a Stage, address: &str) -> [&'a Machine; 2] {
    until(&format!("somebody answers for {address}"), SCENE_TIMEOUT, async || {
        let [first, second] = stage.cluster.nodes();
        match hardware(stage, address) {
            Some(mac) if mac == hardware_of(first) => Ok([first, second]),
            Some(mac) if mac == hardware_of(second) => Ok([second, first]),
            other => Err(format!("the client sends to {other:?}")),
        }
    })
    .await
}

/// Waits until the client sends what is for this address to a node.
pub(crate) async fn until_it_sends_to(stage: &Stage, address: &str, node: &Machine) {
    until(&format!("{} answers for {address}", node.name()), SCENE_TIMEOUT, async || {
        match hardware(stage, address) {
            Some(mac) if mac == hardware_of(node) => Ok(()),
            mac => Err(format!("the client sends to {mac:?}")),
        }
    })
    .await;
}

/// The hardware address to which the client sends what is for this address; none if it does not know any.
fn hardware(stage: &Stage, address: &str) -> Option<String> {
    let client = stage.cluster.client_machine();
    let said = client.run("ip", &["neighbour", "show", address, "dev", "eth0"]).expect("it has a table");
    said.split(" lladdr ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned)
}

#[test]
fn silence_is_the_longest_time_without_a_request_that_is_answered_in_whatever_order_answers_come() {
    let from = "pod=web-1 node=node-1 client=10.99.0.50:4711";
    let said = format!("0 {from}\n20 {from}\n10 {from}\n340 {from}\n30 lost timeout\n350 {from}\n");
    let silence = Duration::from_millis(320);
    assert_eq!(Heard::of(&said), Heard { answered: 5, lost: 1, silence });
}

#[test]
fn an_answer_is_read_from_what_the_programs_print() {
    let from = |node: &str, client: &str| Answer::From { node: node.into(), client: client.parse().unwrap() };
    assert_eq!(parse("12 pod=web-1 node=node-1 client=10.99.0.50:4711"), from("node-1", "10.99.0.50"));
    assert_eq!(
        parse("12 pod=web-1 node=node-2 client=[fd00:10:99::50]:4711"),
        from("node-2", "fd00:10:99::50")
    );
    assert_eq!(parse("7 lost no route to host"), Answer::Lost("7 lost no route to host".to_owned()));
}
