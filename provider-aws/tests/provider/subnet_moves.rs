//! Subnets and addresses that change: zone by zone, while other zones serve.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud_provider::testing::ServiceBuilder;
use cloud_provider::{CloudLoadBalancer, ErrorClass, ServiceView};
use provider_aws::client::fake::{Fault, Lag, Lags};
use provider_aws::client::{Call, IpAddressType, ZoneAddress};

use crate::fixture::{Cluster, PREFIX, a_cluster, web};

fn annotated(annotations: &[(&str, &[&String])]) -> ServiceBuilder {
    annotations.iter().fold(web("web"), |service, (suffix, values)| {
        let values: Vec<&str> = values.iter().map(|value| value.as_str()).collect();
        service.annotation(&format!("{PREFIX}{suffix}"), &values.join(","))
    })
}

fn edited(from: &ServiceView, into: ServiceBuilder) -> ServiceView {
    into.published(from.published.clone()).build()
}

/// What one kind of address is in each subnet.
async fn addresses<T>(
    cluster: &Cluster,
    kind: impl Fn(&ZoneAddress) -> Option<T>,
) -> BTreeMap<String, Option<T>> {
    let zones = cluster.load_balancer().await.zones;
    zones.into_iter().map(|zone| (zone.subnet_id, zone.addresses.first().and_then(&kind))).collect()
}

async fn elastic_ips(cluster: &Cluster) -> BTreeMap<String, Option<String>> {
    addresses(cluster, |address| address.allocation_id.clone()).await
}

fn in_subnets<'a, T: Clone + 'a>(
    subnets: &[String],
    values: impl IntoIterator<Item = &'a T>,
) -> BTreeMap<String, Option<T>> {
    subnets.iter().cloned().zip(values.into_iter().cloned().map(Some)).collect()
}

/// An internet-facing load balancer in the first public subnets, with these Elastic IPs.
fn with_elastic_ips(cluster: &Cluster, ips: &[&String]) -> ServiceBuilder {
    let subnets: Vec<&String> = cluster.vpc.public.iter().take(ips.len()).collect();
    let scheme = "internet-facing".to_owned();
    annotated(&[("scheme", &[&scheme]), ("subnets", &subnets), ("eip-allocations", ips)])
}

#[tokio::test(start_paused = true)]
async fn other_elastic_ips_are_noticed_and_set_zone_by_zone_while_two_zones_serve() {
    let cluster = a_cluster(2).await;
    let [a, b, c, d, e, f] = [(); 6].map(|()| cluster.aws.seed_elastic_ip());
    let mut service = with_elastic_ips(&cluster, &[&a, &b, &c]).build();
    cluster.ready(&mut service).await;
    let arn = cluster.load_balancer().await.arn;
    let mut moved = edited(&service, with_elastic_ips(&cluster, &[&d, &e, &f]));

    // The move stops at every request in turn.
    for nth in 1.. {
        cluster.aws.fail_nth(Call::SetSubnets, nth, Fault::before("InternalFailure"));
        let result = cluster.ensure(&moved).await;
        assert!(cluster.load_balancer().await.zones.len() >= 2, "two zones serve at any time");
        cluster.aws.heal();
        if result.is_ok() {
            break;
        }
    }
    cluster.ready(&mut moved).await;
    assert_eq!(elastic_ips(&cluster).await, in_subnets(&cluster.vpc.public, [&d, &e, &f]));
    assert_eq!(cluster.load_balancer().await.arn, arn);
    let plan = cluster.provider.plan(&cluster.request(&moved)).await.unwrap();
    assert!(plan.is_empty(), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn elastic_ips_that_change_places_are_freed_together_while_a_third_zone_serves() {
    let cluster = a_cluster(2).await;
    let [a, b, c] = [(); 3].map(|()| cluster.aws.seed_elastic_ip());
    let mut service = with_elastic_ips(&cluster, &[&a, &b, &c]).build();
    cluster.ready(&mut service).await;
    let mut moved = edited(&service, with_elastic_ips(&cluster, &[&b, &a, &c]));
    cluster.ready(&mut moved).await;
    assert_eq!(elastic_ips(&cluster).await, in_subnets(&cluster.vpc.public, [&b, &a, &c]));
}

#[tokio::test(start_paused = true)]
async fn other_private_addresses_are_noticed_and_set() {
    let cluster = a_cluster(2).await;
    let at = |last: u8| -> Vec<String> { (100..103).map(|third| format!("10.0.{third}.{last}")).collect() };
    let with = |list: &[String]| annotated(&[("private-ipv4-addresses", &list.iter().collect::<Vec<_>>())]);
    let mut service = with(&at(20)).build();
    cluster.ready(&mut service).await;
    let mut moved = edited(&service, with(&at(30)));
    cluster.ready(&mut moved).await;
    let found = addresses(&cluster, |address| address.private_ipv4.map(|ip| ip.to_string())).await;
    assert_eq!(found, in_subnets(&cluster.vpc.private, &at(30)));
}

#[tokio::test(start_paused = true)]
async fn ipv6_addresses_come_with_the_change_to_dualstack_and_change_zone_by_zone_after_it() {
    let cluster = a_cluster(2).await;
    let dualstack = "dualstack".to_owned();
    let at = |last: u8| -> Vec<String> {
        (0x64..0x67).map(|subnet| format!("2001:db8:0:{subnet:x}::{last:x}")).collect()
    };
    let with = |list: &[String]| {
        let list: Vec<&String> = list.iter().collect();
        annotated(&[("ip-address-type", &[&dualstack]), ("ipv6-addresses", &list)])
    };
    let found = || addresses(&cluster, |address| address.ipv6.map(|ip| ip.to_string()));
    let mut service = web("web").build();
    cluster.ready(&mut service).await;

    let mut first = edited(&service, with(&at(0x20)));
    let (_, requests) = cluster.requests(cluster.ready(&mut first)).await;
    assert_eq!(requests.iter().filter(|call| **call == Call::SetSubnets).count(), 1, "no zone is taken out");
    assert_eq!(cluster.load_balancer().await.ip_address_type, IpAddressType::DualStack);
    assert_eq!(found().await, in_subnets(&cluster.vpc.private, &at(0x20)));

    let mut second = edited(&first, with(&at(0x30)));
    cluster.ready(&mut second).await;
    assert_eq!(found().await, in_subnets(&cluster.vpc.private, &at(0x30)));
}

#[tokio::test(start_paused = true)]
async fn the_only_zone_keeps_its_address_and_the_user_is_told() {
    let cluster = a_cluster(2).await;
    let [a, b, c] = [(); 3].map(|()| cluster.aws.seed_elastic_ip());
    let mut service = with_elastic_ips(&cluster, &[&a]).build();
    cluster.ready(&mut service).await;
    let before = cluster.load_balancer().await;
    let moved = edited(&service, with_elastic_ips(&cluster, &[&b]));
    let (mistakes, requests) = cluster.requests(cluster.mistakes(&moved)).await;
    let text = mistakes.clone();
    for expected in ["eip-allocations", b.as_str(), "only zone", "another zone beside it", "stays as it is"] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
    assert_eq!(cluster.load_balancer().await, before);

    let mut wider = edited(&service, with_elastic_ips(&cluster, &[&b, &c]));
    cluster.ready(&mut wider).await;
    assert_eq!(elastic_ips(&cluster).await, in_subnets(&cluster.vpc.public, [&b, &c]));
}

#[tokio::test(start_paused = true)]
async fn the_only_subnet_is_not_swapped_for_another_one_of_its_zone() {
    let cluster = a_cluster(2).await;
    let mut service = annotated(&[("subnets", &[&cluster.vpc.private[0]])]).build();
    cluster.ready(&mut service).await;
    let moved = edited(&service, annotated(&[("subnets", &[&cluster.vpc.public[0]])]));
    let (mistakes, requests) = cluster.requests(cluster.mistakes(&moved)).await;
    assert!(mistakes.clone().contains(&cluster.vpc.public[0]), "{mistakes}");
    assert!(requests.iter().all(|call| !call.is_write()), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_aws_is_slow_to_let_go_of_comes_back_later() {
    let mut cluster = a_cluster(2).await;
    let [a, b, c] = [(); 3].map(|()| cluster.aws.seed_elastic_ip());
    let mut service = with_elastic_ips(&cluster, &[&a, &b]).build();
    cluster.ready(&mut service).await;
    cluster.aws.set_lags(Lags::with(|lags| lags.removed_zone = Lag::For(Duration::from_secs(170))));
    let moved = edited(&service, with_elastic_ips(&cluster, &[&a, &c]));
    let error = cluster.ensure(&moved).await.expect_err("the zone is leaving");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(error.to_string().contains("let go of the zone"), "{error}");
    assert_eq!(cluster.load_balancer().await.zones.len(), 1, "the other zone serves");
    // Another process, too, knows that this passes.
    cluster.restart(&[]).await;
    let error = cluster.ensure(&moved).await.expect_err("the zone is still leaving");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    tokio::time::advance(Duration::from_secs(180)).await;
    cluster.ensure(&moved).await.unwrap();
    assert_eq!(elastic_ips(&cluster).await, in_subnets(&cluster.vpc.public, [&a, &c]));
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_added_leaves_the_addresses_of_the_others_as_they_are() {
    let cluster = a_cluster(2).await;
    let [a, b, c] = [(); 3].map(|()| cluster.aws.seed_elastic_ip());
    let mut service = with_elastic_ips(&cluster, &[&a, &b]).build();
    cluster.ready(&mut service).await;
    let mut wider = edited(&service, with_elastic_ips(&cluster, &[&a, &b, &c]));
    let (_, requests) = cluster.requests(cluster.ready(&mut wider)).await;
    assert_eq!(requests.iter().filter(|call| **call == Call::SetSubnets).count(), 1);
    assert_eq!(elastic_ips(&cluster).await, in_subnets(&cluster.vpc.public, [&a, &b, &c]));
}

#[tokio::test(start_paused = true)]
async fn addresses_that_nobody_asks_for_any_more_stay() {
    let cluster = a_cluster(2).await;
    let [a, b] = [(); 2].map(|()| cluster.aws.seed_elastic_ip());
    let mut service = with_elastic_ips(&cluster, &[&a, &b]).build();
    cluster.ready(&mut service).await;
    let subnets: Vec<&String> = cluster.vpc.public.iter().collect();
    let scheme = "internet-facing".to_owned();
    let mut plain = edited(&service, annotated(&[("scheme", &[&scheme]), ("subnets", &subnets)]));
    cluster.ready(&mut plain).await;
    let found = elastic_ips(&cluster).await;
    assert_eq!(found.into_values().flatten().collect::<Vec<_>>(), [a, b]);
}
