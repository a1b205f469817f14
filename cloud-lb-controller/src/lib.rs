//! The program `cloud-lb-controller`: flags to parts, and the parts at work.
//!
//! ```text
//! commands ──▶ flags ──▶ providers ──▶ (provider-aws, provider-bare)
//!     │                      one folder each: flags, build, doctor, rights, metrics
//!     ├──▶ election ──▶ (service-controller)
//!     └──▶ server: health, readiness, metrics, the log level
//! ```
//!
//! It is a library besides only so that the workspace's suites can depend on it, features included. Who wants a
//! controller of their own embeds `service-controller`.

mod build_info;
mod commands;
mod connection;
mod election;
mod error;
mod finding;
mod flags;
mod logging;
mod pace;
mod providers;
mod proxy;
#[doc(hidden)]
pub mod readers;
mod requests;
mod rights;
mod server;
mod signals;
#[cfg_attr(not(feature = "otel"), path = "no_traces.rs")]
mod traces;
mod values;
mod workload;

pub use commands::main;
