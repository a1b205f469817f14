//! The program, as its users run it: flags, a kubeconfig, the environment of the AWS SDK, and kubectl.

use std::process::{Output, Stdio};

use tests::aws::{LoadBalancer, NOTHING};
use tests::programs;
use tests::rights::{Rights, refused};
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

/// Where the Lease is.
const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: cloud-lb-controller}\n";

/// The program at work on a world.
struct Program {
    child: Child,
}

impl Program {
    async fn start(world: &World, kubeconfig: &std::path::Path) -> Self {
        let built = tokio::task::spawn_blocking(programs::folder).await.expect("no panic");
        let child = Command::new(built.join("cloud-lb-controller"))
            .arg("--http-address=")
            .arg("--config")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize/overlays/aws/config.yaml"))
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
    kubectl(&world, &kubeconfig, &["apply", "-f", "-"], NAMESPACE).await;
    // The program's own way to the cluster: with the rights that it is installed with.
    let rights = Rights::of_the_base();
    let restricted = folder.path().join("restricted");
    std::fs::write(&restricted, world.cluster.kubeconfig_with(rights.clone())).expect("it is written");
    let program = Program::start(&world, &restricted).await;

    kubectl(&world, &kubeconfig, &["apply", "-f", "-"], MANIFEST).await;
    let balancer: LoadBalancer = world.served("web").await;
    assert_eq!(balancer.ports(), ["TCP:80"]);
    assert_eq!(balancer.instances(), Some(instances));
    let shown = kubectl(&world, &kubeconfig, &["get", "service", "web"], "").await;
    assert!(shown.contains(&balancer.host_name), "{shown}");

    let moved = r#"{"spec": {"ports": [{"port": 80, "targetPort": 9090}]}}"#;
    kubectl(&world, &kubeconfig, &["patch", "service", "web", "--patch", moved], "").await;
    world.until_event_is_counted_up("web").await;

    kubectl(&world, &kubeconfig, &["delete", "service", "web", "--timeout=60s"], "").await;
    assert_eq!(world.network.leftovers().await, NOTHING);

    let output = program.stop().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let asked = world.cluster.asked_by_the_controller();
    assert!(refused(&asked).is_empty(), "{:#?}", refused(&asked));
    if !world.cluster.plane.is_real() {
        assert_eq!(rights.unused(&asked), Vec::<String>::new(), "rights that nobody uses");
    }
}
