//! What was asked of the server.

use std::sync::{Arc, Mutex};

use super::lock;

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The name of the user; empty when the token is unknown.
    pub user: String,
    /// What the client calls itself, in its header `User-Agent`.
    pub agent: String,
    /// As RBAC knows them: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core.
    pub group: String,
    /// The plural name of the resource; for requests outside of resources, the path.
    pub resource: String,
    /// `status`, or empty.
    pub subresource: String,
    /// Empty for all namespaces, and for cluster-scoped resources.
    pub namespace: String,
    /// Empty for collections; for a create, as in RBAC, too.
    pub name: String,
    /// The field manager that a write asks for; empty if it leaves that to the server.
    pub field_manager: String,
    /// The code of the answer; 0 when the connection was cut instead.
    pub code: u16,
}

impl Request {
    /// Whether it changes anything, when it succeeds.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// The requests since the start, or since the log was last cleared, in the order of their answers.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Arc<Mutex<Vec<Request>>>);

impl RequestLog {
    /// A copy of the log.
    pub fn snapshot(&self) -> Vec<Request> {
        lock(&self.0).clone()
    }

    /// The requests so far; the log starts anew.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.0))
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    /// How many requests are of a kind.
    pub fn count(&self, matching: impl Fn(&Request) -> bool) -> usize {
        lock(&self.0).iter().filter(|request| matching(request)).count()
    }

    pub(crate) fn add(&self, request: Request) {
        lock(&self.0).push(request);
    }
}
