//! Reading and editing the parts of an object that every kind shares.

use serde_json::{Map, Value};

/// Follows keys through maps; `None` where a step is absent or is not a map.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |v, key| v.get(key)).filter(|v| !v.is_null())
}

pub(crate) fn str_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str).filter(|s| !s.is_empty())
}

pub(crate) fn list_at<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn strings_at<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a str> {
    list_at(value, path).iter().filter_map(Value::as_str).collect()
}

/// The map under `key`, made if it is absent. A value of another type is replaced.
pub(crate) fn map_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let outer = as_map(value);
    as_map(outer.entry(key).or_insert(Value::Null))
}

/// The value as a map; anything else becomes an empty one.
pub(crate) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map above"),
    }
}

pub(crate) fn meta<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    str_at(value, &["metadata", field])
}

pub(crate) fn name(value: &Value) -> &str {
    meta(value, "name").unwrap_or_default()
}

pub(crate) fn namespace(value: &Value) -> &str {
    meta(value, "namespace").unwrap_or_default()
}

pub(crate) fn uid(value: &Value) -> &str {
    meta(value, "uid").unwrap_or_default()
}

pub(crate) fn is_terminating(value: &Value) -> bool {
    meta(value, "deletionTimestamp").is_some()
}

pub(crate) fn finalizers(value: &Value) -> Vec<&str> {
    strings_at(value, &["metadata", "finalizers"])
}

pub(crate) fn set_meta(value: &mut Value, field: &str, to: impl Into<Value>) {
    map_mut(value, "metadata").insert(field.to_owned(), to.into());
}

pub(crate) fn remove_meta(value: &mut Value, field: &str) {
    map_mut(value, "metadata").remove(field);
}

/// Moves a top-level part (`status`, `spec`) from one object to another, absence included.
pub(crate) fn copy_part(from: &Value, to: &mut Value, part: &str) {
    let to = as_map(to);
    match from.get(part) {
        Some(value) => to.insert(part.to_owned(), value.clone()),
        None => to.remove(part),
    };
}

/// Puts `value` where nothing is set.
pub(crate) fn default_to(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let unset = match map.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(s)) => s.is_empty(),
        Some(_) => false,
    };
    if unset {
        map.insert(key.to_owned(), value.into());
    }
}

/// Now, as objects carry it: seconds, UTC.
pub(crate) fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random version 4 UUID.
pub(crate) fn new_uid() -> String {
    let bits = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Drops nulls, and the empty maps and lists that the server never writes out in metadata.
pub(crate) fn tidy_metadata(value: &mut Value) {
    let metadata = map_mut(value, "metadata");
    metadata.retain(|_, v| match v {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::String(s) => !s.is_empty(),
        _ => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_uid_is_a_version_4_uuid() {
        let uid = new_uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert!("89ab".contains(&uid[19..20]), "{uid}");
    }
}
