//! Time as leadership needs it: read from two clocks at once.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// One moment on the monotonic clock and on the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Governs every wait and deadline: nobody can set it.
    pub(super) instant: Instant,
    /// Written into records; here, only a second witness of time gone by.
    pub(super) wall: Timestamp,
}

impl Moment {
    pub(super) fn now() -> Self {
        Moment { instant: Instant::now(), wall: Timestamp::now() }
    }

    /// How much time has gone by since `earlier`, by the clock that claims more.
    ///
    /// Linux's monotonic clock stands still while the machine is suspended; the wall clock does not, but may
    /// be set back. Whichever of the two is right, the answer is not too small. A wall clock set forward
    /// makes it too large: leadership then rests until the next renewal, which is the harmless mistake.
    pub(super) fn since(self, earlier: Moment) -> Duration {
        let monotonic = self.instant.saturating_duration_since(earlier.instant);
        let wall = Duration::try_from(self.wall.duration_since(earlier.wall)).unwrap_or_default();
        monotonic.max(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_claims_more_time_is_believed() {
        let start = Moment { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        for (name, monotonic, wall, elapsed) in [
            ("both agree", 7, 7, 7),
            ("the machine was suspended", 1, 3_600, 3_600),
            ("the wall clock was set back", 7, -3_600, 7),
            ("the wall clock stands still", 7, 0, 7),
        ] {
            let now = Moment {
                instant: start.instant + Duration::from_secs(monotonic),
                wall: Timestamp::from_second(wall).unwrap(),
            };
            assert_eq!(now.since(start), Duration::from_secs(elapsed), "{name}");
        }
    }
}
