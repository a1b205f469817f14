//! The program, as its users run it: flags, a kubeconfig, the environment of the AWS SDK, and kubectl.

use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;
use tests::aws::{LoadBalancer, NOTHING};
use tests::cluster::eventually;
use tests::kubectl::{INSTALL, kubectl};
use tests::programs::{self, http};
use tests::rights::{Rights, refused};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::fixture::Fixture;

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
pub(crate) const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: cloud-lb-controller}\n";

/// A kubeconfig for the cluster of a fixture, for as long as this lives.
pub(crate) struct Access<'a> {
    fixture: &'a Fixture,
    folder: TempDir,
}

/// What a program that ended has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl<'a> Access<'a> {
    pub(crate) fn to(fixture: &'a Fixture) -> Self {
        Access::with(fixture, &fixture.cluster.plane.kubeconfig_yaml())
    }

    pub(crate) fn with(fixture: &'a Fixture, kubeconfig: &str) -> Self {
        let access = Access { fixture, folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(access.kubeconfig(), kubeconfig).expect("the kubeconfig is written");
        access
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The program with these arguments, at this fixture's cluster and endpoint.
    async fn command(&self, arguments: &[&str]) -> Command {
        let built = tokio::task::spawn_blocking(programs::folder).await.expect("no panic");
        let mut command = Command::new(built.join("cloud-lb-controller"));
        command.args(arguments).arg("--kubeconfig").arg(self.kubeconfig());
        command.env_clear().envs(self.fixture.network.endpoint.environment()).kill_on_drop(true);
        command
    }

    /// What it says when it runs to its end, with these variables besides.
    pub(crate) async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut command = self.command(arguments).await;
        let output = command.envs(environment.iter().copied()).output().await.expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
    }
}

/// The program at work on a fixture.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    pub(crate) async fn start(access: &Access<'_>) -> Self {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize/overlays/aws/config.yaml");
        let name = format!("--cluster-name={}", access.fixture.name);
        let mut command = access.command(&["--http-address=127.0.0.1:0", "--config", config, &name]).await;
        let log = access.folder.path().join("log");
        command.stderr(File::create(&log).expect("a file for the log"));
        Program { child: command.spawn().expect("the program starts"), log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log")
    }

    /// What it shows under `/metrics`.
    async fn metrics(&self) -> String {
        let address = || {
            self.log()
                .lines()
                .find(|it| it.contains("serving health"))?
                .split_once(" address=")
                .map(|it| it.1.to_owned())
        };
        eventually("it says where it serves", || address().is_some()).await;
        let (_, metrics) =
            http(&address().expect("an address"), "GET", "/metrics", "").await.expect("metrics");
        metrics
    }

    /// Asks it to stop; how it ended.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let id = self.child.id().expect("it still runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(asked.expect("kill runs").success());
        self.child.wait().await.expect("it ends")
    }
}

/// Runs kubectl with something to read, and returns what it says.
pub(crate) async fn run_kubectl(access: &Access<'_>, arguments: &[&str], input: &str) -> String {
    let mut child = Command::from(kubectl(access.folder.path()))
        .arg("--kubeconfig")
        .arg(access.kubeconfig())
        .args(["--namespace", &access.fixture.cluster.namespace])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(INSTALL);
    child.stdin.take().expect("its input").write_all(input.as_bytes()).await.expect("it reads");
    let output = child.wait_with_output().await.expect("it ends");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
    said
}

#[tokio::test]
async fn from_manifest_to_load_balancer_and_back_to_nothing() {
    let fixture = Fixture::start().await;
    let mut instances = vec![fixture.add_node("n1").await, fixture.add_node("node2").await];
    instances.sort();
    let access = Access::to(&fixture);
    run_kubectl(&access, &["apply", "-f", "-"], NAMESPACE).await;
    // The program's own way to the cluster: with the rights that it is installed with.
    let rights = Rights::of_the_base();
    let restricted = Access::with(&fixture, &fixture.cluster.kubeconfig_with(rights.clone()));
    let mut program = Program::start(&restricted).await;

    run_kubectl(&access, &["apply", "-f", "-"], MANIFEST).await;
    let balancer: LoadBalancer = fixture.served("web").await;
    assert_eq!(balancer.ports(), ["TCP:80"]);
    assert_eq!(balancer.instances(), Some(instances));
    let shown = run_kubectl(&access, &["get", "service", "web"], "").await;
    assert!(shown.contains(&balancer.host_name), "{shown}");
    eventually("the log tells the day", || program.log().contains("EnsuredLoadBalancer")).await;
    let log = program.log();
    let ours = format!("service={}/web", fixture.cluster.namespace);
    for (reason, says) in
        [("EnsuringLoadBalancer", "Ensuring load balancer"), ("EnsuredLoadBalancer", &balancer.host_name)]
    {
        let tells = |line: &&str| line.contains(reason) && line.contains(&ours);
        let line = log.lines().find(tells).unwrap_or_else(|| panic!("{reason} is missing in\n{log}"));
        assert!(line.contains(" INFO ") && line.contains(says), "{line}");
    }

    let moved = r#"{"spec": {"ports": [{"port": 80, "targetPort": 9090}]}}"#;
    run_kubectl(&access, &["patch", "service", "web", "--patch", moved], "").await;
    fixture.until_event_is_counted_up("web").await;

    run_kubectl(&access, &["delete", "service", "web", "--timeout=60s"], "").await;
    assert_eq!(fixture.network.leftovers().await, NOTHING);

    let metrics = program.metrics().await;
    for sample in [
        "cloud_lb_aws_requests_total{rate_bucket=\"elb_write\",operation=\"CreateLoadBalancer\",outcome=\"Done\"} 1\n",
        "cloud_lb_aws_request_duration_seconds_count{rate_bucket=\"elb_targets\"} ",
    ] {
        assert!(metrics.contains(sample), "{sample} is missing in\n{metrics}");
    }

    let ended = program.stop().await;
    assert!(ended.success(), "{}", program.log());

    let asked = fixture.cluster.asked_by_the_controller();
    assert!(refused(&asked).is_empty(), "{:#?}", refused(&asked));
    // A Service is asked for by name only where a list lacks it: the suite `controller` holds that it is.
    assert_eq!(rights.unused(&asked), ["get services"], "rights that nobody uses");
}
