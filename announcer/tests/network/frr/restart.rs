//! A restart of the program, and the difference to leaving.

use announcer::bgp::connection::Peering;
use announcer::bgp::peer::BgpPeer;
use announcer::bgp::session::Leaving;

use super::router::{Node, OUR_AS, Router, routes};
use super::scene::{play, until};
use super::sessions::{random, stands, ways};

const V4: &str = "198.51.100.7";
const V6: &str = "2001:db8:1::7";
const GONE: &str = "198.51.100.8";

#[test]
fn a_restart_changes_no_route_and_what_is_wanted_no_more_goes_when_everything_is_told_again() {
    play(
        "frr::restart::a_restart_changes_no_route_and_what_is_wanted_no_more_goes_when_everything_is_told_again",
        || async {
            let node = Node(1);
            let lines = format!("neighbor NODE remote-as {OUR_AS}");
            let router = Router::start(&Router::peers_over_v4(&lines, &[node])).await;
            let begin = || {
                let peer = BgpPeer { graceful_restart: Some(60), ..node.peer() };
                Peering::start(node.dial(node.v4().into()), peer, None, random())
            };
            let peering = begin();
            peering.want(routes(&[&format!("{V4}/32"), &format!("{V6}/128"), &format!("{GONE}/32")]));
            for (ip, gateway) in [(V4, node.v4().into()), (V6, node.v6().into()), (GONE, node.v4().into())] {
                until(ip, ways(&[gateway]), || router.ways(ip)).await;
            }
            let seen = stands(&peering, "up", |status| status.told == 3).await;
            assert!(seen.up.is_some_and(|agreement| agreement.keeps_routes), "the router helps");
            let watch = router.watch_routes().await;
            peering.leave(Leaving::ToRestart).await;
            until("the router notices", false, || {
                let state = router.shows(&format!("bgp neighbors {}", node.v4()));
                state[node.v4().to_string()]["bgpState"] == "Established"
            })
            .await;
            let peering = begin();
            peering.want(routes(&[&format!("{V4}/32"), &format!("{V6}/128")]));
            until("what is wanted no more is gone", ways(&[]), || router.ways(GONE)).await;
            let changes = [V4, V6].map(|ip| watch.changes(ip)).concat();
            assert!(changes.is_empty(), "the others were there all the time: {changes:?}");
            peering.leave(Leaving::ForGood).await;
            until("whoever leaves for good is not waited for", ways(&[]), || router.ways(V4)).await;
            until("in IPv6 neither", ways(&[]), || router.ways(V6)).await;
        },
    );
}
