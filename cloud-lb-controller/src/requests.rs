//! Requests to the API server, by the names that Kubernetes' own components have for them
//! ([reference](https://kubernetes.io/docs/reference/instrumentation/metrics/)): one that the client repeats is counted
//! each time.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use tower::{Layer, Service};

/// Seconds, as client-go has them.
const BUCKETS: [f64; 11] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 30.0, 60.0];

/// The code of a request that got no answer.
const NO_ANSWER: &str = "<error>";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: String,
    host: String,
}

/// A layer that counts the requests which pass through it. Every clone counts into the same.
#[derive(Clone, Debug)]
pub(crate) struct RequestCounts {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

impl Default for RequestCounts {
    fn default() -> Self {
        RequestCounts {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl RequestCounts {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "rest_client_requests",
            "Requests to the API server, by the code of the answer; `<error>` without one",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "rest_client_request_duration",
            "How long the API server took to begin its answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
    }

    fn count(&self, method: &Method, uri: &Uri, code: String, began: Instant) {
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let duration = DurationLabels { verb: method.to_string(), host: host.clone() };
        self.seconds.get_or_create(&duration).observe(began.elapsed().as_secs_f64());
        self.requests.get_or_create(&RequestLabels { code, method: method.to_string(), host }).inc();
    }
}

impl<S> Layer<S> for RequestCounts {
    type Service = CountedService<S>;

    fn layer(&self, inner: S) -> CountedService<S> {
        CountedService { inner, counts: self.clone() }
    }
}

/// What counts the requests of the service within.
#[derive(Clone, Debug)]
pub(crate) struct CountedService<S> {
    inner: S,
    counts: RequestCounts,
}

impl<S, B, R> Service<Request<B>> for CountedService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, uri, began) = (request.method().clone(), request.uri().clone(), Instant::now());
        let (answer, counts) = (self.inner.call(request), self.counts.clone());
        Box::pin(async move {
            let answer = answer.await;
            let code =
                answer.as_ref().map_or_else(|_| NO_ANSWER.to_owned(), |it| it.status().as_str().to_owned());
            counts.count(&method, &uri, code, began);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_counted_by_its_answer_and_one_without_an_answer_too() {
        let counts = RequestCounts::default();
        let server = service_fn(async |request: Request<()>| {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            match request.method() {
                &Method::GET => Ok(Response::builder().status(429).body(()).unwrap()),
                _ => Err("the connection was closed"),
            }
        });
        let counted = counts.layer(server);
        for method in [Method::GET, Method::GET, Method::PATCH] {
            let uri = "https://192.0.2.1:6443/api/v1/services?limit=500";
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let _either = counted.clone().oneshot(request).await;
        }
        let mut registry = Registry::default();
        counts.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let host = "host=\"192.0.2.1:6443\"";
        for sample in [
            format!("rest_client_requests_total{{code=\"429\",method=\"GET\",{host}}} 2"),
            format!("rest_client_requests_total{{code=\"<error>\",method=\"PATCH\",{host}}} 1"),
            format!("rest_client_request_duration_seconds_bucket{{le=\"0.25\",verb=\"GET\",{host}}} 0"),
            format!("rest_client_request_duration_seconds_bucket{{le=\"0.5\",verb=\"GET\",{host}}} 2"),
        ] {
            assert!(text.contains(&sample), "{sample} is missing in\n{text}");
        }
    }
}
