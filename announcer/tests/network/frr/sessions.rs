//! Sessions, and routes that come and go.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use announcer::bgp::connection::{PeerStatus, Peering};
use announcer::bgp::peer::{BgpPeer, RemoteAs};
use announcer::bgp::reason::DownReason;
use announcer::bgp::route::{LargeCommunity, PathAttributes, WantedRoutes};
use announcer::bgp::session::Leaving;
use announcer::distance::Distance;

use super::router::{Node, OUR_AS, ROUTER_AS, Router, configuration, routes};
use super::scene::{play, until};

pub(crate) fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

/// The gateways through which a prefix is reached.
pub(crate) fn ways(gateways: &[IpAddr]) -> BTreeSet<String> {
    gateways.iter().map(IpAddr::to_string).collect()
}

/// Waits until a session stands as is asked for.
#[track_caller]
pub(crate) fn stands(
    peering: &Peering,
    what: &'static str,
    is_so: impl Fn(&PeerStatus) -> bool,
) -> impl Future<Output = PeerStatus> {
    let (mut status, last) = (peering.status(), peering.status());
    async move {
        let wait = status.wait_for(|status| is_so(status));
        match tokio::time::timeout(std::time::Duration::from_secs(60), wait).await {
            Ok(status) => status.expect("the task runs").clone(),
            Err(_) => panic!("{what}: {:?}", last.borrow()),
        }
    }
}

const V4: &str = "198.51.100.7";
const V6: &str = "2001:db8:1::7";

fn full() -> Arc<WantedRoutes> {
    let attributes = PathAttributes {
        local_preference: Some(150),
        communities: BTreeSet::from([64_512 << 16 | 7]),
        large_communities: BTreeSet::from([LargeCommunity { global: OUR_AS, first: 1, second: 2 }]),
    };
    let mut wanted = WantedRoutes::default();
    wanted.add(V4.parse().unwrap(), 32, attributes.clone()).unwrap();
    wanted.add(V6.parse().unwrap(), 128, attributes).unwrap();
    Arc::new(wanted)
}

#[test]
fn routes_of_both_families_reach_the_routers_kernel_over_one_session_and_leave_it_when_withdrawn() {
    play(
        "frr::sessions::routes_of_both_families_reach_the_routers_kernel_over_one_session_and_leave_it_when_withdrawn",
        || async {
            let node = Node(1);
            let lines = format!("neighbor NODE remote-as {OUR_AS}");
            let router = Router::start(&Router::peers_over_v4(&lines, &[node])).await;
            let peering = Peering::start(node.dial(node.v4().into()), node.peer(), None, random());
            peering.want(full());
            until("IPv4", ways(&[node.v4().into()]), || router.ways(V4)).await;
            until("IPv6", ways(&[node.v6().into()]), || router.ways(V6)).await;
            for (family, ip) in [("ipv4", V4), ("ipv6", V6)] {
                let path = &router.shows(&format!("bgp {family} unicast {ip}"))["paths"][0];
                assert_eq!(path["community"]["string"], "64512:7", "{path}");
                assert_eq!(path["largeCommunity"]["string"], format!("{OUR_AS}:1:2"), "{path}");
                assert_eq!(path["aspath"]["string"], OUR_AS.to_string(), "{path}");
                assert_eq!(path["origin"], "IGP", "{path}");
            }
            let seen = stands(&peering, "up", |status| status.told == 2).await;
            assert_eq!(seen.up.map(|agreement| agreement.remote_as), Some(ROUTER_AS));
            peering.want(routes(&[]));
            let took = until("IPv4 is gone", ways(&[]), || router.ways(V4)).await;
            until("IPv6 is gone", ways(&[]), || router.ways(V6)).await;
            println!("measured: withdrawn from the router's kernel after {took:?}");
            stands(&peering, "the session stays", |status| status.up.is_some() && status.ups == 1).await;
        },
    );
}

#[test]
fn over_a_session_of_ipv6_and_within_one_as_local_preference_and_routes_of_both_families_arrive() {
    play(
        "frr::sessions::over_a_session_of_ipv6_and_within_one_as_local_preference_and_routes_of_both_families_arrive",
        || async {
            let node = Node(1);
            let session = format!("neighbor {} remote-as internal\n", node.v6());
            let bgp = configuration(OUR_AS, &session, &format!("neighbor {} activate\n", node.v6()));
            let router = Router::start(&bgp).await;
            let mut dial = node.dial(node.v6().into());
            dial.distance = Distance::Hops;
            let peer = BgpPeer { remote_as: RemoteAs::Internal, ..node.peer() };
            let peering = Peering::start(dial, peer, None, random());
            peering.want(full());
            until("IPv4", ways(&[node.v4().into()]), || router.ways(V4)).await;
            until("IPv6", ways(&[node.v6().into()]), || router.ways(V6)).await;
            let path = &router.shows(&format!("bgp ipv6 unicast {V6}"))["paths"][0];
            assert_eq!(
                (&path["locPrf"], &path["aspath"]["string"]),
                (&150.into(), &"Local".into()),
                "{path}"
            );
        },
    );
}

#[test]
fn two_nodes_share_the_traffic_and_one_that_leaves_takes_only_its_own_way_along() {
    play(
        "frr::sessions::two_nodes_share_the_traffic_and_one_that_leaves_takes_only_its_own_way_along",
        || async {
            let nodes = [Node(1), Node(2)];
            let lines = format!("neighbor NODE remote-as {OUR_AS}");
            let router = Router::start(&Router::peers_over_v4(&lines, &nodes)).await;
            let [first, second] =
                nodes.map(|node| Peering::start(node.dial(node.v4().into()), node.peer(), None, random()));
            for peering in [&first, &second] {
                peering.want(full());
            }
            until("both ways, IPv4", ways(&nodes.map(|node| node.v4().into())), || router.ways(V4)).await;
            until("both ways, IPv6", ways(&nodes.map(|node| node.v6().into())), || router.ways(V6)).await;
            first.leave(Leaving::ForGood).await;
            until("one way, IPv4", ways(&[nodes[1].v4().into()]), || router.ways(V4)).await;
            until("one way, IPv6", ways(&[nodes[1].v6().into()]), || router.ways(V6)).await;
            let said = router.shows(&format!("bgp neighbors {}", nodes[0].v4()));
            let said = &said[nodes[0].v4().to_string()]["lastNotificationReason"];
            assert_eq!(said, "Cease/Administrative Shutdown", "the last word has arrived");
            stands(&second, "the other is not touched", |status| status.ups == 1 && status.up.is_some())
                .await;
        },
    );
}

#[test]
fn a_thousand_routes_arrive_and_leave_with_few_messages() {
    play("frr::sessions::a_thousand_routes_arrive_and_leave_with_few_messages", || async {
        let node = Node(1);
        let router =
            Router::start(&Router::peers_over_v4(&format!("neighbor NODE remote-as {OUR_AS}"), &[node]))
                .await;
        let count =
            || router.shows("bgp ipv4 unicast summary")["peers"][node.v4().to_string()]["pfxRcd"].as_u64();
        let peering = Peering::start(node.dial(node.v4().into()), node.peer(), None, random());
        let prefixes: Vec<String> =
            (0..1_000).map(|n| format!("198.18.{}.{}/32", n / 250, n % 250)).collect();
        peering.want(routes(&prefixes.iter().map(String::as_str).collect::<Vec<_>>()));
        until("a thousand", Some(1_000), count).await;
        peering.want(routes(&prefixes[..1].iter().map(String::as_str).collect::<Vec<_>>()));
        let took = until("one", Some(1), count).await;
        println!("measured: 999 routes withdrawn after {took:?}");
        let received = router.shows(&format!("bgp neighbors {}", node.v4()));
        let updates = &received[node.v4().to_string()]["messageStats"]["updatesRecv"];
        assert!(updates.as_u64().is_some_and(|updates| updates < 10), "{updates}");
    });
}

#[test]
fn a_wrong_as_is_told_by_name_whoever_notices_it_and_mended_the_session_comes_up() {
    play(
        "frr::sessions::a_wrong_as_is_told_by_name_whoever_notices_it_and_mended_the_session_comes_up",
        || async {
            let node = Node(1);
            let router =
                Router::start(&Router::peers_over_v4("neighbor NODE remote-as 64999", &[node])).await;
            let peering = Peering::start(node.dial(node.v4().into()), node.peer(), None, random());
            let seen = stands(&peering, "the router notices", |status| {
                matches!(status.reason, Some(DownReason::OurAs { ours: OUR_AS, .. }))
            })
            .await;
            assert_eq!(
                seen.reason.map(|reason| reason.to_string()).as_deref(),
                Some("it refuses us as AS 4200000001: it says Bad Peer AS (2/2)")
            );
            let asn = format!("router bgp {ROUTER_AS}");
            let mended = format!("neighbor {} remote-as {OUR_AS}", node.v4());
            router.configure(&[&asn, &mended]);
            stands(&peering, "mended", |status| status.up.is_some()).await;
            drop(peering);
            let wrong = BgpPeer { remote_as: RemoteAs::Number(64_601), ..node.peer() };
            let peering = Peering::start(node.dial(node.v4().into()), wrong, None, random());
            let expected = DownReason::WrongAs { expected: RemoteAs::Number(64_601), told: ROUTER_AS };
            stands(&peering, "we notice", |status| status.reason.as_ref() == Some(&expected)).await;
        },
    );
}

#[test]
fn a_router_that_is_not_there_yet_is_found_when_it_is() {
    play("frr::sessions::a_router_that_is_not_there_yet_is_found_when_it_is", || async {
        let node = Node(1);
        let router = Router::start("").await;
        let peering = Peering::start(node.dial(node.v4().into()), node.peer(), None, random());
        let seen = stands(&peering, "nobody listens", |status| status.reason.is_some()).await;
        let reason = seen.reason.expect("it is there").to_string();
        assert!(reason.starts_with("it cannot be connected to: Connection refused"), "{reason}");
        let asn = format!("router bgp {ROUTER_AS}");
        let neighbor = format!("neighbor {} remote-as {OUR_AS}", node.v4());
        router.configure(&[&asn, "bgp router-id 10.0.0.254", &neighbor]);
        stands(&peering, "it is found", |status| status.up.is_some()).await;
    });
}
