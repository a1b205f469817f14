//! provider-bare
#![deny(missing_docs)]

pub mod allocator;
pub mod counters;
pub mod crd;
pub mod desired;
mod interval;
pub mod ledger;
pub mod options;
pub mod plan;
pub mod pool;
pub mod pools;
pub mod range;
pub mod selector;
pub mod waiting;
