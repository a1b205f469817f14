//! Bounded waits for what takes AWS a moment.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::ApiError;

/// The first pause; each one after it is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits a little longer each time, and not beyond its end.
pub(crate) struct BoundedBackoff {
    until: Instant,
    pause: Duration,
}

impl BoundedBackoff {
    /// Waits for this long altogether.
    pub(crate) fn of(total: Duration) -> Self {
        BoundedBackoff { until: Instant::now() + total, pause: FIRST_PAUSE }
    }

    /// Waits before another try, if that may help; else, or when the time is up, gives the failure back.
    pub(crate) async fn wait_if(&mut self, may_help: bool, error: ApiError) -> Result<(), ApiError> {
        if !may_help || Instant::now() + self.pause > self.until {
            return Err(error);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
