//! The end that every request has, and every silence of a watch.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, Request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{BoxError, service_fn};

/// What bounds the requests of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// How long a request may take, its body, the client's repetitions and their waits included; of a watch, until it has
    /// begun. Default 30 s: as long as a webhook of the API server may take (`timeoutSeconds` in the API's reference); what
    /// takes longer is better asked again on another connection.
    pub request: Duration,
    /// How long a watch may be silent. Default 40 s: those of [`Watches`](crate::Watches) end before.
    pub silence: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { request: Duration::from_secs(30), silence: Duration::from_secs(40) }
    }
}

/// Why a request was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TimedOut {
    #[error("no answer within {0:?}")]
    Request(Duration),
    #[error("nothing was heard for {0:?}")]
    Watch(Duration),
}

/// A client that is `client`, and gives up a request that takes too long and a watch that is silent for too long. The
/// connection of what was given up is closed.
///
/// # Caveats
/// A write that was given up may have had its effect, or may yet have it.
///
/// # Panics
/// Outside of a tokio runtime, as every client of kube.
pub fn bounded(client: &Client, bounds: Bounds) -> Client {
    let inner = client.clone();
    let service = service_fn(move |request: Request<Body>| {
        let (inner, watch) = (inner.clone(), is_watch(&request));
        async move {
            let deadline = Instant::now() + bounds.request;
            let late = TimedOut::Request(bounds.request);
            let response = timeout_at(deadline, inner.send(request)).await.map_err(|_| late)??;
            let (silence, first) = match watch {
                true => (Some(bounds.silence), Instant::now() + bounds.silence),
                false => (None, deadline),
            };
            let (timer, given_up) = (Box::pin(sleep_until(first)), silence.map_or(late, TimedOut::Watch));
            Ok::<_, BoxError>(response.map(|body| Bounded { body, silence, timer, given_up }))
        }
    });
    Client::new(service, client.default_namespace()).with_valid_until(*client.valid_until())
}

/// Whether a request is a watch: one that is answered for as long as both sides like.
pub fn is_watch<B>(request: &Request<B>) -> bool {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    request.method() == Method::GET && parameters.any(|parameter| parameter == "watch=true")
}

/// A body that has an end: at a moment, or with a silence.
struct Bounded {
    body: Body,
    /// The longest silence; none where the timer is for the whole.
    silence: Option<Duration>,
    timer: Pin<Box<Sleep>>,
    /// What is said when it rings.
    given_up: TimedOut,
}

impl HttpBody for Bounded {
    type Data = <Body as HttpBody>::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some(silence) = self.silence {
                self.timer.as_mut().reset(Instant::now() + silence);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Some(Err(self.given_up.into())))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::StreamExt;
    use http::Response;
    use k8s_openapi::api::core::v1::Service;
    use kube::Api;
    use kube::api::{ListParams, WatchParams};

    use super::*;
    use crate::in_words;

    /// A body that says this and then is silent for ever.
    struct ThenSilent(Option<&'static str>);

    impl HttpBody for ThenSilent {
        type Data = <Body as HttpBody>::Data;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
            match self.0.take() {
                Some(text) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
                None => Poll::Pending,
            }
        }
    }

    fn api(answer: impl Fn() -> Option<&'static str> + Clone + Send + 'static) -> Api<Service> {
        let service = service_fn(move |_: Request<Body>| {
            let answer = answer();
            async move {
                match answer {
                    Some(text) => Ok::<_, Infallible>(Response::new(ThenSilent(Some(text)))),
                    None => std::future::pending().await,
                }
            }
        });
        Api::all(bounded(&Client::new(service, "default"), Bounds::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_answered_is_given_up() {
        let began = Instant::now();
        let error = api(|| None).list(&ListParams::default()).await.unwrap_err();
        assert_eq!(
            (in_words(&error).as_str(), began.elapsed()),
            ("no answer within 30s", Bounds::default().request)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_answer_does_not_end_is_given_up_at_the_same_time() {
        let began = Instant::now();
        let error = api(|| Some("{")).list(&ListParams::default()).await.unwrap_err();
        assert_eq!(
            (in_words(&error).as_str(), began.elapsed()),
            ("no answer within 30s", Bounds::default().request)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_may_last_and_may_not_be_silent() {
        let event = r#"{"type":"ADDED","object":{"metadata":{"name":"web"}}}"#;
        let watch = api(move || Some(event)).watch(&WatchParams::default(), "1").await.unwrap();
        let began = Instant::now();
        let mut watch = std::pin::pin!(watch);
        // The line has no end yet, so that its silence is all there is.
        let error = watch.next().await.unwrap().unwrap_err();
        assert_eq!(began.elapsed(), Bounds::default().silence);
        assert!(in_words(&error).contains("nothing was heard for 40s"), "{}", in_words(&error));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_never_begun_is_given_up_as_a_request_is() {
        let began = Instant::now();
        assert!(api(|| None).watch(&WatchParams::default(), "1").await.is_err());
        assert_eq!(began.elapsed(), Bounds::default().request);
    }

    #[test]
    fn only_a_watch_is_a_watch() {
        let request = |method, uri| Request::builder().method(method).uri(uri).body(()).unwrap();
        let watch = "/api/v1/services?&watch=true&timeoutSeconds=290";
        assert!(is_watch(&request(Method::GET, watch)));
        assert!(!is_watch(&request(Method::GET, "/api/v1/services?limit=500")));
        assert!(!is_watch(&request(Method::GET, "/api/v1/services?labelSelector=watch%3Dtrue")));
        assert!(!is_watch(&request(Method::PATCH, watch)));
    }
}
