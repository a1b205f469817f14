//! The program, as its users run it: flags, a kubeconfig, the environment of the AWS SDK, and kubectl.

use std::env;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tests::aws::{LoadBalancer, NOTHING};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::world::World;

const MANIFEST: &str = "
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: LoadBalancer
  loadBalancerClass: service.k8s.aws/nlb
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
";

/// Builds the program in the folder and the profile of this test, and says where it is. `cargo test` builds
/// programs of the package under test only, and this one is another's.
async fn program() -> &'static PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_init(build).await
}

async fn build() -> PathBuf {
    let test = env::current_exe().expect("this test is a file");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("it is in deps/ of a profile's folder");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, or its dependencies would be built once more with fewer features.
    cargo.args(["build", "--quiet", "--workspace", "--bin", "cloud-lb-controller"]);
    cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    cargo.arg("--target-dir").arg(folder.parent().expect("it is in the target folder"));
    // What cargo tells this test about its own package would be taken for a change by build scripts that read it.
    for (name, _) in env::vars_os() {
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if name.to_str().is_some_and(|name| ours.iter().any(|start| name.starts_with(start))) {
            cargo.env_remove(name);
        }
    }
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().await.expect("cargo runs").success(), "the program is built");
    folder.join("cloud-lb-controller")
}

/// A kubeconfig for the cluster of a world, for as long as this lives.
pub struct Access<'a> {
    world: &'a World,
    folder: TempDir,
}

/// What a program that ended has said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl<'a> Access<'a> {
    pub fn to(world: &'a World) -> Self {
        let access = Access { world, folder: tempfile::tempdir().expect("a folder") };
        world.cluster.plane.write_kubeconfig(&access.kubeconfig()).expect("the kubeconfig is written");
        access
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The program with these arguments, at this world's cluster and endpoint.
    async fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program().await);
        command.args(arguments).arg("--kubeconfig").arg(self.kubeconfig());
        command.envs(self.world.network.endpoint.environment()).kill_on_drop(true);
        command
    }

    /// What it says when it runs to its end, with these variables besides.
    pub async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut command = self.command(arguments).await;
        let output = command.envs(environment.iter().copied()).output().await.expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
    }
}

/// The program at work on a world.
struct Program {
    child: Child,
}

impl Program {
    async fn start(access: &Access<'_>) -> Self {
        let name = format!("--cluster-name={}", access.world.name);
        let mut command = access.command(&["--cloud-provider=aws", "--http-address=", &name]).await;
        Program { child: command.stderr(Stdio::piped()).spawn().expect("the program starts") }
    }

    /// Asks it to stop, and returns what it said.
    async fn stop(self) -> Output {
        let id = self.child.id().expect("it still runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(asked.expect("kill runs").success());
        self.child.wait_with_output().await.expect("it ends")
    }
}

/// Runs kubectl with something to read, and returns what it says.
async fn kubectl(world: &World, kubeconfig: &std::path::Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--namespace", &world.cluster.namespace])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl runs; install it with: apt-get install --yes kubernetes-client");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).await.expect("it reads");
    let output = child.wait_with_output().await.expect("it ends");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
    said
}

#[tokio::test]
async fn from_manifest_to_load_balancer_and_back_to_nothing() {
    let world = World::start().await;
    let mut instances = vec![world.add_node("n1").await, world.add_node("node2").await];
    instances.sort();
    let access = Access::to(&world);
    let kubeconfig = access.kubeconfig();
    let program = Program::start(&access).await;

    kubectl(&world, &kubeconfig, &["apply", "-f", "-"], MANIFEST).await;
    let balancer: LoadBalancer = world.served("web").await;
    assert_eq!(balancer.ports(), ["TCP:80"]);
    assert_eq!(balancer.instances(), Some(instances));
    let shown = kubectl(&world, &kubeconfig, &["get", "service", "web"], "").await;
    assert!(shown.contains(&balancer.host_name), "{shown}");

    kubectl(&world, &kubeconfig, &["delete", "service", "web", "--timeout=60s"], "").await;
    assert_eq!(world.network.leftovers().await, NOTHING);

    let output = program.stop().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
