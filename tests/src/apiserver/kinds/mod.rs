//! The kinds that are served, and what is particular to each.

pub(crate) mod crd;
mod custom;
mod event;
mod lease;
mod namespace;
mod node;
mod plain;
mod schema;
mod service;
mod service_alloc;
mod service_status;
mod service_validation;

use std::sync::Arc;

use serde_json::Value;

use super::lists::ListRule;
use super::pod_proxy::PROXY;
use super::request::Subresource;
use super::status::{FieldError, GroupName, Result};
use super::table::Table;
pub(crate) use custom::resources_of;
pub(crate) use service_alloc::Allocator;
pub use service_alloc::ServiceNetwork;

const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// What is served of namespaces: everything but the deletion of all of them at once.
const NO_COLLECTION_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// What is particular to a kind. The methods see objects in the form in which they are stored, except for
/// [`Strategy::decode`] and [`Strategy::to_storage`], which see what the client sent.
pub(crate) trait Strategy: Send + Sync {
    /// Checks the types of all fields and brings the object into the form in which it is written out. What
    /// it drops was unknown.
    fn decode(&self, sent: &Value) -> std::result::Result<Value, String>;

    /// The form in which the object is stored.
    fn to_storage(&self, sent: Value) -> Value {
        sent
    }

    /// The object as this API version shows it; `None` where that is the stored form.
    fn show_stored(&self, _stored: &Value) -> Option<Value> {
        None
    }

    /// Fills in what the client left open; runs on every write before all else.
    fn default(&self, _object: &mut Value) {}

    fn prepare_create(&self, _object: &mut Value) {}

    fn prepare_update(&self, _old: &Value, _new: &mut Value, _part: Subresource) {}

    fn validate_create(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, _old: &Value, _new: &Value, _part: Subresource) -> Vec<FieldError> {
        Vec::new()
    }

    /// Warnings for the client about an object that is accepted.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Refuses a deletion altogether.
    fn check_delete(&self, _object: &Value) -> Result<()> {
        Ok(())
    }

    /// The kind sees to its own deletion: namespaces wait for their finalizers in `spec`.
    fn waits_on_delete(&self, _object: &Value) -> bool {
        false
    }

    fn prepare_delete(&self, _object: &mut Value) {}

    /// The status of a new object is what the client says.
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// A PUT on a name that does not exist creates the object.
    fn creates_on_update(&self) -> bool {
        false
    }

    /// A PUT without a version replaces whatever is there.
    fn updates_unconditionally(&self) -> bool {
        true
    }

    /// DELETE answers with the object, not with a `Status`.
    fn answers_delete_with_object(&self) -> bool {
        false
    }

    /// Custom resources are served as they are: no strategic patches, the kind on every item of a list.
    fn is_custom(&self) -> bool {
        false
    }

    /// How the list or map at a path merges; `_` in the path stands for any item of a list.
    fn list_rule(&self, path: &[&str]) -> ListRule {
        super::lists::common_rule(path)
    }

    /// Labels usable in a field selector, with the path of the field behind each.
    fn field_labels(&self) -> &[(&'static str, &'static [&'static str])] {
        &[]
    }

    fn table(&self) -> Table;
}

/// A resource as discovery lists it.
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) has_status: bool,
    pub(crate) verbs: &'static [&'static str],
    /// Where the objects are: two API versions of one kind share a table.
    pub(crate) table: String,
    pub(crate) strategy: Arc<dyn Strategy>,
}

impl Resource {
    pub(crate) fn name(&self) -> GroupName<'_> {
        GroupName { group: &self.group, name: &self.plural }
    }

    pub(crate) fn kind_name(&self) -> GroupName<'_> {
        GroupName { group: &self.group, name: &self.kind }
    }

    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    pub(crate) fn has_subresource(&self, name: &str) -> bool {
        match name {
            "status" => self.has_status,
            "finalize" => self.table == "namespaces",
            PROXY => self.table == "pods",
            _ => false,
        }
    }

    fn builtin(group: &str, version: &str, plural: &str, kind: &str, strategy: Arc<dyn Strategy>) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            has_status: false,
            verbs: ALL_VERBS,
            table: plural.to_owned(),
            strategy,
        }
    }

    fn short(mut self, name: &str) -> Self {
        self.short_names.push(name.to_owned());
        self
    }

    fn in_all(mut self) -> Self {
        self.categories.push("all".to_owned());
        self
    }

    fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn with_status(mut self) -> Self {
        self.has_status = true;
        self
    }
}

/// The kinds that are there without any definition.
pub(crate) fn builtin() -> Vec<Resource> {
    let new = Resource::builtin;
    let rbac = "rbac.authorization.k8s.io";
    let mut namespaces = new("", "v1", "namespaces", "Namespace", Arc::new(namespace::Namespaces));
    namespaces.verbs = NO_COLLECTION_VERBS;
    let mut review = new(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        plain::review(),
    );
    review.verbs = &["create"];
    vec![
        new("", "v1", "services", "Service", Arc::new(service::Services)).short("svc").in_all().with_status(),
        new("", "v1", "nodes", "Node", Arc::new(node::Nodes)).short("no").cluster_scoped().with_status(),
        namespaces.short("ns").cluster_scoped().with_status(),
        new("", "v1", "events", "Event", Arc::new(event::CoreEvents)).short("ev"),
        new("events.k8s.io", "v1", "events", "Event", Arc::new(event::Events)).short("ev"),
        new("", "v1", "configmaps", "ConfigMap", plain::config_maps()).short("cm"),
        new("", "v1", "secrets", "Secret", plain::secrets()),
        new("", "v1", "endpoints", "Endpoints", plain::endpoints()).short("ep"),
        new("", "v1", "pods", "Pod", plain::pods()).short("po").in_all().with_status(),
        new("", "v1", "serviceaccounts", "ServiceAccount", plain::service_accounts()).short("sa"),
        new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", plain::endpoint_slices()),
        new("apps", "v1", "deployments", "Deployment", plain::deployments())
            .short("deploy")
            .in_all()
            .with_status(),
        new("apps", "v1", "daemonsets", "DaemonSet", plain::daemon_sets()).short("ds").in_all().with_status(),
        new("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", plain::pod_disruption_budgets())
            .short("pdb")
            .with_status(),
        new("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", plain::network_policies())
            .short("netpol"),
        new("coordination.k8s.io", "v1", "leases", "Lease", Arc::new(lease::Leases)),
        new(rbac, "v1", "roles", "Role", plain::roles()),
        new(rbac, "v1", "rolebindings", "RoleBinding", plain::role_bindings()),
        new(rbac, "v1", "clusterroles", "ClusterRole", plain::cluster_roles()).cluster_scoped(),
        new(rbac, "v1", "clusterrolebindings", "ClusterRoleBinding", plain::cluster_role_bindings())
            .cluster_scoped(),
        new(crd::GROUP, "v1", crd::PLURAL, "CustomResourceDefinition", Arc::new(crd::Definitions))
            .short("crd")
            .short("crds")
            .cluster_scoped()
            .with_status(),
        review.cluster_scoped(),
    ]
}

/// Decodes through the typed form of a built-in kind, and so drops the fields it does not know.
pub(crate) fn decode_as<T>(sent: &Value) -> std::result::Result<Value, String>
where
    T: serde::de::DeserializeOwned + serde::Serialize,
{
    let typed = T::deserialize(sent).map_err(|e| e.to_string())?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}
