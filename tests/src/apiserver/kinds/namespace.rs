//! Namespaces.

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::{Strategy, decode_as};
use crate::apiserver::object::{self, list_at, map_mut, str_at};
use crate::apiserver::request::Subresource;
use crate::apiserver::selectors::is_dns_label;
use crate::apiserver::status::{ApiError, FieldError, GroupName, Result};
use crate::apiserver::table::{Column, Table};

/// The label that every namespace carries its name in.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) struct Namespaces;

impl Strategy for Namespaces {
    fn decode(&self, sent: &Value) -> std::result::Result<Value, String> {
        decode_as::<core::Namespace>(sent)
    }

    fn default(&self, namespace: &mut Value) {
        let name = object::name(namespace).to_owned();
        if !name.is_empty() {
            let metadata = map_mut(namespace, "metadata");
            let labels = object::as_map(metadata.entry("labels").or_insert(Value::Null));
            labels.insert(NAME_LABEL.to_owned(), name.into());
        }
    }

    fn prepare_create(&self, namespace: &mut Value) {
        let mut finalizers = list_at(namespace, &["spec", "finalizers"]).to_vec();
        if !finalizers.iter().any(|f| f == "kubernetes") {
            finalizers.push("kubernetes".into());
        }
        map_mut(namespace, "spec").insert("finalizers".into(), finalizers.into());
        namespace["status"] = json!({"phase": "Active"});
    }

    fn prepare_update(&self, old: &Value, new: &mut Value, part: Subresource) {
        if part != Subresource::Finalize {
            object::copy_part(old, new, "spec");
        }
        if part != Subresource::Status {
            object::copy_part(old, new, "status");
        }
    }

    fn validate_create(&self, namespace: &Value) -> Vec<FieldError> {
        let name = object::name(namespace);
        if is_dns_label(name) && name.len() <= 63 {
            return Vec::new();
        }
        let detail = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'";
        vec![FieldError::invalid("metadata.name", name, detail)]
    }

    fn check_delete(&self, namespace: &Value) -> Result<()> {
        let name = object::name(namespace);
        if IMMORTAL.contains(&name) {
            let what = GroupName { group: "", name: "namespaces" };
            return Err(ApiError::forbidden(what, name, "this namespace may not be deleted"));
        }
        Ok(())
    }

    fn waits_on_delete(&self, namespace: &Value) -> bool {
        !list_at(namespace, &["spec", "finalizers"]).is_empty()
    }

    fn prepare_delete(&self, namespace: &mut Value) {
        map_mut(namespace, "status").insert("phase".into(), "Terminating".into());
    }

    fn answers_delete_with_object(&self) -> bool {
        true
    }

    fn field_labels(&self) -> &[(&'static str, &'static [&'static str])] {
        &[("status.phase", &["status", "phase"])]
    }

    fn table(&self) -> Table {
        let phase = |o: &Value| str_at(o, &["status", "phase"]).unwrap_or_default().to_owned();
        Table::new(vec![Column::text("Status", phase), Column::age()])
    }
}
