//! The program before an emulator that a proxy makes as strict as AWS is: one resource to tag and one certificate a
//! request.

use serde_json::json;
use tests::aws::{Endpoint, NOTHING, StrictAws};
use tests::cluster::eventually;

use crate::fixture::Fixture;
use crate::program::{Access, NAMESPACE, Program, run_kubectl};

const REGION: &str = "eu-west-1";

/// Certificates of IAM's, which the emulator takes for granted.
fn certificates(names: &[&str]) -> String {
    let arn = |name: &&str| format!("arn:aws:iam::123456789012:server-certificate/{name}");
    names.iter().map(arn).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn the_program_tags_one_resource_and_adds_one_certificate_a_request() {
    let emulator = Endpoint::start_in(REGION).await;
    let strict = StrictAws::before(&emulator.url).await;
    let fixture = Fixture::at(Endpoint::at(strict.url(), REGION).await).await;
    fixture.add_node("n1").await;
    let access = Access::to(&fixture);
    run_kubectl(&access, &["apply", "-f", "-"], NAMESPACE).await;
    let mut program = Program::start(&access).await;

    let annotations = |certificates: &str, tags: &str| {
        json!({ "metadata": { "annotations": {
            "service.beta.kubernetes.io/aws-load-balancer-ssl-cert": certificates,
            "service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags": tags,
        } } })
    };
    fixture.create("tls", annotations(&certificates(&["a", "b", "c"]), "team=edge")).await;
    let balancer = fixture.served("tls").await;
    assert_eq!(balancer.ports(), ["TLS:80"]);
    assert_eq!(strict.count("AddListenerCertificates"), 2);
    assert!(balancer.arn.contains("loadbalancer/net/"), "{balancer:#?}");

    fixture.cluster.change("tls", annotations(&certificates(&["a", "d", "e"]), "team=core,stage=live")).await;
    fixture.until("the new tags", |lb| lb.tags.contains(&("stage".to_owned(), "live".to_owned()))).await;
    let exchanged = || strict.count("RemoveListenerCertificates") == 2;
    eventually("two certificates are taken off, one a request", exchanged).await;
    assert_eq!(strict.count("AddListenerCertificates"), 4);

    fixture.cluster.delete("tls").await;
    fixture.cluster.until_gone("tls").await;
    assert_eq!(fixture.network.leftovers().await, NOTHING);
    assert_eq!(strict.refused(), NOTHING);
    assert!(program.stop().await.success(), "{}", program.log());
}
