//! A network for the demonstration: two nodes and a client as network namespaces of this machine, without root, and an
//! announcer on each node. The real kube-proxy, or else a few rules, lead what comes to a node to its page, which stands for Pods.

mod enter;
mod kube_proxy;
mod machine;
mod show;

pub use enter::{enter, is_entered, missing};
pub(super) use show::show;
