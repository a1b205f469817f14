//! What a [`MemoryCloud`](super::MemoryCloud) was asked, and how it ended.

use crate::error::ErrorClass;
use crate::service::{ServiceId, ServiceKey};

/// A method of [`CloudLoadBalancer`](crate::CloudLoadBalancer) that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// `resume`
    Resume,
    /// `get`
    Get,
    /// `ensure`
    Ensure,
    /// `update_backends`
    UpdateBackends,
    /// `delete`
    Delete,
    /// `plan`
    Plan,
    /// `list`
    List,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallState {
    /// Not answered yet.
    Running,
    /// Answered with a success.
    Done,
    /// Answered with an error of this class.
    Failed(ErrorClass),
    /// The caller dropped it before it was answered.
    Dropped,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// Which process made it, counted from 1 in the order of [`MemoryCloud::provider`](super::MemoryCloud::provider).
    pub process: usize,
    /// What was called.
    pub method: Method,
    /// For which Service; none for `resume` and `list`.
    pub service: Option<ServiceId>,
    /// How far it came.
    pub state: CallState,
}

impl Call {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.state != CallState::Running
    }

    /// Whether it is about the Service with this key, whatever its UID.
    pub fn is_about(&self, key: &ServiceKey) -> bool {
        self.service.as_ref().is_some_and(|service| service.key == *key)
    }
}
