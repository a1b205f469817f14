//! What people do with kubectl, done with the real one.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tests::control_plane::{ControlPlane, Options};
use tests::kubectl::{INSTALL, kubectl};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

const DEADLINE: Duration = Duration::from_secs(30);

const BALANCER: &str = r"
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 80}]
";

const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: pools, singular: pool, kind: Pool, shortNames: [pl]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, minimum: 1, description: How much fits in.}}
";

const POOL: &str = r"
apiVersion: example.com/v1
kind: Pool
metadata: {name: small}
spec: {size: 3}
";

struct Kubectl {
    _plane: ControlPlane,
    folder: TempDir,
}

impl Kubectl {
    async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    async fn start_with(options: Options) -> Self {
        let folder = TempDir::new().expect("a folder");
        let plane = ControlPlane::start_with(options).await;
        plane.write_kubeconfig(&folder.path().join("kubeconfig")).expect("a kubeconfig");
        Self { _plane: plane, folder }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::from(kubectl(self.folder.path()));
        command
            .arg("--kubeconfig")
            .arg(self.folder.path().join("kubeconfig"))
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs kubectl to its end; what it printed, and whether it was content.
    async fn try_run(&self, arguments: &str, input: &str) -> (bool, String) {
        let input = File::open(self.file("input", input)).expect("a file");
        let child = self.command(arguments).stdin(input).spawn().expect(INSTALL);
        let output = timeout(DEADLINE, child.wait_with_output()).await;
        let output =
            output.unwrap_or_else(|_| panic!("kubectl {arguments} ends in time")).expect("its output");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn run(&self, arguments: &str) -> impl Future<Output = String> {
        self.run_with(arguments, "")
    }

    async fn run_with(&self, arguments: &str, input: &str) -> String {
        let (fine, text) = self.try_run(arguments, input).await;
        assert!(fine, "kubectl {arguments}: {text}");
        text
    }

    fn start_command(&self, arguments: &str) -> Child {
        self.command(arguments).spawn().expect(INSTALL)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }
}

#[tokio::test]
async fn apply_creates_then_leaves_alone_then_changes() {
    let k = Kubectl::start().await;
    assert_eq!(k.run_with("apply -f -", BALANCER).await, "service/web created\n");
    assert_eq!(k.run_with("apply -f -", BALANCER).await, "service/web unchanged\n");
    let changed = BALANCER.replace("port: 80", "port: 81");
    let (same, diff) = k.try_run(&format!("diff -f {}", k.file("svc.yaml", &changed).display()), "").await;
    assert!(!same && diff.contains("+    port: 81"), "{diff}");
    assert_eq!(k.run_with("apply -f -", &changed).await, "service/web configured\n");
    assert_eq!(k.run("get svc web -o jsonpath={.spec.ports[*].port}").await, "81");
}

#[tokio::test]
async fn server_side_apply_takes_over_and_conflicts() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", BALANCER).await;
    assert_eq!(k.run_with("apply --server-side -f -", BALANCER).await, "service/web serverside-applied\n");
    assert_eq!(k.run("get svc web -o jsonpath={.spec.ports[*].port}").await, "80");
    k.run("label svc web app=other --overwrite --field-manager=someone").await;
    let (fine, text) = k.try_run("apply --server-side -f -", BALANCER).await;
    assert!(!fine && text.contains("conflict with \"someone\""), "{text}");
    k.run_with("apply --server-side --force-conflicts -f -", BALANCER).await;
    assert_eq!(k.run("get svc web -o jsonpath={.metadata.labels.app}").await, "web");
}

#[tokio::test]
async fn get_prints_the_columns_of_the_server() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", BALANCER).await;
    let table = k.run("get svc").await;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]);
    assert_eq!(lines[1][..2], ["kubernetes", "ClusterIP"]);
    assert_eq!((lines[2][0], lines[2][1], lines[2][3]), ("web", "LoadBalancer", "<pending>"));
    assert!(k.run("get svc web -o wide").await.contains("app=web"));
    assert!(k.run("get all").await.contains("service/web"));
    assert!(k.run("get ns,nodes,leases,events -A").await.contains("namespace/default"));
}

#[tokio::test]
async fn a_watching_get_sees_the_address_come() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", BALANCER).await;
    let printed = k.folder.path().join("printed");
    let stdout = File::create(&printed).expect("a file");
    let _watching = k.command("get svc web -w").stdout(stdout).spawn().expect(INSTALL);
    let shows = async |what: &str| {
        let deadline = Instant::now() + DEADLINE;
        while !fs::read_to_string(&printed).expect("its output").contains(what) {
            assert!(Instant::now() < deadline, "{what} is printed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    shows("<pending>").await;
    give_address(&k).await;
    shows("203.0.113.7").await;
}

async fn give_address(k: &Kubectl) {
    let patch = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.7"}]}}}"#;
    k.run(&format!("patch svc web --subresource=status --type=merge -p {patch}")).await;
}

#[tokio::test]
async fn wait_ends_when_the_address_is_there() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", BALANCER).await;
    let wait =
        k.start_command("wait --for=jsonpath={.status.loadBalancer.ingress[0].ip} svc/web --timeout=25s");
    give_address(&k).await;
    let output = timeout(DEADLINE, wait.wait_with_output()).await.expect("in time").expect("its output");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "service/web condition met\n");
}

#[tokio::test]
async fn describe_shows_the_address_and_the_events() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", BALANCER).await;
    give_address(&k).await;
    let uid = k.run("get svc web -o jsonpath={.metadata.uid}").await;
    let event = format!(
        "apiVersion: v1\nkind: Event\nmetadata: {{name: web.1}}\ntype: Warning\nreason: NoPool\n\
         message: nothing left\nsource: {{component: test}}\nlastTimestamp: 2026-01-01T00:00:00Z\n\
         involvedObject: {{kind: Service, apiVersion: v1, name: web, namespace: default, uid: {uid}}}\n"
    );
    k.run_with("apply -f -", &event).await;
    let text = k.run("describe svc web").await;
    for part in ["203.0.113.7", "NodePort:", "NoPool", "nothing left"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(k.run("get events").await.contains("service/web"));
}

#[tokio::test]
async fn labels_annotations_and_patches_stick() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", BALANCER).await;
    assert_eq!(k.run("label svc web a=b").await, "service/web labeled\n");
    assert_eq!(k.run("annotate svc web c=d").await, "service/web annotated\n");
    // What `kubectl edit` sends.
    k.run(r#"patch svc web --type=strategic -p {"spec":{"externalTrafficPolicy":"Local"}}"#).await;
    let seen =
        "get svc web -o jsonpath={.metadata.labels.a}{.metadata.annotations.c}{.spec.externalTrafficPolicy}";
    assert_eq!(k.run(seen).await, "bdLocal");
    k.run_with("replace -f -", BALANCER).await;
    assert_eq!(k.run(seen).await, "Cluster");
}

#[tokio::test]
async fn delete_waits_for_the_finalizer() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", BALANCER).await;
    k.run(r#"patch svc web --type=merge -p {"metadata":{"finalizers":["example.com/hold"]}}"#).await;
    let deletion = k.start_command("delete svc web --timeout=25s");
    k.run("wait --for=jsonpath={.metadata.deletionTimestamp} svc/web --timeout=20s").await;
    k.run(r#"patch svc web --type=merge -p {"metadata":{"finalizers":null}}"#).await;
    let output = timeout(DEADLINE, deletion.wait_with_output()).await.expect("in time").expect("its output");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (found, text) = k.try_run("get svc web", "").await;
    assert!(!found && text.contains("services \"web\" not found"), "{text}");
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let k = Kubectl::start_with(Options { controller_manager: true, ..Options::default() }).await;
    k.run_with("apply -f -", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n").await;
    k.run_with("apply -n shop -f -", BALANCER).await;
    assert!(k.run("delete ns shop --timeout=25s").await.contains("deleted"));
    let (found, _) = k.try_run("get -n shop svc web", "").await;
    assert!(!found);
}

#[tokio::test]
async fn custom_resources_are_first_class() {
    let k = Kubectl::start().await;
    k.run_with("apply -f -", DEFINITION).await;
    k.run("wait --for=condition=Established crd/pools.example.com --timeout=20s").await;
    assert_eq!(k.run_with("apply -f -", POOL).await, "pool.example.com/small created\n");
    assert_eq!(k.run_with("apply -f -", POOL).await, "pool.example.com/small unchanged\n");
    let table = k.run("get pl").await;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [["NAME", "SIZE"], ["small", "3"]]);
    let (fine, text) = k.try_run("apply -f -", &POOL.replace('3', "0")).await;
    assert!(!fine && text.contains("spec.size in body should be greater than or equal to 1"), "{text}");
    assert!(k.run("explain pools.spec.size").await.contains("How much fits in."));
    assert!(k.run("get crd").await.contains("pools.example.com"));
    k.run("delete pool small").await;
    k.run("delete crd pools.example.com").await;
}

#[tokio::test]
async fn the_server_tells_what_it_is_and_has() {
    let k = Kubectl::start().await;
    assert!(k.run("version").await.contains("Server Version: v1."));
    let kinds = k.run("api-resources").await;
    for kind in ["services", "leases", "endpointslices", "customresourcedefinitions"] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds}");
    }
    assert!(k.run("explain service").await.contains("Service"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_makes_by_itself_is_taken_as_protobuf() {
    let k = Kubectl::start().await;
    k.run("create namespace made").await;
    k.run("create service loadbalancer made --tcp=80:8080 --namespace made").await;
    let ports = k
        .run("get service made --namespace made --output jsonpath={.spec.type}{.spec.ports[0].targetPort}")
        .await;
    assert_eq!(ports, "LoadBalancer8080");
    assert_eq!(k.run("auth can-i create services").await.trim(), "yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_from_standard_input_is_its_items() {
    let k = Kubectl::start().await;
    let item =
        |name: &str| BALANCER.trim().replace("name: web,", &format!("name: {name},")).replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}\n- {}\n", item("web"), item("api"));
    assert_eq!(k.run_with("create -f -", &list).await, "service/web created\nservice/api created\n");
    assert_eq!(k.run_with("replace -f -", &list).await, "service/web replaced\nservice/api replaced\n");
}
