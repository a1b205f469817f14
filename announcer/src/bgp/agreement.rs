//! What the two ends of a session agree on, from what each says first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::family::Family;
use super::open::{Capabilities, GracefulRestart, Open};
use super::peer::{BgpPeer, HoldTime};
use super::update::Telling;

const MIN_KEEPALIVE: Duration = Duration::from_secs(1);

/// What the two ends of a session agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The peer's autonomous system.
    pub remote_as: u32,
    /// The peer's router ID.
    pub remote_id: std::net::Ipv4Addr,
    /// The families whose routes are told. Those that we have and the peer does not take are missing.
    pub families: BTreeSet<Family>,
    /// The shorter of what both asked for (RFC 4271 §4.2).
    pub hold_time: HoldTime,
    /// How often the peer hears of us; never, where silence ends no session.
    pub keepalive: Option<Duration>,
    /// Whether the peer keeps our routes while we restart.
    pub keeps_routes: bool,
    /// How routes are told.
    pub telling: Telling,
}

impl Agreement {
    /// With a peer that is the one that was meant, on a connection from this address of ours.
    pub(crate) fn of(peer: &BgpPeer, open: &Open, local: IpAddr) -> Self {
        let theirs = HoldTime::new(open.hold_time).unwrap_or(HoldTime::DEFAULT);
        let hold_time = peer.hold_time.min(theirs);
        let third = hold_time.duration().map(|hold| hold / 3);
        Agreement {
            remote_as: open.asn,
            remote_id: open.identifier,
            families: peer.families.intersection(&open.capabilities.families).copied().collect(),
            hold_time,
            // Not more often than once a second, whatever is asked for (RFC 4271 §4.4).
            keepalive: third
                .map(|third| peer.keepalive.map_or(third, |asked| asked.clamp(MIN_KEEPALIVE, third))),
            keeps_routes: peer.graceful_restart.is_some() && open.capabilities.graceful_restart.is_some(),
            telling: Telling {
                asn: peer.asn,
                is_internal: open.asn == peer.asn,
                four_octet_as: open.capabilities.four_octet_as,
                next_hops: peer.next_hops.or(local),
            },
        }
    }
}

impl BgpPeer {
    /// What we say first.
    ///
    /// That packets were forwarded meanwhile is always said: kube-proxy does that, whether or not we run. A peer that kept
    /// our routes goes on keeping them then, until we have told all that there are (RFC 4724 §4.2). That we have restarted is
    /// said as long as this process had no session: the peer is not to wait for our routes then before it tells its own
    /// (§4.1), and whether there was a process before, nobody knows.
    pub(crate) fn open(&self, has_restarted: bool) -> Open {
        let forwarded = || self.families.iter().map(|family| (*family, true)).collect::<BTreeMap<_, _>>();
        let graceful_restart = self.graceful_restart.map(|seconds| GracefulRestart {
            restarted: has_restarted,
            seconds,
            forwarded: forwarded(),
        });
        Open {
            asn: self.asn,
            hold_time: self.hold_time.seconds(),
            identifier: self.router_id,
            capabilities: Capabilities {
                families: self.families.clone(),
                four_octet_as: true,
                route_refresh: true,
                graceful_restart,
            },
        }
    }
}
