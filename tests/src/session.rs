//! Plain requests against a control plane, in a namespace of their own.

use std::time::Duration;

use crate::apiserver::ADMIN_TOKEN;
use crate::control_plane::{ControlPlane, Options};
use http::{HeaderMap, Method, Request};
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

pub const JSON_PATCH: &str = "application/json-patch+json";
pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";
pub const NAMESPACE: &str = "conformance";
/// Long enough for anything that is going to happen.
const DEADLINE: Duration = Duration::from_secs(20);

pub struct Session {
    pub plane: ControlPlane,
    pub client: Client,
}

pub struct Reply {
    pub code: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub text: String,
}

/// A client that reports every answer: by itself, it would try again after some.
fn client_as(plane: &ControlPlane, token: &str) -> Client {
    let mut config = plane.kube_config();
    config.default_retry = false;
    config.auth_info.token = Some(token.to_owned().into());
    Client::try_from(config).expect("a client")
}

impl Session {
    /// A control plane with an empty namespace.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Self {
        let plane = ControlPlane::start_with(options).await;
        let session = Self { client: client_as(&plane, ADMIN_TOKEN), plane };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        session.post("/api/v1/namespaces", &namespace).await.is(201);
        session
    }

    /// The same with new connections.
    pub fn again(self) -> Self {
        Self { client: client_as(&self.plane, ADMIN_TOKEN), ..self }
    }

    /// Whether the server is of this minor version of Kubernetes 1, or newer.
    pub async fn is_at_least(&self, minor: u32) -> bool {
        let version = self.get("/version").await.is(200);
        version["minor"].as_str().expect("a version").parse::<u32>().expect("a number") >= minor
    }

    /// From now on, requests come with another token.
    pub fn use_token(&mut self, token: &str) {
        self.client = client_as(&self.plane, token);
    }

    /// Sends a request as it is; the body of the answer is read to its end.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Reply {
        let request = Request::builder().method(method).uri(path).header("user-agent", "conf/1.0");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let body = body.map_or_else(Body::empty, |text| Body::from(text.into_bytes()));
        self.try_send(request.body(body).expect("a request")).await.expect("an answer")
    }

    /// As [`Session::send`], where the connection may break.
    ///
    /// # Errors
    /// When it did.
    pub async fn try_send(&self, request: Request<Body>) -> kube::Result<Reply> {
        let answer = async {
            let (head, body) = self.client.send(request).await?.into_parts();
            let bytes = body.collect_bytes().await?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(Reply { code: head.status.as_u16(), headers: head.headers, bytes, text })
        };
        tokio::time::timeout(DEADLINE, answer).await.expect("an answer in time")
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Reply {
        self.send(Method::GET, path, &[("accept", accept)], None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, &[("content-type", "application/json")], Some(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, &[("content-type", "application/json")], Some(body.to_string())).await
    }

    pub async fn patch(&self, path: &str, media: &str, body: &Value) -> Reply {
        self.send(Method::PATCH, path, &[("content-type", media)], Some(body.to_string())).await
    }

    pub async fn merge(&self, path: &str, body: &Value) -> Reply {
        self.patch(path, MERGE, body).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], None).await
    }

    pub async fn delete_with(&self, path: &str, options: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.send(Method::DELETE, path, &headers, Some(options.to_string())).await
    }

    /// Creates a Service of type LoadBalancer with one port; `spec` goes over that.
    pub async fn balancer(&self, name: &str, spec: &Value) -> Value {
        self.post(&services(), &service(name, spec)).await.is(201)
    }

    /// The version of the list of Services.
    pub async fn version(&self) -> String {
        self.get(&services()).await.is(200)["metadata"]["resourceVersion"]
            .as_str()
            .expect("a version")
            .to_owned()
    }

    /// The events of a watch over the Services, until it ends by its timeout.
    pub async fn watch(&self, query: &str, seconds: u32) -> Vec<Value> {
        let reply = self.get(&format!("{}?watch=true&timeoutSeconds={seconds}&{query}", services())).await;
        assert_eq!(reply.code, 200, "{}", reply.text);
        reply.text.lines().map(|line| serde_json::from_str(line).expect("one event a line")).collect()
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in {:?}", self.text))
    }

    /// The body, if the code is as expected.
    #[track_caller]
    pub fn is(&self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        self.json()
    }

    /// A Status that refuses, with this code and reason.
    #[track_caller]
    pub fn refuses(&self, code: u16, reason: &str) -> Value {
        let status = self.is(code);
        let shape = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason});
        for (key, value) in shape.as_object().expect("a map") {
            assert_eq!(&status[key], value, "{key} of {status}");
        }
        status
    }

    /// A Status 422 with a cause for this field.
    #[track_caller]
    pub fn refuses_field(&self, field: &str) -> Value {
        let status = self.refuses(422, "Invalid");
        let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
        assert!(causes.iter().any(|cause| cause["field"] == field), "no cause for {field} in {status}");
        status
    }

    #[track_caller]
    pub fn says(&self, fragment: &str) {
        assert!(self.text.contains(fragment), "{fragment:?} is not in {}", self.text);
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub fn services() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/services")
}

pub fn service_path(name: &str) -> String {
    format!("{}/{name}", services())
}

pub fn status_path(name: &str) -> String {
    format!("{}/{name}/status", services())
}

pub fn service(name: &str, spec: &Value) -> Value {
    let mut all = json!({"type": "LoadBalancer", "ports": [{"port": 80}]});
    for (key, value) in spec.as_object().expect("a map") {
        all[key] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": all})
}
