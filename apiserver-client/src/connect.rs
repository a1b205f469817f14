//! A client for this house, made of kube's own parts.

use std::future::Future;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, DynBody};
use kube::{Client, Config};
use tower::buffer::BufferLayer;
use tower::retry::{Policy, RetryLayer};
use tower::{BoxError, Layer, Service};

use crate::bounds::{Bounds, bounded};
use crate::comeback::READINESS;
use crate::transport::{Transport, transport};

/// How long is waited at most when a server says `Retry-After`: so that there is time for an answer before the request is
/// given up.
const MAX_RETRY_AFTER_SECONDS: u64 = 20;

/// How many requests may wait for their turn, as in a client that kube builds.
const MAX_QUEUED_REQUESTS: usize = 1024;

/// A client whose requests have an end ([`bounded`]), and whose connections do: one that died without a word is found by
/// its silence, one that nobody needed for 35 s is closed, so that nobody is given a dead one. Nothing that is sent waits
/// for an acknowledgement (`TCP_NODELAY`). `layer` stands between the client's repetitions and the network;
/// `tower::layer::util::Identity` for none.
///
/// The timeouts of `config` are not heeded, and the client knows of no end of its credentials' validity.
///
/// # Errors
/// As those of [`Client::try_from`].
pub fn connect<L>(config: Config, layer: &L) -> Result<Client, kube::Error>
where
    L: Layer<Transport>,
    L::Service: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError> + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Future + Send + 'static,
{
    let builder = ClientBuilder::new(transport(&config)?, config.default_namespace).with_layer(layer);
    let client = match config.default_retry {
        false => builder.build(),
        true => {
            let retry = RetryLayer::new(Repetitions(RetryPolicy::server_retry()));
            builder.with_layer(&BufferLayer::new(MAX_QUEUED_REQUESTS)).with_layer(&retry).build()
        }
    };
    Ok(bounded(&client, Bounds::default()))
}

/// kube's own repetitions (429, 503, 504), which wait as long as the server says, but no longer than is useful; and not
/// of a look whether the server is ready, which is repeated anyway.
#[derive(Clone)]
struct Repetitions(RetryPolicy);

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Repetitions {
    type Future = <RetryPolicy as Policy<Request<Body>, Response<B>, BoxError>>::Future;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        if let Ok(response) = result
            && let Some(asked) = response.headers_mut().get_mut(RETRY_AFTER)
            && asked.to_str().ok().and_then(|text| text.parse::<u64>().ok()) > Some(MAX_RETRY_AFTER_SECONDS)
        {
            *asked = HeaderValue::from(MAX_RETRY_AFTER_SECONDS);
        }
        self.0.retry(request, result)
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        if request.uri().path() == READINESS {
            return None;
        }
        Policy::<Request<Body>, Response<B>, BoxError>::clone_request(&mut self.0, request)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// How long it waits before it asks again a server that has said this.
    fn wait(status: u16, retry_after: &'static str) -> Option<Duration> {
        let mut policy = Repetitions(RetryPolicy::server_retry());
        let mut response = Response::new(());
        *response.status_mut() = status.try_into().unwrap();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
        let mut request = Request::new(Body::empty());
        let sleep = policy.retry(&mut request, &mut Ok(response))?;
        Some(sleep.deadline() - Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_an_hour_is_asked_again_within_half_a_minute() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(wait(429, "7"), seconds(7));
        for long in ["21", "3600", "18446744073709551615"] {
            assert_eq!(wait(429, long), seconds(MAX_RETRY_AFTER_SECONDS), "{long}");
            assert_eq!(wait(503, long), seconds(MAX_RETRY_AFTER_SECONDS), "{long}");
        }
        assert_eq!(wait(500, "1"), None);
        assert!(Duration::from_secs(MAX_RETRY_AFTER_SECONDS) < Bounds::default().request);
    }

    #[test]
    fn a_look_whether_the_server_is_ready_is_not_repeated_by_the_client() {
        let mut policy = Repetitions(RetryPolicy::server_retry());
        let mut is_repeated = |uri: &str| {
            let request = Request::get(uri).body(Body::empty()).unwrap();
            Policy::<_, Response<()>, _>::clone_request(&mut policy, &request).is_some()
        };
        assert!(is_repeated("/api/v1/services") && !is_repeated(READINESS));
    }
}
