//! Spans to an OpenTelemetry collector, where the environment names one.
//!
//! The variables are those of every OpenTelemetry SDK: `OTEL_EXPORTER_OTLP_ENDPOINT` (or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) switches it on, and `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER` and the like do what they do elsewhere
//! ([specification](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)). Spans are
//! posted as Protobuf over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

const NAME: &str = "cloud-lb-controller";
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// How long the last spans may take to leave when the program ends.
const FLUSH: Duration = Duration::from_secs(3);

/// The export of spans.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// The export that the environment asks for; none if it names no collector.
    ///
    /// # Errors
    /// What is wrong with the environment.
    pub fn from_environment() -> Result<Option<Self>, String> {
        let named = |name: &str| std::env::var(name).is_ok_and(|endpoint| !endpoint.is_empty());
        if !ENDPOINTS.into_iter().any(named) {
            return Ok(None);
        }
        let wrong = |problem: &dyn std::fmt::Display| format!("{}: {problem}", ENDPOINTS.join(" or "));
        let poster = Poster::new().map_err(|error| wrong(&error))?;
        let exporter =
            SpanExporter::builder().with_http().with_http_client(poster).build().map_err(|e| wrong(&e))?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(NAME);
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Traces(provider)))
    }

    /// Takes in spans and what is logged within them.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer(NAME));
        // kube's span around each turn says nothing that the turn's own does not.
        layer.with_filter(filter_fn(|metadata| !metadata.target().starts_with("kube_runtime")))
    }

    /// Sends what is left, for a while.
    pub async fn end(self) {
        let provider = self.0;
        // The exporter's own thread waits for the runtime, so that this one must not keep it.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        if let Ok(Err(error)) = ended {
            eprintln!("{NAME}: the last spans were not sent: {error}");
        }
    }
}

/// Posts on the program's own runtime, whatever thread asks.
#[derive(Clone, Debug)]
struct Poster {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Poster {
    fn new() -> std::io::Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Poster { runtime: Handle::current(), client })
    }
}

#[async_trait]
impl HttpClient for Poster {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let posted = self.runtime.spawn(async move {
            let (parts, body) = client.request(request.map(Full::new)).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        });
        posted.await?
    }
}
