//! Changes that AWS makes hard.

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, Outcome, Protocol};
use provider_aws::client::fake::{Lag, Lags};
use provider_aws::client::{Elbv2, LoadBalancerState, Protocol as AwsProtocol, Scheme};

use crate::fixture::{PREFIX, a_cluster, web};

fn key(suffix: &str) -> String {
    format!("{PREFIX}{suffix}")
}

#[tokio::test(start_paused = true)]
async fn another_scheme_makes_a_new_load_balancer_before_the_old_one_goes() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let old = cluster.load_balancer().await;
    cluster.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::Looks(3)));
    let mut public = web("web").annotation(&key("scheme"), "internet-facing").build();
    public.published.clone_from(&service.published);
    let Outcome::Pending(pending) = cluster.ensure(&public).await.unwrap() else { panic!("not pending") };
    assert_eq!(pending.publish, None, "the old one is shown while the new one is being made");
    assert_eq!(cluster.load_balancers().await.len(), 2);
    cluster.ready(&mut public).await;
    let new = cluster.load_balancer().await;
    assert_eq!(new.scheme, Scheme::InternetFacing);
    assert_ne!(new.arn, old.arn);
    cluster.deleted(&public).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn another_protocol_makes_a_new_target_group_that_is_filled_before_traffic_comes() {
    let cluster = a_cluster(2).await;
    cluster.aws.set_lags(Lags::with(|lags| lags.draining = Lag::Looks(2)));
    let mut service = web("dns").protocol_ports([(Protocol::Tcp, 53)]).build();
    cluster.ready(&mut service).await;
    let mut udp = web("dns").protocol_ports([(Protocol::Udp, 53)]).build();
    udp.published.clone_from(&service.published);
    cluster.ready(&mut udp).await;
    let lb = cluster.load_balancer().await;
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    assert_eq!(listeners[0].protocol, AwsProtocol::Udp);
    assert_eq!(cluster.targets().await.len(), 2, "the old target group is gone");
    cluster.deleted(&udp).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_that_aws_fails_to_make_is_made_anew() {
    let cluster = a_cluster(2).await;
    cluster.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::Looks(1)));
    let mut service = web("web").build();
    cluster.ensure(&service).await.unwrap();
    let failed = cluster.load_balancer().await.arn;
    cluster.aws.set_outcome(&failed, LoadBalancerState::Failed);
    cluster.ready(&mut service).await;
    assert_ne!(cluster.load_balancer().await.arn, failed);
    assert_eq!(cluster.targets().await.len(), 2);
    cluster.deleted(&service).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn another_subnet_of_a_zone_takes_the_zone_out_first() {
    let cluster = a_cluster(2).await;
    let subnets = |ids: &[&String]| ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(",");
    let [first, second] = [&cluster.vpc.private[0], &cluster.vpc.private[1]];
    let mut service = web("web").annotation(&key("subnets"), &subnets(&[first, second])).build();
    cluster.ready(&mut service).await;
    let swapped = &cluster.vpc.public[1];
    let mut moved = web("web").annotation(&key("subnets"), &subnets(&[first, swapped])).build();
    moved.published.clone_from(&service.published);
    cluster.ready(&mut moved).await;
    let zones: Vec<String> = cluster.load_balancer().await.zones.into_iter().map(|z| z.subnet_id).collect();
    assert!(zones.contains(swapped) && zones.contains(first) && zones.len() == 2, "{zones:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_once_goes_back_to_its_default_and_what_was_set_by_hand_stays() {
    let cluster = a_cluster(2).await;
    let asked = "load_balancing.cross_zone.enabled";
    let mut service = web("web")
        .annotation(&key("attributes"), &format!("{asked}=true"))
        .annotation(&key("additional-resource-tags"), "team=edge")
        .build();
    cluster.ready(&mut service).await;
    let arn = cluster.load_balancer().await.arn;
    let by_hand = [("dns_record.client_routing_policy".to_owned(), "availability_zone_affinity".to_owned())];
    cluster.aws.modify_load_balancer_attributes(&arn, &by_hand.into()).await.unwrap();
    cluster.aws.add_tags(&arn, &[("by".to_owned(), "hand".to_owned())].into()).await.unwrap();
    let mut plain = web("web").build();
    plain.published.clone_from(&service.published);
    cluster.ready(&mut plain).await;
    let attributes = cluster.aws.describe_load_balancer_attributes(&arn).await.unwrap();
    assert_eq!(attributes[asked], "false");
    assert_eq!(attributes["dns_record.client_routing_policy"], "availability_zone_affinity");
    let tags = cluster.aws.describe_tags(std::slice::from_ref(&arn)).await.unwrap().remove(&arn).unwrap();
    assert!(tags.contains_key("by") && !tags.contains_key("team"), "{tags:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_by_hand_is_found_when_everything_is_read_back() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let arn = cluster.load_balancer().await.arn;
    let listener = cluster.aws.describe_listeners(&arn, None).await.unwrap().items.remove(0);
    cluster.aws.delete_listener(&listener.arn).await.unwrap();
    tokio::time::advance(cluster.config.deep_verification * 2).await;
    cluster.ready(&mut service).await;
    assert_eq!(cluster.aws.describe_listeners(&arn, None).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_plan_says_what_ensure_would_do_and_changes_nothing() {
    let cluster = a_cluster(2).await;
    let service = web("web").build();
    let plan = cluster.provider.plan(&request(&service, &cluster.nodes())).await.unwrap();
    let kinds: Vec<String> = plan.steps.iter().map(|s| format!("{} {}", s.verb.sign(), s.kind)).collect();
    assert_eq!(
        kinds,
        [
            "+ security group",
            "+ security group",
            "+ load balancer",
            "~ security group",
            "~ security group",
            "+ target group",
            "~ target group",
            "+ listener",
            "~ load balancer",
        ],
        "{plan}"
    );
    assert!(cluster.aws.is_empty());
}
