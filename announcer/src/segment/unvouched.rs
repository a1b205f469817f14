//! Claims under another key.
//!
//! An announcer of this cluster that has another key is not heard, and does not hear us; yet it answers, and clients go to it. It
//! keeps what it has: what it claims is not taken. Nobody vouches for such a claim, so it counts for nothing else, and for no
//! longer than it is repeated.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::beat::{Beat, Role};

/// For how long such a claim counts at most, whatever it says itself.
const MAX_UNVOUCHED: Duration = Duration::from_secs(10);

/// How many addresses are remembered: anybody on the segment can make up more.
const MAX_ADDRESSES: usize = 10_000;

/// What is claimed under other keys, and until when that counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Unvouched(BTreeMap<IpAddr, Duration>);

impl Unvouched {
    pub(super) fn hear(&mut self, now: Duration, beat: &Beat) {
        // Whoever leaves wants to be rid of it.
        if beat.role == Role::Leaver {
            return;
        }
        if self.0.len() + beat.claims.len() > MAX_ADDRESSES {
            self.0.retain(|_, until| *until > now);
        }
        for ip in &beat.claims {
            if self.0.len() < MAX_ADDRESSES || self.0.contains_key(ip) {
                self.0.insert(*ip, now + beat.dead.min(MAX_UNVOUCHED));
            }
        }
    }

    /// Until when an address is claimed; none if it is not.
    pub(super) fn until(&self, ip: IpAddr, now: Duration) -> Option<Duration> {
        self.0.get(&ip).copied().filter(|until| *until > now)
    }
}
