//! A Service that serves and has a mistake: what depends on none is carried out, and nothing takes it back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cloud_provider::ErrorClass;
use cloud_provider::testing::{Calls, MemoryCloud, Method, NODE_LABELS, Point, Settings};
use provider_aws::client::fake::FakeAws;
use provider_aws::client::{Aws, Call, Ec2, Elbv2, RuleSource, SecurityGroupQuery, Select, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};
use serde_json::{Value, json};
use tests::cluster::{Cluster, Running, addresses, condition, eventually, quick};

const ATTRIBUTES: &str = "service.beta.kubernetes.io/aws-load-balancer-attributes";
const FAMILIES: &str = "service.beta.kubernetes.io/aws-load-balancer-ip-address-type";

/// A cluster with one node at AWS and a Service that serves, which few may connect to.
struct Scene {
    cluster: Cluster,
    aws: FakeAws,
    vpc: provider_aws::client::fake::SeededVpc,
}

impl Scene {
    async fn start() -> (Self, Running) {
        Self::start_in(Cluster::start().await).await
    }

    async fn start_in(cluster: Cluster) -> (Self, Running) {
        let aws = FakeAws::new();
        let vpc = aws.seed_vpc(3);
        let scene = Scene { cluster, aws, vpc };
        scene.add_node("n1").await;
        let running = scene.run();
        let ranges = json!(["10.0.0.0/8", "192.168.0.0/16"]);
        let spec = json!({ "loadBalancerClass": AwsConfig::CLASS, "loadBalancerSourceRanges": ranges });
        scene.cluster.create_with("web", json!({ "spec": spec })).await;
        let is_ensured = |s: &_| condition(s, "aws").is_some_and(|c| c.1 == "Ensured");
        scene.cluster.until("web", "to be served", is_ensured).await;
        (scene, running)
    }

    /// A process on a cluster whose objects may be changed behind the API server's back.
    async fn start_with_faults() -> (Self, Running) {
        Self::start_in(Cluster::with_faults().await).await
    }

    /// A process that compares AWS with the Service several times a second.
    fn run(&self) -> Running {
        let mut config = AwsConfig::new("prod");
        config.vpc_id = Some(self.vpc.id.clone());
        let aws = Aws::new(self.aws.clone(), SharingOptions::default());
        let mut timing = quick();
        timing.resync_interval = Duration::from_millis(200);
        self.cluster.run_with(vec![Arc::new(AwsProvider::new(aws, config))], timing)
    }

    async fn add_node(&self, name: &str) {
        let instance = self.aws.seed_nodes(&self.vpc, 1).remove(0);
        let provider_id = format!("aws:///us-east-1a/{instance}");
        self.cluster.add_node_with(name, json!({ "spec": { "providerID": provider_id } })).await;
    }

    async fn edit(&self, change: Value) {
        self.cluster.change("web", change).await;
    }

    /// Source ranges that today's servers refuse and older ones stored.
    fn store_ranges(&self, ranges: Value) {
        self.cluster.double().store_unchecked(&self.cluster.namespace, "web", |service| {
            service["spec"]["loadBalancerSourceRanges"] = ranges;
        });
    }

    async fn until_shown(&self, wanted: &[i32]) {
        self.cluster.until("web", &format!("to show {wanted:?}"), |s| shown_ports(s) == wanted).await;
    }

    async fn until_refused(&self) {
        let is_refused = |s: &_| condition(s, "aws").is_some_and(|c| c.1 == "Invalid");
        self.cluster.until("web", "to be told its mistake", is_refused).await;
    }

    /// Who may connect.
    async fn sources(&self) -> BTreeSet<String> {
        let all =
            self.aws.describe_security_groups(&SecurityGroupQuery::default(), None).await.unwrap().items;
        let frontend = all.into_iter().find(|group| group.name.contains("-web-")).expect("its group");
        let source = |source: RuleSource| match source {
            RuleSource::Ipv4(range) => range.to_string(),
            other => format!("{other:?}"),
        };
        frontend.ingress.into_iter().map(|rule| source(rule.source)).collect()
    }

    async fn until_open_to(&self, wanted: &[&str]) {
        let wanted: BTreeSet<String> = wanted.iter().map(|range| (*range).to_owned()).collect();
        let deadline = tokio::time::Instant::now() + tests::cluster::DEADLINE;
        while self.sources().await != wanted {
            assert!(tokio::time::Instant::now() < deadline, "it is open to {:?}", self.sources().await);
            tokio::task::yield_now().await;
        }
    }

    /// AWS is compared with the Service three times more, and nobody is let in meanwhile.
    async fn nobody_is_let_in_by_resyncs(&self) {
        let before = (self.aws.count(Call::DescribeListeners), self.lets_in());
        let compared = || self.aws.count(Call::DescribeListeners) >= before.0 + 3;
        eventually("AWS is compared again", compared).await;
        assert_eq!(self.lets_in(), before.1, "somebody was let in again");
    }

    fn lets_in(&self) -> usize {
        self.aws.count(Call::AuthorizeSecurityGroupIngress)
    }

    async fn targets(&self) -> usize {
        let mut targets = 0;
        for group in self.aws.describe_target_groups(&Select::All, None).await.unwrap().items {
            targets += self.aws.describe_target_health(&group.arn, &[]).await.unwrap().len();
        }
        targets
    }

    async fn until_targets(&self, wanted: usize) {
        let deadline = tokio::time::Instant::now() + tests::cluster::DEADLINE;
        while self.targets().await != wanted {
            assert!(tokio::time::Instant::now() < deadline, "there are {} targets", self.targets().await);
            tokio::task::yield_now().await;
        }
    }
}

/// The ports that a Service's status shows, in order.
fn shown_ports(service: &k8s_openapi::api::core::v1::Service) -> Vec<i32> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = status.and_then(|it| it.ingress.as_ref()).into_iter().flatten();
    entries.flat_map(|entry| entry.ports.iter().flatten()).map(|port| port.port).collect()
}

/// Ports as a spec has them.
fn ports(numbers: &[u16]) -> Value {
    let port = |number: &u16| json!({ "name": format!("p{number}"), "port": number, "targetPort": 8080 });
    numbers.iter().map(port).collect()
}

#[tokio::test]
async fn ranges_that_are_narrowed_beside_a_mistake_stay_narrowed_through_resyncs_a_worse_mistake_and_a_restart()
 {
    let (scene, running) = Scene::start().await;
    let ranges = |ranges: Value| json!({ "spec": { "loadBalancerSourceRanges": ranges } });
    let mut edit = ranges(json!(["10.0.0.0/8"]));
    edit["metadata"] = json!({ "annotations": { ATTRIBUTES: "oops" } });
    scene.edit(edit).await;
    scene.until_open_to(&["10.0.0.0/8"]).await;
    scene.until_refused().await;
    let told = scene.cluster.until_event("web", "SyncLoadBalancerFailed").await;
    assert!(told.contains(ATTRIBUTES) && told.contains("all else of the Service follows"), "{told}");
    scene.nobody_is_let_in_by_resyncs().await;

    // What was last carried out is kept right, and not what was last without a mistake.
    scene.edit(json!({ "metadata": { "annotations": { FAMILIES: "ipv5" } } })).await;
    let is_told = |s: &_| condition(s, "aws").is_some_and(|c| c.2.contains("ipv5"));
    scene.cluster.until("web", "to be told the other mistake", is_told).await;
    scene.nobody_is_let_in_by_resyncs().await;
    scene.edit(json!({ "metadata": { "annotations": { FAMILIES: null } } })).await;

    running.crash().await;
    let running = scene.run();
    scene.edit(ranges(json!(["10.1.0.0/16"]))).await;
    scene.until_open_to(&["10.1.0.0/16"]).await;
    scene.nobody_is_let_in_by_resyncs().await;

    scene.edit(json!({ "metadata": { "annotations": { ATTRIBUTES: null } } })).await;
    let is_ensured = |s: &_| condition(s, "aws").is_some_and(|c| c.1 == "Ensured");
    scene.cluster.until("web", "to be served", is_ensured).await;
    scene.until_open_to(&["10.1.0.0/16"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_port_that_came_beside_a_mistake_follows_the_nodes_by_this_process_and_the_next() {
    let (scene, running) = Scene::start().await;
    let ports = json!([
        { "name": "one", "port": 80, "targetPort": 8080 }, { "name": "two", "port": 81, "targetPort": 8081 },
    ]);
    let annotations = json!({ ATTRIBUTES: "oops" });
    scene.edit(json!({ "metadata": { "annotations": annotations }, "spec": { "ports": ports } })).await;
    scene.until_targets(2).await;
    scene.until_refused().await;
    scene.add_node("n2").await;
    scene.until_targets(4).await;
    running.crash().await;
    let running = scene.run();
    scene.add_node("n3").await;
    scene.until_targets(6).await;
    running.stop().await;
}

#[tokio::test]
async fn the_status_shows_the_ports_that_came_and_went_beside_a_mistake() {
    let (scene, running) = Scene::start().await;
    scene.until_shown(&[80]).await;
    let annotations = json!({ ATTRIBUTES: "oops" });
    let spec = json!({ "ports": ports(&[80, 81]) });
    scene.edit(json!({ "metadata": { "annotations": annotations }, "spec": spec })).await;
    scene.until_shown(&[80, 81]).await;
    scene.until_refused().await;

    scene.edit(json!({ "spec": { "ports": ports(&[81]) } })).await;
    scene.until_shown(&[81]).await;
    running.stop().await;
}

#[tokio::test]
async fn beside_ranges_that_do_not_parse_a_service_follows_all_else_in_this_process_and_the_next() {
    let (scene, running) = Scene::start_with_faults().await;
    let open_to = scene.sources().await;
    let lets_in = scene.lets_in();
    scene.store_ranges(json!(["10.0.0.0/8", "everybody"]));
    scene.until_refused().await;
    let told = scene.cluster.until_event("web", "SyncLoadBalancerFailed").await;
    assert!(told.contains("spec.loadBalancerSourceRanges[1]"), "{told}");
    assert!(told.contains("until then what it decides stays as it is"), "{told}");

    let store_ports = |numbers: &[u16]| {
        let numbers = numbers.to_vec();
        scene.cluster.double().store_unchecked(&scene.cluster.namespace, "web", move |service| {
            let ports = numbers.iter().map(|number| {
                let node_port = 30_000 + number;
                json!({ "name": format!("p{number}"), "port": number, "protocol": "TCP", "nodePort": node_port })
            });
            service["spec"]["ports"] = ports.collect();
        });
    };
    store_ports(&[80, 81]);
    scene.until_shown(&[80, 81]).await;
    scene.add_node("n2").await;
    scene.until_targets(4).await;
    running.crash().await;
    let running = scene.run();
    store_ports(&[81]);
    scene.until_shown(&[81]).await;
    scene.add_node("n3").await;
    scene.until_targets(3).await;
    assert_eq!((scene.sources().await, scene.lets_in()), (open_to, lets_in), "who may connect stays");

    scene.store_ranges(json!(["10.0.0.0/8"]));
    let is_ensured = |s: &_| condition(s, "aws").is_some_and(|c| c.1 == "Ensured");
    scene.cluster.until("web", "to be served", is_ensured).await;
    scene.until_open_to(&["10.0.0.0/8"]).await;
    running.stop().await;
}

#[tokio::test]
async fn what_was_carried_out_beside_a_mistake_is_what_the_nodes_are_chosen_by_from_then_on() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.serves_beside_mistakes = true));
    let pool = |pool: &str| json!({ "metadata": { "labels": { "pool": pool } } });
    for (name, of) in [("n1", "one"), ("n2", "two")] {
        cluster.add_node_with(name, pool(of)).await;
    }
    let running = cluster.run(cloud.provider());
    cluster.create_with("web", json!({ "metadata": { "annotations": { NODE_LABELS: "pool=one" } } })).await;
    cluster.until_published("web").await;
    let key = cluster.key("web");
    let nodes = || cloud.load_balancer_of(&key).expect("it serves").forwarding.nodes;
    eventually("it is led to the first pool", || nodes() == ["n1"]).await;

    cluster.double().store_unchecked(&cluster.namespace, "web", |service| {
        service["metadata"]["annotations"] = json!({ NODE_LABELS: "pool=two" });
        service["spec"]["loadBalancerSourceRanges"] = json!(["everybody"]);
    });
    eventually("it is led to the second pool", || nodes() == ["n2"]).await;
    let is_refused = |s: &_| condition(s, "memory").is_some_and(|c| c.1 == "Invalid");
    cluster.until("web", "to be told its mistake", is_refused).await;
    let ensured = cloud.count_about(Method::Ensure, &key);
    cluster.add_node_with("n3", pool("two")).await;
    eventually("it follows its nodes", || nodes() == ["n2", "n3"]).await;
    assert_eq!(cloud.count_about(Method::Ensure, &key), ensured, "by the narrow call");
    running.stop().await;
}

#[tokio::test]
async fn what_is_shown_stays_while_it_cannot_be_told_what_a_service_has_that_was_carried_out_in_part() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.serves_beside_mistakes = true));
    cluster.add_node("n1").await;
    let running = cluster.run(cloud.provider());
    cluster.create("web").await;
    let shown = cluster.until_published("web").await;
    cloud.fail(Calls::of(Method::Get), Point::Before, ErrorClass::Transient);
    cluster.double().store_unchecked(&cluster.namespace, "web", |service| {
        service["spec"]["loadBalancerSourceRanges"] = json!(["everybody"]);
    });
    let key = cluster.key("web");
    eventually("it is asked for again", || cloud.count_about(Method::Get, &key) > 1).await;
    assert_eq!(addresses(&cluster.service("web").await), shown);
    running.stop().await;
}

#[tokio::test]
async fn of_a_new_service_with_a_mistake_in_its_ranges_nothing_is_made() {
    let cluster = Cluster::with_faults().await;
    let cloud = MemoryCloud::with(Settings::with(|it| it.serves_beside_mistakes = true));
    cluster.create("web").await;
    cluster.double().store_unchecked(&cluster.namespace, "web", |service| {
        service["spec"]["loadBalancerSourceRanges"] = json!(["everybody"]);
    });
    let running = cluster.run(cloud.provider());
    let is_refused = |s: &_| condition(s, "memory").is_some_and(|c| c.1 == "Invalid");
    cluster.until("web", "to be told its mistake", is_refused).await;
    assert!(cloud.is_empty());
    running.stop().await;
}
