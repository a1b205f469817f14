//! Whether a candidate sees the Lease at all.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// When a candidate last read the Lease, or wrote it, and what stood in the way since. Every handle tells the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight(Arc<Mutex<LastRead>>);

#[derive(Debug, Default)]
struct LastRead {
    at: Option<Instant>,
    obstacle: Option<String>,
}

impl Sight {
    pub(crate) fn succeeded(&self) {
        self.lock().at = Some(Instant::now());
    }

    pub(crate) fn failed(&self, obstacle: impl Into<String>) {
        self.lock().obstacle = Some(obstacle.into());
    }

    /// Whether it was seen so recently, or what stands in the way.
    pub(crate) fn within(&self, recent: Duration) -> Result<(), String> {
        let read = self.lock();
        let obstacle = read.obstacle.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match read.at.map(|at| at.elapsed()) {
            Some(age) if age < recent => Ok(()),
            Some(age) => Err(format!("the Lease was not read for {} s{obstacle}", age.as_secs())),
            None => Err(format!("the Lease was not read yet{obstacle}")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LastRead> {
        self.0.lock()
    }
}
