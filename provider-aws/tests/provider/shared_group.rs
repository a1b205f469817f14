//! What all Services share, the security group that the nodes let in, is made once and taken down once, however many
//! Services come and go at the same time.

use std::time::Duration;

use cloud_provider::{CloudLoadBalancer, ServiceView};
use futures::future::join_all;
use provider_aws::client::Call;

use crate::fixture::{Cluster, a_cluster, web};

const SERVICES: usize = 20;

/// Twenty Services at once, on an AWS that takes a quarter of a second for each request.
async fn twenty_at_once() -> (Cluster, Vec<ServiceView>) {
    let cluster = a_cluster(2).await;
    cluster.aws.set_latency(Duration::from_millis(250));
    let mut services: Vec<ServiceView> = (0..SERVICES).map(|n| web(&format!("s{n}")).build()).collect();
    join_all(services.iter_mut().map(|service| cluster.ready(service))).await;
    (cluster, services)
}

#[tokio::test(start_paused = true)]
async fn twenty_services_at_once_make_the_shared_group_and_open_the_nodes_once() {
    let (cluster, _) = twenty_at_once().await;
    assert_eq!(cluster.aws.count(Call::CreateSecurityGroup), SERVICES + 1, "one for each, and one for all");
    assert_eq!(cluster.aws.count(Call::AuthorizeSecurityGroupIngress), SERVICES + 1);
}

#[tokio::test(start_paused = true)]
async fn twenty_services_that_go_at_once_take_the_shared_group_down_once() {
    let (cluster, services) = twenty_at_once().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    cluster.aws.forget_requests();
    join_all(services.iter().map(|service| cluster.provider.delete(&service.id))).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
    assert_eq!(cluster.aws.count(Call::DeleteSecurityGroup), SERVICES + 1);
    assert_eq!(cluster.aws.count(Call::RevokeSecurityGroupIngress), 1);
}
