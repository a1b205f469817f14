//! `IPAddressPool`: addresses that may be given to Services.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses that may be given to Services of type `LoadBalancer`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "IPAddressPool",
    plural = "ipaddresspools",
    singular = "ipaddresspool",
    namespaced,
    status = "IPAddressPoolStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Auto Assign", "type": "boolean", "jsonPath": ".spec.autoAssign"}"#,
    printcolumn = r#"{"name": "Avoid Buggy IPs", "type": "boolean", "jsonPath": ".spec.avoidBuggyIPs"}"#,
    printcolumn = r#"{"name": "Addresses", "type": "string", "jsonPath": ".spec.addresses"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolSpec {
    /// Ranges of addresses, each a CIDR prefix or `first-last`, of either family. Ranges of all pools must not
    /// overlap.
    pub addresses: Vec<String>,
    /// Whether Services that ask for no pool and no address may get one from here.
    #[serde(default = "always")]
    pub auto_assign: bool,
    /// Leaves out IPv4 addresses that end in .0 or .255, which some devices take for a broadcast.
    #[serde(default, rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: bool,
    /// Which Services may have addresses from here; all, if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ServiceAllocation")]
    pub service_allocation: Option<ServiceAllocation>,
}

fn always() -> bool {
    true
}

/// Which Services a pool is for. The namespace (by name or by label) and the Service's labels must both fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// Among several pools that fit, the one with the lowest number is used first; 0 comes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub priority: Option<i64>,
    /// Namespaces by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub namespaces: Option<Vec<String>>,
    /// Namespaces by label; a namespace that one of them selects is allowed, besides those named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<LabelSelector>")]
    pub namespace_selectors: Option<Vec<LabelSelector>>,
    /// Services by label; one of them must select the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<LabelSelector>")]
    pub service_selectors: Option<Vec<LabelSelector>>,
}

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IPAddressPoolStatus {
    /// IPv4 addresses in use; a shared one counts once.
    #[serde(rename = "assignedIPv4")]
    pub assigned_ipv4: i64,
    /// IPv6 addresses in use; a shared one counts once.
    #[serde(rename = "assignedIPv6")]
    pub assigned_ipv6: i64,
    /// IPv4 addresses that are free.
    #[serde(rename = "availableIPv4")]
    pub available_ipv4: i64,
    /// IPv6 addresses that are free, or the largest number there is.
    #[serde(rename = "availableIPv6")]
    pub available_ipv6: i64,
}

impl IPAddressPoolSpec {
    /// A pool of these ranges for everybody.
    pub fn of(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        IPAddressPoolSpec {
            addresses: addresses.into_iter().map(Into::into).collect(),
            auto_assign: true,
            avoid_buggy_ips: false,
            service_allocation: None,
        }
    }
}

impl IPAddressPool {
    /// The pool's name; empty if the manifest has none.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The pool's namespace; empty if the manifest has none.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }
}
