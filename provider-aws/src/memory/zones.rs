//! Zones that were taken out of a load balancer, to come back.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// By load balancer, with the moment.
#[derive(Debug)]
pub(crate) struct ZoneMemory {
    started: Instant,
    taken_out: Mutex<HashMap<String, Instant>>,
}

impl Default for ZoneMemory {
    fn default() -> Self {
        ZoneMemory { started: Instant::now(), taken_out: Mutex::default() }
    }
}

impl ZoneMemory {
    /// How long a zone may take to go; ELB guide: up to three minutes.
    const ZONE_REMOVAL_TIME: Duration = Duration::from_secs(10 * 60);

    /// Zones are taken out of a load balancer.
    pub(crate) fn taken_out(&self, load_balancer: &str) {
        let mut taken = self.taken_out.lock();
        taken.retain(|_, since| since.elapsed() < Self::ZONE_REMOVAL_TIME);
        taken.insert(load_balancer.to_owned(), Instant::now());
    }

    /// Whether AWS may still be about to let go of zones of a load balancer, which the process before this one may
    /// have taken out.
    pub(crate) fn may_be_leaving(&self, load_balancer: &str) -> bool {
        let taken = self.taken_out.lock();
        let since = taken.get(load_balancer).unwrap_or(&self.started);
        since.elapsed() < Self::ZONE_REMOVAL_TIME
    }
}
