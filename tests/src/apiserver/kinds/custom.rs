//! Custom resources: what a definition makes of them.

use std::sync::Arc;

use serde_json::Value;

use super::schema;
use super::{ALL_VERBS, Resource, Strategy};
use crate::apiserver::lists::{self, ListRule, MapKey};
use crate::apiserver::object::{self, as_map, list_at, str_at, strings_at};
use crate::apiserver::request::Subresource;
use crate::apiserver::status::FieldError;
use crate::apiserver::table::{Column, Table, age};

/// One version of a custom kind.
struct Custom {
    schema: Value,
    has_status: bool,
    columns: Vec<Value>,
}

/// The resources that a definition brings: one for every served version.
pub(crate) fn resources_of(definition: &Value) -> Vec<Resource> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value, field: &str| str_at(value, &[field]).unwrap_or_default().to_owned();
    let owned = |field: &str| strings_at(names, &[field]).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let versions = list_at(spec, &["versions"]).iter().filter(|v| v["served"] == true);
    versions
        .map(|version| {
            let has_status = version["subresources"].get("status").is_some_and(|s| !s.is_null());
            let columns = list_at(version, &["additionalPrinterColumns"]).to_vec();
            let schema = version["schema"]["openAPIV3Schema"].clone();
            Resource {
                group: text(spec, "group"),
                version: text(version, "name"),
                plural: text(names, "plural"),
                singular: text(names, "singular"),
                kind: text(names, "kind"),
                list_kind: text(names, "listKind"),
                short_names: owned("shortNames"),
                categories: owned("categories"),
                namespaced: spec["scope"] == "Namespaced",
                has_status,
                verbs: ALL_VERBS,
                table: object::name(definition).to_owned(),
                strategy: Arc::new(Custom { schema, has_status, columns }),
            }
        })
        .collect()
}

impl Strategy for Custom {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        let mut kept = sent.clone();
        schema::prune(&mut kept, &self.schema);
        Ok(kept)
    }

    fn default(&self, object: &mut Value) {
        schema::default(object, &self.schema);
    }

    fn prepare_create(&self, object: &mut Value) {
        object::set_meta(object, "generation", 1);
        if self.has_status {
            as_map(object).remove("status");
        }
    }

    fn prepare_update(&self, old: &Value, new: &mut Value, part: Subresource) {
        if part == Subresource::Status {
            let status = new.get("status").cloned();
            let managed = new["metadata"]["managedFields"].clone();
            *new = old.clone();
            if !managed.is_null() {
                object::set_meta(new, "managedFields", managed);
            }
            match status {
                Some(status) => drop(as_map(new).insert("status".into(), status)),
                None => drop(as_map(new).remove("status")),
            }
            return;
        }
        if self.has_status {
            object::copy_part(old, new, "status");
        }
        let counted = |value: &Value| {
            let mut value = value.clone();
            as_map(&mut value).retain(|key, _| key != "metadata" && !(self.has_status && key == "status"));
            value
        };
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
        let changed = counted(old) != counted(new);
        object::set_meta(new, "generation", generation + i64::from(changed));
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        schema::validate(object, &self.schema)
    }

    fn validate_update(&self, _old: &Value, new: &Value, _part: Subresource) -> Vec<FieldError> {
        schema::validate(new, &self.schema)
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn is_custom(&self) -> bool {
        true
    }

    fn list_rule(&self, path: &[&str]) -> ListRule {
        if path.first() == Some(&"metadata") {
            return lists::common_rule(path);
        }
        let Some(found) = schema::at(&self.schema, path) else { return ListRule::Granular };
        let kind =
            found["x-kubernetes-list-type"].as_str().or_else(|| found["x-kubernetes-map-type"].as_str());
        match kind {
            Some("atomic") => ListRule::Atomic,
            Some("set") => ListRule::Set,
            Some("map") => {
                let default = |key: &str| found["items"]["properties"][key].get("default").cloned();
                let keys = strings_at(found, &["x-kubernetes-list-map-keys"]).into_iter();
                ListRule::Map(keys.map(|k| MapKey { name: k.to_owned(), default: default(k) }).collect())
            }
            _ => ListRule::Granular,
        }
    }

    fn table(&self) -> Table {
        Table::new(self.columns.iter().map(printer_column).collect())
    }
}

fn printer_column(column: &Value) -> Column {
    let text = |field: &str| column[field].as_str().unwrap_or_default().to_owned();
    let (path, kind) = (text("jsonPath"), text("type"));
    let is_date = kind == "date";
    let made = Column::new(&text("name"), &kind, move |object| match follow(object, &path) {
        Some(value) if is_date => age(value.as_str()).into(),
        Some(value @ (Value::Object(_) | Value::Array(_))) => value.to_string().into(),
        Some(value) => value.clone(),
        None => Value::Null,
    })
    .described(&text("description"));
    if column["priority"].as_i64().unwrap_or(0) > 0 { made.wide() } else { made }
}

/// The JSON paths that printer columns use: `.spec.size`, `.status.conditions[0].type`, and
/// `.status.conditions[?(@.type=="Ready")].status`.
fn follow<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut here = object;
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, tail) = inner.split_once(']')?;
            here = match index.strip_prefix("?(@.").and_then(|filter| filter.strip_suffix(')')) {
                Some(filter) => {
                    let (key, wanted) = filter.split_once("==")?;
                    let wanted = wanted.trim().trim_matches(['"', '\'']);
                    here.as_array()?.iter().find(|item| item[key.trim()].as_str() == Some(wanted))?
                }
                None => match index.parse::<usize>() {
                    Ok(number) => here.get(number)?,
                    Err(_) => here.get(index.trim_matches(['"', '\'']))?,
                },
            };
            rest = tail.trim_start_matches('.');
            continue;
        }
        let mut end = rest.find(['.', '[']).unwrap_or(rest.len());
        // A dot after a backslash belongs to the key.
        while end < rest.len() && rest[..end].ends_with('\\') {
            end = rest[end + 1..].find(['.', '[']).map_or(rest.len(), |next| end + 1 + next);
        }
        here = here.get(rest[..end].replace("\\.", "."))?;
        rest = rest[end..].trim_start_matches('.');
    }
    Some(here).filter(|found| !found.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::follow;

    #[test]
    fn printer_columns_follow_their_paths() {
        let object = json!({"a": {"b": [{"type": "Ready", "status": "True"}]}, "x": {"k8s.io/y": 1}});
        assert_eq!(follow(&object, ".a.b[0].type"), Some(&json!("Ready")));
        assert_eq!(follow(&object, r#".a.b[?(@.type=="Ready")].status"#), Some(&json!("True")));
        assert_eq!(follow(&object, r".x.k8s\.io/y"), Some(&json!(1)));
        assert_eq!(follow(&object, ".a.c"), None);
    }
}
