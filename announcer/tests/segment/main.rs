//! Which node answers for an address, rule by rule.

mod disputes;
mod heard;
mod leaving;
mod links;
mod rotation;
mod taking;
mod wire;
