//! What operators and kubelets ask over HTTP: health, readiness, metrics, the log level.

pub mod metrics;
mod process;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use service_controller::Metrics;
use service_controller::leader::Leadership;
use tokio::net::TcpListener;

use crate::logging::LogLevel;

/// Longest body that is read: a log filter is a line.
const LONGEST_BODY: usize = 4_096;

/// The state that is shown.
pub struct Shown {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Leadership, where there is an election.
    pub leadership: Option<Arc<Leadership>>,
    /// Whether this replica is ready: true from the start, false as soon as it was told to stop.
    pub ready: AtomicBool,
    /// The log level, which can be changed.
    pub log_level: LogLevel,
}

/// Answers on `address` until the process ends.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(address: SocketAddr, shown: Arc<Shown>) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving health, readiness and metrics");
    tokio::spawn(async move {
        loop {
            let Ok((connection, _)) = listener.accept().await else {
                // Out of file descriptors, most likely: some will be freed.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let shown = shown.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, &shown));
                let served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(connection), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
    });
    Ok(())
}

async fn answer(request: Request<Incoming>, shown: &Shown) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let (status, kind, body) = match (request.method(), path.as_str()) {
        (&Method::GET, "/healthz" | "/livez") => verdict(
            shown.leadership.as_ref().is_none_or(|leadership| leadership.healthy()),
            "leader, but the Lease was not renewed",
        ),
        (&Method::GET, "/readyz") => verdict(shown.ready.load(Ordering::Acquire), "starting or stopping"),
        (&Method::GET, "/metrics") => (
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            shown.metrics.encode(),
        ),
        (&Method::GET, "/loglevel") => text(StatusCode::OK, shown.log_level.get()),
        (&Method::PUT, "/loglevel") => {
            match Limited::new(request.into_body(), LONGEST_BODY).collect().await {
                Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "a log filter is one line"),
                Ok(body) => match shown.log_level.set(&String::from_utf8_lossy(&body.to_bytes())) {
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

fn verdict(well: bool, why_not: &str) -> (StatusCode, &'static str, String) {
    if well { text(StatusCode::OK, "ok") } else { text(StatusCode::SERVICE_UNAVAILABLE, why_not) }
}
