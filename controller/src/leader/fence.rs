//! The question to ask before every act of a leader.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock::Moment;

/// Answers whether this process still leads. Cheap to clone and to ask: it reads two clocks, never the
/// network.
///
/// # Guarantees
/// While [`is_leader`](Fence::is_leader) is true nobody else has been able to take the Lease, and nobody will
/// for at least `lease_duration - renew_deadline` (5 s by default): see there.
///
/// # Assumptions
/// * Monotonic clocks of different machines run at nearly the same speed.
/// * A call started just before the answer changes ends within `lease_duration - renew_deadline`. Give calls a
///   deadline accordingly, and [`lost`](super::Held::lost) to cancel them. A process that is paused between
///   asking and acting is beyond any check of its own: what it then sends has to be refused by the receiver (a
///   stale resourceVersion) or be harmless to repeat (names and tags that find what exists).
#[derive(Clone, Debug)]
pub struct Fence {
    renewed: watch::Receiver<Option<Moment>>,
    lost: CancellationToken,
    renew_deadline: Duration,
}

impl Fence {
    pub(super) fn new(
        renewed: watch::Receiver<Option<Moment>>,
        lost: CancellationToken,
        renew_deadline: Duration,
    ) -> Self {
        Fence { renewed, lost, renew_deadline }
    }

    /// Whether it is still safe to start something that only a leader may do.
    ///
    /// True for `renew_deadline` from the *start* of the last renewal that succeeded. The others count the
    /// lease from when they saw that renewal, which is never before it was sent; so counting from the end of
    /// the call would be too long by the time the reply took. Counting up to the end of the lease would be
    /// safe for the instant of asking only, and leave no time for what is started then.
    pub fn is_leader(&self) -> bool {
        self.is_leader_at(Moment::now())
    }

    fn is_leader_at(&self, now: Moment) -> bool {
        !self.lost.is_cancelled()
            && self.renewed.borrow().is_some_and(|renewed| now.since(renewed) < self.renew_deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leadership_ends_by_the_clock_or_by_being_lost_and_does_not_come_back() {
        let start = Moment::now();
        let after = |millis| Moment { instant: start.instant + Duration::from_millis(millis), ..start };
        let (renewed, receiver) = watch::channel(None);
        let lost = CancellationToken::new();
        let fence = Fence::new(receiver, lost.clone(), Duration::from_secs(10));
        assert!(!fence.is_leader_at(start), "never elected");

        renewed.send_replace(Some(start));
        assert!(fence.is_leader_at(after(9_999)));
        assert!(!fence.is_leader_at(after(10_000)));

        renewed.send_replace(Some(after(2_000)));
        assert!(fence.is_leader_at(after(10_000)));

        lost.cancel();
        assert!(!fence.is_leader_at(after(2_001)));
    }
}
