//! Throttling like AWS's: token buckets that refuse.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    super::{Call, Family, Rate},
    refusal::{Verdict, refuse},
};

/// The buckets in force.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: BTreeMap<Family, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    /// None before the first request: the bucket is full.
    counted_at: Option<Instant>,
}

impl Throttle {
    pub(super) fn limit(&mut self, family: Family, rate: Rate) {
        let bucket = Bucket { rate, tokens: f64::from(rate.burst), counted_at: None };
        self.buckets.insert(family, bucket);
    }

    pub(super) fn take(&mut self, call: Call, now: Instant) -> Verdict<()> {
        let Some(bucket) = self.buckets.get_mut(&call.family()) else { return Ok(()) };
        let passed = bucket.counted_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        bucket.tokens = (bucket.tokens + passed * bucket.rate.per_second).min(f64::from(bucket.rate.burst));
        bucket.counted_at = Some(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        match call.family() {
            Family::Ec2Read | Family::Ec2Write => refuse("RequestLimitExceeded", "Request limit exceeded."),
            Family::ElbRead | Family::ElbWrite | Family::ElbTargets => refuse("Throttling", "Rate exceeded"),
        }
    }
}
