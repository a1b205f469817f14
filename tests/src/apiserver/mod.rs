//! An API server for tests, in this process: HTTP, JSON, no disk.
//!
//! It answers as a real kube-apiserver answers, as far as the suites and kubectl can see; what is known to
//! differ is listed in the crate's README. The way of a request:
//!
//! `server` takes connections, `route` finds out who asks and for what, `state` with `write`,
//! `delete` and `list` does it on the objects in `store`, by the rules that `kinds` has for each kind,
//! and `watch` tells those who want to know.

mod auth;
mod bootstrap;
mod decode;
mod delete;
mod discovery;
mod fault;
mod kinds;
mod list;
mod lists;
mod object;
mod openapi;
mod patch;
mod pod_proxy;
mod protobuf;
mod render;
mod request;
mod request_log;
mod respond;
mod route;
mod selectors;
mod server;
mod state;
mod status;
mod store;
mod table;
mod tls;
mod watch;
mod write;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use auth::{ADMIN_TOKEN, Access, AccessRule, Tokens, WEAK_TOKEN};
pub use fault::{Failure, Faults, Matching};
pub use kinds::ServiceNetwork;
pub use request_log::{Request, RequestLog};
pub use server::{ApiServer, Settings};
pub(crate) use tls::PRIVATE_KEY;

/// A test that fails while it holds the lock must not take the others down with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
