//! A peer as it is configured.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::family::Family;
use super::update::NextHops;

/// Which autonomous system a peer has to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAs {
    /// This one.
    Number(u32),
    /// Our own, whichever that is.
    Internal,
    /// Any but our own.
    External,
}

impl RemoteAs {
    /// Whether a peer that says it is of `told` may be, where we are of `ours`.
    pub(crate) fn allows(self, told: u32, ours: u32) -> bool {
        match self {
            RemoteAs::Number(number) => told == number,
            RemoteAs::Internal => told == ours,
            RemoteAs::External => told != ours,
        }
    }
}

impl fmt::Display for RemoteAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAs::Number(number) => write!(f, "AS {number}"),
            RemoteAs::Internal => f.write_str("our own AS"),
            RemoteAs::External => f.write_str("an AS other than our own"),
        }
    }
}

/// After how long a silence a session ends, in seconds: never, or three at least (RFC 4271 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldTime(u16);

impl HoldTime {
    /// RFC 4271 §10 suggests it.
    pub const DEFAULT: HoldTime = HoldTime(90);
    /// Silence ends no session.
    pub const NEVER: HoldTime = HoldTime(0);

    /// So many seconds; none where that is 1 or 2, which no peer may accept.
    pub fn new(seconds: u16) -> Option<Self> {
        (!matches!(seconds, 1 | 2)).then_some(HoldTime(seconds))
    }

    /// In seconds; 0 is never.
    pub fn seconds(self) -> u16 {
        self.0
    }

    /// As long a time; none is never.
    pub fn duration(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_secs(self.0.into()))
    }
}

/// A peer: what a session with it is made of, but for its address, which is the connection's concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpPeer {
    /// Our autonomous system, as this peer is to see it.
    pub asn: u32,
    /// The peer's.
    pub remote_as: RemoteAs,
    /// Our router ID; not zero, and no other router's.
    pub router_id: Ipv4Addr,
    /// What we ask for; the shorter of both sides' holds.
    pub hold_time: HoldTime,
    /// How often the peer hears of us; a third of the hold time where that is less, or where nothing is asked for.
    pub keepalive: Option<Duration>,
    /// The longest pause between two attempts to connect. The first ones come sooner.
    pub connect_time: Duration,
    /// The families whose routes the peer is to be told.
    pub families: BTreeSet<Family>,
    /// For how many seconds the peer is to keep our routes while we restart; none is not at all. 4,095 at most.
    pub graceful_restart: Option<u16>,
    /// Where packets are to go. What is missing of the connection's own family is the connection's own address.
    pub next_hops: NextHops,
}

impl BgpPeer {
    /// What RFC 4271 §10 suggests as the longest pause between attempts.
    pub const CONNECT_TIME: Duration = Duration::from_secs(120);
    /// For how long a peer keeps our routes, where nothing else is asked for; FRR asks for as much.
    pub const RESTART_SECONDS: u16 = 120;
}
