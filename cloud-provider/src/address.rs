//! What a Service's status says about where it can be reached.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;
use crate::shared_text;
use crate::sorted_map::SortedMap;

/// How kube-proxy treats traffic from inside the cluster to a published IP
/// ([KEP-1860](https://github.com/kubernetes/enhancements/issues/1860)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IpMode {
    /// Traffic is delivered to the node with the published IP as destination; kube-proxy short-circuits it.
    /// The API server's default when an IP is published without a mode.
    #[serde(rename = "VIP")]
    Vip,
    /// Traffic is delivered to the node or pod address; kube-proxy leaves the published IP alone.
    Proxy,
}

/// The state of one port of a published address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortStatus {
    /// The Service port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Why the port is not served, as a `CamelCase` or `domain/CamelCase` word; none when it is.
    pub error: Option<String>,
}

impl PortStatus {
    /// A port that is served.
    pub fn served(port: u16, protocol: Protocol) -> Self {
        PortStatus { port, protocol, error: None }
    }

    /// A port that is not, and why: a `CamelCase` or `domain/CamelCase` word.
    pub fn failed(port: u16, protocol: Protocol, error: impl Into<String>) -> Self {
        PortStatus { port, protocol, error: Some(error.into()) }
    }
}

/// One entry of `status.loadBalancer.ingress`.
///
/// Order is part of the meaning: clients read the first entry, so lists of entries are compared as lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ingress {
    /// The address, when the load balancer has a fixed one.
    pub ip: Option<IpAddr>,
    /// The DNS name, when it has none.
    pub hostname: Option<String>,
    /// Only with an IP; none means the API server's default, [`IpMode::Vip`].
    pub ip_mode: Option<IpMode>,
    /// Per-port state; empty when there is nothing to say.
    pub ports: Vec<PortStatus>,
}

impl Ingress {
    /// An entry for a fixed address.
    pub fn ip(ip: IpAddr) -> Self {
        Ingress { ip: Some(ip), ..Ingress::default() }
    }

    /// An entry for a DNS name.
    pub fn hostname(name: impl Into<String>) -> Self {
        Ingress { hostname: Some(name.into()), ..Ingress::default() }
    }

    /// With this mode.
    pub fn with_mode(mut self, mode: IpMode) -> Self {
        self.ip_mode = Some(mode);
        self
    }

    /// With the state of these ports.
    pub fn with_ports(mut self, ports: Vec<PortStatus>) -> Self {
        self.ports = ports;
        self
    }

    /// Whether two entries mean the same to a client: an absent mode beside an IP equals `VIP`, because the
    /// API server fills that in on the way to storage.
    pub fn means_the_same(&self, other: &Ingress) -> bool {
        let mode = |i: &Ingress| i.ip.map(|_| i.ip_mode.unwrap_or(IpMode::Vip));
        self.ip == other.ip
            && self.hostname == other.hostname
            && mode(self) == mode(other)
            && self.ports == other.ports
    }
}

impl fmt::Display for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.ip, &self.hostname) {
            (Some(ip), Some(name)) => write!(f, "{ip} ({name})"),
            (Some(ip), None) => write!(f, "{ip}"),
            (None, Some(name)) => f.write_str(name),
            (None, None) => f.write_str("nothing"),
        }
    }
}

/// What a provider wants written on a Service: its addresses, and annotations that describe them.
///
/// An address and its annotations travel in one write, so nobody ever sees one without the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Published {
    /// `status.loadBalancer.ingress`, in order.
    pub ingress: Vec<Ingress>,
    /// Annotations to set; they are removed again when the provider no longer serves the Service. Information
    /// for people and tools: a provider never reads them back as input.
    pub annotations: SortedMap<String>,
    /// What else is to be known of the Service, by a `CamelCase` word: `Announced` of provider `bare` is the condition
    /// `bare.cloud-lb-controller/Announced`. One that is not published any more is taken off.
    pub conditions: SortedMap<ProviderCondition>,
}

/// A condition that a provider publishes beside the controller's own, which says whether the load balancer is ready.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct ProviderCondition {
    /// Whether it holds; none: nobody knows.
    pub holds: Option<bool>,
    /// One `CamelCase` word.
    #[serde(serialize_with = "shared_text::serialize")]
    pub reason: Arc<str>,
    /// One or a few sentences. Many a Service has the same: it is kept once by all who speak of it.
    #[serde(serialize_with = "shared_text::serialize")]
    pub message: Arc<str>,
}

impl ProviderCondition {
    /// It holds, or not, or nobody knows: for this reason, one `CamelCase` word, and this message.
    pub fn new(holds: Option<bool>, reason: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Self {
        ProviderCondition { holds, reason: reason.into(), message: message.into() }
    }
}

impl Published {
    /// These entries, in order, and nothing besides.
    pub fn new(ingress: impl IntoIterator<Item = Ingress>) -> Self {
        Published { ingress: ingress.into_iter().collect(), ..Published::default() }
    }

    /// Addresses alone.
    pub fn addresses(ips: impl IntoIterator<Item = IpAddr>) -> Self {
        Published::new(ips.into_iter().map(Ingress::ip))
    }

    /// With this annotation besides.
    pub fn with_annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// With this condition besides.
    pub fn with_condition(mut self, word: impl Into<String>, condition: ProviderCondition) -> Self {
        self.conditions.insert(word.into(), condition);
        self
    }

    /// Whether `shown`, a list read from a Service's status, already says what this says.
    pub fn agrees_with(&self, shown: &[Ingress]) -> bool {
        self.ingress.len() == shown.len() && self.ingress.iter().zip(shown).all(|(a, b)| a.means_the_same(b))
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ingress.is_empty() {
            return f.write_str("no address");
        }
        for (i, entry) in self.ingress.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_mode_means_vip_beside_an_ip() {
        let ours = Ingress::ip("10.0.0.1".parse().unwrap());
        let mut stored = ours.clone();
        stored.ip_mode = Some(IpMode::Vip);
        assert!(ours.means_the_same(&stored));
        stored.ip_mode = Some(IpMode::Proxy);
        assert!(!ours.means_the_same(&stored));
    }

    #[test]
    fn the_order_of_entries_is_part_of_the_meaning() {
        let a: IpAddr = "10.0.0.1".parse().unwrap();
        let b: IpAddr = "fd00::1".parse().unwrap();
        let published = Published::addresses([a, b]);
        assert!(published.agrees_with(&[Ingress::ip(a), Ingress::ip(b)]));
        assert!(!published.agrees_with(&[Ingress::ip(b), Ingress::ip(a)]));
        assert_eq!(published.to_string(), "10.0.0.1, fd00::1");
    }
}
