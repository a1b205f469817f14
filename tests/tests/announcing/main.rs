//! What an announcer tells in a cluster.

mod agent;
mod frr_k8s;
mod statuses;
