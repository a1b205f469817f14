//! The sandbox as its user runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tests::cluster::eventually;
use tests::control_plane::ASSETS;
use tests::kubectl::INSTALL;

/// The workspace's folder: where the README's commands are run.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The sandbox, with nothing of this environment but the control plane it names.
fn sandbox() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.env_clear().envs(std::env::var_os(ASSETS).map(|assets| (ASSETS, assets)));
    command.current_dir(WORKSPACE);
    command
}

/// What a program shows that ends well, without the ends of its lines: what is long goes on below.
fn shown_by(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    // What cannot be broken, such as the host name of a load balancer, may be longer.
    let too_long = |line: &&str| line.chars().count() > 80 && line.split_whitespace().count() > 1;
    assert_eq!(shown.lines().find(too_long), None, "within 80 columns");
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_demonstration_ends_well_shows_a_reused_address_and_says_what_to_try_next() {
    let shown = shown_by(sandbox().arg("--demo"));
    // Which of the pool's first two it is, is a matter of which Service a real server showed first.
    let reused =
        ["192.0.2.10", "192.0.2.11"].map(|ip| shown.contains(&format!("{ip} went from web to another.")));
    assert!(reused.contains(&true), "{shown}");
    assert!(shown.contains("typo is Invalid: metadata.annotations[metallb.io/loadBalancerIPs]"), "{shown}");
    let next = shown.split_once("What to try next").expect("it says what to try").1;
    assert!(next.contains("cargo run --bin sandbox -- --demo --provider aws"), "{shown}");
    assert!(!shown.contains('\x1b'), "colours are for terminals: {shown}");
}

#[test]
fn it_works_from_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    shown_by(sandbox().arg("--demo").current_dir(folder.path()));
}

#[test]
fn an_aws_endpoint_that_does_not_answer_is_one_line() {
    let nobody = "http://127.0.0.1:9";
    // A real control plane has words of its own while it starts.
    let mut command = sandbox();
    command.args(["--demo", "--provider", "aws"]).env("AWS_ENDPOINT_URL", nobody).env_remove(ASSETS);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with(&format!("sandbox: AWS_ENDPOINT_URL={nobody}: nothing answers there")),
        "{said}"
    );
    assert!(said.contains("localstack/up"), "{said}");
}

#[test]
fn with_a_network_a_page_is_fetched_by_both_addresses_and_again_after_the_node_was_cut_off() {
    let path = std::env::var_os("PATH").expect("a path");
    let output = sandbox().args(["--demo", "--network"]).env("PATH", path).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shown.matches("a page from node-").count(), 4, "{shown}");
    assert_eq!(shown.matches(" s without answers\n").count(), 2, "{shown}");
    let real = std::env::var_os(ASSETS).map(|assets| Path::new(&assets).join("kube-proxy"));
    let by = match real.filter(|program| program.is_file()) {
        Some(program) => format!("on each node runs {}", program.display()),
        None => "stand in for kube-proxy".to_owned(),
    };
    assert!(shown.contains(&by), "{by}: {shown}");
}

#[test]
fn without_the_tools_for_a_network_the_demonstration_says_what_brings_them_and_goes_on() {
    // A real control plane needs programs, too.
    let output =
        sandbox().args(["--demo", "--network"]).env("PATH", "/nowhere").env_remove(ASSETS).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("`apt-get install util-linux` brings"), "{shown}");
    assert!(shown.contains("went from web to another."), "{shown}");
}

/// Runs kubectl, which keeps what it keeps beside the kubeconfig; what it prints.
fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> String {
    let mut command = tests::kubectl::kubectl(kubeconfig.parent().expect("a folder"));
    let command = command.current_dir(WORKSPACE).arg("--kubeconfig").arg(kubeconfig);
    let output = command.args(arguments).output().expect(INSTALL);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    shown
}

#[tokio::test]
async fn the_lines_it_says_to_try_work() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let mut child =
        sandbox().arg("--kubeconfig").arg(&kubeconfig).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.starts_with("Ctrl-C")));

    assert!(kubectl(&kubeconfig, &["apply", "-f", "deploy/examples"]).contains("service/web created"));
    eventually("web has an address of the pool", || {
        kubectl(&kubeconfig, &["get", "svc", "web"]).contains("192.0.2.1")
    })
    .await;
    eventually("the mistake is described", || {
        kubectl(&kubeconfig, &["describe", "svc", "typo"]).contains("SyncLoadBalancerFailed")
    })
    .await;
    assert!(
        kubectl(&kubeconfig, &["get", "ipaddresspools", "-n", "metallb-system"]).contains("198.51.100.0/28")
    );
    assert!(kubectl(&kubeconfig, &["delete", "svc", "web"]).contains("deleted"));

    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_demonstration_on_aws_shows_plans_and_leaves_nothing() {
    let shown = shown_by(sandbox().args(["--demo", "--provider", "aws"]));
    for expected in [
        "AWS is the strict AWS in memory.",
        "plan for web: + security group",
        "+ listener TLS-443",
        "+ listener TCP_UDP-53",
        "\"internet-faced\" is not a known value; allowed: internal, internet-facing",
        "web is deleted, and nothing of it is left at AWS.",
        "Nothing is left at AWS.",
    ] {
        assert!(shown.contains(expected), "{expected:?} in {shown}");
    }
}

#[tokio::test]
async fn it_stays_up_until_ctrl_c_and_takes_its_kubeconfig_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let mut child =
        sandbox().arg("--kubeconfig").arg(&kubeconfig).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let shown: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C")).collect();
    assert!(shown.iter().any(|line| line.contains("apply -f deploy/examples")), "{shown:#?}");
    assert!(kubeconfig.exists());

    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();

    assert!(interrupted.success());
    let mut ended = None;
    eventually("it ends", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert!(ended.unwrap().success());
    assert_eq!(lines.collect::<Vec<_>>(), ["Stopping."]);
    assert!(!kubeconfig.exists());
}
