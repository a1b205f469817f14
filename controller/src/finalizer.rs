//! The finalizer that keeps a Service until its load balancer is gone.
//!
//! Added and removed by strategic merge patches that name only our entry, so that a finalizer somebody else
//! adds meanwhile is never wiped; both carry the UID, so that a namesake created meanwhile is never touched.

use serde_json::{Value, json};

/// The finalizer Kubernetes' own service controller uses: tools and people know it
/// ([KEP-980](https://github.com/kubernetes/enhancements/issues/980)).
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// The metadata part of a patch that adds our finalizer: a set union on the server's side.
pub fn added(uid: &str) -> Value {
    json!({ "uid": uid, "finalizers": [FINALIZER] })
}

/// The metadata part of a patch that removes our finalizer and no other.
pub fn removed(uid: &str) -> Value {
    json!({ "uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER] })
}
