//! Everything the server knows, and the checks that writes of all kinds have in common.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::bootstrap;
use super::decode::FieldValidation;
use super::kinds::{self, Allocator, Resource, ServiceNetwork, crd};
use super::object;
use super::patch::managed::{self, Manager};
use super::request::Subresource;
use super::selectors::{is_dns_subdomain, is_label_key, is_label_value};
use super::status::{ApiError, FieldError, GroupName, Result};
use super::store::{Store, Stored, key};

/// What the server calls itself where it writes.
const SERVER: &str = "kube-apiserver";

const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "foregroundDeletion", "orphan"];

/// The options of a write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) part: Subresource,
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// The field manager, or what the user agent makes of one.
    pub(crate) manager: String,
}

impl Write {
    pub(crate) fn key(&self) -> String {
        key(&self.namespace, &self.name)
    }

    pub(crate) fn manager<'a>(&'a self, api_version: &'a str) -> Manager<'a> {
        Manager { name: &self.manager, api_version, subresource: self.part.as_str() }
    }
}

/// The outcome of a write.
pub(crate) struct Written {
    pub(crate) code: u16,
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// The objects and what is derived from them.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) allocator: Allocator,
    builtin: Vec<Arc<Resource>>,
    /// By the name of the definition.
    custom: HashMap<String, Vec<Arc<Resource>>>,
}

impl State {
    /// A fresh cluster: the namespaces and the Service that every cluster starts with.
    pub(crate) fn new(network: ServiceNetwork, history: usize) -> Self {
        let builtin = kinds::builtin().into_iter().map(Arc::new).collect();
        let mut state = Self {
            store: Store::new(history),
            allocator: Allocator::new(network),
            builtin,
            custom: HashMap::new(),
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            state.seed("namespaces", json!({"metadata": {"name": name}}));
        }
        let first_ip = "10.96.0.1";
        state.seed(
            "services",
            json!({
                "metadata": {
                    "name": "kubernetes", "namespace": "default",
                    "labels": {"component": "apiserver", "provider": "kubernetes"},
                },
                "spec": {
                    "clusterIP": first_ip,
                    "ports": [{"name": "https", "port": 443, "targetPort": 6443}],
                },
            }),
        );
        for (plural, object) in bootstrap::roles() {
            state.seed(plural, object);
        }
        // What led up to this point is nobody's business: a watch from version 1 is too old from the start.
        state.store.forget_history();
        state
    }

    fn seed(&mut self, plural: &str, object: Value) {
        let Some(resource) = self.builtin.iter().find(|r| r.plural == plural).cloned() else { return };
        let write = Write {
            namespace: object::namespace(&object).to_owned(),
            name: object::name(&object).to_owned(),
            part: Subresource::Main,
            dry_run: false,
            validation: FieldValidation::Strict,
            manager: SERVER.to_owned(),
        };
        if let Err(error) = self.create(&resource, object, &write) {
            panic!("a fresh cluster has its first objects: {}", error.message);
        }
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let mut custom: Vec<_> = self.custom.iter().collect();
        custom.sort_by_key(|(name, _)| *name);
        self.builtin.iter().chain(custom.into_iter().flat_map(|(_, resources)| resources))
    }

    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let wanted = |r: &&Arc<Resource>| r.group == group && r.version == version && r.plural == plural;
        let custom = || self.custom.get(&format!("{plural}.{group}")).and_then(|all| all.iter().find(wanted));
        self.builtin.iter().find(wanted).or_else(custom).cloned()
    }

    pub(crate) fn serves_group(&self, group: &str, version: &str) -> bool {
        self.resources().any(|r| r.group == group && r.version == version)
    }

    /// The object, or 404.
    pub(crate) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Arc<Stored>> {
        self.store
            .get(&resource.table, &key(namespace, name))
            .ok_or_else(|| ApiError::not_found(resource.name(), name))
    }

    /// The last step of every write: from here on, everybody sees it.
    pub(crate) fn commit(&mut self, resource: &Resource, key: &str, value: Value) -> Arc<Stored> {
        let stored = self.store.put(&resource.table, key, value);
        if resource.plural == crd::PLURAL && crd::is_established(&stored.value) {
            let resources = kinds::resources_of(&stored.value).into_iter().map(Arc::new).collect();
            self.custom.insert(key.to_owned(), resources);
        }
        stored
    }

    /// Puts a definition in force that is new, as a controller in the server does.
    pub(crate) fn establish(&mut self, name: &str) {
        let Some(resource) = self.resource(crd::GROUP, "v1", crd::PLURAL) else { return };
        let Some(old) = self.store.get(crd::PLURAL, name) else { return };
        if object::is_terminating(&old.value) || crd::is_established(&old.value) {
            return;
        }
        let mut new = old.value.clone();
        crd::establish(&mut new);
        let api_version = resource.api_version();
        let manager = Manager { name: SERVER, api_version: &api_version, subresource: "status" };
        managed::track_update(&old.value, &mut new, &manager, &|path| resource.strategy.list_rule(path));
        self.commit(&resource, name, new);
    }

    /// The last step of every deletion.
    pub(crate) fn commit_removal(&mut self, resource: &Resource, key: &str) -> Option<Arc<Stored>> {
        let removed = self.store.remove(&resource.table, key)?;
        match resource.table.as_str() {
            "services" => {
                self.allocator.release(key, &removed.value, None);
                self.store.remove("endpoints", key);
            }
            crd::PLURAL => drop(self.custom.remove(key)),
            _ => self.finish_definition(resource),
        }
        Some(removed)
    }

    /// A definition that waits for its objects goes with the last of them.
    fn finish_definition(&mut self, resource: &Resource) {
        let waits = |stored: &Arc<Stored>| object::is_terminating(&stored.value);
        let is_last = self.store.table(&resource.table).len() == 0;
        if is_last && self.store.get(crd::PLURAL, &resource.table).as_ref().is_some_and(waits) {
            self.store.remove(crd::PLURAL, &resource.table);
            self.custom.remove(&resource.table);
        }
    }

    /// Creating in a namespace needs one that exists and is going to stay.
    pub(crate) fn check_namespace(&self, resource: &Resource, write: &Write) -> Result<()> {
        if !resource.namespaced {
            return Ok(());
        }
        let what = GroupName { group: "", name: "namespaces" };
        let namespace = self
            .store
            .get("namespaces", &write.namespace)
            .ok_or_else(|| ApiError::not_found(what, &write.namespace))?;
        if object::is_terminating(&namespace.value) {
            let why = format!(
                "unable to create new content in namespace {} because it is being terminated",
                write.namespace
            );
            let cause = json!({
                "reason": "NamespaceTerminating", "field": "metadata.namespace",
                "message": format!("namespace {} is being terminated", write.namespace),
            });
            return Err(ApiError::forbidden(resource.name(), &write.name, why).with_causes(vec![cause]));
        }
        Ok(())
    }
}

/// The checks of `metadata` that all kinds share.
pub(crate) fn validate_metadata(value: &Value) -> Vec<FieldError> {
    let metadata = &value["metadata"];
    let mut errors = Vec::new();
    let name = object::name(value);
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if !is_dns_subdomain(name) && value["apiVersion"] != "rbac.authorization.k8s.io/v1" {
        let detail =
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'";
        errors.push(FieldError::invalid("metadata.name", name, detail));
    }
    for (key, label) in metadata["labels"].as_object().into_iter().flatten() {
        if !is_label_key(key) {
            errors.push(FieldError::invalid("metadata.labels", key.clone(), "a qualified name is wanted"));
        }
        if !label.as_str().is_some_and(is_label_value) {
            errors.push(FieldError::invalid("metadata.labels", label.clone(), "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
    }
    let mut size = 0;
    for (key, text) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + text.as_str().map_or(0, str::len);
        if !is_label_key(&key.to_lowercase()) {
            errors.push(FieldError::invalid(
                "metadata.annotations",
                key.clone(),
                "a qualified name is wanted",
            ));
        }
    }
    if size > 256 * 1024 {
        errors.push(FieldError::too_long("metadata.annotations", 256 * 1024));
    }
    for (i, finalizer) in object::finalizers(value).iter().enumerate() {
        let field = format!("metadata.finalizers[{i}]");
        if !is_label_key(finalizer) {
            errors.push(FieldError::invalid(field, *finalizer, "a qualified name is wanted"));
        } else if !finalizer.contains('/')
            && !STANDARD_FINALIZERS.contains(finalizer)
            && *finalizer != crd::CLEANUP
        {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(field, *finalizer, detail));
        }
    }
    errors
}

/// What an update may do to `metadata`.
pub(crate) fn validate_metadata_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = validate_metadata(new);
    if object::uid(old) != object::uid(new) {
        errors.push(FieldError::invalid("metadata.uid", object::uid(new), "field is immutable"));
    }
    if object::is_terminating(old) {
        let before = object::finalizers(old);
        let added: Vec<_> = object::finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", why));
        }
    }
    errors
}
