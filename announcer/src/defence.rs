//! What to do about somebody who is no announcer of ours and claims an address that is held.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::ethernet::Mac;

/// How often an address may be defended (RFC 5227 §1.1, `DEFEND_INTERVAL`). An announced address is meant to stay where it
/// is, so it is kept however often it is claimed, as §2.4 (c) allows; but two that both defend at once would never stop.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// After how long without a claim the next one is told again.
const QUIET_PERIOD: Duration = Duration::from_secs(300);

/// What to do about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// It is to be answered by one announcement, which [`Defence::due`] will name.
    pub announce: bool,
    /// It is to be told: this one was not heard to claim the address before, or not for a long time.
    pub tell: bool,
}

/// Foreign claims of the addresses of one link.
#[derive(Clone, Debug, Default)]
pub struct Defence {
    defended: BTreeMap<IpAddr, Duration>,
    due: BTreeSet<IpAddr>,
    due_at: Option<Duration>,
    claimants: BTreeMap<IpAddr, BTreeMap<Mac, Duration>>,
}

/// How many claimants of one address are remembered: who invents hardware addresses is to fill no memory.
const MAX_CLAIMANTS: usize = 16;

impl Defence {
    /// Somebody claims an address that is held.
    pub fn claimed(&mut self, now: Duration, ip: IpAddr, by: Mac) -> Claimed {
        let announce = self.defended.get(&ip).is_none_or(|last| *last + DEFEND_INTERVAL <= now);
        if announce {
            self.defended.insert(ip, now);
            self.due.insert(ip);
            self.due_at.get_or_insert(now);
        }
        let claimants = self.claimants.entry(ip).or_default();
        claimants.retain(|_, last| *last + QUIET_PERIOD > now);
        let room = claimants.len() < MAX_CLAIMANTS;
        let known = claimants.contains_key(&by);
        if known || room {
            claimants.insert(by, now);
        }
        Claimed { announce, tell: !known && room }
    }

    /// What is to be announced now.
    pub fn due(&mut self, now: Duration) -> BTreeSet<IpAddr> {
        if self.due_at.is_none_or(|at| at > now) {
            return BTreeSet::new();
        }
        self.due_at = None;
        std::mem::take(&mut self.due)
    }

    /// When something is to be announced.
    pub fn next(&self) -> Option<Duration> {
        self.due_at
    }

    /// The address is not held any more.
    pub fn end(&mut self, ip: IpAddr) {
        self.claimants.remove(&ip);
        self.due.remove(&ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const FOREIGN: Mac = Mac::new([2, 0, 0, 0, 0, 9]);

    #[test]
    fn an_address_is_defended_once_in_ten_seconds_and_a_claimant_told_once() {
        let (mut defence, at) = (Defence::default(), Duration::from_millis);
        let claims = [0, 1, 9_999, 10_000, 10_001].map(|ms| {
            let claimed = defence.claimed(at(ms), IP, FOREIGN);
            (claimed.announce, claimed.tell, defence.due(at(ms)).contains(&IP))
        });
        let (defended, silent) = ((true, false, true), (false, false, false));
        assert_eq!(claims, [(true, true, true), silent, silent, defended, silent]);
    }

    #[test]
    fn a_claimant_that_was_quiet_for_long_is_told_again() {
        let (mut defence, at) = (Defence::default(), Duration::from_secs);
        let told = [0, 299, 598, 898].map(|s| defence.claimed(at(s), IP, FOREIGN).tell);
        assert_eq!(told, [true, false, false, true]);
    }

    #[test]
    fn who_invents_hardware_addresses_is_told_sixteen_times() {
        let mut defence = Defence::default();
        let told =
            (0..200).filter(|n| defence.claimed(Duration::ZERO, IP, Mac::new([2, 0, 0, 0, 0, *n])).tell);
        assert_eq!(told.count(), 16);
    }

    #[test]
    fn what_is_given_up_is_not_defended_and_is_not_defended_more_often_when_it_comes_back() {
        let mut defence = Defence::default();
        defence.claimed(Duration::ZERO, IP, FOREIGN);
        defence.end(IP);
        assert!(defence.due(Duration::ZERO).is_empty());
        assert!(!defence.claimed(Duration::from_secs(1), IP, FOREIGN).announce);
    }
}
