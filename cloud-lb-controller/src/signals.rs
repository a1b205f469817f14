//! SIGTERM and Ctrl-C: the first asks, the second insists.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the process exits with when it is told to stop a second time.
const EXIT_CODE_INSISTED: i32 = 130;

/// Cancels `stop` at the first signal, and ends the process at the second.
///
/// # Errors
/// When the process may not handle signals.
pub(crate) fn follow(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "stopping; a second signal stops at once");
        stop.cancel();
        next().await;
        std::process::exit(EXIT_CODE_INSISTED);
    });
    Ok(())
}
