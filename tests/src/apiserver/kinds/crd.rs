//! CustomResourceDefinitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use serde_json::{Value, json};

use super::{Strategy, decode_as};
use crate::apiserver::object::{self, as_map, default_to, list_at, map_mut, str_at, timestamp};
use crate::apiserver::request::Subresource;
use crate::apiserver::status::FieldError;
use crate::apiserver::table::{Column, Table};

pub(crate) const GROUP: &str = "apiextensions.k8s.io";
pub(crate) const PLURAL: &str = "customresourcedefinitions";
/// On a definition that waits for its objects to go.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) struct Definitions;

impl Strategy for Definitions {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        decode_as::<apiextensions::CustomResourceDefinition>(sent)
    }

    fn default(&self, definition: &mut Value) {
        let spec = map_mut(definition, "spec");
        default_to(spec, "conversion", json!({"strategy": "None"}));
        let names = as_map(spec.entry("names").or_insert(Value::Null));
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        default_to(names, "singular", kind.to_lowercase());
        default_to(names, "listKind", format!("{kind}List"));
    }

    fn prepare_create(&self, definition: &mut Value) {
        object::set_meta(definition, "generation", 1);
        let stored = storage_versions(definition);
        definition["status"] = json!({
            "conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored,
        });
    }

    fn prepare_update(&self, old: &Value, new: &mut Value, part: Subresource) {
        if part == Subresource::Status {
            object::copy_part(old, new, "spec");
            return;
        }
        object::copy_part(old, new, "status");
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
        let changed = old["spec"] != new["spec"];
        object::set_meta(new, "generation", generation + i64::from(changed));
        if is_established(old) {
            establish(new);
        }
    }

    fn validate_create(&self, definition: &Value) -> Vec<FieldError> {
        let spec = &definition["spec"];
        let text = |path: &[&str]| str_at(spec, path).unwrap_or_default();
        let mut errors = Vec::new();
        let (plural, group) = (text(&["names", "plural"]), text(&["group"]));
        let name = object::name(definition);
        if name != format!("{plural}.{group}") {
            errors.push(FieldError::invalid(
                "metadata.name",
                name,
                "must be spec.names.plural+\".\"+spec.group",
            ));
        }
        for (field, value) in [
            ("spec.group", group),
            ("spec.names.plural", plural),
            ("spec.names.kind", text(&["names", "kind"])),
        ] {
            if value.is_empty() {
                errors.push(FieldError::required(field, ""));
            }
        }
        let scopes = ["Cluster", "Namespaced"];
        if !scopes.contains(&text(&["scope"])) {
            errors.push(FieldError::unsupported("spec.scope", text(&["scope"]), &scopes));
        }
        let versions = list_at(spec, &["versions"]);
        if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
            let detail = "must have exactly one version marked as storage version";
            errors.push(FieldError::invalid("spec.versions", versions.to_vec(), detail));
        }
        for (i, version) in versions.iter().enumerate() {
            let field = format!("spec.versions[{i}].schema.openAPIV3Schema");
            match object::at(version, &["schema", "openAPIV3Schema"]) {
                None => errors.push(FieldError::required(field, "schemas are required")),
                Some(schema) if schema["type"] != "object" => {
                    errors.push(FieldError::required(format!("{field}.type"), "must be object at the root"));
                }
                Some(_) => {}
            }
        }
        errors
    }

    fn validate_update(&self, old: &Value, new: &Value, _part: Subresource) -> Vec<FieldError> {
        let mut errors = self.validate_create(new);
        for path in [["spec", "scope"].as_slice(), &["spec", "names", "kind"], &["spec", "names", "plural"]] {
            if object::at(old, path) != object::at(new, path) {
                let value = object::at(new, path).cloned().unwrap_or_default();
                errors.push(FieldError::invalid(path.join("."), value, "field is immutable"));
            }
        }
        errors
    }

    fn answers_delete_with_object(&self) -> bool {
        true
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn table(&self) -> Table {
        Table::new(vec![Column::new("Created At", "date", |o| o["metadata"]["creationTimestamp"].clone())])
    }
}

/// Whether what it defines is served.
pub(crate) fn is_established(definition: &Value) -> bool {
    let conditions = list_at(definition, &["status", "conditions"]);
    conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn storage_versions(definition: &Value) -> Vec<Value> {
    let versions = list_at(definition, &["spec", "versions"]).iter();
    versions.filter(|v| v["storage"] == true).map(|v| v["name"].clone()).collect()
}

/// The definition is in force: there is no other to compete with it for its names.
pub(crate) fn establish(definition: &mut Value) {
    let names = definition["spec"]["names"].clone();
    let storage = storage_versions(definition);
    let now = timestamp();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let conditions = json!([
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ]);
    let status = map_mut(definition, "status");
    status.insert("acceptedNames".into(), names);
    if status.get("conditions").is_none_or(Value::is_null) {
        status.insert("conditions".into(), conditions);
    }
    let mut stored = status.get("storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    stored.extend(storage.into_iter().filter(|v| !stored.contains(v)).collect::<Vec<_>>());
    status.insert("storedVersions".into(), stored.into());
}
