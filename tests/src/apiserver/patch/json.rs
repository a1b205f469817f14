//! JSON patches (RFC 6902), as leniently as the server takes them: a missing key equals null in a `test`,
//! and `replace` adds a key that is missing.

use serde::Deserialize;
use serde_json::Value;

use crate::apiserver::status::{ApiError, Result};

const MAX_OPERATIONS: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum PatchOperation {
    Add {
        path: String,
        value: Value,
    },
    Remove {
        path: String,
    },
    Replace {
        path: String,
        value: Value,
    },
    Test {
        path: String,
        #[serde(default)]
        value: Value,
    },
    Copy {
        from: String,
        path: String,
    },
    Move {
        from: String,
        path: String,
    },
}

pub(crate) fn apply(target: &mut Value, patch: &Value) -> Result<()> {
    let operations = Vec::<PatchOperation>::deserialize(patch)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    if operations.len() > MAX_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(ApiError::new(413, "RequestEntityTooLarge", message));
    }
    let all = operations.into_iter().try_for_each(|operation| apply_one(target, operation));
    all.ok_or_else(|| {
        ApiError::new(422, "Invalid", "the server rejected our request due to an error in our request")
    })
}

fn apply_one(target: &mut Value, operation: PatchOperation) -> Option<()> {
    match operation {
        PatchOperation::Add { path, value } => add(target, &path, value),
        PatchOperation::Remove { path } => remove(target, &path).map(drop),
        PatchOperation::Replace { path, value } => replace(target, &path, value),
        PatchOperation::Test { path, value } => {
            let found = target.pointer(&path).unwrap_or(&Value::Null);
            (*found == value).then_some(())
        }
        PatchOperation::Copy { from, path } => {
            let value = target.pointer(&from)?.clone();
            add(target, &path, value)
        }
        PatchOperation::Move { from, path } => {
            let value = remove(target, &from)?;
            add(target, &path, value)
        }
    }
}

/// The parent of a path, and the last key of it.
fn split<'a>(target: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, key) = path.rsplit_once('/')?;
    Some((target.pointer_mut(parent)?, key.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, key) = split(target, path)?;
    match parent {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index = key.parse().ok().filter(|&i: &usize| i <= items.len())?;
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn replace(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, key) = split(target, path)?;
    match parent {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(items) => *items.get_mut(key.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

fn remove(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = split(target, path)?;
    match parent {
        Value::Object(map) => map.remove(&key),
        Value::Array(items) => key.parse().ok().filter(|&i: &usize| i < items.len()).map(|i| items.remove(i)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(patch: Value) -> Option<Value> {
        let mut object = json!({"metadata": {"labels": {"a/b": "1"}, "finalizers": ["x"]}});
        apply(&mut object, &patch).ok().map(|()| object["metadata"].clone())
    }

    #[test]
    fn a_missing_key_is_null_to_a_test() {
        assert!(patched(json!([{"op": "test", "path": "/metadata/none", "value": null}])).is_some());
        assert!(patched(json!([{"op": "test", "path": "/metadata/finalizers", "value": null}])).is_none());
    }

    #[test]
    fn replacing_a_missing_key_adds_it_and_removing_one_fails() {
        let found =
            patched(json!([{"op": "replace", "path": "/metadata/none", "value": 1}])).expect("applies");
        assert_eq!(found["none"], 1);
        assert!(patched(json!([{"op": "remove", "path": "/metadata/none"}])).is_none());
        assert!(patched(json!([{"op": "add", "path": "/metadata/none/x", "value": 1}])).is_none());
    }

    #[test]
    fn lists_and_escaped_keys_are_reached() {
        let found = patched(json!([
            {"op": "add", "path": "/metadata/finalizers/0", "value": "w"},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "y"},
            {"op": "remove", "path": "/metadata/labels/a~1b"},
        ]));
        assert_eq!(found, Some(json!({"labels": {}, "finalizers": ["w", "x", "y"]})));
    }
}
