//! What no flag says is found out once, at the start, or asked for in one line.

use serde_json::json;
use tests::aws::instance_id;
use tests::metadata::MetadataService;

use crate::fixture::Fixture;
use crate::program::{Access, Said};

/// Runs a command that needs the provider and little else, and says what it learned.
async fn run(fixture: &Fixture, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let arguments =
        [&["orphans", "--cloud-provider=aws", "--log-level=warn,cloud_lb_controller=info"], arguments]
            .concat();
    Access::to(fixture).run(&arguments, environment).await
}

/// The one line that it ended with.
#[track_caller]
fn line(said: &Said, code: i32) -> &str {
    assert_eq!(said.code, Some(code), "{said:?}");
    said.errors
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("cloud-lb-controller: "))
        .expect("a last line")
}

/// A Node of the cluster that is an instance with these tags.
async fn tagged_node(fixture: &Fixture, name: &str, tags: &[(&str, &str)]) -> String {
    let id = fixture.add_node(name).await;
    fixture.network.tag(&id, tags).await;
    id
}

#[tokio::test]
async fn the_tags_of_the_nodes_tell_the_cluster_and_their_network_the_vpc() {
    let fixture = Fixture::start().await;
    let owned = format!("kubernetes.io/cluster/{}", fixture.name);
    let id = tagged_node(&fixture, "n1", &[(&owned, "owned")]).await;
    tagged_node(&fixture, "node2", &[("eks:cluster-name", &fixture.name)]).await;
    fixture.cluster.add_node_with("odd", json!({ "spec": { "providerID": "elsewhere://machine" } })).await;

    let said = run(&fixture, &[], &[]).await;

    assert_eq!((said.code, said.output.as_str()), (Some(0), "aws: no orphans\n"), "{said:?}");
    assert!(
        said.errors.contains(&format!("the cluster's name is {}, from the instance i-", fixture.name)),
        "{said:?}"
    );
    assert!(
        said.errors.contains(&format!("the VPC is {}, from the instance i-", fixture.network.vpc)),
        "{said:?}"
    );

    fixture.network.tag(&id, &[("eks:cluster-name", "another")]).await;
    let said = run(&fixture, &[], &[]).await;
    let line = line(&said, 64);
    assert!(line.starts_with("instances tell several cluster names: another ("), "{line}");
    assert!(line.ends_with("; give --cluster-name NAME"), "{line}");

    let said = run(&fixture, &["--cluster-name", "given"], &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.errors.contains("the cluster's name is given, as configured"), "{said:?}");
}

#[tokio::test]
async fn the_instance_it_runs_on_tells_both_when_there_are_no_nodes_yet() {
    let fixture = Fixture::start().await;
    let provider_id = fixture.network.launch(0).await;
    let here = instance_id(&provider_id);
    fixture.network.tag(here, &[("eks:cluster-name", &fixture.name)]).await;
    let service = MetadataService::start(here, &fixture.network.vpc);
    let endpoint = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url.as_str());
    let enabled = [endpoint, ("AWS_EC2_METADATA_DISABLED", "false")];

    let said = run(&fixture, &[], &enabled).await;

    assert_eq!(said.code, Some(0), "{said:?}");
    let name = format!("the cluster's name is {}, from the instance {here}", fixture.name);
    let vpc = format!(
        "the VPC is {}, from the metadata of {here}, on which this process runs",
        fixture.network.vpc
    );
    assert!(said.errors.contains(&name) && said.errors.contains(&vpc), "{said:?}");

    let asked = service.asked();
    let said = run(&fixture, &[], &[endpoint, ("AWS_EC2_METADATA_DISABLED", "true")]).await;
    assert!(line(&said, 64).starts_with("no instance tells the cluster's name: "), "{said:?}");
    let all_given = ["--cluster-name=given", "--aws-vpc-id=vpc-0a"];
    assert_eq!(run(&fixture, &all_given, &enabled).await.code, Some(0));
    assert_eq!(
        service.asked(),
        asked,
        "it is asked neither when it is switched off nor when there is no question"
    );
}

#[tokio::test]
async fn a_cluster_without_a_mark_is_asked_for_in_one_line() {
    let fixture = Fixture::with_nodes(["n1"]).await;

    let said = run(&fixture, &[], &[]).await;

    let line = line(&said, 64);
    assert!(line.starts_with("no tag kubernetes.io/cluster/NAME=owned or eks:cluster-name on i-"), "{line}");
    assert!(line.ends_with(" tells the cluster's name; give --cluster-name NAME"), "{line}");
}
