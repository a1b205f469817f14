//! `metadata.managedFields`: who owns which fields of an object.

use serde_json::{Value, json};

use super::fields::{FieldSet, Rules};
use crate::apiserver::object;

/// The writer of a change.
#[derive(Debug, Clone)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
}

/// One entry of the list.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) is_apply: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    time: String,
    pub(crate) fields: FieldSet,
}

impl Entry {
    pub(crate) fn new(manager: &Manager<'_>, is_apply: bool, fields: FieldSet) -> Self {
        Self {
            manager: manager.name.to_owned(),
            is_apply,
            api_version: manager.api_version.to_owned(),
            subresource: manager.subresource.to_owned(),
            time: object::timestamp(),
            fields,
        }
    }

    /// One applier has one entry for each subresource; one updater has one for each version besides.
    pub(crate) fn is_of(&self, manager: &Manager<'_>, is_apply: bool) -> bool {
        self.manager == manager.name
            && self.is_apply == is_apply
            && self.subresource == manager.subresource
            && (is_apply || self.api_version == manager.api_version)
    }

    fn to_value(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": if self.is_apply { "Apply" } else { "Update" },
            "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.clone().into();
        }
        entry
    }
}

/// The entries of an object; none when the object has none that can be read.
pub(crate) fn entries(value: &Value) -> Vec<Entry> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    object::list_at(value, &["metadata", "managedFields"])
        .iter()
        .filter(|entry| entry["fieldsType"] == "FieldsV1")
        .map(|entry| Entry {
            manager: text(entry, "manager"),
            is_apply: entry["operation"] == "Apply",
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
            time: text(entry, "time"),
            fields: FieldSet::from_json(&entry["fieldsV1"]),
        })
        .collect()
}

pub(crate) fn set_entries(value: &mut Value, entries: &[Entry]) {
    let list: Vec<Value> = entries.iter().filter(|e| !e.fields.is_empty()).map(Entry::to_value).collect();
    if list.is_empty() {
        object::remove_meta(value, "managedFields");
    } else {
        object::set_meta(value, "managedFields", list);
    }
}

/// The fields that are the server's own, in every object.
pub(crate) fn without_system_fields(mut set: FieldSet) -> FieldSet {
    set.remove_below(&["f:apiVersion"]);
    set.remove_below(&["f:kind"]);
    let own = [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    ];
    for field in own {
        set.remove_below(&["f:metadata", &format!("f:{field}")]);
    }
    set
}

/// The first writer owns all it wrote, the status only where a create writes it.
pub(crate) fn track_create(new: &mut Value, manager: &Manager<'_>, with_status: bool, rules: Rules<'_>) {
    let (mut set, _) = FieldSet::changes(&json!({"metadata": {}, "spec": {}}), new, rules);
    if !with_status {
        set.remove_below(&["f:status"]);
    }
    set_entries(new, &[Entry::new(manager, false, without_system_fields(set))]);
}

/// Whoever changes a field owns it alone from then on.
pub(crate) fn track_update(old: &Value, new: &mut Value, manager: &Manager<'_>, rules: Rules<'_>) {
    let before = entries(old);
    // Once cleared, the list stays so until somebody applies.
    if before.is_empty() {
        object::remove_meta(new, "managedFields");
        return;
    }
    let sent = object::list_at(new, &["metadata", "managedFields"]);
    if !sent.is_empty() && sent.iter().all(|entry| entry.as_object().is_some_and(serde_json::Map::is_empty)) {
        object::remove_meta(new, "managedFields");
        return;
    }
    let mut now = match entries(new) {
        none if none.is_empty() => before,
        sent => sent,
    };
    let (set, removed) = FieldSet::changes(old, new, rules);
    let (set, removed) = (without_system_fields(set), without_system_fields(removed));
    if set.is_empty() && removed.is_empty() {
        set_entries(new, &now);
        return;
    }
    for entry in &mut now {
        entry.fields.subtract(&removed);
        if !entry.is_of(manager, false) {
            entry.fields.subtract(&set);
        }
    }
    match now.iter_mut().find(|entry| entry.is_of(manager, false)) {
        Some(entry) => {
            entry.fields.union(&set);
            entry.time = object::timestamp();
        }
        None => now.push(Entry::new(manager, false, set)),
    }
    set_entries(new, &now);
}
