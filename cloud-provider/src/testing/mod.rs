//! For tests: what a provider is handed, with defaults.
//!
//! * [`a_service`], [`a_node`], [`nodes`] and [`request`] build what a provider is handed, with defaults.

mod builders;

pub use builders::{NodeBuilder, ServiceBuilder, a_node, a_service, a_service_named, nodes, request};
