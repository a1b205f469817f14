//! Network Load Balancers for Kubernetes Services.
//!
//! The crate stands on a narrow seam over AWS: [`client`] holds the plain data, one trait method for each
//! AWS request, the implementation over the AWS SDK, and the wrappers that count, pace and share requests.
//! Everything above the seam is independent of the SDK's types.

#![deny(missing_docs)]

mod apply;
pub mod client;
mod config;
pub mod desired;
pub mod drift;
pub mod error;
mod failure;
mod memory;
pub mod model;
pub mod naming;
pub mod observe;
pub mod options;
pub mod plan;
mod provider;
mod site;
pub mod subnets;
pub mod targets;

pub use config::AwsConfig;
pub use provider::AwsProvider;
