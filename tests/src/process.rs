//! Starting the program, listening to it, and talking to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::cluster::{Cluster, DEADLINE, eventually};
use crate::control_plane::ControlPlane;
use crate::kubectl::kubectl;
use crate::programs::{self, http};
use crate::sandbox::manifests;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The workspace's folder.
pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A command of the program, or of an example, that reads this environment from nobody.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(programs::folder().join(program));
    command.env_clear().current_dir(WORKSPACE).stdin(Stdio::null());
    command
}

/// A kubeconfig that leads to a control plane, for as long as this lives.
pub struct Access {
    folder: TempDir,
}

impl Access {
    pub fn to(plane: &ControlPlane) -> Self {
        Access::with(&plane.kubeconfig_yaml())
    }

    pub fn with(kubeconfig: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).expect("a kubeconfig");
        Access { folder }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A file beside the kubeconfig.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The program with these arguments and the kubeconfig.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command("cloud-lb-controller");
        command.args(arguments).arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// kubectl with the kubeconfig.
    pub fn kubectl(&self) -> Command {
        let mut command = kubectl(self.folder.path());
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// What it says when it runs to its end.
    pub async fn output(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments)).await
    }
}

/// What a program that ended has said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

/// Runs to the end, off the test's own thread: the control plane may live there.
pub async fn finish(mut command: Command) -> Said {
    let run = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let Output { status, stdout, stderr } = run.await.expect("no panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: status.code(), output: text(stdout), errors: text(stderr) }
}

/// `run` at work.
pub struct Program {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts it with bare-metal pools of the cluster and on a free port.
    pub fn start(access: &Access, more: &[&str]) -> Self {
        let mut command = access.command(&["run", "--cloud-provider=bare", "--http-address=127.0.0.1:0"]);
        command.args(more);
        Program::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stderr.take().expect("its log"));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                heard.lock().expect("no panic").push(line);
            }
        });
        Program { child, said }
    }

    pub fn log(&self) -> String {
        self.said.lock().expect("no panic").join("\n")
    }

    pub async fn until_it_says(&self, words: &str) {
        eventually(&format!("it says {words:?}"), || self.log().contains(words)).await;
    }

    /// The address it serves health and metrics on.
    pub async fn address(&self) -> String {
        self.until_it_says("serving health").await;
        let log = self.log();
        let line = log.lines().find(|line| line.contains("serving health")).expect("it was just there");
        let rest = line.split(" address=").nth(1).expect("an address in the log");
        rest.split_whitespace().next().expect("an address").to_owned()
    }

    pub async fn until_ready(&self) {
        let (address, began) = (self.address().await, Instant::now());
        while http(&address, "GET", "/readyz", "").await.is_none_or(|(code, _)| code != 200) {
            assert!(began.elapsed() < DEADLINE, "it is not ready: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// What it has in memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().expect("a number").parse().expect("a number")
    }

    /// How it ended, once it has.
    pub async fn end(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("it ends", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        })
        .await;
        ended.expect("an end")
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cluster with the definitions and a pool of documentation addresses.
pub async fn with_pool(cluster: &Cluster) {
    define(cluster).await;
    pool(cluster, "office", "192.0.2.10-192.0.2.19").await;
}

/// The labels of announcers' Pods, and what runs in them.
const ANNOUNCER: [&str; 2] = [
    "{app.kubernetes.io/component: announcer}",
    "[{name: announcer, image: example.com/lb, command: [/cloud-lb-announcer]}]",
];

/// An advertisement of every pool, and so many announcers that are ready.
pub async fn with_announcers(cluster: &Cluster, namespace: &str, count: usize) {
    let ([labels, containers], pools_namespace) = (ANNOUNCER, &cluster.namespace);
    apply(
        cluster,
        &format!(
            "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\n\
             metadata: {{name: all, namespace: {pools_namespace}}}\n---\n\
             apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: announcer, namespace: {namespace}}}\n\
             spec: {{selector: {{matchLabels: {labels}}}, template: {{metadata: {{labels: {labels}}}, \
             spec: {{containers: {containers}}}}}}}\n"
        ),
    )
    .await;
    ready(cluster, namespace, "announcer", count).await;
}

/// So many Pods of a DaemonSet are to run, and are ready.
pub async fn ready(cluster: &Cluster, namespace: &str, set: &str, count: usize) {
    let status = json!({ "status": {
        "desiredNumberScheduled": count, "currentNumberScheduled": count, "numberReady": count, "numberMisscheduled": 0,
    } });
    let sets = Api::<DaemonSet>::namespaced(cluster.client.clone(), namespace);
    sets.patch_status(set, &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("its status is written");
}

/// The Pod of an announcer, whose metrics say how many others it hears.
pub async fn announcer_pod(cluster: &Cluster, namespace: &str, node: &str, hears: usize) {
    let [labels, containers] = ANNOUNCER;
    apply(
        cluster,
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: announcer-{node}, namespace: {namespace}, labels: {labels}}}\n\
             spec: {{nodeName: {node}, containers: {containers}}}\n"
        ),
    )
    .await;
    let metrics = format!("cloud_lb_announcer_peers{{link=\"eth0\"}} {hears}\n# EOF\n");
    cluster.double().pod_answers(namespace, &format!("announcer-{node}"), 7479, "/metrics", metrics);
}

pub async fn define(cluster: &Cluster) {
    apply(cluster, &metallb::crd::manifest().expect("a manifest")).await;
}

pub async fn pool(cluster: &Cluster, name: &str, addresses: &str) {
    let namespace = &cluster.namespace;
    apply(
        cluster,
        &format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{addresses: [{addresses}]}}\n"
        ),
    )
    .await;
}

pub async fn apply(cluster: &Cluster, text: &str) {
    for object in manifests::parse(text, "the test").expect("a manifest") {
        manifests::apply(&cluster.client, &object).await.expect("it is applied");
    }
}

/// Reads a file of the workspace.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(WORKSPACE).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
