//! `plan`, `orphans`, `remove-conditions`, `crds`, `version`.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use tests::cluster::{Cluster, addresses};
use tests::kubectl::INSTALL;

use super::process::{Access, Program, command, finish, with_pool};

const MANIFEST: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
                        spec: {type: LoadBalancer, ports: [{port: 80}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_would_change_and_exits_2_and_0_once_it_has() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    cluster.create("web").await;
    let name = format!("{}/web", cluster.namespace);
    let plan = ["plan", &name, "--cloud-provider=bare"];

    let said = access.output(&plan).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.output.starts_with(&format!("{name} (bare):\n")), "{said:?}");
    assert!(said.output.contains("192.0.2.10"), "{said:?}");

    let said = access.output(&["plan", &name, "--cloud-provider=bare", "-o", "json"]).await;
    let json: Value = serde_json::from_str(&said.output).expect("JSON");
    assert_eq!(json[0]["provider"], "bare");
    assert_eq!(json[0]["steps"].as_array().map(Vec::len), Some(1), "{json:#}");

    let _program = Program::start(&access, &[]);
    cluster.until_published("web").await;

    let said = access.output(&plan).await;
    assert_eq!((said.code, said.output), (Some(0), format!("{name} (bare): nothing to do\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_may_stand_before_the_command_and_a_namespace_narrows_a_plan() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    cluster.create("web").await;
    let access = Access::to(&cluster.plane);
    let all = |namespace| ["--cloud-provider", "bare", "plan", "--all", "-n", namespace];
    let said = access.output(&all(&cluster.namespace)).await;
    assert!(said.code == Some(2) && said.output.contains("192.0.2.10"), "{said:?}");
    let said = access.output(&all("elsewhere")).await;
    assert_eq!((said.code, said.output.as_str()), (Some(0), ""), "{said:?}");
    let said = access.output(&["plan", "web", "-n", &cluster.namespace, "--cloud-provider=bare"]).await;
    assert!(said.output.starts_with(&format!("{}/web (bare):", cluster.namespace)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_reads_a_manifest_the_cluster_does_not_have_and_writes_nothing() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let file = access.file("service.yaml", MANIFEST);
    cluster.requests().clear();

    let said = access.output(&["plan", "--cloud-provider=bare", "-f", file.to_str().unwrap()]).await;

    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.output.contains("192.0.2.10"), "{said:?}");
    let writes = cluster.requests().count(|r| r.is_write() && r.agent.starts_with("cloud-lb-controller/"));
    assert_eq!(writes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_takes_our_conditions_off_and_leaves_what_is_published() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    cluster.create("web").await;
    let theirs = json!([{
        "type": "example.com/Ready", "status": "True", "reason": "Theirs", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    cluster.change_status("web", json!({ "status": { "conditions": theirs } })).await;
    let program = Program::start(&access, &[]);
    let published = cluster.until_published("web").await;
    drop(program);

    let said = access.output(&["remove-conditions", "--cloud-provider=bare"]).await;

    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.output.contains("1 Services had conditions of bare"), "{said:?}");
    let service = cluster.service("web").await;
    let conditions =
        service.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let left: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!((addresses(&service), left), (published, vec!["example.com/Ready"]));
    let said = access.output(&["remove-conditions", "--cloud-provider=bare"]).await;
    assert!(said.output.starts_with("0 Services"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_of_a_provider_that_holds_nothing_are_none() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let said = Access::to(&cluster.plane).output(&["orphans", "--cloud-provider=bare"]).await;
    assert_eq!((said.code, said.output.as_str()), (Some(0), "bare: holds nothing outside the cluster\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn crds_go_through_kubectl_apply() {
    let cluster = Cluster::start().await;
    let access = Access::to(&cluster.plane);
    let mut crds = command("cloud-lb-controller");
    crds.arg("crds");
    let definitions = finish(crds).await;
    assert_eq!(definitions.code, Some(0));
    let mut kubectl = access.kubectl();
    let applied = tokio::task::spawn_blocking(move || {
        kubectl.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut kubectl = kubectl.spawn().expect(INSTALL);
        let mut input = kubectl.stdin.take().expect("its input");
        input.write_all(definitions.output.as_bytes()).expect("it reads");
        drop(input);
        kubectl.wait_with_output().expect("it ends")
    });
    let applied = applied.await.expect("no panic");
    assert!(applied.status.success(), "{applied:?}");
    let said = String::from_utf8_lossy(&applied.stdout);
    assert!(said.contains("ipaddresspools.metallb.io created"), "{said}");
}

#[tokio::test]
async fn version_is_the_packages_with_commit_and_features() {
    let mut version = command("cloud-lb-controller");
    version.arg("version");
    let said = finish(version).await;
    let lines: Vec<&str> = said.output.lines().collect();
    assert_eq!(lines[0], concat!("cloud-lb-controller ", env!("CARGO_PKG_VERSION")));
    let commit = lines[1].strip_prefix("commit: ").expect("the commit");
    assert!(commit == "unknown" || commit.len() == 12, "{commit}");
    let features = lines[2].strip_prefix("features: ").expect("the features");
    assert!(features.contains("aws bare"), "{features}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_in_one_screen_why_a_service_has_or_lacks_its_address() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &[]);
    cluster.create("web").await;
    cluster.until_published("web").await;
    cluster.create_with("typo", json!({ "spec": { "loadBalancerIP": "198.51.100.700" } })).await;
    program.until_it_says("not as the Service wants it").await;
    cluster.until_event("typo", "SyncLoadBalancerFailed").await;
    cluster.until_event("web", "IPAllocated").await;

    let said = access.output(&["why", &format!("{}/web", cluster.namespace)]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for line in [
        "address       192.0.2.10",
        "condition     bare: True Ensured for ",
        "event         Normal IPAllocated, ",
        "bare          all is as the Service wants it; nothing to do",
    ] {
        assert!(said.output.contains(line), "{line}: {}", said.output);
    }
    let said = access.output(&["why", "typo", "-n", &cluster.namespace]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    for line in [
        "address       no address",
        "condition     bare: False Invalid for ",
        "event         Warning SyncLoadBalancerFailed",
    ] {
        assert!(said.output.contains(line), "{line}: {}", said.output);
    }
    assert!(said.output.lines().count() < 24, "one screen: {}", said.output);
    let said = access.output(&["why", "nobody", "-n", &cluster.namespace]).await;
    assert!(said.errors.contains(&format!("there is no Service {}/nobody", cluster.namespace)), "{said:?}");
}

#[tokio::test]
async fn as_a_plugin_of_kubectl_it_shows_its_help_and_runs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("kubectl-lb");
    std::os::unix::fs::symlink(command("cloud-lb-controller").get_program(), &plugin).expect("a link");
    let mut plugin = std::process::Command::new(plugin);
    plugin.env_clear();
    let said = finish(plugin).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.output.contains("why "), "{said:?}");
}
