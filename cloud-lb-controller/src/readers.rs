//! What reads bytes from outside, for the workspace's fuzz targets; nobody else has a use for it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use service_controller::{Health, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_util::sync::CancellationToken;

use crate::commands;
use crate::flags::LogLevelFrom;
use crate::logging::LogLevel;
use crate::server::{Shown, converse};

/// As much as one answer and one input may have.
const BUFFER_BYTES: usize = 1 << 20;

/// Reads a file of flags as `--config` does, with the values in it.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn config_file(text: &str) -> Result<(), String> {
    commands::read_flags_of(text)
}

/// What is answered to a connection on which this comes to the port for health and metrics, from this machine, and then
/// nothing more.
///
/// # Errors
/// When there is no log level to begin with.
pub async fn http(sent: &[u8]) -> Result<Vec<u8>, String> {
    let (_filter, log_level) = LogLevel::beginning_with("info")?;
    let shown = Shown {
        metrics: Arc::new(Metrics::default()),
        leadership: None,
        health: Health::default(),
        stop: CancellationToken::new(),
        log_level,
        log_level_from: LogLevelFrom::Loopback,
    };
    let (mut client, server) = duplex(BUFFER_BYTES);
    let mut answered = Vec::new();
    let asking = async {
        // Whoever answers may have heard enough and close first.
        let _ = client.write_all(sent).await;
        let _ = client.shutdown().await;
        let _ = client.read_to_end(&mut answered).await;
    };
    let ((), ended) = tokio::join!(asking, converse(server, IpAddr::V4(Ipv4Addr::LOCALHOST), &shown));
    // What is no request ends a connection early, and that is all there is to it.
    drop(ended);
    Ok(answered)
}
