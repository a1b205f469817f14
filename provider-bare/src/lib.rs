//! provider-bare
#![deny(missing_docs)]

pub mod allocator;
mod apply;
pub mod counters;
pub mod crd;
pub mod desired;
pub mod error;
pub mod file;
mod interval;
pub mod ledger;
pub mod observe;
pub mod options;
pub mod plan;
pub mod pool;
pub mod pools;
mod provider;
pub mod range;
mod report;
pub mod selector;
mod shared;
pub mod waiting;
mod watch;

pub use provider::{BareConfig, BareProvider, PoolSource};
