//! For tests: builders, an in-memory cloud, and the conformance suite.
//!
//! * [`a_service`], [`a_node`], [`nodes`] and [`request`] build what a provider is handed, with defaults.
//! * [`MemoryCloud`] is a cloud in memory. Its [`MemoryProvider`] is the trait in its plainest form, and a
//!   provider for a controller's tests: it can be told to fail, to wait, to lose a reply, or to die half-way.
//! * [`conformance`](conformance::conformance) checks a provider against the contract; its author writes a
//!   [`Harness`]. [`MemoryHarness`] is the one for the cloud in memory, and for wrappers.

mod builders;
mod calls;
mod cloud;
pub mod conformance;
mod faults;
mod harness;
mod memory;
mod platform;
mod settings;

pub use builders::{
    NodeBuilder, ServiceBuilder, a_node, a_service, a_service_named, endpoints, nodes, request,
};
#[cfg(feature = "kubernetes")]
pub use builders::{node_object, service_object};
pub use calls::{Call, CallState, Method};
pub use cloud::MemoryCloud;
pub use conformance::{Failure, Harness, Serving};
pub use faults::{Calls, Fault, Gate, Point};
pub use harness::MemoryHarness;
pub use memory::{MemoryProvider, NODE_LABELS};
pub use platform::{Firewall, Forwarding, LoadBalancer};
pub use settings::{AddressKind, Provisioning, Settings};
