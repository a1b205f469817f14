//! How fast AWS may be asked at most.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use super::RateBucket;

/// A token bucket's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests that may go at once after a quiet time; at least 1.
    pub burst: u32,
    /// Requests a second in the long run; above 0.
    pub per_second: f64,
}

impl Rate {
    /// What a bucket may be filled by, in requests a second: the longest wait for one token is a minute and a half,
    /// and the most is far above what AWS takes.
    const PER_SECOND: RangeInclusive<f64> = 0.01..=1000.0;
}

/// Requests a second, a colon, requests at once: `8:30`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.per_second, self.burst)
    }
}

/// Text that is not a [`Rate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rate; write requests a second (0.01 to 1000), a colon and requests at once (1 or more), as in 8:30"
)]
pub struct NotARate(String);

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let read = || {
            let (per_second, burst) = text.split_once(':')?;
            let rate = Self { per_second: per_second.parse().ok()?, burst: burst.parse().ok()? };
            (Self::PER_SECOND.contains(&rate.per_second) && rate.burst > 0).then_some(rate)
        };
        read().ok_or_else(|| NotARate(text.to_owned()))
    }
}

/// The most that each [`RateBucket`] of AWS is asked for; [`Pacing`](super::Pacing) takes less where AWS throttles.
///
/// The defaults lie inside the buckets AWS publishes or is known to have: ELBv2 reads 40 at once and 10/s; EC2 reads 100
/// and 20/s, EC2 writes 50 and 5/s (*Request throttling for the Amazon EC2 API*). For ELBv2 writes and target
/// registration AWS names no numbers; there the defaults are more than is known to work everywhere, and half of them is
/// what is begun with.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// ELBv2 reads; 30 at once, 8/s.
    pub elb_read: Rate,
    /// ELBv2 writes; 40 at once, 20/s.
    pub elb_write: Rate,
    /// Target registration; 40 at once, 20/s.
    pub elb_targets: Rate,
    /// EC2 reads; 40 at once, 10/s.
    pub ec2_read: Rate,
    /// EC2 writes; 40 at once, 5/s.
    pub ec2_write: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            elb_read: Rate { burst: 30, per_second: 8.0 },
            elb_write: Rate { burst: 40, per_second: 20.0 },
            elb_targets: Rate { burst: 40, per_second: 20.0 },
            ec2_read: Rate { burst: 40, per_second: 10.0 },
            ec2_write: Rate { burst: 40, per_second: 5.0 },
        }
    }
}

impl Rates {
    /// The defaults, but for what `change` sets.
    pub fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut rates = Self::default();
        change(&mut rates);
        rates
    }

    /// The most of one bucket.
    pub const fn of(&self, bucket: RateBucket) -> Rate {
        match bucket {
            RateBucket::ElbRead => self.elb_read,
            RateBucket::ElbWrite => self.elb_write,
            RateBucket::ElbTargets => self.elb_targets,
            RateBucket::Ec2Read => self.ec2_read,
            RateBucket::Ec2Write => self.ec2_write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_as_it_is_read() {
        for text in ["8:30", "0.01:1", "2.5:10", "1000:4000"] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("8:30".parse(), Ok(Rates::default().elb_read));
    }

    #[test]
    fn what_would_stop_or_flood_is_not_a_rate() {
        for text in [
            "", "8", "8:", ":30", "8/30", "0:30", "8:0", "-1:30", "8:-1", "NaN:1", "inf:1", "1001:1",
            "1e-9:1",
        ] {
            let error = text.parse::<Rate>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("{text:?} is not a rate; write ")), "{error}");
        }
    }
}
