//! Bounded waits for what takes AWS a moment.

use std::time::Duration;

use cloud_provider::DoublingPause;
use tokio::time::{Instant, sleep};

use crate::error::ApiError;

/// Between one try and the next.
const PAUSE: DoublingPause = DoublingPause::new(Duration::from_millis(500), Duration::from_secs(5));

/// Waits a little longer each time, and not beyond its end.
pub(crate) struct BoundedBackoff {
    until: Instant,
    pause: DoublingPause,
}

impl BoundedBackoff {
    /// Waits for this long altogether.
    pub(crate) fn of(total: Duration) -> Self {
        BoundedBackoff { until: Instant::now() + total, pause: PAUSE }
    }

    /// Waits before another try, if that may help; else, or when the time is up, gives the failure back.
    pub(crate) async fn wait_if(&mut self, may_help: bool, error: ApiError) -> Result<(), ApiError> {
        if !may_help || Instant::now() + self.pause.next() > self.until {
            return Err(error);
        }
        sleep(self.pause.advance()).await;
        Ok(())
    }
}
