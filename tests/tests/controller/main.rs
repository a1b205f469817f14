//! The service controller, end to end: a control plane, a cloud in memory, and the controller between them.
//!
//! The suites follow Kubernetes' own service controller point by point where it is right, and hold ours to better
//! where it is not. Tests named `weakness_NN_…` answer the numbered list of weaknesses in the crate's design.

mod beside_mistakes;
mod classes;
mod contests;
mod deletion;
mod failures;
mod leading;
mod lifecycle;
mod measures;
mod nodes;
mod outages;
mod ownership;
mod promises;
mod releases;
mod restarts;
mod user_mistakes;
