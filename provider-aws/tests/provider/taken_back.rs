//! What somebody asked for and asks for no more goes back to what AWS does by itself, even if the first try fails.

use cloud_provider::{CloudLoadBalancer, ServiceView};
use provider_aws::client::fake::Fault;
use provider_aws::client::{Attributes, Call, Ec2, Elbv2, Listener, SecurityGroupQuery, Select, Tags};

use crate::fixture::{Cluster, PREFIX, a_cluster, web};

fn annotated(annotations: &[(&str, &str)]) -> ServiceView {
    let service = annotations
        .iter()
        .fold(web("web"), |service, (suffix, value)| service.annotation(&format!("{PREFIX}{suffix}"), value));
    service.build()
}

/// The same Service without these annotations.
async fn taken_back(cluster: &Cluster, asked: &ServiceView, fails: Option<Call>) {
    let mut service = asked.clone();
    cluster.ready(&mut service).await;
    let mut plain = web("web").build();
    plain.published.clone_from(&service.published);
    if let Some(call) = fails {
        cluster.aws.fail_nth(call, 1, Fault::before("InternalFailure"));
        cluster.ensure(&plain).await.expect_err("the one request fails");
    }
    cluster.ready(&mut plain).await;
    let plan = cluster.provider.plan(&cluster.request(&plain)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
}

async fn listener(cluster: &Cluster) -> Listener {
    let lb = cluster.load_balancer().await;
    cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items.remove(0)
}

async fn of_load_balancer(cluster: &Cluster) -> Attributes {
    let lb = cluster.load_balancer().await;
    cluster.aws.describe_load_balancer_attributes(&lb.arn).await.unwrap()
}

async fn of_target_group(cluster: &Cluster) -> Attributes {
    let group = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items.remove(0);
    cluster.aws.describe_target_group_attributes(&group.arn).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_attribute_goes_back_though_the_request_fails_at_first() {
    let cluster = a_cluster(2).await;
    let asked = annotated(&[("attributes", "deletion_protection.enabled=true")]);
    taken_back(&cluster, &asked, Some(Call::ModifyLoadBalancerAttributes)).await;
    assert_eq!(of_load_balancer(&cluster).await["deletion_protection.enabled"], "false");

    let cluster = a_cluster(2).await;
    let asked = annotated(&[("proxy-protocol", "*")]);
    taken_back(&cluster, &asked, Some(Call::ModifyTargetGroupAttributes)).await;
    assert_eq!(of_target_group(&cluster).await["proxy_protocol_v2.enabled"], "false");
}

#[tokio::test(start_paused = true)]
async fn an_attribute_of_a_listener_goes_back() {
    for fails in [None, Some(Call::ModifyListenerAttributes)] {
        let cluster = a_cluster(2).await;
        let asked = annotated(&[("listener-attributes.TCP-80", "tcp.idle_timeout.seconds=60")]);
        taken_back(&cluster, &asked, fails).await;
        let arn = listener(&cluster).await.arn;
        let attributes = cluster.aws.describe_listener_attributes(&arn).await.unwrap();
        assert_eq!(attributes["tcp.idle_timeout.seconds"], "350", "{fails:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_for_private_link_go_back_to_on() {
    for fails in [None, Some(Call::SetSecurityGroups)] {
        let cluster = a_cluster(2).await;
        let asked = annotated(&[("inbound-sg-rules-on-private-link-traffic", "off")]);
        taken_back(&cluster, &asked, fails).await;
        assert_ne!(cluster.load_balancer().await.enforce_private_link_inbound, Some(false), "{fails:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cross_zone_of_a_target_group_goes_back_to_the_load_balancers() {
    let cluster = a_cluster(2).await;
    let asked = annotated(&[("target-group-attributes", "load_balancing.cross_zone.enabled=true")]);
    taken_back(&cluster, &asked, None).await;
    let attributes = of_target_group(&cluster).await;
    assert_eq!(attributes["load_balancing.cross_zone.enabled"], "use_load_balancer_configuration");
}

/// The tags of everything that carries this Service's.
async fn everywhere(cluster: &Cluster, key: &str) -> Vec<Option<String>> {
    let of = |tags: &Tags| tags.get(key).cloned();
    let service_tag = "service.k8s.aws/stack";
    let mut found: Vec<Option<String>> =
        cluster.aws.all_tags().values().filter(|tags| tags.contains_key(service_tag)).map(of).collect();
    let groups = cluster.aws.describe_security_groups(&SecurityGroupQuery::default(), None).await.unwrap();
    let groups = groups.items.iter().map(|group| &group.tags).filter(|tags| tags.contains_key(service_tag));
    found.extend(groups.map(of));
    found
}

#[tokio::test(start_paused = true)]
async fn tags_follow_on_everything_that_carries_them() {
    let cluster = a_cluster(2).await;
    let tagged = |tags: &str| annotated(&[("additional-resource-tags", tags)]);
    let mut service = tagged("team=web");
    cluster.ready(&mut service).await;
    let there = |found: &[Option<String>], value: Option<&str>| {
        assert!(found.len() >= 4, "load balancer, target group, listener, security group: {found:?}");
        assert!(found.iter().all(|tag| tag.as_deref() == value), "{value:?}: {found:?}");
    };
    there(&everywhere(&cluster, "team").await, Some("web"));
    let mut changed = tagged("team=edge,cost=low");
    changed.published.clone_from(&service.published);
    cluster.ready(&mut changed).await;
    there(&everywhere(&cluster, "team").await, Some("edge"));
    there(&everywhere(&cluster, "cost").await, Some("low"));
    let mut plain = web("web").build();
    plain.published.clone_from(&service.published);
    cluster.ready(&mut plain).await;
    there(&everywhere(&cluster, "team").await, None);
    there(&everywhere(&cluster, "cost").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_listener_keeps_its_policy_until_an_annotation_says_otherwise() {
    let mut cluster = a_cluster(2).await;
    let certificate = cluster.aws.seed_certificate();
    let tls = |policy: Option<&str>| {
        let mut annotations = vec![("ssl-cert", certificate.as_str())];
        annotations.extend(policy.map(|policy| ("ssl-negotiation-policy", policy)));
        annotated(&annotations)
    };
    cluster.config.default_ssl_policy = "ELBSecurityPolicy-2016-08".to_owned();
    cluster.restart(&[]).await;
    let mut service = tls(None);
    cluster.ready(&mut service).await;
    let first = listener(&cluster).await.ssl_policy;
    cluster.config.default_ssl_policy = "ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned();
    cluster.restart(&[]).await;
    cluster.ready(&mut service).await;
    assert_eq!(listener(&cluster).await.ssl_policy, first, "another default shuts no client out");
    let mut chosen = tls(Some("ELBSecurityPolicy-TLS13-1-3-2021-06"));
    chosen.published.clone_from(&service.published);
    cluster.ready(&mut chosen).await;
    let policy = listener(&cluster).await.ssl_policy;
    assert_eq!(policy.as_deref(), Some("ELBSecurityPolicy-TLS13-1-3-2021-06"));
    cluster.ready(&mut service).await;
    let policy = listener(&cluster).await.ssl_policy;
    assert_eq!(policy.as_deref(), Some("ELBSecurityPolicy-TLS13-1-2-2021-06"), "taken back");
}
