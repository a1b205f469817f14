//! Chance in pauses, so that not everybody does the same at the same moment.

use std::time::Duration;

/// Three quarters of a time, or more: what RFC 4271 §10 asks of the timers of BGP, and no worse for others.
pub(crate) fn shortened(time: Duration, random: &mut fastrand::Rng) -> Duration {
    time.mul_f64(0.75 + random.f64() / 4.0)
}
