//! Answers.

use std::convert::Infallible;
use std::io;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Bytes;
use serde_json::Value;

use super::status::ApiError;
use super::watch::Watch;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An answer before it is sent.
pub(crate) enum Reply {
    Json {
        code: u16,
        body: Bytes,
        warnings: Vec<String>,
    },
    /// Under a media type of its own.
    Typed {
        media: String,
        body: Bytes,
    },
    Text(Bytes),
    Watch(Box<Watch>),
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        Self::Json { code: 200, body: body.into(), warnings: Vec::new() }
    }

    pub(crate) fn value(body: &Value) -> Self {
        Self::ok(body.to_string())
    }

    pub(crate) fn error(error: &ApiError) -> Self {
        Self::Json { code: error.code, body: error.to_value().to_string().into(), warnings: Vec::new() }
    }

    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Json { code, .. } => *code,
            _ => 200,
        }
    }

    pub(crate) fn into_response(self, pretty: bool) -> Response<Body> {
        match self {
            Self::Json { code, body, warnings } => {
                let body = if pretty { indented(body) } else { body };
                let mut response = with_type(code, JSON, full(body));
                for text in warnings {
                    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
                    if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                        response.headers_mut().append(WARNING, header);
                    }
                }
                response
            }
            Self::Typed { media, body } => {
                let media = HeaderValue::from_str(&media).unwrap_or(JSON);
                with_type(200, media, full(body))
            }
            Self::Text(text) => with_type(200, TEXT, full(text)),
            Self::Watch(watch) => with_type(200, JSON, StreamBody::new(watch.into_stream()).boxed_unsync()),
        }
    }
}

/// A refusal: a `Status`, or text where the server gives text.
pub(crate) fn refusal(error: &ApiError) -> Response<Body> {
    if !error.text {
        return Reply::error(error).into_response(false);
    }
    let mut response = with_type(error.code, TEXT, full(error.message.clone().into()));
    if error.code == 429 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn with_type(code: u16, media: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, media);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn indented(body: Bytes) -> Bytes {
    let parsed: Result<Value, _> = serde_json::from_slice(&body);
    parsed.and_then(|value| serde_json::to_vec_pretty(&value)).map_or(body, Bytes::from)
}
