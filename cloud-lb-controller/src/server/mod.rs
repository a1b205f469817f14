//! What operators and kubelets ask over HTTP: health, readiness, metrics, the log level.

mod connections;
pub(crate) mod metrics;
mod process;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use service_controller::leader::Leadership;
use service_controller::{Health, Metrics};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::flags::LogLevelFrom;
use crate::logging::LogLevel;
use connections::Connections;

/// Longest body that is read: a log filter is a line.
const LONGEST_BODY: usize = 4_096;
/// How long it may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the head of a request may take to come, the wait for a next request on the same connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

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
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving health, readiness and metrics");
    tokio::spawn(async move {
        let connections = Arc::new(Connections::default());
        loop {
            let Ok((connection, peer)) = listener.accept().await else {
                // Out of file descriptors, most likely: some will be freed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (shown, slot) = (shown.clone(), connections.clone().admit());
            tokio::spawn(async move {
                let serving = converse(connection, peer.ip(), &shown);
                match slot.given_up().run_until_cancelled(serving).await {
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
                    None => tracing::debug!(%peer, "a connection made room for newer ones"),
                }
            });
        }
    });
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
    let service = service_fn(|request| answer(request, peer, shown));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.serve_connection(TokioIo::new(connection), service).await
}

async fn answer(
    request: Request<Incoming>,
    peer: IpAddr,
    shown: &Shown,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let (status, kind, body) = match (request.method(), path.as_str()) {
        (&Method::GET, "/healthz" | "/livez") => verdict(shown.healthy()),
        (&Method::GET, "/readyz") => verdict(shown.ready()),
        (&Method::GET, "/metrics") => (
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            shown.metrics.encode(),
        ),
        (&Method::GET, "/loglevel") => text(StatusCode::OK, shown.log_level.get()),
        (&Method::PUT, "/loglevel") if !shown.log_level_from.admits(peer) => {
            text(StatusCode::FORBIDDEN, format!("not from {peer}; allowed: {}", shown.log_level_from))
        }
        (&Method::PUT, "/loglevel") => {
            match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), LONGEST_BODY).collect()).await {
                Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the log filter did not come"),
                Ok(Err(_)) => text(StatusCode::PAYLOAD_TOO_LARGE, "a log filter is one line"),
                Ok(Ok(body)) => match shown.log_level.set(&String::from_utf8_lossy(&body.to_bytes())) {
                    Ok(()) => text(StatusCode::OK, shown.log_level.get()),
                    Err(reason) => text(StatusCode::BAD_REQUEST, reason),
                },
            }
        }
        (_, "/healthz" | "/livez" | "/readyz" | "/metrics" | "/loglevel") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz, /metrics and /loglevel"),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

fn text(status: StatusCode, body: impl Into<String>) -> (StatusCode, &'static str, String) {
    (status, "text/plain; charset=utf-8", body.into() + "\n")
}

fn verdict(verdict: Result<(), String>) -> (StatusCode, &'static str, String) {
    match verdict {
        Ok(()) => text(StatusCode::OK, "ok"),
        Err(why_not) => text(StatusCode::SERVICE_UNAVAILABLE, why_not),
    }
}
