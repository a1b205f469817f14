//! `BGPAdvertisement`: which addresses are advertised to routers, and how.
// The derive of rules makes a public struct of its own.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::NoStatus;

/// Advertises addresses of pools to routers, by BGP.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPAdvertisement",
    plural = "bgpadvertisements",
    singular = "bgpadvertisement",
    namespaced,
    status = "NoStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "IPAddressPools", "type": "string", "jsonPath": ".spec.ipAddressPools"}"#,
    printcolumn = r#"{"name": "IPAddressPool Selectors", "type": "string", "jsonPath": ".spec.ipAddressPoolSelectors"}"#,
    printcolumn = r#"{"name": "Peers", "type": "string", "jsonPath": ".spec.peers"}"#,
    printcolumn = r#"{"name": "Node Selectors", "type": "string", "jsonPath": ".spec.nodeSelectors", "priority": 10}"#
)]
#[x_kube(validation = Rule::new(
    "!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || ((!has(self.aggregationLength) || \
     self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))"
).message(
    "serviceSelectors need whole addresses: aggregationLength 32 and aggregationLengthV6 128, which are the defaults"
))]
#[serde(rename_all = "camelCase")]
pub struct BGPAdvertisementSpec {
    /// How many bits of an IPv4 address are advertised, 1 to 32.
    #[serde(default = "whole_ipv4")]
    #[schemars(with = "i32", range(min = 1))]
    pub aggregation_length: i64,
    /// How many bits of an IPv6 address are advertised, 1 to 128.
    #[serde(default = "whole_ipv6")]
    #[schemars(with = "i32")]
    pub aggregation_length_v6: i64,
    /// LOCAL_PREF of the routes: the higher is preferred. None is sent if it is 0 or not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub local_pref: Option<i64>,
    /// Communities of the routes, each as `1234:1234`, as `large:1234:1234:1234`, or by the name that a `Community` gives
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<String>,
    /// Pools by name. All pools, if neither this nor `ipAddressPoolSelectors` is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,
    /// Pools by label, besides those named; one of the selectors must fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,
    /// Nodes that advertise, one of the selectors must fit; all nodes, if it is not set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,
    /// The `BGPPeer`s to which is advertised, by name; all, if it is not set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// Services by label, one of the selectors must fit; all Services of the pools, if it is not set. Only together with
    /// the default aggregation lengths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

fn whole_ipv4() -> i64 {
    32
}

fn whole_ipv6() -> i64 {
    128
}

impl Default for BGPAdvertisementSpec {
    fn default() -> Self {
        BGPAdvertisementSpec {
            aggregation_length: whole_ipv4(),
            aggregation_length_v6: whole_ipv6(),
            local_pref: None,
            communities: Vec::new(),
            ip_address_pools: Vec::new(),
            ip_address_pool_selectors: Vec::new(),
            node_selectors: Vec::new(),
            peers: Vec::new(),
            service_selectors: Vec::new(),
        }
    }
}
