//! What was asked of a control plane, whichever body it has.

use std::sync::Arc;

use super::real::AuditLog;
use crate::apiserver::{Request, RequestLog};

/// The requests since the start of the test, or since this was last cleared, in the order of their answers.
#[derive(Clone, Debug)]
pub struct Requests(Log);

#[derive(Clone, Debug)]
enum Log {
    Double(RequestLog),
    Real(Arc<AuditLog>),
}

impl Requests {
    pub(super) fn of_the_double(log: &RequestLog) -> Self {
        Requests(Log::Double(log.clone()))
    }

    pub(super) fn of_the_real(log: &Arc<AuditLog>) -> Self {
        Requests(Log::Real(log.clone()))
    }

    /// A copy of the log.
    pub fn snapshot(&self) -> Vec<Request> {
        match &self.0 {
            Log::Double(log) => log.snapshot(),
            Log::Real(log) => log.snapshot(),
        }
    }

    /// The requests so far; the log starts anew.
    pub fn take(&self) -> Vec<Request> {
        match &self.0 {
            Log::Double(log) => log.take(),
            Log::Real(log) => log.take(),
        }
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.take();
    }

    /// How many requests are of a kind.
    pub fn count(&self, matching: impl Fn(&Request) -> bool) -> usize {
        self.snapshot().iter().filter(|request| matching(request)).count()
    }

    /// The requests of a user.
    pub fn by(&self, user: &str) -> Vec<Request> {
        self.snapshot().into_iter().filter(|request| request.user == user).collect()
    }
}
