//! From Kubernetes' objects to the contract's views of them: plain functions, no client.
//!
//! Whoever reads Services, Nodes and EndpointSlices by other means than the generic controller sees them here as it does. Needs the
//! feature `kubernetes`, and a program that switches on one of k8s-openapi's version features.

mod endpoint_slice;
mod node;
mod service;

pub use endpoint_slice::{endpoints_of_slice, service_of_slice};
pub use node::node_view;
pub use service::{is_load_balancer, service_key, service_view};
