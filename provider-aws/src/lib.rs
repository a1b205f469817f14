//! Network Load Balancers for Kubernetes Services, with instances as targets.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use provider_aws::client::{Aws, RateLimited, Rates, Sdk, SdkOptions, SharingOptions};
//! use provider_aws::{AwsConfig, AwsProvider};
//!
//! let sdk = Sdk::from_environment(&SdkOptions::default()).await?;
//! let aws = Aws::new(RateLimited::rate_limited(sdk, &Rates::default()), SharingOptions::default());
//! let provider = AwsProvider::new(aws, AwsConfig::new("my-cluster"));
//! # Ok(())
//! # }
//! ```
//!
//! The provider is a [`cloud_provider::CloudLoadBalancer`]; give it to `service_controller::ServiceController`.
//!
//! # The data's way
//!
//! ```text
//! ServiceView ──options──▶ Spec ──desired──▶ Desired ┐
//!                           ▲ site                   ├─plan─▶ Planned ──apply──▶ AWS
//!              AWS ──observe──▶ Observed ────────────┘
//! ```
//!
//! Only `site`, [`observe`] and `apply` wait for AWS; everything else is plain functions over plain data, which
//! prints as JSON. [`AwsProvider`] strings the stages together.
//!
//! # Promises
//!
//! * A mistake in a Service, or a refusal by AWS, is told by the annotation that it comes from, and what serves goes on:
//!   what depends on it stays as it is, and the rest of the Service follows.
//! * What is made carries its owner's tags from its first moment; what nobody of ours made is left alone.
//! * Every call may fail, be given up or lose its answer: running the same step again is right.
//! * A restart, a change of leader and a Service that stays as it is write nothing.
//!
//! # Setting it up
//!
//! Connect to AWS (the `client` module's `sdk`, or the strict in-memory AWS behind the feature `testing`), wrap it in
//! [`client::Aws`], and give that to [`AwsProvider::new`] with an [`AwsConfig`].
//!
//! # Features and versions
//!
//! `testing` adds the strict AWS in memory (`client::fake`), off by default. The SDK is compiled with rustls and ring. No
//! version of Kubernetes is involved: the provider sees the contract's views only.
//!
//! # The seam
//!
//! [`client`] holds the plain data, one trait method for each AWS request, the implementation over the AWS SDK,
//! and the wrappers that count, pace and share requests. The SDK's types do not leave it.

#![deny(missing_docs)]

pub mod adoption;
mod apply;
mod backends;
mod beside;
mod blame;
pub mod client;
mod config;
mod converge;
pub mod desired;
pub mod discovery;
pub mod drift;
mod failure;
mod memory;
mod mistaken;
pub mod model;
pub mod naming;
pub mod observe;
pub mod options;
mod outcome;
pub mod plan;
mod provider;
mod provisioning;
pub mod settings;
mod shared_groups;
pub mod site;
pub mod subnet_moves;
pub mod subnets;
pub mod targets;

pub use client::error;
pub use config::AwsConfig;
pub use provider::AwsProvider;
