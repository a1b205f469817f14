//! When an address that is held is announced without being asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// After how long each of the first announcements comes. More than one, because any may be lost, and close together at
/// first, because until one arrives clients send to the old place.
const FIRST_DELAYS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(450),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How often from then on: a switch forgets where an address is long before a router asks for it again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Round {
    began: Duration,
    /// How many are sent of [`FIRST_DELAYS`], and as many more as there were of [`REPEAT_INTERVAL`].
    sent: usize,
    due: Duration,
}

/// The times of gratuitous packets for the addresses of one link.
#[derive(Clone, Debug, Default)]
pub struct Gratuitous {
    rounds: BTreeMap<IpAddr, Round>,
    queue: BTreeSet<(Duration, IpAddr)>,
}

impl Gratuitous {
    /// Begins from the first: the address was taken, or a conflict about it was won.
    pub fn begin(&mut self, ip: IpAddr, now: Duration) {
        self.end(ip);
        self.rounds.insert(ip, Round { began: now, sent: 0, due: now });
        self.queue.insert((now, ip));
    }

    /// Begins all of them from the first: the link is up again, or has another hardware address.
    pub fn begin_all(&mut self, now: Duration) {
        let all: Vec<IpAddr> = self.rounds.keys().copied().collect();
        all.into_iter().for_each(|ip| self.begin(ip, now));
    }

    /// The address is not held any more.
    pub fn end(&mut self, ip: IpAddr) {
        if let Some(round) = self.rounds.remove(&ip) {
            self.queue.remove(&(round.due, ip));
        }
    }

    /// What is to be announced now. What was missed while nobody asked is not made up for.
    pub fn due(&mut self, now: Duration) -> Vec<IpAddr> {
        let mut due = Vec::new();
        while let Some((at, ip)) = self.queue.first().copied().filter(|(at, _)| *at <= now) {
            self.queue.remove(&(at, ip));
            if let Some(round) = self.rounds.get_mut(&ip) {
                while round.due <= now {
                    round.sent += 1;
                    round.due = match FIRST_DELAYS.get(round.sent) {
                        Some(after) => round.began + *after,
                        None => round.due + REPEAT_INTERVAL,
                    };
                }
                self.queue.insert((round.due, ip));
                due.push(ip);
            }
        }
        due
    }

    /// When the next is due.
    pub fn next(&self) -> Option<Duration> {
        self.queue.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(gratuitous: &mut Gratuitous, until: Duration) -> Vec<u128> {
        let mut times = Vec::new();
        while let Some(at) = gratuitous.next().filter(|at| *at <= until) {
            gratuitous.due(at).iter().for_each(|_| times.push(at.as_millis()));
        }
        times
    }

    #[test]
    fn a_taken_address_is_announced_seven_times_in_four_seconds_and_then_every_minute() {
        let mut gratuitous = Gratuitous::default();
        gratuitous.begin([192, 0, 2, 7].into(), Duration::from_secs(10));
        assert_eq!(
            times(&mut gratuitous, Duration::from_secs(140)),
            [10_000, 10_050, 10_200, 10_450, 11_000, 12_000, 14_000, 74_000, 134_000]
        );
    }

    #[test]
    fn an_address_that_is_given_up_is_announced_no_more_and_one_that_begins_again_from_the_first() {
        let mut gratuitous = Gratuitous::default();
        let (a, b) = ([192, 0, 2, 7].into(), [192, 0, 2, 8].into());
        gratuitous.begin(a, Duration::ZERO);
        gratuitous.begin(b, Duration::ZERO);
        assert_eq!(gratuitous.due(Duration::from_secs(30)), [a, b], "once, however many were missed");
        gratuitous.end(a);
        gratuitous.begin_all(Duration::from_secs(40));
        assert_eq!(times(&mut gratuitous, Duration::from_millis(40_060)), [40_000, 40_050]);
    }
}
