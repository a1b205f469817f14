//! Plain data: what AWS tells us and what we send, without the SDK's types.
//!
//! Values are normalised where AWS's form leaves room for two spellings of one thing: sets are sorted, a
//! security group rule has exactly one source, a forward to one target group has weight 1. Two equal values
//! therefore mean the same at AWS. Everything serialises, so that it can be printed and compared as JSON.
//!
//! # What may grow
//! What AWS answers, and the words of which it has new ones every year, are `non_exhaustive`. Requests, and what they are
//! made of, are complete as they are: whoever sends one says each of its fields, so that a field of AWS's that is
//! supported from now on is decided on wherever a request is made.

mod listener;
mod load_balancer;
mod network;
mod security_group;
mod target_group;
mod words;

use std::collections::BTreeMap;

pub use listener::*;
pub use load_balancer::*;
pub use network::*;
pub use security_group::*;
pub use target_group::*;
pub use words::UnknownWord;

/// Tags of a resource: at most 50, keys of 1 to 128 characters, values of 0 to 256.
pub type Tags = BTreeMap<String, String>;

/// Attributes of a load balancer, target group or listener: AWS's keys and values, both text.
pub type Attributes = BTreeMap<String, String>;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on this page.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A list that fits on one page.
    pub fn last(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Which resources to describe: all, or the named ones.
///
/// Naming resources by ARN or name is all or nothing: if one of them is absent, AWS fails the whole request
/// with `LoadBalancerNotFound` or `TargetGroupNotFound`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Select {
    /// Every one of the account in this region, in pages of up to 400.
    #[default]
    All,
    /// By ARN, at most 20.
    Arns(Vec<String>),
    /// By name, at most 20.
    Names(Vec<String>),
}
