//! `BFDProfile`: how a BGP peer is watched.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NoStatus;

/// How a BGP peer is watched by BFD (RFC 5880).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BFDProfile",
    plural = "bfdprofiles",
    singular = "bfdprofile",
    namespaced,
    status = "NoStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Passive Mode", "type": "boolean", "jsonPath": ".spec.passiveMode"}"#,
    printcolumn = r#"{"name": "Transmit Interval", "type": "integer", "jsonPath": ".spec.transmitInterval"}"#,
    printcolumn = r#"{"name": "Receive Interval", "type": "integer", "jsonPath": ".spec.receiveInterval"}"#,
    printcolumn = r#"{"name": "Multiplier", "type": "integer", "jsonPath": ".spec.detectMultiplier"}"#
)]
#[serde(rename_all = "camelCase", default)]
pub struct BFDProfileSpec {
    /// The shortest interval at which we can receive, in milliseconds; 300 if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 10, max = 60_000))]
    pub receive_interval: Option<i64>,
    /// The shortest interval at which we send, in milliseconds; 300 if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 10, max = 60_000))]
    pub transmit_interval: Option<i64>,
    /// How many packets must fail to come before the peer counts as gone; 3 if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 2, max = 255))]
    pub detect_multiplier: Option<i64>,
    /// The shortest interval at which we can receive echoes, in milliseconds; 50 if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 10, max = 60_000))]
    pub echo_interval: Option<i64>,
    /// Whether echoes are used, which is not possible over several hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub echo_mode: Option<bool>,
    /// Whether we wait for the peer to begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub passive_mode: Option<bool>,
    /// The least time to live with which packets may come in over several hops; 254 if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 254))]
    pub minimum_ttl: Option<i64>,
}
