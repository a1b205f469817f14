//! `cloud-lb-announcer`: answers on this node's network for the addresses of Services.

mod flags;
mod logging;

use std::process::ExitCode;
use std::sync::Arc;

use announcer::agent::{Announcer, Telemetry};
use clap::Parser;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use probe_server::{Answer, verdict};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;

use flags::Flags;

/// What the program exits with when its command line is wrong (`EX_USAGE` of sysexits.h).
const EXIT_CODE_USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            // A standard error that is closed is no reason to say anything else.
            let _printed = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_CODE_USAGE } else { 0 });
        }
    };
    logging::start(&flags.log_level, flags.log_format);
    match run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), String> {
    let stop = stopped().map_err(|error| format!("signals cannot be handled: {error}"))?;
    let mut config = kube::Config::infer().await.map_err(|error| format!("there is no cluster: {error}"))?;
    let user_agent = HeaderValue::from_static(concat!("cloud-lb-announcer/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, user_agent));
    let client = apiserver_client::connect(config, &Identity::new())
        .map_err(|error| format!("the cluster cannot be used: {error}"))?;
    let http_address = flags.http_address;
    let config = flags.config()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = &*config.node,
        classes = %config.classes,
        pools_namespace = config.pools_namespace.as_deref().unwrap_or("all"),
        "cloud-lb-announcer"
    );
    let announcer = Announcer::new(client, config);
    let shown = announcer.shown();
    let answer = move |request: Request<Incoming>, _| {
        let shown = shown.clone();
        async move { answer(&request, &shown) }
    };
    let address = probe_server::serve(http_address, answer)
        .await
        .map_err(|error| format!("--http-address {http_address}: {error}"))?;
    tracing::info!(%address, "serving health, readiness and metrics");
    announcer.run(stop).await.map_err(|error| format!("the node's links cannot be followed: {error}"))
}

fn answer<B>(request: &Request<B>, shown: &Arc<Telemetry>) -> Answer {
    match (request.method() == Method::GET, request.uri().path()) {
        // That it answers is all there is to say: what needs the API server or a link is no reason to start over.
        (true, "/healthz" | "/livez") => verdict(Ok(())),
        (true, "/readyz") => verdict(shown.ready()),
        (true, "/metrics") => Answer::metrics(shown.metrics(), request.headers()),
        (false, "/healthz" | "/livez" | "/readyz" | "/metrics") => Answer::method_not_allowed(),
        _ => Answer::not_found("there are /healthz, /readyz and /metrics"),
    }
}

/// Cancelled by SIGTERM and by Ctrl-C.
fn stopped() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}
