//! A path that is cut without a word.

use std::net::IpAddr;
use std::time::Duration;

use announcer::bfd::packet::BfdState;
use announcer::bfd::path::{PathKey, Paths};
use announcer::bfd::session::Profile;
use announcer::bgp::connection::Peering;
use announcer::bgp::reason::DownReason;
use announcer::distance::Distance;

use super::router::{Node, OUR_AS, Router, routes};
use super::scene::{play, until};
use super::sessions::{random, stands, ways};
use crate::namespaces::run;

const IP: &str = "198.51.100.7";

#[test]
fn when_a_path_is_cut_bfd_ends_the_routes_that_lead_there_and_the_session_and_both_come_back() {
    play(
        "frr::bfd::when_a_path_is_cut_bfd_ends_the_routes_that_lead_there_and_the_session_and_both_come_back",
        || async {
            let nodes = [Node(1), Node(2)];
            let lines = format!("neighbor NODE remote-as {OUR_AS}\nneighbor NODE bfd profile fast");
            let router = Router::start(&Router::peers_over_v4(&lines, &nodes)).await;
            let paths = Paths::default();
            let profile = Profile {
                receive: Duration::from_millis(100),
                transmit: Duration::from_millis(100),
                ..Profile::default()
            };
            let both = nodes.map(|node| {
                let from: IpAddr = node.v4().into();
                let key = PathKey { from: Some(from), to: node.router_v4().into(), distance: Distance::Link };
                let path = paths.watch(key, profile, fastrand::Rng::with_seed(node.0.into()));
                let peering = Peering::start(node.dial(from), node.peer(), Some(path.status()), random());
                peering.want(routes(&[&format!("{IP}/32")]));
                (path, peering)
            });
            let all = ways(&nodes.map(|node| node.v4().into()));
            until("both ways", all.clone(), || router.ways(IP)).await;
            for (path, _) in &both {
                let up = |status: &announcer::bfd::path::PathStatus| status.state == BfdState::Up;
                path.status().wait_for(up).await.expect("it is watched");
            }
            // The cable stays in, and nothing comes through.
            run("nft add table netdev cut");
            run(
                "nft add chain netdev cut in { type filter hook ingress device node1 priority 0 ; policy drop ; }",
            );
            run("nft add table inet cut");
            run("nft add chain inet cut out { type filter hook output priority 0 ; }");
            run("nft add rule inet cut out oifname node1 drop");
            let took = until("one way", ways(&[nodes[1].v4().into()]), || router.ways(IP)).await;
            println!("measured: the way through a silent node left the router's kernel after {took:?}");
            let (path, peering) = &both[0];
            stands(peering, "we notice as well", |status| status.reason == Some(DownReason::BfdDown)).await;
            assert_eq!(path.status().borrow().losses, 1);
            run("nft delete table netdev cut");
            run("nft delete table inet cut");
            until("both ways again", all, || router.ways(IP)).await;
            stands(&both[1].1, "the other is not touched", |status| status.ups == 1).await;
        },
    );
}

#[test]
fn over_ipv6_bfd_comes_up_and_switched_off_it_takes_no_session_along_on_our_side() {
    play(
        "frr::bfd::over_ipv6_bfd_comes_up_and_switched_off_it_takes_no_session_along_on_our_side",
        || async {
            let node = Node(1);
            let router = Router::start("").await;
            router.configure(&["bfd", &format!("peer {}", node.v6()), "profile fast"]);
            let key = PathKey { from: None, to: node.router_v6().into(), distance: Distance::Link };
            let path = Paths::default().watch(key, Profile::default(), random());
            let mut status = path.status();
            status.wait_for(|status| status.state == BfdState::Up).await.expect("it is watched");
            let state = || router.shows("bfd peers")[0]["status"].as_str().map(str::to_owned);
            until("the router sees it", Some("up".to_owned()), state).await;
            path.switch_off().await;
            until("the router is told", Some("down".to_owned()), state).await;
            let why = &router.shows("bfd peers")[0]["remote-diagnostic"];
            assert_eq!(why, "administratively down");
            assert_eq!(status.borrow().losses, 0);
        },
    );
}
