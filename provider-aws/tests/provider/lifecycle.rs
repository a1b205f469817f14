//! From a new Service to nothing left.

use std::time::Duration;

use cloud_provider::testing::{a_node, request};
use cloud_provider::{BackendInterest, CloudLoadBalancer, NodeSet, Outcome, Protocol};
use provider_aws::client::fake::{Lag, Lags};
use provider_aws::client::{Call, Ec2, Elbv2, Scheme, SecurityGroupQuery, Tags, Target};
use provider_aws::naming::APPLIED_TAG;

use crate::fixture::{PREFIX, a_cluster, a_cluster_with, nodes_of, web};

#[tokio::test(start_paused = true)]
async fn a_service_is_created_changed_scaled_and_deleted_and_nothing_is_left() {
    let cluster = a_cluster(3).await;
    let mut service = web("web").ports([80, 443]).build();
    let published = cluster.ready(&mut service).await;
    let lb = cluster.load_balancer().await;
    assert_eq!(published.ingress[0].hostname.as_deref(), Some(lb.dns_name.to_lowercase().as_str()));
    assert_eq!(lb.scheme, Scheme::Internal, "internal unless asked otherwise");
    assert_eq!(lb.zones.len(), 3, "one subnet a zone");
    assert_eq!(lb.security_groups.len(), 2, "who may connect, and the source in the rules on the nodes");
    assert_eq!(cluster.targets().await.len(), 6, "three nodes behind each of two ports");

    let mut changed = web("web").ports([80, 8443]).source_ranges(["10.0.0.0/8"]).build();
    changed.published.clone_from(&service.published);
    cluster.ready(&mut changed).await;
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    assert_eq!(listeners.iter().map(|l| l.port).collect::<Vec<_>>(), [80, 8443]);

    let two = nodes_of(&cluster.instances[..2]);
    cluster.provider.update_backends(&request(&changed, &two)).await.unwrap();
    assert_eq!(cluster.targets().await.len(), 4);

    cluster.deleted(&changed).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_a_service_that_is_deleted() {
    let cluster = a_cluster(2).await;
    for name in ["one", "two", "three"] {
        let mut service = web(name).build();
        // Made in two calls, changed on the way, refused in part, and with a call that was dropped.
        cluster.provider.ensure(&cluster.request(&service)).await.unwrap();
        cluster.ready(&mut service).await;
        let certificate = "arn:aws:acm:us-east-1:123456789012:certificate/none";
        let ssl = format!("{}ssl-cert", crate::fixture::PREFIX);
        let mut refused = web(name).annotation(&ssl, certificate).build();
        refused.published.clone_from(&service.published);
        cluster.mistakes(&refused).await;
        let one = crate::fixture::nodes_of(&cluster.instances[..1]);
        cluster.provider.update_backends(&request(&service, &one)).await.unwrap();
        let remembered = format!("{:?}", cluster.provider);
        assert!(remembered.contains(&*service.id.uid), "{remembered}");

        cluster.deleted(&service).await;

        let remembered = format!("{:?}", cluster.provider);
        assert!(!remembered.contains(&*service.id.uid), "{remembered}");
        assert!(!remembered.contains(&format!("{name:?}")), "{remembered}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_as_it_should_be_is_not_written() {
    let cluster = a_cluster(3).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let (_, requests) = cluster.requests(cluster.ready(&mut service)).await;
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    let plan = cluster.provider.plan(&cluster.request(&service)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn the_host_name_is_published_while_aws_still_makes_the_load_balancer() {
    let cluster = a_cluster(1).await;
    cluster.aws.set_lags(Lags::with(|lags| lags.provisioning = Lag::For(Duration::from_secs(180))));
    let service = web("web").build();
    let Outcome::Pending(pending) = cluster.ensure(&service).await.unwrap() else { panic!("not pending") };
    assert_eq!(pending.reason, "Provisioning");
    assert!(pending.publish.is_some_and(|published| published.ingress[0].hostname.is_some()));
    tokio::time::advance(Duration::from_secs(181)).await;
    assert!(matches!(cluster.ensure(&service).await.unwrap(), Outcome::Ready(_)));
}

#[tokio::test(start_paused = true)]
async fn tcp_and_udp_of_one_port_share_a_listener() {
    let cluster = a_cluster(2).await;
    let mut service = web("dns").protocol_ports([(Protocol::Tcp, 53), (Protocol::Udp, 53)]).build();
    cluster.ready(&mut service).await;
    let lb = cluster.load_balancer().await;
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0].protocol.as_str(), "TCP_UDP");
    cluster.deleted(&service).await;
    assert!(cluster.aws.is_empty());
}

#[tokio::test(start_paused = true)]
async fn tls_ports_carry_their_certificates_and_give_them_up_again() {
    let cluster = a_cluster(2).await;
    let [first, second, third] = [(); 3].map(|()| cluster.aws.seed_certificate());
    let cert = format!("{PREFIX}ssl-cert");
    let tls = |certs: &[&String]| {
        let list: Vec<&str> = certs.iter().map(|c| c.as_str()).collect();
        web("tls")
            .ports([443, 80])
            .annotation(&cert, &list.join(","))
            .annotation(&format!("{PREFIX}ssl-ports"), "443")
            .annotation(&format!("{PREFIX}alpn-policy"), "HTTP2Preferred")
            .build()
    };
    let mut service = tls(&[&first, &second]);
    cluster.ready(&mut service).await;
    let lb = cluster.load_balancer().await;
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    let listener = listeners.iter().find(|l| l.port == 443).unwrap();
    assert_eq!(listener.protocol.as_str(), "TLS");
    assert_eq!(listeners.iter().find(|l| l.port == 80).unwrap().protocol.as_str(), "TCP");

    let mut service = tls(&[&second, &third]);
    cluster.ready(&mut service).await;
    let page = cluster.aws.describe_listener_certificates(&listener.arn, None).await.unwrap();
    let default: Vec<&String> = page.items.iter().filter(|c| c.is_default).map(|c| &c.arn).collect();
    assert_eq!(default, [&second]);
    assert!(page.items.iter().any(|c| c.arn == third && !c.is_default));
    assert!(!page.items.iter().any(|c| c.arn == first));
    cluster.deleted(&service).await;
    assert!(cluster.aws.is_empty());
}

#[tokio::test(start_paused = true)]
async fn local_traffic_is_checked_on_the_health_check_node_port() {
    let cluster = a_cluster(2).await;
    let mut service = web("local").local_traffic().build();
    cluster.ready(&mut service).await;
    let groups = cluster.aws.describe_target_groups(&provider_aws::client::Select::All, None).await.unwrap();
    let check = &groups.items[0].health_check;
    assert_eq!((check.protocol.as_str(), check.port.to_string().as_str()), ("HTTP", "32000"));
    assert_eq!(check.path.as_deref(), Some("/healthz"));
}

#[tokio::test(start_paused = true)]
async fn nodes_join_and_leave_without_another_write_but_that_nothing_is_noted_of_them_any_more() {
    let cluster = a_cluster(3).await;
    let mut service = web("web").build();
    let two = nodes_of(&cluster.instances[..2]);
    cluster.ready_on(&mut service, &two).await;
    let all = cluster.request(&service);
    let (result, requests) = cluster.requests(cluster.provider.update_backends(&all)).await;
    result.unwrap();
    assert_eq!(
        requests.iter().filter(|c| c.is_write()).collect::<Vec<_>>(),
        [&Call::AddTags, &Call::RegisterTargets]
    );
    let one = request(&service, &nodes_of(&cluster.instances[..1]));
    let (result, requests) = cluster.requests(cluster.provider.update_backends(&one)).await;
    result.unwrap();
    assert_eq!(requests.iter().filter(|c| c.is_write()).collect::<Vec<_>>(), [&Call::DeregisterTargets]);
    assert_eq!(cluster.targets().await, [Target::new(&cluster.instances[0], 30080)]);
    let (result, requests) = cluster.requests(cluster.provider.update_backends(&one)).await;
    result.unwrap();
    assert!(requests.is_empty(), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_gains_or_loses_the_labels_asked_for_joins_or_leaves() {
    let cluster = a_cluster(2).await;
    let key = format!("{PREFIX}target-node-labels");
    let mut service = web("web").annotation(&key, "gpu=yes,pool=web").build();
    let wanted = BackendInterest::nodes().and_node_labels(["gpu", "pool"]);
    assert_eq!(cluster.provider.backends(&service), wanted, "the controller follows these labels");
    assert_eq!(cluster.provider.backends(&web("web").build()), BackendInterest::nodes());

    let nodes = |second_has_it: bool| {
        NodeSet::of(cluster.instances.iter().enumerate().map(|(i, id)| {
            let node = a_node(&format!("n{i}")).provider_id(&format!("aws:///us-east-1a/{id}"));
            let node = node.label("pool", "web");
            if i == 0 || second_has_it { node.label("gpu", "yes").build() } else { node.build() }
        }))
    };
    cluster.ready_on(&mut service, &nodes(false)).await;
    for (second_has_it, targets) in [(true, 2), (false, 1)] {
        cluster.provider.update_backends(&request(&service, &nodes(second_has_it))).await.unwrap();
        assert_eq!(cluster.targets().await.len(), targets);
        assert!(cluster.provider.plan(&request(&service, &nodes(second_has_it))).await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn update_backends_makes_nothing() {
    let cluster = a_cluster(3).await;
    let service = web("web").build();
    cluster.provider.update_backends(&cluster.request(&service)).await.unwrap();
    assert!(cluster.aws.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_node_at_all_is_a_load_balancer_without_targets() {
    let cluster = a_cluster(0).await;
    let mut service = web("web").build();
    cluster.ready_on(&mut service, &NodeSet::default()).await;
    assert!(cluster.targets().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_vpc_is_learned_from_the_nodes() {
    let cluster = a_cluster_with(1, |config| config.vpc_id = None).await;
    let mut service = web("web").build();
    let pending = cluster.provider.ensure(&request(&service, &NodeSet::default())).await.unwrap();
    assert!(matches!(pending, Outcome::Pending(pending) if pending.reason == "NoVpc"));
    cluster.ready(&mut service).await;
    assert_eq!(cluster.load_balancer().await.vpc_id, cluster.vpc.id);
}

#[tokio::test(start_paused = true)]
async fn two_services_share_the_rules_on_the_nodes_and_the_last_takes_them_along() {
    let cluster = a_cluster(2).await;
    let (mut one, mut two) = (web("one").build(), web("two").build());
    cluster.ready(&mut one).await;
    cluster.ready(&mut two).await;
    let query = SecurityGroupQuery { ids: vec![cluster.vpc.node_group.clone()], ..Default::default() };
    let rules = || async {
        cluster.aws.describe_security_groups(&query, None).await.unwrap().items.remove(0).ingress
    };
    assert_eq!(rules().await.len(), 1, "one rule for any number of Services");
    cluster.deleted(&one).await;
    assert_eq!(rules().await.len(), 1);
    cluster.deleted(&two).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn deletion_waits_for_network_interfaces_a_while_and_then_comes_back() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    cluster.aws.set_lags(Lags::with(|lags| lags.network_interfaces = Lag::For(Duration::from_secs(10))));
    cluster.provider.delete(&service.id).await.expect("ten seconds are waited for");
    assert!(cluster.aws.is_empty());

    cluster.ready(&mut service).await;
    cluster.aws.set_lags(Lags::with(|lags| lags.network_interfaces = Lag::For(Duration::from_secs(300))));
    let error = cluster.provider.delete(&service.id).await.expect_err("five minutes are not");
    assert_eq!(error.class(), cloud_provider::ErrorClass::Transient);
    tokio::time::advance(Duration::from_secs(300)).await;
    cluster.provider.delete(&service.id).await.unwrap();
    assert!(cluster.aws.is_empty());
}

#[tokio::test(start_paused = true)]
async fn deletion_protection_keeps_everything_and_says_so() {
    let cluster = a_cluster(2).await;
    let attributes = format!("{PREFIX}attributes");
    let mut service = web("web").annotation(&attributes, "deletion_protection.enabled=true").build();
    cluster.ready(&mut service).await;
    let before = cluster.aws.remaining();
    let error = cluster.provider.delete(&service.id).await.expect_err("it is protected");
    assert!(error.to_string().contains("deletion protection"), "{error}");
    assert_eq!(cluster.aws.remaining(), before, "nothing was deleted");

    let mut unprotected = web("web").build();
    unprotected.published.clone_from(&service.published);
    cluster.ready(&mut unprotected).await;
    cluster.deleted(&unprotected).await;
    assert!(cluster.aws.is_empty());
}

#[tokio::test(start_paused = true)]
async fn everything_owned_is_listed_with_its_service() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let owned = cluster.provider.list().await.unwrap();
    assert_eq!(owned.len(), 3, "load balancer, target group, security group: {owned:#?}");
    assert!(owned.iter().all(|owned| owned.service == service.id));
}

#[tokio::test(start_paused = true)]
async fn what_another_version_noted_costs_a_look_and_no_write() {
    let mut cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.ready(&mut service).await;
    let arn = cluster.load_balancer().await.arn;
    let older = Tags::from([(APPLIED_TAG.to_owned(), "0123456789abcdef0123456789abcdef".to_owned())]);
    cluster.aws.add_tags(&arn, &older).await.unwrap();
    cluster.restart(&[]).await;
    let (_, first) = cluster.requests(cluster.ready(&mut service)).await;
    assert!(first.iter().all(|call| !call.is_write()), "{first:?}");
    assert!(first.contains(&Call::DescribeListeners), "it is looked at in full: {first:?}");
    let (_, second) = cluster.requests(cluster.ready(&mut service)).await;
    assert!(second.is_empty(), "and once: {second:?}");

    cluster.restart(&[]).await;
    let mut changed = web("web").ports([80, 81]).build();
    changed.published.clone_from(&service.published);
    cluster.ready(&mut changed).await;
    let noted = &cluster.aws.all_tags()[&arn][APPLIED_TAG];
    assert!(noted.starts_with("2:"), "{noted}");
}

#[tokio::test(start_paused = true)]
async fn the_host_name_is_told_as_soon_as_there_is_a_load_balancer_and_the_rest_costs_no_second_look() {
    let cluster = a_cluster(2).await;
    for other in ["one", "two"] {
        cluster.ready(&mut web(other).build()).await;
    }
    let mut service = web("web").build();
    let (outcome, first) = cluster.requests(cluster.provider.ensure(&cluster.request(&service))).await;
    let Ok(Outcome::Pending(pending)) = outcome else {
        panic!("the listener is still to be made: {outcome:?}")
    };
    let published = pending.publish.expect("the host name");
    let made = cluster.load_balancers().await.into_iter().find(|lb| lb.arn.contains("web")).unwrap();
    assert_eq!(published.ingress[0].hostname.as_deref(), Some(made.dns_name.to_lowercase().as_str()));
    assert_eq!(pending.after, Some(Duration::ZERO), "the rest is due at once");
    let before_the_name = [Call::CreateSecurityGroup, Call::CreateLoadBalancer];
    assert_eq!(first, before_the_name, "whatever a load balancer does not need comes later");

    service.published = published.ingress;
    let (outcome, second) = cluster.requests(cluster.provider.ensure(&cluster.request(&service))).await;
    let Ok(Outcome::Pending(pending)) = outcome else { panic!("AWS takes its time: {outcome:?}") };
    assert_ne!(pending.after, Some(Duration::ZERO), "all is done that can be");
    let after_it = [
        Call::AuthorizeSecurityGroupIngress,
        Call::CreateTargetGroup,
        Call::RegisterTargets,
        Call::CreateListener,
        Call::AddTags,
        Call::DescribeTags,
    ];
    assert_eq!(second, after_it);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_left_to_the_next_one_is_not_done_for_a_service_that_has_changed() {
    let cluster = a_cluster(2).await;
    let service = web("web").build();
    let outcome = cluster.provider.ensure(&cluster.request(&service)).await;
    assert!(matches!(outcome, Ok(Outcome::Pending(_))), "{outcome:?}");
    let mut changed = web("web").ports([81]).build();
    cluster.ready(&mut changed).await;
    let arn = cluster.load_balancer().await.arn;
    let listeners = cluster.aws.describe_listeners(&arn, None).await.unwrap().items;
    assert_eq!(listeners.iter().map(|it| it.port).collect::<Vec<_>>(), [81]);
    cluster.deleted(&changed).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

#[tokio::test(start_paused = true)]
async fn what_a_call_left_is_looked_at_anew_when_the_next_one_comes_late() {
    let cluster = a_cluster(2).await;
    let mut service = web("web").build();
    cluster.provider.ensure(&cluster.request(&service)).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let (_, requests) = cluster.requests(cluster.ready(&mut service)).await;
    assert!(requests.contains(&Call::DescribeListeners), "{requests:?}");
}
