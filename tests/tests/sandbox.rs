//! The sandbox as its user runs it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tests::cluster::eventually;

/// The workspace's folder: where the README's commands are run.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn sandbox() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.current_dir(WORKSPACE);
    command
}

#[test]
fn the_demonstration_ends_well_and_shows_a_reused_address() {
    let output = sandbox().arg("--demo").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("192.0.2.10 went from web to another."), "{shown}");
    assert!(shown.contains("typo is Invalid: metadata.annotations[metallb.io/loadBalancerIPs]"), "{shown}");
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
