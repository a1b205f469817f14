//! A listener that should exist.

use serde::Serialize;

use crate::client::{Attributes, Protocol, Tags};
use crate::options::{TlsSpec, WeightedForward};

/// A listener that should exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// The port clients use: what a listener is recognised by.
    pub port: u16,
    /// The protocol clients use.
    pub protocol: Protocol,
    /// For TLS only.
    pub tls: Option<TlsSpec>,
    /// The name of the target group its traffic goes to.
    pub target_group: String,
    /// Other target groups that share the traffic.
    pub weighted: Option<WeightedForward>,
    /// Attributes that should hold; the others are not looked at.
    pub attributes: Attributes,
    /// Tags that should be there; others are not looked at.
    pub tags: Tags,
}
