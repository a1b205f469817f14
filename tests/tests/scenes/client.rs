//! Clients on the LAN: where they send what is for an address, and what they are answered.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

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

/// A client that asks an address every 20 ms until it is told to end.
pub(crate) struct Asking {
    probe: Child,
    said: tempfile::NamedTempFile,
}

impl Asking {
    /// Starts it, once the address answers.
    pub(crate) async fn start(stage: &Stage, address: &str) -> Self {
        let client = stage.cluster.client_machine();
        until_it_answers(stage, client, address).await;
        let said = tempfile::NamedTempFile::new().expect("a file");
        // What the network loses is sent again after one second and after three: a request is lost if that is no help.
        let mut probe = probe(stage, client, &["--every=20ms", "--patience=5s"], address);
        let output = File::create(said.path()).expect("a file");
        Asking { probe: probe.stdout(Stdio::from(output)).spawn().expect("it starts"), said }
    }

    /// What it was answered so far.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let said = std::fs::read_to_string(self.said.path()).expect("text");
        // The last line may not be whole yet.
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        whole.lines().map(parse).collect()
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

    /// Ends it; all that it was answered.
    pub(crate) async fn end(mut self) -> Vec<Answer> {
        self.until_it_asked_more().await;
        let mut kill = Command::new("kill");
        kill.arg(self.probe.id().to_string());
        finish(kill).expect("it still runs");
        assert!(self.probe.wait().expect("it ends").success());
        self.answers()
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
    let link = node.run("ip", &["-oneline", "link", "show", "dev", "eth0"]).expect("it has a cable");
    let hardware = link.split(" link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    for address in addresses {
        let neighbour = ["neighbour", "replace", address, "lladdr", hardware.expect("an address")];
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
