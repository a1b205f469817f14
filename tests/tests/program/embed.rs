//! The example of embedding, as a process.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tests::cluster::{Cluster, eventually, until};

use super::process::{Access, Program, command, read};

const LEASE: &str = "wildcard-controller-manager";

#[tokio::test(flavor = "multi_thread")]
async fn the_example_serves_its_class_and_ends_well() {
    let cluster = Cluster::start().await;
    let access = Access::to(&cluster.plane);
    let mut example = command("examples/embed");
    example.env("KUBECONFIG", access.kubeconfig());
    let mut program = Program::spawn(example);
    cluster.create_with("web", json!({ "spec": { "loadBalancerClass": "example.com/wildcard" } })).await;
    let name = format!("web.{}.lb.example.com", cluster.namespace);
    assert_eq!(cluster.until_published("web").await, [name]);

    program.signal("INT");

    assert!(program.end().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_of_one_identity_one_leads_and_the_others_wait_until_its_lease_is_over() {
    let cluster = Cluster::with_faults().await;
    let access = Access::to(&cluster.plane);
    let start = || {
        let mut example = command("examples/embed");
        example.env("KUBECONFIG", access.kubeconfig()).env("POD_NAME", "wildcard-0");
        Program::spawn(example)
    };
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "kube-system");
    // Of a namesake that crashed a moment ago.
    let now = MicroTime(jiff::Timestamp::now());
    let namesakes = Lease {
        metadata: ObjectMeta { name: Some(LEASE.into()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some("wildcard-0".into()),
            lease_duration_seconds: Some(1),
            lease_transitions: Some(0),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    };
    leases.create(&PostParams::default(), &namesakes).await.expect("a Lease");
    let led_for_the = |n: i32| {
        let leases = leases.clone();
        async move {
            let terms = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
            until(leases, LEASE, "to be acquired anew", |lease| lease.and_then(terms) == Some(n)).await;
        }
    };

    let mut first = start();
    led_for_the(1).await;
    let began = |request: &tests::apiserver::Request| request.group == "events.k8s.io" && request.is_write();
    eventually("the first says that it leads", || cluster.requests().count(began) == 1).await;
    cluster.requests().clear();
    let mut second = start();
    let looks = |request: &tests::apiserver::Request| request.resource == "leases" && request.verb == "get";
    // The first renews from memory: whoever reads the Lease is the second.
    eventually("the second looks again", || cluster.requests().count(looks) >= 2).await;
    assert_eq!(cluster.requests().count(began), 0, "nobody else began to lead");

    first.signal("TERM");
    assert!(first.end().await.success());
    led_for_the(2).await;
    cluster.create_with("web", json!({ "spec": { "loadBalancerClass": "example.com/wildcard" } })).await;
    cluster.until_published("web").await;

    second.signal("TERM");
    assert!(second.end().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_ends_in_failure_when_somebody_else_has_taken_its_lease() {
    let cluster = Cluster::start().await;
    let access = Access::to(&cluster.plane);
    let mut example = command("examples/embed");
    example.env("KUBECONFIG", access.kubeconfig());
    let mut program = Program::spawn(example);
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "kube-system");
    let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
    until(leases.clone(), LEASE, "to be held", |lease| lease.and_then(holder).is_some()).await;

    let theirs = Patch::Merge(json!({ "spec": { "holderIdentity": "another" } }));
    leases.patch(LEASE, &PatchParams::default(), &theirs).await.expect("the Lease is there");

    assert!(!program.end().await.success());
    program.until_it_says("LostLeadership").await;
}

#[test]
fn the_example_is_under_60_lines_of_code_after_its_imports() {
    let source = read("controller/examples/embed.rs");
    let (_, code) = source.split_once("struct Wildcard").expect("the provider");
    assert!(code.lines().filter(|line| !line.trim().is_empty()).count() < 60);
}
