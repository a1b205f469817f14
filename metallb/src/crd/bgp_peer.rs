//! `BGPPeer`: a router to which addresses are advertised.
// The derive of rules makes a public struct of its own.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NoStatus;

/// A router to which addresses are advertised by BGP, and how the session with it is.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta2",
    kind = "BGPPeer",
    plural = "bgppeers",
    singular = "bgppeer",
    namespaced,
    status = "NoStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Address", "type": "string", "jsonPath": ".spec.peerAddress"}"#,
    printcolumn = r#"{"name": "ASN", "type": "string", "jsonPath": ".spec.peerASN"}"#,
    printcolumn = r#"{"name": "BFD Profile", "type": "string", "jsonPath": ".spec.bfdProfile"}"#,
    printcolumn = r#"{"name": "Multi Hops", "type": "string", "jsonPath": ".spec.ebgpMultiHop"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BGPPeerSpec {
    /// Our AS number.
    #[serde(rename = "myASN")]
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub my_asn: i64,
    /// The peer's AS number. Either this or `dynamicASN`.
    #[serde(default, rename = "peerASN", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0, max = 4_294_967_295_i64))]
    pub peer_asn: Option<i64>,
    /// What is accepted as the peer's AS number: `internal`, the same as ours; `external`, any other.
    #[serde(default, rename = "dynamicASN", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["internal", "external"]))]
    pub dynamic_asn: Option<String>,
    /// Another AS number of ours, in the session with this peer alone.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 1, max = 4_294_967_295_i64))]
    pub local_asn: Option<i64>,
    /// The peer's address. Either this or `interface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub peer_address: Option<String>,
    /// The interface behind which the peer is, for a session without addresses of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub interface: Option<String>,
    /// The address from which the session is opened; if it is not set, what the node's routes choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub source_address: Option<String>,
    /// The peer's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 16_384), extend("default" = 179))]
    pub peer_port: Option<i64>,
    /// How long a silent peer counts as alive, such as `90s`: 0 (for ever), or 3 s and more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub hold_time: Option<String>,
    /// How often we show that we are alive, such as `30s`; a third of the hold time if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub keepalive_time: Option<String>,
    /// How long is waited between attempts to connect, such as `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    #[x_kube(
        validation = Rule::new("duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535")
            .message("the connect time is from 1 to 65535 seconds"),
        validation = Rule::new("duration(self).getMilliseconds() % 1000 == 0")
            .message("the connect time is a whole number of seconds"),
    )]
    pub connect_time: Option<String>,
    /// Our router ID, written like an IPv4 address; if it is not set, an address of the node.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub router_id: Option<String>,
    /// Nodes that have a session with the peer, one of the selectors must fit; all nodes, if it is not set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,
    /// The session's password (TCP MD5). Either this or `passwordSecret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub password: Option<String>,
    /// The Secret that holds the session's password, of type `kubernetes.io/basic-auth`, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretReference")]
    pub password_secret: Option<SecretReference>,
    /// The `BFDProfile` by which the peer is watched, by name; it is not watched if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub bfd_profile: Option<String>,
    /// Whether the peer is asked to keep our routes while we restart. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("enableGracefulRestart cannot be changed"))]
    pub enable_graceful_restart: Option<bool>,
    /// Whether the peer, of another AS, is more than one hop away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub ebgp_multi_hop: Option<bool>,
    /// The VRF of the node in which the peer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub vrf: Option<String>,
    /// Whether addresses of both families are advertised, and not only those of the session's own.
    #[serde(default)]
    pub dual_stack_address_family: bool,
    /// Without effect; MetalLB deprecated it in favour of `dualStackAddressFamily`.
    #[serde(default, rename = "disableMP")]
    pub disable_mp: bool,
}

/// A Secret by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub name: Option<String>,
    /// Its namespace, which must be the peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub namespace: Option<String>,
}
