//! What is asked of the store of Services, and how the queue knows one of them.

use cloud_provider::{ServiceId, ServiceKey};
use kube::runtime::reflector::ObjectRef;

use crate::service::Tracked;

/// What the rest of the controller asks of the store.
#[derive(Debug)]
pub enum Command {
    /// There is nothing left to do for this key: drop it unless it came back to life.
    Forget(ServiceKey),
    /// Something is still held for a Service that is not in the cluster: treat it as departed.
    Bury(ServiceId),
}

/// The reference the queue knows a Service by.
pub fn reference(key: &ServiceKey) -> ObjectRef<Tracked> {
    ObjectRef::new(&key.name).within(&key.namespace)
}
