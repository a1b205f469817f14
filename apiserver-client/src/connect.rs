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

/// On a request that its sender makes again if it fails, and knows better when. A server that has just started says of what
/// it does not know yet that it is to be asked again in 5 s, and knows it a moment later: whoever waits for a comeback hears
/// of that, and a request that waits within the client does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedAgain;

/// kube's own repetitions (429, 503, 504), which wait as long as the server says, but no longer than is useful; and not
/// of what is [`AskedAgain`] anyway.
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
        if request.extensions().get::<AskedAgain>().is_some() {
            return None;
        }
        Policy::<Request<Body>, Response<B>, BoxError>::clone_request(&mut self.0, request)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use k8s_openapi::api::core::v1::Service;
    use kube::Api;
    use kube::api::ListParams;
    use kube::runtime::watcher::Event;
    use tokio::time::Instant;
    use tower::service_fn;

    use super::*;
    use crate::comeback::READINESS;
    use crate::{Comebacks, Watches};

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

    /// A client with repetitions, whose server says of everything that it is to be asked again in 5 s, until it is ready.
    fn of_a_server_that_has_just_started(ready: Instant) -> Client {
        let service = service_fn(move |request: Request<Body>| async move {
            let list = r#"{"metadata":{"resourceVersion":"1"},"items":[]}"#;
            let (status, body) = match (Instant::now() >= ready, request.uri().path()) {
                (true, READINESS) => (200, "ok"),
                (true, _) => (200, list),
                (false, _) => (503, ""),
            };
            let mut response = Response::new(Body::from(body.as_bytes().to_vec()));
            *response.status_mut() = status.try_into().unwrap();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            Ok::<_, BoxError>(response)
        });
        let retry = RetryLayer::new(Repetitions(RetryPolicy::server_retry()));
        ClientBuilder::new(service, "default").with_layer(&BufferLayer::new(16)).with_layer(&retry).build()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_begins_as_soon_as_the_server_is_ready_whatever_it_said_before() {
        let began = Instant::now();
        let ready = began + Duration::from_secs(1);
        let watches = Watches::new(of_a_server_that_has_just_started(ready));
        let mut services = watches.follow("services", Api::<Service>::all);
        while !matches!(services.next().await, Some(Ok(Event::InitDone))) {}
        assert!(ready.elapsed() < Duration::from_secs(1), "{:?}", ready.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_whether_the_server_is_ready_is_not_repeated_by_the_client() {
        let began = Instant::now();
        let client = of_a_server_that_has_just_started(began + Duration::from_millis(200));
        Comebacks::new(client).wait(began + Duration::from_secs(60)).await;
        // A look that waits within the client would be given up after a second.
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_makes_again_is_made_again_when_the_server_says_so() {
        let began = Instant::now();
        let client = of_a_server_that_has_just_started(began + Duration::from_secs(1));
        Api::<Service>::all(client).list(&ListParams::default()).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 5);
    }
}
