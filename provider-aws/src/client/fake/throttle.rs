//! Throttling like AWS's: token buckets that refuse.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    super::{Call, Rate, RateBucket},
    refusal::{Answered, refuse},
};

/// The buckets in force.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: BTreeMap<RateBucket, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    /// None before the first request: the bucket is full.
    counted_at: Option<Instant>,
}

impl Throttle {
    pub(super) fn limit(&mut self, family: RateBucket, rate: Rate) {
        let bucket = Bucket { rate, tokens: f64::from(rate.burst), counted_at: None };
        self.buckets.insert(family, bucket);
    }

    pub(super) fn take(&mut self, call: Call, now: Instant) -> Answered<()> {
        let Some(bucket) = self.buckets.get_mut(&call.rate_bucket()) else { return Ok(()) };
        let passed = bucket.counted_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        bucket.tokens = (bucket.tokens + passed * bucket.rate.per_second).min(f64::from(bucket.rate.burst));
        bucket.counted_at = Some(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        match call.rate_bucket() {
            RateBucket::Ec2Read | RateBucket::Ec2Write => {
                refuse("RequestLimitExceeded", "Request limit exceeded.")
            }
            RateBucket::ElbRead | RateBucket::ElbWrite | RateBucket::ElbTargets => {
                refuse("Throttling", "Rate exceeded")
            }
        }
    }
}
