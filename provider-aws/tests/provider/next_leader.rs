//! What the next leader knows without asking for it.

use std::sync::Arc;

use std::time::Duration;

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, ErrorClass, Ingress, Mistake, Outcome, Request, ServiceView};
use provider_aws::client::fake::Fault;
use provider_aws::client::{
    Call, CreateTargetGroup, Elbv2, Protocol, Select, Tags, TargetFamily, TargetType,
};

use crate::fixture::{Cluster, PREFIX, a_cluster, a_cluster_with, nodes_of, web};
use crate::others::{a_health_check, by_cloud_provider};

#[tokio::test(start_paused = true)]
async fn what_a_load_balancer_uses_is_listed_with_it_without_a_look_at_its_tags() {
    let mut cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let listed = async |cluster: &Cluster| -> Vec<String> {
        let owned = cluster.provider.list().await.unwrap();
        assert!(owned.iter().all(|one| one.service == service.id), "{owned:?}");
        let mut resources: Vec<String> = owned.into_iter().map(|one| one.resource).collect();
        resources.sort();
        resources
    };
    let by_tags = listed(&cluster).await;
    assert!(by_tags.iter().any(|arn| arn.contains("targetgroup/")), "{by_tags:?}");
    cluster.restart(&[]).await;
    let before = cluster.aws.count(Call::DescribeTags);
    assert_eq!(listed(&cluster).await, by_tags);
    assert_eq!(cluster.aws.count(Call::DescribeTags), before, "they are the load balancer's");
}

#[tokio::test(start_paused = true)]
async fn a_target_group_of_the_users_own_behind_our_listener_stays_theirs_for_the_next_leader() {
    let mut cluster = a_cluster(2).await;
    let theirs = CreateTargetGroup {
        name: "k8s-theirs".to_owned(),
        protocol: Protocol::Tcp,
        port: 31000,
        vpc_id: cluster.vpc.id.clone(),
        target_type: TargetType::Instance,
        family: TargetFamily::Ipv4,
        health_check: a_health_check(10),
        tags: Tags::new(),
    };
    let theirs = cluster.aws.seed_target_group(&theirs).await.unwrap().arn;
    let action = format!(
        r#"{{"type":"forward","forwardConfig":{{"baseServiceWeight":1,"targetGroups":[{{"targetGroupARN":"{theirs}","weight":1}}]}}}}"#
    );
    let mut service = web("web").annotation("service.beta.kubernetes.io/actions.TCP-80", &action).build();
    cluster.ready(&mut service).await;
    cluster.restart(&[Arc::new(service.clone())]).await;
    let listed = cluster.provider.list().await.unwrap();
    assert!(listed.iter().all(|one| one.resource != theirs), "{listed:?}");

    let (outcome, requests) = cluster.requests(cluster.ensure(&service)).await;
    assert!(matches!(outcome, Ok(Outcome::Ready(_))), "{outcome:?}");
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    cluster.deleted(&service).await;
    let left = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items;
    assert_eq!(left.iter().map(|tg| &tg.arn).collect::<Vec<_>>(), [&theirs]);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_join_after_a_leader_change_are_registered_without_a_look_at_tags_or_targets() {
    let mut cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    cluster.restart(&[Arc::new(service.clone())]).await;
    cluster.ensure(&service).await.unwrap();
    let mut ids = cluster.instances.clone();
    ids.extend(cluster.aws.seed_nodes(&cluster.vpc, 1));
    let update = request(&service, &nodes_of(&ids));
    let (result, requests) = cluster.requests(cluster.provider.update_backends(&update)).await;
    result.unwrap();
    assert_eq!(cluster.targets().await.len(), 3);
    assert!(requests.contains(&Call::RegisterTargets), "{requests:?}");
    let needless = [Call::DescribeTags, Call::DescribeTargetHealth];
    assert!(requests.iter().all(|call| !needless.contains(call)), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn target_groups_that_were_taken_over_with_their_names_are_known_to_the_next_leader() {
    let mut cluster = a_cluster_with(2, |config| config.adopt = true).await;
    let mut service = web("web").build();
    let host = by_cloud_provider(&cluster, &service).await;
    service.published = vec![Ingress::hostname(host.to_lowercase())];
    tokio::time::advance(cluster.config.snapshot_age * 2).await;
    cluster.ready(&mut service).await;
    assert_eq!(cluster.load_balancer().await.dns_name, host, "it was taken over");

    cluster.restart(&[Arc::new(service.clone())]).await;
    let (outcome, requests) = cluster.requests(cluster.ensure(&service)).await;
    assert!(matches!(outcome, Ok(Outcome::Ready(_))), "{outcome:?}");
    assert!(
        !requests.contains(&Call::DescribeListeners),
        "their tags tell, and no more is read: {requests:?}"
    );

    cluster.restart(&[Arc::new(service.clone())]).await;
    let mut ids = cluster.instances.clone();
    ids.extend(cluster.aws.seed_nodes(&cluster.vpc, 1));
    cluster.provider.update_backends(&request(&service, &nodes_of(&ids))).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 3);
}

/// A Service without a mistake, one with a mistake that leaves its nodes to be told, and one whose ports could not be read.
fn with_and_without_mistakes(plain: &ServiceView) -> [ServiceView; 3] {
    let (mut of_an_annotation, mut of_the_view) = (plain.clone(), plain.clone());
    of_an_annotation.annotations.insert(format!("{PREFIX}attributes"), "oops".to_owned());
    of_the_view.mistakes.push(Mistake::new("spec.loadBalancerSourceRanges[0]", "everybody", "is no network"));
    [plain.clone(), of_an_annotation, of_the_view]
}

fn may_be_mistaken(service: &ServiceView, nodes: &cloud_provider::NodeSet) -> Request {
    Request::with_mistakes(Arc::new(service.clone()), nodes.clone())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_went_and_came_back_while_the_leader_changed_serves() {
    let mut cluster = a_cluster(2).await;
    let mut plain = web("web").build();
    cluster.ready(&mut plain).await;
    for service in with_and_without_mistakes(&plain) {
        let one = nodes_of(&cluster.instances[..1]);
        cluster.provider.update_backends(&may_be_mistaken(&service, &one)).await.unwrap();
        assert_eq!(cluster.targets().await.len(), 1);
        cluster.restart(&[Arc::new(plain.clone())]).await;
        cluster.ready(&mut plain).await;
        assert_eq!(cluster.targets().await.len(), 2, "{:?}", service.annotations);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_came_and_went_while_the_leader_changed_is_no_target() {
    let mut cluster = a_cluster(3).await;
    let two = nodes_of(&cluster.instances[..2]);
    let mut service = web("web").build();
    cluster.ready_on(&mut service, &two).await;
    cluster.provider.update_backends(&cluster.request(&service)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 3);
    cluster.restart(&[Arc::new(service.clone())]).await;
    cluster.ready_on(&mut service, &two).await;
    assert_eq!(cluster.targets().await.len(), 2);
}

/// By whichever call the targets follow, and wherever it is cut short.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_targets_change_leaves_no_note_that_the_next_one_would_believe() {
    for ensures in [false, true] {
        for (call, fault) in [Call::AddTags, Call::RegisterTargets, Call::DeregisterTargets]
            .into_iter()
            .flat_map(|call| [Fault::HangBefore, Fault::HangAfter].map(|fault| (call, fault)))
        {
            let mut cluster = a_cluster(3).await;
            let first = nodes_of(&cluster.instances[..2]);
            let others = nodes_of(&cluster.instances[1..]);
            let mut service = web("web").build();
            cluster.ready_on(&mut service, &first).await;
            let has = cluster.targets().await;
            cluster.aws.fail_nth(call, 1, fault.clone());
            let changed = request(&service, &others);
            let deadline = Duration::from_secs(60);
            let act = async {
                match ensures {
                    true => cluster.provider.ensure(&changed).await.map(drop),
                    false => cluster.provider.update_backends(&changed).await,
                }
            };
            tokio::time::timeout(deadline, act).await.expect_err("it dies");
            cluster.aws.heal();
            cluster.restart(&[Arc::new(service.clone())]).await;
            cluster.ready_on(&mut service, &first).await;
            assert_eq!(cluster.targets().await, has, "by ensure: {ensures}, {call:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_note_of_the_targets_cannot_be_taken_off_no_target_changes() {
    for (code, class) in [("AccessDenied", ErrorClass::Denied), ("InternalFailure", ErrorClass::Transient)] {
        let mut cluster = a_cluster(2).await;
        let mut service = web("web").build();
        cluster.ready(&mut service).await;
        let one = nodes_of(&cluster.instances[..1]);
        cluster.aws.fail_always(Call::AddTags, Fault::before(code));
        let update = request(&service, &one);
        let error = cluster.provider.update_backends(&update).await.expect_err("it stays on");
        assert_eq!(error.class(), class, "{error}");
        assert_eq!(cluster.targets().await.len(), 2);

        cluster.aws.heal();
        cluster.provider.update_backends(&update).await.unwrap();
        assert_eq!(cluster.targets().await.len(), 1);
        cluster.restart(&[Arc::new(service.clone())]).await;
        cluster.ready(&mut service).await;
        assert_eq!(cluster.targets().await.len(), 2);
    }
}
