//! The API server of the bench, in a process of its own, which also creates the Services.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use futures::{StreamExt, stream};
use kube::{Client, Config};
use serde_json::json;
use tests::apiserver::ADMIN_TOKEN;
use tests::cluster::Cluster;
use tests::process;

/// Addresses for all.
pub(crate) const POOL: &str = "198.18.0.0/15";

/// By this argument the program knows that it is to be the server.
const SERVE: &str = "--serve";

/// How many are created at once.
const AT_ONCE: usize = 8;

pub(crate) fn is_wanted() -> bool {
    std::env::args().any(|argument| argument == SERVE)
}

/// Says where it listens; then each line that it reads is how many Services there are to be, and it answers when all of
/// them are served.
pub(crate) async fn serve() {
    let cluster = Cluster::with_faults().await;
    process::define(&cluster).await;
    process::pool(&cluster, "pool", POOL).await;
    say(&cluster.plane.url());
    let mut created = 0;
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let count: usize = line.parse().expect("a number");
        stream::iter(created..count)
            .for_each_concurrent(AT_ONCE, async |i| {
                let without = json!({ "spec": { "allocateLoadBalancerNodePorts": false } });
                cluster.create_with(&format!("service-{i}"), without).await;
            })
            .await;
        for i in created..count {
            cluster.until_published(&format!("service-{i}")).await;
        }
        created = count;
        say(&line);
    }
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("somebody listens");
}

/// The server, as who asks knows it. It ends with this.
pub(crate) struct Server {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let this = std::env::current_exe().expect("this bench");
        let mut command = Command::new(this);
        let mut child =
            command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (asked, answers) = child.stdin.take().zip(child.stdout.take()).expect("pipes");
        let mut server = Server { child, asked, answers: BufReader::new(answers), url: String::new() };
        server.url = server.answer();
        server
    }

    /// A client that may do everything.
    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(self.url.parse().expect("a URL"));
        config.auth_info.token = Some(ADMIN_TOKEN.to_owned().into());
        Client::try_from(config).expect("a client")
    }

    /// Returns when so many Services are there and all of them are served.
    pub(crate) fn has_served(&mut self, count: usize) {
        writeln!(self.asked, "{count}").expect("it listens");
        assert_eq!(self.answer(), count.to_string());
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
