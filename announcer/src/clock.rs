//! Time at the rim. What decides is given it; what waits takes it from here, so that both have the same.

use std::future::pending;

use tokio::time::{Instant, sleep_until};

/// The time.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Waits until then; for ever, if there is no such time.
pub(crate) async fn until_time(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
