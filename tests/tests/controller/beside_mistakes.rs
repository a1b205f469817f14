//! A Service that serves and has a mistake: what depends on none is carried out, and nothing takes it back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use provider_aws::client::fake::FakeAws;
use provider_aws::client::{Aws, Call, Ec2, Elbv2, RuleSource, SecurityGroupQuery, Select, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};
use serde_json::{Value, json};
use tests::cluster::{Cluster, Running, condition, eventually, quick};

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
        let (cluster, aws) = (Cluster::start().await, FakeAws::new());
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
