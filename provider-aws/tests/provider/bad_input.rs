//! What users get wrong: said by field, value and what is allowed, while what serves goes on as it is.

use std::collections::BTreeSet;

use cloud_provider::testing::{a_node, a_service_named, request};
use cloud_provider::{
    CloudLoadBalancer, Error, ErrorClass, Mistake, Mistakes, NodeSet, Outcome, Request, ServiceView,
    SourceRanges,
};
use provider_aws::AwsConfig;
use provider_aws::client::{
    CreateLoadBalancer, Ec2, Elbv2, IpAddressType, RuleSource, Scheme, SecurityGroupQuery, SubnetMapping,
    Tags, Target,
};

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
    let text = mistakes.clone();
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
async fn a_certificate_that_does_not_exist() {
    let cluster = a_cluster(2).await;
    let arn = "arn:aws:acm:us-east-1:123456789012:certificate/none";
    let mistakes = cluster.mistakes(&annotated(&[("ssl-cert", arn)])).await.clone();
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

/// What AWS alone can know is refused by AWS, after the steps before it: what serves goes on as it is all the same.
async fn is_refused_by_aws(cluster: &Cluster, before: &ServiceView, after: &ServiceView, texts: &[&str]) {
    let mut serving = before.clone();
    cluster.ready(&mut serving).await;
    let look = async || {
        let lb = cluster.load_balancer().await;
        let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
        (lb, listeners, cluster.targets().await)
    };
    let as_it_was = look().await;
    let mut edited = after.clone();
    edited.published.clone_from(&serving.published);
    for _ in 0..2 {
        let text = cluster.mistakes(&edited).await.clone();
        for expected in texts {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
        assert_eq!(look().await, as_it_was, "what serves is left alone");
    }
    // And it is mended by taking the edit back.
    cluster.ready(&mut serving).await;
    assert_eq!(look().await, as_it_was);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_does_not_exist_for_a_load_balancer_that_serves() {
    let cluster = a_cluster(2).await;
    let arn = "arn:aws:acm:us-east-1:123456789012:certificate/none";
    let (before, after) = (web("web").build(), annotated(&[("ssl-cert", arn)]));
    is_refused_by_aws(&cluster, &before, &after, &["ssl-cert", arn, "what serves keeps serving"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_security_policy_that_does_not_exist() {
    let cluster = a_cluster(2).await;
    let certificate = cluster.aws.seed_certificate();
    let before = annotated(&[("ssl-cert", &certificate)]);
    let after = annotated(&[("ssl-cert", &certificate), ("ssl-negotiation-policy", "Strictest")]);
    is_refused_by_aws(&cluster, &before, &after, &["ssl-negotiation-policy", "Strictest"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_attribute_that_aws_does_not_know() {
    let cluster = a_cluster(2).await;
    let after = annotated(&[("attributes", "no.such.attribute=1")]);
    is_refused_by_aws(&cluster, &web("web").build(), &after, &["attributes", "no.such.attribute"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_elastic_ip_that_does_not_exist() {
    let cluster = a_cluster(2).await;
    let [one, two] = [(); 2].map(|()| cluster.aws.seed_elastic_ip());
    let subnets = cluster.vpc.public[..2].join(",");
    let three = cluster.vpc.public.join(",");
    let with = |subnets: &str, ips: &str| {
        annotated(&[("scheme", "internet-facing"), ("subnets", subnets), ("eip-allocations", ips)])
    };
    let before = with(&subnets, &format!("{one},{two}"));
    let after = with(&three, &format!("{one},{two},eipalloc-none"));
    is_refused_by_aws(&cluster, &before, &after, &["eip-allocations", "eipalloc-none"]).await;
}

#[tokio::test(start_paused = true)]
async fn more_capacity_than_the_account_may_reserve() {
    let cluster = a_cluster(2).await;
    let after = annotated(&[("minimum-load-balancer-capacity", "CapacityUnits=1000000")]);
    let texts = ["minimum-load-balancer-capacity", "1000000", "CapacityUnitsLimitExceeded", "; allowed: "];
    is_refused_by_aws(&cluster, &web("web").build(), &after, &texts).await;
}

#[tokio::test(start_paused = true)]
async fn a_prefix_list_with_more_entries_than_a_security_group_takes_rules() {
    let cluster = a_cluster(2).await;
    let list = cluster.aws.seed_prefix_list(100);
    let after = annotated(&[("security-group-prefix-lists", &list)]);
    let texts = ["security-group-prefix-lists", &list, "RulesPerSecurityGroupLimitExceeded", "; allowed: "];
    is_refused_by_aws(&cluster, &web("web").build(), &after, &texts).await;
}

#[tokio::test(start_paused = true)]
async fn an_elastic_ip_named_twice() {
    let cluster = a_cluster(2).await;
    let ip = cluster.aws.seed_elastic_ip();
    let (twice, subnets) = (format!("{ip},{ip}"), cluster.vpc.public[..2].join(","));
    let service =
        annotated(&[("scheme", "internet-facing"), ("subnets", &subnets), ("eip-allocations", &twice)]);
    is_refused(&cluster, &service, &["eip-allocations", "is named twice"]).await;
}

#[tokio::test(start_paused = true)]
async fn elastic_ips_for_an_internal_load_balancer() {
    let cluster = a_cluster(2).await;
    let ips: Vec<String> = (0..3).map(|_| cluster.aws.seed_elastic_ip()).collect();
    let service = annotated(&[("eip-allocations", &ips.join(","))]);
    is_refused(&cluster, &service, &["eip-allocations", "needs an internet-facing load balancer"]).await;
}

#[tokio::test(start_paused = true)]
async fn private_addresses_out_of_range() {
    let cluster = a_cluster(2).await;
    let service = annotated(&[("private-ipv4-addresses", "10.0.100.9,10.0.101.9,10.0.99.9")]);
    is_refused(&cluster, &service, &["private-ipv4-addresses", "has no address in the range of"]).await;
    let told = cluster.mistakes(&service).await;
    let quoted = "aws-load-balancer-private-ipv4-addresses]: \"10.0.100.9,10.0.101.9,10.0.99.9\"";
    assert_eq!(told.matches("aws-load-balancer-private-ipv4-addresses]:").count(), 1, "{told}");
    assert!(told.contains(quoted) && told.contains(&cluster.vpc.private[2]), "what the user wrote: {told}");
    assert!(!told.contains("do not match"), "three are as many as the subnets: {told}");
}

#[tokio::test(start_paused = true)]
async fn security_groups_that_do_not_exist() {
    let cluster = a_cluster(2).await;
    let service = annotated(&[("security-groups", "sg-none")]);
    is_refused(&cluster, &service, &["security-groups", "sg-none", "is no group of"]).await;
}

#[tokio::test(start_paused = true)]
async fn more_security_groups_than_a_load_balancer_takes() {
    let cluster = a_cluster(2).await;
    let seed = |i: usize| {
        cluster.aws.seed_security_group(&cluster.vpc.id, &format!("own-{i}"), Tags::new(), Vec::new())
    };
    let groups: Vec<String> = (0..5).map(seed).collect();
    let list = groups.join(",");
    let opened = [("security-groups", list.as_str()), ("manage-backend-security-group-rules", "true")];
    is_refused(&cluster, &annotated(&opened), &["security-groups", "up to 4 groups"]).await;
    let mut five = annotated(&[("security-groups", &list)]);
    cluster.ready(&mut five).await;
    assert_eq!(cluster.load_balancer().await.security_groups, groups.into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn a_name_for_a_load_balancer_that_exists_is_not_applied_and_said_so() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let before = cluster.load_balancer().await;
    let mut named = annotated(&[("name", "better")]);
    named.published.clone_from(&service.published);
    let Outcome::Ready(ready) = cluster.ensure(&named).await.unwrap() else { panic!("it serves") };
    let note = ready.notes.iter().find(|note| note.reason == "NameNotApplied").expect("a warning");
    assert!(note.message.contains(&before.name), "{}", note.message);
    assert_eq!(cluster.load_balancer().await, before);
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
        let mistakes = cluster.mistakes(&service).await.clone();
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
    let outcome = cluster.ensure_on(&service, &nodes).await.unwrap();
    let notes = match outcome {
        Outcome::Ready(ready) => ready.notes,
        Outcome::Pending(pending) => pending.notes,
    };
    let note = notes.iter().find(|note| note.reason == "UnusableNodes").expect("a warning");
    assert!(note.message.contains("young: it has no provider ID yet"), "{}", note.message);
    assert!(note.message.contains("not in"), "{}", note.message);
    assert_eq!(cluster.targets().await.len(), 1, "the others serve");

    let odd = NodeSet::of([a_node("young").provider_id("").build()]);
    cluster.provider.update_backends(&request(&service, &odd)).await.unwrap();
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
    let before = (cluster.load_balancer().await, cluster.aws.remaining(), cluster.aws.writes().len());
    let refused: Mistakes = Request::new(service.clone().into(), cluster.nodes()).expect_err("no request");
    assert!(refused.to_string().contains("nothing is opened"), "{refused}");
    let let_in = cluster.aws.describe_security_groups(&SecurityGroupQuery::default(), None).await.unwrap();
    let frontend = let_in.items.into_iter().find(|group| group.name.starts_with("k8s-default-web-")).unwrap();
    let sources: Vec<_> = frontend.ingress.into_iter().map(|rule| rule.source).collect();
    assert_eq!(sources, [RuleSource::Ipv4("10.0.0.0/8".parse().unwrap())], "not opened to the world");
    let after = (cluster.load_balancer().await, cluster.aws.remaining(), cluster.aws.writes().len());
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_mistake_keeps_its_nodes_up_to_date() {
    let cluster = a_cluster(3).await;
    let mut service = web("web").build();
    let two = crate::fixture::nodes_of(&cluster.instances[..2]);
    cluster.ready_on(&mut service, &two).await;
    let mut wrong = annotated(&[("scheme", "publik")]);
    wrong.published.clone_from(&service.published);
    cluster.provider.update_backends(&cluster.request(&wrong)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_understood_follows_its_nodes_on_the_node_ports_that_are_found() {
    let mut cluster = a_cluster(3).await;
    let mut service = web("web").ports([80, 443]).build();
    cluster.ready_on(&mut service, &crate::fixture::nodes_of(&cluster.instances[..1])).await;
    let node_ports = |targets: Vec<Target>| targets.into_iter().map(|it| it.port).collect::<BTreeSet<_>>();
    let before = node_ports(cluster.targets().await);
    let mut wrong = service.clone();
    wrong.ports.truncate(1);
    wrong.mistakes.push(Mistake::new("spec.ports[1].port", "0", "is not understood"));

    cluster.restart(&[service.into()]).await;
    for nodes in [cluster.nodes(), crate::fixture::nodes_of(&cluster.instances[1..])] {
        let request = Request::with_mistakes(wrong.clone().into(), nodes.clone());
        cluster.provider.update_backends(&request).await.unwrap();
        let targets = cluster.targets().await;
        assert_eq!(targets.len(), 2 * nodes.len(), "each behind both ports: {targets:?}");
        assert_eq!(node_ports(targets), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_what_aws_refuses_follows_its_nodes_after_a_restart() {
    let mut cluster = a_cluster(3).await;
    let mut service = web("web").build();
    cluster.ready_on(&mut service, &crate::fixture::nodes_of(&cluster.instances[..1])).await;
    let mut wrong = annotated(&[("subnets", "subnet-00000000000000000")]);
    wrong.published.clone_from(&service.published);
    cluster.restart(&[wrong.clone().into()]).await;
    let refused = cluster.provider.ensure(&cluster.request(&wrong)).await.expect_err("no such subnet");
    assert_eq!(refused.class(), ErrorClass::Invalid);
    for nodes in [cluster.nodes(), crate::fixture::nodes_of(&cluster.instances[1..])] {
        cluster.provider.update_backends(&request(&wrong, &nodes)).await.unwrap();
        assert_eq!(cluster.targets().await.len(), nodes.len());
    }
}

#[test]
fn services_of_other_controllers_are_not_claimed() {
    let cluster = |adopt, class: &str| {
        let mut config = AwsConfig::new("prod");
        config.adopt = adopt;
        config.class = class.parse().unwrap();
        config
    };
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
