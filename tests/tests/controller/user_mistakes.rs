//! A user's mistake: told plainly, and nothing that serves is touched.

use std::sync::Arc;
use std::time::Duration;

use cloud_provider::testing::{Calls, MemoryCloud, Method, NODE_LABELS, Point, Settings};
use cloud_provider::{ErrorClass, SourceRanges};
use provider_aws::client::fake::{FakeAws, InstanceSeed, SeededVpc};
use provider_aws::client::{Aws, Ec2, SecurityGroupQuery, SharingOptions, Tags};
use provider_aws::{AwsConfig, AwsProvider};
use serde_json::json;
use tests::cluster::{Cluster, DEADLINE, addresses, condition, eventually, has_finalizer, quick};

const RANGES: &str = cloud_provider::SOURCE_RANGES_ANNOTATION;

/// Puts source ranges on a Service that today's servers refuse and older ones stored.
fn store_ranges(cluster: &Cluster, name: &str, ranges: &str) {
    cluster.double().store_unchecked(&cluster.namespace, name, |service| {
        service["metadata"]["annotations"][RANGES] = ranges.into();
    });
}

#[tokio::test]
async fn todays_servers_refuse_such_ranges_at_the_door() {
    let cluster = Cluster::start().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "annotations": { RANGES: "office" } },
        "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] },
    });
    let service = serde_json::from_value(service).unwrap();
    match cluster.services().create(&Default::default(), &service).await {
        Err(kube::Error::Api(refusal)) => assert!(refusal.message.contains(RANGES), "{}", refusal.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn source_ranges_that_do_not_parse_open_nothing() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.create("web").await;
    store_ranges(&cluster, "web", "10.0.0.0/8, office");

    let running = cluster.run(cloud.provider());

    let told = cluster.until_event("web", "SyncLoadBalancerFailed").await;
    for part in [RANGES, "office", "allowed: ", "10.0.0.0/8", "nothing is opened"] {
        assert!(told.contains(part), "{part:?} is missing in {told:?}");
    }
    let service = cluster
        .until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid"))
        .await;
    assert_eq!(addresses(&service), Vec::<String>::new());
    assert!(cloud.is_empty(), "nothing was made");
    running.stop().await;
}

#[tokio::test]
async fn a_mistake_in_a_service_that_serves_changes_nothing_but_the_condition() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create_with("web", json!({ "metadata": { "annotations": { RANGES: "10.0.0.0/8" } } })).await;
    let shown = cluster.until_published("web").await;
    let before = cloud.load_balancer_of(&cluster.key("web")).unwrap();

    store_ranges(&cluster, "web", "everybody");
    let service = cluster
        .until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid"))
        .await;

    assert_eq!(addresses(&service), shown);
    assert_eq!(cloud.load_balancer_of(&cluster.key("web")), Some(before));
    let firewall = cloud.firewalls().into_values().next().expect("it is still guarded");
    assert!(matches!(firewall.lets_through, SourceRanges::Only(_)), "it was opened wider");

    // It still follows the nodes, as it was when it had no mistake.
    cluster.add_node("n2").await;
    eventually("the new node is a target", || {
        cloud.load_balancer_of(&cluster.key("web")).is_some_and(|it| it.forwarding.nodes.len() == 2)
    })
    .await;

    cluster.change("web", json!({ "metadata": { "annotations": { RANGES: "11.0.0.0/8" } } })).await;
    cluster.until("web", "to be well again", |s| condition(s, "memory").is_some_and(|c| c.0 == "True")).await;
    running.stop().await;
}

#[tokio::test]
async fn a_mistake_that_is_taken_back_is_forgotten() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    store_ranges(&cluster, "web", "*");
    cluster.until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid")).await;

    cluster.change("web", json!({ "metadata": { "annotations": { RANGES: null } } })).await;

    cluster.until("web", "to be well again", |s| condition(s, "memory").is_some_and(|c| c.0 == "True")).await;
    running.stop().await;
}

#[tokio::test]
async fn one_services_mistake_is_nobody_elses() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.create("wrong").await;
    store_ranges(&cluster, "wrong", "*");
    let running = cluster.run(cloud.provider());
    cluster.until("wrong", "to be refused", |s| condition(s, "memory").is_some()).await;
    cluster.create("right").await;
    cluster.until_published("right").await;
    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("wrong")), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_service_with_a_mistake_can_be_deleted() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    store_ranges(&cluster, "web", "*");
    cluster.until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid")).await;

    cluster.delete("web").await;

    cluster.until_gone("web").await;
    assert!(cloud.is_empty());
    running.stop().await;
}

async fn until_refused(cluster: &Cluster) {
    cluster.until("web", "to be refused", |s| condition(s, "memory").is_some_and(|c| c.1 == "Invalid")).await;
}

async fn until_nodes(cloud: &MemoryCloud, cluster: &Cluster, expected: &[&str]) {
    let nodes = || cloud.load_balancer_of(&cluster.key("web")).expect("it exists").forwarding.nodes;
    eventually(&format!("the nodes are {expected:?}"), || nodes() == expected).await;
}

/// A Service serves and gets a mistake. A node joins and one leaves, also while no process runs and in the next one. All
/// else stays as it is, and the user still reads what is wrong.
async fn nodes_are_followed_in_spite_of(mistake: impl AsyncFnOnce(&Cluster, &MemoryCloud)) {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    let shown = cluster.until_published("web").await;
    let before = cloud.load_balancer_of(&cluster.key("web")).unwrap();
    mistake(&cluster, &cloud).await;
    until_refused(&cluster).await;

    cluster.add_node("n2").await;
    until_nodes(&cloud, &cluster, &["n1", "n2"]).await;
    cluster.nodes().delete("n1", &Default::default()).await.unwrap();
    until_nodes(&cloud, &cluster, &["n2"]).await;
    running.crash().await;

    cluster.add_node("n3").await;
    cluster.nodes().delete("n2", &Default::default()).await.unwrap();
    let running = cluster.run(cloud.provider());
    until_nodes(&cloud, &cluster, &["n3"]).await;
    cluster.add_node("n4").await;
    until_nodes(&cloud, &cluster, &["n3", "n4"]).await;
    running.stop().await;

    let after = cloud.load_balancer_of(&cluster.key("web")).unwrap();
    assert_eq!(after.forwarding.ports, before.forwarding.ports);
    let firewall = cloud.firewalls().into_values().next().expect("it is still guarded");
    assert_eq!(firewall.lets_through, SourceRanges::Unset);
    assert_eq!(addresses(&cluster.service("web").await), shown);
    until_refused(&cluster).await;
}

#[tokio::test]
async fn a_service_that_gets_a_mistake_follows_its_nodes_in_this_process_and_the_next() {
    nodes_are_followed_in_spite_of(async |cluster, _| store_ranges(cluster, "web", "everybody")).await;
}

#[tokio::test]
async fn a_service_whose_change_is_refused_follows_its_nodes_in_this_process_and_the_next() {
    nodes_are_followed_in_spite_of(async |cluster, cloud| {
        cloud.fail(Calls::of(Method::Ensure), Point::Before, ErrorClass::Invalid);
        cluster.change("web", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
    })
    .await;
}

/// A Service serves and gets a mistake, and a new process begins; then somebody wipes what the Service says of what serves.
/// So it is with something outside the cluster, which can be asked, and without.
async fn what_serves_is_told_in_spite_of(mistake: impl AsyncFn(&Cluster, &MemoryCloud)) {
    for holds_resources in [true, false] {
        let cluster = Cluster::with_faults().await;
        let cloud = MemoryCloud::with(Settings::with(|it| it.holds_resources = holds_resources));
        cluster.add_node("n1").await;
        let running = cluster.run(cloud.provider());
        cluster.create("web").await;
        let shown = cluster.until_published("web").await;
        mistake(&cluster, &cloud).await;
        until_refused(&cluster).await;
        running.crash().await;
        let running = cluster.run(cloud.provider());
        cluster.add_node("n2").await;
        until_nodes(&cloud, &cluster, &["n1", "n2"]).await;

        let nothing =
            json!({ "metadata": { "finalizers": null }, "status": { "loadBalancer": { "ingress": null } } });
        cluster.change_status("web", nothing).await;

        let told = |service: &_| addresses(service) == shown && has_finalizer(service) == holds_resources;
        cluster.until("web", "to show what serves, and to be held", told).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn what_serves_is_told_by_the_next_process_too_while_its_service_has_a_mistake() {
    what_serves_is_told_in_spite_of(async |cluster, _| store_ranges(cluster, "web", "everybody")).await;
}

#[tokio::test]
async fn what_serves_is_told_by_the_next_process_too_while_a_change_is_refused() {
    what_serves_is_told_in_spite_of(async |cluster, cloud| {
        cloud.fail(Calls::of(Method::Ensure), Point::Before, ErrorClass::Invalid);
        cluster.change("web", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
    })
    .await;
}

/// A Service serves and gets a mistake; then no process runs, and somebody wipes all that its status says.
async fn a_wiped_status_is_restored_in_spite_of(mistake: impl AsyncFnOnce(&Cluster, &MemoryCloud)) {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    let shown = cluster.until_published("web").await;
    mistake(&cluster, &cloud).await;
    until_refused(&cluster).await;
    running.crash().await;
    let nothing = json!({ "status": { "loadBalancer": { "ingress": null }, "conditions": null } });
    cluster.change_status("web", nothing).await;
    // What exists cannot be asked for at once.
    cloud.fail(Calls::next(Method::Get), Point::Before, ErrorClass::Transient);
    cluster.add_node("n2").await;

    let running = cluster.run(cloud.provider());

    cluster.until("web", "to show what serves", |service| addresses(service) == shown).await;
    until_refused(&cluster).await;
    until_nodes(&cloud, &cluster, &["n1", "n2"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_status_that_is_wiped_while_no_process_runs_is_restored_though_its_service_has_a_mistake() {
    a_wiped_status_is_restored_in_spite_of(async |cluster, _| store_ranges(cluster, "web", "everybody"))
        .await;
}

#[tokio::test]
async fn a_status_that_is_wiped_while_no_process_runs_is_restored_though_a_change_is_refused() {
    a_wiped_status_is_restored_in_spite_of(async |cluster, cloud| {
        cloud.fail(Calls::of(Method::Ensure), Point::Before, ErrorClass::Invalid);
        cluster.change("web", json!({ "spec": { "ports": [{ "port": 81 }] } })).await;
    })
    .await;
}

#[tokio::test]
async fn nodes_that_somebody_takes_off_are_put_back_by_the_next_process_too_while_its_service_has_a_mistake()
{
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let mut config = quick();
    config.resync_interval = Duration::from_millis(200);
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    store_ranges(&cluster, "web", "everybody");
    until_refused(&cluster).await;
    running.crash().await;
    let running = cluster.run_with(vec![cloud.provider()], config);
    eventually("the next process has led it to its nodes", || {
        cloud.count_about(Method::UpdateBackends, &cluster.key("web")) > 0
    })
    .await;

    for _ in 0..2 {
        cloud.take_nodes_off(&cluster.key("web"));
        until_nodes(&cloud, &cluster, &["n1"]).await;
    }

    assert_eq!(cloud.count_about(Method::Ensure, &cluster.key("web")), 1, "nothing else is touched");
    let news = cluster.events("web").await;
    assert!(news.iter().all(|(_, reason, ..)| reason != "UpdatedLoadBalancer"), "{news:?}");
    running.stop().await;
}

/// A node of an instance whose security group is another one than the others', and the id of that group.
async fn add_node_of_another_group(cluster: &Cluster, aws: &FakeAws, vpc: &SeededVpc, name: &str) -> String {
    let group = aws.seed_security_group(&vpc.id, name, Tags::new(), Vec::new());
    let instance = aws.seed_instance(InstanceSeed {
        subnet_id: vpc.private[0].clone(),
        security_groups: vec![group.clone()],
        instance_type: "m7g.large".to_owned(),
        tags: Tags::new(),
    });
    let provider_id = format!("aws:///us-east-1a/{instance}");
    cluster.add_node_with(name, json!({ "spec": { "providerID": provider_id } })).await;
    group
}

async fn until_open(aws: &FakeAws, group: &str) {
    let query = SecurityGroupQuery { ids: vec![group.to_owned()], ..SecurityGroupQuery::default() };
    let look = async {
        loop {
            let found = aws.describe_security_groups(&query, None).await.expect("it is there").items;
            if found.iter().any(|group| !group.ingress.is_empty()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.expect("the nodes let the load balancer in");
}

#[tokio::test]
async fn at_aws_new_nodes_let_a_service_with_a_mistake_in_by_this_process_and_the_next() {
    let (cluster, aws) = (Cluster::with_faults().await, FakeAws::new());
    let vpc = aws.seed_vpc(3);
    let provider = || {
        let mut config = AwsConfig::new("prod");
        config.vpc_id = Some(vpc.id.clone());
        Arc::new(AwsProvider::new(Aws::new(aws.clone(), SharingOptions::default()), config))
    };
    let instance = aws.seed_nodes(&vpc, 1).remove(0);
    let provider_id = format!("aws:///us-east-1a/{instance}");
    cluster.add_node_with("n1", json!({ "spec": { "providerID": provider_id } })).await;
    let running = cluster.run(provider());
    cluster.create_with("web", json!({ "spec": { "loadBalancerClass": AwsConfig::CLASS } })).await;
    cluster.until_published("web").await;
    store_ranges(&cluster, "web", "everybody");
    let is_refused = |s: &_| condition(s, "aws").is_some_and(|c| c.1 == "Invalid");
    cluster.until("web", "to be refused", is_refused).await;

    let group = add_node_of_another_group(&cluster, &aws, &vpc, "n2").await;
    until_open(&aws, &group).await;
    running.crash().await;
    let running = cluster.run(provider());
    let group = add_node_of_another_group(&cluster, &aws, &vpc, "n3").await;
    until_open(&aws, &group).await;

    cluster.until("web", "to be refused", is_refused).await;
    running.stop().await;
}

/// A Service serves and gets a mistake; then somebody deletes behind our back what serves.
async fn drift_is_repaired_in_spite_of(mistake: impl AsyncFnOnce(&Cluster, &MemoryCloud)) {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    let mut config = quick();
    config.resync_interval = Duration::from_millis(200);
    let running = cluster.run_with(vec![cloud.provider()], config);
    cluster.create("web").await;
    cluster.until_published("web").await;
    let ports = || cloud.load_balancer_of(&cluster.key("web")).map(|it| it.forwarding.ports);
    let before = ports().unwrap();
    mistake(&cluster, &cloud).await;
    until_refused(&cluster).await;
    let told = cluster.service("web").await;

    for _ in 0..2 {
        cloud.vandalise(&cluster.key("web"));
        eventually("it serves again as it did", || ports().as_ref() == Some(&before)).await;
    }

    let firewall = cloud.firewalls().into_values().next().expect("it is guarded again");
    assert_eq!(firewall.lets_through, SourceRanges::Unset);
    let made = cloud.load_balancer_of(&cluster.key("web")).expect("it is there").published.to_string();
    let service =
        cluster.until("web", "to show the address of now", |s| addresses(s) == [made.as_str()]).await;
    assert_eq!(condition(&service, "memory"), condition(&told, "memory"), "the mistake is told as before");
    running.stop().await;
}

#[tokio::test]
async fn what_serves_is_repaired_while_its_service_has_a_mistake() {
    drift_is_repaired_in_spite_of(async |cluster, _| store_ranges(cluster, "web", "everybody")).await;
}

#[tokio::test]
async fn what_serves_is_repaired_while_a_change_is_refused() {
    drift_is_repaired_in_spite_of(async |cluster, _| {
        // No way through a node, which the provider refuses.
        cluster.double().store_unchecked(&cluster.namespace, "web", |service| {
            service["spec"]["ports"] = json!([{ "port": 81, "protocol": "TCP", "targetPort": 81 }]);
        });
    })
    .await;
}

#[tokio::test]
async fn a_wake_up_repairs_what_serves_while_its_service_has_a_mistake() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    cluster.until_published("web").await;
    store_ranges(&cluster, "web", "everybody");
    until_refused(&cluster).await;

    cloud.vandalise(&cluster.key("web"));
    cloud.wake(&cluster.key("web"));

    eventually("it serves again", || cloud.load_balancer_of(&cluster.key("web")).is_some()).await;
    until_refused(&cluster).await;
    running.stop().await;
}

#[tokio::test]
async fn while_a_service_has_a_mistake_its_nodes_are_chosen_as_when_it_had_none() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    let gpu = |value| json!({ "metadata": { "labels": { "gpu": value } } });
    for name in ["n1", "n2"] {
        cluster.add_node(name).await;
    }
    cluster.change_node("n1", gpu("yes")).await;
    let running = cluster.run(cloud.provider());
    cluster.create_with("web", json!({ "metadata": { "annotations": { NODE_LABELS: "gpu=yes" } } })).await;
    cluster.until_published("web").await;
    until_nodes(&cloud, &cluster, &["n1"]).await;

    cluster.double().store_unchecked(&cluster.namespace, "web", |service| {
        service["metadata"]["annotations"] = json!({ RANGES: "everybody" });
    });
    until_refused(&cluster).await;
    cluster.change_node("n2", gpu("yes")).await;
    until_nodes(&cloud, &cluster, &["n1", "n2"]).await;
    cluster.change_node("n1", gpu("no")).await;
    until_nodes(&cloud, &cluster, &["n2"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_was_refused_from_the_start_has_no_nodes_to_follow() {
    let (cluster, cloud) = (Cluster::with_faults().await, MemoryCloud::new());
    cluster.add_node("n1").await;
    cluster.create("web").await;
    store_ranges(&cluster, "web", "everybody");
    let running = cluster.run(cloud.provider());
    until_refused(&cluster).await;
    cluster.create("other").await;
    cluster.until_published("other").await;

    cluster.add_node("n2").await;
    let told = || cloud.count_about(Method::UpdateBackends, &cluster.key("other")) == 1;
    eventually("who serves is told of the node", told).await;
    assert_eq!(cloud.count_about(Method::UpdateBackends, &cluster.key("web")), 0);
    running.stop().await;
}
