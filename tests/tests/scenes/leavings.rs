//! The cluster as a command for people, ended in every way there is, and what is left of it then: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::report::turn;
use super::stage::{SCENE_TIMEOUT, finish, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cluster");

/// The program `cluster` at work, with a Pod on its nodes.
struct Up {
    owner: Child,
    /// Kept open: who talks to nobody fails.
    words: Lines<BufReader<ChildStdout>>,
    kubeconfig: PathBuf,
}

impl Up {
    async fn start() -> Self {
        let mut owner = Command::new(PROGRAM).stdout(Stdio::piped()).spawn().expect("it starts");
        let words = BufReader::new(owner.stdout.take().expect("its words")).lines();
        let mut up = Up { owner, words, kubeconfig: PathBuf::new() };
        let lines = up.words.by_ref().map_while(Result::ok);
        for line in lines.take_while(|line| !line.starts_with("Ctrl-C")) {
            if let Some((_, path)) = line.split_once("KUBECONFIG=") {
                up.kubeconfig = path.into();
            }
        }
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: pause}\n\
                   spec:\n  containers: [{name: pause, image: \"localhost/pause:1\"}]\n";
        let file = up.folder().join("pod.yaml");
        fs::write(&file, pod).expect("the cluster has a folder");
        // The controller manager makes the account of the namespace's Pods a moment later.
        until("the Pod is taken", SCENE_TIMEOUT, async || {
            up.kubectl(&["apply", "-f", &file.display().to_string()])
        })
        .await;
        up.kubectl(&["wait", "pod/pause", "--for=condition=Ready", "--timeout=60s"]).expect("the Pod runs");
        up
    }

    fn folder(&self) -> &Path {
        self.kubeconfig.parent().expect("it is in the cluster's folder")
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let assets =
            std::env::var_os(tests::control_plane::ASSETS).expect("it is set where a cluster can run");
        let mut kubectl = Command::new(Path::new(&assets).join("kubectl"));
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        finish(kubectl)
    }

    fn signal(&self, signal: &str, processes: &[u32]) {
        let mut kill = Command::new("kill");
        kill.arg(signal).args(processes.iter().map(u32::to_string));
        finish(kill).expect("they run");
    }

    /// The process that waits for the owner's end.
    fn supervisor(&self) -> u32 {
        let of = |process: u32| fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words = format!("supervise\0{}\0", self.folder().display());
        processes().find(|id| of(*id).ends_with(words.as_bytes())).expect("it has one")
    }

    /// Processes that have the folder among their arguments or in their environment.
    fn left(&self) -> Vec<String> {
        let folder = self.folder().display().to_string();
        let read = |id: u32, file: &str| {
            let bytes = fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let ours = processes().filter(|id| *id != self.owner.id());
        let ours =
            ours.filter(|id| ["cmdline", "environ"].iter().any(|file| read(*id, file).contains(&folder)));
        ours.map(|id| format!("{id} {}", read(id, "cmdline"))).collect()
    }

    async fn until_nothing_is_left(&mut self, before: &BTreeSet<String>) {
        self.owner.wait().expect("it has ended");
        until("nothing is left of the cluster", SCENE_TIMEOUT, async || {
            let more: Vec<_> = traces().difference(before).cloned().collect();
            match (self.left(), more, self.folder().exists()) {
                (processes, more, false) if processes.is_empty() && more.is_empty() => Ok(()),
                left => Err(format!("{left:?}")),
            }
        })
        .await;
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well. The supervisor does the rest.
        let _ = self.owner.kill();
        let _ = self.owner.wait();
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What a cluster could leave on a host, besides processes: devices, mounts, cgroups, and the folders that kubelet,
/// containerd, CNI and `ip` have hard-coded.
fn traces() -> BTreeSet<String> {
    let list = |folder: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
    };
    let hierarchies = list("/sys/fs/cgroup").into_iter().chain(["/sys/fs/cgroup".to_owned()]);
    let cgroups = hierarchies.flat_map(|one| list(&format!("{one}/k8s.io")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|at| format!("mount {at}"));
    let folders =
        ["/run/netns", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"];
    let folders = folders.iter().chain(&["/var/log/pods", "/opt/containerd"]).flat_map(|folder| list(folder));
    list("/sys/class/net")
        .into_iter()
        .chain(cgroups.collect::<Vec<_>>())
        .chain(mounts)
        .chain(folders)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_leaves_nothing_however_it_ends() {
    let Some(_turn) = turn("a cluster ended in three ways").await else { return };
    let before = traces();

    let mut up = Up::start().await;
    up.signal("-INT", &[up.owner.id()]);
    up.until_nothing_is_left(&before).await;

    let mut up = Up::start().await;
    up.signal("-KILL", &[up.owner.id()]);
    up.until_nothing_is_left(&before).await;

    let mut up = Up::start().await;
    up.signal("-KILL", &[up.supervisor(), up.owner.id()]);
    up.owner.wait().expect("it is killed");
    assert!(!up.left().is_empty(), "nobody is there to end it");
    let mut down = Command::new(PROGRAM);
    down.arg("down");
    let said = finish(down).expect("it is removed");
    assert!(said.contains(&up.folder().display().to_string()), "{said}");
    up.until_nothing_is_left(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_at_its_start_is_named_with_its_last_words() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let Some(_turn) = turn("a server that ends at its start").await else { return };
    let before = traces();
    let whole = std::env::var_os(tests::control_plane::ASSETS).expect("it is set where a cluster can run");
    let whole = Path::new(&whole).canonicalize().expect("it is there");
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(whole).expect("programs").flatten() {
        symlink(entry.path(), folder.path().join(entry.file_name())).expect("a link");
    }
    let etcd = folder.path().join("etcd");
    fs::remove_file(&etcd).expect("it is a link");
    fs::write(&etcd, "#!/bin/sh\necho the disk is on holiday\nexit 3\n").expect("a script");
    fs::set_permissions(&etcd, fs::Permissions::from_mode(0o755)).expect("it may be run");

    let mut start = Command::new(PROGRAM);
    start.env(tests::control_plane::ASSETS, folder.path());
    let said = finish(start).expect_err("there is no cluster without etcd");
    assert!(
        said.starts_with("cluster: etcd on plane ended with exit status: 3; the last lines of "),
        "{said}"
    );
    assert!(said.ends_with("plane-etcd.log:\nthe disk is on holiday\n"), "{said}");
    assert_eq!(traces().difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}
