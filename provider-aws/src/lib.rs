//! Network Load Balancers for Kubernetes Services, with instances as targets.
//!
//! # The data's way
//!
//! ```text
//! ServiceView ──options──▶ Spec ──desired──▶ Desired ┐
//!                           ▲ site                   ├─plan─▶ Planned ──apply──▶ AWS
//!              AWS ──observe──▶ Found, Observed ─────┘
//! ```
//!
//! Only `site`, [`observe`] and `apply` wait for AWS; everything else is plain functions over plain data, which
//! prints as JSON. [`AwsProvider`] strings the stages together.
//!
//! # Setting it up
//!
//! Connect to AWS (the `client` module's `sdk`, or the strict in-memory AWS behind the feature `testing`), wrap it in
//! [`client::Aws`], and give that to [`AwsProvider::new`] with an [`AwsConfig`].
//!
//! # The seam
//!
//! [`client`] holds the plain data, one trait method for each AWS request, the implementation over the AWS SDK,
//! and the wrappers that count, pace and share requests. The SDK's types do not leave it.

#![deny(missing_docs)]

pub mod adoption;
mod apply;
pub mod client;
mod config;
mod converge;
pub mod desired;
pub mod discovery;
pub mod drift;
mod failure;
pub mod found;
mod memory;
pub mod model;
pub mod naming;
pub mod observe;
pub mod options;
pub mod placement;
pub mod plan;
mod provider;
mod site;
pub mod subnets;
pub mod targets;
mod waiting;

pub use client::error;
pub use config::AwsConfig;
pub use provider::AwsProvider;
