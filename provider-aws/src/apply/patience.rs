//! Bounded waits for what takes AWS a moment.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::ApiError;

/// Waits a little longer each time, and not beyond its end.
pub(crate) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    /// Waits for this long altogether.
    pub(crate) fn of(total: Duration) -> Self {
        Patience { until: Instant::now() + total, pause: Duration::from_millis(500) }
    }

    /// Waits before another try, if that may help; else, or when the time is up, gives the failure back.
    pub(crate) async fn wait_if(&mut self, may_help: bool, error: ApiError) -> Result<(), ApiError> {
        if !may_help || Instant::now() + self.pause > self.until {
            return Err(error);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_secs(5));
        Ok(())
    }
}
