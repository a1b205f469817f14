//! What an announcer tells in a cluster.

mod agent;
mod bad_input;
mod frr_k8s;
mod scene;
mod statuses;
