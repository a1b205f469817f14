//! The provider end to end on the strict in-memory AWS, through the contract's trait alone.

mod adoption;
mod bad_input;
mod change;
mod conformance;
mod cost;
mod docs;
mod fairness;
mod faults;
mod fixture;
mod iam;
mod lifecycle;
mod limits;
mod others;
mod placement;
mod prefixes;
mod replacement;
mod rules;
mod waiting;
