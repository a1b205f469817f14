//! Pauses between attempts.

use std::time::Duration;

/// The pause before another attempt: as long as the first one, then twice as long each time, up to the longest.
///
/// It has no jitter: whoever may fail in step with others shortens or lengthens by chance what this gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoublingPause {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl DoublingPause {
    /// From `first` on, up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        DoublingPause { first, longest, next: first }
    }

    /// How long the next pause is.
    pub fn next(&self) -> Duration {
        self.next.min(self.longest)
    }

    /// How long to pause now. The pause after it is twice as long.
    pub fn advance(&mut self) -> Duration {
        let pause = self.next();
        self.next = pause.saturating_mul(2);
        pause
    }

    /// It went well: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_is_the_first_again_after_a_success() {
        let mut pause = DoublingPause::new(Duration::from_secs(1), Duration::from_secs(5));
        let seconds = |pause: &mut DoublingPause| [(); 5].map(|()| pause.advance().as_secs());
        assert_eq!(seconds(&mut pause), [1, 2, 4, 5, 5]);
        pause.reset();
        assert_eq!(pause.next(), Duration::from_secs(1));
        assert_eq!(seconds(&mut pause), [1, 2, 4, 5, 5]);
        let mut shortest = DoublingPause::new(Duration::from_secs(9), Duration::from_secs(5));
        assert_eq!(shortest.advance(), Duration::from_secs(5), "never longer than the longest");
    }
}
