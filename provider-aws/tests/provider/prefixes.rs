//! Whatever a Service becomes, and wherever a plan is cut short, the next look goes on from there.

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, Protocol, ServiceView};
use proptest::prelude::*;
use provider_aws::client::ZoneMapping;
use provider_aws::client::fake::Fault;

use crate::fixture::{Cluster, PREFIX, a_cluster, nodes_of, web};

/// What a user asks for at one time.
#[derive(Clone, Debug)]
struct Wish {
    ports: Vec<(Protocol, u16)>,
    internet_facing: bool,
    tls: bool,
    narrow: bool,
    attributes: bool,
    dualstack: bool,
    /// How many zones, and which Elastic IPs where the scheme takes some.
    zones: usize,
    elastic: Option<usize>,
    nodes: usize,
    /// The request that loses its reply on the way there.
    lost: u32,
}

fn wish() -> impl Strategy<Value = Wish> {
    let port = (prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)], 80_u16..84);
    let ports = proptest::collection::btree_set(port, 1..4).prop_map(|ports| ports.into_iter().collect());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    // With one zone alone an address could not change.
    let place = (2_usize..=3, proptest::option::of(0_usize..2));
    (ports, flags, place, 0_usize..4, 1_u32..40).prop_map(|(ports, flags, (zones, elastic), nodes, lost)| {
        let (internet_facing, tls, narrow, attributes, dualstack) = flags;
        Wish { ports, internet_facing, tls, narrow, attributes, dualstack, zones, elastic, nodes, lost }
    })
}

/// What is there to be named.
struct There {
    certificate: String,
    elastic_ips: Vec<String>,
}

fn service(cluster: &Cluster, wish: &Wish, there: &There) -> ServiceView {
    let (scheme, subnets) = match wish.internet_facing {
        true => ("internet-facing", &cluster.vpc.public),
        false => ("internal", &cluster.vpc.private),
    };
    let mut service = web("web")
        .protocol_ports(wish.ports.iter().copied())
        .annotation(&format!("{PREFIX}scheme"), scheme)
        .annotation(&format!("{PREFIX}subnets"), &subnets[..wish.zones].join(","));
    if wish.tls {
        service = service.annotation(&format!("{PREFIX}ssl-cert"), &there.certificate);
    }
    if let Some(set) = wish.elastic.filter(|_| wish.internet_facing) {
        let ips = &there.elastic_ips[set * 3..][..wish.zones];
        service = service.annotation(&format!("{PREFIX}eip-allocations"), &ips.join(","));
    }
    if wish.dualstack {
        service = service
            .annotation(&format!("{PREFIX}ip-address-type"), "dualstack")
            .annotation(&format!("{PREFIX}enable-prefix-for-ipv6-source-nat"), "on");
    }
    if wish.narrow {
        service = service.source_ranges(["10.0.0.0/8"]);
    }
    if wish.attributes {
        let key = format!("{PREFIX}target-group-attributes");
        service = service.annotation(&key, "deregistration_delay.timeout_seconds=30");
    }
    service.build()
}

async fn live(wishes: Vec<Wish>) {
    let cluster = a_cluster(3).await;
    let elastic_ips = (0..6).map(|_| cluster.aws.seed_elastic_ip()).collect();
    let there = There { certificate: cluster.aws.seed_certificate(), elastic_ips };
    let mut published = Vec::new();
    let mut last = None;
    for wish in wishes {
        let mut service = service(&cluster, &wish, &there);
        service.published = published;
        let nodes = nodes_of(&cluster.instances[..wish.nodes]);
        cluster.aws.fail_nth_request(wish.lost, Fault::reply_lost());
        cluster.ready_on(&mut service, &nodes).await;
        cluster.aws.heal();
        cluster.ready_on(&mut service, &nodes).await;
        let plan = cluster.provider.plan(&request(&service, &nodes)).await.unwrap();
        assert!(plan.is_empty(), "the plan of what has converged is empty: {plan}");
        let lb = cluster.load_balancer().await;
        assert_eq!(lb.zones.len(), wish.zones);
        if let Some(set) = wish.elastic.filter(|_| wish.internet_facing) {
            let held = |zone: &ZoneMapping| zone.addresses.first().and_then(|a| a.allocation_id.clone());
            let held: Vec<String> = lb.zones.iter().filter_map(held).collect();
            assert_eq!(held, there.elastic_ips[set * 3..][..wish.zones]);
        }
        let numbers: std::collections::BTreeSet<u16> = wish.ports.iter().map(|(_, port)| *port).collect();
        assert_eq!(cluster.targets().await.len(), numbers.len() * wish.nodes);
        published = service.published.clone();
        last = Some(service);
    }
    cluster.deleted(&last.expect("at least one wish")).await;
    assert!(cluster.aws.is_empty(), "{:#?}", cluster.aws.remaining());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_change_cut_short_anywhere_converges(wishes in proptest::collection::vec(wish(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(live(wishes));
    }
}
