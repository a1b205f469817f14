//! Changes that AWS cannot make in place: wherever the way is cut short, what clients use has targets behind it.

use cloud_provider::testing::{ServiceBuilder, request};
use cloud_provider::{CloudLoadBalancer, IpFamily, Outcome, Protocol, ServiceView};
use provider_aws::client::fake::{Fault, Lag, Lags};
use provider_aws::client::{Elbv2, IpAddressType, Protocol as AwsProtocol, Scheme, Select};

use crate::fixture::{Cluster, PREFIX, a_cluster, web};

fn annotated(service: ServiceBuilder, annotations: &[(&str, &str)]) -> ServiceBuilder {
    annotations
        .iter()
        .fold(service, |service, (suffix, value)| service.annotation(&format!("{PREFIX}{suffix}"), value))
}

/// The load balancer that the status shows has listeners, and each sends its traffic to registered targets.
async fn serves(cluster: &Cluster, service: &ServiceView, when: &str) {
    let shown = service.published[0].hostname.clone();
    let all = cluster.load_balancers().await;
    let lb = all.iter().find(|lb| Some(lb.dns_name.to_lowercase()) == shown);
    let lb = lb.unwrap_or_else(|| panic!("{when}: what the status shows is gone"));
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    assert!(!listeners.is_empty(), "{when}: no listener");
    for listener in listeners {
        for group in &listener.forward.target_groups {
            let targets = cluster.aws.describe_target_health(&group.arn, &[]).await.unwrap();
            let registered = targets.iter().filter(|target| !target.state.is_leaving()).count();
            assert!(registered > 0, "{when}: {} {} has no target", listener.protocol, listener.port);
        }
    }
}

/// Plays the controller from one Service to another, cut short at each request in turn, and looks at what serves
/// after every call.
async fn keeps_serving(cluster_of: impl AsyncFn() -> (Cluster, ServiceView, ServiceView)) -> Cluster {
    for nth in 1.. {
        let (cluster, mut before, mut after) = cluster_of().await;
        cluster.ready(&mut before).await;
        after.published.clone_from(&before.published);
        cluster.aws.set_lags(Lags::with(|lags| {
            lags.provisioning = Lag::Looks(2);
            lags.draining = Lag::Looks(2);
        }));
        let begun = cluster.aws.requests().len();
        cluster.aws.fail_nth_request(nth, Fault::before("InternalFailure"));
        let when = |call: usize| format!("request {nth} failed, after call {call}");
        let mut requests = 0;
        for call in 1..=20 {
            let outcome = cluster.provider.ensure(&request(&after, &cluster.nodes())).await;
            if call == 1 {
                requests = cluster.aws.requests().len() - begun;
                cluster.aws.heal();
            }
            serves(&cluster, &after, &when(call)).await;
            match outcome {
                Ok(Outcome::Ready(ready)) => {
                    after.published = ready.published.ingress;
                    break;
                }
                Ok(Outcome::Pending(pending)) => {
                    if let Some(published) = pending.publish {
                        after.published = published.ingress;
                    }
                }
                Err(error) => assert!(call < 20, "{}: {error}", when(call)),
            }
            serves(&cluster, &after, &when(call)).await;
        }
        let plan = cluster.provider.plan(&cluster.request(&after)).await.unwrap();
        assert!(plan.is_empty(), "{plan}");
        assert_eq!(cluster.load_balancers().await.len(), 1);
        let groups = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items;
        assert!(groups.iter().all(|group| !group.load_balancer_arns.is_empty()), "the old ones are gone");
        // The fault lay beyond the last request of the first call: every request has had its turn.
        if requests < nth as usize {
            return cluster;
        }
    }
    unreachable!("a call ends")
}

async fn listeners(cluster: &Cluster) -> Vec<(u16, AwsProtocol)> {
    let lb = cluster.load_balancer().await;
    let listeners = cluster.aws.describe_listeners(&lb.arn, None).await.unwrap().items;
    listeners.iter().map(|listener| (listener.port, listener.protocol)).collect()
}

async fn from_to(before: ServiceBuilder, after: ServiceBuilder) -> Cluster {
    let (before, after) = (before.build(), after.build());
    keeps_serving(async || (a_cluster(2).await, before.clone(), after.clone())).await
}

#[tokio::test(start_paused = true)]
async fn tcp_becomes_udp_on_a_port() {
    let on = |protocol| web("dns").protocol_ports([(protocol, 53)]);
    let cluster = from_to(on(Protocol::Tcp), on(Protocol::Udp)).await;
    assert_eq!(listeners(&cluster).await, [(53, AwsProtocol::Udp)]);
    let cluster = from_to(on(Protocol::Udp), on(Protocol::Tcp)).await;
    assert_eq!(listeners(&cluster).await, [(53, AwsProtocol::Tcp)]);
}

#[tokio::test(start_paused = true)]
async fn udp_joins_tcp_on_a_port_and_leaves_again() {
    let tcp = || web("dns").protocol_ports([(Protocol::Tcp, 53)]);
    let both = || web("dns").protocol_ports([(Protocol::Tcp, 53), (Protocol::Udp, 53)]);
    let cluster = from_to(tcp(), both()).await;
    assert_eq!(listeners(&cluster).await, [(53, AwsProtocol::TcpUdp)]);
    let cluster = from_to(both(), tcp()).await;
    assert_eq!(listeners(&cluster).await, [(53, AwsProtocol::Tcp)]);
}

async fn with_a_certificate(before: &[(&str, &str)], after: &[(&str, &str)]) -> Cluster {
    keeps_serving(async || {
        let cluster = a_cluster(2).await;
        let certificate = cluster.aws.seed_certificate();
        let service = |annotations: &[(&str, &str)]| {
            let service = annotated(web("web").ports([443]), annotations);
            annotated(service, &[("ssl-cert", &certificate)]).build()
        };
        let (before, after) = (service(before), service(after));
        (cluster, before, after)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn targets_of_tls_begin_and_cease_to_speak_tls() {
    let (plain, tls) = ([("backend-protocol", "tcp")], [("backend-protocol", "ssl")]);
    for (before, after, protocol) in [(plain, tls, AwsProtocol::Tls), (tls, plain, AwsProtocol::Tcp)] {
        let cluster = with_a_certificate(&before, &after).await;
        let groups = cluster.aws.describe_target_groups(&Select::All, None).await.unwrap().items;
        assert_eq!(groups.iter().map(|group| group.protocol).collect::<Vec<_>>(), [protocol]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_begins_and_ceases_to_end_tls() {
    let tls = async |before: bool| {
        keeps_serving(async || {
            let cluster = a_cluster(2).await;
            let certificate = cluster.aws.seed_certificate();
            let plain = || web("web").ports([443]);
            let tls = annotated(plain(), &[("ssl-cert", &certificate), ("backend-protocol", "ssl")]);
            let (plain, tls) = (plain().build(), tls.build());
            if before { (cluster, tls, plain) } else { (cluster, plain, tls) }
        })
        .await
    };
    assert_eq!(listeners(&tls(false).await).await, [(443, AwsProtocol::Tls)]);
    assert_eq!(listeners(&tls(true).await).await, [(443, AwsProtocol::Tcp)]);
}

#[tokio::test(start_paused = true)]
async fn targets_move_to_ipv6_and_back() {
    let ipv4 = || web("web").build();
    let ipv6 = || {
        let mut service = annotated(web("web"), &[("ip-address-type", "dualstack")]).build();
        service.families = vec![IpFamily::V6];
        service.cluster_ips.clear();
        service
    };
    let cluster = keeps_serving(async || (a_cluster(2).await, ipv4(), ipv6())).await;
    assert_eq!(cluster.load_balancer().await.ip_address_type, IpAddressType::DualStack);
    let cluster = keeps_serving(async || (a_cluster(2).await, ipv6(), ipv4())).await;
    assert_eq!(cluster.load_balancer().await.ip_address_type, IpAddressType::Ipv4);
}

#[tokio::test(start_paused = true)]
async fn datagrams_on_dualstack_bring_their_source_nat_and_take_it_away() {
    let ipv4 = || web("dns").protocol_ports([(Protocol::Tcp, 53)]);
    let dualstack = || {
        let service = web("dns").protocol_ports([(Protocol::Udp, 53)]);
        annotated(service, &[("ip-address-type", "dualstack"), ("enable-prefix-for-ipv6-source-nat", "on")])
    };
    let cluster = from_to(ipv4(), dualstack()).await;
    assert!(cluster.load_balancer().await.ipv6_source_nat);
    let off = || {
        annotated(ipv4(), &[("ip-address-type", "dualstack"), ("enable-prefix-for-ipv6-source-nat", "off")])
    };
    let cluster = from_to(dualstack(), off()).await;
    assert!(!cluster.load_balancer().await.ipv6_source_nat);
    let cluster = from_to(dualstack(), ipv4()).await;
    assert_eq!(cluster.load_balancer().await.ip_address_type, IpAddressType::Ipv4);
}

#[tokio::test(start_paused = true)]
async fn another_node_port_means_other_targets_before_the_old_ones_go() {
    let mut moved = web("web").build();
    moved.ports[0].node_port = Some(31999);
    let before = web("web").build();
    let cluster = keeps_serving(async || (a_cluster(2).await, before.clone(), moved.clone())).await;
    assert!(cluster.targets().await.iter().all(|target| target.port == 31999));
}

#[tokio::test(start_paused = true)]
async fn another_port_is_served_before_the_old_one_goes() {
    let cluster = from_to(web("web").ports([80]), web("web").ports([81])).await;
    assert_eq!(listeners(&cluster).await, [(81, AwsProtocol::Tcp)]);
}

#[tokio::test(start_paused = true)]
async fn fifty_listeners_make_room_for_one_another() {
    let cluster = a_cluster(1).await;
    let mut before = web("web").ports(100..150).build();
    cluster.ready(&mut before).await;
    let mut after = web("web").ports(101..151).build();
    after.published.clone_from(&before.published);
    cluster.ready(&mut after).await;
    let ports: Vec<u16> = listeners(&cluster).await.iter().map(|(port, _)| *port).collect();
    assert_eq!(ports.len(), 50);
    assert!(ports.contains(&150) && !ports.contains(&100));
}

#[tokio::test(start_paused = true)]
async fn another_scheme_is_served_by_a_new_load_balancer_before_the_old_one_goes() {
    let public = annotated(web("web"), &[("scheme", "internet-facing")]);
    let cluster = from_to(web("web"), public).await;
    assert_eq!(cluster.load_balancer().await.scheme, Scheme::InternetFacing);
}
