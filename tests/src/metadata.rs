//! An instance metadata service, as an instance of EC2 has one.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use tokio::task::JoinHandle;

/// A metadata service, until it is dropped.
#[derive(Debug)]
pub struct MetadataService {
    /// Where it answers: what `AWS_EC2_METADATA_SERVICE_ENDPOINT` is to be.
    pub url: String,
    asked: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl MetadataService {
    /// One on an instance of this id in this VPC.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(instance_id: &str, vpc_id: &str) -> Self {
        let known = BTreeMap::from([
            ("/latest/meta-data/instance-id".to_owned(), instance_id.to_owned()),
            ("/latest/meta-data/mac".to_owned(), MAC.to_owned()),
            (format!("/latest/meta-data/network/interfaces/macs/{MAC}/vpc-id"), vpc_id.to_owned()),
        ]);
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let answer = async move |request: Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            let ttl = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")];
            match (request.method(), request.uri().path()) {
                (&Method::PUT, "/latest/api/token") => (ttl, "token").into_response(),
                (&Method::GET, path) => match known.get(path) {
                    Some(text) => text.clone().into_response(),
                    None => StatusCode::NOT_FOUND.into_response(),
                },
                _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
        let server = tokio::spawn(async move {
            // It never ends by itself.
            let _ = axum::serve(listener, Router::new().fallback(answer)).await;
        });
        MetadataService { url, asked, server }
    }

    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

const MAC: &str = "0e:00:00:00:00:01";

impl Drop for MetadataService {
    fn drop(&mut self) {
        self.server.abort();
    }
}
