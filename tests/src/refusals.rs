//! An endpoint in front of another that refuses some requests, as IAM does and emulators do not.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Such an endpoint, until it is dropped.
#[derive(Debug)]
pub struct Refusals {
    /// Where it answers.
    pub url: String,
    server: JoinHandle<()>,
}

/// EC2's version in its requests; the other service's errors look different.
const EC2_VERSION: &str = "Version=2016-11-15";

impl Refusals {
    /// Refuses these requests, by AWS's name, with this error code; the others go to `behind`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(behind: &str, refused: &[(&str, &str)]) -> Self {
        let behind: Arc<str> = behind.trim_start_matches("http://").trim_end_matches('/').into();
        let refused: Arc<BTreeMap<String, String>> =
            Arc::new(refused.iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned())).collect());
        let answer = move |request: Request| answer(behind.clone(), refused.clone(), request);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
        let server = tokio::spawn(async move {
            // It never ends by itself.
            let _ = axum::serve(listener, Router::new().fallback(answer)).await;
        });
        Refusals { url, server }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(behind: Arc<str>, refused: Arc<BTreeMap<String, String>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("the whole request").to_bytes();
    let text = String::from_utf8_lossy(&body);
    let action = text.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default();
    if let Some(code) = refused.get(action) {
        let error = format!("<Error><Code>{code}</Code><Message>refused by the test</Message></Error>");
        let reply = match text.contains(EC2_VERSION) {
            true => format!("<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"),
            false => format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"),
        };
        return (StatusCode::FORBIDDEN, reply).into_response();
    }
    pass_on(&behind, Request::from_parts(head, body)).await
}

async fn pass_on(behind: &str, request: Request<Bytes>) -> Response {
    let stream = TcpStream::connect(behind).await.expect("the endpoint behind answers");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    let reply = sender.send_request(request.map(Full::new)).await.expect("it replies");
    reply.map(Body::new)
}
