//! What Pods serve, fetched by the server: `pods/NAME:PORT/proxy/PATH`
//! (<https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hyper::body::Bytes;

use super::lock;
use super::request::ResourcePath;
use super::status::{ApiError, Result};

/// The subresource.
pub(crate) const PROXY: &str = "proxy";

/// What Pods answer, by namespace, then name and port as a path has them, then path.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodAnswers(Arc<Mutex<BTreeMap<[String; 3], Bytes>>>);

impl PodAnswers {
    pub(crate) fn set(&self, namespace: &str, pod_and_port: &str, path: &str, answer: String) {
        let key = [namespace, pod_and_port, path].map(str::to_owned);
        lock(&self.0).insert(key, answer.into());
    }

    /// The name of the Pod that a path means.
    pub(crate) fn pod(path: &ResourcePath) -> &str {
        path.name.split(':').next().unwrap_or_default()
    }

    /// What a Pod that is there answers.
    pub(crate) fn get(&self, path: &ResourcePath) -> Result<Bytes> {
        let key = [&path.namespace, &path.name, &path.below].map(Clone::clone);
        // As the server has it where nobody listens at the Pod's port.
        let refused = || {
            let message = "error trying to reach service: dial tcp: connect: connection refused";
            ApiError::new(503, "ServiceUnavailable", message)
        };
        lock(&self.0).get(&key).cloned().ok_or_else(refused)
    }
}
