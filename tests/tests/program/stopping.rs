//! How it ends: asked, told twice, or without leadership.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tests::apiserver::Matching;
use tests::cluster::Cluster;
use tests::programs::http;

use super::process::{Access, Program, with_pool};

fn leases(cluster: &Cluster) -> Api<Lease> {
    Api::namespaced(cluster.client.clone(), "kube-system")
}

async fn holder(cluster: &Cluster) -> String {
    let lease = leases(cluster).get("cloud-lb-controller").await.expect("the Lease");
    lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_makes_it_unready_first_then_releases_the_lease_and_ends_well() {
    let cluster = Cluster::with_faults().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut program = Program::start(&access, &[]);
    let address = program.address().await;
    program.until_it_says("became leader").await;
    assert_ne!(holder(&cluster).await, "");
    // The release of the Lease takes its time, so that there is a while to look.
    cluster.faults().delay(Matching::any().resource("leases"), std::time::Duration::from_secs(2));

    program.signal("TERM");

    program.until_it_says("stopping").await;
    let (code, _) = http(&address, "GET", "/readyz", "").await.expect("it still answers");
    assert_eq!(code, 503);
    assert!(!program.has_ended());
    cluster.faults().clear();
    assert_eq!(program.end().await.code(), Some(0), "{}", program.log());
    assert_eq!(holder(&cluster).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let cluster = Cluster::with_faults().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut program = Program::start(&access, &[]);
    program.until_it_says("became leader").await;
    cluster.faults().delay(Matching::any().resource("leases"), std::time::Duration::from_secs(60));
    program.signal("TERM");
    program.until_it_says("stopping").await;

    program.signal("TERM");

    assert_eq!(program.end().await.code(), Some(130), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_lease_to_somebody_else_starts_over_as_a_candidate() {
    let cluster = Cluster::start().await;
    with_pool(&cluster).await;
    let access = Access::to(&cluster.plane);
    let mut program = Program::start(&access, &[]);
    program.until_it_says("became leader").await;

    let usurped = json!({ "spec": { "holderIdentity": "somebody-else" } });
    leases(&cluster)
        .patch("cloud-lb-controller", &PatchParams::default(), &Patch::Merge(usurped))
        .await
        .expect("the Lease is taken");

    program.until_it_says("leadership was lost; starting over as a candidate").await;
    program.until_it_says("somebody-else leads").await;
    program.until_ready().await;
    assert_eq!(holder(&cluster).await, "somebody-else");
    program.signal("TERM");
    assert_eq!(program.end().await.code(), Some(0), "{}", program.log());
}
