//! Listeners.

use serde::Serialize;

use super::{Tags, words::wire_words};

/// A protocol of a listener or of a target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// TLS, ended at the load balancer.
    Tls,
    /// UDP.
    Udp,
    /// TCP and UDP on one port.
    TcpUdp,
    /// QUIC, passed through.
    Quic,
    /// TCP and QUIC on one port.
    TcpQuic,
    /// HTTP: Application Load Balancers only, seen in lists.
    Http,
    /// HTTPS: Application Load Balancers only, seen in lists.
    Https,
}

wire_words!(Protocol {
    Tcp = "TCP",
    Tls = "TLS",
    Udp = "UDP",
    TcpUdp = "TCP_UDP",
    Quic = "QUIC",
    TcpQuic = "TCP_QUIC",
    Http = "HTTP",
    Https = "HTTPS",
});

impl Protocol {
    /// The target group protocols a listener of this protocol may forward to.
    pub const fn allowed_targets(self) -> &'static [Self] {
        match self {
            Self::Tcp => &[Self::Tcp, Self::TcpUdp],
            Self::Tls => &[Self::Tcp, Self::Tls],
            Self::Udp => &[Self::Udp, Self::TcpUdp],
            Self::TcpUdp => &[Self::TcpUdp],
            Self::Quic => &[Self::Quic],
            Self::TcpQuic => &[Self::TcpQuic],
            Self::Http | Self::Https => &[Self::Http, Self::Https],
        }
    }

    /// Whether packets of this protocol are UDP datagrams, all or some of them.
    pub const fn carries_udp(self) -> bool {
        matches!(self, Self::Udp | Self::TcpUdp | Self::Quic | Self::TcpQuic)
    }
}

/// Which application protocols a TLS listener offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AlpnPolicy {
    /// No negotiation.
    None,
    /// HTTP/1 only.
    Http1Only,
    /// HTTP/2 only.
    Http2Only,
    /// HTTP/1 preferred.
    Http2Optional,
    /// HTTP/2 preferred.
    Http2Preferred,
}

wire_words!(AlpnPolicy {
    None = "None",
    Http1Only = "HTTP1Only",
    Http2Only = "HTTP2Only",
    Http2Optional = "HTTP2Optional",
    Http2Preferred = "HTTP2Preferred",
});

/// Where a listener sends its traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forward {
    /// Target groups with their share, sorted by ARN; at least one.
    pub target_groups: Vec<WeightedTargetGroup>,
    /// Whether a client stays with its target group; off where AWS does not say.
    pub sticky: bool,
}

/// A target group's share of a listener's traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightedTargetGroup {
    /// The target group.
    pub arn: String,
    /// 0 to 999; the share is this weight among the sum of all. 1 where only one target group is named.
    pub weight: u16,
}

impl Forward {
    /// All traffic to one target group.
    pub fn to(target_group_arn: impl Into<String>) -> Self {
        let only = WeightedTargetGroup { arn: target_group_arn.into(), weight: 1 };
        Self { target_groups: vec![only], sticky: false }
    }

    /// Traffic shared by weight; sorted here.
    pub fn weighted(mut target_groups: Vec<WeightedTargetGroup>) -> Self {
        target_groups.sort_unstable_by(|a, b| a.arn.cmp(&b.arn));
        Self { target_groups, sticky: false }
    }
}

/// A listener as AWS describes it. Further certificates are told by `DescribeListenerCertificates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listener {
    /// Its ARN.
    pub arn: String,
    /// The load balancer it belongs to.
    pub load_balancer_arn: String,
    /// The port clients use; one listener a port, even between TCP and UDP.
    pub port: u16,
    /// The protocol clients use.
    pub protocol: Protocol,
    /// ARN of the default certificate; TLS only.
    pub default_certificate: Option<String>,
    /// Security policy; TLS only.
    pub ssl_policy: Option<String>,
    /// ALPN policy; TLS only.
    pub alpn_policy: Option<AlpnPolicy>,
    /// Where its traffic goes.
    pub forward: Forward,
}

/// A listener to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreateListener {
    /// The load balancer it is to belong to.
    pub load_balancer_arn: String,
    /// The port clients use.
    pub port: u16,
    /// The protocol clients use.
    pub protocol: Protocol,
    /// ARN of the default certificate; needed for TLS, refused otherwise.
    pub default_certificate: Option<String>,
    /// Security policy; TLS only. AWS chooses if there is none.
    pub ssl_policy: Option<String>,
    /// ALPN policy; TLS only.
    pub alpn_policy: Option<AlpnPolicy>,
    /// Where its traffic goes.
    pub forward: Forward,
    /// Tags, set in the same request.
    pub tags: Tags,
}

/// A change of a listener; what is none stays as it is.
///
/// Changing TLS into another protocol drops certificate and policies; changing into TLS needs a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModifyListener {
    /// The listener.
    pub listener_arn: String,
    /// The port clients use.
    pub port: Option<u16>,
    /// The protocol clients use.
    pub protocol: Option<Protocol>,
    /// ARN of the default certificate.
    pub default_certificate: Option<String>,
    /// Security policy.
    pub ssl_policy: Option<String>,
    /// ALPN policy; [`AlpnPolicy::None`] turns it off.
    pub alpn_policy: Option<AlpnPolicy>,
    /// Where its traffic goes.
    pub forward: Option<Forward>,
}

/// A certificate of a TLS listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Certificate {
    /// The certificate in ACM or IAM.
    pub arn: String,
    /// Whether it is the one served to clients that name no host.
    pub is_default: bool,
}
