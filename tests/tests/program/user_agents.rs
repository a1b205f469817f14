//! Who the program says it is to the API server, and whose its writes are.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::json;
use tests::apiserver::Request;
use tests::cluster::{Cluster, eventually};
use tests::rights::{INSTALLED_AS, Rights};

use super::process::{Access, Program, apply, command, read, with_pool};

/// As client-go has it, in the version of this workspace.
fn user_agent(program: &str, component: &str) -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{program}/{} (linux/{arch}) {component}", env!("CARGO_PKG_VERSION"))
}

/// The user agents of requests.
fn heard<'a>(requests: impl IntoIterator<Item = &'a Request>) -> BTreeSet<String> {
    requests.into_iter().map(|request| request.agent.clone()).collect()
}

/// Whether each write is this program's, and nothing else has a field manager.
#[track_caller]
fn all_writes_are_of(program: &str, requests: &[Request]) {
    for request in requests {
        assert_eq!(request.field_manager, if request.is_write() { program } else { "" }, "{request:?}");
    }
}

/// `patch services/status`
fn deed(request: &Request) -> String {
    let part = [&request.resource, &request.subresource].map(String::as_str).join("/");
    format!("{} {}", request.verb, part.trim_end_matches('/'))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_names_the_program_and_the_part_that_asks_and_every_write_is_the_programs() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    apply(&cluster, &read("deploy/kustomize/base/namespace.yaml")).await;
    let access = Access::with(&cluster.kubeconfig_with(Rights::of_the_bare_overlay()));
    let namespace = format!("--leader-elect-resource-namespace={INSTALLED_AS}");
    let _program = Program::start(&access, &[&namespace]);
    cluster.create("web").await;
    cluster.until_published("web").await;
    let written = || -> BTreeSet<String> {
        cluster.asked_by_the_controller().iter().filter(|r| r.is_write()).map(deed).collect()
    };
    let all = [
        "create events",
        "create leases",
        "patch ipaddresspools/status",
        "patch services/status",
        "update leases",
    ];
    eventually("it has written all that it writes", || all.iter().all(|deed| written().contains(*deed)))
        .await;
    access.output(&["doctor", "--cloud-provider=bare"]).await;
    access.output(&["plan", "--all", "--cloud-provider=bare"]).await;

    let asked = cluster.asked_by_the_controller();

    let parts = ["doctor", "leader-election", "plan", "service-controller"];
    assert_eq!(heard(&asked), parts.map(|part| user_agent("cloud-lb-controller", part)).into());
    let leases = asked.iter().filter(|request| request.resource == "leases" && request.is_write());
    assert_eq!(heard(leases), [user_agent("cloud-lb-controller", "leader-election")].into());
    all_writes_are_of("cloud-lb-controller", &asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedders_program_names_itself() {
    let cluster = Cluster::start().await;
    let mut rights = Rights::of_the_base().and("create", "events.k8s.io", "events");
    for verb in ["get", "create", "update"] {
        rights = rights.and(verb, "coordination.k8s.io", "leases");
    }
    let access = Access::with(&cluster.kubeconfig_with(rights));
    let mut example = command("examples/embed");
    example.env("KUBECONFIG", access.kubeconfig());
    let _program = Program::spawn(example);
    cluster.create_with("web", json!({ "spec": { "loadBalancerClass": "example.com/wildcard" } })).await;
    cluster.until_published("web").await;

    let asked = cluster.asked_by_the_controller();

    let program = "wildcard-controller-manager";
    assert_eq!(
        heard(&asked),
        ["leader-election", "service-controller"].map(|part| user_agent(program, part)).into()
    );
    all_writes_are_of(program, &asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_managed_fields_of_a_service_name_the_program() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let _program = Program::start(&access, &[]);
    cluster.create("web").await;
    cluster.until_published("web").await;

    let service = cluster.services().get("web").await.expect("the Service");

    let of_the_status =
        service.managed_fields().iter().filter(|e| e.subresource.as_deref() == Some("status"));
    let managers: Vec<_> = of_the_status.filter_map(|entry| entry.manager.as_deref()).collect();
    assert_eq!(managers, ["cloud-lb-controller"]);
}
