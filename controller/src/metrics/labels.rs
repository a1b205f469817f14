//! What the counters are told apart by. Nothing here is a Service: their number is no reason for more series.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

/// Which method of the provider was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the label's value is the method's name")]
#[non_exhaustive]
pub enum ProviderOperation {
    /// `ensure`
    ensure,
    /// `update_backends`
    update_backends,
    /// `delete`
    delete,
    /// `resume`
    resume,
    /// `list`
    list,
    /// `get`
    get,
}

/// What came of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReconcileOutcome {
    /// There was nothing to do.
    Unchanged,
    /// The load balancer is as it should be.
    Ready,
    /// It is under way.
    Pending,
    /// The load balancer has the nodes of now.
    NodesUpdated,
    /// What was held for the Service was released.
    CleanedUp,
    /// The provider leaves the Service to another controller.
    ImplementedElsewhere,
    /// The provider, or the Service itself, stood in the way.
    Failed,
    /// The API server did not take a write.
    WriteFailed,
}

impl ReconcileOutcome {
    pub(super) const ALL: [Self; 8] = [
        ReconcileOutcome::Unchanged,
        ReconcileOutcome::Ready,
        ReconcileOutcome::Pending,
        ReconcileOutcome::NodesUpdated,
        ReconcileOutcome::CleanedUp,
        ReconcileOutcome::ImplementedElsewhere,
        ReconcileOutcome::Failed,
        ReconcileOutcome::WriteFailed,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ReconcileOutcome::Unchanged => "Unchanged",
            ReconcileOutcome::Ready => "Ready",
            ReconcileOutcome::Pending => "Pending",
            ReconcileOutcome::NodesUpdated => "NodesUpdated",
            ReconcileOutcome::CleanedUp => "CleanedUp",
            ReconcileOutcome::ImplementedElsewhere => "ImplementedElsewhere",
            ReconcileOutcome::Failed => "Failed",
            ReconcileOutcome::WriteFailed => "WriteFailed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReconcileLabels {
    pub(super) provider: String,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RetryLabels {
    pub(super) provider: String,
    pub(super) class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) provider: String,
    pub(super) operation: ProviderOperation,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OperationLabels {
    pub(super) provider: String,
    pub(super) operation: ProviderOperation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProviderLabel {
    pub(super) provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NameLabel {
    pub(super) name: &'static str,
}
