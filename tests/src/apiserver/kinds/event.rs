//! Events: one storage, seen through the core API and through `events.k8s.io`.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::events::v1 as events;
use serde_json::{Map, Value};

use super::lease::check_micro_time;
use super::{Strategy, decode_as};
use crate::apiserver::object::{self, as_map, str_at};
use crate::apiserver::request::Subresource;
use crate::apiserver::selectors::is_label_key;
use crate::apiserver::status::FieldError;
use crate::apiserver::table::{Column, Table, age};

/// The core API, in whose form events are stored.
pub(super) struct CoreEvents;

/// The newer API: stricter, and with names of its own for the same fields.
pub(super) struct Events;

/// The names that differ: in `events.k8s.io`, and in the core API.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

type Labels = &'static [(&'static str, &'static [&'static str])];

const CORE_LABELS: Labels = &[
    ("involvedObject.kind", &["involvedObject", "kind"]),
    ("involvedObject.namespace", &["involvedObject", "namespace"]),
    ("involvedObject.name", &["involvedObject", "name"]),
    ("involvedObject.uid", &["involvedObject", "uid"]),
    ("involvedObject.apiVersion", &["involvedObject", "apiVersion"]),
    ("involvedObject.resourceVersion", &["involvedObject", "resourceVersion"]),
    ("involvedObject.fieldPath", &["involvedObject", "fieldPath"]),
    ("reason", &["reason"]),
    ("reportingComponent", &["reportingComponent"]),
    ("source", &["source", "component"]),
    ("type", &["type"]),
];

const EVENTS_LABELS: Labels = &[
    ("regarding.kind", &["involvedObject", "kind"]),
    ("regarding.namespace", &["involvedObject", "namespace"]),
    ("regarding.name", &["involvedObject", "name"]),
    ("regarding.uid", &["involvedObject", "uid"]),
    ("regarding.apiVersion", &["involvedObject", "apiVersion"]),
    ("regarding.resourceVersion", &["involvedObject", "resourceVersion"]),
    ("regarding.fieldPath", &["involvedObject", "fieldPath"]),
    ("reason", &["reason"]),
    ("reportingController", &["reportingComponent"]),
    ("type", &["type"]),
];

impl Strategy for CoreEvents {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        check_times(sent)?;
        let mut event = decode_as::<core::Event>(sent)?;
        // The server writes these out even when they are not set.
        let map = as_map(&mut event);
        for field in ["reportingComponent", "reportingInstance"] {
            map.entry(field).or_insert_with(|| "".into());
        }
        map.entry("source").or_insert_with(|| Map::new().into());
        Ok(event)
    }

    fn validate_create(&self, event: &Value) -> Vec<FieldError> {
        check_namespace(event)
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn field_labels(&self) -> Labels {
        CORE_LABELS
    }

    fn table(&self) -> Table {
        table()
    }
}

impl Strategy for Events {
    fn decode(&self, sent: &Value) -> Result<Value, String> {
        check_times(sent)?;
        decode_as::<events::Event>(sent)
    }

    fn to_storage(&self, mut sent: Value) -> Value {
        let map = as_map(&mut sent);
        for (from, to) in RENAMED {
            if let Some(value) = map.remove(from) {
                map.insert(to.to_owned(), value);
            }
        }
        map.insert("apiVersion".into(), "v1".into());
        sent
    }

    fn show_stored(&self, stored: &Value) -> Option<Value> {
        let mut shown = stored.clone();
        let map = as_map(&mut shown);
        for (to, from) in RENAMED {
            if let Some(value) = map.remove(from) {
                map.insert(to.to_owned(), value);
            }
        }
        map.insert("apiVersion".into(), "events.k8s.io/v1".into());
        Some(shown)
    }

    fn validate_create(&self, event: &Value) -> Vec<FieldError> {
        let mut errors = check_namespace(event);
        if str_at(event, &["eventTime"]).is_none() {
            errors.push(FieldError::required("eventTime", ""));
        }
        let controller = str_at(event, &["reportingComponent"]).unwrap_or_default();
        if controller.is_empty() {
            errors.push(FieldError::required("reportingController", ""));
        } else if !is_label_key(controller) {
            errors.push(FieldError::invalid("reportingController", controller, "a qualified name is wanted"));
        }
        for field in ["reportingInstance", "action", "reason"] {
            match str_at(event, &[field]) {
                None => errors.push(FieldError::required(field, "")),
                Some(text) if text.len() > 128 => {
                    errors.push(FieldError::invalid(field, "", "can have at most 128 characters"));
                }
                Some(_) => {}
            }
        }
        let kind = event["type"].as_str().unwrap_or_default();
        if !["Normal", "Warning"].contains(&kind) {
            errors.push(FieldError::invalid("type", kind, "has invalid value"));
        }
        if str_at(event, &["message"]).is_some_and(|note| note.len() > 1024) {
            errors.push(FieldError::invalid("message", "", "can have at most 1024 characters"));
        }
        for (field, name) in
            [("firstTimestamp", "firstTimestamp"), ("lastTimestamp", "lastTimestamp"), ("count", "count")]
        {
            if event.get(field).is_some_and(|v| !v.is_null() && v != 0) {
                errors.push(FieldError::invalid(name, "", "needs to be unset"));
            }
        }
        if object::at(event, &["source", "component"]).is_some() {
            errors.push(FieldError::invalid("source", "", "needs to be unset"));
        }
        errors
    }

    fn validate_update(&self, old: &Value, new: &Value, _part: Subresource) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(series) = new.get("series") {
            if series["count"].as_i64().unwrap_or(0) < 2 {
                errors.push(FieldError::invalid("series.count", "", "should be at least 2"));
            }
            if str_at(series, &["lastObservedTime"]).is_none() {
                errors.push(FieldError::required("series.lastObservedTime", ""));
            }
        }
        let fixed = [
            "involvedObject",
            "reason",
            "message",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "type",
            "eventTime",
            "action",
            "related",
            "reportingComponent",
            "reportingInstance",
        ];
        for field in fixed.into_iter().filter(|field| old.get(*field) != new.get(*field)) {
            errors.push(FieldError::invalid(field, new[field].clone(), "field is immutable"));
        }
        errors
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn field_labels(&self) -> Labels {
        EVENTS_LABELS
    }

    fn table(&self) -> Table {
        table()
    }
}

fn check_times(sent: &Value) -> Result<(), String> {
    check_micro_time(&sent["eventTime"])?;
    check_micro_time(&sent["series"]["lastObservedTime"])
}

/// An event is in the namespace of its object; events of objects without one are in `default`.
fn check_namespace(event: &Value) -> Vec<FieldError> {
    let (own, object) = (object::namespace(event), str_at(event, &["involvedObject", "namespace"]));
    match object {
        None if own == "default" => Vec::new(),
        Some(namespace) if namespace == own => Vec::new(),
        _ => {
            let value = object.unwrap_or_default();
            vec![FieldError::invalid("involvedObject.namespace", value, "does not match event.namespace")]
        }
    }
}

fn table() -> Table {
    let text = |field: &'static str| move |o: &Value| str_at(o, &[field]).unwrap_or_default().to_owned();
    let object = |o: &Value| {
        let part = |field: &str| str_at(o, &["involvedObject", field]).unwrap_or_default().to_owned();
        format!("{}/{}", part("kind").to_lowercase(), part("name"))
    };
    Table::without_name(vec![
        Column::text("Last Seen", |o| last_seen(o).map_or("<unknown>".to_owned(), |t| age(Some(t)))),
        Column::text("Type", text("type")),
        Column::text("Reason", text("reason")),
        Column::text("Object", object),
        Column::text("Subobject", |o| {
            str_at(o, &["involvedObject", "fieldPath"]).unwrap_or_default().to_owned()
        })
        .wide(),
        Column::text("Source", source).wide(),
        Column::text("Message", |o| str_at(o, &["message"]).unwrap_or_default().trim().to_owned()),
        Column::text("First Seen", |o| {
            let first = str_at(o, &["firstTimestamp"]).or_else(|| str_at(o, &["eventTime"]));
            first.map_or("<unknown>".to_owned(), |t| age(Some(t)))
        })
        .wide(),
        Column::new("Count", "string", |o| {
            let series = o["series"]["count"].as_i64();
            series.or_else(|| o["count"].as_i64()).filter(|&n| n > 0).unwrap_or(1).to_string().into()
        })
        .wide(),
        Column::text("Name", |o| object::name(o).to_owned()).wide(),
    ])
}

fn last_seen(event: &Value) -> Option<&str> {
    let paths: [&[&str]; 4] =
        [&["series", "lastObservedTime"], &["lastTimestamp"], &["eventTime"], &["firstTimestamp"]];
    paths.iter().find_map(|path| str_at(event, path))
}

fn source(event: &Value) -> String {
    let component =
        str_at(event, &["source", "component"]).or_else(|| str_at(event, &["reportingComponent"]));
    let host = str_at(event, &["source", "host"]).or_else(|| str_at(event, &["reportingInstance"]));
    [component, host].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
