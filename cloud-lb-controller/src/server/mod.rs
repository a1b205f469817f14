//! What operators and kubelets ask over HTTP: health, readiness, metrics, the log level.

pub(crate) mod metrics;
mod process;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use probe_server::{Answer, text, verdict};
use service_controller::leader::Leadership;
use service_controller::{Health, Metrics};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::flags::LogLevelFrom;
use crate::logging::LogLevel;

/// Longest body that is read: a log filter is a line.
const MAX_BODY_BYTES: usize = 4_096;
/// How long it may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The state that is shown.
pub(crate) struct Shown {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Leadership, where there is an election.
    pub leadership: Option<Arc<Leadership>>,
    /// Whether the controller is of use.
    pub health: Health,
    /// Whether the process was told to stop: then it is ready no more.
    pub stop: CancellationToken,
    /// The log level, which can be changed.
    pub log_level: LogLevel,
    /// By whom.
    pub log_level_from: LogLevelFrom,
}

impl Shown {
    /// Whether this replica can do its work, or why not.
    fn ready(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("stopping".to_owned());
        }
        self.health.ready()
    }

    /// Whether the process had better be started over, and why.
    fn healthy(&self) -> Result<(), String> {
        match &self.leadership {
            Some(leadership) if !leadership.healthy() => {
                Err("leader, but the Lease was not renewed".to_owned())
            }
            _ => self.health.healthy(),
        }
    }
}

/// Answers on `address` until the process ends.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn serve(address: SocketAddr, shown: Arc<Shown>) -> std::io::Result<()> {
    let asked = move |request, peer| {
        let shown = shown.clone();
        async move { answer(request, peer, &shown).await }
    };
    let address = probe_server::serve(address, asked).await?;
    tracing::info!(%address, "serving health, readiness and metrics");
    Ok(())
}

/// Answers the requests of one connection until it ends.
///
/// # Errors
/// When it ends early, or with what is no request.
pub(crate) async fn converse(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    peer: IpAddr,
    shown: &Shown,
) -> hyper::Result<()> {
    probe_server::converse(connection, peer, &|request, peer| answer(request, peer, shown)).await
}

async fn answer(request: Request<Incoming>, peer: IpAddr, shown: &Shown) -> Answer {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/healthz" | "/livez") => verdict(shown.healthy()),
        (&Method::GET, "/readyz") => verdict(shown.ready()),
        (&Method::GET, "/metrics") => Answer::metrics(shown.metrics.encode(), request.headers()),
        (&Method::GET, "/loglevel") => text(StatusCode::OK, shown.log_level.get()),
        (&Method::PUT, "/loglevel") if !shown.log_level_from.admits(peer) => {
            text(StatusCode::FORBIDDEN, format!("not from {peer}; allowed: {}", shown.log_level_from))
        }
        (&Method::PUT, "/loglevel") => {
            match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), MAX_BODY_BYTES).collect()).await {
                Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the log filter did not come"),
                Ok(Err(_)) => text(StatusCode::PAYLOAD_TOO_LARGE, "a log filter is one line"),
                Ok(Ok(body)) => match shown.log_level.set(&String::from_utf8_lossy(&body.to_bytes())) {
                    Ok(()) => text(StatusCode::OK, shown.log_level.get()),
                    Err(reason) => text(StatusCode::BAD_REQUEST, reason),
                },
            }
        }
        (_, "/healthz" | "/livez" | "/readyz" | "/metrics" | "/loglevel") => Answer::method_not_allowed(),
        _ => Answer::not_found("there are /healthz, /readyz, /metrics and /loglevel"),
    }
}
