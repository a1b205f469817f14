//! MetalLB's resources, field for field, so that its manifests work as they are.
//!
//! Numbers are read wide and checked where a resource is [validated](crate::announcing), so that one that is out of its
//! range is told by its field. Fields, ranges, defaults, rules and printed columns are those of MetalLB's own definitions
//! at [commit 7938d3f](https://github.com/metallb/metallb/tree/7938d3f89/config/crd/bases), of July 2026.
//!
//! `BGPPeer` has the version `v1beta2` alone. MetalLB's definition also serves `v1beta1`, which it deprecated in 2022 and
//! converts by a webhook of its controller; where its definition is in the cluster it is left alone. Whoever has manifests
//! of `v1beta1` writes `v1beta2` in them: all of its fields are there under the same names.

mod bfd_profile;
mod bgp_advertisement;
mod bgp_peer;
mod community;
mod configuration_state;
mod ip_address_pool;
mod l2_advertisement;
mod service_status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bfd_profile::{BFDProfile, BFDProfileSpec};
pub use bgp_advertisement::{BGPAdvertisement, BGPAdvertisementSpec};
pub use bgp_peer::{BGPPeer, BGPPeerSpec, SecretReference};
pub use community::{Community, CommunityAlias, CommunitySpec};
pub use configuration_state::{
    ConfigurationCondition, ConfigurationState, ConfigurationStateSpec, ConfigurationStateStatus,
};
pub use ip_address_pool::{IPAddressPool, IPAddressPoolSpec, IPAddressPoolStatus, ServiceAllocation};
pub use l2_advertisement::{L2Advertisement, L2AdvertisementSpec, PreferredNodeSelector};
pub use service_status::{
    AnnouncementProtocol, InterfaceInfo, NODE_LABEL, SERVICE_NAME_LABEL, SERVICE_NAMESPACE_LABEL,
    ServiceBGPStatus, ServiceBGPStatusSpec, ServiceBGPStatusStatus, ServiceL2Status, ServiceL2StatusSpec,
    ServiceL2StatusStatus,
};

/// The status of a resource of which nothing is told there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoStatus {}

/// The definitions of all of MetalLB's resources, by name.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut state = ConfigurationState::crd();
    // The one kind that has only a status.
    if let Some(fields) = root(&mut state).and_then(|root| root.properties.as_mut()) {
        fields.remove("spec");
    }
    let mut without_required_spec = [
        BFDProfile::crd(),
        BGPAdvertisement::crd(),
        BGPPeer::crd(),
        Community::crd(),
        state,
        L2Advertisement::crd(),
        ServiceBGPStatus::crd(),
        ServiceL2Status::crd(),
    ];
    for definition in &mut without_required_spec {
        if let Some(root) = root(definition) {
            // An advertisement of everything has nothing in its spec, and most have none.
            root.required = None;
        }
    }
    let mut all: Vec<_> = without_required_spec.into_iter().chain([IPAddressPool::crd()]).collect();
    all.sort_unstable_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    all
}

/// The schema of a definition's only version.
fn root(definition: &mut CustomResourceDefinition) -> Option<&mut JSONSchemaProps> {
    definition.spec.versions.first_mut()?.schema.as_mut()?.open_api_v3_schema.as_mut()
}

/// The manifests of all [`definitions`], as YAML for `kubectl apply`. Interchangeable with MetalLB's own: same group,
/// names, version, fields, types and printed columns.
///
/// # Errors
/// If a definition cannot be printed as YAML, which would be a defect here.
pub fn manifest() -> Result<String, serde_saphyr::ser::Error> {
    let documents: Result<Vec<String>, _> = definitions().iter().map(serde_saphyr::to_string).collect();
    Ok(documents?.join("---\n"))
}
