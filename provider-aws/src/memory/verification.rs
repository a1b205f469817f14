//! When everything about a Service is read back, and what was found as it should be.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::naming;

/// By Service UID.
#[derive(Debug)]
pub(crate) struct Verification {
    period: Duration,
    services: Mutex<HashMap<String, Verified>>,
}

#[derive(Debug)]
struct Verified {
    /// When everything is read back again.
    due: Instant,
    /// The digest of what was found, by reading it, to be as it should.
    settled: Option<String>,
}

impl Verification {
    pub(super) fn new(period: Duration) -> Self {
        Verification { period, services: Mutex::default() }
    }

    /// Whether everything about a Service should be read back. One that is new to this process has its first
    /// turn at a moment that follows from its UID, so that a new leader does not verify all at once.
    pub(crate) fn is_due(&self, uid: &str) -> bool {
        let now = Instant::now();
        self.of(uid, |verified| verified.due <= now)
    }

    /// Everything was read back, and is or was made what this digest stands for.
    pub(crate) fn done(&self, uid: &str, digest: String) {
        let due = Instant::now() + self.period;
        self.of(uid, |verified| *verified = Verified { due, settled: Some(digest) });
    }

    /// What could be read back without knowing what is wanted was: the rest has its turn a period later.
    pub(crate) fn put_off(&self, uid: &str) {
        let due = Instant::now() + self.period;
        self.of(uid, |verified| verified.due = due);
    }

    /// Whether this process itself found what exists to be what this digest stands for.
    pub(crate) fn is_settled(&self, uid: &str, digest: &str) -> bool {
        self.services.lock().get(uid).is_some_and(|verified| verified.settled.as_deref() == Some(digest))
    }

    pub(super) fn doubt(&self, uid: &str) {
        if let Some(verified) = self.services.lock().get_mut(uid) {
            verified.settled = None;
        }
    }

    pub(super) fn forget(&self, uid: &str) {
        self.services.lock().remove(uid);
    }

    fn of<T>(&self, uid: &str, act: impl FnOnce(&mut Verified) -> T) -> T {
        let mut services = self.services.lock();
        let new = || Verified { due: Instant::now() + spread(uid, self.period), settled: None };
        act(services.entry(uid.to_owned()).or_insert_with(new))
    }
}

/// A moment within the period, the same for a Service in every process.
fn spread(uid: &str, period: Duration) -> Duration {
    let share = u8::from_str_radix(&naming::hex(&[uid])[..2], 16).unwrap_or(0);
    period.mul_f64((f64::from(share) + 1.0) / 256.0)
}
