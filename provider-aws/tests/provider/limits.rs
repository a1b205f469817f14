//! What AWS takes in one request, and what it never takes back.

use cloud_provider::CloudLoadBalancer;
use cloud_provider::testing::request;
use provider_aws::client::{Call, Elbv2, HealthCheckProtocol, Select};

use crate::fixture::{Cluster, PREFIX, a_cluster, nodes_of, web};

fn key(suffix: &str) -> String {
    format!("{PREFIX}{suffix}")
}

/// A Service with this list of certificates.
fn tls(certificates: &[String]) -> cloud_provider::testing::ServiceBuilder {
    web("tls").ports([443]).annotation(&key("ssl-cert"), &certificates.join(","))
}

async fn certificates(cluster: &Cluster) -> (String, Vec<String>) {
    let lb = cluster.load_balancer().await;
    let listener = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items.remove(0);
    let all = cluster.aws.describe_listener_certificates(&listener.arn, None).await.unwrap().items;
    let (default, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(|c| c.is_default);
    others.sort_by(|a, b| a.arn.cmp(&b.arn));
    (default[0].arn.clone(), others.into_iter().map(|c| c.arn).collect())
}

#[tokio::test(start_paused = true)]
async fn three_certificates_are_added_one_a_request() {
    let cluster = a_cluster(2).await;
    let all: Vec<String> = (0..3).map(|_| cluster.aws.seed_certificate()).collect();
    cluster.ready(&mut tls(&all).build()).await;

    assert_eq!(certificates(&cluster).await, (all[0].clone(), all[1..].to_vec()));
    assert_eq!(cluster.aws.count(Call::AddListenerCertificates), 2);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_exchanged_at_the_quota_by_removing_first_and_the_default_one_stays() {
    let cluster = a_cluster(2).await;
    let mut old: Vec<String> = (0..26).map(|_| cluster.aws.seed_certificate()).collect();
    let mut service = tls(&old).build();
    cluster.ready(&mut service).await;

    // The default one and twenty of the others stay, five make room for five.
    old.truncate(21);
    old.extend((0..5).map(|_| cluster.aws.seed_certificate()));
    let mut service = tls(&old).published(service.published).build();
    cluster.ready(&mut service).await;
    let mut others = old[1..].to_vec();
    others.sort();
    assert_eq!(certificates(&cluster).await, (old[0].clone(), others));
    assert_eq!(cluster.aws.count(Call::RemoveListenerCertificates), 5);
}

#[tokio::test(start_paused = true)]
async fn a_further_certificate_that_becomes_the_default_one_is_not_taken_off() {
    let cluster = a_cluster(2).await;
    let all: Vec<String> = (0..2).map(|_| cluster.aws.seed_certificate()).collect();
    let mut service = tls(&all).build();
    cluster.ready(&mut service).await;
    let mut service = tls(&all[1..]).published(service.published).build();
    cluster.ready(&mut service).await;
    assert_eq!(certificates(&cluster).await.0, all[1]);
    assert_eq!(cluster.aws.count(Call::RemoveListenerCertificates), 0, "AWS refuses it");
    let plan = cluster.provider.plan(&cluster.request(&service)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn a_health_check_that_becomes_one_of_tcp_is_settled_though_aws_goes_on_showing_its_path() {
    let cluster = a_cluster(2).await;
    let http = [("healthcheck-protocol", "http"), ("healthcheck-path", "/live")];
    let with_http =
        http.iter().fold(web("web"), |service, (name, value)| service.annotation(&key(name), value));
    let mut service = with_http.build();
    cluster.ready(&mut service).await;
    let mut tcp = web("web").published(service.published).build();
    cluster.ready(&mut tcp).await;

    let shown =
        cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items.remove(0).health_check;
    assert_eq!((shown.protocol, shown.path.as_deref()), (HealthCheckProtocol::Tcp, Some("/live")));
    let plan = cluster.provider.plan(&cluster.request(&tcp)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
    tokio::time::advance(cluster.config.deep_verification * 2).await;
    let (_, requests) = cluster.requests(cluster.ready(&mut tcp)).await;
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn access_logs_that_nobody_asks_for_any_more_are_switched_off_and_keep_their_bucket() {
    let cluster = a_cluster(2).await;
    let logs = "access_logs.s3.enabled=true,access_logs.s3.bucket=logs,access_logs.s3.prefix=web";
    let mut service = web("web").annotation(&key("attributes"), logs).build();
    cluster.ready(&mut service).await;
    let mut plain = web("web").published(service.published).build();
    cluster.ready(&mut plain).await;

    let arn = cluster.load_balancer().await.arn;
    let attributes = cluster.aws.describe_load_balancer_attributes(&arn).await.unwrap();
    assert_eq!(
        (attributes["access_logs.s3.enabled"].as_str(), attributes["access_logs.s3.bucket"].as_str()),
        ("false", "logs")
    );
}

#[tokio::test(start_paused = true)]
async fn connections_to_unhealthy_targets_end_at_once_again_when_nobody_asks_otherwise() {
    let cluster = a_cluster(2).await;
    let ends = "target_health_state.unhealthy.connection_termination.enabled";
    let drains = "target_health_state.unhealthy.draining_interval_seconds";
    let asked = format!("{ends}=false,{drains}=60");
    let mut service = web("web").annotation(&key("target-group-attributes"), &asked).build();
    cluster.ready(&mut service).await;
    let mut plain = web("web").published(service.published).build();
    cluster.ready(&mut plain).await;

    let tg = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items.remove(0);
    assert_eq!(cluster.aws.describe_target_group_attributes(&tg.arn).await.unwrap()[ends], "true");
}

#[tokio::test(start_paused = true)]
async fn a_note_that_nobody_is_left_for_is_written_to_nobody() {
    let cluster = a_cluster(2).await;
    let (mut goes, mut stays) = (web("goes").build(), web("stays").build());
    cluster.ready(&mut goes).await;
    cluster.ready(&mut stays).await;
    let mut ids = cluster.instances.clone();
    ids.extend(cluster.aws.seed_nodes(&cluster.vpc, 1));
    cluster.provider.update_backends(&request(&goes, &nodes_of(&ids))).await.unwrap();
    cluster.deleted(&goes).await;
    let before = cluster.aws.count(Call::AddTags);
    tokio::time::advance(cluster.config.snapshot_age * 2).await;
    cluster.ready(&mut stays).await;
    assert_eq!(cluster.aws.count(Call::AddTags), before);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_come_and_go_cost_a_note_before_the_first_and_one_at_the_next_look() {
    let cluster = a_cluster(2).await;
    let mut services: Vec<_> = (0..3).map(|n| web(&format!("s{n}")).build()).collect();
    for service in &mut services {
        cluster.ready(service).await;
    }
    let mut ids = cluster.instances.clone();
    for nth in 0..4 {
        ids.extend(cluster.aws.seed_nodes(&cluster.vpc, 1));
        let before = cluster.aws.count(Call::AddTags);
        for service in &services {
            cluster.provider.update_backends(&request(service, &nodes_of(&ids))).await.unwrap();
        }
        let taken_off = if nth == 0 { services.len() } else { 0 };
        assert_eq!(cluster.aws.count(Call::AddTags) - before, taken_off, "node {nth}");
    }
    let before = cluster.aws.count(Call::AddTags);
    // One goes before its note is written; the others get theirs all the same.
    cluster.deleted(&services.remove(0)).await;
    for _ in 0..2 {
        tokio::time::advance(cluster.config.snapshot_age * 2).await;
        for service in &mut services {
            cluster.ready_on(service, &nodes_of(&ids)).await;
        }
    }
    assert_eq!(cluster.aws.count(Call::AddTags) - before, 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_nodes_that_changes_no_target_or_of_which_nothing_is_noted_costs_no_note() {
    let mut cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let one = request(&service, &nodes_of(&cluster.instances[..1]));
    let (result, requests) =
        cluster.requests(cluster.provider.update_backends(&cluster.request(&service))).await;
    result.unwrap();
    assert!(requests.iter().all(|call| !call.is_write()), "both are targets already: {requests:?}");

    cluster.provider.update_backends(&one).await.unwrap();
    // The next process knows from the shared view that nothing is noted.
    cluster.restart(&[service.clone().into()]).await;
    let (result, requests) =
        cluster.requests(cluster.provider.update_backends(&cluster.request(&service))).await;
    result.unwrap();
    let writes: Vec<Call> = requests.into_iter().filter(|call| call.is_write()).collect();
    assert_eq!(writes, [Call::RegisterTargets]);
}
