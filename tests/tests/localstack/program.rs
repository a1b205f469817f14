//! The program, as its users run it: flags, a kubeconfig, the environment of the AWS SDK, and kubectl.

use std::env;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use tests::aws::{LoadBalancer, NOTHING};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

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
async fn program() -> PathBuf {
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

/// The program at work on a world.
struct Program {
    child: Child,
}

impl Program {
    async fn start(world: &World, kubeconfig: &std::path::Path) -> Self {
        let child = Command::new(program().await)
            .args(["--cloud-provider=aws", "--http-address="])
            .arg(format!("--cluster-name={}", world.name))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .envs(world.network.endpoint.environment())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Program { child }
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
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    world.cluster.plane.write_kubeconfig(&kubeconfig).expect("the kubeconfig is written");
    let program = Program::start(&world, &kubeconfig).await;

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
