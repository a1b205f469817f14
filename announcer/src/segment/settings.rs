//! How fast the heart beats.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// From how many nodes on the interval grows, so that all together never send more than so many beats in one interval.
const CROWD_NODES: usize = 200;
const ALLOWED_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(5);
const ALLOWED_MULTIPLIERS: RangeInclusive<f64> = 2.0..=10.0;
/// A dead interval is sent in milliseconds of 16 bits.
const MAX_DEAD_INTERVAL: Duration = Duration::from_secs(60);

/// The settings of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeartbeatSettings {
    interval: Duration,
    multiplier: f64,
    pub(super) keyed: bool,
}

impl Default for HeartbeatSettings {
    /// Every 100 ms, dead after three and a half of them; with a key.
    fn default() -> Self {
        HeartbeatSettings { interval: Duration::from_millis(100), multiplier: 3.5, keyed: true }
    }
}

/// Settings that do not work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WrongSettings {
    /// The interval is too short or too long.
    Interval(Duration),
    /// The multiplier is too small or too large, or no number.
    Multiplier(f64),
}

impl fmt::Display for WrongSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WrongSettings::Interval(interval) => {
                let (from, to) = (ALLOWED_INTERVALS.start(), ALLOWED_INTERVALS.end());
                write!(f, "the heartbeat's interval {interval:?} is not between {from:?} and {to:?}")
            }
            WrongSettings::Multiplier(multiplier) => {
                let (from, to) = (ALLOWED_MULTIPLIERS.start(), ALLOWED_MULTIPLIERS.end());
                write!(f, "the heartbeat's multiplier {multiplier} is not between {from} and {to}")
            }
        }
    }
}

impl std::error::Error for WrongSettings {}

impl HeartbeatSettings {
    /// With this interval between beats, from 10 ms to 5 s, and a node dead after so many of them without one, from 2 to 10.
    ///
    /// # Errors
    /// Which of the two is out of its range.
    pub fn new(interval: Duration, multiplier: f64) -> Result<Self, WrongSettings> {
        if !ALLOWED_INTERVALS.contains(&interval) {
            return Err(WrongSettings::Interval(interval));
        }
        if !ALLOWED_MULTIPLIERS.contains(&multiplier) {
            return Err(WrongSettings::Multiplier(multiplier));
        }
        Ok(HeartbeatSettings { interval, multiplier, keyed: true })
    }

    /// The same, with a key for the heartbeat or without one. Without, nothing is announced.
    pub fn keyed(self, keyed: bool) -> Self {
        HeartbeatSettings { keyed, ..self }
    }

    /// The interval among so many nodes, and how long others are to wait, in whole milliseconds.
    pub(super) fn pace(self, nodes: usize) -> (Duration, Duration) {
        let crowd = nodes.max(CROWD_NODES) as f64 / CROWD_NODES as f64;
        let interval = self.interval.mul_f64(crowd).min(MAX_DEAD_INTERVAL.div_f64(self.multiplier));
        let whole = |time: Duration| Duration::from_millis(time.as_millis() as u64);
        (whole(interval), whole(interval.mul_f64(self.multiplier)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_grows_with_the_number_of_nodes_beyond_two_hundred() {
        let ms = Duration::from_millis;
        assert_eq!(HeartbeatSettings::default().pace(200), (ms(100), ms(350)));
        assert_eq!(HeartbeatSettings::default().pace(500), (ms(250), ms(875)));
        assert!(HeartbeatSettings::default().pace(1_000_000).1 <= Duration::from_secs(60));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = HeartbeatSettings::new(Duration::from_millis(5), 3.5).unwrap_err().to_string();
        assert!(refused.contains("5ms") && refused.contains("10ms") && refused.contains("5s"), "{refused}");
        let refused = HeartbeatSettings::new(Duration::from_millis(100), f64::NAN).unwrap_err().to_string();
        assert!(refused.contains("NaN") && refused.contains("between 2 and 10"), "{refused}");
    }
}
