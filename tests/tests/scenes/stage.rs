//! The cluster of the scenes, with the images that they use, and words to speak to it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use tests::cluster::addresses;
use tests::programs;
use tests::real_cluster::{ProxyMode, RealCluster, image};
use tokio::time::{Instant, sleep};

/// The workspace's folder.
pub(crate) const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The image of the program, under two tags.
pub(crate) const IMAGE: &str = "localhost/cloud-lb-controller";
/// The chart's own version.
pub(crate) const FIRST: &str = "0.1.0";
/// The same program, to be upgraded to.
pub(crate) const SECOND: &str = "0.1.1";

/// How long a condition may take that is a matter of seconds. Machines are shared; nobody waits this long unless it fails.
pub(crate) const SCENE_TIMEOUT: Duration = Duration::from_secs(60);

/// The label of the namespaces that scenes make for their Services.
const OF_A_SCENE: &str = "scene";

/// A cluster to play in.
pub(crate) struct Stage {
    /// The cluster.
    pub cluster: RealCluster,
    /// The last part of the addresses that the next scene asks for.
    next: AtomicU8,
}

impl Stage {
    /// Starts a cluster, and puts the images into it.
    pub(crate) async fn open(mode: ProxyMode) -> Self {
        // Before the cluster starts: it may have to be built.
        let [controller, announcer] = programs::released();
        let program = Path::new(env!("CARGO_BIN_EXE_cluster"));
        let cluster = RealCluster::start(mode, program).await.unwrap_or_else(|error| panic!("{error}"));
        // From the end of the pool: what nobody asks for comes from its beginning.
        let stage = Stage { cluster, next: AtomicU8::new(219) };
        for name in ["web", "probe"] {
            stage.load(&[&format!("localhost/{name}:1")], &[(name, &stage.cluster.program(name))], "65532");
        }
        let names = [FIRST, SECOND].map(|tag| format!("{IMAGE}:{tag}"));
        // As deploy/image/Dockerfile names user and programs.
        let programs: [(&str, &Path); 2] =
            [("cloud-lb-controller", controller), ("cloud-lb-announcer", announcer)];
        stage.load(&[&names[0], &names[1]], &programs, "65532:65532");
        stage
    }

    /// Puts an image with these programs into both nodes; it runs the first.
    pub(crate) fn load(&self, names: &[&str], programs: &[(&str, &Path)], user: &str) {
        let archive = image::archive(names, programs, programs[0].0, user);
        archive.and_then(|archive| self.cluster.load(&archive)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Ends the cluster, and fails if something of it is left.
    pub(crate) fn close(self) {
        self.cluster.stop().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs kubectl; what it said. It has to succeed.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let said = self.try_kubectl(arguments);
        said.unwrap_or_else(|said| panic!("kubectl {}: {said}", arguments.join(" ")))
    }

    /// Runs kubectl; what it said, or what it complained of.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(arguments);
        finish(kubectl)
    }

    /// Applies a manifest.
    #[track_caller]
    pub(crate) fn apply(&self, manifest: &str) {
        self.try_apply(manifest).unwrap_or_else(|said| panic!("{said}: {manifest}"));
    }

    /// Applies a manifest that may be refused.
    pub(crate) fn try_apply(&self, manifest: &str) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, manifest).expect("it is written");
        self.try_kubectl(&["apply", "--server-side", "-f", &file.path().display().to_string()])
    }

    /// A namespace for a scene, which goes with it.
    pub(crate) fn namespace(&self, name: &str) {
        self.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{OF_A_SCENE}: \"yes\"}}}}\n"
        ));
    }

    /// Addresses of the pool that no scene of this cluster asked for before, one of each family.
    pub(crate) fn unused_addresses(&self) -> Vec<String> {
        let number = self.next.fetch_sub(1, Ordering::Relaxed);
        vec![format!("10.99.0.{number}"), format!("fd00:10:99::{number}")]
    }

    /// Services of a namespace.
    pub(crate) fn services(&self, namespace: &str) -> Api<Service> {
        Api::namespaced(self.cluster.client(), namespace)
    }

    /// The addresses of a Service, once it has as many as it is to have.
    pub(crate) async fn published(&self, namespace: &str, service: &str, count: usize) -> Vec<String> {
        let services = self.services(namespace);
        until(&format!("{namespace}/{service} shows {count} addresses"), SCENE_TIMEOUT, async || {
            let found = services.get(service).await.map_err(|error| error.to_string())?;
            let addresses = addresses(&found);
            match addresses.len() == count {
                true => Ok(addresses),
                false => Err(format!("its status is {:?}", found.status)),
            }
        })
        .await
    }

    /// Removes a scene's Services and waits until they are gone, and their addresses are free. Its namespaces go with the
    /// rest, and nobody waits for that.
    pub(crate) async fn clear(&self) {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        until("the scene's Services are gone", SCENE_TIMEOUT, async || {
            let ours = namespaces.list(&ListParams::default().labels(OF_A_SCENE)).await;
            let mut left = Vec::new();
            for namespace in ours.map_err(|error| error.to_string())? {
                let namespace = namespace.metadata.name.unwrap_or_default();
                let services = self.services(&namespace);
                for service in services.list(&Default::default()).await.map_err(|error| error.to_string())? {
                    let name = service.metadata.name.unwrap_or_default();
                    if service.metadata.deletion_timestamp.is_none() {
                        let _ = services.delete(&name, &DeleteParams::default()).await;
                    }
                    left.push(format!("{namespace}/{name}"));
                }
            }
            if left.is_empty() { Ok(()) } else { Err(format!("left: {left:?}")) }
        })
        .await;
        self.kubectl(&["delete", "namespaces", "--selector", OF_A_SCENE, "--wait=false"]);
    }

    /// What is to be known about the cluster when a scene failed.
    pub(crate) fn state(&self) -> String {
        let look = |arguments: &[&str]| self.try_kubectl(arguments).unwrap_or_else(|said| said);
        let mut state = vec![
            look(&["get", "nodes,pods,services", "--all-namespaces", "--output", "wide"]),
            look(&["get", "events", "--all-namespaces", "--sort-by=.metadata.creationTimestamp"]),
            look(&[
                "logs",
                "--namespace=cloud-lb-controller",
                "--all-containers",
                "--prefix",
                "--tail=15",
                "--selector=app.kubernetes.io/name=cloud-lb-controller",
            ]),
        ];
        for part in &mut state {
            let lines: Vec<&str> = part.lines().collect();
            *part = lines[lines.len().saturating_sub(25)..].join("\n");
        }
        state.push(self.cluster.last_words());
        state.join("\n---\n")
    }
}

/// Runs a command to its end; what it said, or what it complained of.
pub(crate) fn finish(mut command: Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
}

/// Looks until what is looked for is there. An error says what was seen instead.
pub(crate) async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "not within {patience:?}: {what}; {seen}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}
