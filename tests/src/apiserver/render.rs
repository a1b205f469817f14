//! The shapes in which an object goes out.

use hyper::body::Bytes;
use serde_json::{Value, json};

use super::kinds::Resource;
use super::store::Stored;
use super::table::{self, IncludeObject};

/// What the `Accept` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Table(IncludeObject),
    Partial,
}

impl Shape {
    /// The first shape among the accepted types that can be served; `None` when there is none.
    pub(crate) fn negotiate(accept: &str, include: Option<&str>) -> Option<Self> {
        let include = match include {
            Some("None") => IncludeObject::None,
            Some("Object") => IncludeObject::Object,
            _ => IncludeObject::Metadata,
        };
        if accept.trim().is_empty() {
            return Some(Self::Object);
        }
        accept.split(',').find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next()?;
            let parameters: Vec<&str> = parts.collect();
            let has = |wanted: &str| parameters.contains(&wanted);
            match media {
                "application/json" if has("as=Table") => {
                    (has("v=v1") && has("g=meta.k8s.io")).then_some(Self::Table(include))
                }
                "application/json"
                    if has("as=PartialObjectMetadata") || has("as=PartialObjectMetadataList") =>
                {
                    Some(Self::Partial)
                }
                "application/json" if parameters.iter().any(|p| p.starts_with("as=")) => None,
                "application/json" | "application/*" | "*/*" => Some(Self::Object),
                _ => None,
            }
        })
    }
}

/// The object as the API version of the request shows it.
pub(crate) fn shown(resource: &Resource, stored: &Value) -> Value {
    if let Some(converted) = resource.strategy.show_stored(stored) {
        return converted;
    }
    let mut value = stored.clone();
    value["apiVersion"] = resource.api_version().into();
    value
}

/// Whether the stored form is what this API version shows.
fn is_stored_form(resource: &Resource, stored: &Stored) -> bool {
    stored.value["apiVersion"] == resource.api_version().as_str()
}

/// An object by itself, or in an event of a watch.
pub(crate) fn object(resource: &Resource, stored: &Stored, shape: Shape) -> Bytes {
    match shape {
        Shape::Object if is_stored_form(resource, stored) => stored.json(),
        _ => value(resource, &stored.value, shape, true).to_string().into(),
    }
}

/// As [`object`], for a value that is in no store.
pub(crate) fn value(resource: &Resource, value: &Value, shape: Shape, with_columns: bool) -> Value {
    match shape {
        Shape::Object => shown(resource, value),
        Shape::Partial => table::partial(value),
        Shape::Table(include) => {
            let table = resource.strategy.table();
            let columns = if with_columns { table.column_definitions() } else { Value::Null };
            let shown = if include == IncludeObject::Object { shown(resource, value) } else { value.clone() };
            json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": value["metadata"]["resourceVersion"]},
                "columnDefinitions": columns, "rows": [table.row(&shown, include)],
            })
        }
    }
}

/// An object in a list: those of built-in kinds leave out what the list says already.
pub(crate) fn item(resource: &Resource, stored: &Stored, shape: Shape) -> Bytes {
    match shape {
        Shape::Object if resource.strategy.is_custom() => object(resource, stored, shape),
        Shape::Object if is_stored_form(resource, stored) => stored.bare_json(),
        Shape::Object => {
            let mut value = shown(resource, &stored.value);
            super::object::as_map(&mut value).retain(|key, _| key != "kind" && key != "apiVersion");
            value.to_string().into()
        }
        _ => value(resource, &stored.value, shape, false).to_string().into(),
    }
}
