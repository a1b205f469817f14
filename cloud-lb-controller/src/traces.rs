//! Spans to an OpenTelemetry collector, where the environment names one.
//!
//! The variables are those of every OpenTelemetry SDK: `OTEL_EXPORTER_OTLP_ENDPOINT` (or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) switches it on, and `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER` and the like do what they do elsewhere
//! ([specification](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)). Those that the
//! SDK leaves to us are read here. Spans are posted as Protobuf over HTTP.

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

// Where there are two, that of traces alone comes first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// The one encoding there is here.
const PROTOCOL: &str = "http/protobuf";

/// How long the collector may take to answer, if the environment does not say: as specified.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last spans may take to leave when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The export of spans.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// The export that the environment asks for; none if it names no collector.
    ///
    /// # Errors
    /// What is wrong with the environment.
    pub(crate) fn from_environment() -> Result<Option<Self>, String> {
        let Some(timeout) = asked(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))? else {
            return Ok(None);
        };
        let wrong = |problem: &dyn std::fmt::Display| format!("{}: {problem}", ENDPOINTS.join(" or "));
        let poster = Poster::new(timeout).map_err(|error| wrong(&error))?;
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
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer(NAME));
        // What kube does inside is its own: the spans are those of the controller and of the providers.
        layer.with_filter(filter_fn(|metadata| !metadata.target().starts_with("kube_runtime")))
    }

    /// Sends what is left, for a while.
    pub(crate) async fn end(self) {
        let provider = self.0;
        // The exporter's own thread waits for the runtime, so that this one must not keep it.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        if let Ok(Err(error)) = ended {
            eprintln!("{NAME}: the last spans were not sent: {error}");
        }
    }
}

/// What the environment asks for: no export, or one whose collector may take so long to answer.
fn asked(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Duration>, String> {
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
    if first(ENDPOINTS).is_none()
        || variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        return Ok(None);
    }
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => {
            return Err(format!("OTEL_TRACES_EXPORTER: {other:?} is not known; there are otlp and none"));
        }
    }
    if let Some((name, other)) = first(PROTOCOLS).filter(|(_, protocol)| protocol != PROTOCOL) {
        return Err(format!(
            "{name}: {other:?} is not spoken; spans are posted as {PROTOCOL}, to port 4318 of most collectors"
        ));
    }
    match first(TIMEOUTS) {
        None => Ok(Some(EXPORT_TIMEOUT)),
        Some((name, text)) => match text.parse() {
            Ok(milliseconds) => Ok(Some(Duration::from_millis(milliseconds))),
            Err(_) => Err(format!("{name}: {text:?} is not a number of milliseconds")),
        },
    }
}

/// Posts on the program's own runtime, whatever thread asks.
#[derive(Clone, Debug)]
struct Poster {
    runtime: Handle,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Poster {
    fn new(timeout: Duration) -> std::io::Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Poster { runtime: Handle::current(), timeout, client })
    }
}

#[async_trait]
impl HttpClient for Poster {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let posting = async move {
            let (parts, body) = client.request(request.map(Full::new)).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        };
        let timeout = self.timeout;
        // Nobody above bounds the wait for one answer.
        self.runtime.spawn(async move { tokio::time::timeout(timeout, posting).await }).await??
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn asked_in(environment: &[(&str, &str)]) -> Result<Option<Duration>, String> {
        let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
        asked(|name| environment.get(name).map(|value| (*value).to_owned()))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn an_endpoint_switches_the_export_on_and_others_off_again() {
        let on = |timeout| Ok(Some(Duration::from_millis(timeout)));
        type Asked = Result<Option<Duration>, String>;
        let table: &[(&[(&str, &str)], Asked)] = &[
            (&[], Ok(None)),
            (&[ENDPOINT], on(10_000)),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")], on(10_000)),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "True")], Ok(None)),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")], on(10_000)),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], Ok(None)),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "otlp")], on(10_000)),
            (&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], on(10_000)),
            (&[ENDPOINT, ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")], on(500)),
            (
                &[
                    ENDPOINT,
                    ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
                    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "700"),
                ],
                on(700),
            ),
        ];
        for (environment, expected) in table {
            assert_eq!(&asked_in(environment), expected, "{environment:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_said_with_what_can() {
        let table = [
            (("OTEL_TRACES_EXPORTER", "zipkin"), "there are otlp and none"),
            (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "posted as http/protobuf"),
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "milliseconds"),
        ];
        for (variable, advice) in table {
            let error = asked_in(&[ENDPOINT, variable]).unwrap_err();
            assert!(error.starts_with(variable.0) && error.contains(advice), "{error}");
            assert_eq!(asked_in(&[variable]), Ok(None), "without a collector nothing is asked for");
        }
    }

    #[tokio::test]
    async fn a_collector_that_does_not_answer_is_given_up() {
        // Connections wait to be accepted, which nobody does.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let request = Request::post(format!("http://{}/v1/traces", silent.local_addr().unwrap()));
        let poster = Poster::new(Duration::from_millis(20)).unwrap();

        let posted = poster.send_bytes(request.body(Bytes::new()).unwrap()).await;

        assert!(posted.unwrap_err().is::<tokio::time::error::Elapsed>());
    }
}
