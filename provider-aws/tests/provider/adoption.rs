//! Load balancers that another controller made for the same Service: taken over in place when the operator says so,
//! and never else.

use std::collections::{BTreeMap, BTreeSet};

use cloud_provider::{CloudLoadBalancer, ErrorClass, Ingress, ServiceView};
use provider_aws::client::fake::Fault;
use provider_aws::client::{Elbv2, LoadBalancer, Scheme, Select, Tags};
use provider_aws::naming::UID_TAG;

use crate::fixture::{Cluster, PREFIX, a_cluster, a_cluster_with, group, web};
use crate::others::{Theirs, backend_group, by_aws_lbc, by_aws_lbc_in, by_cloud_provider};

/// A cluster whose operator wants load balancers to be taken over.
async fn an_adopting_cluster(nodes: usize) -> Cluster {
    a_cluster_with(nodes, |config| config.adopt = true).await
}

/// A Service whose status shows this load balancer.
fn showing(service: &ServiceView, load_balancer: &LoadBalancer) -> ServiceView {
    let mut service = service.clone();
    service.published = vec![Ingress::hostname(load_balancer.dns_name.to_lowercase())];
    service
}

/// The view of the account is old enough to be read again.
async fn look_again(cluster: &Cluster) {
    tokio::time::advance(cluster.config.snapshot_age * 2).await;
}

/// What remains is the other controller's rule on the nodes, which its shared group is the source of.
fn assert_only_the_backend_rule_is_left(cluster: &Cluster, theirs: &Theirs, when: &str) {
    let left = cluster.aws.remaining();
    assert_eq!(left.len(), 1, "{when}: {left:#?}");
    assert!(left[0].contains("rule of") && left[0].contains(&theirs.backend_group), "{when}: {left:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_the_aws_load_balancer_controller_is_taken_over_in_place() {
    let cluster = an_adopting_cluster(3).await;
    let plain = web("web").ports([80, 443]).build();
    let theirs = by_aws_lbc(&cluster, &plain, &[80, 443]).await;
    let mut service = showing(&plain, &theirs.load_balancer);
    look_again(&cluster).await;

    let (published, requests) = cluster.requests(cluster.ready(&mut service)).await;

    let lb = cluster.load_balancer().await;
    assert_eq!((&lb.arn, &lb.dns_name), (&theirs.load_balancer.arn, &theirs.load_balancer.dns_name));
    assert_eq!(published.ingress[0].hostname, Some(lb.dns_name.to_lowercase()));
    let groups = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items;
    let groups: BTreeSet<String> = groups.into_iter().map(|tg| tg.arn).collect();
    assert_eq!(groups, theirs.target_groups.iter().cloned().collect(), "no target group is made anew");
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    let listeners: BTreeSet<String> = listeners.into_iter().map(|l| l.arn).collect();
    assert_eq!(listeners, theirs.listeners.iter().cloned().collect(), "no listener is made anew");
    assert!(lb.security_groups.contains(&theirs.managed_group), "who may connect is said by the same group");
    assert!(!lb.security_groups.contains(&theirs.backend_group), "the nodes let in ours instead");
    assert_eq!(cluster.targets().await.len(), 6);
    let disturbing: Vec<_> = requests
        .iter()
        .map(|call| call.name())
        .filter(|name| {
            name.starts_with("Delete") || *name == "DeregisterTargets" || *name == "ModifyListener"
        })
        .collect();
    assert!(disturbing.is_empty(), "{disturbing:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_over_is_found_by_its_tags_and_costs_no_further_write() {
    let mut cluster = an_adopting_cluster(2).await;
    let plain = web("web").build();
    let theirs = by_aws_lbc(&cluster, &plain, &[80]).await;
    let mut service = showing(&plain, &theirs.load_balancer);
    look_again(&cluster).await;
    cluster.ready(&mut service).await;

    let ours = cluster.aws.all_tags();
    let uid = |arn: &String| ours[arn].get(UID_TAG).map(String::as_str) == Some(&*service.id.uid);
    assert!(uid(&theirs.load_balancer.arn), "{ours:#?}");
    assert!(theirs.target_groups.iter().chain(&theirs.listeners).all(uid), "{ours:#?}");
    assert_eq!(group(&cluster.aws, &theirs.managed_group).await.tags[UID_TAG], *service.id.uid);

    // By another process, which neither adopts nor knows the host name.
    cluster.config.adopt = false;
    cluster.restart(&[]).await;
    let (_, requests) = cluster.requests(cluster.ready(&mut service)).await;
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    look_again(&cluster).await;
    let (_, requests) = cluster.requests(cluster.ready(&mut service)).await;
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    let plan = cluster.provider.plan(&cluster.request(&service)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn deleting_what_was_taken_over_leaves_only_what_the_other_controller_shares() {
    let cluster = an_adopting_cluster(2).await;
    let plain = web("web").build();
    let theirs = by_aws_lbc(&cluster, &plain, &[80]).await;
    let mut service = showing(&plain, &theirs.load_balancer);
    look_again(&cluster).await;
    cluster.ready(&mut service).await;
    cluster.deleted(&service).await;
    assert_only_the_backend_rule_is_left(&cluster, &theirs, "after the deletion");
}

#[tokio::test(start_paused = true)]
async fn other_services_of_the_other_controller_are_left_alone() {
    let cluster = an_adopting_cluster(2).await;
    let (plain, other) = (web("web").build(), web("other").build());
    let theirs = by_aws_lbc(&cluster, &plain, &[80]).await;
    let stays = by_aws_lbc_in(&cluster, &other, &[81], &theirs.backend_group, Scheme::Internal).await;
    let tags_before = cluster.aws.all_tags();
    let mut service = showing(&plain, &theirs.load_balancer);
    look_again(&cluster).await;
    cluster.ready(&mut service).await;
    cluster.deleted(&service).await;
    let left = cluster.load_balancer().await;
    let mut stayed = stays.load_balancer.clone();
    stayed.state = left.state;
    assert_eq!(left, stayed);
    let tags_after = cluster.aws.all_tags();
    for arn in stays.target_groups.iter().chain([&stays.load_balancer.arn]) {
        assert_eq!(tags_after[arn], tags_before[arn]);
    }
    assert_eq!(cluster.targets().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_the_service_no_longer_has_goes_with_its_target_group() {
    let cluster = an_adopting_cluster(2).await;
    let theirs = by_aws_lbc(&cluster, &web("web").build(), &[80, 443]).await;
    let mut service = showing(&web("web").build(), &theirs.load_balancer);
    look_again(&cluster).await;
    cluster.ready(&mut service).await;
    let groups = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items;
    assert_eq!(groups.iter().map(|tg| &tg.arn).collect::<Vec<_>>(), [&theirs.target_groups[0]]);
}

#[tokio::test(start_paused = true)]
async fn a_target_group_that_a_user_made_is_not_taken_over_with_the_load_balancer() {
    let cluster = an_adopting_cluster(2).await;
    let theirs = by_aws_lbc(&cluster, &web("web").build(), &[80, 443]).await;
    let hand_made = &theirs.target_groups[1];
    let keys: Vec<String> = cluster.aws.all_tags()[hand_made].keys().cloned().collect();
    cluster.aws.remove_tags(hand_made, &keys).await.unwrap();
    let mut service = showing(&web("web").build(), &theirs.load_balancer);
    look_again(&cluster).await;
    cluster.ready(&mut service).await;
    cluster.deleted(&service).await;
    let groups = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items;
    assert_eq!(groups.iter().map(|tg| &tg.arn).collect::<Vec<_>>(), [hand_made]);
    assert!(cluster.aws.all_tags()[hand_made].is_empty());
}

/// A Service is refused for what another controller made; nothing is written, and deleting it leaves theirs.
async fn is_refused(
    cluster: &Cluster,
    service: &ServiceView,
    theirs: &Theirs,
    class: ErrorClass,
    texts: &[&str],
) {
    look_again(cluster).await;
    let before = (cluster.aws.remaining(), cluster.aws.all_tags());
    let (result, requests) = cluster.requests(cluster.ensure(service)).await;
    let error = result.expect_err("it is not to be taken over");
    assert_eq!(error.class(), class, "{error}");
    let text = error.to_string();
    for expected in texts.iter().copied().chain([theirs.load_balancer.name.as_str(), "until then"]) {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    cluster.provider.delete(&service.id).await.unwrap();
    assert_eq!((cluster.aws.remaining(), cluster.aws.all_tags()), before, "theirs stays as it is");
}

#[tokio::test(start_paused = true)]
async fn without_the_operators_word_a_load_balancer_of_the_aws_load_balancer_controller_is_refused() {
    let cluster = a_cluster(2).await;
    let plain = web("web").build();
    let theirs = by_aws_lbc(&cluster, &plain, &[80]).await;
    let service = showing(&plain, &theirs.load_balancer);
    let texts = ["the AWS Load Balancer Controller's", "made it for this Service", "adoption"];
    is_refused(&cluster, &service, &theirs, ErrorClass::Denied, &texts).await;
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_that_the_status_does_not_show_is_not_taken_over() {
    let cluster = an_adopting_cluster(2).await;
    let plain = web("web").build();
    let theirs = by_aws_lbc(&cluster, &plain, &[80]).await;
    is_refused(&cluster, &plain, &theirs, ErrorClass::Denied, &["once the Service's status shows"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_another_scheme_is_not_taken_over() {
    let cluster = an_adopting_cluster(2).await;
    let plain = web("web").annotation(&format!("{PREFIX}scheme"), "internal").build();
    let backend = backend_group(&cluster);
    let theirs = by_aws_lbc_in(&cluster, &plain, &[80], &backend, Scheme::InternetFacing).await;
    let service = showing(&plain, &theirs.load_balancer);
    let texts = ["is not the scheme of", "internet-facing until"];
    is_refused(&cluster, &service, &theirs, ErrorClass::Invalid, &texts).await;
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_another_cluster_is_not_taken_over() {
    let mut cluster = an_adopting_cluster(2).await;
    let plain = web("web").build();
    let theirs = by_aws_lbc(&cluster, &plain, &[80]).await;
    cluster.config.cluster = "test".to_owned();
    cluster.restart(&[]).await;
    let before: BTreeMap<String, Tags> = cluster.aws.all_tags();
    let mut service = showing(&plain, &theirs.load_balancer);
    cluster.ready(&mut service).await;
    assert_eq!(cluster.load_balancers().await.len(), 2);
    assert_eq!(cluster.aws.all_tags()[&theirs.load_balancer.arn], before[&theirs.load_balancer.arn]);
}

/// The process dies at its nth request; another one goes on, with adoption switched on or off meanwhile.
async fn dies_at(nth: u32, fault: Fault, ports: &[u16], adopts: bool) -> (Cluster, ServiceView, Theirs) {
    let mut cluster = an_adopting_cluster(2).await;
    let plain = web("web").ports(ports.iter().copied()).build();
    let theirs = by_aws_lbc(&cluster, &plain, ports).await;
    let service = showing(&plain, &theirs.load_balancer);
    look_again(&cluster).await;
    cluster.aws.fail_nth_request(nth, fault);
    let deadline = std::time::Duration::from_secs(60);
    let _ = tokio::time::timeout(deadline, cluster.ensure(&service)).await;
    cluster.aws.heal();
    cluster.config.adopt = adopts;
    cluster.restart(&[]).await;
    (cluster, service, theirs)
}

/// The requests that taking over a load balancer with these ports takes.
async fn requests_of_a_takeover(ports: &[u16]) -> u32 {
    let cluster = an_adopting_cluster(2).await;
    let plain = web("web").ports(ports.iter().copied()).build();
    let theirs = by_aws_lbc(&cluster, &plain, ports).await;
    look_again(&cluster).await;
    let service = showing(&plain, &theirs.load_balancer);
    let (outcome, requests) = cluster.requests(cluster.ensure(&service)).await;
    outcome.unwrap();
    u32::try_from(requests.len()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_dies_at_any_request_is_finished_by_the_next_process() {
    for nth in 1..=requests_of_a_takeover(&[80, 443]).await {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let (cluster, mut service, theirs) = dies_at(nth, fault, &[80, 443], true).await;
            cluster.ready(&mut service).await;
            assert_eq!(cluster.load_balancer().await.arn, theirs.load_balancer.arn, "request {nth}");
            let groups = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items;
            assert_eq!(groups.len(), 2, "request {nth}");
            assert_eq!(cluster.targets().await.len(), 4, "request {nth}");
            cluster.deleted(&service).await;
            assert_only_the_backend_rule_is_left(&cluster, &theirs, &format!("request {nth}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_dies_at_any_request_leaves_all_to_one_controller_when_the_service_is_deleted() {
    let mut ways = BTreeSet::new();
    for nth in 1..=requests_of_a_takeover(&[80, 443]).await {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let (cluster, service, theirs) = dies_at(nth, fault, &[80, 443], false).await;
            let before = cluster.aws.all_tags();
            cluster.deleted(&service).await;
            match cluster.load_balancers().await.is_empty() {
                true => {
                    assert_only_the_backend_rule_is_left(&cluster, &theirs, &format!("request {nth}"));
                    ways.insert("ours, and deleted");
                }
                false => {
                    assert_eq!(cluster.aws.all_tags(), before, "request {nth}");
                    assert_eq!(cluster.targets().await.len(), 4, "request {nth}");
                    ways.insert("theirs, and left alone");
                }
            }
        }
    }
    assert_eq!(ways.len(), 2, "{ways:?}");
}

#[tokio::test(start_paused = true)]
async fn a_takeover_goes_on_when_the_operator_takes_his_word_back_in_its_midst() {
    for nth in 1..=requests_of_a_takeover(&[80, 443]).await {
        let (cluster, mut service, theirs) = dies_at(nth, Fault::HangAfter, &[80, 443], false).await;
        let is_ours = cluster.aws.all_tags()[&theirs.load_balancer.arn].contains_key(UID_TAG);
        if is_ours {
            cluster.ready(&mut service).await;
            assert_eq!(cluster.load_balancer().await.arn, theirs.load_balancer.arn, "request {nth}");
        } else {
            let error = cluster.ensure(&service).await.expect_err("it is theirs");
            assert!(error.to_string().contains("adoption"), "request {nth}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_ports_than_one_request_can_tag_are_taken_over_whole() {
    let ports: Vec<u16> = (80..110).collect();
    let mut ways = BTreeSet::new();
    for nth in 1..=requests_of_a_takeover(&ports).await {
        let (cluster, service, theirs) = dies_at(nth, Fault::HangAfter, &ports, false).await;
        let is_ours = cluster.aws.all_tags()[&theirs.load_balancer.arn].contains_key(UID_TAG);
        cluster.deleted(&service).await;
        match is_ours {
            true => assert_only_the_backend_rule_is_left(&cluster, &theirs, &format!("request {nth}")),
            false => assert_eq!(cluster.load_balancers().await.len(), 1, "request {nth}"),
        }
        ways.insert(is_ours);
    }
    assert_eq!(ways.len(), 2, "{ways:?}");
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_cloud_provider_aws_is_taken_over_in_place_when_the_operator_says_so() {
    let cluster = a_cluster_with(2, |config| config.adopt = true).await;
    let mut service = web("web").build();
    let hostname = by_cloud_provider(&cluster, &service).await.to_lowercase();
    service.published = vec![Ingress::hostname(&hostname)];
    tokio::time::advance(cluster.config.snapshot_age * 2).await;
    let before = cluster.load_balancer().await.arn;
    let published = cluster.ready(&mut service).await;
    assert_eq!(published.ingress[0].hostname.as_deref(), Some(hostname.as_str()));
    assert_eq!(cluster.load_balancer().await.arn, before);
    assert_eq!(cluster.targets().await.len(), 2);
    let plan = cluster.provider.plan(&cluster.request(&service)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
    cluster.deleted(&service).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_cloud_provider_aws_is_left_alone_by_default() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    let hostname = by_cloud_provider(&cluster, &service).await.to_lowercase();
    service.published = vec![Ingress::hostname(&hostname)];
    cluster.ready(&mut service).await;
    assert_eq!(cluster.load_balancers().await.len(), 2);
    cluster.deleted(&service).await;
    assert_eq!(cluster.load_balancer().await.dns_name.to_lowercase(), hostname, "theirs stays");
}
