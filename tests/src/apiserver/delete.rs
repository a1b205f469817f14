//! Deletion: at once, or when the last finalizer is gone.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::kinds::{Resource, crd};
use super::object::{self, map_mut};
use super::state::State;
use super::status::{self, ApiError, FieldError, Result};
use super::store::{Stored, key};

/// The body of a DELETE.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteOptions {
    preconditions: Option<Preconditions>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    #[serde(rename = "dryRun")]
    dry_run: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// From the body, and what the query adds to it.
    pub(crate) fn read(body: &Value, policy: Option<&str>) -> Result<Self> {
        let mut options = match body {
            Value::Null => Self::default(),
            body => Self::deserialize(body).map_err(|e| ApiError::bad_request(e.to_string()))?,
        };
        if let Some(policy) = policy {
            options.propagation_policy = Some(policy.to_owned());
        }
        let policies = ["Foreground", "Background", "Orphan"];
        let mut errors = Vec::new();
        if let Some(policy) = &options.propagation_policy {
            if !policies.contains(&policy.as_str()) {
                errors.push(FieldError::unsupported("propagationPolicy", policy.clone(), &policies));
            }
            if options.orphan_dependents.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                errors.push(FieldError::invalid("propagationPolicy", policy.clone(), detail));
            }
        }
        if options.dry_run.iter().any(|value| value != "All") {
            errors.push(FieldError::unsupported("dryRun", options.dry_run.clone(), &["All"]));
        }
        match errors.as_slice() {
            [] => Ok(options),
            errors => Err(ApiError::invalid_options("DeleteOptions", errors)),
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }
}

impl State {
    /// What the client gets to see of the deletion.
    pub(crate) fn delete(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<Value> {
        let stored = self.get(resource, namespace, name)?;
        check_preconditions(resource, name, &stored, options)?;
        resource.strategy.check_delete(&stored.value)?;
        let value = &stored.value;
        let has_instances = resource.plural == crd::PLURAL && self.delete_instances(name, dry_run);
        let waits = !object::finalizers(value).is_empty()
            || resource.strategy.waits_on_delete(value)
            || has_instances;
        if !waits {
            if !dry_run {
                self.commit_removal(resource, &key(namespace, name));
            }
            return Ok(match resource.strategy.answers_delete_with_object() {
                true => value.clone(),
                false => status::deleted(resource.name(), name, object::uid(value)),
            });
        }
        if object::is_terminating(value) {
            return Ok(value.clone());
        }
        let mut new = value.clone();
        object::set_meta(&mut new, "deletionTimestamp", object::timestamp());
        if resource.plural != "namespaces" {
            object::set_meta(&mut new, "deletionGracePeriodSeconds", 0);
        }
        if has_instances {
            object::set_meta(&mut new, "finalizers", json!([crd::CLEANUP]));
        }
        if let Some(generation) = value["metadata"]["generation"].as_i64() {
            object::set_meta(&mut new, "generation", generation + 1);
        }
        resource.strategy.prepare_delete(&mut new);
        if dry_run {
            return Ok(new);
        }
        Ok(self.commit(resource, &key(namespace, name), new).value.clone())
    }

    /// Deletes the objects that a definition defines; whether some of them hold out.
    fn delete_instances(&mut self, definition: &str, dry_run: bool) -> bool {
        let Some(resource) = self.resources().find(|r| r.table == definition).cloned() else { return false };
        let all: Vec<Value> = self.store.table(definition).range("").map(|(_, s)| s.value.clone()).collect();
        for object in all.iter().filter(|_| !dry_run) {
            let (namespace, name) = (object::namespace(object), object::name(object));
            // Neither preconditions nor a policy: nothing here can be refused.
            drop(self.delete(&resource, namespace, name, &DeleteOptions::default(), false));
        }
        self.store.table(definition).len() > 0
    }

    /// Deletes what is in the namespaces that are to go, and then them.
    pub(crate) fn empty_namespaces(&mut self) {
        let Some(resource) = self.resource("", "v1", "namespaces") else { return };
        let going: Vec<String> = self
            .store
            .table("namespaces")
            .range("")
            .filter(|(_, stored)| object::is_terminating(&stored.value))
            .map(|(name, _)| name.clone())
            .collect();
        for namespace in going {
            for (resource, name) in self.content_of(&namespace) {
                // What is gone already, or waits for its finalizers, needs nothing more.
                drop(self.delete(&resource, &namespace, &name, &DeleteOptions::default(), false));
            }
            if self.content_of(&namespace).is_empty() {
                self.finalize_namespace(&resource, &namespace);
            }
        }
    }

    fn content_of(&self, namespace: &str) -> Vec<(Arc<Resource>, String)> {
        let prefix = format!("{namespace}/");
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for resource in self.resources().filter(|r| r.namespaced && seen.insert(r.table.as_str())) {
            let names =
                self.store.existing(&resource.table).into_iter().flat_map(|table| table.range(&prefix));
            found.extend(names.map(|(_, stored)| (resource.clone(), object::name(&stored.value).to_owned())));
        }
        found
    }

    /// Takes the finalizer of the cluster off a namespace that is empty.
    fn finalize_namespace(&mut self, resource: &Resource, name: &str) {
        let Ok(stored) = self.get(resource, "", name) else { return };
        if object::finalizers(&stored.value).is_empty() {
            self.commit_removal(resource, name);
            return;
        }
        if resource.strategy.waits_on_delete(&stored.value) {
            let mut new = stored.value.clone();
            map_mut(&mut new, "spec").remove("finalizers");
            self.commit(resource, name, new);
        }
    }
}

fn check_preconditions(
    resource: &Resource,
    name: &str,
    stored: &Stored,
    options: &DeleteOptions,
) -> Result<()> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    let (uid, version) = (object::uid(&stored.value), stored.version.to_string());
    let checks = [
        ("UID", wanted.uid.as_deref(), uid),
        ("ResourceVersion", wanted.resource_version.as_deref(), &version),
    ];
    for (what, wanted, found) in checks {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(ApiError::conflict(resource.kind_name(), name, why));
        }
    }
    Ok(())
}
