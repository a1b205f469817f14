//! What AWS refuses leaves undone only what needs it, and is asked for again when time may have mended it.

use std::time::Duration;

use cloud_provider::{CloudLoadBalancer, Error, NoteKind, Outcome, Pending, ServiceView};
use futures::StreamExt;
use provider_aws::client::fake::{Fault, SubnetSeed};
use provider_aws::client::{Call, Elbv2, SharingOptions, Tags};

use crate::fixture::{Cluster, PREFIX, a_cluster, web};

const NO_CERTIFICATE: &str = "arn:aws:acm:us-east-1:123456789012:certificate/none";

fn annotated(ports: &[u16], annotations: &[(&str, &str)]) -> ServiceView {
    let service = web("web").ports(ports.iter().copied());
    annotations
        .iter()
        .fold(service, |service, (suffix, value)| service.annotation(&format!("{PREFIX}{suffix}"), value))
        .build()
}

async fn ports(cluster: &Cluster) -> Vec<u16> {
    let lb = cluster.load_balancer().await;
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    let mut ports: Vec<u16> = listeners.iter().map(|listener| listener.port).collect();
    ports.sort_unstable();
    ports
}

async fn pending(cluster: &Cluster, service: &ServiceView) -> Pending {
    match cluster.ensure(service).await.unwrap() {
        Outcome::Pending(pending) => pending,
        other @ Outcome::Ready(_) => panic!("not pending: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_certificate_keeps_no_other_port_from_being_made_or_changed() {
    let cluster = a_cluster(2).await;
    let bad = [("ssl-cert", NO_CERTIFICATE), ("ssl-ports", "443")];
    let mut service = annotated(&[80, 443, 8443], &bad);
    let first = pending(&cluster, &service).await;
    assert_eq!(first.reason, "PartlyRefused");
    assert_eq!(ports(&cluster).await, [80, 8443]);
    let note = first.notes.iter().find(|note| note.kind == NoteKind::Warning).expect("a warning");
    assert!(note.message.contains("ssl-cert") && note.message.contains(NO_CERTIFICATE), "{}", note.message);
    let published = first.publish.expect("the others serve");
    let errors: Vec<(u16, Option<&str>)> =
        published.ingress[0].ports.iter().map(|port| (port.port, port.error.as_deref())).collect();
    let refused = "elasticloadbalancing.amazonaws.com/CertificateNotFound";
    assert_eq!(errors, [(80, None), (443, Some(refused)), (8443, None)]);

    service.published.clone_from(&published.ingress);
    let mut moved = annotated(&[81, 443, 8443], &bad);
    moved.published.clone_from(&service.published);
    pending(&cluster, &moved).await;
    assert_eq!(ports(&cluster).await, [80, 81, 8443], "what goes waits until all of the new is there");
    let mut good = annotated(&[81, 8443], &[]);
    good.published.clone_from(&service.published);
    cluster.ready(&mut good).await;
    assert_eq!(ports(&cluster).await, [81, 8443]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_for_logs_that_aws_may_not_write_to_keeps_no_port_from_being_made_or_changed() {
    let cluster = a_cluster(2).await;
    let logs = "access_logs.s3.enabled=true,access_logs.s3.bucket=somebody-elses";
    cluster.aws.fail_always(Call::ModifyLoadBalancerAttributes, Fault::before("InvalidConfigurationRequest"));
    let mut published = Vec::new();
    for expected in [&[80][..], &[80, 81][..]] {
        let mut service = annotated(expected, &[("attributes", logs)]);
        service.published = published;
        let refused = pending(&cluster, &service).await;
        assert!(refused.why.contains("aws-load-balancer-attributes"), "{}", refused.why);
        assert_eq!(ports(&cluster).await, expected);
        published = refused.publish.expect("the ports serve").ingress;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_attribute_keeps_no_port_from_being_made() {
    let cluster = a_cluster(2).await;
    let service = annotated(&[80], &[("attributes", "no.such.attribute=1")]);
    let refused = pending(&cluster, &service).await;
    assert!(refused.why.contains("no.such.attribute"), "{}", refused.why);
    assert_eq!(ports(&cluster).await, [80]);
    assert!(refused.publish.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_looked_at_again_with_growing_pauses_and_served_once_time_has_mended_it() {
    let cluster = a_cluster(2).await;
    let mut wakeups = cluster.provider.wakeups();
    let mut service = annotated(&[443], &[("ssl-cert", NO_CERTIFICATE)]);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let error = cluster.ensure(&service).await.expect_err("no such certificate");
        assert!(matches!(error, Error::InvalidInPart(_)), "{error}");
        let asleep = tokio::time::Instant::now();
        assert_eq!(wakeups.next().await.as_ref(), Some(&service.id.key));
        pauses.push(asleep.elapsed());
    }
    let minutes = |n: u64| Duration::from_secs(60 * n);
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15].map(minutes));

    let issued = cluster.aws.seed_certificate();
    let value = service.annotations.get_mut(&format!("{PREFIX}ssl-cert")).unwrap();
    value.clone_from(&issued);
    cluster.ready(&mut service).await;
    let woken = tokio::time::timeout(minutes(600), wakeups.next()).await;
    assert!(woken.is_err(), "nobody is woken any more: {woken:?}");
}

#[tokio::test(start_paused = true)]
async fn what_only_the_user_can_mend_is_not_looked_at_again() {
    let cluster = a_cluster(2).await;
    let mut wakeups = cluster.provider.wakeups();
    cluster.ensure(&annotated(&[80], &[("scheme", "publik")])).await.expect_err("a mistake");
    let woken = tokio::time::timeout(Duration::from_secs(36_000), wakeups.next()).await;
    assert!(woken.is_err(), "{woken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_is_tagged_later_is_found() {
    let cluster = a_cluster(2).await;
    let mut wakeups = cluster.provider.wakeups();
    let untagged: Vec<String> = cluster.vpc.private.iter().chain(&cluster.vpc.public).cloned().collect();
    for id in &untagged {
        let other = ("kubernetes.io/cluster/other".to_owned(), "owned".to_owned());
        cluster.aws.change_subnet(id, |subnet| subnet.tags.extend([other]));
    }
    let mut service = annotated(&[80], &[]);
    cluster.ensure(&service).await.expect_err("no subnet");
    for id in &untagged {
        cluster.aws.change_subnet(id, |subnet| {
            subnet.tags.remove("kubernetes.io/cluster/other");
        });
    }
    while wakeups.next().await.is_some_and(|key| key == service.id.key) {
        if cluster.ensure(&service).await.is_ok() {
            break;
        }
    }
    cluster.ready(&mut service).await;
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_found_later_freezes_no_service_with_addresses_of_its_own() {
    let cluster = a_cluster(2).await;
    let ips: Vec<String> = (0..3).map(|_| cluster.aws.seed_elastic_ip()).collect();
    let place = [("scheme", "internet-facing"), ("eip-allocations", &ips.join(","))];
    let mut service = annotated(&[80], &place);
    cluster.ready(&mut service).await;
    let zones = cluster.load_balancer().await.zones;

    let fourth = cluster.aws.seed_subnet(SubnetSeed {
        vpc_id: cluster.vpc.id.clone(),
        zone: 'd',
        ipv4: "10.0.200.0/24".parse().unwrap(),
        ipv6: None,
        public: true,
        available: 250,
        tags: Tags::from([("kubernetes.io/role/elb".to_owned(), "1".to_owned())]),
    });
    tokio::time::advance(SharingOptions::default().keep_network).await;
    let mut changed = annotated(&[80, 81], &place);
    changed.published.clone_from(&service.published);
    let Outcome::Ready(ready) = cluster.ensure(&changed).await.unwrap() else { panic!("it serves") };

    assert_eq!(ports(&cluster).await, [80, 81], "what else is asked for is done");
    assert_eq!(cluster.load_balancer().await.zones, zones, "it keeps its own");
    let note = ready.notes.iter().find(|note| note.reason == "SubnetsNotUsed").expect("a note");
    assert_eq!(note.kind, NoteKind::Normal);
    assert!(note.message.contains(&fourth), "{}", note.message);
}

#[tokio::test(start_paused = true)]
async fn an_elastic_ip_that_another_load_balancer_lets_go_of_is_taken() {
    let cluster = a_cluster(2).await;
    let ip = cluster.aws.seed_elastic_ip();
    let with_ip = |name: &str| {
        let place = [
            ("scheme", "internet-facing"),
            ("subnets", cluster.vpc.public[0].as_str()),
            ("eip-allocations", ip.as_str()),
        ];
        let service = place.iter().fold(web(name), |service, (suffix, value)| {
            service.annotation(&format!("{PREFIX}{suffix}"), value)
        });
        service.build()
    };
    let (mut first, mut second) = (with_ip("first"), with_ip("second"));
    cluster.ready(&mut first).await;
    let mut wakeups = cluster.provider.wakeups();
    let refused = cluster.ensure(&second).await.expect_err("the address is in use").to_string();
    assert!(refused.contains("eip-allocations") && refused.contains(&ip), "{refused}");
    cluster.deleted(&first).await;
    let woken = tokio::time::timeout(Duration::from_secs(3600), wakeups.next()).await;
    assert_eq!(woken, Ok(Some(second.id.key.clone())));
    cluster.ready(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_no_refusal_ends_the_call() {
    let cluster = a_cluster(2).await;
    cluster.aws.fail_always(Call::CreateListener, Fault::before("InternalFailure"));
    let before = cluster.aws.count(Call::CreateListener);
    cluster.ensure(&annotated(&[80, 81, 82], &[])).await.expect_err("AWS is ill");
    assert_eq!(cluster.aws.count(Call::CreateListener) - before, 1, "each would be waited for anew");
}
