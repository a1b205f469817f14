//! Whatever a Service becomes, and wherever a plan is cut short, the next look goes on from there.

use cloud_provider::testing::request;
use cloud_provider::{CloudLoadBalancer, Protocol, ServiceView};
use proptest::prelude::*;
use provider_aws::client::fake::Fault;

use crate::fixture::{PREFIX, a_cluster, nodes_of, web};

/// What a user asks for at one time.
#[derive(Clone, Debug)]
struct Wish {
    ports: Vec<(Protocol, u16)>,
    internet_facing: bool,
    tls: bool,
    narrow: bool,
    attributes: bool,
    nodes: usize,
    /// The request that loses its reply on the way there.
    lost: u32,
}

fn wish() -> impl Strategy<Value = Wish> {
    let port = (prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)], 80_u16..84);
    let ports = proptest::collection::btree_set(port, 1..4).prop_map(|ports| ports.into_iter().collect());
    (ports, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0_usize..4, 1_u32..30).prop_map(
        |(ports, internet_facing, tls, narrow, attributes, nodes, lost)| Wish {
            ports,
            internet_facing,
            tls,
            narrow,
            attributes,
            nodes,
            lost,
        },
    )
}

fn service(wish: &Wish, certificate: &str) -> ServiceView {
    let scheme = if wish.internet_facing { "internet-facing" } else { "internal" };
    let mut service =
        web("web").protocol_ports(wish.ports.iter().copied()).annotation(&format!("{PREFIX}scheme"), scheme);
    if wish.tls {
        service = service.annotation(&format!("{PREFIX}ssl-cert"), certificate);
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
    let certificate = cluster.aws.seed_certificate();
    let mut published = Vec::new();
    let mut last = None;
    for wish in wishes {
        let mut service = service(&wish, &certificate);
        service.published = published;
        let nodes = nodes_of(&cluster.instances[..wish.nodes]);
        cluster.aws.fail_nth_request(wish.lost, Fault::reply_lost());
        cluster.ready_on(&mut service, &nodes).await;
        cluster.aws.heal();
        cluster.ready_on(&mut service, &nodes).await;
        let plan = cluster.provider.plan(&request(&service, &nodes)).await.unwrap();
        assert!(plan.is_empty(), "the plan of what has converged is empty: {plan}");
        assert_eq!(cluster.load_balancers().await.len(), 1);
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
