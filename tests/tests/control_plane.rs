//! The fixture itself: what it says when it cannot start, and that it leaves nothing behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::Patch;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;
use tempfile::TempDir;
use tests::cluster::{Cluster, DEADLINE, eventually, until};
use tests::control_plane::{ASSETS, ControlPlane, Options};
use tests::rights::{Rights, refused};
use tokio::time::timeout;

/// A program that does its work for ever, with a process of its own beside it.
const BUSY: &str = "sleep 600 & sleep 600";

/// A folder of scripts that stand for the programs of a control plane.
fn stand_ins(programs: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, script) in programs {
        let program = folder.path().join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
    }
    folder
}

async fn refusal(assets: Option<&Path>, options: Options) -> String {
    match ControlPlane::start_from(assets, &options).await {
        Ok(plane) => panic!("it started: {plane:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_folder_with_half_the_programs_is_refused_with_what_it_lacks() {
    let folder = stand_ins(&[("etcd", BUSY)]);
    let options = Options { controller_manager: true, ..Options::default() };
    let said = refusal(Some(folder.path()), options).await;
    let place = folder.path().display();
    assert_eq!(
        said,
        format!(
            "KUBEBUILDER_ASSETS={place}: kube-apiserver and kube-controller-manager are not there; build what is \
             missing with tests/kubernetes/up, which prints the folder to name"
        )
    );
}

#[tokio::test]
async fn a_server_that_dies_at_start_is_told_with_its_last_lines_and_no_others() {
    let dying = "for line in 1 2 3 4 5 6 7; do echo \"line $line\"; done; exit 7";
    let folder = stand_ins(&[("etcd", BUSY), ("kube-apiserver", dying)]);
    let said = refusal(Some(folder.path()), Options::default()).await;
    assert_eq!(
        said,
        "kube-apiserver ended with status 7 before it was ready: mend what its last lines complain of, or build it \
         anew with tests/kubernetes/up\n  | line 3\n  | line 4\n  | line 5\n  | line 6\n  | line 7"
    );
}

#[tokio::test]
async fn an_etcd_that_dies_is_the_one_that_is_named() {
    let folder = stand_ins(&[("etcd", "echo 'no space'; exit 1"), ("kube-apiserver", BUSY)]);
    let said = refusal(Some(folder.path()), Options::default()).await;
    assert!(said.starts_with("etcd ended with status 1") && said.ends_with("\n  | no space"), "{said}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_by_either_body() {
    let folder = stand_ins(&[("etcd", BUSY), ("kube-apiserver", BUSY)]);
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = holder.local_addr().expect("its address").port();
    for assets in [None, Some(folder.path())] {
        let said = refusal(assets, Options { port: Some(port), ..Options::default() }).await;
        assert!(said.starts_with(&format!("port {port} of 127.0.0.1 cannot be had (")), "{said}");
        assert!(said.ends_with("): end what listens there, or choose another port"), "{said}");
    }
}

#[tokio::test]
async fn a_free_port_that_somebody_else_is_faster_to_take_is_changed_for_another() {
    let tries = tempfile::tempdir().expect("a folder");
    let counted = format!(
        "echo >>{}; echo 'listen tcp 127.0.0.1: bind: address already in use'; exit 1",
        tries.path().join("tries").display()
    );
    let folder = stand_ins(&[("etcd", BUSY), ("kube-apiserver", &counted)]);
    let said = refusal(Some(folder.path()), Options::default()).await;
    assert!(said.contains("address already in use"), "{said}");
    let tried = fs::read_to_string(tries.path().join("tries")).expect("it was tried");
    assert_eq!(tried.lines().count(), 3);
}

/// A process that holds a control plane, in a temporary folder of its own.
struct Holder {
    process: Child,
    temporary: TempDir,
}

impl Holder {
    fn of(assets: &Path) -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        let process = Command::new(env!("CARGO_BIN_EXE_holder"))
            .arg(assets)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the holder starts");
        Holder { process, temporary }
    }

    fn until_ready(&mut self) {
        let output = BufReader::new(self.process.stdout.take().expect("its output"));
        let first = output.lines().next().expect("it says something").expect("a line");
        assert_eq!(first, "ready");
    }

    /// The folder of the control plane, once there is one.
    fn folder(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.temporary.path()).expect("its folder");
        entries.next().map(|entry| entry.expect("an entry").path())
    }

    /// The process groups of the control plane's programs, once they run.
    fn groups(&self, programs: &[&str]) -> Option<Vec<String>> {
        let folder = self.folder()?;
        let group = |program: &&str| fs::read_to_string(folder.join(format!("{program}.pid"))).ok();
        let groups: Option<Vec<_>> = programs.iter().map(group).collect();
        groups?.iter().map(|group| group.strip_suffix('\n').map(str::to_owned)).collect()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Fails if it has ended, which is just as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many processes of these groups run.
fn running(groups: &[String]) -> usize {
    let listed = Command::new("ps").args(["-e", "-o", "pgid=,stat="]).output().expect("ps runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let runs = |line: &&str| {
        let mut words = line.split_whitespace();
        let group = words.next().unwrap_or_default();
        // Whom nobody has waited for yet has ended all the same.
        groups.iter().any(|wanted| wanted == group) && !words.next().unwrap_or_default().starts_with('Z')
    };
    listed.lines().filter(runs).count()
}

/// Kills the holder as nothing can clean up after, and sees that all goes with it.
async fn nothing_outlives(mut holder: Holder, groups: &[String]) {
    assert!(running(groups) >= groups.len(), "the programs run");
    holder.process.kill().expect("it is killed");
    holder.process.wait().expect("it has ended");
    eventually("all processes have ended", || running(groups) == 0).await;
    eventually("the folder is gone", || holder.folder().is_none()).await;
}

#[tokio::test]
async fn nothing_outlives_a_process_that_is_killed_while_its_control_plane_starts() {
    let folder = stand_ins(&[("etcd", BUSY), ("kube-apiserver", BUSY), ("kube-controller-manager", BUSY)]);
    let holder = Holder::of(folder.path());
    let started = ["etcd", "kube-apiserver"];
    // Each with the process beside it and the shells that wait for them.
    eventually("both run", || holder.groups(&started).is_some_and(|groups| running(&groups) >= 6)).await;
    let groups = holder.groups(&started).expect("both run");
    nothing_outlives(holder, &groups).await;
}

#[tokio::test]
async fn nothing_outlives_a_process_that_is_killed_with_a_real_control_plane() {
    let Some(assets) = std::env::var_os(ASSETS) else {
        eprintln!("passed over: no real programs, {ASSETS} is not set");
        return;
    };
    let mut holder = Holder::of(Path::new(&assets));
    holder.until_ready();
    let programs = ["etcd", "kube-apiserver", "kube-controller-manager"];
    eventually("all run", || holder.groups(&programs).is_some()).await;
    let groups = holder.groups(&programs).expect("all run");
    nothing_outlives(holder, &groups).await;
}

#[tokio::test]
async fn what_the_installed_roles_do_not_allow_is_refused_and_seen() {
    let cluster = Cluster::start().await;
    let client = cluster.client_with(Rights::of_the_base());
    let services: Api<Service> = Api::all(client.clone());
    services.list(&Default::default()).await.expect("the roles allow it");
    let secrets: Api<Secret> = Api::namespaced(client, &cluster.namespace);
    match secrets.list(&Default::default()).await {
        Err(kube::Error::Api(refusal)) => assert_eq!(refusal.code, 403),
        other => panic!("{other:?}"),
    }
    let asked = cluster.asked_by_the_controller();
    let seen: Vec<_> = asked.iter().map(|request| (request.resource.as_str(), request.code)).collect();
    assert_eq!(seen, [("services", 200), ("secrets", 403)]);
    assert_eq!(refused(&asked).len(), 1);
}

#[tokio::test]
async fn a_real_controller_manager_collects_garbage_and_makes_endpoint_slices() {
    if std::env::var_os(ASSETS).is_none() {
        eprintln!("passed over: no real programs, {ASSETS} is not set");
        return;
    }
    let options = Options { controller_manager: true, ..Options::default() };
    let cluster = Cluster::on(ControlPlane::start_with(options).await).await;
    cluster.add_node("node-1").await;
    let owner = cluster.create("web").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    until(accounts, "default", "to be there", |account| account.is_some()).await;

    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let named = |slice: &EndpointSlice| slice.metadata.name.clone().expect("a name");
    let mut seen = watcher(slices.clone(), watcher::Config::default()).applied_objects().boxed();
    let slice =
        timeout(DEADLINE, seen.try_next()).await.expect("in time").expect("a watch").expect("a slice");
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let pod = json!({
        "metadata": { "name": "web-1", "labels": { "app": "web" } },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "web", "image": "web" }] },
    });
    pods.create(&Default::default(), &serde_json::from_value(pod).expect("a Pod"))
        .await
        .expect("it is created");
    let running = json!({ "status": {
        "phase": "Running", "podIP": "10.0.0.7", "podIPs": [{ "ip": "10.0.0.7" }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    } });
    pods.patch_status("web-1", &Default::default(), &Patch::Merge(running)).await.expect("it runs");
    let has_it = |slice: Option<&EndpointSlice>| {
        slice.is_some_and(|slice| slice.endpoints.iter().any(|endpoint| endpoint.addresses == ["10.0.0.7"]))
    };
    until(slices, &named(&slice), "to have the Pod", has_it).await;

    let owned = json!({ "metadata": { "name": "owned", "ownerReferences": [{
        "apiVersion": "v1", "kind": "Service", "name": "web", "uid": owner.metadata.uid,
    }] } });
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    maps.create(&Default::default(), &serde_json::from_value(owned).expect("a ConfigMap"))
        .await
        .expect("created");
    cluster.delete("web").await;
    until(maps, "owned", "to be gone", |map| map.is_none()).await;
}
