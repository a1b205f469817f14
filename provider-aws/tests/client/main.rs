//! The seam over AWS: the strict in-memory AWS keeps AWS's rules, and the wrappers keep their promises.

mod account;
mod calls;
mod faults;
mod lags;
mod listeners;
mod load_balancers;
mod pacing;
mod rules;
mod security_groups;
mod shared_reads;
mod snapshot;
mod target_groups;
mod targets;
mod zones;
