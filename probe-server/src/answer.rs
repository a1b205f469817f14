//! What is answered.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use crate::exposition::{OPENMETRICS, TEXT, as_text, is_asked_for};

/// A status, a kind of content, and the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: String,
}

impl Answer {
    /// Metrics, encoded as [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/): so if the request asks for
    /// that, as Prometheus does, or else in the text format that was before it.
    pub fn metrics(encoded: String, headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        match is_asked_for(accept) {
            true => Answer { status: StatusCode::OK, kind: OPENMETRICS, body: encoded },
            false => Answer { status: StatusCode::OK, kind: TEXT, body: as_text(&encoded) },
        }
    }

    /// There is nothing at this path; in one line, what there is.
    pub fn not_found(what_there_is: &str) -> Self {
        text(StatusCode::NOT_FOUND, what_there_is)
    }

    /// There is something at this path, and this cannot be done with it.
    pub fn method_not_allowed() -> Self {
        text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        response
    }
}

/// One line of text.
pub fn text(status: StatusCode, line: impl Into<String>) -> Answer {
    Answer { status, kind: "text/plain; charset=utf-8", body: line.into() + "\n" }
}

/// `ok`, or 503 and in one line why not.
pub fn verdict(verdict: Result<(), String>) -> Answer {
    match verdict {
        Ok(()) => text(StatusCode::OK, "ok"),
        Err(why_not) => text(StatusCode::SERVICE_UNAVAILABLE, why_not),
    }
}
