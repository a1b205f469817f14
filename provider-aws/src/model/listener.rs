//! A listener that should exist.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::client::{AlpnPolicy, Attributes, Protocol, Tags};
use crate::options::WeightedForward;

/// A listener that should exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// The port clients use: what a listener is recognised by.
    pub port: u16,
    /// The protocol clients use.
    pub protocol: Protocol,
    /// For TLS only.
    pub tls: Option<Tls>,
    /// The name of the target group its traffic goes to.
    pub target_group: String,
    /// Other target groups that share the traffic.
    pub weighted: Option<WeightedForward>,
    /// Attributes that should hold; the others are not looked at.
    pub attributes: Attributes,
    /// Tags that should be there; others are not looked at.
    pub tags: Tags,
}

/// How a listener ends TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// The certificate for clients that name no host.
    pub default_certificate: String,
    /// Certificates chosen by the host a client names, without the default one.
    pub sni_certificates: BTreeSet<String>,
    /// Security policy.
    pub policy: String,
    /// Whether the user chose the policy. If not, a listener that exists keeps the one it has.
    pub policy_is_chosen: bool,
    /// ALPN policy.
    pub alpn: AlpnPolicy,
}
