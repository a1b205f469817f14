//! Another cluster of the same name in another VPC of the account.

use std::sync::Arc;

use cloud_provider::CloudLoadBalancer;
use cloud_provider::testing::{a_service_named, request};
use provider_aws::client::fake::SeededVpc;
use provider_aws::client::{Aws, RuleSource, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};

use crate::fixture::{Cluster, a_cluster, a_cluster_with, group, nodes_of, web};

/// The other cluster's controller, with the instances of its nodes.
async fn the_other(cluster: &Cluster, knows_its_vpc: bool) -> (AwsProvider, SeededVpc, Vec<String>) {
    let vpc = cluster.aws.seed_vpc(2);
    let instances = cluster.aws.seed_nodes(&vpc, 2);
    let vpc_id = knows_its_vpc.then(|| vpc.id.clone());
    let mut config = AwsConfig::new(cluster.config.cluster.clone());
    config.vpc_id = vpc_id;
    let provider = AwsProvider::new(Aws::new(cluster.aws.clone(), SharingOptions::default()), config);
    provider.resume(&[]).await.unwrap();
    (provider, vpc, instances)
}

async fn lets_load_balancers_in(cluster: &Cluster, node_group: &str) -> bool {
    let ingress = group(&cluster.aws, node_group).await.ingress;
    ingress.iter().any(|rule| matches!(rule.source, RuleSource::Group(_)))
}

#[tokio::test(start_paused = true)]
async fn what_it_deletes_is_its_own() {
    for knows_its_vpc in [true, false] {
        let cluster = a_cluster(2).await;
        let mut service = web("web").build();
        cluster.ready(&mut service).await;
        let (other, vpc, instances) = the_other(&cluster, knows_its_vpc).await;
        let mut theirs = a_service_named("default", "theirs").class(AwsConfig::CLASS).build();
        theirs.id.uid = "another-uid".to_owned();
        other.delete(&theirs.id).await.unwrap();
        assert!(lets_load_balancers_in(&cluster, &cluster.vpc.node_group).await, "ours stays open");

        // The first call ends with the host name.
        for _ in 0..2 {
            other.ensure(&request(&theirs, &nodes_of(&instances))).await.unwrap();
        }
        assert_eq!(cluster.load_balancers().await.len(), 2, "it has a load balancer of its own");
        assert!(lets_load_balancers_in(&cluster, &vpc.node_group).await);
        other.delete(&theirs.id).await.unwrap();
        assert!(!lets_load_balancers_in(&cluster, &vpc.node_group).await);
        assert!(lets_load_balancers_in(&cluster, &cluster.vpc.node_group).await, "ours stays open");
        let (_, requests) = cluster.requests(cluster.ready(&mut service)).await;
        assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_lists_is_its_own() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let (other, ..) = the_other(&cluster, true).await;
    assert_eq!(other.list().await.unwrap(), []);
    let (undecided, ..) = the_other(&cluster, false).await;
    let error = undecided.list().await.expect_err("without the VPC nobody can tell").to_string();
    assert!(error.contains("VPC is not known"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_seen_no_node_takes_down_what_the_last_load_balancer_shared() {
    let mut cluster = a_cluster_with(2, |config| config.vpc_id = None).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;

    // Its Service is deleted already, so that nothing tells the new process of it but the load balancer.
    cluster.restart(&[]).await;
    cluster.deleted(&service).await;

    assert_eq!(cluster.aws.remaining(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_seen_no_node_knows_the_vpc_by_what_it_serves() {
    let mut cluster = a_cluster_with(2, |config| config.vpc_id = None).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;

    cluster.restart(&[Arc::new(service)]).await;

    assert!(!cluster.provider.list().await.expect("it can be told what is ours").is_empty());
}
