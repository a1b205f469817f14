//! Another cluster of the same name in another VPC of the account.

use std::sync::Arc;

use cloud_provider::testing::{a_service_named, request};
use cloud_provider::{CloudLoadBalancer, Ingress};
use provider_aws::client::fake::{Fault, SeededVpc};
use provider_aws::client::{Aws, Call, RuleSource, SharingOptions};
use provider_aws::{AwsConfig, AwsProvider};

use crate::fixture::{Cluster, a_cluster, a_cluster_with, group, nodes_of, web};
use crate::others::by_aws_lbc;

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
        theirs.id.uid = "another-uid".into();
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
async fn what_is_only_being_made_there_stays() {
    let cluster = a_cluster(2).await;
    cluster.aws.fail_always(Call::CreateLoadBalancer, Fault::before("InternalFailure"));
    cluster.ensure(&web("web").build()).await.expect_err("its groups are made, and no more");
    let before = cluster.aws.remaining();
    let (other, ..) = the_other(&cluster, false).await;
    let mut theirs = a_service_named("default", "theirs").class(AwsConfig::CLASS).build();
    theirs.id.uid = "another-uid".into();
    other.delete(&theirs.id).await.unwrap();
    let left = cluster.aws.remaining();
    assert!(before.iter().all(|one| left.contains(one)), "{before:#?} {left:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_another_controller_there_is_not_taken_over() {
    let cluster = a_cluster(2).await;
    let plain = web("web").build();
    let theirs = by_aws_lbc(&cluster, &plain, &[80]).await;
    let vpc = cluster.aws.seed_vpc(2);
    let instances = cluster.aws.seed_nodes(&vpc, 2);
    let mut config = AwsConfig::new(cluster.config.cluster.clone());
    config.vpc_id = Some(vpc.id.clone());
    config.adopt = true;
    let here = AwsProvider::new(Aws::new(cluster.aws.clone(), SharingOptions::default()), config);
    here.resume(&[]).await.unwrap();
    let before = cluster.aws.all_tags();

    // Cluster, Service and status are the same in both places: nothing but the VPC tells that it is not ours.
    let mut service = plain;
    service.published = vec![Ingress::hostname(theirs.load_balancer.dns_name.to_lowercase())];
    let _ = here.ensure(&request(&service, &nodes_of(&instances))).await;

    let arn = &theirs.load_balancer.arn;
    assert_eq!(cluster.aws.all_tags()[arn], before[arn]);
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
