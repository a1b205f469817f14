//! How long it takes until a route that is withdrawn has left the kernel of a router, which is FRR:
//!
//! ```sh
//! cargo bench --package announcer --bench withdrawal
//! ```
//!
//! The bench looks by running `ip`, so that what it prints is a few milliseconds too much.

// Parts of the suite `network`, of which this needs but a few.
#[allow(dead_code)]
mod frr {
    pub(crate) mod router;
    pub(crate) mod scene;
}
#[allow(dead_code)]
mod namespaces;

use std::collections::BTreeSet;
use std::time::Duration;

use announcer::bgp::connection::Peering;

use frr::router::{Node, OUR_AS, Router, routes};
use frr::scene::{play, until};

/// How often it is measured.
const TIMES: usize = 20;

const V4: &str = "198.51.100.7";
const V6: &str = "2001:db8:1::7";

fn main() {
    play("withdrawal", || async {
        let node = Node(1);
        let lines = format!("neighbor NODE remote-as {OUR_AS}");
        let router = Router::start(&Router::peers_over_v4(&lines, &[node])).await;
        let peering =
            Peering::start(node.dial(node.v4().into()), node.peer(), None, fastrand::Rng::with_seed(7));
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            for (ip, prefix, way, took) in [
                (V4, "198.51.100.7/32", node.v4().to_string(), &mut v4),
                (V6, "2001:db8:1::7/128", node.v6().to_string(), &mut v6),
            ] {
                peering.want(routes(&[prefix]));
                until("it is there", BTreeSet::from([way]), || router.ways(ip)).await;
                peering.want(routes(&[]));
                took.push(until("it is gone", BTreeSet::new(), || router.ways(ip)).await);
            }
        }
        for (family, mut took) in [("IPv4", v4), ("IPv6", v6)] {
            took.sort();
            let millis = |time: &Duration| time.as_secs_f64() * 1_000.0;
            let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
            println!(
                "measured: {family}: withdrawn from the router's kernel within {:.0} ms (median of {TIMES}), {:.0} ms at most",
                millis(&median),
                millis(&most)
            );
        }
        // As the test harness says it, by which whoever started this program knows that it came to its end.
        println!("1 passed");
    });
}
