//! A network for the demonstration: two nodes and a client as network namespaces of this machine, without root, and an
//! announcer on each node. A few rules stand in for kube-proxy, and a page on each node for Pods.

mod enter;
mod machine;
mod show;

pub use enter::{enter, is_entered, missing};
pub(super) use show::show;
