//! Fixtures, end-to-end suites, benches, and the sandbox. Nothing depends on this package.

pub mod announcer_thread;
pub mod apiserver;
pub mod aws;
pub mod churn;
pub mod cluster;
pub mod control_plane;
pub mod fuzz;
pub mod kubectl;
pub mod link_order;
pub mod metadata;
pub mod openapi_v2;
pub mod performance;
pub mod process;
pub mod programs;
pub mod real_cluster;
pub mod recorded;
pub mod refusals;
pub mod rights;
pub mod sandbox;
pub mod session;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
