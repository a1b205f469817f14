//! The provider end to end on the strict in-memory AWS, through the contract's trait alone.

mod adoption;
mod bad_input;
mod change;
mod conformance;
mod cost;
mod deadlines;
mod docs;
mod fairness;
mod faults;
mod fixture;
mod iam;
mod lifecycle;
mod limits;
mod nodes;
mod other_vpc;
mod others;
mod partly;
mod prefixes;
mod provisioning;
mod replacement;
mod rules;
mod says_what;
mod shared_group;
mod subnet_moves;
mod taken_back;
mod target_quotas;
