//! Server-side apply: the sender owns what it names, and nothing else.

use serde_json::{Map, Value, json};

use super::fields::{FieldSet, Rules, element, rule_at};
use super::managed::{self, Entry, Manager};
use crate::apiserver::lists::ListRule;
use crate::apiserver::object;
use crate::apiserver::status::{ApiError, Result};

/// What an apply makes of the live object. `ignored` are the parts that the endpoint does not write.
pub(crate) fn apply(
    live: Option<&Value>,
    config: &Value,
    manager: &Manager<'_>,
    force: bool,
    ignored: &[&str],
    rules: Rules<'_>,
) -> Result<Value> {
    let mut wanted = managed::without_system_fields(FieldSet::of(config, rules));
    for part in ignored {
        wanted.remove_below(&[&format!("f:{part}")]);
    }
    let mut config = config.clone();
    object::as_map(&mut config).retain(|key, _| !ignored.contains(&key.as_str()));
    let Some(live) = live else {
        managed::set_entries(&mut config, &[Entry::new(manager, true, wanted)]);
        return Ok(config);
    };
    let mut entries = managed::entries(live);
    if entries.is_empty() {
        let all = managed::without_system_fields(FieldSet::of(live, rules));
        let first = Manager { name: "before-first-apply", subresource: "", ..manager.clone() };
        entries.push(Entry::new(&first, false, all));
    }

    let mut merged = live.clone();
    merge(&mut merged, &config, &mut Vec::new(), rules);
    let (changed, _) = FieldSet::changes(live, &merged, rules);
    let conflicts: Vec<(&Entry, FieldSet)> = entries
        .iter()
        .filter(|entry| !entry.is_of(manager, true))
        .map(|entry| (entry, entry.fields.intersection(&changed).intersection(&wanted)))
        .filter(|(_, shared)| !shared.is_empty())
        .collect();
    if !conflicts.is_empty() && !force {
        return Err(conflict(&conflicts));
    }
    for entry in entries.iter_mut().filter(|entry| !entry.is_of(manager, true)) {
        entry.fields.subtract(&changed.intersection(&wanted));
    }

    let place = entries.iter().position(|entry| entry.is_of(manager, true));
    let mut dropped = place.map(|i| entries[i].fields.clone()).unwrap_or_default();
    dropped.subtract_with_holders(&wanted);
    for (i, entry) in entries.iter().enumerate() {
        if Some(i) != place {
            dropped.subtract_with_holders(&entry.fields);
        }
    }
    dropped.remove_from(&mut merged, rules);
    match place {
        Some(i) if entries[i].fields == wanted => {}
        Some(i) => entries[i] = Entry::new(manager, true, wanted),
        None => entries.push(Entry::new(manager, true, wanted)),
    }
    managed::set_entries(&mut merged, &entries);
    Ok(merged)
}

fn merge(target: &mut Value, config: &Value, path: &mut Vec<String>, rules: Rules<'_>) {
    match (target, config, rule_at(path, rules)) {
        (Value::Object(target), Value::Object(config), rule) if rule != ListRule::Atomic => {
            for (key, value) in config {
                path.push(key.clone());
                match target.get_mut(key) {
                    Some(existing) => merge(existing, value, path, rules),
                    None => drop(target.insert(key.clone(), value.clone())),
                }
                path.pop();
            }
        }
        (Value::Array(target), Value::Array(config), rule @ (ListRule::Set | ListRule::Map(_))) => {
            path.push("_".to_owned());
            for item in config {
                let key = element(item, &rule);
                match target.iter_mut().find(|other| element(other, &rule) == key) {
                    Some(existing) => merge(existing, item, path, rules),
                    None => target.push(item.clone()),
                }
            }
            path.pop();
        }
        (target, config, _) => target.clone_from(config),
    }
}

fn conflict(conflicts: &[(&Entry, FieldSet)]) -> ApiError {
    let mut causes = Vec::new();
    let mut texts = Vec::new();
    for (entry, fields) in conflicts {
        let mut who = format!("conflict with {:?}", entry.manager);
        if !entry.subresource.is_empty() {
            who.push_str(&format!(" with subresource {:?}", entry.subresource));
        }
        if !entry.is_apply {
            who.push_str(&format!(" using {}", entry.api_version));
        }
        let paths = fields.paths();
        match paths.as_slice() {
            [one] => texts.push(format!("{who}: {one}")),
            more => texts.push(format!("{who}:\n- {}", more.join("\n- "))),
        }
        causes.extend(
            paths.iter().map(|path| json!({"reason": "FieldManagerConflict", "message": who, "field": path})),
        );
    }
    let plural = if causes.len() == 1 { "" } else { "s" };
    let message = format!("Apply failed with {} conflict{plural}: {}", causes.len(), texts.join("\n"));
    let mut error = ApiError::new(409, "Conflict", message);
    error.details = Map::new();
    error.with_causes(causes)
}
