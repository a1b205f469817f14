//! What is announced, by which nodes and to whom, and why not.

mod bgp;
mod cluster;
mod layer2;
mod properties;
mod refusals;
