//! What users get wrong: said by field, value and what is allowed, while what serves goes on as it is.

use cloud_provider::testing::{a_node, a_service_named, request};
use cloud_provider::{
    CloudLoadBalancer, Error, Mistakes, NodeSet, Outcome, Request, ServiceView, SourceRanges,
};
use provider_aws::AwsConfig;
use provider_aws::client::{CreateLoadBalancer, IpAddressType, Scheme, SubnetMapping, Tags};

use crate::fixture::{Cluster, PREFIX, a_cluster, web};

fn annotated(annotations: &[(&str, &str)]) -> ServiceView {
    let service = annotations
        .iter()
        .fold(web("web"), |service, (suffix, value)| service.annotation(&format!("{PREFIX}{suffix}"), value));
    service.build()
}

/// A Service that serves is edited into this; nothing at AWS changes, and each text is in what the user reads.
async fn is_refused(cluster: &Cluster, service: &ServiceView, texts: &[&str]) {
    let mut serving = web("web").build();
    cluster.ready(&mut serving).await;
    let before = cluster.load_balancer().await;
    let mut edited = service.clone();
    edited.published.clone_from(&serving.published);
    let (mistakes, requests) = cluster.requests(cluster.mistakes(&edited)).await;
    let text = mistakes.to_string();
    for expected in texts {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(text.contains("; allowed: ") && text.contains("; until then "), "{text}");
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    assert_eq!(cluster.load_balancer().await, before, "what serves is left alone");
}

#[tokio::test(start_paused = true)]
async fn unknown_values() {
    let cluster = a_cluster(2).await;
    let service = annotated(&[("scheme", "publik"), ("healthcheck-protocol", "grpc")]);
    is_refused(&cluster, &service, &["publik", "internal, internet-facing", "grpc", "tcp, http, https"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn conflicting_annotations() {
    let cluster = a_cluster(2).await;
    let service = annotated(&[("security-groups", "sg-1"), ("disable-nlb-sg", "true")]);
    is_refused(&cluster, &service, &["security-groups", "one of the two"]).await;
}

#[tokio::test(start_paused = true)]
async fn certificates_missing_for_tls_ports() {
    let cluster = a_cluster(2).await;
    is_refused(&cluster, &annotated(&[("ssl-ports", "80")]), &["ssl-ports", "need a certificate"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_does_not_exist() {
    let cluster = a_cluster(2).await;
    let arn = "arn:aws:acm:us-east-1:123456789012:certificate/none";
    let mistakes = cluster.mistakes(&annotated(&[("ssl-cert", arn)])).await.to_string();
    assert!(mistakes.contains("ssl-cert") && mistakes.contains(arn), "{mistakes}");
}

#[tokio::test(start_paused = true)]
async fn subnets_in_one_zone_twice() {
    let cluster = a_cluster(2).await;
    let subnets = format!("{},{}", cluster.vpc.private[0], cluster.vpc.public[0]);
    is_refused(&cluster, &annotated(&[("subnets", &subnets)]), &["subnets", "one subnet a zone"]).await;
}

#[tokio::test(start_paused = true)]
async fn subnets_that_do_not_exist() {
    let cluster = a_cluster(2).await;
    is_refused(&cluster, &annotated(&[("subnets", "subnet-none")]), &["subnet-none", "is no subnet"]).await;
}

#[tokio::test(start_paused = true)]
async fn elastic_ips_not_matching_subnets() {
    let cluster = a_cluster(2).await;
    let address = cluster.aws.seed_elastic_ip();
    let service = annotated(&[("scheme", "internet-facing"), ("eip-allocations", &address)]);
    is_refused(&cluster, &service, &["eip-allocations", "do not match the 3 subnets"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_too_long() {
    let cluster = a_cluster(2).await;
    let service = annotated(&[("name", "a-name-that-is-longer-than-thirty-two")]);
    is_refused(&cluster, &service, &["name", "1 to 32"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_somebody_elses_load_balancer() {
    for subnets in [1, 3] {
        let cluster = a_cluster(2).await;
        let theirs = CreateLoadBalancer {
            name: "taken".to_owned(),
            scheme: Scheme::Internal,
            ip_address_type: IpAddressType::Ipv4,
            subnets: cluster.vpc.private.iter().take(subnets).map(SubnetMapping::subnet).collect(),
            security_groups: Default::default(),
            ipv6_source_nat: false,
            tags: Tags::new(),
        };
        let before = cluster.aws.seed_load_balancer(&theirs).await.unwrap();
        let service = annotated(&[("name", "taken"), ("disable-nlb-sg", "true")]);
        let mistakes = cluster.mistakes(&service).await.to_string();
        assert!(mistakes.contains("taken") && mistakes.contains("not this Service's"), "{mistakes}");
        assert_eq!(cluster.load_balancer().await.arn, before.arn);
        cluster.deleted(&service).await;
        assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
        assert_eq!(cluster.load_balancers().await.len(), 1, "theirs is left");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_without_a_provider_id_or_from_another_vpc() {
    let cluster = a_cluster(1).await;
    let other = cluster.aws.seed_vpc(1);
    let foreign = cluster.aws.seed_nodes(&other, 1).remove(0);
    let service = web("web").build();
    let good = &cluster.instances[0];
    let nodes = NodeSet::of([
        a_node("good").provider_id(&format!("aws:///a/{good}")).build(),
        a_node("young").provider_id("").build(),
        a_node("foreign").provider_id(&format!("aws:///a/{foreign}")).build(),
    ]);
    let outcome = cluster.provider.ensure(&request(&service, &nodes)).await.unwrap();
    let notes = match outcome {
        Outcome::Ready(ready) => ready.notes,
        Outcome::Pending(pending) => pending.notes,
    };
    let note = notes.iter().find(|note| note.reason == "UnusableNodes").expect("a warning");
    assert!(note.message.contains("young: it has no provider ID yet"), "{}", note.message);
    assert!(note.message.contains("not in"), "{}", note.message);
    assert_eq!(cluster.targets().await.len(), 1, "the others serve");

    let odd = NodeSet::of([a_node("young").provider_id("").build()]);
    cluster.provider.update_nodes(&request(&service, &odd)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 1, "with none to be understood, what serves is left alone");
}

#[tokio::test(start_paused = true)]
async fn source_ranges_that_do_not_parse() {
    let cluster = a_cluster(1).await;
    let mut service = web("web").source_ranges(["10.0.0.0/8"]).build();
    cluster.ready(&mut service).await;
    let mistakes = SourceRanges::parse(&["everybody".to_owned()], None).expect_err("no network");
    service.source_ranges = SourceRanges::Unset;
    service.mistakes = mistakes;
    let refused: Mistakes = Request::new(service.into(), cluster.nodes()).expect_err("no request");
    assert!(refused.to_string().contains("nothing is opened"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_mistake_keeps_its_nodes_up_to_date() {
    let cluster = a_cluster(3).await;
    let mut service = web("web").build();
    let two = crate::fixture::nodes_of(&cluster.instances[..2]);
    cluster.ready_on(&mut service, &two).await;
    let mut wrong = annotated(&[("scheme", "publik")]);
    wrong.published.clone_from(&service.published);
    cluster.provider.update_nodes(&cluster.request(&wrong)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 3);
}

#[test]
fn services_of_other_controllers_are_not_claimed() {
    let cluster =
        |adopt, class: &str| AwsConfig { adopt, class: class.parse().unwrap(), ..AwsConfig::new("prod") };
    let kind = format!("{PREFIX}type");
    let plain = a_service_named("default", "web");
    let table = [
        (false, AwsConfig::CLASS, plain.clone().class(AwsConfig::CLASS).build(), true),
        (false, AwsConfig::CLASS, plain.clone().build(), false),
        (false, AwsConfig::CLASS, plain.clone().class("other").build(), false),
        (false, "", plain.clone().build(), true),
        (false, "", plain.clone().annotation(&kind, "external").build(), false),
        (false, "", plain.clone().annotation(&kind, "nlb").build(), false),
        (true, "", plain.clone().annotation(&kind, "nlb").build(), true),
    ];
    for (adopt, class, service, claimed) in table {
        let aws = provider_aws::client::fake::FakeAws::new();
        let shared = provider_aws::client::Aws::new(aws, Default::default());
        let provider = provider_aws::AwsProvider::new(shared, cluster(adopt, class));
        assert_eq!(provider.claims(&service), claimed, "{adopt} {class:?} {service:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ip_target_is_not_yet_supported() {
    let cluster = a_cluster(1).await;
    let error = cluster.ensure(&annotated(&[("nlb-target-type", "ip")])).await.expect_err("not supported");
    assert!(
        matches!(&error, Error::Invalid(_)) && error.to_string().contains("is not yet supported"),
        "{error}"
    );
}
